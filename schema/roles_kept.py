"""Roles to choose from: the four ready-made ones, and the copies that a tenant made of them and changed.

Nobody makes or changes a role to give more than he has himself, nor one that he has.

Not here: what each permission lets one do (`roles.py`, and the portal's gate), who has which role (`users.py`).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from schema import checked
from schema.audited import changing
from schema.columns import as_id
from schema.database import lookup, rows, unit
from schema.entries import By
from schema.ground import exclusively, kept_role
from schema.models import RoleCopy
from schema.profiles import KeptRole, Named, RoleFields
from schema.refusals import NotThere, Refusal
from schema.roles import READY_MADE, Permission, Reach, Role
from schema.sight import Sight
from schema.values import Scope

# Only an operator has any use for these, and only he is shown them.
_OPERATORS: Final = frozenset({Role.OPERATOR})


@lookup
async def list_roles(scope: Scope, *, operators: bool = False) -> tuple[KeptRole, ...]:
    """The ready-made ones, from the most powerful that the scope's reach allows; then the tenant's copies, by name.

    From the platform: the copies of all tenants. `operators`: with their role, also from a tenant.
    """
    users = await _users(scope)
    ready = [role for role in Role if operators or scope.reach is Reach.PLATFORM or role not in _OPERATORS]
    made = [_ready_made(role, users) for role in ready]
    copies = [_copy(row, users) for row in await _rows(scope)]
    return (*made, *sorted(copies, key=lambda role: (checked.folded(role.fields.name), role.id)))


@lookup
async def get_role(scope: Scope, role_id: UUID) -> KeptRole | None:
    """A copy; None where there is none, or where it is another tenant's."""
    users = await _users(scope)
    return next((_copy(row, users) for row in await _rows(scope) if as_id(row["id"]) == role_id), None)


@unit
async def copy_role(by: By, source: Role | UUID, fields: RoleFields) -> KeptRole:
    """Makes a role of another one, in the tenant of that, or the own. Errors: Refusal (role_taken, beyond_you),
    NotThere; then nothing was made.
    """
    async with changing(by):
        await exclusively()
        tenant_id, base = by.scope.tenant_id, source
        if not isinstance(base, Role):
            of = await _row(by, base)
            tenant_id, base = of.tenant_id, Role(of.base)
        _within(by, fields)
        name = await _name(tenant_id, fields, None)
        row = await RoleCopy.create(
            tenant_id=tenant_id,
            name=name,
            base=str(base),
            reach=str(fields.grant.reach),
            permissions=_kept(fields.grant.permissions),
            created_at=datetime.now(UTC),
        )
        return await _reread(by, row.pk)


@unit
async def update_role(by: By, role_id: UUID, fields: RoleFields) -> KeptRole:
    """Takes effect at once for all who have it. Errors: Refusal (role_taken, beyond_you, yourself), NotThere; then
    nothing was changed.
    """
    async with changing(by):
        await exclusively()
        row = await _row(by, role_id)
        old = _fields(row)
        if not by.grant.covers(old.grant):
            raise Refusal("beyond_you")
        _within(by, fields)
        if not fields.grant.covers(old.grant) and await _has(by.account_id, role_id):
            raise Refusal("yourself")
        row.name = await _name(row.tenant_id, fields, role_id)
        row.reach, row.permissions = str(fields.grant.reach), _kept(fields.grant.permissions)
        await row.save()
        return await _reread(by, role_id)


@unit
async def delete_role(by: By, role_id: UUID) -> None:
    """Errors: Refusal (role_in_use, beyond_you), NotThere."""
    async with changing(by):
        await exclusively()
        row = await _row(by, role_id)
        _within(by, _fields(row))
        if await rows("SELECT 1 AS one FROM account WHERE role_copy_id = $1 LIMIT 1", role_id):
            raise Refusal("role_in_use", role=row.name)
        await row.delete()


def _ready_made(role: Role, users: Mapping[UUID | Role, int]) -> KeptRole:
    return KeptRole(
        id=None, base=role, fields=RoleFields(name=str(role), grant=READY_MADE[role]), users=users.get(role, 0)
    )


def _copy(row: Mapping[str, Any], users: Mapping[UUID | Role, int]) -> KeptRole:
    kept, role_id = kept_role(dict(row)), as_id(row["id"])
    fields = RoleFields(name=kept.name, grant=kept.grant)
    tenant = Named(as_id(row["tenant_id"]), row["tenant_name"])
    return KeptRole(id=role_id, base=kept.base, fields=fields, users=users.get(role_id, 0), tenant=tenant)


async def _rows(scope: Scope) -> list[dict[str, Any]]:
    query = "SELECT role.*, tenant.name AS tenant_name FROM role JOIN tenant ON tenant.id = role.tenant_id"
    if scope.reach is Reach.PLATFORM:
        return await rows(query)
    return await rows(f"{query} WHERE role.tenant_id = $1", scope.tenant_id)


async def _users(scope: Scope) -> dict[UUID | Role, int]:
    """How many users that the scope reaches have each role."""
    sight = Sight(scope)
    query = (
        f"SELECT role, role_copy_id, count(*) AS users FROM account WHERE {sight.users()} GROUP BY role, role_copy_id"  # noqa: S608  # ours
    )
    found: dict[UUID | Role, int] = {}
    for row in await rows(query, *sight.values):
        found[Role(row["role"]) if row["role_copy_id"] is None else as_id(row["role_copy_id"])] = row["users"]
    return found


async def _row(by: By, role_id: UUID) -> RoleCopy:
    found = await RoleCopy.select_for_update().get_or_none(id=role_id)
    if found is None or (by.scope.reach is not Reach.PLATFORM and found.tenant_id != by.scope.tenant_id):
        raise NotThere
    return found


def _fields(row: RoleCopy) -> RoleFields:
    kept = kept_role({"name": row.name, "base": row.base, "reach": row.reach, "permissions": row.permissions})
    return RoleFields(name=kept.name, grant=kept.grant)


async def _name(tenant_id: UUID, fields: RoleFields, role_id: UUID | None) -> str:
    name = checked.text(fields.name, "name")
    key = checked.folded(name)
    there = [(as_id(row["id"]), row["name"]) for row in await _rows_of(tenant_id)]
    if key in set(map(str, Role)) or any(checked.folded(other) == key and one != role_id for one, other in there):
        raise Refusal("role_taken", "name", role=name)
    return name


async def _rows_of(tenant_id: UUID) -> list[dict[str, Any]]:
    return await rows("SELECT id, name FROM role WHERE tenant_id = $1", tenant_id)


def _within(by: By, fields: RoleFields) -> None:
    if by.scope.reach in (Reach.OWN, Reach.MANAGED) or not by.grant.covers(fields.grant):
        raise Refusal("beyond_you", "permissions")


async def _has(account_id: UUID | None, role_id: UUID) -> bool:
    query = "SELECT 1 AS one FROM account WHERE id = $1 AND role_copy_id = $2"
    return account_id is not None and bool(await rows(query, account_id, role_id))


def _kept(permissions: frozenset[Permission]) -> str:
    return json.dumps(sorted(map(str, permissions)))


async def _reread(by: By, role_id: UUID) -> KeptRole:
    found = await get_role(by.scope, role_id)
    if found is None:
        raise NotThere
    return found
