"""The call actor: a shell that survives and a run that may crash.

The shell owns the journal, the media sockets, the mailbox and the events; the run takes letters, lets `engine.call`
decide, and commits. When the run fails, the shell and its sockets stay, and the state is folded from the events again.

Order is everything in `commit`: a pause first drains the sockets into the journal, then journals `paused`; a resumption
first throws away what waits and then journals `resumed`; and only then is anybody answered. Between these steps nothing
else runs: none of them awaits.

A disk that refuses to be written costs audio, never the pause: events wait in memory, are written before anything else,
and what could not be kept is counted as a gap.

Whoever listens has a tap on the shell: it is given what comes, also what the disk refuses, and told what is journaled.
While a call is paused the sweep hands nothing over, so that nothing of it can reach a tap.

Not here: what commands mean (`engine/call.py`), SIP (`switchboard.py`), when sockets are visited (`sweeper.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog

from actors.clock import instant
from actors.mailbox import Letter, Mailbox, Unanswered
from actors.media import MediaPair, MediaPorts
from actors.outbox import Outbox
from actors.rtcp import RtcpSet
from actors.spool import Spool
from actors.supervision import DEFAULT, GaveUp, Policy, supervise
from engine.call import CallState, Command, EndCall, NoteRestart, Refusal, apply, decide, fold
from engine.events import AnyEvent, Ended, Gap, Instant, MetadataReceived, Paused, Resumed, encode, event_name
from engine.journal import JournalWriter
from engine.sweep import Intake, StreamCounts, Sweep

log = structlog.get_logger()

DISK_REFUSED: Final = "the disk could not be written"
# Codecs whose packets have one size as long as the packet time stands, so that the sweep may cut its rows to it.
STEADY_CODECS: Final = frozenset({"PCMU", "PCMA", "TELEPHONE-EVENT", "CN"})


@dataclass(frozen=True, slots=True)
class Done:
    """A letter's answer: the state after it, and the first refusal, if any."""

    state: CallState
    refusal: Refusal | None = None


class Tap(Protocol):
    """Somebody who listens to a call. He may not wait; what he raises ends his tap, not the recording.

    `often`: he wants what comes as soon as can be; what others get, they get once a round of the sweep.
    """

    @property
    def often(self) -> bool: ...

    def take(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """The RTP packets of one visit, as `JournalWriter.append_packets`. The memory is used again: copy."""

    def tell(self, event: AnyEvent, state: CallState) -> None:
        """What was journaled, and the state after it."""

    def close(self) -> None:
        """Nothing more comes: the call is sealed, or this tap has failed."""


CallMailbox = Mailbox[tuple[Command, ...], Done]


@dataclass(frozen=True, slots=True)
class Node:
    """What every call of an engine shares."""

    name: str
    public_key: bytes
    spool: Spool
    outbox: Outbox
    sweep: Sweep
    ports: MediaPorts
    rtcp: RtcpSet


class Call:
    """The shell of one call. `run_supervised` is its task; `post` and `ask` its mailbox's."""

    __slots__ = (
        "_events",
        "_intake",
        "_journal",
        "_missed",
        "_missed_since",
        "_node",
        "_on_closed",
        "_pairs",
        "_sealed",
        "_taps",
        "_unwritten",
        "id",
        "mailbox",
        "state",
    )

    def __init__(self, call_id: UUID, node: Node, on_closed: Callable[["Call"], None]) -> None:
        """Make the call's folder and journal. Errors: `OSError`; nothing is left behind then."""
        self.id = call_id
        self.mailbox: CallMailbox = Mailbox()
        self.state: CallState | None = None
        self._node = node
        self._on_closed = on_closed
        self._sealed = False
        self._taps: tuple[Tap, ...] = ()
        self._events: list[AnyEvent] = []
        self._unwritten: list[tuple[int, bytes, Instant]] = []
        self._missed = 0
        self._missed_since: Instant | None = None
        self._pairs: dict[int, MediaPair] = {}
        path = node.spool.open_call(call_id)
        try:
            self._journal = JournalWriter(str(path), call_id, node.public_key)
        except OSError:
            path.parent.rmdir()
            raise
        self._intake = Intake(self._keep)
        node.sweep.add(self._intake)

    async def run_supervised(self, policy: Policy = DEFAULT) -> None:
        """Run until the call has ended. Past the restart limit it is sealed as incomplete. Never raises."""
        try:
            await supervise(self._run, name=f"call {self.id}", policy=policy, on_failure=self._restart)
        except GaveUp as error:
            self._give_up(error.__cause__)
        except Exception as error:
            self._give_up(error)
        finally:
            self.seal()

    async def _run(self) -> None:
        # The letter is let go before the next is waited for: it holds the whole request.
        while (letter := await self.mailbox.take()) is not None:
            ended = self._answer(letter)
            del letter
            if ended:
                return

    def _answer(self, letter: Letter[tuple[Command, ...], Done]) -> bool:
        try:
            done = self.handle(letter.content)
        except Exception as error:
            letter.then(Unanswered(f"The call failed on this request: {error!r}"))
            raise
        letter.then(done)
        return done.state.ended is not None

    def handle(self, commands: tuple[Command, ...]) -> Done:
        """Carry out commands one after the other, up to the first that is refused."""
        refusal = None
        for command in commands:
            refusal = self.commit(command)
            if refusal is not None:
                break
        if self.state is None:
            raise ValueError("A call's first command is Begin.")
        return Done(self.state, refusal)

    def commit(self, command: Command) -> Refusal | None:
        """Decide, drain where the command is a cut, journal, apply."""
        now = instant()
        if self._missed_since is not None:
            self._flush(now)
        outcome = decide(self.state, command, now)
        if isinstance(outcome, Refusal):
            return outcome
        for event in outcome:
            was_paused = self._intake.paused
            after = apply(self.state, event)
            if isinstance(event, Paused | Resumed | Ended) and (after.paused != was_paused or after.ended is not None):
                self._node.sweep.drain(self._intake, now.realtime_ns, now.monotonic_ns)
                # The cut is where the drain ended, not where it began.
                event = msgspec.structs.replace(event, at=instant())
                after = apply(self.state, event)
            self._unwritten.append((after.events, encode(event), event.at))
            self._flush_events(event.at)
            self._remember(event, after)
            self._intake.paused = after.paused
        return None

    @property
    def next_stream(self) -> int:
        """The index that the next new stream gets."""
        return len(self._pairs)

    def discard(self) -> None:
        """Undo the making of a call that was refused before it began: it leaves nothing behind."""
        self._close_media()
        self._journal.close()
        self._node.spool.discard(self.id)
        self._sealed = True

    def open_stream(self, pair: MediaPair) -> None:
        """Take over the sockets of a new stream."""
        index = pair.media.index
        self._pairs[index] = pair
        self._node.sweep.attach(self._intake, pair.media, instant().realtime_ns / 1e9)
        self._node.rtcp.add(pair.rtcp, self, pair.media)

    def expect(self, sources: dict[int, tuple[str, int] | None], *, steady: bool) -> None:
        """An offer stands: where each stream is said to come from, and whether its packets have one size."""
        self._intake.steady = steady
        self._intake.renew()
        for index, source in sources.items():
            self._pairs[index].media.expected = source

    def tap(self, tap: Tap) -> None:
        """Hand what comes to `tap` too."""
        if self._sealed:
            tap.close()
            return
        self._set_taps((*self._taps, tap))

    def untap(self, tap: Tap) -> None:
        """Hand nothing more to `tap`. Done twice it is done once."""
        if not self._sealed:
            self._set_taps(tuple(other for other in self._taps if other is not tap))

    def _set_taps(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        self._intake.keep = self._keep_and_pass_on if taps else self._keep
        if any(tap.often for tap in taps):
            self._node.sweep.watch(self._intake)
        else:
            self._node.sweep.unwatch(self._intake)

    def keep_rtcp(self, header: bytes, packet: bytes, at: Instant) -> None:
        """Keep one RTCP packet with its row header, unless the call is paused."""
        if not self._intake.paused:
            self._keep(1, header, packet, at.realtime_ns, at.monotonic_ns)

    def counts(self) -> dict[int, StreamCounts]:
        """What came on each stream so far."""
        return {i: self._node.sweep.counts(pair.media) for i, pair in self._pairs.items()}

    def seal(self) -> None:
        """Close everything and hand the call to the archive. Done twice it is done once.

        A spool that refuses the rename keeps the call where it is: the next start of the engine hands it over.
        """
        if self._sealed:
            return
        self._sealed = True
        self.mailbox.close()
        self._flush(instant())
        self._close_media()
        self._journal.close()
        taps, self._taps = self._taps, ()
        for tap in taps:
            tap.close()
        self._intake.keep = _nobody  # or the call and its intake would hold each other until the collector comes
        try:
            self._node.spool.finish(self.id)
        except OSError as error:
            log.error("call not handed over", call=str(self.id), reason=str(error))
        self._on_closed(self)

    def _close_media(self) -> None:
        self._node.sweep.remove(self._intake)
        for pair in self._pairs.values():
            self._node.rtcp.remove(pair.rtcp)
            self._node.sweep.detach(self._intake, pair.media)
            self._node.ports.close(pair)
        self._pairs = {}

    def _give_up(self, error: BaseException | None) -> None:
        try:
            self._restart_state()
            self.commit(EndCall("incomplete", f"The recording ended early: {error!r}"))
        except Exception:
            log.exception("call not ended in order", call=str(self.id))

    def _restart(self, error: Exception) -> None:
        self._restart_state()
        self.commit(NoteRestart(repr(error)))

    def _restart_state(self) -> None:
        self.state = fold(self._events)
        self._intake.paused = self.state is not None and self.state.paused

    def _keep(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """Called by the sweep with the packets of one visit."""
        if (self._unwritten or self._missed) and not self._flush(Instant(realtime_ns, monotonic_ns)):
            self._missed += rows
            return
        try:
            self._journal.append_packets(rows, headers, packets, realtime_ns, monotonic_ns)
        except OSError as error:
            self._begin_gap(Instant(realtime_ns, monotonic_ns), error)
            self._missed += rows

    def _keep_and_pass_on(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """Stands where `_keep` does while somebody listens: he hears the call, whether the disk takes it or not."""
        self._keep(rows, headers, packets, realtime_ns, monotonic_ns)
        for tap in self._taps:
            try:
                tap.take(rows, headers, packets, realtime_ns, monotonic_ns)
            except Exception:
                self._cut_off(tap)

    def _cut_off(self, tap: Tap) -> None:
        log.exception("listener failed", call=str(self.id))
        self.untap(tap)
        try:
            tap.close()
        except Exception:
            log.exception("listener not closed", call=str(self.id))

    def _begin_gap(self, at: Instant, error: OSError) -> None:
        if self._missed_since is None:
            self._missed_since = at
            log.error("journal not written", call=str(self.id), reason=str(error))

    def _flush(self, now: Instant) -> bool:
        """Write what waits: events first, then the gap. False while the disk refuses."""
        if not self._flush_events(now):
            return False
        if self._missed and self._missed_since is not None and self.state is not None and self.state.ended is None:
            gap = Gap(at=now, since=self._missed_since, packets=self._missed, cause=DISK_REFUSED)
            after = apply(self.state, gap)
            try:
                self._journal.append_event(after.events, encode(gap), now.realtime_ns, now.monotonic_ns)
            except OSError:
                return False
            self._remember(gap, after)
        self._missed, self._missed_since = 0, None
        return True

    def _flush_events(self, now: Instant) -> bool:
        try:
            while self._unwritten:
                number, data, at = self._unwritten[0]
                self._journal.append_event(number, data, at.realtime_ns, at.monotonic_ns)
                self._unwritten.pop(0)
        except OSError as error:
            self._begin_gap(now, error)
            return False
        return True

    def _remember(self, event: AnyEvent, after: CallState) -> None:
        """The event stands: it is in the journal, or first in line for it."""
        self.state = after
        # What the fold does not need is not kept in memory: the journal has it.
        in_memory = msgspec.structs.replace(event, document=b"") if isinstance(event, MetadataReceived) else event
        self._events.append(in_memory)
        self._node.outbox.append(self.id, after.events, encode(event), event.at)
        log.info(event_name(event), call=str(self.id), number=after.events)
        for tap in self._taps:
            try:
                tap.tell(event, after)
            except Exception:
                self._cut_off(tap)


def _nobody(rows: int, headers: object, packets: object, realtime_ns: int, monotonic_ns: int) -> None:
    """Who keeps the packets of a sealed call."""
