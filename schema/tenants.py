# ruff: noqa: S608  # The texts are made of this house's own words; every value is a parameter.
"""Tenants: for operators lists and changes, for administrators how theirs looks and speaks, for strangers its doorway.

A tenant has its own users, groups, phones, roles and calls. It is found by the host name that a browser asks for, or
chosen at sign-in.

Not here: what keeps tenants apart (`sight.py`, `scoped.py`), and enforcing limits but that of users (`users.py`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from schema import checked
from schema.audited import changing
from schema.columns import as_id, as_moment
from schema.database import lookup, reading, rows, unit
from schema.entries import By
from schema.ground import exclusively
from schema.inheritance import FROM_PLATFORM, for_tenants
from schema.models import Tenant as TenantRow
from schema.profiles import Doorway, Listed, Named, Tenant, TenantFields
from schema.refusals import NotThere, Refusal
from schema.roles import Reach
from schema.roster import STATUSES, Status, moment_or_none
from schema.sight import Sight, cursor_of
from schema.values import DEFAULT_TENANT, Scope

MOST_LOGO_KB: Final = 256
_KB: Final = 1024
# How pictures begin: PNG (RFC 2083 section 3.1), JPEG (ISO/IEC 10918-1, SOI and a marker), WebP (RFC 9649 section 2.4).
_PICTURES: Final = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}
_TENANTS: Final = (
    "SELECT tenant.id, tenant.name, name_key, hosts, colour, logo IS NOT NULL AS has_logo, tenant.language, "
    "tenant.time_zone, max_users, max_storage_mb, max_calls, created_at, disabled_at, "
    f"{FROM_PLATFORM} FROM tenant CROSS JOIN platform"
)


@reading
async def list_tenants(
    scope: Scope, *, text: str = "", status: Status = "active", limit: int = 50, cursor: str | None = None
) -> Listed[Tenant]:
    """Those that the scope reaches, by name. `text`: in the name or a host name.

    Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    sight = Sight(scope)
    conditions = [sight.tenants(), "TRUE" if status == "all" else f"tenant.{STATUSES[status]}"]
    if text.strip():
        conditions.append(f"({sight.holds('tenant.name_key', text)} OR {sight.holds('tenant.hosts', text)})")
    conditions += sight.after("tenant.name_key", "tenant.id", cursor)
    order = f"ORDER BY tenant.name_key, tenant.id LIMIT {sight.value(limit + 1)}"
    found = await rows(f"{_TENANTS} WHERE {' AND '.join(conditions)} {order}", *sight.values)
    more = found[limit - 1] if len(found) > limit else None
    return Listed(
        await _tenants(scope, found[:limit]), None if more is None else cursor_of(more["name_key"], as_id(more["id"]))
    )


@reading
async def get_tenant(scope: Scope, tenant_id: UUID) -> Tenant | None:
    """A tenant; None where there is none, or where the scope does not reach it."""
    sight = Sight(scope)
    found = await rows(f"{_TENANTS} WHERE {sight.tenants()} AND tenant.id = {sight.value(tenant_id)}", *sight.values)
    tenants = await _tenants(scope, found)
    return tenants[0] if tenants else None


@lookup
async def tenant_names(scope: Scope, limit: int) -> tuple[Named, ...]:
    """Those that the scope reaches and that are not disabled, by name: to choose from."""
    sight = Sight(scope)
    where = f"WHERE {sight.tenants()} AND disabled_at IS NULL ORDER BY name_key LIMIT {sight.value(limit)}"
    found = await rows(f"SELECT id, name FROM tenant {where}", *sight.values)
    return tuple(Named(as_id(row["id"]), row["name"]) for row in found)


@lookup
async def tenant_of_host(host: str) -> Named | None:
    """The tenant that has this host name (a port behind it does not matter), disabled or not."""
    found = await _of_host(host)
    return None if found is None else Named(as_id(found["id"]), found["name"])


@lookup
async def doorway(host: str) -> Doorway:
    """What the sign-in page shows at this host name."""
    platform = (await rows("SELECT * FROM platform"))[0]
    found = await _of_host(host)
    tenant = None if found is None else Named(as_id(found["id"]), found["name"])
    return Doorway(
        tenant=tenant,
        host="" if found is None else found["host"],
        colour="" if found is None else found["colour"],
        has_logo=found is not None and bool(found["has_logo"]),
        language=(found["language"] if found is not None else "") or platform["language"],
        support_contact=platform["support_contact"],
        sister_platforms=tuple((name, address) for name, address in json.loads(platform["sister_platforms"])),
    )


@lookup
async def logo(tenant_id: UUID) -> tuple[bytes, str] | None:
    """A tenant's logo and its media type."""
    found = await rows("SELECT logo, logo_type FROM tenant WHERE id = $1 AND logo IS NOT NULL", tenant_id)
    return (bytes(found[0]["logo"]), found[0]["logo_type"]) if found else None


@unit
async def create_tenant(by: By, fields: TenantFields) -> Tenant:
    """Errors: Refusal, NotThere (only operators make tenants); then nothing was made."""
    _only_operators(by)
    async with changing(by):
        await exclusively()
        row = await TenantRow.create(created_at=datetime.now(UTC), **await _columns(fields, None))
    return await _reread(row.pk)


@unit
async def update_tenant(by: By, tenant_id: UUID, fields: TenantFields) -> Tenant:
    """A limit below what there is takes nothing away. Errors: Refusal, NotThere; then nothing was changed."""
    _only_operators(by)
    async with changing(by):
        await exclusively()
        row = await _row(tenant_id)
        for column, value in (await _columns(fields, tenant_id)).items():
            setattr(row, column, value)
        await row.save()
    return await _reread(tenant_id)


@unit
async def disable_tenant(by: By, tenant_id: UUID) -> Tenant:
    """Nobody of it can sign in, and whoever is signed in is so no more; calls go on being recorded.

    Errors: Refusal (tenant_needed, yourself), NotThere.
    """
    _only_operators(by)
    async with changing(by):
        row = await _row(tenant_id)
        if tenant_id == DEFAULT_TENANT:
            raise Refusal("tenant_needed")
        if await rows("SELECT 1 AS one FROM account WHERE id = $1 AND tenant_id = $2", by.account_id, tenant_id):
            raise Refusal("yourself")
        if row.disabled_at is None:
            row.disabled_at = datetime.now(UTC)
            await row.save()
            await rows("DELETE FROM web_session WHERE tenant_id = $1", tenant_id)
            links = "SELECT id FROM account WHERE tenant_id = $1"
            await rows(f"DELETE FROM access_link WHERE account_id IN ({links})", tenant_id)
    return await _reread(tenant_id)


@unit
async def enable_tenant(by: By, tenant_id: UUID) -> Tenant:
    """Errors: NotThere."""
    _only_operators(by)
    async with changing(by):
        row = await _row(tenant_id)
        if row.disabled_at is not None:
            row.disabled_at = None
            await row.save()
    return await _reread(tenant_id)


@unit
async def set_appearance(by: By, tenant_id: UUID, name: str, colour: str) -> None:
    """Errors: Refusal, NotThere; then nothing was changed."""
    async with changing(by):
        await exclusively()
        row = await _own(by, tenant_id)
        row.name, row.name_key = await _name(name, tenant_id)
        row.colour = checked.colour(colour)
        await row.save()


@unit
async def set_logo(by: By, tenant_id: UUID, picture: bytes | None, media_type: str = "") -> None:
    """A PNG, JPEG or WebP picture; None takes it away. Errors: Refusal (logo_refused), NotThere."""
    async with changing(by):
        row = await _own(by, tenant_id)
        begins = _PICTURES.get(media_type)
        if picture is not None and (
            begins is None or not picture.startswith(begins) or len(picture) > MOST_LOGO_KB * _KB
        ):
            raise Refusal("logo_refused", "logo", most=MOST_LOGO_KB)
        row.logo, row.logo_type = picture, "" if picture is None else media_type
        await row.save()


@unit
async def set_tenant_language(by: By, tenant_id: UUID, language: str, time_zone: str) -> None:
    """Empty: inherited. Errors: Refusal (language_unknown, zone_unknown), NotThere."""
    async with changing(by):
        row = await _own(by, tenant_id)
        row.language, row.time_zone = checked.language(language), checked.time_zone(time_zone)
        await row.save()


def _only_operators(by: By) -> None:
    # The grant, not the scope: an operator who looks at one tenant alone is still one.
    if by.grant.reach is not Reach.PLATFORM:
        raise NotThere


async def _row(tenant_id: UUID) -> TenantRow:
    found = await TenantRow.select_for_update().get_or_none(id=tenant_id)
    if found is None:
        raise NotThere
    return found


async def _own(by: By, tenant_id: UUID) -> TenantRow:
    """The tenant, for who reaches all of it."""
    if by.scope.reach in (Reach.OWN, Reach.MANAGED):
        raise Refusal("beyond_you")
    if by.scope.reach is Reach.TENANT and by.scope.tenant_id != tenant_id:
        raise NotThere
    return await _row(tenant_id)


async def _columns(fields: TenantFields, tenant_id: UUID | None) -> dict[str, Any]:
    name, key = await _name(fields.name, tenant_id)
    return {
        "name": name,
        "name_key": key,
        "hosts": json.dumps(await _hosts(fields.hosts, tenant_id)),
        "colour": checked.colour(fields.colour),
        "language": checked.language(fields.language),
        "time_zone": checked.time_zone(fields.time_zone),
        "max_users": checked.limit(fields.max_users, "max_users"),
        "max_storage_mb": checked.limit(fields.max_storage_mb, "max_storage_mb"),
        "max_calls": checked.limit(fields.max_calls, "max_calls"),
    }


async def _name(given: str, tenant_id: UUID | None) -> tuple[str, str]:
    """The name, and the key by which it is compared."""
    name = checked.tenant_name(given)
    key = checked.folded(name)
    for row in await rows("SELECT id, name FROM tenant WHERE name_key = $1", key):
        if as_id(row["id"]) != tenant_id:
            raise Refusal("tenant_taken", "name", tenant=row["name"])
    return name, key


async def _hosts(given: Sequence[str], tenant_id: UUID | None) -> list[str]:
    hosts = list(dict.fromkeys(checked.host(host) for host in given))
    for host in hosts:
        owner = await _of_host(host)
        if owner is not None and as_id(owner["id"]) != tenant_id:
            raise Refusal("host_taken", "hosts", host=host)
    return hosts


async def _of_host(host: str) -> dict[str, Any] | None:
    try:
        name = checked.host(host.partition(":")[0])
    except Refusal:
        return None
    query = "SELECT id, name, hosts, colour, language, logo IS NOT NULL AS has_logo FROM tenant WHERE hosts LIKE $1"
    found = await rows(query, f'%"{name}"%')
    return next(({**row, "host": one} for row in found for one in json.loads(row["hosts"]) if one == name), None)


async def _reread(tenant_id: UUID) -> Tenant:
    # What was changed is told to whoever changed it, whichever tenant he looks at.
    found = await get_tenant(Scope(tenant_id, tenant_id, Reach.TENANT, confidential=True), tenant_id)
    if found is None:
        raise NotThere
    return found


async def _tenants(scope: Scope, found: Sequence[dict[str, Any]]) -> tuple[Tenant, ...]:
    ids = [as_id(row["id"]) for row in found]
    users = await _sums("count(*) AS sum FROM account WHERE disabled_at IS NULL AND", ids)
    # A sum over all recordings, for those who bill: administrators' pages do without.
    stored = await _sums("sum(bytes) AS sum FROM recording WHERE", ids if scope.reach is Reach.PLATFORM else [])
    return tuple(
        Tenant(
            id=one,
            fields=TenantFields(
                name=row["name"],
                hosts=tuple(json.loads(row["hosts"])),
                colour=row["colour"],
                language=row["language"],
                time_zone=row["time_zone"],
                max_users=row["max_users"],
                max_storage_mb=row["max_storage_mb"],
                max_calls=row["max_calls"],
            ),
            has_logo=bool(row["has_logo"]),
            users=users.get(one, 0),
            stored_bytes=stored.get(one, 0),
            disabled_at=moment_or_none(row["disabled_at"]),
            created_at=as_moment(row["created_at"]),
            inherited_language=for_tenants(row, "language"),
            inherited_time_zone=for_tenants(row, "time_zone"),
        )
        for row, one in zip(found, ids, strict=True)
    )


async def _sums(query: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    if not ids:
        return {}
    places = ", ".join(f"${place}" for place in range(1, len(ids) + 1))
    found = await rows(f"SELECT tenant_id, {query} tenant_id IN ({places}) GROUP BY tenant_id", *ids)
    return {as_id(row["tenant_id"]): int(row["sum"]) for row in found}
