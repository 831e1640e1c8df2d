"""What the portal reads of calls. No query without a scope: who asks decides what is there.

Not here: the queries themselves (`scoped.py`), permissions (the portal), what is written (`clerk.py`).
"""

import base64
import binascii
import struct
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema import records
from schema.columns import as_id, as_moment, microseconds, moment
from schema.database import reading, rows
from schema.nodes import node_of, nodes, silent_nodes
from schema.roles import Reach
from schema.scoped import ScopedCalls
from schema.sql import rows_in
from schema.values import CallRecord, CallStage, CallView, Page, Scope

__all__ = ["count_calls", "get_call", "get_calls", "list_calls", "node_of", "nodes", "silent_nodes"]

# With the names of the users whose call it is, and its interaction.
_CALLS: Final = (
    'SELECT "call".*, part.interaction_id, caller.name AS caller_user, callee.name AS callee_user FROM "call" '
    'LEFT JOIN part ON part.call_id = "call".id AND part.number = 0 '
    'LEFT JOIN account AS caller ON caller.id = "call".caller_user_id '
    'LEFT JOIN account AS callee ON callee.id = "call".callee_user_id WHERE "call".id IN'
)
# What lists show of a call's children; the rest would be most of the work.
_LISTED: Final = ("pause_span", "recording")
# The start of a page's last call (microseconds since 1970) and its id.
_CURSOR: Final = struct.Struct(">q16s")


@reading
async def list_calls(
    scope: Scope,
    *,
    stages: Collection[CallStage] = (),
    user_id: UUID | None = None,
    limit: int = 20,
    cursor: str | None = None,
    silent_nodes: Collection[str],
) -> Page:
    """The newest calls that the scope reaches, after the cursor; without their participants and streams.

    `stages`: none means all. `user_id`: those alone that this user was on. Errors: ValueError, a sentence, where the
    cursor is none of ours.
    """
    after = None if cursor is None else _position(cursor)
    query = ScopedCalls(scope, frozenset(stages), sorted(silent_nodes), after, user_id)
    found = await rows(query.newest(limit + 1), *query.values)
    ids = [as_id(row["id"]) for row in found[:limit]]
    views = await _views(scope, ids, frozenset(silent_nodes), _LISTED)
    more = _cursor(as_moment(found[limit - 1]["started_at"]), ids[-1]) if len(found) > limit else None
    return Page(calls=tuple(views[call_id] for call_id in ids if call_id in views), next=more)


@reading
async def count_calls(
    scope: Scope,
    *,
    stages: Collection[CallStage] = (),
    user_id: UUID | None = None,
    silent_nodes: Collection[str],
    cap: int = 1000,
) -> int:
    """How many calls the scope reaches; it stops counting at `cap`."""
    query = ScopedCalls(scope, frozenset(stages), sorted(silent_nodes), of_user=user_id)
    found = await rows(query.count(cap), *query.values)
    return int(found[0]["calls"])


@reading
async def get_call(scope: Scope, call_id: UUID, *, silent_nodes: Collection[str]) -> CallView | None:
    """A call; None where there is none, or where the scope does not reach it."""
    query = ScopedCalls(scope)
    found = await rows(query.one(call_id), *query.values)
    views = await _views(scope, [as_id(row["id"]) for row in found], frozenset(silent_nodes))
    return views.get(call_id)


@reading
async def get_calls(scope: Scope, call_ids: Sequence[UUID], *, silent_nodes: Collection[str]) -> dict[UUID, CallView]:
    """Those of these calls (some hundred at most) that are there and that the scope reaches."""
    if not call_ids:
        return {}
    query = ScopedCalls(scope)
    found = await rows(query.these(call_ids), *query.values)
    return await _views(scope, [as_id(row["id"]) for row in found], frozenset(silent_nodes))


async def _views(
    scope: Scope, ids: Sequence[UUID], silent: Collection[str], tables: Collection[str] = tuple(records.CHILDREN)
) -> dict[UUID, CallView]:
    """The calls with these ids, where they are in the scope's tenant, with what these tables have of them."""
    if not ids:
        return {}
    calls = {as_id(row["id"]): row for row in await rows_in(_CALLS, ids)}
    if scope.reach != Reach.PLATFORM:
        calls = {call_id: row for call_id, row in calls.items() if as_id(row["tenant_id"]) == scope.tenant_id}
    children: dict[UUID, dict[str, list[dict[str, Any]]]] = {
        call_id: {table: [] for table in records.CHILDREN} for call_id in ids
    }
    for table in tables:
        found = await rows_in(f"SELECT * FROM {table} WHERE call_id IN", ids)  # noqa: S608  # a name of ours
        for row in sorted(found, key=lambda row: row["number"]):
            children[as_id(row["call_id"])][table].append(row)
    views = {}
    for call_id, row in calls.items():
        record = records.call_record(row, children[call_id])
        interaction, users = row["interaction_id"], ((record.caller, "caller_user"), (record.callee, "callee_user"))
        views[call_id] = CallView(
            record=record,
            stage=_stage(record, row["phase"], silent),
            interaction_id=call_id if interaction is None else as_id(interaction),
            confidential=bool(row["confidential"]),
            user_names={party.user_id: row[name] for party, name in users if party.user_id and row[name] is not None},
        )
    return views


def _stage(record: CallRecord, phase: str, silent: Collection[str]) -> CallStage:
    if phase == records.FINISHED:
        return CallStage.FINISHED
    if phase == records.FINISHING:
        return CallStage.FINISHING
    return CallStage.UNREACHABLE if record.node in silent else CallStage.ACTIVE


def _cursor(started_at: datetime, call_id: UUID) -> str:
    packed = _CURSOR.pack(microseconds(started_at), call_id.bytes)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def _position(cursor: str) -> tuple[datetime, UUID]:
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        started_us, call_id = _CURSOR.unpack(packed)
        return moment(started_us), UUID(bytes=call_id)
    except (ValueError, binascii.Error, struct.error, OverflowError) as error:
        raise ValueError("The cursor is not one that this list gave. Begin again without one.") from error
