"""The manifest: all that is known of a call, as JSON beside its audio. A lost database can be rebuilt from these.

Positions (`*_s`) are seconds on the call's clock, which starts at `started_at`; where `file_s` stands beside one, it
says where that lies in the audio file (the two differ once a pause was skipped). Times are RFC 3339 in UTC.

`read_manifest` reads what this version or an earlier one wrote; fields are only ever added, with a default.

Not here: how any of it was found out (`survey.py`), or where the file lies (`finish.py`).
"""

import base64
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from archive.encode import AudioFormat, Encoding
from archive.render import PauseMap, PausePolicy, samples_at
from archive.survey import Survey, SurveyedStream
from engine.call import CallState, PauseSpan
from engine.events import (
    AnyEvent,
    End,
    Holder,
    Identity,
    Instant,
    MetadataReceived,
    Origin,
    Participant,
    Party,
    StreamsAgreed,
)
from engine.timeline import SECOND_NS

VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"


class Audio(msgspec.Struct, frozen=True):
    """The audio file."""

    file: str
    format: AudioFormat
    bytes: int
    sha256: str
    duration_s: float
    rate_hz: int
    channels: int
    pause_policy: PausePolicy


class Peaks(msgspec.Struct, frozen=True):
    """The peaks file (see `peaks.py`)."""

    file: str
    points_per_s: int
    bytes: int


class Source(msgspec.Struct, frozen=True):
    """What came of one SSRC (RFC 3550). `skew_ppm` is positive where the sender's clock is slow; None: too short."""

    ssrc: int
    packets: int
    payload_bytes: int
    lost: int
    duplicates: int
    out_of_order: int
    jitter_ms: float
    jitter_max_ms: float
    first_s: float
    last_s: float
    skew_ppm: float | None
    segments: int
    noise: bool


class StreamReport(msgspec.Struct, frozen=True):
    """One stream, and what came on it."""

    index: int
    label: str
    side: str
    codecs: tuple[str, ...]
    sources: tuple[Source, ...]
    packets: int
    lost: int


class Presence(msgspec.Struct, frozen=True):
    """Who was on the call, and when. `left_s` is None where the call broke off before anybody left."""

    participant: Participant
    joined_s: float
    left_s: float | None


class Pause(msgspec.Struct, frozen=True):
    """Time withheld."""

    start_s: float
    end_s: float
    file_s: float
    sign: str
    who: str
    by: tuple[Holder, ...]


class GapReport(msgspec.Struct, frozen=True):
    """Time lost."""

    start_s: float
    end_s: float
    packets: int
    cause: str


class DigitReport(msgspec.Struct, frozen=True):
    """A key that was pressed."""

    digit: str
    position_s: float
    file_s: float
    duration_ms: int
    stream: int
    side: str


class Document(msgspec.Struct, frozen=True):
    """A metadata document word for word: as text, or in base64 where it is no UTF-8."""

    received_s: float
    content_type: str
    document: str
    encoding: Literal["utf-8", "base64"] = "utf-8"
    problem: str = ""


class JournalReport(msgspec.Struct, frozen=True):
    """The journal that the recording was made of."""

    bytes: int
    torn_bytes: int
    damaged_blocks: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a call. `connected_at` is when its first streams were agreed."""

    version: int = VERSION
    call_id: str
    node: str
    end: End
    ended_by: str
    started_at: str
    connected_at: str | None
    ended_at: str
    duration_s: float
    caller: Party
    callee: Party
    direction: str
    identity: Identity
    origins: tuple[Origin, ...]
    streams: tuple[StreamReport, ...]
    participants: tuple[Presence, ...]
    pauses: tuple[Pause, ...]
    gaps: tuple[GapReport, ...]
    digits: tuple[DigitReport, ...]
    warnings: tuple[str, ...]
    restarts: int
    metadata: tuple[Document, ...]
    events: tuple[AnyEvent, ...]
    audio: Audio | None
    peaks: Peaks | None
    journal: JournalReport


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, indented for people."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(data: bytes) -> Manifest:
    """The manifest again. Raises `ValueError` for anything else."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ValueError(f"This is not a manifest: {error}.") from error
    if manifest.version > VERSION:
        raise ValueError(f"The manifest is of version {manifest.version}; this release reads up to {VERSION}.")
    return manifest


def describe(
    surveyed: Survey, pauses: PauseMap, audio: Audio | None, peaks: Peaks | None, journal_bytes: int, late: int
) -> Manifest:
    """The manifest of a call. `late` counts packets that came too late to be heard."""
    state, rate_hz = surveyed.state, surveyed.rate_hz

    def in_file(position_ns: int) -> float:
        return pauses.in_file(samples_at(position_ns, rate_hz)) / rate_hz if rate_hz else _seconds(position_ns)

    sides = {s.index: s.agreed.side if s.agreed is not None else "both" for s in surveyed.streams}
    warnings = list(surveyed.warnings)
    if audio is None:
        warnings.append("No audio came, so there is no audio file.")
    if late:
        warnings.append(f"Packets that came too late to be heard: {late}.")
    agreed = [event.at for event in surveyed.events if isinstance(event, StreamsAgreed)]
    return Manifest(
        call_id=state.call_id,
        node=state.node,
        end="interrupted" if state.ended is None else state.ended.end,
        ended_by="" if state.ended is None else state.ended.by,
        started_at=_time(state, 0),
        connected_at=_time(state, state.position_ns(agreed[0])) if agreed else None,
        ended_at=_time(state, surveyed.length_ns),
        duration_s=_seconds(surveyed.length_ns),
        caller=state.caller,
        callee=state.callee,
        direction=state.direction,
        identity=state.identity,
        origins=state.origins,
        streams=tuple(_stream(stream) for stream in surveyed.streams),
        participants=tuple(
            Presence(p.participant, _position(state, p.joined), None if p.left is None else _position(state, p.left))
            for p in state.presences
        ),
        pauses=tuple(
            _pause(span, bounds, in_file(bounds[0])) for span, bounds in zip(state.pauses, surveyed.pauses, strict=True)
        ),
        gaps=tuple(
            GapReport(_position(state, gap.since), _position(state, gap.at), gap.packets, gap.cause)
            for gap in state.gaps
        ),
        digits=tuple(
            DigitReport(
                d.digit, _seconds(d.position_ns), in_file(d.position_ns), d.duration_ms, d.stream, sides[d.stream]
            )
            for d in surveyed.digits
        ),
        warnings=tuple(warnings),
        restarts=state.restarts,
        metadata=tuple(_document(state, e) for e in surveyed.events if isinstance(e, MetadataReceived)),
        events=surveyed.events,
        audio=audio,
        peaks=peaks,
        journal=JournalReport(journal_bytes, surveyed.torn_bytes, surveyed.damaged_blocks),
    )


def audio_of(encoding: Encoding, size: int, sha256: str, duration_s: float, rate_hz: int, policy: PausePolicy) -> Audio:
    """The entry of a stereo file that was made with `encoding`."""
    return Audio(encoding.file_name, encoding.format, size, sha256, duration_s, rate_hz, 2, policy)


def _stream(stream: SurveyedStream) -> StreamReport:
    sources = []
    for ssrc, reception in stream.receptions:
        segments = [s for s in stream.timeline.segments if s.ssrc == ssrc]
        longest = max(segments, key=lambda s: s.span_ns, default=None)
        sources.append(
            Source(
                ssrc,
                reception.packets,
                reception.payload_bytes,
                reception.lost,
                reception.duplicates,
                reception.out_of_order,
                reception.jitter_ms,
                reception.jitter_max_ms,
                _seconds(reception.first_ns),
                _seconds(reception.last_ns),
                round(longest.skew * 1e6, 1) if longest is not None and longest.fitted else None,
                len(segments),
                ssrc in stream.timeline.noise,
            )
        )
    real = [source for source in sources if not source.noise]
    return StreamReport(
        stream.index,
        stream.agreed.label if stream.agreed is not None else "",
        stream.agreed.side if stream.agreed is not None else "both",
        stream.codecs,
        tuple(sources),
        sum(source.packets for source in real),
        sum(source.lost for source in real),
    )


def _pause(span: PauseSpan, bounds: tuple[int, int], file_s: float) -> Pause:
    return Pause(_seconds(bounds[0]), _seconds(bounds[1]), file_s, span.sign, span.who, span.holders)


def _document(state: CallState, event: MetadataReceived) -> Document:
    received = _position(state, event.at)
    try:
        return Document(received, event.content_type, event.document.decode("utf-8"), "utf-8", event.problem)
    except UnicodeDecodeError:
        coded = base64.b64encode(event.document).decode("ascii")
        return Document(received, event.content_type, coded, "base64", event.problem)


def _position(state: CallState, at: Instant) -> float:
    return _seconds(state.position_ns(at))


def _seconds(ns: int) -> float:
    return round(ns / SECOND_NS, 6)


def _time(state: CallState, position_ns: int) -> str:
    """A position as a time of day: the start's realtime and what the monotonic clock counted since."""
    microseconds = (state.started.realtime_ns + position_ns) // 1000
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")
