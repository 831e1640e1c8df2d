"""What the portal reads of calls. No query without a scope: who asks decides what is there.

A list is read by its order, newest first: the next page begins where the last one ended, so that it costs the same
however far one has come, and a call that starts meanwhile moves nothing. What a user or a supervisor may see is read user
by user from an index, some of each, and merged: a filter over all calls would read millions to find the few of somebody
who seldom calls.

Not here: permissions (the portal), what is written (`clerk.py`).
"""

import base64
import binascii
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema import records
from schema.columns import as_id, as_moment, microseconds, moment
from schema.database import is_sqlite, reading, rows
from schema.nodes import node_of, nodes, silent_nodes
from schema.sql import marks, rows_in
from schema.values import CallRecord, CallStage, CallView, Page, Scope

__all__ = ["count_calls", "get_call", "list_calls", "node_of", "nodes", "silent_nodes"]

# The start of a page's last call (microseconds since 1970) and its id.
_CURSOR: Final = struct.Struct(">q16s")
_RUNNING: Final = frozenset({CallStage.ACTIVE, CallStage.UNREACHABLE})
_SIDES: Final = ("caller_user_id", "callee_user_id")
# In the words of the indexes: a partial index serves a query only where the query says the same.
_PHASES: Final = {
    CallStage.ACTIVE: "phase = 'running'",
    CallStage.UNREACHABLE: "phase = 'running'",
    CallStage.FINISHING: "phase = 'finishing'",
    CallStage.FINISHED: "phase = 'finished'",
}


@reading
async def list_calls(
    scope: Scope,
    *,
    stages: Collection[CallStage] = (),
    limit: int = 20,
    cursor: str | None = None,
    silent_nodes: Collection[str],
) -> Page:
    """The newest calls that the scope reaches, after the cursor.

    `stages`: none means all. Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    query = _Query(scope, frozenset(stages), sorted(silent_nodes), None if cursor is None else _position(cursor))
    found = await rows(query.newest(limit + 1), *query.values)
    ids = [as_id(row["id"]) for row in found[:limit]]
    views = await _views(scope, ids, frozenset(silent_nodes))
    more = _cursor(as_moment(found[limit - 1]["started_at"]), ids[-1]) if len(found) > limit else None
    return Page(calls=tuple(views[call_id] for call_id in ids if call_id in views), next=more)


@reading
async def count_calls(
    scope: Scope, *, stages: Collection[CallStage] = (), silent_nodes: Collection[str], cap: int = 1000
) -> int:
    """How many calls the scope reaches; it stops counting at `cap`."""
    query = _Query(scope, frozenset(stages), sorted(silent_nodes))
    found = await rows(query.count(cap), *query.values)
    return int(found[0]["calls"])


@reading
async def get_call(scope: Scope, call_id: UUID, *, silent_nodes: Collection[str]) -> CallView | None:
    """A call; None where there is none, or where the scope does not reach it."""
    query = _Query(scope)
    found = await rows(query.one(call_id), *query.values)
    views = await _views(scope, [as_id(row["id"]) for row in found], frozenset(silent_nodes))
    return views.get(call_id)


@dataclass(slots=True)
class _Query:
    """A query and its parameters: `values` grows with the text."""

    scope: Scope
    stages: frozenset[CallStage] = frozenset()
    silent: Sequence[str] = ()
    after: tuple[datetime, UUID] | None = None
    values: list[Any] = field(default_factory=list)

    def newest(self, limit: int) -> str:
        """The ids and starts of the newest calls. Each branch below gives its own newest, from one index each."""
        end = f"ORDER BY started_at DESC, id DESC LIMIT {int(limit)}"
        branches = []
        for phase in self._phases():
            if self.scope.reach == "tenant" or phase not in ("", _PHASES[CallStage.FINISHED]):
                branches.append(
                    f'SELECT id, started_at FROM "call" WHERE {self._where(phase)} {self._of_users()} {end}'
                )
            else:
                branches += [self._of_each_user(side, phase, end) for side in _SIDES]
        union = " UNION ".join(f"SELECT * FROM ({branch}) AS branch_{place}" for place, branch in enumerate(branches))
        return f"{self._reachable()} SELECT id, started_at FROM ({union}) AS found {end}"

    def count(self, cap: int) -> str:
        branches = [
            f'SELECT 1 AS one FROM "call" WHERE {self._where(phase)} {part}'
            for phase in self._phases()
            for part in self._of_users_apart()
        ]
        union = f"SELECT one FROM ({' UNION ALL '.join(branches)}) AS found LIMIT {int(cap)}"
        return f"{self._reachable()} SELECT count(*) AS calls FROM ({union}) AS capped"

    def one(self, call_id: UUID) -> str:
        where = f"id = {self._value(call_id)} AND tenant_id = {self._value(self.scope.tenant_id)}"
        return f'{self._reachable()} SELECT id FROM "call" WHERE {where} {self._of_users()}'

    def _phases(self) -> list[str]:
        """The conditions on the phase, of which each call fulfils at most one."""
        if not self.stages or self.stages == frozenset(CallStage):
            return [""]
        return sorted({_PHASES[stage] for stage in self.stages})

    def _where(self, phase: str) -> str:
        """The conditions besides those on users."""
        conditions = [f"tenant_id = {self._value(self.scope.tenant_id)}", *self._common(phase)]
        return " AND ".join(conditions)

    def _common(self, phase: str) -> list[str]:
        conditions = [phase] if phase else []
        if phase == _PHASES[CallStage.ACTIVE] and not self.stages >= _RUNNING:
            silent = f"({', '.join(self._value(name) for name in self.silent)})" if self.silent else "(NULL)"
            if CallStage.UNREACHABLE in self.stages:
                conditions.append(f"node IN {silent}")
            elif self.silent:
                conditions.append(f"node NOT IN {silent}")
        if self.after is not None:
            started_at, call_id = self.after
            conditions.append(f"(started_at, id) < ({self._value(started_at)}, {self._value(call_id)})")
        return conditions

    def _reachable(self) -> str:
        """The users whose calls the scope reaches, all of its tenant."""
        if self.scope.reach == "tenant":
            return ""
        user, tenant = self._value(self.scope.user_id), self._value(self.scope.tenant_id)
        users = [f"SELECT id FROM account WHERE id = {user} AND tenant_id = {tenant}"]
        if self.scope.reach == "managed":
            users += [
                "SELECT account.id FROM management JOIN account ON "
                f"account.{own} = management.{managed} WHERE manager_id = {user} AND account.tenant_id = {tenant}"
                for own, managed in (("id", "account_id"), ("team_id", "team_id"))
            ]
        return f"WITH reachable AS ({' UNION '.join(users)})"

    def _of_users(self) -> str:
        """The condition that a call is a reachable user's."""
        if self.scope.reach == "tenant":
            return ""
        return f"AND ({' OR '.join(f'{side} IN (SELECT id FROM reachable)' for side in _SIDES)})"

    def _of_users_apart(self) -> list[str]:
        """The same as conditions of which each call fulfils at most one, each with an index."""
        if self.scope.reach == "tenant":
            return [""]
        caller, callee = (f"{side} IN (SELECT id FROM reachable)" for side in _SIDES)
        return [f"AND {caller}", f"AND {callee} AND (caller_user_id IS NULL OR NOT {caller})"]

    def _of_each_user(self, side: str, phase: str, end: str) -> str:
        """The newest calls on one side, of each reachable user as many as are wanted of all."""
        where = " AND ".join([f"{side} = reachable.id", *self._common(phase)])
        if is_sqlite():
            newest = f'SELECT id FROM "call" WHERE {where} {end}'
            return (
                f'SELECT of_user.id, of_user.started_at FROM reachable CROSS JOIN "call" AS of_user '
                f"WHERE of_user.id IN ({newest})"
            )
        newest = f'SELECT id, started_at FROM "call" WHERE {where} {end}'
        return f"SELECT of_user.id, of_user.started_at FROM reachable CROSS JOIN LATERAL ({newest}) AS of_user"

    def _value(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


async def _views(scope: Scope, ids: Sequence[UUID], silent: Collection[str]) -> dict[UUID, CallView]:
    """The calls with these ids, where they are the tenant's."""
    if not ids:
        return {}
    query = f'SELECT * FROM "call" WHERE tenant_id = $1 AND id IN ({marks(2, len(ids))})'  # noqa: S608  # places only
    calls = {as_id(row["id"]): row for row in await rows(query, scope.tenant_id, *ids)}
    children: dict[UUID, dict[str, list[dict[str, Any]]]] = {
        call_id: {table: [] for table in records.CHILDREN} for call_id in ids
    }
    for table in records.CHILDREN:
        # The order of the rows of one call is all that matters.
        for row in await rows(
            f"SELECT * FROM {table} WHERE call_id IN ({marks(1, len(ids))}) ORDER BY call_id, number",  # noqa: S608  # names of ours
            *ids,
        ):
            children[as_id(row["call_id"])][table].append(row)
    parts = await rows_in("SELECT call_id, interaction_id FROM part WHERE number = 0 AND call_id IN", ids)
    interactions = {as_id(row["call_id"]): as_id(row["interaction_id"]) for row in parts}
    users = {records.user_id(row, side) for row in calls.values() for side in ("caller", "callee")} - {None}
    found = await rows_in("SELECT id, name FROM account WHERE id IN", sorted(user for user in users if user))
    names = {as_id(row["id"]): row["name"] for row in found}
    views = {}
    for call_id, row in calls.items():
        record = records.call_record(row, children[call_id])
        mine = [party.user_id for party in (record.caller, record.callee) if party.user_id is not None]
        views[call_id] = CallView(
            record=record,
            stage=_stage(record, row["phase"], silent),
            interaction_id=interactions.get(call_id, call_id),
            user_names={user: names[user] for user in mine if user in names},
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
