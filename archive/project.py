"""The projection: what a call's events and its manifest tell, as the record that the database holds of it.

One function makes the record of a call from its events; the record of a finished call is that one, with what only the
recording tells: its files, figures of reception, and an end that the events may lack.

Pure: no file, no database, no clock.

Not here: who a number belongs to (the database knows), when records are written (`clerk.py`, `listing.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from archive.manifest import Manifest, StreamReport
from engine.call import CallState, PauseSpan, apply
from engine.events import AnyEvent, Instant, Party, Side, Stream, StreamsAgreed
from engine.timeline import SECOND_NS
from schema.values import (
    CallRecord,
    ParticipantRecord,
    PartyRecord,
    PauseRecord,
    RecordingRecord,
    RecordingState,
    StreamRecord,
    lines_of_party,
)

# Every call is recorded from its start, and may be paused.
MODE: Final = "always-pause"
PHONE_SYSTEM: Final = "phone-system"
# Formats that are agreed beside a voice (RFC 4733, RFC 3389) and name no stream.
_NO_VOICE: Final = frozenset({"TELEPHONE-EVENT", "CN"})
_SIDES: Final[tuple[Side, Side]] = ("caller", "callee")


@dataclass(frozen=True, slots=True)
class CallSoFar:
    """A call as its events told it up to number `state.events`.

    `connected` is when its first streams were agreed; `addresses` where caller and callee sent from when last told.
    """

    state: CallState
    connected: Instant | None = None
    addresses: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose a call is. A user belongs to one tenant, and so does a call."""

    tenant_id: UUID
    caller: UUID | None = None
    callee: UUID | None = None


def tell(call: CallSoFar | None, number: int, event: AnyEvent) -> CallSoFar:
    """The call after event `number`. Raises `ValueError` where the first one is not `Started`."""
    state = replace(apply(None if call is None else call.state, event), events=number)
    if call is None:
        return CallSoFar(state)
    if isinstance(event, StreamsAgreed):
        return CallSoFar(state, call.connected or event.at, _addresses(event.streams, call.addresses))
    return replace(call, state=state)


def skip(call: CallSoFar, number: int) -> CallSoFar:
    """The call after an event that cannot be read: nothing is known but that there was one."""
    return replace(call, state=replace(call.state, events=number))


def fold(events: Iterable[AnyEvent]) -> CallSoFar | None:
    """The call after all of them; None when there are none."""
    call: CallSoFar | None = None
    for number, event in enumerate(events, 1):
        call = tell(call, number, event)
    return call


def lines_of(*parties: Party) -> frozenset[str]:
    """What these parties' phones may be known by."""
    return frozenset(line for party in parties for line in _lines(party))


def owners(caller: Party, callee: Party, known: Mapping[str, tuple[UUID, UUID]], default_tenant: UUID) -> Owners:
    """Whose a call between these two is. `known`: line -> (tenant, user), as far as there are users of `lines_of`.

    The caller decides about the tenant where both are users; the other side's user counts in the same tenant only.
    """
    found = [next((known[line] for line in _lines(party) if line in known), None) for party in (caller, callee)]
    tenant_id = next((match[0] for match in found if match is not None), default_tenant)
    users = [match[1] if match is not None and match[0] == tenant_id else None for match in found]
    return Owners(tenant_id, *users)


def record_of(call: CallSoFar, whose: Owners) -> CallRecord:
    """The record of a call that runs, or that ended and is no recording yet."""
    state = call.state
    recording: RecordingState = "paused" if state.paused else "recording"
    ended = state.ended
    ended_ns = None if ended is None else max(0, state.position_ns(ended.at))
    return CallRecord(
        id=UUID(state.call_id),
        tenant_id=whose.tenant_id,
        node=state.node,
        events=state.events,
        started_at=_time(state, 0),
        connected_at=None if call.connected is None else _time(state, state.position_ns(call.connected)),
        ended_at=None if ended_ns is None else _time(state, ended_ns),
        duration_s=None if ended_ns is None else _seconds(ended_ns),
        end=None if ended is None else ended.end,
        direction=state.direction,
        caller=_party(state.caller, call.addresses[0], whose.caller),
        callee=_party(state.callee, call.addresses[1], whose.callee),
        mode=MODE,
        recording=recording if ended is None else "off",
        session_id=state.identity.session_id,
        group_id=state.identity.group_id,
        tracking_id=state.identity.tracking_id,
        sip_session_id=state.identity.sip_session_id,
        sip_call_id=state.origins[0].sip_call_id if state.origins else "",
        warnings=state.warnings,
        participants=tuple(
            ParticipantRecord(
                p.participant.name,
                p.participant.number,
                p.participant.aor,
                _seconds(state.position_ns(p.joined)),
                None if p.left is None else _seconds(state.position_ns(p.left)),
            )
            for p in state.presences
        ),
        streams=tuple(_stream(stream) for stream in state.streams if stream.state != "rejected"),
        pauses=tuple(_pause(state, span) for span in state.pauses),
    )


def record_of_manifest(manifest: Manifest, folder: str, whose: Owners) -> CallRecord:
    """The record of a finished call. `folder` is where its files lie, relative to the shelf.

    Raises `ValueError` where the manifest's events are no call's.
    """
    call = fold(manifest.events)
    if call is None:
        raise ValueError("The manifest holds no event.")
    ended_at = datetime.fromisoformat(manifest.ended_at)
    return replace(
        record_of(call, whose),
        ended_at=ended_at,
        duration_s=manifest.duration_s,
        end=manifest.end,
        finished=True,
        recording="off",
        kept=manifest.audio is not None,
        warnings=manifest.warnings,
        participants=tuple(
            ParticipantRecord(p.participant.name, p.participant.number, p.participant.aor, p.joined_s, p.left_s)
            for p in manifest.participants
        ),
        streams=_streams(call.state.streams, manifest.streams),
        pauses=tuple(
            PauseRecord(pause.start_s, pause.end_s, pause.who or PHONE_SYSTEM, pause.file_s)
            for pause in manifest.pauses
        ),
        recording_file=_recording(manifest, folder),
    )


def record_without_recording(
    call: CallSoFar, whose: Owners, end: Literal["incomplete", "lost"], warning: str
) -> CallRecord:
    """The record of a call of which no recording can be made (`end`: incomplete) or of which nothing is left (lost)."""
    record = record_of(call, whose)
    return replace(
        record,
        end=end,
        finished=True,
        recording="off",
        kept=False,
        warnings=(*record.warnings, warning),
    )


def nothing_but(call_id: UUID, node: str, started_ns: int) -> CallSoFar:
    """A call of which no event can be read any more. `started_ns`: when it began, realtime, as far as can be told."""
    return CallSoFar(CallState(str(call_id), node, Instant(started_ns, 0), events=0))


def _lines(party: Party) -> tuple[str, ...]:
    return lines_of_party(party.number, party.aor)


def _party(party: Party, address: str, user_id: UUID | None) -> PartyRecord:
    return PartyRecord(party.number, party.name, party.aor, address, user_id)


def _addresses(streams: Iterable[Stream], before: tuple[str, str]) -> tuple[str, str]:
    """Where each side sends from. A phone system that pauses may take the address back: the last one stands then."""
    told = {side: next((_address(s) for s in streams if s.side == side and s.remote_port), "") for side in _SIDES}
    return told["caller"] or before[0], told["callee"] or before[1]


def _address(stream: Stream) -> str:
    host = stream.remote_address
    return f"[{host}]:{stream.remote_port}" if ":" in host else f"{host}:{stream.remote_port}"


def _stream(stream: Stream) -> StreamRecord:
    voices = [codec.name for codec in stream.codecs if codec.name.upper() not in _NO_VOICE]
    return StreamRecord(stream.index, stream.label, stream.side, voices[0] if voices else "")


def _streams(agreed: Iterable[Stream], reports: Iterable[StreamReport]) -> tuple[StreamRecord, ...]:
    """The streams of a finished call: those that were agreed, and those on which something came."""
    records = {stream.index: _stream(stream) for stream in agreed if stream.state != "rejected"}
    for report in reports:
        side: Side = next((known for known in _SIDES if known == report.side), "both")
        known = records.get(report.index, StreamRecord(report.index, report.label, side, ""))
        records[report.index] = replace(
            known,
            codec=", ".join(report.codecs) or known.codec,
            packets=report.packets,
            lost=report.lost,
            jitter_ms=_jitter_ms(report),
        )
    return tuple(records[index] for index in sorted(records))


def _jitter_ms(report: StreamReport) -> float | None:
    """The mean of a stream's sources, each with the weight of its packets."""
    real = [source for source in report.sources if not source.noise]
    packets = sum(source.packets for source in real)
    return round(sum(source.jitter_ms * source.packets for source in real) / packets, 3) if packets else None


def _pause(state: CallState, span: PauseSpan) -> PauseRecord:
    end_s = None if span.end is None else _seconds(state.position_ns(span.end))
    return PauseRecord(_seconds(state.position_ns(span.start)), end_s, span.who or PHONE_SYSTEM)


def _recording(manifest: Manifest, folder: str) -> RecordingRecord | None:
    audio = manifest.audio
    if audio is None:
        return None
    peaks = "" if manifest.peaks is None else manifest.peaks.file
    return RecordingRecord(
        folder, audio.file, audio.format, audio.bytes, audio.sha256, audio.duration_s, audio.rate_hz, peaks
    )


def _seconds(ns: int) -> float:
    return round(ns / SECOND_NS, 6)


def _time(state: CallState, position_ns: int) -> datetime:
    """A position as a time of day: the start's realtime and what the monotonic clock counted since."""
    microseconds = (state.started.realtime_ns + position_ns) // 1000
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
