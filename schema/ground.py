"""What is there already in a tenant, as far as a change of people has to know it; and the lock under which it stays so.

A page that saves one user and an import of thousands read it the same way: all groups and roles of the tenant, and of
logins, lines and people those that are asked for.

Not here: what is decided by it (`users.py`, `groups.py`, `phones.py`, `importing.py`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from schema.checked import folded
from schema.columns import as_id
from schema.database import is_sqlite, rows
from schema.entries import By
from schema.profiles import Named
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.sight import Sight
from schema.sql import rows_in
from schema.values import Scope

# Any number: the lock that keeps two from making the same user or group, written differently.
_LOCK: Final = 0x50454F50


@dataclass(frozen=True, slots=True)
class Team:
    name: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class RoleKept:
    name: str
    base: Role
    grant: Grant


@dataclass(slots=True)
class Ground:
    """`limit`: of users, and `room`, how many more there may be; None for any number. `logins` are by what is compared;
    `teams` and `people` (names by id) are those that whoever asks may see. `freed`: lines that one of these gives up.
    """

    tenant: Named
    limit: int | None
    room: int | None
    teams: dict[UUID, Team]
    roles: dict[UUID, RoleKept]
    logins: dict[str, UUID] = field(default_factory=dict)
    lines: dict[str, UUID] = field(default_factory=dict)
    freed: set[str] = field(default_factory=set)
    people: dict[UUID, str] = field(default_factory=dict)

    def role(self, role: Role | UUID) -> RoleKept:
        """A ready-made role, or a copy that is there. Errors: Refusal (role_unknown)."""
        if isinstance(role, Role):
            return RoleKept("", role, READY_MADE[role])
        if role not in self.roles:
            raise Refusal("role_unknown", "role", role=role)
        return self.roles[role]


async def exclusively() -> None:
    """Inside a transaction: until its end nobody else decides by what is there."""
    if not is_sqlite():  # which has one writer at a time
        await rows("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def own_tenant(by: By, tenant_id: UUID | None) -> UUID:
    """The tenant in which somebody makes something: by itself his own. Errors: NotThere."""
    found = by.scope.tenant_id if tenant_id is None else tenant_id
    if found != by.scope.tenant_id and by.scope.reach is not Reach.PLATFORM:
        raise NotThere
    return found


def only_own_lines(scope: Scope, line: str, field: str) -> None:
    """For a line that nobody whom the scope reaches has: its calls so far are nobody's, for administrators alone.

    Errors: Refusal (line_beyond_you).
    """
    if scope.reach in (Reach.OWN, Reach.MANAGED):
        raise Refusal("line_beyond_you", field, line=line)


async def tenant_named(tenant_id: UUID) -> Named:
    """Errors: NotThere."""
    found = await rows("SELECT name FROM tenant WHERE id = $1", tenant_id)
    if not found:
        raise NotThere
    return Named(tenant_id, found[0]["name"])


async def ground(
    scope: Scope, tenant_id: UUID, *, logins: Iterable[str] = (), lines: Iterable[str] = (), people: Iterable[UUID] = ()
) -> Ground:
    """What is there of one tenant. Errors: NotThere."""
    tenants = await rows("SELECT name, max_users FROM tenant WHERE id = $1", tenant_id)
    if not tenants:
        raise NotThere
    return Ground(
        tenant=Named(tenant_id, tenants[0]["name"]),
        limit=tenants[0]["max_users"],
        room=await _room(tenant_id, tenants[0]["max_users"]),
        teams=await _teams(scope, tenant_id),
        roles={as_id(row["id"]): kept_role(row) for row in await _roles(tenant_id)},
        logins=await _by_login(tenant_id, {folded(clean(login)) for login in logins}),
        lines=await _by_line(tenant_id, {clean(line) for line in lines}),
        people=await people_of(scope, tenant_id, set(people)),
    )


def kept_role(row: dict[str, Any]) -> RoleKept:
    """A copied role from its row."""
    return RoleKept(row["name"], Role(row["base"]), kept_grant(row["reach"], row["permissions"]))


def kept_grant(reach: str, permissions: str) -> Grant:
    """What a copied role gives. A permission that a later version knew, and this one does not, permits nothing."""
    known = frozenset(map(str, Permission))
    return Grant(Reach(reach), frozenset(Permission(one) for one in json.loads(permissions) if one in known))


async def _room(tenant_id: UUID, limit: int | None) -> int | None:
    if limit is None:
        return None
    query = "SELECT count(*) AS users FROM account WHERE tenant_id = $1 AND disabled_at IS NULL"
    return max(0, limit - int((await rows(query, tenant_id))[0]["users"]))


async def _teams(scope: Scope, tenant_id: UUID) -> dict[UUID, Team]:
    sight = Sight(scope)
    query = f"SELECT id, name, disabled_at FROM team WHERE {sight.groups()} AND tenant_id = {sight.value(tenant_id)}"  # noqa: S608  # ours
    return {
        as_id(row["id"]): Team(row["name"], row["disabled_at"] is not None) for row in await rows(query, *sight.values)
    }


async def _roles(tenant_id: UUID) -> list[dict[str, Any]]:
    return await rows("SELECT * FROM role WHERE tenant_id = $1", tenant_id)


async def _by_login(tenant_id: UUID, keys: set[str]) -> dict[str, UUID]:
    found = await rows_in("SELECT id, tenant_id, login_key FROM account WHERE login_key IN", sorted(keys))
    return {row["login_key"]: as_id(row["id"]) for row in found if as_id(row["tenant_id"]) == tenant_id}


async def _by_line(tenant_id: UUID, lines: set[str]) -> dict[str, UUID]:
    found = await rows_in("SELECT line, tenant_id, account_id FROM phone WHERE line IN", sorted(lines))
    return {row["line"]: as_id(row["account_id"]) for row in found if as_id(row["tenant_id"]) == tenant_id}


async def people_of(scope: Scope, tenant_id: UUID, ids: set[UUID]) -> dict[UUID, str]:
    """Those of these users of a tenant whom the scope reaches, by name."""
    found: dict[UUID, str] = {}
    asked = sorted(ids)
    for start in range(0, len(asked), 5_000):
        sight = Sight(scope)
        places = ", ".join(sight.value(one) for one in asked[start : start + 5_000])
        query = (
            f"SELECT id, name, login FROM account WHERE {sight.users()} "  # noqa: S608  # ours
            f"AND tenant_id = {sight.value(tenant_id)} AND id IN ({places})"
        )
        found |= {as_id(row["id"]): row["name"] or row["login"] for row in await rows(query, *sight.values)}
    return found


def same_name(name: str, names: dict[UUID, Team]) -> UUID | None:
    """The group that has this name, in whatever letter case."""
    key = folded(name)
    return next((team_id for team_id, team in names.items() if folded(team.name) == key), None)
