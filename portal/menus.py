"""The menus: the bar at the top, the one below the login name, and the index of the administration.

Each entry is an endpoint with its text and its icon. One shows where its endpoint exists and the one who asks may call
it, so that a page that is built appears by itself, and nobody sees an entry that would be refused.

Not here: who may call what (`gate.py`), and how menus look (templates).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from quart import current_app, request
from quart_babel import gettext

from portal import gate

Words = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Entry:
    """`about` says in a sentence what is behind it. An entry with `sections` leads to an index of them: it shows where
    something of them does."""

    endpoint: str
    icon: str
    text: Words
    about: Words | None = None
    sections: tuple["Section", ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Some entries under a heading."""

    title: Words
    entries: tuple[Entry, ...]


ADMINISTRATION: Final = (
    Section(
        lambda: gettext("People"),
        (
            Entry(
                "users.index",
                icon="users",
                text=lambda: gettext("Users"),
                about=lambda: gettext("Who is recorded, who may sign in, and with which role."),
            ),
            Entry(
                "groups.index",
                icon="users-group",
                text=lambda: gettext("Groups"),
                about=lambda: gettext("Teams of users, and the supervisors who manage them."),
            ),
            Entry(
                "phones.index",
                icon="phone",
                text=lambda: gettext("Phones"),
                about=lambda: gettext("Numbers and addresses, and whose calls they carry."),
            ),
            Entry(
                "roles.index",
                icon="shield-lock",
                text=lambda: gettext("Roles"),
                about=lambda: gettext("What people may see and do, and for whose calls."),
            ),
        ),
    ),
    Section(
        lambda: gettext("Customization"),
        (
            Entry(
                "customization.language",
                icon="language",
                text=lambda: gettext("Language"),
                about=lambda: gettext("Language and time zone of the platform, of tenants and of groups."),
            ),
            Entry(
                "customization.appearance",
                icon="palette",
                text=lambda: gettext("Appearance"),
                about=lambda: gettext("Name, logo and colour that people see."),
            ),
        ),
    ),
    Section(
        lambda: gettext("Sign-in"),
        (
            Entry(
                "providers.index",
                icon="key",
                text=lambda: gettext("Single sign-on"),
                about=lambda: gettext("Sign in with the accounts that your company has already."),
            ),
        ),
    ),
    Section(
        lambda: gettext("Maintenance"),
        (
            Entry(
                "audit.index",
                icon="history",
                text=lambda: gettext("Audit trail"),
                about=lambda: gettext("Who did what, when and from where: every change, every listening."),
            ),
        ),
    ),
    Section(
        lambda: gettext("Platform"),
        (
            Entry(
                "tenants.index",
                icon="building",
                text=lambda: gettext("Tenants"),
                about=lambda: gettext("The companies on this system, their limits and their host names."),
            ),
            Entry(
                "platform.edit",
                icon="server",
                text=lambda: gettext("Platform"),
                about=lambda: gettext("What holds for all tenants: sign-in page, support contact, passwords."),
            ),
            Entry(
                "mail.index",
                icon="mail",
                text=lambda: gettext("Mail"),
                about=lambda: gettext("The mail server, a test, and the messages that wait or failed."),
            ),
        ),
    ),
)

MENU: Final = (
    Entry("calls.index", icon="phone-call", text=lambda: gettext("Recordings")),
    Entry(
        "administration.index",
        icon="settings",
        text=lambda: gettext("Administration"),
        sections=ADMINISTRATION,
    ),
)

OWN: Final = (
    Entry("own.password", icon="lock", text=lambda: gettext("Change password")),
    Entry("own.language", icon="language", text=lambda: gettext("Language")),
    Entry("own.security", icon="shield-check", text=lambda: gettext("Security")),
)


def shown(entries: tuple[Entry, ...]) -> list[Entry]:
    """Those that exist and that the one who asks may call."""
    return [entry for entry in entries if _shows(entry)]


def administration() -> list[tuple[Section, list[Entry]]]:
    """The sections of the administration that the one who asks may see something of, and what."""
    sections = [(section, shown(section.entries)) for section in ADMINISTRATION]
    return [(section, entries) for section, entries in sections if entries]


def is_here(entry: Entry) -> bool:
    """Whether the page at hand belongs to this entry."""
    return request.blueprint in {endpoint.partition(".")[0] for endpoint in _endpoints(entry)}


def _shows(entry: Entry) -> bool:
    if entry.endpoint not in current_app.view_functions or not gate.may_call(entry.endpoint):
        return False
    return not entry.sections or any(shown(section.entries) for section in entry.sections)


def _endpoints(entry: Entry) -> list[str]:
    return [entry.endpoint, *(each.endpoint for section in entry.sections for each in section.entries)]
