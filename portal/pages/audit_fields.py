"""The fields of the audit trail's data in words: what a field is called, and its value as people write it.

Entries hold columns and values as the database has them; words are made here, in the language of whoever reads.

Not here: sentences about entries (`audit_words.py`).
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from markupsafe import Markup
from quart_babel import gettext, pgettext

from portal.language import moment
from portal.layout import ROLE_NAMES
from portal.pages.people_words import AUTHENTICATION, PERMISSIONS, REACHES, RECORDING_MODES, Words, language_name
from schema.profiles import RecordingMode
from schema.roles import Permission, Reach, Role

Shown = str | Markup

FIELDS: Final[Mapping[str, Words]] = {
    "account_id": lambda: gettext("User"),
    "authentication": lambda: gettext("Way to sign in"),
    "base": lambda: gettext("Copied from"),
    "broadworks_group_id": lambda: gettext("BroadWorks group id"),
    "broadworks_sp_id": lambda: gettext("BroadWorks service-provider id"),
    "broadworks_user_id": lambda: gettext("BroadWorks user id"),
    "client_id": lambda: gettext("Client id"),
    "client_secret": lambda: gettext("Client secret"),
    "colour": lambda: gettext("Colour"),
    "confidential": lambda: gettext("Confidential"),
    "created_at": lambda: gettext("Created"),
    "disabled_at": lambda: gettext("Disabled since"),
    "email": lambda: gettext("Email"),
    "enabled": lambda: gettext("In use"),
    "expires_at": lambda: gettext("Valid until"),
    "external_id": lambda: gettext("Id at the identity provider"),
    "hosts": lambda: gettext("Host names"),
    "id": lambda: gettext("Id"),
    "issuer": lambda: gettext("Issuer"),
    "language": lambda: gettext("Language"),
    "line": lambda: gettext("Number or address"),
    "login": lambda: gettext("Login"),
    "login_claim": lambda: gettext("Claim with the login"),
    "platform": lambda: gettext("Added by an operator"),
    "logo": lambda: gettext("Logo"),
    "logo_type": lambda: gettext("Type of the logo"),
    "mail_from": lambda: gettext("Sender's address"),
    "mail_from_name": lambda: gettext("Sender's name"),
    "manager_id": lambda: gettext("Supervisor"),
    "max_calls": lambda: gettext("Most calls at once"),
    "max_storage_mb": lambda: gettext("Most storage in MB"),
    "max_users": lambda: gettext("Most users"),
    "may_sign_in": lambda: gettext("Web access"),
    "must_change_password": lambda: gettext("Must change password"),
    "name": lambda: pgettext("of a person or a thing", "Name"),
    "password_characters": lambda: gettext("Fewest characters of a password"),
    "password_common": lambda: gettext("Common passwords are refused"),
    "password_hash": lambda: gettext("Password"),
    "password_login": lambda: gettext("Passwords with the login in them are refused"),
    "permissions": lambda: gettext("Permissions"),
    "reach": lambda: gettext("Reach"),
    "recording_mode": lambda: gettext("Recording mode"),
    "recovery_codes": lambda: gettext("Recovery codes"),
    "role": lambda: gettext("Role"),
    "role_copy_id": lambda: gettext("Copied role"),
    "sister_platforms": lambda: gettext("Sister platforms"),
    "smtp_host": lambda: gettext("Mail server"),
    "smtp_password": lambda: gettext("Password of the mail server"),
    "smtp_port": lambda: gettext("Port of the mail server"),
    "smtp_security": lambda: gettext("Encryption of mail"),
    "smtp_user": lambda: gettext("Login at the mail server"),
    "support_contact": lambda: gettext("Support contact"),
    "team_id": lambda: gettext("Group"),
    "tenant_id": lambda: gettext("Tenant"),
    "time_zone": lambda: gettext("Time zone"),
    "token_hash": lambda: gettext("Token"),
    "totp_secret": lambda: gettext("Second factor"),
}

_SECURITY: Final[Mapping[str, Words]] = {
    "starttls": lambda: gettext("STARTTLS"),
    "tls": lambda: gettext("TLS"),
    "none": lambda: pgettext("encryption", "None"),
}
_PERMISSION_NAMES: Final[Mapping[Permission, Words]] = {
    permission: term.name for chapter in PERMISSIONS for permission, term in chapter.permissions.items()
}
_BOOLEANS: Final[Mapping[str, Words]] = {"True": lambda: gettext("Yes"), "False": lambda: gettext("No")}
# `Support (0192…)`: the id of what is named is no use to people.
_NAMED: Final = re.compile(r"(.+) \([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)", re.DOTALL)


def field_name(column: str) -> str:
    """What a field is called; one of a newer version by its column."""
    return FIELDS[column]() if column in FIELDS else column


def value(column: str, kept: str) -> Shown:
    """A value as people write it. What cannot be understood is shown as it is kept."""
    if not kept:
        return ""
    try:
        return _VALUES.get(column, _plain)(kept)
    except (ValueError, KeyError, TypeError):
        return kept


def _plain(kept: str) -> Shown:
    if kept in _BOOLEANS:
        return _BOOLEANS[kept]()
    found = _NAMED.fullmatch(kept)
    return found[1] if found else kept


def _hosts(kept: str) -> str:
    return ", ".join(map(str, json.loads(kept)))


def _permissions(kept: str) -> str:
    known = {str(permission): name for permission, name in _PERMISSION_NAMES.items()}
    return ", ".join(known[one]() if one in known else str(one) for one in json.loads(kept))


def _sisters(kept: str) -> str:
    return ", ".join(gettext("%(name)s: %(address)s", name=name, address=address) for name, address in json.loads(kept))


def _moment(kept: str) -> Markup:
    return moment(datetime.fromisoformat(kept))


_VALUES: Final[Mapping[str, Callable[[str], Shown]]] = {
    "authentication": lambda kept: AUTHENTICATION[kept].name(),
    "base": lambda kept: ROLE_NAMES[Role(kept)](),
    "created_at": _moment,
    "disabled_at": _moment,
    "expires_at": _moment,
    "hosts": _hosts,
    "language": language_name,
    "name": str,
    "permissions": _permissions,
    "reach": lambda kept: REACHES[Reach(kept)].name(),
    "recording_mode": lambda kept: RECORDING_MODES[RecordingMode(kept)].name(),
    "role": lambda kept: ROLE_NAMES[Role(kept)](),
    "sister_platforms": _sisters,
    "smtp_security": lambda kept: _SECURITY[kept](),
}
