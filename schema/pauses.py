"""Pauses and resumptions in the audit trail, each told once: by the portal where somebody asked for them there, else by
the archive, which reads of them in the journal.

A phone system's are told as soon as the archive hears of them; those of people when the call is finished, in case the
portal could not: pausing goes on while the database is away.

Not here: pauses as part of a call (`clerk.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from schema.audited import Change, note_in
from schema.checked import folded
from schema.columns import as_id
from schema.confidential import called
from schema.database import rows
from schema.entries import About, Action, Application, By, Resource
from schema.roles import Grant, Reach
from schema.sql import rows_in
from schema.values import NOBODY, CallRecord, Scope

PHONE_SYSTEM: Final = "phone-system"
_NOTHING: Final = Grant(Reach.OWN, frozenset())
# A call that ends while it is paused ends its pause. Clocks that are not the same one tell the two moments.
_SAME_MOMENT_S: Final = 0.05


def pause_origin(call_id: UUID, start_s: float, who: str) -> str:
    """By what a pause is known, from whichever side it is told. `start_s`: its position on the call's clock."""
    return f"{call_id} paused {start_s:.6f} {who}"


def resume_origin(call_id: UUID, end_s: float) -> str:
    """The same for its end."""
    return f"{call_id} resumed {end_s:.6f}"


def position(at_s: float) -> dict[str, str]:
    """The detail of an entry about a moment of a call, in s on the call's clock."""
    return {"position": f"{at_s:.3f}"}


@dataclass(frozen=True, slots=True)
class _Moment:
    record: CallRecord
    action: Action
    at_s: float
    who: str
    origin: str


async def tell(records: Sequence[CallRecord], *, final: bool) -> None:
    """Inside the transaction that stores these records: their pauses that nobody told of. `final`: of people, too."""
    moments = {moment.origin: moment for record in records for moment in _moments(record) if final or not moment.who}
    if not moments:
        return
    known = await rows_in("SELECT origin FROM audit_entry WHERE origin IN", sorted(moments))
    told = {row["origin"] for row in known}
    await note_in([await _change(moment) for origin, moment in moments.items() if origin not in told])


def _moments(record: CallRecord) -> list[_Moment]:
    found = []
    for pause in record.pauses:
        who = "" if pause.by == PHONE_SYSTEM else pause.by
        origin = pause_origin(record.id, pause.start_s, pause.by)
        found.append(_Moment(record, Action.PAUSE, pause.start_s, who, origin))
        if pause.end_s is not None and not _ended_with(record, pause.end_s):
            origin = resume_origin(record.id, pause.end_s)
            found.append(_Moment(record, Action.RESUME, pause.end_s, who, origin))
    return found


def _ended_with(record: CallRecord, at_s: float) -> bool:
    if record.ended_at is None:
        return False
    return at_s > (record.ended_at - record.started_at).total_seconds() - _SAME_MOMENT_S


async def _change(moment: _Moment) -> Change:
    record = moment.record
    return Change(
        await _by(record.tenant_id, moment.who),
        Resource.CALLS,
        moment.action,
        About(record.id, called(record.caller, record.callee)),
        record.tenant_id,
        position(moment.at_s),
        {},
        {},
        moment.origin,
        record.started_at + timedelta(seconds=moment.at_s),
    )


async def _by(tenant_id: UUID, login: str) -> By:
    """Who paused: the user with this login, as far as there is one; without a login the phone system."""
    found = []
    if login:
        query = "SELECT id, login, name FROM account WHERE tenant_id = $1 AND login_key = $2"
        found = await rows(query, tenant_id, folded(login))
    scope = Scope(tenant_id, NOBODY, Reach.OWN)
    if not found:
        return By(scope, _NOTHING, Application.ENGINE, login=login)
    user = found[0]
    return By(scope, _NOTHING, Application.ENGINE, as_id(user["id"]), user["login"], user["name"])
