"""Calls that were nobody's become somebody's: those that were recorded before their phone had a user.

Finished calls only: one that runs finds its owner when the next thing is told of it. What goes on meanwhile waits for
some hundred calls at most, not for all of them.

Not here: what decides whose a call is (`clerk.py` keeps to it).
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema.calls import get_calls
from schema.clerk import default_tenant, store, users_of_lines
from schema.columns import as_id, as_moment, new_id
from schema.database import rows, transaction, unit
from schema.roles import Reach
from schema.values import CallRecord, PartyRecord, Scope, lines_of_party

_ROWS_AT_A_TIME: Final = 5_000
_CALLS_AT_A_TIME: Final = 500
_NEWEST_FIRST: Final = "ORDER BY started_at DESC, id DESC"


async def claim_calls(tenant_id: UUID, user_id: UUID) -> int:
    """Gives a user the finished calls of his lines that are nobody's, and returns how many these are.

    Errors: DatabaseAway; what he was given until then stays his.
    """
    lines = await _lines(tenant_id, user_id)
    claimed = 0
    after: tuple[datetime, UUID] | None = None
    while lines:
        calls, after = await _nobodys(lines, after)
        for start in range(0, len(calls), _CALLS_AT_A_TIME):
            claimed += await _claim(calls[start : start + _CALLS_AT_A_TIME], lines, tenant_id, user_id)
        if after is None:
            break
    return claimed


@unit
async def _lines(tenant_id: UUID, user_id: UUID) -> frozenset[str]:
    """His lines, without those that another tenant has, too: they could be either's."""
    found = await rows("SELECT line FROM phone WHERE account_id = $1", user_id)
    owners = await users_of_lines([row["line"] for row in found])
    return frozenset(line for line, owner in owners.items() if owner == (tenant_id, user_id))


@unit
async def _nobodys(
    lines: frozenset[str], after: tuple[datetime, UUID] | None
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
        if any(
            not lines.isdisjoint(lines_of_party(row[f"{side}_number"], row[f"{side}_phone_id"]))
            for side in ("caller", "callee")
        )
    ]
    if len(found) < _ROWS_AT_A_TIME:
        return calls, None
    return calls, (as_moment(found[-1]["started_at"]), as_id(found[-1]["id"]))


@unit
async def _claim(calls: list[UUID], lines: frozenset[str], tenant_id: UUID, user_id: UUID) -> int:
    async with transaction():
        everything = Scope(await default_tenant(), new_id(), Reach.TENANT, confidential=True)
        views = await get_calls(everything, calls, silent_nodes=())

        def party(one: PartyRecord) -> PartyRecord:
            his = not lines.isdisjoint(lines_of_party(one.number, one.phone_id))
            return replace(one, user_id=user_id) if his else one

        def claimed(record: CallRecord) -> CallRecord:
            caller, callee = party(record.caller), party(record.callee)
            return replace(record, tenant_id=tenant_id, caller=caller, callee=callee)

        found = [view.record for view in views.values()]
        free = [record for record in found if record.caller.user_id is None and record.callee.user_id is None]
        await store([claimed(record) for record in free], final=True)
    return len(free)
