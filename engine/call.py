"""A call as a value: commands in, events out, state folded from events. Pure; the time is passed in.

    decide(state, command, now) -> events | Refusal     what follows from a command; () where nothing changes
    apply(state, event) -> state
    fold(events) -> state                               what a restarted run and the finisher begin with

Rules:
- A call begins once and ends once. After its end every command but `End` is refused.
- The recording is paused while at least one holder keeps it so; each resumes only his own pause. Repeating is no event.
- Every call is recorded from its beginning to its end: starting changes nothing, stopping is refused.
- Streams keep their index for ever; a dialog's new agreement replaces that dialog's streams alone.
- Participants are appended and leave; nobody is renumbered.

Not here: sockets, journals, SIP messages; `actors/call.py` carries out what is decided here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from msgspec import structs

from engine.events import (
    AnyEvent,
    DialogJoined,
    End,
    Ended,
    Gap,
    Holder,
    Identified,
    Identity,
    Instant,
    MetadataReceived,
    Origin,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Party,
    Paused,
    Restarted,
    Resumed,
    Side,
    Started,
    Stream,
    StreamsAgreed,
)

UNKNOWN = Party()
NO_IDENTITY = Identity()


@dataclass(frozen=True, slots=True)
class Begin:
    """A phone system opened a recording session."""

    call_id: str
    node: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class JoinDialog:
    """Another dialog carries this call too."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class AgreeStreams:
    """An offer was answered: all streams of this dialog, and whether the offer suspended them (`sign`, or empty)."""

    dialog: int
    streams: tuple[Stream, ...]
    suspended: str = ""


@dataclass(frozen=True, slots=True)
class AssignSides:
    """Metadata told whom streams carry: (stream index, side) of each. Nothing else about them changes."""

    sides: tuple[tuple[int, Side], ...]


@dataclass(frozen=True, slots=True)
class ReadMetadata:
    """A metadata document came. `participants` is everybody on the call as merged so far; None when unreadable."""

    content_type: str
    document: bytes
    problem: str = ""
    participants: tuple[Participant, ...] | None = None


@dataclass(frozen=True, slots=True)
class Identify:
    """What is known of the parties and ids now."""

    caller: Party
    callee: Party
    direction: str = ""
    identity: Identity = NO_IDENTITY


@dataclass(frozen=True, slots=True)
class Pause:
    """Keep nothing from here on."""

    holder: Holder
    sign: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """End this holder's pause."""

    holder: Holder
    sign: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Somebody wants this call recorded from here on."""

    sign: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Somebody wants this call recorded no longer."""

    sign: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class NoteRestart:
    """The run failed and starts again."""

    problem: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call is over."""

    end: End
    by: str = ""


Command = (
    Begin
    | JoinDialog
    | AgreeStreams
    | AssignSides
    | ReadMetadata
    | Identify
    | Pause
    | Resume
    | StartRecording
    | StopRecording
    | NoteRestart
    | EndCall
)


class Why(StrEnum):
    """Why a command is refused: what programs, and pages in other languages, know a refusal by."""

    NOT_BEGUN = "not-begun"
    BEGUN = "begun"
    ENDED = "ended"
    HELD_BY_PHONE_SYSTEM = "held-by-phone-system"
    NEVER_STOPPED = "never-stopped"
    NO_SUCH_DIALOG = "no-such-dialog"
    STREAMS_OF_ANOTHER = "streams-of-another"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the call's state does not allow: a sentence for whoever sent it."""

    why: Why
    reason: str


@dataclass(frozen=True, slots=True)
class PauseSpan:
    """Time withheld, from the first holder's pause to the last one's resumption (None while it lasts)."""

    start: Instant
    end: Instant | None
    sign: str
    who: str
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """When somebody was on the call."""

    participant: Participant
    joined: Instant
    left: Instant | None = None


@dataclass(frozen=True, slots=True)
class CallState:
    """All that is known of a call. `events` is the number of the last event: they count from 1."""

    call_id: str
    node: str
    started: Instant
    events: int = 1
    origins: tuple[Origin, ...] = ()
    caller: Party = UNKNOWN
    callee: Party = UNKNOWN
    direction: str = ""
    identity: Identity = NO_IDENTITY
    streams: tuple[Stream, ...] = ()
    presences: tuple[Presence, ...] = ()
    holders: frozenset[Holder] = frozenset()
    pauses: tuple[PauseSpan, ...] = ()
    gaps: tuple[Gap, ...] = ()
    warnings: tuple[str, ...] = ()
    restarts: int = 0
    ended: Ended | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing is kept now."""
        return bool(self.holders)

    @property
    def since(self) -> Instant:
        """When it began to be as it is: the last cut, or the start where there was none."""
        if self.ended is not None:
            return self.ended.at
        if not self.pauses:
            return self.started
        return self.pauses[-1].end or self.pauses[-1].start

    def position_ns(self, at: Instant) -> int:
        """Time since the call's start, on the monotonic clock."""
        return at.monotonic_ns - self.started.monotonic_ns


def decide(state: CallState | None, command: Command, now: Instant) -> tuple[AnyEvent, ...] | Refusal:
    """The events that follow from `command`; () where it changes nothing. `state` is None before `Begin`."""
    if state is None:
        if not isinstance(command, Begin):
            return Refusal(Why.NOT_BEGUN, "The call has not begun.")
        return (Started(at=now, call_id=command.call_id, node=command.node, origin=command.origin),)
    if state.ended is not None:
        return () if isinstance(command, EndCall) else Refusal(Why.ENDED, "The call has ended.")
    match command:
        case Begin():
            return Refusal(Why.BEGUN, "The call has begun already.")
        case JoinDialog(origin):
            return (DialogJoined(at=now, dialog=len(state.origins), origin=origin),)
        case AgreeStreams():
            return _agree(state, command, now)
        case AssignSides(sides):
            return _assign(state, dict(sides), now)
        case ReadMetadata():
            return _read_metadata(state, command, now)
        case Identify(caller, callee, direction, identity):
            if (caller, callee, direction, identity) == (state.caller, state.callee, state.direction, state.identity):
                return ()
            return (Identified(at=now, caller=caller, callee=callee, direction=direction, identity=identity),)
        case Pause(holder, sign, who):
            return () if holder in state.holders else (Paused(at=now, holder=holder, sign=sign, who=who),)
        case Resume(holder, sign, who):
            if holder in state.holders:
                return (Resumed(at=now, holder=holder, sign=sign, who=who),)
            if state.paused and holder == "person":
                told = "The phone system holds this recording paused; it resumes when the phone system does."
                return Refusal(Why.HELD_BY_PHONE_SYSTEM, told)
            return ()
        case StartRecording():
            return ()
        case StopRecording():
            told = "This call is recorded from its beginning to its end: it can be paused, not stopped."
            return Refusal(Why.NEVER_STOPPED, told)
        case NoteRestart(problem):
            return (Restarted(at=now, problem=problem),)
        case EndCall(end, by):
            return (Ended(at=now, end=end, by=by),)


def _agree(state: CallState, command: AgreeStreams, now: Instant) -> tuple[AnyEvent, ...] | Refusal:
    if not 0 <= command.dialog < len(state.origins):
        return Refusal(Why.NO_SUCH_DIALOG, f"The call has no dialog {command.dialog}.")
    if any(stream.dialog != command.dialog for stream in command.streams):
        return Refusal(Why.STREAMS_OF_ANOTHER, "A dialog agrees on its own streams only.")
    events: list[AnyEvent] = []
    streams = tuple(sorted(command.streams, key=lambda stream: stream.index))
    if streams != tuple(stream for stream in state.streams if stream.dialog == command.dialog):
        events.append(StreamsAgreed(at=now, dialog=command.dialog, streams=streams))
    held = "phone-system" in state.holders
    if command.suspended and not held:
        events.append(Paused(at=now, holder="phone-system", sign=command.suspended))
    elif held and not command.suspended:
        events.append(Resumed(at=now, holder="phone-system", sign="active"))
    return tuple(events)


def _assign(state: CallState, sides: dict[int, Side], now: Instant) -> tuple[AnyEvent, ...]:
    events: list[AnyEvent] = []
    for dialog in range(len(state.origins)):
        before = tuple(stream for stream in state.streams if stream.dialog == dialog)
        after = tuple(structs.replace(stream, side=sides.get(stream.index, stream.side)) for stream in before)
        if after != before:
            events.append(StreamsAgreed(at=now, dialog=dialog, streams=after))
    return tuple(events)


def _read_metadata(state: CallState, command: ReadMetadata, now: Instant) -> tuple[AnyEvent, ...]:
    events: list[AnyEvent] = [
        MetadataReceived(at=now, content_type=command.content_type, document=command.document, problem=command.problem)
    ]
    if command.participants is None:
        return tuple(events)
    present = {p.participant.id: p.participant for p in state.presences if p.left is None}
    told = {p.id: p for p in command.participants}
    events += [ParticipantLeft(at=now, id=known) for known in present if known not in told]
    events += [ParticipantJoined(at=now, participant=p) for p in told.values() if present.get(p.id) != p]
    return tuple(events)


def apply(state: CallState | None, event: AnyEvent) -> CallState:
    """The state after `event`. Raises `ValueError` when a journal does not begin with `Started`."""
    if state is None:
        if not isinstance(event, Started):
            raise ValueError(f"A call begins with 'started', not with {type(event).__name__}.")
        return CallState(event.call_id, event.node, event.at, origins=(event.origin,))
    state = replace(state, events=state.events + 1)
    match event:
        case Started():
            raise ValueError("A call begins once.")
        case DialogJoined(origin=origin):
            return replace(state, origins=(*state.origins, origin))
        case StreamsAgreed(dialog=dialog, streams=streams):
            others = tuple(s for s in state.streams if s.dialog != dialog)
            return replace(state, streams=tuple(sorted((*others, *streams), key=lambda s: s.index)))
        case MetadataReceived(problem=problem):
            return _warn(state, f"Metadata could not be read: {problem}") if problem else state
        case Identified(caller=caller, callee=callee, direction=direction, identity=identity):
            return replace(state, caller=caller, callee=callee, direction=direction, identity=identity)
        case ParticipantJoined(participant=participant):
            return replace(state, presences=_join(state.presences, participant, event.at))
        case ParticipantLeft(id=left):
            return replace(
                state,
                presences=tuple(
                    replace(p, left=event.at) if p.left is None and p.participant.id == left else p
                    for p in state.presences
                ),
            )
        case Paused() | Resumed():
            return _hold(state, event)
        case Gap():
            return _warn(replace(state, gaps=(*state.gaps, event)), f"{event.packets} packets lost: {event.cause}")
        case Restarted():
            return _warn(replace(state, restarts=state.restarts + 1), f"Restarted after a fault: {event.problem}")
        case Ended(end=end):
            pauses = tuple(replace(p, end=event.at) if p.end is None else p for p in state.pauses)
            presences = tuple(replace(p, left=event.at) if p.left is None else p for p in state.presences)
            state = replace(state, ended=event, pauses=pauses, presences=presences)
            return _warn(state, event.by) if end in ("incomplete", "lost") and event.by else state


def fold(events: Iterable[AnyEvent]) -> CallState | None:
    """The state after all of them; None when there are none."""
    state: CallState | None = None
    for event in events:
        state = apply(state, event)
    return state


def _warn(state: CallState, sentence: str) -> CallState:
    return replace(state, warnings=(*state.warnings, sentence))


def _join(presences: tuple[Presence, ...], participant: Participant, at: Instant) -> tuple[Presence, ...]:
    for i, presence in enumerate(presences):
        if presence.left is None and presence.participant.id == participant.id:
            return (*presences[:i], replace(presence, participant=participant), *presences[i + 1 :])
    return (*presences, Presence(participant, at))


def _hold(state: CallState, event: Paused | Resumed) -> CallState:
    if isinstance(event, Paused):
        holders = state.holders | {event.holder}
        if state.paused:
            open_span = replace(state.pauses[-1], holders=(*state.pauses[-1].holders, event.holder))
            return replace(state, holders=holders, pauses=(*state.pauses[:-1], open_span))
        span = PauseSpan(event.at, None, event.sign, event.who, (event.holder,))
        return replace(state, holders=holders, pauses=(*state.pauses, span))
    holders = state.holders - {event.holder}
    if holders or not state.paused:
        return replace(state, holders=holders)
    closed = replace(state.pauses[-1], end=event.at)
    return replace(state, holders=holders, pauses=(*state.pauses[:-1], closed))
