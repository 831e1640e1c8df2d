# ruff: noqa: S608  # The texts are made of this house's own words; every value is a parameter.
"""Phones: the lines by which calls are somebody's. New calls of a disabled one are nobody's.

Not here: a user's phones all at once (`users.py`), calls that were recorded before somebody had them (`claims.py`).
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
from schema.ground import exclusively, only_own_lines, own_tenant, people_of, tenant_named
from schema.models import Phone as PhoneRow
from schema.profiles import Listed, Named, Phone, PhoneFields
from schema.refusals import NotThere, Refusal
from schema.roster import CALLED, STATUSES, Status, a_phone
from schema.sight import Sight, cursor_of
from schema.sql import batches
from schema.values import Scope

_LINES_AT_A_TIME: Final = 5_000
_PHONES: Final = (
    f"SELECT phone.*, tenant.name AS tenant_name, {CALLED} AS called FROM phone "
    "JOIN tenant ON tenant.id = phone.tenant_id JOIN account ON account.id = phone.account_id"
)


@reading
async def list_phones(
    scope: Scope, *, text: str = "", status: Status = "active", limit: int = 50, cursor: str | None = None
) -> Listed[Phone]:
    """Those of users whom the scope reaches, by line. `text`: in the line, its name, or what users are searched in.

    Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    sight = Sight(scope)
    conditions = [sight.phones(), "TRUE" if status == "all" else f"phone.{STATUSES[status]}"]
    if text.strip():
        conditions.append(f"({sight.holds('phone.search', text)} OR {sight.holds('account.search', text)})")
    conditions += sight.after("phone.line", "phone.id", cursor)
    order = f"ORDER BY phone.line, phone.id LIMIT {sight.value(limit + 1)}"
    found = await rows(f"{_PHONES} WHERE {' AND '.join(conditions)} {order}", *sight.values)
    more = found[limit - 1] if len(found) > limit else None
    return Listed(
        tuple(map(_phone, found[:limit])), None if more is None else cursor_of(more["line"], as_id(more["id"]))
    )


@lookup
async def get_phone(scope: Scope, phone_id: UUID) -> Phone | None:
    """A phone; None where there is none, or where the scope does not reach its user."""
    sight = Sight(scope)
    found = await rows(f"{_PHONES} WHERE {sight.users()} AND phone.id = {sight.value(phone_id)}", *sight.values)
    return _phone(found[0]) if found else None


@unit
async def create_phone(by: By, fields: PhoneFields, tenant_id: UUID | None = None) -> Phone:
    """Errors: Refusal, NotThere (of the tenant); then nothing was made."""
    owner = await own_tenant(by, tenant_id)
    async with changing(by):
        await exclusively()
        columns = await _columns(by, await tenant_named(owner), fields, None)
        row = await PhoneRow.create(tenant_id=owner, **columns)
        return await _reread(by, row.pk)


@unit
async def update_phone(by: By, phone_id: UUID, fields: PhoneFields) -> Phone:
    """Errors: Refusal, NotThere; then nothing was changed."""
    async with changing(by):
        await exclusively()
        old, row = await _kept(by, phone_id)
        for column, value in (await _columns(by, old.tenant, fields, old)).items():
            setattr(row, column, value)
        await row.save()
        return await _reread(by, phone_id)


@unit
async def disable_phone(by: By, phone_id: UUID) -> Phone:
    """Calls that were recorded stay whose they are. Errors: NotThere."""
    return await _set_disabled(by, phone_id, datetime.now(UTC))


@unit
async def enable_phone(by: By, phone_id: UUID) -> Phone:
    """Errors: NotThere."""
    return await _set_disabled(by, phone_id, None)


@unit
async def delete_phone(by: By, phone_id: UUID) -> None:
    """Calls that were recorded stay whose they are. Errors: NotThere."""
    async with changing(by):
        await exclusively()
        await (await _kept(by, phone_id))[1].delete()


async def _set_disabled(by: By, phone_id: UUID, at: datetime | None) -> Phone:
    async with changing(by):
        await exclusively()
        old, row = await _kept(by, phone_id)
        if (old.disabled_at is None) != (at is None):
            row.disabled_at = at
            await row.save()
        return await _reread(by, phone_id)


async def _kept(by: By, phone_id: UUID) -> tuple[Phone, PhoneRow]:
    """The phone as it is, to be changed."""
    old = await _reread(by, phone_id)
    return old, await PhoneRow.select_for_update().get(id=phone_id)


def columns_of(fields: PhoneFields) -> dict[str, Any]:
    """A phone's columns. Errors: Refusal, where a text cannot be meant."""
    line, name = checked.text(fields.line, "line"), checked.text_or_none(fields.name, "name")
    return {
        "line": line,
        "name": name,
        "search": checked.searched((line, name)),
        "account_id": fields.user_id,
    }


async def phones_by_line(scope: Scope, tenant_id: UUID, lines: Sequence[str]) -> dict[str, Phone]:
    """Inside a unit: those of these lines of a tenant that the scope reaches."""
    found: dict[str, Phone] = {}
    for some in batches(lines, _LINES_AT_A_TIME):
        sight = Sight(scope)
        places = ", ".join(sight.value(line) for line in some)
        where = f"{sight.users()} AND phone.tenant_id = {sight.value(tenant_id)} AND phone.line IN ({places})"
        found |= {row["line"]: _phone(row) for row in await rows(f"{_PHONES} WHERE {where}", *sight.values)}
    return found


async def _columns(by: By, tenant: Named, fields: PhoneFields, phone: Phone | None) -> dict[str, Any]:
    columns = columns_of(fields)
    if phone is None or columns["line"] != phone.fields.line:
        only_own_lines(by.scope, columns["line"], "line")
    for row in await rows("SELECT id FROM phone WHERE tenant_id = $1 AND line = $2", tenant.id, columns["line"]):
        if phone is None or as_id(row["id"]) != phone.id:
            raise Refusal("phone_there", "line", line=columns["line"], tenant=tenant.name)
    if not await people_of(by.scope, tenant.id, {fields.user_id}):
        raise Refusal("user_unknown", "user_id", login=fields.user_id, tenant=tenant.name)
    return columns


async def _reread(by: By, phone_id: UUID) -> Phone:
    found = await get_phone(by.scope, phone_id)
    if found is None:
        raise NotThere
    return found


def _phone(row: dict[str, Any]) -> Phone:
    return a_phone(
        row, Named(as_id(row["tenant_id"]), row["tenant_name"]), Named(as_id(row["account_id"]), row["called"])
    )
