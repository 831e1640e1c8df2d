"""Entries of the audit trail in words: who, what, and a sentence about what happened.

An entry holds no words but values: what is said is made here, in the language of whoever reads. Each sentence is whole,
so that every language may put its words where they belong.

Not here: fields and their values (`audit_fields.py`), the pages (`audit.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from babel.lists import format_list
from quart import current_app, url_for
from quart_babel import get_locale, gettext, ngettext, pgettext

from portal import gate
from portal.pages.audit_fields import field_name
from portal.pages.people_words import Words
from portal.pages.presentation import duration
from schema.entries import Action, Application, Entry, Resource

# A sentence names so many fields; the entry's page shows all.
MOST_FIELDS: Final = 8


class _Named(dict[Any, Words]):
    """Words by what they name; what nobody knows is called what it is called in the trail."""

    def __missing__(self, word: str) -> Words:
        return lambda: str(word)


RESOURCES: Final = _Named(
    {
        Resource.CALLS: lambda: gettext("Calls"),
        Resource.USERS: lambda: gettext("Users"),
        Resource.GROUPS: lambda: gettext("Groups"),
        Resource.PHONES: lambda: gettext("Phones"),
        Resource.ROLES: lambda: gettext("Roles"),
        Resource.TENANTS: lambda: gettext("Tenants"),
        Resource.PLATFORM: lambda: gettext("Platform"),
        Resource.MANAGEMENT: lambda: gettext("Supervision"),
        Resource.PROVIDERS: lambda: gettext("Single sign-on"),
        Resource.SESSIONS: lambda: gettext("Sign-in"),
        Resource.TOKENS: lambda: gettext("API tokens"),
        Resource.MAIL: lambda: gettext("Mail"),
        Resource.AUDIT: lambda: gettext("Audit trail"),
    }
)

ACTIONS: Final = _Named(
    {
        Action.CREATE: lambda: pgettext("audit action", "Create"),
        Action.UPDATE: lambda: pgettext("audit action", "Update"),
        Action.DELETE: lambda: pgettext("audit action", "Delete"),
        Action.LOGIN: lambda: pgettext("audit action", "Login"),
        Action.LOGOUT: lambda: pgettext("audit action", "Logout"),
        Action.FAILED_LOGIN: lambda: pgettext("audit action", "Failed login"),
        Action.CHANGE_PASSWORD: lambda: pgettext("audit action", "Change password"),
        Action.PLAYBACK: lambda: pgettext("audit action", "Playback"),
        Action.DOWNLOAD: lambda: pgettext("audit action", "Download"),
        Action.LIVE_MONITOR_START: lambda: pgettext("audit action", "Live monitor start"),
        Action.LIVE_MONITOR_END: lambda: pgettext("audit action", "Live monitor end"),
        Action.ASSIGN: lambda: pgettext("audit action", "Assign"),
        Action.DEASSIGN: lambda: pgettext("audit action", "Deassign"),
        Action.PAUSE: lambda: pgettext("audit action", "Pause"),
        Action.RESUME: lambda: pgettext("audit action", "Resume"),
        Action.EXPORT: lambda: pgettext("audit action", "Export"),
        Action.PURGE: lambda: pgettext("audit action", "Purge"),
    }
)

APPLICATIONS: Final = _Named(
    {
        Application.WEB: lambda: gettext("Web"),
        Application.API: lambda: gettext("API"),
        Application.ENGINE: lambda: gettext("Engine"),
        Application.ARCHIVE: lambda: gettext("Archive"),
        Application.COMMAND: lambda: gettext("Command line"),
    }
)

# Who did what nobody did who is known by a login.
_NOBODY: Final = _Named(
    {
        Application.WEB: lambda: gettext("Somebody unknown"),
        Application.API: lambda: gettext("Somebody unknown"),
        Application.ENGINE: lambda: gettext("The phone system"),
        Application.ARCHIVE: lambda: gettext("Earshot"),
        Application.COMMAND: lambda: gettext("The command line"),
    }
)


def initiator(entry: Entry) -> str:
    """Who did it, as "name (login)"."""
    if not entry.initiator_login:
        return entry.initiator_name or _NOBODY[entry.application]()
    if not entry.initiator_name:
        return entry.initiator_login
    return gettext("%(name)s (%(login)s)", name=entry.initiator_name, login=entry.initiator_login)


def sentence(entry: Entry) -> str:
    """What happened."""
    told = _SENTENCES.get((entry.resource, entry.action)) or _OTHERS.get(entry.action)
    return told(entry) if told is not None else ""


def related(entry: Entry) -> str:
    """What it happened to, as "kind name"."""
    if not entry.about.id and not entry.about.name:
        return ""
    return _thing(entry)


def _thing(entry: Entry) -> str:
    kind = _KINDS.get(entry.resource)
    return kind(_name(entry)) if kind is not None else _name(entry)


def address(entry: Entry) -> str:
    """Where what it happened to has its page; empty where there is none that the one who asks may see."""
    endpoint, argument, key = _pages(entry)
    if not endpoint or endpoint not in current_app.view_functions or not gate.may_call(endpoint):
        return ""
    if not argument:
        return url_for(endpoint)
    try:
        given: dict[str, Any] = {argument: UUID(str(key))}
    except ValueError:
        return ""
    return url_for(endpoint, **given)


def _pages(entry: Entry) -> tuple[str, str, UUID | str]:
    """The endpoint of a page, the name of its argument, and whose page it is."""
    about = entry.about
    match entry.resource:
        case Resource.MANAGEMENT | Resource.TOKENS:
            return "users.show", "user_id", about.parent_id
        case Resource.MAIL:
            return ("mail.index", "", "") if not about.parent_id else ("users.show", "user_id", about.parent_id)
        case Resource.PLATFORM:
            return "platform.edit", "", ""
        case resource if resource in _PAGES:
            return (*_PAGES[resource], about.id)
        case _:
            return "", "", ""


_PAGES: Final[Mapping[Resource, tuple[str, str]]] = {
    Resource.CALLS: ("calls.show", "call_id"),
    Resource.USERS: ("users.show", "user_id"),
    Resource.SESSIONS: ("users.show", "user_id"),
    Resource.GROUPS: ("groups.show", "group_id"),
    Resource.PHONES: ("phones.show", "phone_id"),
    Resource.ROLES: ("roles.show", "role"),
    Resource.TENANTS: ("tenants.show", "tenant_id"),
    Resource.PROVIDERS: ("providers.edit", "provider_id"),
    Resource.AUDIT: ("audit.show", "entry_id"),
}

_KINDS: Final[Mapping[Resource, Callable[[str], str]]] = {
    Resource.CALLS: lambda name: gettext("Call %(name)s", name=name),
    Resource.USERS: lambda name: gettext("User %(name)s", name=name),
    Resource.GROUPS: lambda name: gettext("Group %(name)s", name=name),
    Resource.PHONES: lambda name: gettext("Phone %(name)s", name=name),
    Resource.ROLES: lambda name: gettext("Role %(name)s", name=name),
    Resource.TENANTS: lambda name: gettext("Tenant %(name)s", name=name),
    Resource.PLATFORM: lambda _: gettext("Platform"),
    Resource.MANAGEMENT: lambda name: gettext("Supervision of %(name)s", name=name),
    Resource.PROVIDERS: lambda name: gettext("Identity provider %(name)s", name=name),
    Resource.SESSIONS: lambda name: gettext("User %(name)s", name=name),
    Resource.TOKENS: lambda name: gettext("API token %(name)s", name=name),
    Resource.MAIL: lambda name: gettext("Mail to %(name)s", name=name),
    Resource.AUDIT: lambda name: gettext("Audit entry about %(name)s", name=name),
}


def _name(entry: Entry) -> str:
    return entry.about.name or gettext("without a name")


def _fields(entry: Entry) -> str:
    """The fields that were changed, as a list of words."""
    names = [field_name(column) for column in entry.fields]
    more = len(names) - MOST_FIELDS
    if more > 0:
        names[MOST_FIELDS:] = [ngettext("%(num)s more", "%(num)s more", more)]
    return format_list(names, locale=get_locale() or "en")


def _login(entry: Entry) -> str:
    return entry.fields["login"][1] if "login" in entry.fields else entry.unchanged.get("login", "")


def _changed(without: Callable[[Entry], str], with_fields: Callable[[Entry], str]) -> Callable[[Entry], str]:
    """Erased entries do not know any more which fields they tell of."""
    return lambda entry: with_fields(entry) if entry.fields else without(entry)


def _user_updated(entry: Entry) -> str:
    if entry.details.get("recovery code"):
        return gettext("%(name)s used a recovery code to sign in.", name=_name(entry))
    was, now = entry.fields.get("disabled_at", ("", ""))
    if now and not was:
        return gettext("The user %(name)s was disabled.", name=_name(entry))
    if was and not now:
        return gettext("The user %(name)s was enabled again.", name=_name(entry))
    if not entry.fields:
        return gettext("The user %(name)s was changed.", name=_name(entry))
    return gettext("The user %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry))


def _user_created(entry: Entry) -> str:
    login = _login(entry)
    if not login or login == entry.about.name:
        return gettext("The user %(name)s was created.", name=_name(entry))
    return gettext("The user %(name)s was created, with the login %(login)s.", name=_name(entry), login=login)


def _password(entry: Entry) -> str:
    how = entry.details.get("link")
    if how == "invitation":
        return gettext("%(name)s accepted an invitation and set a password.", name=_name(entry))
    if how == "reset":
        return gettext("%(name)s set a new password by a link that was mailed.", name=_name(entry))
    return gettext("The password of %(name)s was changed.", name=_name(entry))


def _signed_in(entry: Entry) -> str:
    provider = entry.details.get("provider")
    if provider:
        return gettext("%(name)s signed in through %(provider)s.", name=_name(entry), provider=provider)
    if entry.details.get("second_factor"):
        return gettext("%(name)s signed in with a second factor.", name=_name(entry))
    return gettext("%(name)s signed in.", name=_name(entry))


def _signed_out(entry: Entry) -> str:
    ended = entry.details.get("ended", "")
    if not ended.isdigit():
        return gettext("%(name)s signed out.", name=_name(entry))
    return ngettext(
        "%(num)s session of %(name)s was ended.",
        "%(num)s sessions of %(name)s were ended.",
        int(ended),
        name=_name(entry),
    )


def _not_signed_in(entry: Entry) -> str:
    details = entry.details
    if details.get("provider"):
        return gettext(
            "Somebody for whom %(provider)s vouched was not let in: no user is known to be this person.",
            provider=details["provider"],
        )
    if not entry.about.id:
        return gettext("Somebody tried to sign in with a login that nobody has.")
    if details.get("second_factor"):
        return gettext("The code that was given for %(name)s was wrong.", name=_name(entry))
    return gettext("Somebody tried to sign in as %(name)s with a wrong password.", name=_name(entry))


def _call_paused(entry: Entry) -> str:
    at = _clock(entry, "position")
    if at:
        return gettext("The recording of the call %(name)s was paused at %(position)s.", name=_name(entry), position=at)
    return gettext("The recording of the call %(name)s was paused.", name=_name(entry))


def _call_resumed(entry: Entry) -> str:
    at = _clock(entry, "position")
    if at:
        return gettext(
            "The recording of the call %(name)s was resumed at %(position)s.", name=_name(entry), position=at
        )
    return gettext("The recording of the call %(name)s was resumed.", name=_name(entry))


def _call_downloaded(entry: Entry) -> str:
    kind = entry.details.get("format")
    if kind:
        return gettext(
            "The recording of the call %(name)s was downloaded as %(format)s.", name=_name(entry), format=kind
        )
    return gettext("The recording of the call %(name)s was downloaded.", name=_name(entry))


def _monitored(entry: Entry) -> str:
    lasted = _clock(entry, "duration")
    if lasted:
        return gettext(
            "The call %(name)s was no longer listened to, after %(duration)s.", name=_name(entry), duration=lasted
        )
    return gettext("The call %(name)s was no longer listened to.", name=_name(entry))


def _clock(entry: Entry, detail: str) -> str:
    """A number of seconds as `0:59`; empty where there is none."""
    try:
        return duration(float(entry.details[detail]))
    except (KeyError, ValueError):
        return ""


def _manages(entry: Entry) -> dict[str, str]:
    return {"manager": entry.details.get("manager", "?"), "managed": entry.details.get("managed", _name(entry))}


_SENTENCES: Final[Mapping[tuple[Resource, Action], Callable[[Entry], str]]] = {
    (Resource.CALLS, Action.PLAYBACK): lambda entry: gettext("The call %(name)s was listened to.", name=_name(entry)),
    (Resource.CALLS, Action.DOWNLOAD): _call_downloaded,
    (Resource.CALLS, Action.LIVE_MONITOR_START): lambda entry: gettext(
        "The call %(name)s was listened to while it ran.", name=_name(entry)
    ),
    (Resource.CALLS, Action.LIVE_MONITOR_END): _monitored,
    (Resource.CALLS, Action.PAUSE): _call_paused,
    (Resource.CALLS, Action.RESUME): _call_resumed,
    (Resource.CALLS, Action.UPDATE): _changed(
        lambda entry: gettext("The call %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The call %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.USERS, Action.CREATE): _user_created,
    (Resource.USERS, Action.UPDATE): _user_updated,
    (Resource.USERS, Action.CHANGE_PASSWORD): _password,
    (Resource.USERS, Action.EXPORT): lambda _: gettext("The list of users was exported."),
    (Resource.GROUPS, Action.CREATE): lambda entry: gettext("The group %(name)s was created.", name=_name(entry)),
    (Resource.GROUPS, Action.UPDATE): _changed(
        lambda entry: gettext("The group %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The group %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.GROUPS, Action.DELETE): lambda entry: gettext("The group %(name)s was deleted.", name=_name(entry)),
    (Resource.PHONES, Action.CREATE): lambda entry: gettext("The phone %(name)s was created.", name=_name(entry)),
    (Resource.PHONES, Action.UPDATE): _changed(
        lambda entry: gettext("The phone %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The phone %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.PHONES, Action.DELETE): lambda entry: gettext("The phone %(name)s was deleted.", name=_name(entry)),
    (Resource.ROLES, Action.CREATE): lambda entry: gettext("The role %(name)s was created.", name=_name(entry)),
    (Resource.ROLES, Action.UPDATE): _changed(
        lambda entry: gettext("The role %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The role %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.ROLES, Action.DELETE): lambda entry: gettext("The role %(name)s was deleted.", name=_name(entry)),
    (Resource.TENANTS, Action.CREATE): lambda entry: gettext("The tenant %(name)s was created.", name=_name(entry)),
    (Resource.TENANTS, Action.UPDATE): _changed(
        lambda entry: gettext("The tenant %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The tenant %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.PLATFORM, Action.UPDATE): _changed(
        lambda _: gettext("What holds for the whole platform was changed."),
        lambda entry: gettext(
            "What holds for the whole platform was changed. Fields: %(fields)s.", fields=_fields(entry)
        ),
    ),
    (Resource.MANAGEMENT, Action.ASSIGN): lambda entry: gettext(
        "%(manager)s manages %(managed)s from now on.", **_manages(entry)
    ),
    (Resource.MANAGEMENT, Action.DEASSIGN): lambda entry: gettext(
        "%(manager)s does not manage %(managed)s any more.", **_manages(entry)
    ),
    (Resource.PROVIDERS, Action.CREATE): lambda entry: gettext(
        "The identity provider %(name)s was added.", name=_name(entry)
    ),
    (Resource.PROVIDERS, Action.UPDATE): _changed(
        lambda entry: gettext("The identity provider %(name)s was changed.", name=_name(entry)),
        lambda entry: gettext(
            "The identity provider %(name)s was changed. Fields: %(fields)s.", name=_name(entry), fields=_fields(entry)
        ),
    ),
    (Resource.PROVIDERS, Action.DELETE): lambda entry: gettext(
        "The identity provider %(name)s was removed.", name=_name(entry)
    ),
    (Resource.SESSIONS, Action.LOGIN): _signed_in,
    (Resource.SESSIONS, Action.LOGOUT): _signed_out,
    (Resource.SESSIONS, Action.FAILED_LOGIN): _not_signed_in,
    (Resource.TOKENS, Action.CREATE): lambda entry: gettext("The API token %(name)s was made.", name=_name(entry)),
    (Resource.TOKENS, Action.DELETE): lambda entry: gettext("The API token %(name)s was revoked.", name=_name(entry)),
    (Resource.MAIL, Action.CREATE): lambda entry: gettext("A mail was written to %(name)s.", name=_name(entry)),
    (Resource.MAIL, Action.UPDATE): lambda entry: gettext(
        "The mail to %(name)s that had not gone out is sent again.", name=_name(entry)
    ),
    (Resource.AUDIT, Action.EXPORT): lambda _: gettext("The audit trail was exported."),
    (Resource.AUDIT, Action.PURGE): lambda entry: gettext(
        "The data of an audit entry about %(name)s was erased.", name=_name(entry)
    ),
}

# What is done to something for the first time, before anybody wrote a sentence about it.
_OTHERS: Final[Mapping[Action, Callable[[Entry], str]]] = {
    Action.CREATE: lambda entry: gettext("%(thing)s: created.", thing=_thing(entry)),
    Action.UPDATE: lambda entry: gettext("%(thing)s: changed.", thing=_thing(entry)),
    Action.DELETE: lambda entry: gettext("%(thing)s: deleted.", thing=_thing(entry)),
    Action.EXPORT: lambda entry: gettext("%(list)s: exported.", list=RESOURCES[entry.resource]()),
    Action.PURGE: lambda entry: gettext("%(thing)s: purged.", thing=_thing(entry)),
}
