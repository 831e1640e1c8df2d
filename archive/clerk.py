"""The clerk: events from the node's outbox into the database, so that the portal shows calls while they run.

The outbox is the fast path, a call's journal the authority. Event n of a call is taken in only after n-1; where one is
missing (a kill or a full disk cut the outbox) the call's own journal is read, and goes on from there. The offset is
committed with the events that it counts: killed at any moment, the clerk neither misses an event nor takes it twice.

What the clerk does not get to see, because a call was finished before, the lister tells as a whole (`listing.py`).

    clerk
     |- outbox    events -> database, LOOK_EVERY_S behind at most
     `- beacon    what the engine says of itself -> database

Not here: how segments are read (`segments.py`), what a record holds (`project.py`), recordings.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import msgspec
import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from actors.spool import JOURNAL, NodeReport, Spool
from archive.project import CallSoFar, Owners, lines_of, owners, record_of, skip, tell
from archive.segments import Segments
from archive.unlisted import as_call_id
from engine.events import MetadataReceived, Party, decode, encode
from engine.journal import JournalError, JournalReader, KeyRefused, Kind
from engine.timeline import SECOND_NS
from schema import clerk as database
from schema.database import DatabaseError
from schema.values import Event, NodeRecord, Offset

log = structlog.get_logger()

# An event is seen in the portal this much later, and a commit: a look at an outbox without news costs some 50 us.
LOOK_EVERY_S: Final = 0.15
# How often a database that is away is asked again, and a journal that lacks an event yet is read again.
AGAIN_S: Final = 1.0
# How often calls of which nothing will be told any more are let go.
TIDY_EVERY_S: Final = 60.0
HEARTBEAT_EVERY_S: Final = 5.0
# A report that is older comes from an engine that does not live.
FRESH_S: Final = 10.0

T = TypeVar("T")


class Access:
    """The database. Who is `patient` waits while it is away: said once for all who wait, as is that it is back."""

    def __init__(self, *, patient: bool = True) -> None:
        self._patient = patient
        self._waiting = 0

    async def ask(self, query: Callable[[], Awaitable[T]]) -> T:
        """The answer of `query`, asked again until the database gives one. Errors: `DatabaseError`, if not patient."""
        try:
            return await query()
        except DatabaseError as error:
            if not self._patient:
                raise
            if not self._waiting:
                log.error("database_away", reason=str(error))
        self._waiting += 1
        try:
            answer = await self._ask_again(query)
        finally:
            self._waiting -= 1
        if not self._waiting:
            log.info("database_back")
        return answer

    async def _ask_again(self, query: Callable[[], Awaitable[T]]) -> T:
        while True:
            await trio.sleep(AGAIN_S)
            with suppress(DatabaseError):
                return await query()

    async def owners(self, parties: Sequence[tuple[Party, Party]]) -> list[Owners]:
        """Whose the calls between these callers and callees are, each in its place."""
        lines = sorted(frozenset[str]().union(*(lines_of(*pair) for pair in parties)))
        known = await self.ask(partial(database.users_of_lines, lines)) if lines else {}
        default = await self.ask(database.default_tenant)
        return [owners(*pair, known, default) for pair in parties]


@dataclass(frozen=True, slots=True)
class _Behind:
    """A call whose journal is to be read: at least up to this event, not before this moment (trio's clock)."""

    number: int
    due_s: float


class Clerk:
    """Takes one node's events in. `caught_up` is set once the outbox was read to its end for the first time."""

    def __init__(self, spool: Spool, private_key: X25519PrivateKey, node: str, access: Access) -> None:
        self._spool = spool
        self._private_key = private_key
        self._node = node
        self._access = access
        self._calls: dict[UUID, CallSoFar] = {}
        self._behind: dict[UUID, _Behind] = {}
        self._offset = Offset()
        self._tidied_at_s = 0.0
        self.caught_up = trio.Event()

    def forget(self, call_id: UUID) -> None:
        """The database has all of this call: nothing that is told of it matters any more."""
        self._calls.pop(call_id, None)
        self._behind.pop(call_id, None)

    async def run(self) -> None:
        """Take in events until cancelled. Started again after a failure, it goes on where the database is."""
        self._calls, self._behind = {}, {}
        self._offset = await self._access.ask(partial(database.offset, self._node))
        segments = Segments(self._spool.outbox, self._private_key, self._offset)
        try:
            while True:
                batch = await trio.to_thread.run_sync(segments.read)
                if batch is not None:
                    if batch.cut:
                        self._suspect_all()
                    await self._commit(batch.events, batch.offset)
                    segments.delete_read()
                elif not self.caught_up.is_set():
                    await self._find_untold()
                    self.caught_up.set()
                if not await self._catch_up() and batch is None:
                    self._tidy()
                    await trio.sleep(LOOK_EVERY_S)
        finally:
            segments.close()

    async def run_beacon(self) -> None:
        """Pass on what the engine says of itself, as long as it says something."""
        told: NodeReport | None = None
        while True:
            report = self._spool.read_node()
            if report is not None and _is_news(report, told):
                record = NodeRecord(
                    name=report.name,
                    gateway=report.gateway,
                    version=report.version,
                    seen_at=datetime.fromtimestamp(report.at_ns / SECOND_NS, UTC),
                    gateway_certificate=report.gateway_certificate,
                )
                try:
                    await database.heartbeat(record)
                except DatabaseError as error:
                    log.debug("heartbeat not written", reason=str(error))
                else:
                    told = report
            await trio.sleep(AGAIN_S)

    async def _commit(self, events: Sequence[Event], offset: Offset, *, journal: bool = False) -> None:
        """Events and offset, in one transaction. What the database refuses is left to the lister, and told."""
        changed, taken = await self._fold(events, journal=journal)
        try:
            await self._write(changed, taken, offset)
        except Exception:
            if not changed:
                raise
            await self._write_apart(changed, taken)
            await self._write({}, (), offset)
        self._offset = offset

    async def _write_apart(self, calls: dict[UUID, CallSoFar], events: Sequence[Event]) -> None:
        """Each call by itself: what is wrong with the data of one must not keep the others out."""
        for call_id, call in calls.items():
            own = [event for event in events if event.call_id == call_id]
            try:
                await self._write({call_id: call}, own, self._offset)
            except Exception as error:
                log.error("call_not_told", call=str(call_id), exc_info=error)
                self.forget(call_id)

    async def _write(self, calls: dict[UUID, CallSoFar], events: Sequence[Event], offset: Offset) -> None:
        whose = await self._access.owners([(call.state.caller, call.state.callee) for call in calls.values()])
        records = [record_of(call, owner) for call, owner in zip(calls.values(), whose, strict=True)]
        await self._access.ask(partial(database.apply, self._node, offset, events, records))
        for call_id, call in calls.items():
            if call.state.ended is None:
                self._calls[call_id] = call
            else:
                self._calls.pop(call_id, None)

    async def _fold(self, events: Sequence[Event], *, journal: bool) -> tuple[dict[UUID, CallSoFar], list[Event]]:
        """The calls after these events, and the events that are new. What is missing before one, its journal tells.

        `journal`: the events are all that a journal holds; one that is missing there is nowhere.
        """
        changed: dict[UUID, CallSoFar] = {}
        taken: list[Event] = []

        def take(event: Event) -> None:
            before = changed.get(event.call_id) or self._calls.get(event.call_id)
            if event.number > (0 if before is None else before.state.events):
                lean = _lean(event)
                told_of = after(before, lean)
                if told_of is not None:
                    changed[event.call_id] = told_of
                    taken.append(lean)

        for event in events:
            call = changed.get(event.call_id) or await self._known(event.call_id)
            if not journal and event.number > 1 + (0 if call is None else call.state.events):
                behind = self._behind.get(event.call_id)
                if behind is not None and behind.number:
                    self._behind[event.call_id] = _Behind(event.number, behind.due_s)
                    continue
                told = await self._read_journal(event.call_id)
                if told is None:  # it is a recording by now, or will never be one: the lister tells of it
                    continue
                for each in told:
                    take(each)
                if told[-1].number < event.number:  # the disk was full: the journal has it later
                    self._behind[event.call_id] = _Behind(event.number, trio.current_time() + AGAIN_S)
                continue
            take(event)
        return changed, taken

    async def _known(self, call_id: UUID) -> CallSoFar | None:
        """What the database knows of a call that is not finished."""
        if call_id not in self._calls:
            call: CallSoFar | None = None
            for event in await self._access.ask(partial(database.events_of, call_id)):
                call = after(call, event)
            if call is None:
                return None
            self._calls[call_id] = call
        return self._calls[call_id]

    def _suspect_all(self) -> None:
        """Events are missing from the outbox, nobody knows of which calls: of those that run, maybe."""
        for call_id in _calls_in(self._spool.live):
            self._behind.setdefault(call_id, _Behind(0, trio.current_time()))

    async def _find_untold(self) -> None:
        """Calls that run and of which the outbox told nothing: it was lost, or begun anew."""
        known = set(await self._access.ask(partial(database.unended, self._node)))
        for call_id in _calls_in(self._spool.live):
            if call_id not in known and call_id not in self._calls:
                self._behind.setdefault(call_id, _Behind(0, trio.current_time()))

    async def _catch_up(self) -> bool:
        """Read the journal of one call that is behind, if one is due. True where others wait."""
        now_s = trio.current_time()
        due = [(call_id, behind) for call_id, behind in self._behind.items() if behind.due_s <= now_s]
        if not due:
            return False
        call_id, behind = due[0]
        del self._behind[call_id]
        told = await self._read_journal(call_id)
        if told is not None:
            await self._commit(told, self._offset, journal=True)
            if told[-1].number < behind.number:
                self._behind[call_id] = _Behind(behind.number, now_s + AGAIN_S)
        return len(due) > 1

    async def _read_journal(self, call_id: UUID) -> list[Event] | None:
        """All events of a call that is no recording yet; None where its journal is gone or holds none."""
        return await trio.to_thread.run_sync(self._events_in_journal, call_id)

    def _events_in_journal(self, call_id: UUID) -> list[Event] | None:
        for folder in (self._spool.live, self._spool.finished):
            try:
                with Path(folder, str(call_id), JOURNAL).open("rb") as file:
                    return [
                        Event(call_id, block.event_number, block.payload)
                        for block in JournalReader(file, self._private_key)
                        if block.kind is Kind.EVENT
                    ] or None
            except FileNotFoundError:
                continue
            except (JournalError, KeyRefused):
                return None
        return None

    def _tidy(self) -> None:
        """Let go of calls that ended without saying so: they are neither running nor waiting to be finished."""
        now_s = trio.current_time()
        if now_s - self._tidied_at_s < TIDY_EVERY_S:
            return
        self._tidied_at_s = now_s
        there = _calls_in(self._spool.live) | _calls_in(self._spool.finished)
        self._calls = {call_id: call for call_id, call in self._calls.items() if call_id in there}


def after(call: CallSoFar | None, event: Event) -> CallSoFar | None:
    """The call after an event; one that makes no sense (of a later release) is passed over. None before its start."""
    try:
        return tell(call, event.number, decode(event.data))
    except (msgspec.MsgspecError, ValueError):
        return None if call is None else skip(call, event.number)


def _lean(event: Event) -> Event:
    """The event as the database keeps it: a metadata document, some kB, stays in the journal."""
    try:
        told = decode(event.data)
    except msgspec.MsgspecError:
        return event
    if not isinstance(told, MetadataReceived):
        return event
    return Event(event.call_id, event.number, encode(msgspec.structs.replace(told, document=b"")))


def _is_news(report: NodeReport, told: NodeReport | None) -> bool:
    """Whether an engine that lives says something that the database should know now."""
    if time.time_ns() - report.at_ns > FRESH_S * SECOND_NS:
        return False
    return (
        told is None
        or (report.pid, report.gateway) != (told.pid, told.gateway)
        or report.at_ns - told.at_ns >= HEARTBEAT_EVERY_S * SECOND_NS
    )


def _calls_in(folder: Path) -> set[UUID]:
    return {call_id for path in folder.iterdir() if (call_id := as_call_id(path.name)) is not None}
