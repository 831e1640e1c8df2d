"""Calls that were nobody's become somebody's: those that were recorded before their phone had a user.

Finished calls only: one that runs finds its owner when the next thing is told of it. What goes on meanwhile waits for
some hundred calls at most, not for all of them.

Not here: what decides whose a call is (`clerk.py` keeps to it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema.calls import get_calls
from schema.clerk import default_tenant, store, users_of_lines
from schema.columns import as_id, as_moment, new_id
from schema.database import rows, transaction, unit
from schema.roles import Reach
from schema.sql import rows_in
from schema.values import CallRecord, PartyRecord, Scope, lines_of_party

_ROWS_AT_A_TIME: Final = 5_000
_CALLS_AT_A_TIME: Final = 500
# By line, the tenant and the user.
Owners = Mapping[str, tuple[UUID, UUID]]
_NEWEST_FIRST: Final = "ORDER BY started_at DESC, id DESC"


async def claim_calls(tenant_id: UUID, user_id: UUID) -> int:
    """Gives a user the finished calls of his lines that are nobody's, and returns how many these are.

    Errors: DatabaseAway; what he was given until then stays his.
    """
    return await claim_calls_of([(tenant_id, user_id)])


async def claim_calls_of(users: Sequence[tuple[UUID, UUID]]) -> int:
    """The same for many users, each with his tenant: all calls that are nobody's are looked through once."""
    lines = await _lines(users)
    claimed = 0
    after: tuple[datetime, UUID] | None = None
    while lines:
        calls, after = await _nobodys(lines, after)
        for start in range(0, len(calls), _CALLS_AT_A_TIME):
            claimed += await _claim(calls[start : start + _CALLS_AT_A_TIME], lines)
        if after is None:
            break
    return claimed


@unit
async def _lines(users: Sequence[tuple[UUID, UUID]]) -> Owners:
    """Their lines, without those that another tenant has, too: they could be either's."""
    found = await rows_in("SELECT line FROM phone WHERE account_id IN", [user_id for _, user_id in users])
    owners = await users_of_lines([row["line"] for row in found])
    asked = set(users)
    return {line: owner for line, owner in owners.items() if owner in asked}


@unit
async def _nobodys(
    lines: Owners, after: tuple[datetime, UUID] | None
) -> tuple[list[UUID], tuple[datetime, UUID] | None]:
    """Of the next calls that are nobody's, those of these lines; and where to go on, None at the end."""
    where, values = "", list[Any]([await default_tenant()])
    if after is not None:
        where = " AND (started_at, id) < ($2, $3)"
        values += after
    query = (
        "SELECT id, started_at, caller_number, caller_phone_id, callee_number, callee_phone_id "  # noqa: S608  # ours
        "FROM \"call\" WHERE tenant_id = $1 AND phase = 'finished' AND caller_user_id IS NULL "
        f"AND callee_user_id IS NULL{where} {_NEWEST_FIRST} LIMIT {_ROWS_AT_A_TIME}"
    )
    found = await rows(query, *values)
    calls = [
        as_id(row["id"])
        for row in found
        if any(_owner(lines, row[f"{side}_number"], row[f"{side}_phone_id"]) for side in ("caller", "callee"))
    ]
    if len(found) < _ROWS_AT_A_TIME:
        return calls, None
    return calls, (as_moment(found[-1]["started_at"]), as_id(found[-1]["id"]))


@unit
async def _claim(calls: list[UUID], lines: Owners) -> int:
    async with transaction():
        everything = Scope(await default_tenant(), new_id(), Reach.TENANT, confidential=True)
        views = await get_calls(everything, calls, silent_nodes=())
        found = [view.record for view in views.values()]
        free = [record for record in found if record.caller.user_id is None and record.callee.user_id is None]
        await store([_claimed(record, lines) for record in free], final=True)
    return len(free)


def _claimed(record: CallRecord, lines: Owners) -> CallRecord:
    """The call as its users'; where these are of two tenants, as the caller's."""
    caller, callee = (_owner(lines, party.number, party.phone_id) for party in (record.caller, record.callee))
    tenant_id = (caller or callee or (record.tenant_id,))[0]
    return replace(
        record,
        tenant_id=tenant_id,
        caller=_party(record.caller, caller, tenant_id),
        callee=_party(record.callee, callee, tenant_id),
    )


def _party(one: PartyRecord, owner: tuple[UUID, UUID] | None, tenant_id: UUID) -> PartyRecord:
    return one if owner is None or owner[0] != tenant_id else replace(one, user_id=owner[1])


def _owner(lines: Owners, number: str, aor: str) -> tuple[UUID, UUID] | None:
    return next((lines[line] for line in lines_of_party(number, aor) if line in lines), None)
