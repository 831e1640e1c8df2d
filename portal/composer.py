"""A live call as sound: the packets of all its streams, laid on one clock, two channels, a frame at a time.

Pure: it is given what the gateway sent, and told the engine's clock with it. No clock of this machine plays a part, so
that neither side can drift from the other, and a stall is caught up with at once.

- A packet lies where its source's clock puts it: its end at its arrival, for a source's first packet, and by its
  timestamp from there on. So duplicates and reordering change nothing, and what is lost or was not sent is silence.
- What comes too late to be heard, or so much at once that it cannot be held, is lost and told as such.
- A frame is given out once the latest of the packets that belong in it can be expected. How long that takes is measured
  (packet time, the engine's visits, the network): the delay covers nearly all of the packets of the last second. It
  grows within two packets, and shrinks within a second or two.
- Where a source's clock and ours part for good (a jump, a clock that stood still, drift), the source is laid anew.

Not here: decoders (`archive/codecs.py`: a further codec there is heard here), listeners (`relay.py`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from archive.codecs import Format, Formats
from engine import rtp
from engine.errors import RemoteProtocolError
from engine.events import Instant, Side, Stream, StreamsAgreed
from engine.journal import ROW, ROW_CUT
from live.messages import Status, Visit

SECOND_NS: Final = 1_000_000_000
MS_NS: Final = 1_000_000
# What all decoders put out (archive/codecs.py).
RATE_HZ: Final = 8000
# The delay before anything was measured: a packet of 20 ms, a visit of 20 ms, and some room.
FIRST_DELAY_NS: Final = 45 * MS_NS
LEAST_DELAY_NS: Final = 20 * MS_NS
# Packets that come later than this are not waited for: two people are heard as talking with each other.
MOST_DELAY_NS: Final = 200 * MS_NS
# What was needed is counted in steps. The past weighs FORGET less with each packet (half a second of two sides), so
# that two packets that need more are enough to grow. A few are left to be too late, as NetEQ does it: one hiccup of a
# machine would make everybody wait longer.
STEP_NS: Final = 5 * MS_NS
FORGET: Final = 0.98
COVERED: Final = 0.97
# How often a source's clock is compared with ours.
WINDOW_NS: Final = 4 * SECOND_NS
# A source whose packets all come so much later (or at all earlier) than its clock says has drifted: 100 ppm are 5 ms in
# 50 s. Laying it anew costs as much silence, or as many samples.
DRIFT_NS: Final = 5 * MS_NS
# A packet that comes so much earlier than its timestamp says is of another clock: at once.
JUMP_NS: Final = 80 * MS_NS
# One that is so much too late to be heard is too, once that was so for ANEW_AFTER_NS: a network that held packets back
# gives them out at wire speed.
LATE_NS: Final = 300 * MS_NS
ANEW_AFTER_NS: Final = 500 * MS_NS
# Positions ahead of what was given out that are kept: no packet is earlier than its arrival by more than that.
AHEAD_S: Final = 2.0
# Sequence numbers that are missing and remembered; more at once is a new beginning (as RFC 3550 appendix A.1 has it).
MOST_MISSING: Final = 100
# Sources of one stream that are known at a time.
MOST_SOURCES: Final = 4

Samples = NDArray[np.int16]
CHANNELS: Final[dict[Side, tuple[int, ...]]] = {"caller": (0,), "callee": (1,), "both": (0, 1)}


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples (n, 2) int16 of caller and callee, the first at `position_s`. `gap`: packets of it, or before it, are
    missing."""

    position_s: float
    samples: Samples
    gap: bool


class _Source:
    """One SSRC of a stream: its clock on ours, and the sequence numbers that are missing."""

    __slots__ = (
        "_base_ns",
        "_floor_ns",
        "_highest",
        "_late_since_ns",
        "_missing",
        "_ticks",
        "_timestamp",
        "_window",
        "rate_hz",
    )

    def __init__(self, rate_hz: int, timestamp: int, begin_ns: int, sequence: int) -> None:
        self.rate_hz = rate_hz
        # A timestamp so many ticks (unwrapped) after the first lies at `base_ns` + ticks.
        self._base_ns = begin_ns
        self._timestamp, self._ticks = timestamp, 0
        self._highest = sequence
        self._missing: dict[int, int] = {}
        self._window = -1
        self._floor_ns = 0
        self._late_since_ns: int | None = None

    def place(self, timestamp: int, length_ns: int, arrival_ns: int) -> int:
        """Where a packet's first sample lies; the source is laid anew where its clock and ours have parted."""
        step = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        ticks = self._ticks + step
        if step > 0:
            self._timestamp, self._ticks = timestamp, ticks
        begin_ns = self._base_ns + ticks * SECOND_NS // self.rate_hz
        late_ns = arrival_ns - length_ns - begin_ns
        if late_ns < -JUMP_NS or self._stays_late(late_ns, arrival_ns):
            return self._lay_anew(late_ns, begin_ns)
        window = arrival_ns // WINDOW_NS
        if window == self._window:
            self._floor_ns = min(self._floor_ns, late_ns)
            return begin_ns
        drift_ns = self._floor_ns if self._window >= 0 else 0
        self._window, self._floor_ns = window, late_ns
        return self._lay_anew(drift_ns, begin_ns) if abs(drift_ns) > DRIFT_NS else begin_ns

    def count(self, sequence: int, at: int) -> bool:
        """Note what is missing before a packet that lies at sample `at`. Whether it is the first of its number."""
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead >= 0x8000:
            return self._missing.pop(sequence, None) is not None
        if ahead:
            first = self._highest + 1 if ahead <= MOST_MISSING else sequence - 1
            self._missing.update((number & 0xFFFF, at) for number in range(first, self._highest + ahead))
            self._highest = sequence
        return ahead > 0

    def lose(self, sequence: int, at: int) -> None:
        """A packet that lies at sample `at` came, and cannot be given out."""
        self._missing[sequence] = at

    def miss(self, end: int) -> bool:
        """Whether packets are missing before sample `end`; they are told of once."""
        gone = [number for number, at in self._missing.items() if at <= end]
        for number in gone:
            del self._missing[number]
        return bool(gone)

    def _stays_late(self, late_ns: int, arrival_ns: int) -> bool:
        if late_ns <= LATE_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = arrival_ns
        return self._late_since_ns is not None and arrival_ns - self._late_since_ns > ANEW_AFTER_NS

    def _lay_anew(self, by_ns: int, begin_ns: int) -> int:
        self._base_ns += by_ns
        self._window, self._late_since_ns = -1, None
        return begin_ns + by_ns


class Composer:
    """One call. `agree` and `take` what the gateway says; `give` what is due."""

    def __init__(self, status: Status) -> None:
        self._started_ns = status.started.monotonic_ns
        self._formats = Formats()
        self._channels: dict[int, tuple[int, ...]] = {}
        self._lanes: dict[int, _Lane] = {}
        self._given = _samples(round(status.position_s * SECOND_NS))
        self._needed = np.zeros(MOST_DELAY_NS // STEP_NS)  # shares of packets, by what they needed
        self._needed[FIRST_DELAY_NS // STEP_NS - 1] = 1.0
        self._delay_ns = FIRST_DELAY_NS
        self._gap = False
        self.agree(status.streams)

    @property
    def delay_ns(self) -> int:
        """How far behind the engine's clock a frame's last sample is given out."""
        return self._delay_ns

    def agree(self, streams: tuple[Stream, ...]) -> None:
        """Which streams there are, on which side and in which formats."""
        for stream in streams:
            self._formats.agree(StreamsAgreed(at=_NOWHEN, dialog=stream.dialog, streams=(stream,)))
            self._channels[stream.index] = CHANNELS[stream.side]

    def take(self, visit: Visit) -> None:
        """The packets of one visit."""
        now_ns = visit.monotonic_ns - self._started_ns
        rows = np.frombuffer(visit.headers, ROW)
        at = 0
        for seconds, nanoseconds, stream, length, flags, _ in rows.tolist():
            data = visit.packets[at : at + length]
            at += length
            if flags & ROW_CUT:
                continue  # where its padding begins is unknown; the engine has counted it
            try:
                packet = rtp.parse(data)
            except RemoteProtocolError:
                continue
            age_ns = visit.realtime_ns - (seconds * SECOND_NS + nanoseconds)
            # A realtime clock that was set makes ages that cannot be.
            arrival_ns = now_ns - (age_ns if 0 <= age_ns <= SECOND_NS else 0)
            self._take(stream, packet, arrival_ns, now_ns)

    def lose(self) -> None:
        """Packets were lost on the way here."""
        self._gap = True

    def skip_to(self, position_s: float) -> None:
        """Nothing lies before this position: the recording was paused until then."""
        self._given = max(self._given, _samples(round(position_s * SECOND_NS)))
        self._gap = True
        for lane in self._lanes.values():
            lane.skip_to(self._given)

    def give(self, now_ns: int, least: int) -> Sound | None:
        """All that is due at `now_ns` of the engine's monotonic clock, once that is `least` samples or more."""
        end = _samples(now_ns - self._started_ns - self._delay_ns)
        return self._give(end) if end - self._given >= least else None

    def give_rest(self, position_s: float) -> Sound | None:
        """All that came and belongs before this position: the recording pauses here, or the call ends."""
        end = min(_samples(round(position_s * SECOND_NS)), max((lane.end for lane in self._lanes.values()), default=0))
        return self._give(end) if end > self._given else None

    def _give(self, end: int) -> Sound:
        # After a stall of the whole line there may be more to give than one frame can hold.
        end = min(end, self._given + round(AHEAD_S * RATE_HZ))
        begin, self._given = self._given, end
        mixed = np.zeros((end - begin, 2), np.int32)
        gap, self._gap = self._gap, False
        for stream, lane in self._lanes.items():
            samples, missing = lane.take(begin, end)
            gap |= missing
            if samples is not None:
                for channel in self._channels.get(stream, ()):
                    mixed[:, channel] += samples
        return Sound(begin / RATE_HZ, np.clip(mixed, -32768, 32767).astype(np.int16), gap)

    def _take(self, stream: int, packet: rtp.Packet, arrival_ns: int, now_ns: int) -> None:
        known = self._formats.get(stream, packet.payload_type)
        lane = self._lanes.get(stream)
        if lane is None:
            lane = self._lanes[stream] = _Lane(self._given)
        begin_ns = lane.put(packet, known, arrival_ns)
        if begin_ns is not None:
            self._need(now_ns - begin_ns)

    def _need(self, needed_ns: int) -> None:
        """A packet became available so long after its first sample."""
        self._needed *= FORGET
        self._needed[min(max(needed_ns, 0) // STEP_NS, len(self._needed) - 1)] += 1 - FORGET
        covering = int(np.searchsorted(np.cumsum(self._needed), COVERED * self._needed.sum()))
        self._delay_ns = max(LEAST_DELAY_NS, (covering + 1) * STEP_NS)


class _Lane:
    """One stream: where its sources lie, and the samples that were not given out yet."""

    __slots__ = ("_buffer", "_candidates", "_from", "_sources", "end")

    def __init__(self, begin: int) -> None:
        self._sources: dict[int, _Source] = {}
        self._candidates: dict[int, int] = {}
        self._buffer = np.zeros(round(AHEAD_S * RATE_HZ), np.int16)
        self._from = begin
        self.end = begin

    def put(self, packet: rtp.Packet, known: Format | None, arrival_ns: int) -> int | None:
        """Take a packet in. Gives where its first sample lies, in ns on the call's clock; None for what is no sound."""
        source = self._sources.get(packet.ssrc)
        if known is None or known.decoder is None or not packet.payload:
            if source is not None:
                source.count(packet.sequence, self.end)
            return None
        payload = np.frombuffer(packet.payload, np.uint8)
        rate_hz = known.codec.rate_hz
        ticks = int(known.decoder.ticks(payload, _FIRST, np.array([len(payload)]))[0])
        length_ns = ticks * SECOND_NS // rate_hz
        if source is None or source.rate_hz != rate_hz:
            source = self._admit(packet, rate_hz, arrival_ns - length_ns)
            if source is None:
                return None
        begin_ns = source.place(packet.timestamp, length_ns, arrival_ns)
        begin = _samples(begin_ns)
        new = source.count(packet.sequence, begin)
        samples = known.decoder.decode(payload[None, :])[0]
        at = begin - self._from
        if -len(samples) < at < len(self._buffer):
            room = self._buffer[max(0, at) : at + len(samples)]
            room[:] = samples[max(0, -at) :][: len(room)]
            self.end = max(self.end, begin + len(samples))
        elif new:
            source.lose(packet.sequence, begin)
        return begin_ns

    def take(self, begin: int, end: int) -> tuple[Samples | None, bool]:
        """The samples from `begin`, which goes on where the last ones ended; None for silence. And whether packets of
        them, or from before, are missing."""
        count = end - begin
        missing = any([source.miss(end) for source in self._sources.values()])
        self._from = end
        if self.end <= begin:
            return None, missing
        taken = self._buffer[:count].copy()
        self._buffer[: len(self._buffer) - count] = self._buffer[count:]
        self._buffer[len(self._buffer) - count :] = 0
        return taken, missing

    def skip_to(self, begin: int) -> None:
        """Nothing that came so far is heard any more."""
        self._buffer[:] = 0
        self._from = self.end = begin

    def _admit(self, packet: rtp.Packet, rate_hz: int, begin_ns: int) -> _Source | None:
        """A source counts once two of its packets followed one another (RFC 3550 appendix A.1)."""
        before = self._candidates.get(packet.ssrc)
        if before is None or packet.sequence != (before + 1) & 0xFFFF:
            if len(self._candidates) >= MOST_SOURCES:
                self._candidates.clear()
            self._candidates[packet.ssrc] = packet.sequence
            return None
        del self._candidates[packet.ssrc]
        if len(self._sources) >= MOST_SOURCES:
            del self._sources[next(iter(self._sources))]
        source = _Source(rate_hz, packet.timestamp, begin_ns, packet.sequence)
        self._sources[packet.ssrc] = source
        return source


_FIRST: Final = np.zeros(1, np.int64)
_NOWHEN: Final = Instant(0, 0)


def _samples(position_ns: int) -> int:
    return position_ns * RATE_HZ // SECOND_NS
