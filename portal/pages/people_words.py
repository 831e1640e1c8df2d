"""Names and meanings of what people have: roles, permissions, reaches, recording modes, ways to sign in, statuses.

Each is a function, so that it is said in the language of whoever reads it.

Not here: who has what (schema), and sentences of refusals (`portal/refused.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from quart_babel import gettext

from portal.language import LANGUAGES
from portal.layout import ROLE_NAMES
from schema.profiles import KeptRole, RecordingMode, User
from schema.roles import Permission, Reach, Role

Words = Callable[[], str]
Status = Literal["all", "active", "disabled"]


@dataclass(frozen=True, slots=True)
class Term:
    """A name, and a sentence that says what it means."""

    name: Words
    means: Words


@dataclass(frozen=True, slots=True)
class Chapter:
    """Permissions that belong together."""

    title: Words
    permissions: Mapping[Permission, Term]


# The field's own names (BroadWorks); the order is that of menus.
RECORDING_MODES: Final[Mapping[RecordingMode, Term]] = {
    RecordingMode.ALWAYS: Term(
        lambda: gettext("Always"),
        lambda: gettext("The whole call is recorded and cannot be paused."),
    ),
    RecordingMode.ALWAYS_PAUSE: Term(
        lambda: gettext("Always with Pause/Resume"),
        lambda: gettext("The whole call is recorded; parts of it can be paused."),
    ),
    RecordingMode.ON_DEMAND: Term(
        lambda: gettext("On Demand"),
        lambda: gettext("The call is kept, from its start, when the user asks for it during the call."),
    ),
    RecordingMode.ON_DEMAND_START: Term(
        lambda: gettext("On Demand with User Initiated Start"),
        lambda: gettext("The call is recorded from the moment at which the user asks for it."),
    ),
    RecordingMode.NEVER: Term(
        lambda: gettext("Never"),
        lambda: gettext("Nothing is recorded."),
    ),
}

PERMISSIONS: Final = (
    Chapter(
        lambda: gettext("Calls"),
        {
            Permission.VIEW_CALLS: Term(
                lambda: gettext("View calls"),
                lambda: gettext("See the list of calls, and who spoke with whom, when and how long."),
            ),
            Permission.PLAY: Term(lambda: gettext("Play"), lambda: gettext("Listen to recordings.")),
            Permission.DOWNLOAD: Term(
                lambda: gettext("Download"), lambda: gettext("Save recordings as files on one's own computer.")
            ),
            Permission.DELETE_CALLS: Term(
                lambda: gettext("Delete"), lambda: gettext("Delete calls and their recordings for good.")
            ),
            Permission.VIEW_CONFIDENTIAL: Term(
                lambda: gettext("View confidential"),
                lambda: gettext("See confidential calls and the calls of confidential users."),
            ),
        },
    ),
    Chapter(
        lambda: gettext("Live"),
        {
            Permission.LIVE_MONITOR: Term(
                lambda: gettext("Live-monitor"), lambda: gettext("Listen to calls while they are held.")
            ),
            Permission.PAUSE: Term(
                lambda: gettext("Pause"), lambda: gettext("Pause and resume the recording of calls that are held.")
            ),
        },
    ),
    Chapter(
        lambda: gettext("Notes and categories"),
        {
            Permission.VIEW_NOTES: Term(lambda: gettext("View notes"), lambda: gettext("Read the notes on calls.")),
            Permission.ADD_NOTES: Term(lambda: gettext("Add notes"), lambda: gettext("Write notes on calls.")),
            Permission.ASSIGN_CATEGORIES: Term(
                lambda: gettext("Assign categories"), lambda: gettext("Put calls into categories that are there.")
            ),
            Permission.CREATE_CATEGORIES: Term(
                lambda: gettext("Create categories"), lambda: gettext("Make new categories.")
            ),
            Permission.EDIT_CUSTOM_FIELDS: Term(
                lambda: gettext("Edit custom field values"),
                lambda: gettext("Fill in the fields that the tenant has added to calls."),
            ),
        },
    ),
    Chapter(
        lambda: gettext("Evaluation"),
        {
            Permission.EVALUATE: Term(
                lambda: gettext("Evaluate"), lambda: gettext("Fill in evaluation forms about calls.")
            )
        },
    ),
    Chapter(
        lambda: gettext("People"),
        {
            Permission.VIEW_USERS: Term(
                lambda: gettext("View users"), lambda: gettext("See users, and set their language and time zone.")
            ),
            Permission.MANAGE_USERS: Term(
                lambda: gettext("Manage users"),
                lambda: gettext("Create, change and disable users, groups, phones and roles."),
            ),
            Permission.READ_AUDIT: Term(
                lambda: gettext("Read audit"), lambda: gettext("Read the audit trail: who did what, and when.")
            ),
        },
    ),
    Chapter(
        lambda: gettext("Settings"),
        {
            Permission.MANAGE_SETTINGS: Term(
                lambda: gettext("Manage settings"),
                lambda: gettext("Change the tenant's language, appearance and ways to sign in."),
            ),
            Permission.MANAGE_ARCHIVING: Term(
                lambda: gettext("Manage archiving"), lambda: gettext("Decide where recordings are kept, and how long.")
            ),
            Permission.MANAGE_PLATFORM: Term(
                lambda: gettext("Manage platform"),
                lambda: gettext("Change tenants, mail and what holds for everybody."),
            ),
        },
    ),
)

REACHES: Final[Mapping[Reach, Term]] = {
    Reach.OWN: Term(lambda: gettext("Own calls"), lambda: gettext("Only calls that one was on.")),
    Reach.MANAGED: Term(
        lambda: gettext("Managed groups and users"),
        lambda: gettext("Own calls, and those of the groups and users that one manages."),
    ),
    Reach.TENANT: Term(lambda: gettext("Tenant"), lambda: gettext("All calls and all users of the tenant.")),
    Reach.PLATFORM: Term(lambda: gettext("Platform"), lambda: gettext("All calls and all users of all tenants.")),
}

AUTHENTICATION: Final[Mapping[str, Term]] = {
    "password": Term(
        lambda: gettext("Password"),
        lambda: gettext("Signs in here, with a login and a password."),
    ),
    "oidc": Term(
        lambda: gettext("Single sign-on"),
        lambda: gettext("Signs in at the company's identity provider and has no password here."),
    ),
}

STATUSES: Final[Mapping[Status, Words]] = {
    "active": lambda: gettext("Active"),
    "disabled": lambda: gettext("Disabled"),
    "all": lambda: gettext("Active and disabled"),
}


def mode_name(mode: RecordingMode | None) -> str:
    """The name of a recording mode; whose mode nobody set is recorded always."""
    if mode is None:
        return gettext("Always (not set)")
    return RECORDING_MODES[mode].name()


def role_title(role: KeptRole) -> str:
    """A role as people call it: a copy by its own name."""
    return role.fields.name if role.id is not None else ROLE_NAMES[role.base]()


def role_of(user: User) -> str:
    """The role of a user as people call it."""
    return user.role_name or ready_made(user.role)


def ready_made(role: Role) -> str:
    return ROLE_NAMES[role]()


def language_name(code: str) -> str:
    """A language by its own name; one that the portal does not speak by its code."""
    return LANGUAGES.get(code, code)
