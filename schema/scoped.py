# ruff: noqa: S608  # The texts are made of this module's own words; every value is a parameter.
"""Which calls somebody may see, as SQL: the one place that keeps tenants, users and supervisors apart.

A query is made from a scope and cannot be made without one. A list is read by its order, newest first: the next page
begins where the last one ended, so that it costs the same however far one has come, and a call that starts meanwhile
moves nothing. What a user or a supervisor may see is read user by user from an index, the newest of each, and merged: a
filter over all calls would read millions to find the few of somebody who seldom calls. The whole platform is read
tenant by tenant.

What is confidential is left out while the index is walked: a call that is, and each call of a confidential user. Only
the parties of such a call see it, and who may see what is confidential.

Not here: what is made of the rows (`calls.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema.database import is_sqlite
from schema.roles import Reach
from schema.values import CallStage, Scope

_RUNNING: Final = frozenset({CallStage.ACTIVE, CallStage.UNREACHABLE})
_SIDES: Final = ("caller_user_id", "callee_user_id")
# Reaches in which no user is asked for.
_WHOLE: Final = frozenset({Reach.TENANT, Reach.PLATFORM})
# In the words of the indexes: a partial index serves a query only where the query says the same.
_PHASES: Final = {
    CallStage.ACTIVE: "phase = 'running'",
    CallStage.UNREACHABLE: "phase = 'running'",
    CallStage.FINISHING: "phase = 'finishing'",
    CallStage.FINISHED: "phase = 'finished'",
}


@dataclass(slots=True)
class ScopedCalls:
    """A query and its parameters: `values` grows with the text. `of_user`: whose calls alone are wanted."""

    scope: Scope
    stages: frozenset[CallStage] = frozenset()
    silent: Sequence[str] = ()
    after: tuple[datetime, UUID] | None = None
    of_user: UUID | None = None
    values: list[Any] = field(default_factory=list)

    def newest(self, limit: int) -> str:
        """The ids and starts of the newest calls. Each branch below gives its own newest, from one index each."""
        end = f"ORDER BY started_at DESC, id DESC LIMIT {int(limit)}"
        branches = []
        for phase in self._phases():
            if self.scope.reach == Reach.PLATFORM and self._is_whole():
                branches.append(self._of_each("tenant", "tenant_id", phase, end))
            elif self._is_whole() or phase not in ("", _PHASES[CallStage.FINISHED]):
                branches.append(
                    f'SELECT id, started_at FROM "call" WHERE {self._where(phase)} {self._of_users()} {end}'
                )
            else:
                branches += [self._of_each("reachable", side, phase, end) for side in _SIDES]
        union = " UNION ".join(f"SELECT * FROM ({branch}) AS branch_{place}" for place, branch in enumerate(branches))
        return f"{self._people()} SELECT id, started_at FROM ({union}) AS found {end}"

    def count(self, cap: int) -> str:
        branches = [
            f'SELECT 1 AS one FROM "call" WHERE {self._where(phase)} {part}'
            for phase in self._phases()
            for part in self._of_users_apart()
        ]
        union = f"SELECT one FROM ({' UNION ALL '.join(branches)}) AS found LIMIT {int(cap)}"
        return f"{self._people()} SELECT count(*) AS calls FROM ({union}) AS capped"

    def one(self, call_id: UUID) -> str:
        return self.these([call_id])

    def these(self, call_ids: Sequence[UUID]) -> str:
        ids = ", ".join(self._value(call_id) for call_id in call_ids)
        return f'{self._people()} SELECT id FROM "call" WHERE id IN ({ids}) AND {self._where("")} {self._of_users()}'

    def _phases(self) -> list[str]:
        """The conditions on the phase, of which each call fulfils at most one."""
        if not self.stages or self.stages == frozenset(CallStage):
            return [""]
        return sorted({_PHASES[stage] for stage in self.stages})

    def _where(self, phase: str) -> str:
        """The conditions besides those on users."""
        platform = self.scope.reach == Reach.PLATFORM
        tenant = "TRUE" if platform else f"tenant_id = {self._value(self.scope.tenant_id)}"
        return " AND ".join([tenant, *self._common(phase)])

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
        if self._hides():
            me = self._value(self.scope.user_id)
            hidden = [f"coalesce({side} IN (SELECT id FROM hidden), FALSE)" for side in _SIDES]
            conditions.append(f"(NOT ({' OR '.join(['confidential', *hidden])}) OR {me} IN ({', '.join(_SIDES)}))")
        return conditions

    def _hides(self) -> bool:
        """Whether calls in reach may be hidden: one's own are not."""
        return not self.scope.confidential and self.scope.reach != Reach.OWN

    def _people(self) -> str:
        """The users whose calls the scope reaches, all of its tenant, and those whose calls it hides."""
        tables = []
        if self._hides():
            platform = self.scope.reach == Reach.PLATFORM
            tenant = "" if platform else f" AND tenant_id = {self._value(self.scope.tenant_id)}"
            tables.append(f"hidden AS (SELECT id FROM account WHERE confidential{tenant})")
        if not self._is_whole():
            tables.append(f"reachable AS ({self._reachable()})")
        return f"WITH {', '.join(tables)}" if tables else ""

    def _reachable(self) -> str:
        """The users whose calls are wanted, as far as the scope reaches."""
        wanted = "" if self.of_user is None else f" AND account.id = {self._value(self.of_user)}"
        if self.scope.reach == Reach.PLATFORM:
            return f"SELECT id FROM account WHERE TRUE{wanted}"
        if self.scope.reach == Reach.TENANT:
            return f"SELECT id FROM account WHERE tenant_id = {self._value(self.scope.tenant_id)}{wanted}"
        user, tenant = self._value(self.scope.user_id), self._value(self.scope.tenant_id)
        users = [f"SELECT id FROM account WHERE id = {user} AND tenant_id = {tenant}{wanted}"]
        if self.scope.reach == Reach.MANAGED:
            # Of these nothing is seen but what they have with oneself, which is one's own.
            seen = "" if self.scope.confidential else " AND NOT account.confidential"
            users += [
                "SELECT account.id FROM management JOIN account ON account."
                f"{own} = management.{managed} WHERE manager_id = {user} AND account.tenant_id = {tenant}{seen}{wanted}"
                for own, managed in (("id", "account_id"), ("team_id", "team_id"))
            ]
        return " UNION ".join(users)

    def _is_whole(self) -> bool:
        """Whether whose a call is does not matter."""
        return self.scope.reach in _WHOLE and self.of_user is None

    def _of_users(self) -> str:
        """The condition that a call is a reachable user's."""
        if self._is_whole():
            return ""
        return f"AND ({' OR '.join(f'{side} IN (SELECT id FROM reachable)' for side in _SIDES)})"

    def _of_users_apart(self) -> list[str]:
        """The same as conditions of which each call fulfils at most one, each with an index."""
        if self._is_whole():
            return [""]
        caller, callee = (f"{side} IN (SELECT id FROM reachable)" for side in _SIDES)
        return [f"AND {caller}", f"AND {callee} AND (caller_user_id IS NULL OR NOT {caller})"]

    def _of_each(self, owners: str, column: str, phase: str, end: str) -> str:
        """The newest calls of each of these owners, which a column of the call names, as many as are wanted of all."""
        where = " AND ".join([f"{column} = {owners}.id", *self._common(phase)])
        if is_sqlite():
            newest = f'SELECT id FROM "call" WHERE {where} {end}'
            return (
                f'SELECT of_one.id, of_one.started_at FROM {owners} CROSS JOIN "call" AS of_one '
                f"WHERE of_one.id IN ({newest})"
            )
        newest = f'SELECT id, started_at FROM "call" WHERE {where} {end}'
        return f"SELECT of_one.id, of_one.started_at FROM {owners} CROSS JOIN LATERAL ({newest}) AS of_one"

    def _value(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"
