"""Roles: sets of permissions over a reach. Four are ready-made; others are copies, made in a tenant.

Not here: which page or call needs which permission (the portal's gate), who has which role (`users.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a role may do, within its reach."""

    VIEW_CALLS = "view_calls"
    PLAY = "play"
    DOWNLOAD = "download"
    LIVE_MONITOR = "live_monitor"
    PAUSE = "pause"
    VIEW_NOTES = "view_notes"
    ADD_NOTES = "add_notes"
    ASSIGN_CATEGORIES = "assign_categories"
    CREATE_CATEGORIES = "create_categories"
    EDIT_CUSTOM_FIELDS = "edit_custom_fields"
    EVALUATE = "evaluate"
    DELETE_CALLS = "delete_calls"
    VIEW_CONFIDENTIAL = "view_confidential"
    VIEW_USERS = "view_users"
    MANAGE_USERS = "manage_users"
    MANAGE_SETTINGS = "manage_settings"
    READ_AUDIT = "read_audit"
    MANAGE_ARCHIVING = "manage_archiving"
    MANAGE_PLATFORM = "manage_platform"


class Reach(StrEnum):
    """How far a role reaches, from the least: own calls; and those of managed users and groups; a tenant; all."""

    OWN = "own"
    MANAGED = "managed"
    TENANT = "tenant"
    PLATFORM = "platform"


class Role(StrEnum):
    """The ready-made roles."""

    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role gives."""

    reach: Reach
    permissions: frozenset[Permission]

    def covers(self, other: "Grant") -> bool:
        """Whether who has this one may give the other to somebody."""
        reaches = list(Reach)
        return reaches.index(other.reach) <= reaches.index(self.reach) and other.permissions <= self.permissions

    def narrowed(self, permissions: frozenset[Permission]) -> "Grant":
        """The same with no permission but these."""
        return Grant(self.reach, self.permissions & permissions)


_USER: Final = frozenset({Permission.VIEW_CALLS, Permission.PLAY, Permission.DOWNLOAD, Permission.VIEW_NOTES})
_OPERATORS: Final = frozenset({Permission.MANAGE_ARCHIVING, Permission.MANAGE_PLATFORM})

READY_MADE: Final[Mapping[Role, Grant]] = {
    Role.OPERATOR: Grant(Reach.PLATFORM, frozenset(Permission)),
    Role.ADMINISTRATOR: Grant(Reach.TENANT, frozenset(Permission) - _OPERATORS),
    Role.SUPERVISOR: Grant(Reach.MANAGED, _USER | {Permission.LIVE_MONITOR, Permission.VIEW_USERS}),
    Role.USER: Grant(Reach.OWN, _USER),
}
# Whoever may do everything everywhere: the commands of who runs the machine, and the processes themselves.
EVERYTHING: Final = READY_MADE[Role.OPERATOR]
