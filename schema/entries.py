"""The words and values of the audit trail: who did what to what.

Not here: how an entry comes to be (`audited.py`), sentences about it (the portal).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from schema.roles import Grant
from schema.values import Scope


class _Word(StrEnum):
    """A word of the trail. One that is unknown stands for itself: a later release wrote it, or somebody who had no
    business to, and whoever reads the trail is to see it.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self:
        word = str.__new__(cls, value)
        word._name_ = word._value_ = str(value)
        return word


class Application(_Word):
    """Through which something was done."""

    WEB = "web"
    API = "api"
    ENGINE = "engine"
    ARCHIVE = "archive"
    COMMAND = "command"


class Action(_Word):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    LOGIN = "login"
    LOGOUT = "logout"
    FAILED_LOGIN = "failed login"
    CHANGE_PASSWORD = "change password"  # noqa: S105 (the name of an action)
    PLAYBACK = "playback"
    DOWNLOAD = "download"
    LIVE_MONITOR_START = "live monitor start"
    LIVE_MONITOR_END = "live monitor end"
    ASSIGN = "assign"
    DEASSIGN = "deassign"
    PAUSE = "pause"
    RESUME = "resume"
    EXPORT = "export"
    PURGE = "purge"


class Resource(_Word):
    """What kind of thing an entry is about."""

    CALLS = "calls"
    USERS = "users"
    GROUPS = "groups"
    PHONES = "phones"
    ROLES = "roles"
    TENANTS = "tenants"
    PLATFORM = "platform"
    MANAGEMENT = "management"
    PROVIDERS = "identity providers"
    SESSIONS = "sessions"
    TOKENS = "api tokens"
    MAIL = "mail"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and through what: whatever changes data takes one. `account_id` is None for a program.

    `scope` says what may be seen and changed, `grant` what may be given to others.
    """

    scope: Scope
    grant: Grant
    application: Application
    account_id: UUID | None = None
    login: str = ""
    name: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What an entry is about, besides its resource. `parent_id`: another thing on whose page it is shown, too."""

    id: UUID | str = ""
    name: str = ""
    parent_id: UUID | str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is read. `fields`: old and new value of each that was modified; `unchanged`: all others.

    `details`: values for the sentence about it. `number`: its place in the chain, None until it is sealed.
    `erased`: its data was taken out. `tenant`: the name of the tenant, empty where it is of none.
    """

    id: UUID
    tenant_id: UUID | None
    at: datetime
    initiator_id: UUID | None
    initiator_login: str
    initiator_name: str
    address: str
    application: Application
    resource: Resource
    action: Action
    about: About
    details: dict[str, str] = field(default_factory=dict)
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)
    unchanged: dict[str, str] = field(default_factory=dict)
    number: int | None = None
    erased: bool = False
    tenant: str = ""
