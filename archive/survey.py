"""The first pass through a journal: all that is to be known of a call before a sample of it is decoded.

Not here: samples (`render.py`), files (`finish.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from archive.callfile import Batch, CallFile, NoCall, Sorter, StreamPackets, Unreadable
from archive.reception import Receiver, Reception
from engine import rtp
from engine.call import CallState, apply
from engine.errors import RemoteProtocolError
from engine.events import AnyEvent, Instant, Paused, Resumed, Stream, StreamsAgreed
from engine.timeline import MAX_SOURCES, Packets, StreamClock, Timeline

# Keys that a person can press in a day; a stream that says more than that is forged.
MAX_DIGITS: Final = 20_000
# A kill tears one visit at most: 200 ms of two G.711 streams, sealed, are 4 to 6 kB.
VISIT_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class Digit:
    """A key that was pressed. `position_ns` on the call's clock."""

    digit: str
    stream: int
    position_ns: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class SurveyedStream:
    """What came on one stream. `agreed` is its last agreement; None for packets of a stream nobody agreed."""

    index: int
    agreed: Stream | None
    timeline: Timeline
    receptions: tuple[tuple[int, Reception], ...]  # by SSRC, noise included
    codecs: tuple[str, ...]  # names of the audio formats that packets had
    rate_hz: int  # the highest of their decoders; 0 where none had audio


@dataclass(frozen=True, slots=True)
class Survey:
    """A call, surveyed. Lengths and positions in ns on the call's clock; `pauses` are (start, end)."""

    state: CallState
    events: tuple[AnyEvent, ...]
    streams: tuple[SurveyedStream, ...]
    digits: tuple[Digit, ...]
    warnings: tuple[str, ...]
    length_ns: int
    pauses: tuple[tuple[int, int], ...]
    torn_bytes: int
    damaged_blocks: int

    @property
    def rate_hz(self) -> int:
        """Samples a second of the recording: those of its best stream; 0 where there is no audio."""
        return max((s.rate_hz for s in self.streams), default=0)


def damage(torn_bytes: int, damaged_blocks: int) -> tuple[str, ...]:
    """What is wrong with a journal beyond what a kill leaves behind, in sentences."""
    sentences = []
    if torn_bytes > VISIT_BYTES:
        sentences.append(
            f"The journal's last {torn_bytes} bytes could not be opened, more than a kill leaves behind: "
            "what they held is not in the recording."
        )
    if damaged_blocks:
        sentences.append(f"Damaged blocks of the journal, which could not be opened: {damaged_blocks}.")
    return tuple(sentences)


def survey(call: CallFile, go_on: Callable[[], None] = lambda: None) -> Survey:
    """Reads a whole journal. `go_on` is called with each batch; what it raises ends the survey.

    Raises `NoCall` when there is no call in it.
    """
    surveyor = _Surveyor()
    for item in call.items():
        if isinstance(item, Batch):
            go_on()
            surveyor.receive(item)
        elif isinstance(item, Unreadable):
            surveyor.warn(f"Block {item.number} of the journal could not be read: {item.problem}.")
        else:
            surveyor.tell(item)
    return surveyor.finish(call.torn_bytes, call.damaged_blocks)


class _StreamSurveyor:
    """One stream while it is surveyed."""

    __slots__ = ("_digits", "clock", "codecs", "index", "rate_hz", "receivers", "unknown")

    def __init__(self, index: int) -> None:
        self.index = index
        self.clock = StreamClock()
        self.receivers: dict[int, Receiver] = {}
        self.codecs: set[str] = set()
        self.rate_hz = 0
        self.unknown: dict[int, int] = {}  # payload type -> packets
        # (ssrc, timestamp) -> (event, its first packet, longest duration in ticks)
        self._digits: dict[tuple[int, int], tuple[rtp.TelephoneEvent, Packets, int]] = {}

    def receive(self, sorted_: StreamPackets, batch: Batch) -> None:
        packets = sorted_.packets
        self.clock.observe(packets)
        for ssrc in np.unique(packets.ssrc).tolist():
            of = packets.ssrc == ssrc
            if ssrc not in self.receivers:
                if len(self.receivers) >= MAX_SOURCES:
                    continue
                self.receivers[ssrc] = Receiver(int(packets.arrival_ns[of][0]))
            self.receivers[ssrc].receive(packets.take(of), int(sorted_.payload_bytes[of].sum()))
        for payload_type, known in sorted_.formats.items():
            if known is not None and known.decoder is not None:
                self.codecs.add(known.codec.name.upper())
                self.rate_hz = max(self.rate_hz, known.decoder.rate_hz)
            elif known is None or known.kind == "unknown":
                count = int(np.count_nonzero(sorted_.payload_type == payload_type))
                self.unknown[payload_type] = self.unknown.get(payload_type, 0) + count
        for row in np.flatnonzero(sorted_.of_kind("event")).tolist():
            start = int(sorted_.payload_start[row])
            self._press(batch.rows.data[start : start + int(sorted_.payload_bytes[row])].tobytes(), packets, row)

    def _press(self, payload: bytes, packets: Packets, row: int) -> None:
        try:
            event = rtp.parse_event(payload)
        except RemoteProtocolError:
            return
        key = int(packets.ssrc[row]), int(packets.timestamp[row])
        if key in self._digits:
            first, packet, longest = self._digits[key]
            self._digits[key] = first, packet, max(longest, event.duration)
        elif event.digit and len(self._digits) < MAX_DIGITS:
            self._digits[key] = event, packets.take(np.array([row])), event.duration

    def digits(self, timeline: Timeline) -> list[Digit]:
        found = []
        for event, packet, longest in self._digits.values():
            placed = float(timeline.place(packet)[0])
            position = int(packet.arrival_ns[0]) if np.isnan(placed) else int(placed)
            found.append(Digit(event.digit, self.index, max(0, position), 1000 * longest // int(packet.rate_hz[0])))
        return found


class _Surveyor:
    def __init__(self) -> None:
        self._sorter = Sorter()
        self._state: CallState | None = None
        self._events: list[AnyEvent] = []
        self._agreed: dict[int, Stream] = {}
        self._streams: dict[int, _StreamSurveyor] = {}
        self._warnings: list[str] = []
        self._last_ns = 0

    def warn(self, sentence: str) -> None:
        self._warnings.append(sentence)

    def tell(self, event: AnyEvent) -> None:
        try:
            self._state = apply(self._state, event)
        except ValueError as error:
            raise NoCall(str(error)) from error
        self._events.append(event)
        self._last_ns = max(self._last_ns, self._state.position_ns(event.at))
        if isinstance(event, StreamsAgreed):
            self._sorter.agree(event)
            self._agreed |= {stream.index: stream for stream in event.streams}
        elif isinstance(event, Paused | Resumed):
            for stream in self._streams.values():
                for receiver in stream.receivers.values():
                    receiver.interrupt()

    def receive(self, batch: Batch) -> None:
        for packets in self._sorter.sort(batch):
            stream = self._streams.setdefault(packets.stream, _StreamSurveyor(packets.stream))
            stream.receive(packets, batch)
            self._last_ns = max(self._last_ns, int(packets.packets.arrival_ns.max()))

    def finish(self, torn_bytes: int, damaged_blocks: int) -> Survey:
        state = self._state
        if state is None:
            raise NoCall("The journal holds no call.")
        length = self._last_ns if state.ended is None else max(0, state.position_ns(state.ended.at))
        streams, digits = [], []
        for index in sorted(self._streams):
            stream = self._streams[index]
            timeline = stream.clock.settle()
            digits += stream.digits(timeline)
            streams.append(
                SurveyedStream(
                    index,
                    self._agreed.get(index),
                    timeline,
                    tuple((ssrc, receiver.report()) for ssrc, receiver in stream.receivers.items()),
                    tuple(sorted(stream.codecs)),
                    stream.rate_hz,
                )
            )
            self._warn_of(stream, timeline)
        if self._sorter.malformed:
            self.warn(f"Packets that were no RTP: {self._sorter.malformed}.")
        self._warnings += damage(torn_bytes, damaged_blocks)
        return Survey(
            state,
            tuple(self._events),
            tuple(streams),
            tuple(sorted(digits, key=lambda d: d.position_ns)),
            (*state.warnings, *self._warnings),
            length,
            tuple(_span(state, span.start, span.end, length) for span in state.pauses),
            torn_bytes,
            damaged_blocks,
        )

    def _warn_of(self, stream: _StreamSurveyor, timeline: Timeline) -> None:
        name = f"Stream {stream.index}"
        for payload_type, count in sorted(stream.unknown.items()):
            self.warn(f"{name}: payload type {payload_type} cannot be decoded; its packets are silent: {count}.")
        if timeline.noise:
            self.warn(f"{name}: sources that never sent two packets in a row, left out: {len(timeline.noise)}.")


def _span(state: CallState, start: Instant, end: Instant | None, length_ns: int) -> tuple[int, int]:
    """A pause on the call's clock; one that nobody ended lasts to the call's end."""
    until = length_ns if end is None else state.position_ns(end)
    return min(state.position_ns(start), length_ns), min(until, length_ns)
