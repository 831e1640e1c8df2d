"""What pages of administration show and change: tenants, groups, users, phones, roles, the platform, as values.

The `...Fields` are what a form or a line of an import holds: all that people may change of one thing at once. An empty
language, time zone or recording mode is inherited.

Not here: how they are read and written (`users.py`, `groups.py`, `phones.py`, `roles_kept.py`, `tenants.py`,
`platform.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Literal, TypeVar
from uuid import UUID

from schema.roles import Grant, Role

Item = TypeVar("Item")


class RecordingMode(StrEnum):
    """What is recorded of a user's calls; the field's own names are in the portal."""

    ALWAYS = "always"
    ALWAYS_PAUSE = "always_pause"
    ON_DEMAND = "on_demand"
    ON_DEMAND_START = "on_demand_start"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Listed(Generic[Item]):
    """Some of a list, in its order; `next`: what to ask for the following ones with, None at the end."""

    items: tuple[Item, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """Something by its name, to be linked to."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Inherited:
    """What holds where one's own value is empty, and from whom: the group or tenant of that name, or the platform."""

    value: str
    source: Literal["group", "tenant", "platform", "default"]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFields:
    """`role`: a ready-made one, or the id of a copy. `manages_groups`, `manages_users`: whose calls he may see."""

    login: str
    name: str = ""
    email: str = ""
    group_id: UUID | None = None
    role: Role | UUID = Role.USER
    authentication: Literal["password", "oidc"] = "password"
    external_id: str = ""
    broadworks_user_id: str = ""
    broadworks_group_id: str = ""
    broadworks_sp_id: str = ""
    may_sign_in: bool = False
    must_change_password: bool = False
    confidential: bool = False
    recording_mode: RecordingMode | None = None
    language: str = ""
    time_zone: str = ""
    phones: tuple[str, ...] = ()
    manages_groups: tuple[UUID, ...] = ()
    manages_users: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`manages`: groups, then users; of these `managed_logins` are the logins."""

    id: UUID
    tenant: Named
    fields: UserFields
    group: Named | None
    role: Role
    role_name: str
    grant: Grant
    phones: tuple["Phone", ...]
    manages: tuple[Named, ...]
    managed_logins: tuple[str, ...]
    has_password: bool
    two_factor: bool
    disabled_at: datetime | None
    last_sign_in_at: datetime | None
    created_at: datetime
    inherited_language: Inherited
    inherited_time_zone: Inherited


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFields:
    name: str
    language: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    id: UUID
    tenant: Named
    fields: GroupFields
    users: int
    managers: tuple[Named, ...]
    disabled_at: datetime | None
    inherited_language: Inherited
    inherited_time_zone: Inherited


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneFields:
    """`line`: a number, an extension or an address of record, as the phone system writes it."""

    line: str
    user_id: UUID
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    id: UUID
    tenant: Named
    fields: PhoneFields
    user: Named
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFields:
    name: str
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRole:
    """A role to choose from. `id` and `tenant` are None for a ready-made one, whose name is `base`."""

    id: UUID | None
    base: Role
    fields: RoleFields
    users: int
    tenant: Named | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFields:
    """`colour`: `#rrggbb` or empty. `hosts`: names by which browsers reach this tenant. A limit of None is none."""

    name: str
    hosts: tuple[str, ...] = ()
    colour: str = ""
    language: str = ""
    time_zone: str = ""
    max_users: int | None = None
    max_storage_mb: int | None = None
    max_calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """`users` and `stored_bytes`: how much of the limits is used."""

    id: UUID
    fields: TenantFields
    has_logo: bool
    users: int
    stored_bytes: int
    disabled_at: datetime | None
    created_at: datetime
    inherited_language: Inherited
    inherited_time_zone: Inherited


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """What a password must be like: the fewest characters; not among the most common; not holding the login."""

    characters: int = 12
    not_common: bool = True
    not_login: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFields:
    """How mail goes out; with an empty host none does. `password` is None to keep the one that is there."""

    host: str = ""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str | None = None
    sender: str = ""
    sender_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFields:
    """`sister_platforms`: name and address of each."""

    support_contact: str = ""
    sister_platforms: tuple[tuple[str, str], ...] = ()
    language: str = ""
    time_zone: str = ""
    passwords: PasswordPolicy = PasswordPolicy()


@dataclass(frozen=True, slots=True)
class Doorway:
    """What the sign-in page shows before anybody signed in: the tenant of the host name, if it has one, and that name
    as it is kept."""

    tenant: Named | None
    host: str
    colour: str
    has_logo: bool
    language: str
    support_contact: str
    sister_platforms: tuple[tuple[str, str], ...]
