# ruff: noqa: S608  # The texts are made of this house's own words; every value is a parameter.
"""Groups of users: lists, one of them, and changes. Only who reaches the whole tenant changes them.

Not here: who is in a group and who manages it (`users.py`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from schema import checked
from schema.audited import changing
from schema.columns import as_id
from schema.database import lookup, reading, rows, unit
from schema.entries import By
from schema.ground import exclusively, own_tenant, tenant_named
from schema.inheritance import FROM_PLATFORM, FROM_TENANT, for_groups
from schema.models import Management, Team
from schema.profiles import Group, GroupFields, Listed, Named
from schema.refusals import NotThere, Refusal
from schema.roles import Reach
from schema.roster import CALLED, STATUSES, Status, moment_or_none
from schema.sight import Sight, cursor_of
from schema.values import Scope

_GROUPS: Final = (
    f"SELECT team.*, tenant.name AS tenant_name, {FROM_TENANT}, {FROM_PLATFORM} FROM team "
    "JOIN tenant ON tenant.id = team.tenant_id CROSS JOIN platform"
)


@reading
async def list_groups(
    scope: Scope, *, text: str = "", status: Status = "active", limit: int = 50, cursor: str | None = None
) -> Listed[Group]:
    """Those that the scope reaches, by name. `text`: in the name.

    Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    sight = Sight(scope)
    conditions = [sight.groups(), "TRUE" if status == "all" else f"team.{STATUSES[status]}"]
    if text.strip():
        conditions.append(sight.holds("team.name_key", text))
    conditions += sight.after("team.name_key", "team.id", cursor)
    order = f"ORDER BY team.name_key, team.id LIMIT {sight.value(limit + 1)}"
    found = await rows(f"{_GROUPS} WHERE {' AND '.join(conditions)} {order}", *sight.values)
    more = found[limit - 1] if len(found) > limit else None
    return Listed(
        await _groups(scope, found[:limit]), None if more is None else cursor_of(more["name_key"], as_id(more["id"]))
    )


@lookup
async def get_group(scope: Scope, group_id: UUID) -> Group | None:
    """A group; None where there is none, or where the scope does not reach it."""
    sight = Sight(scope)
    found = await rows(f"{_GROUPS} WHERE {sight.groups()} AND team.id = {sight.value(group_id)}", *sight.values)
    groups = await _groups(scope, found)
    return groups[0] if groups else None


@unit
async def create_group(by: By, fields: GroupFields, tenant_id: UUID | None = None) -> Group:
    """Errors: Refusal, NotThere (of the tenant); then nothing was made."""
    owner = await own_tenant(by, tenant_id)
    async with changing(by):
        await exclusively()
        only_of_all(by)
        columns = await _columns(await tenant_named(owner), fields, None)
        row = await Team.create(tenant_id=owner, **columns)
        return await _reread(by, row.pk)


@unit
async def update_group(by: By, group_id: UUID, fields: GroupFields) -> Group:
    """Errors: Refusal, NotThere; then nothing was changed."""
    async with changing(by):
        await exclusively()
        old, row = await _kept(by, group_id)
        for column, value in (await _columns(old.tenant, fields, group_id)).items():
            setattr(row, column, value)
        await row.save()
        return await _reread(by, group_id)


@unit
async def set_group_language(by: By, group_id: UUID, language: str, time_zone: str) -> Group:
    """Empty: inherited. Errors: Refusal (language_unknown, zone_unknown), NotThere."""
    async with changing(by):
        _, row = await _kept(by, group_id)
        row.language, row.time_zone = checked.language(language), checked.time_zone(time_zone)
        await row.save()
        return await _reread(by, group_id)


@unit
async def disable_group(by: By, group_id: UUID) -> Group:
    """Who is in it stays there, nobody comes in. Errors: Refusal (beyond_you), NotThere."""
    return await _set_disabled(by, group_id, datetime.now(UTC))


@unit
async def enable_group(by: By, group_id: UUID) -> Group:
    """Errors: Refusal (beyond_you), NotThere."""
    return await _set_disabled(by, group_id, None)


@unit
async def delete_group(by: By, group_id: UUID) -> None:
    """Nobody manages it any more, either. Errors: Refusal (group_in_use, beyond_you), NotThere."""
    async with changing(by):
        await exclusively()
        old, row = await _kept(by, group_id)
        if await rows("SELECT 1 AS one FROM account WHERE team_id = $1 LIMIT 1", group_id):
            raise Refusal("group_in_use", group=old.fields.name)
        for each in await Management.filter(team_id=group_id).select_related("manager", "team", "account"):
            await each.delete()
        await row.delete()


async def _set_disabled(by: By, group_id: UUID, at: datetime | None) -> Group:
    async with changing(by):
        await exclusively()
        old, row = await _kept(by, group_id)
        if (old.disabled_at is None) != (at is None):
            row.disabled_at = at
            await row.save()
        return await _reread(by, group_id)


async def _kept(by: By, group_id: UUID) -> tuple[Group, Team]:
    """The group as it is, to be changed."""
    old = await _reread(by, group_id)
    only_of_all(by)
    return old, await Team.select_for_update().get(id=group_id)


def only_of_all(by: By) -> None:
    """Errors: Refusal (beyond_you), for who does not reach a whole tenant."""
    if by.scope.reach in (Reach.OWN, Reach.MANAGED):
        raise Refusal("beyond_you")


def columns_of(fields: GroupFields) -> dict[str, Any]:
    """A group's columns. Errors: Refusal, where a text cannot be meant."""
    name = checked.text(fields.name, "name")
    return {
        "name": name,
        "name_key": checked.folded(name),
        "language": checked.language(fields.language),
        "time_zone": checked.time_zone(fields.time_zone),
    }


async def _columns(tenant: Named, fields: GroupFields, group_id: UUID | None) -> dict[str, Any]:
    columns = columns_of(fields)
    query = "SELECT id, name FROM team WHERE tenant_id = $1 AND name_key = $2"
    for row in await rows(query, tenant.id, columns["name_key"]):
        if as_id(row["id"]) != group_id:
            raise Refusal("group_taken", "name", group=row["name"], tenant=tenant.name)
    return columns


async def _reread(by: By, group_id: UUID) -> Group:
    found = await get_group(by.scope, group_id)
    if found is None:
        raise NotThere
    return found


async def _groups(scope: Scope, found: Sequence[dict[str, Any]]) -> tuple[Group, ...]:
    ids = [as_id(row["id"]) for row in found]
    users, managers = await _counts(scope, ids), await _managers(scope, ids)
    return tuple(
        Group(
            id=one,
            tenant=Named(as_id(row["tenant_id"]), row["tenant_name"]),
            fields=GroupFields(name=row["name"], language=row["language"], time_zone=row["time_zone"]),
            users=users.get(one, 0),
            managers=tuple(managers[one]),
            disabled_at=moment_or_none(row["disabled_at"]),
            inherited_language=for_groups(row, "language"),
            inherited_time_zone=for_groups(row, "time_zone"),
        )
        for row, one in zip(found, ids, strict=True)
    )


async def _counts(scope: Scope, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many users that the scope reaches are in each."""
    if not ids:
        return {}
    sight = Sight(scope)
    places = ", ".join(sight.value(one) for one in ids)
    query = (
        f"SELECT team_id, count(*) AS users FROM account WHERE {sight.users()} AND team_id IN ({places}) "
        "GROUP BY team_id"
    )
    return {as_id(row["team_id"]): row["users"] for row in await rows(query, *sight.values)}


async def _managers(scope: Scope, ids: Sequence[UUID]) -> dict[UUID, list[Named]]:
    managers: dict[UUID, list[Named]] = {one: [] for one in ids}
    if not ids:
        return managers
    sight = Sight(scope)
    places = ", ".join(sight.value(one) for one in ids)
    query = (
        f"SELECT management.team_id AS managed, account.id, {CALLED} AS called FROM management "
        f"JOIN account ON account.id = management.manager_id WHERE {sight.users()} "
        f"AND management.team_id IN ({places}) ORDER BY account.name_key, account.id"
    )
    for row in await rows(query, *sight.values):
        managers[as_id(row["managed"])].append(Named(as_id(row["id"]), row["called"]))
    return managers
