"""What holds for all tenants: the operator's contact, passwords, language and time zone, and how mail goes out.

Reading takes no scope: the sign-in page shows most of it to strangers, and the rest is how this portal behaves.

Not here: sending mail, and the password of the mail server (`mails.py`).
"""

import json
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit

from schema import checked
from schema.audited import changing
from schema.database import lookup, rows, unit
from schema.entries import By
from schema.mails import SMTP_PASSWORD_PLACE
from schema.models import Platform
from schema.profiles import MailFields, PasswordPolicy, PlatformFields
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import Reach
from schema.sealing import seal

# Fewer than 8 protect nobody (NIST SP 800-63B section 5.1.1.2); more than 64 make people write them down.
LEAST_CHARACTERS: Final = 8
MOST_CHARACTERS: Final = 64
# A few lines: a name, an address, a number.
_MOST_CONTACT: Final = 2000
_MOST_ADDRESS: Final = 2000
_SECURITIES: Final = ("starttls", "tls", "none")
_MOST_PORT: Final = 65_535


@lookup
async def get_platform() -> PlatformFields:
    row = await _read()
    return PlatformFields(
        support_contact=row["support_contact"],
        sister_platforms=tuple((name, address) for name, address in json.loads(row["sister_platforms"])),
        language=row["language"],
        time_zone=row["time_zone"],
        passwords=_policy(row),
    )


@lookup
async def password_policy() -> PasswordPolicy:
    return _policy(await _read())


@lookup
async def mail_fields() -> MailFields:
    """How mail goes out, without the password."""
    row = await _read()
    return MailFields(
        host=row["smtp_host"],
        port=row["smtp_port"],
        security=cast(Any, row["smtp_security"]),
        user=row["smtp_user"],
        sender=row["mail_from"],
        sender_name=row["mail_from_name"],
    )


@unit
async def set_platform(by: By, fields: PlatformFields) -> None:
    """Errors: Refusal; NotThere, for who is no operator. Then nothing was changed."""
    async with changing(by):
        row = await _row(by)
        row.support_contact = _contact(fields.support_contact)
        row.sister_platforms = json.dumps(_sisters(fields.sister_platforms), ensure_ascii=False)
        row.language, row.time_zone = checked.language(fields.language), checked.time_zone(fields.time_zone)
        policy = fields.passwords
        if not LEAST_CHARACTERS <= policy.characters <= MOST_CHARACTERS:
            raise Refusal("characters_refused", "characters", least=LEAST_CHARACTERS, most=MOST_CHARACTERS)
        row.password_characters = policy.characters
        row.password_common, row.password_login = policy.not_common, policy.not_login
        await row.save()


@unit
async def set_platform_language(by: By, language: str, time_zone: str) -> None:
    """Empty: the browser's. Errors: Refusal (language_unknown, zone_unknown), NotThere."""
    async with changing(by):
        row = await _row(by)
        row.language, row.time_zone = checked.language(language), checked.time_zone(time_zone)
        await row.save()


@unit
async def set_mail(by: By, fields: MailFields) -> None:
    """A password of None keeps the one that is there, for the same server and user; an empty one takes it away.

    Errors: Refusal, NotThere; then nothing was changed.
    """
    async with changing(by):
        row = await _row(by)
        host = checked.host(fields.host, "host") if fields.host.strip() else ""
        if not 1 <= fields.port <= _MOST_PORT:
            raise Refusal("port_refused", "port")
        if fields.security not in _SECURITIES:
            raise Refusal("security_unknown", "security", security=fields.security)
        sender = checked.email(fields.sender, "sender")
        if host and not sender:
            raise Refusal("text_needed", "sender")
        user = checked.text_or_none(fields.user, "user")
        if fields.password is not None:
            row.smtp_password = seal(fields.password, SMTP_PASSWORD_PLACE)
        elif (host, user) != (row.smtp_host, row.smtp_user):
            # Whoever may name another server is not to be sent the password of this one.
            row.smtp_password = ""
        row.smtp_host, row.smtp_port, row.smtp_security, row.smtp_user = host, fields.port, fields.security, user
        row.mail_from, row.mail_from_name = sender, checked.text_or_none(fields.sender_name, "sender_name")
        await row.save()


def _policy(row: dict[str, Any]) -> PasswordPolicy:
    return PasswordPolicy(
        characters=row["password_characters"],
        not_common=bool(row["password_common"]),
        not_login=bool(row["password_login"]),
    )


def _contact(given: str) -> str:
    contact = str(clean(given.strip().replace("\r\n", "\n")))
    if len(contact) > _MOST_CONTACT or not contact.replace("\n", "").isprintable():
        raise Refusal("text_refused", "support_contact", most=_MOST_CONTACT)
    return contact


def _sisters(given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    found = []
    for name, address in given:
        if not _is_https(address.strip()):
            raise Refusal("address_refused", "sister_platforms", address=address)
        found.append((checked.text(name, "sister_platforms"), address.strip()))
    return found


def _is_https(address: str) -> bool:
    if len(address) > _MOST_ADDRESS or not address.isprintable() or " " in address:
        return False
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address, say
        return False
    return parts.scheme == "https" and bool(parts.hostname)


async def _read() -> dict[str, Any]:
    return (await rows("SELECT * FROM platform"))[0]


async def _row(by: By) -> Platform:
    if by.grant.reach is not Reach.PLATFORM:
        raise NotThere
    return await Platform.select_for_update().get()
