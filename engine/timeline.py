"""Where packets belong in time: from RTP timestamps and arrival times to positions on the call's clock.

    Arrivals      kernel receive times (realtime) onto the call's clock (monotonic, 0 at its start)
    StreamClock   observes one stream's packets in file order, batch by batch; `settle` fits what it saw
    Timeline      places packets: the second time through the same file

A packet's end lies at its arrival, had the network had no jitter: audio cannot be sent before it was spoken. So the
delay (arrival minus RTP time of the packet's end) has a floor; a line along that floor is the sender's clock, its slope
the skew. Rules:
- An SSRC counts once two of its packets followed one another (RFC 3550 appendix A.1); before that it is noise.
- A new segment begins where the clocks part for good: the delay falls below its floor at once (a timestamp jump), or
  rises and does not return within RETURN_NS (a clock that stood still). Bursts after a stall return; a timestamp gap
  that matches the time that passed (silence suppression), loss and reordering do not change the delay.
- The skew of a segment counts from SKEW_SPAN_NS on, and up to SKEW_LIMIT. A segment that no line explains is halved.

Pure arithmetic in numpy. Not here: files, payloads, samples.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.events import Instant

SECOND_NS: Final = 1_000_000_000
# One floor a second is kept: 24 bytes, 2 MB for a day.
WINDOW_NS: Final = SECOND_NS
# A floor is judged by its last windows only: over hours even a good clock drifts by more than PART_NS.
RECENT_WINDOWS: Final = 16
# Jitter of telephone networks stays below this from one packet to the next; what is above it deserves a look.
PART_NS: Final = 80_000_000
# What a network held back comes out at wire speed once it flows again.
RETURN_NS: Final = 2 * SECOND_NS
# At the end nobody knows whether a rise would have returned: a network that is late by less than this most likely.
LATE_NS: Final = 500_000_000
# Rises that are still undecided at a time. More than a few is a network in agony, where any answer is as good.
MAX_OPEN: Final = 8
# Sources and segments of one stream: far above what a call has, low enough that forged ones cost nothing.
MAX_SOURCES: Final = 256
MAX_SEGMENTS: Final = 4096
# 100 ppm over a minute is 6 ms: below that, jitter says more about the slope than the clock does.
SKEW_SPAN_NS: Final = 60 * SECOND_NS
# Crystals of phones and gateways stay within 100 ppm; what is further off is no clock.
SKEW_LIMIT: Final = 500e-6
# Points of the line: minima over at least 16 s, and at most 128 of them (8,128 slopes to take the median of).
GROUP_WINDOWS: Final = 16
MAX_GROUPS: Final = 128
# How far the floor may lie below its median before a packet counts as stamped wrongly, and how far a line may miss.
TOLERANCE_NS: Final = 40_000_000
# A realtime clock that moved by more than this between two blocks (and a thousandth of the time between) was set.
STEP_NS: Final = 20_000_000
# A socket buffer holds 5 s of G.711; an age beyond this is a wrong clock.
MAX_WAIT_NS: Final = 60 * SECOND_NS

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]


class Arrivals:
    """Turns kernel receive times into positions on the call's clock (ns since `started`), block after block.

    Arrival = the block's monotonic time less the packet's age by the realtime clock. Where that clock was set since the
    block before, or an age cannot be, a packet arrives with its block: late does no harm, early would move its stream.
    """

    __slots__ = ("_last_monotonic_ns", "_last_realtime_ns", "_start_ns")

    def __init__(self, started: Instant) -> None:
        self._start_ns = started.monotonic_ns
        self._last_realtime_ns, self._last_monotonic_ns = started.realtime_ns, started.monotonic_ns

    def place(self, realtime_ns: Int64s, monotonic_ns: Int64s, rows: Int64s, received_ns: Int64s) -> Int64s:
        """Arrivals (sum of `rows`,) of packets in consecutive blocks of (blocks,) times and row counts."""
        previous_realtime = np.concatenate(([self._last_realtime_ns], realtime_ns[:-1]))
        previous = np.concatenate(([self._last_monotonic_ns], monotonic_ns[:-1]))
        moved = np.abs((realtime_ns - previous_realtime) - (monotonic_ns - previous))
        stepped = moved > STEP_NS + np.abs(monotonic_ns - previous) // 1000
        self._last_realtime_ns, self._last_monotonic_ns = int(realtime_ns[-1]), int(monotonic_ns[-1])
        age = np.repeat(realtime_ns, rows) - received_ns
        wrong = np.repeat(stepped, rows) | (age < 0) | (age > MAX_WAIT_NS)
        arrival: Int64s = np.repeat(monotonic_ns, rows) - np.where(wrong, 0, age) - self._start_ns
        return arrival


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets of one stream in file order, (n,) each.

    `number` counts all RTP packets of the stream from 0. `ticks` is the duration on the RTP clock of `rate_hz`;
    `audio` is False for what says nothing about the clock (comfort noise, telephone-events, unknown payloads).
    """

    number: Int64s
    ssrc: NDArray[np.uint32]
    sequence: NDArray[np.uint16]
    timestamp: NDArray[np.uint32]
    ticks: Int64s
    rate_hz: Int64s
    audio: NDArray[np.bool_]
    arrival_ns: Int64s

    def take(self, chosen: Int64s | NDArray[np.bool_]) -> "Packets":
        """Some of the packets."""
        return Packets(
            self.number[chosen],
            self.ssrc[chosen],
            self.sequence[chosen],
            self.timestamp[chosen],
            self.ticks[chosen],
            self.rate_hz[chosen],
            self.audio[chosen],
            self.arrival_ns[chosen],
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in which one source's clock ran evenly, from its stream's packet number `first_packet` on.

    RTP time t (seconds since `timestamp`) is at (reference_ns + t * 1e9 + shift_ns) / (1 - skew) on the call's clock.
    `skew` is positive where the sender's clock is slow.
    """

    ssrc: int
    rate_hz: int
    first_packet: int
    timestamp: int
    reference_ns: int
    shift_ns: float
    skew: float
    span_ns: int

    @property
    def fitted(self) -> bool:
        """Whether the segment is long enough for its skew to be known."""
        return self.span_ns >= SKEW_SPAN_NS

    def positions_ns(self, timestamp: NDArray[np.uint32], arrival_ns: Int64s) -> Floats:
        """Where RTP timestamps lie. An arrival near by tells which turn of the 32-bit timestamp is meant."""
        elapsed = _elapsed_ticks(timestamp, arrival_ns, self.timestamp, self.reference_ns, self.rate_hz)
        since_reference = elapsed.astype(np.float64) * SECOND_NS / self.rate_hz
        position: Floats = (since_reference + (self.reference_ns + self.shift_ns)) / (1 - self.skew)
        return position


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where a stream's packets lie: its segments by source, and the SSRCs that never were one."""

    segments: tuple[Segment, ...]
    noise: frozenset[int]

    def place(self, packets: Packets) -> Floats:
        """Positions (n,) of the packets' starts on the call's clock, in ns; NaN where a packet has no place."""
        positions = np.full(len(packets.number), np.nan)
        for key, chosen in _by_source(packets):
            segments = [s for s in self.segments if _key(s.ssrc, s.rate_hz) == key]
            numbers = packets.number[chosen]
            first = np.array([s.first_packet for s in segments], np.int64)
            index = np.maximum(np.searchsorted(first, numbers, side="right") - 1, 0)
            for i, segment in enumerate(segments):
                of = chosen if len(segments) == 1 else chosen[index == i]
                positions[of] = segment.positions_ns(packets.timestamp[of], packets.arrival_ns[of])
        return positions


class StreamClock:
    """Observes one stream. Bounded: 24 bytes a second and source."""

    __slots__ = ("_sources", "_ssrcs")

    def __init__(self) -> None:
        self._sources: dict[int, _Source] = {}
        self._ssrcs: dict[int, _Probation] = {}

    def observe(self, packets: Packets) -> None:
        """Takes in the next packets, in file order."""
        for ssrc, chosen in _by_value(packets.ssrc):
            probation = self._ssrcs.get(ssrc)
            if probation is None:
                if len(self._ssrcs) >= MAX_SOURCES and not self._forget_noise():
                    continue
                probation = self._ssrcs[ssrc] = _Probation()
            probation.observe(packets.sequence[chosen])
        audible = np.flatnonzero(packets.audio)
        if len(audible) == 0:
            return
        audio = packets if len(audible) == len(packets.audio) else packets.take(audible)
        for key, chosen in _by_source(audio):
            if key >> 32 not in self._ssrcs:
                continue
            some = audio.take(chosen)
            if key not in self._sources:
                self._sources[key] = _Source(int(some.timestamp[0]), int(some.arrival_ns[0]), int(some.rate_hz[0]))
            self._sources[key].observe(some)

    def _forget_noise(self) -> bool:
        for ssrc, probation in self._ssrcs.items():
            if not probation.passed:
                del self._ssrcs[ssrc]
                self._sources = {key: source for key, source in self._sources.items() if key >> 32 != ssrc}
                return True
        return False

    def settle(self) -> Timeline:
        """The timeline of what was observed."""
        real = {ssrc for ssrc, probation in self._ssrcs.items() if probation.passed}
        if not real:  # a stream of one packet is short, not noise
            real = set(self._ssrcs)
        segments = [s for key, source in self._sources.items() if key >> 32 in real for s in source.settle(key >> 32)]
        return Timeline(tuple(sorted(segments, key=lambda s: s.first_packet)), frozenset(self._ssrcs.keys() - real))


class _Probation:
    """Whether two packets of an SSRC ever followed one another."""

    __slots__ = ("_last", "passed")

    def __init__(self) -> None:
        self._last: int | None = None
        self.passed = False

    def observe(self, sequence: NDArray[np.uint16]) -> None:
        if not self.passed:
            known = sequence if self._last is None else np.concatenate((np.array([self._last], np.uint16), sequence))
            self.passed = bool((np.diff(known) == 1).any())
            self._last = int(sequence[-1])


@dataclass(slots=True)
class _Run:
    """A stretch without a parting: the floor of the delay in each second that had packets."""

    first_packet: int
    started_ns: int
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    times_ns: "array[int]" = field(default_factory=lambda: array("q"))
    floors_ns: "array[float]" = field(default_factory=lambda: array("d"))

    def floor_ns(self) -> float:
        return min(self.floors_ns[-RECENT_WINDOWS:])

    def add(self, number: Int64s, arrival_ns: Int64s, delay_ns: Floats) -> None:
        if len(number) == 0:
            return
        window = arrival_ns // WINDOW_NS
        edges = np.concatenate(([0], np.flatnonzero(np.diff(window)) + 1))
        floors = np.minimum.reduceat(delay_ns, edges)
        self._extend(number[edges].tolist(), arrival_ns[edges].tolist(), floors.tolist())

    def merge(self, later: "_Run") -> None:
        self._extend(later.numbers, later.times_ns, later.floors_ns)

    def _extend(self, numbers: Iterable[int], times_ns: Iterable[int], floors_ns: Iterable[float]) -> None:
        for number, time_ns, floor_ns in zip(numbers, times_ns, floors_ns, strict=True):
            if self.times_ns and self.times_ns[-1] // WINDOW_NS == time_ns // WINDOW_NS:
                self.floors_ns[-1] = min(self.floors_ns[-1], floor_ns)
                continue
            self.numbers.append(number)
            self.times_ns.append(time_ns)
            self.floors_ns.append(floor_ns)


class _Source:
    """One SSRC's clock: settled runs, and a stack of those that may still turn out to be one (a stall).

    Each run of the stack began with a rise of the delay above the one below it; it is settled after RETURN_NS.
    """

    __slots__ = ("_last_delay_ns", "_open", "_rate_hz", "_reference_ns", "_settled", "_timestamp")

    def __init__(self, timestamp: int, reference_ns: int, rate_hz: int) -> None:
        self._timestamp, self._reference_ns, self._rate_hz = timestamp, reference_ns, rate_hz
        self._settled: list[_Run] = []
        self._open: list[_Run] = []
        self._last_delay_ns = 0.0

    def observe(self, packets: Packets) -> None:
        number, arrival = packets.number, packets.arrival_ns
        elapsed = _elapsed_ticks(packets.timestamp, arrival, self._timestamp, self._reference_ns, self._rate_hz)
        delay = (arrival - self._reference_ns) - (elapsed + packets.ticks) * (SECOND_NS / self._rate_hz)
        if not self._open:
            self._open.append(_Run(int(number[0]), int(arrival[0])))
            self._last_delay_ns = float(delay[0])
        steps = np.diff(delay, prepend=self._last_delay_ns)
        begin = 0
        for edge in [*np.flatnonzero(np.abs(steps) > PART_NS).tolist(), len(delay)]:
            self._absorb(number[begin:edge], arrival[begin:edge], delay[begin:edge])
            if edge < len(delay):
                self._jump(int(number[edge]), int(arrival[edge]), float(delay[edge]), up=bool(steps[edge] > 0))
            begin = edge
        self._last_delay_ns = float(delay[-1])

    def settle(self, ssrc: int) -> list[Segment]:
        while len(self._open) > 1 and self._open[-1].floor_ns() - self._open[-2].floor_ns() < LATE_NS:
            self._collapse(len(self._open) - 2)
        return [
            Segment(ssrc, self._rate_hz, number, self._timestamp, self._reference_ns, shift, skew, span)
            for run in (*self._settled, *self._open)
            for number, shift, skew, span in _fit(
                np.array(run.numbers, np.int64),
                np.array(run.times_ns, np.float64) - self._reference_ns,
                np.array(run.floors_ns, np.float64),
                self._reference_ns,
            )
        ]

    def _jump(self, number: int, arrival_ns: int, delay_ns: float, *, up: bool) -> None:
        """Decides what begins at a packet whose delay differs much from the one before."""
        self._expire(arrival_ns)
        if len(self._settled) >= MAX_SEGMENTS:
            return
        if up and len(self._open) < MAX_OPEN:
            self._open.append(_Run(number, arrival_ns))
        elif delay_ns < self._open[0].floor_ns() - PART_NS:
            self._settled += self._open
            self._open = [_Run(number, arrival_ns)]

    def _absorb(self, number: Int64s, arrival_ns: Int64s, delay_ns: Floats) -> None:
        begin = 0
        while len(self._open) > 1:
            back = _first(delay_ns[begin:] <= self._open[-2].floor_ns() + PART_NS)
            late = _first(arrival_ns[begin:] - self._open[1].started_ns > RETURN_NS)
            end = begin + min(back, late)
            self._open[-1].add(number[begin:end], arrival_ns[begin:end], delay_ns[begin:end])
            if end == len(delay_ns):
                return
            if late <= back:
                self._settled.append(self._open.pop(0))
            else:
                to = next(i for i, run in enumerate(self._open) if delay_ns[end] <= run.floor_ns() + PART_NS)
                self._collapse(to)
            begin = end
        self._open[-1].add(number[begin:], arrival_ns[begin:], delay_ns[begin:])

    def _expire(self, arrival_ns: int) -> None:
        while len(self._open) > 1 and arrival_ns - self._open[1].started_ns > RETURN_NS:
            self._settled.append(self._open.pop(0))

    def _collapse(self, to: int) -> None:
        for run in self._open[to + 1 :]:
            self._open[to].merge(run)
        del self._open[to + 1 :]


def _fit(numbers: Int64s, times: Floats, floors: Floats, reference_ns: int) -> list[tuple[int, float, float, int]]:
    """(first packet, shift, skew, span) of the fewest lines that explain a run's floors; times since the reference."""
    span = int(times[-1] - times[0])
    size = max(GROUP_WINDOWS, -(-len(times) // MAX_GROUPS)) if span >= SKEW_SPAN_NS else 1
    starts = np.arange(0, len(times), size)
    lowest = np.array([begin + int(floors[begin : begin + size].argmin()) for begin in starts.tolist()])
    group_times, group_floors = times[lowest], floors[lowest]
    skew = _slope(group_times, group_floors) if span >= SKEW_SPAN_NS else 0.0
    residuals = floors - skew * times
    group_residuals = group_floors - skew * group_times
    offset = max(float(residuals.min()), float(np.median(group_residuals)) - TOLERANCE_NS)
    if span >= SKEW_SPAN_NS and float(np.median(np.abs(group_residuals - offset))) > TOLERANCE_NS:
        half = len(times) // 2
        return _fit(numbers[:half], times[:half], floors[:half], reference_ns) + _fit(
            numbers[half:], times[half:], floors[half:], reference_ns
        )
    return [(int(numbers[0]), offset - skew * reference_ns, skew, span)]


def _slope(times: Floats, floors: Floats) -> float:
    """The median of all slopes between points (Theil and Sen), within SKEW_LIMIT: a third of the points may be off."""
    first, second = np.triu_indices(len(times), 1)
    slopes = (floors[second] - floors[first]) / (times[second] - times[first])
    return float(np.clip(np.median(slopes), -SKEW_LIMIT, SKEW_LIMIT))


def _elapsed_ticks(
    timestamp: NDArray[np.uint32], arrival_ns: Int64s, reference: int, reference_ns: int, rate_hz: int
) -> Int64s:
    """Ticks since the reference timestamp, unwrapped to the turn that is nearest to the arrival (RFC 3550, 5.1)."""
    expected = np.floor((arrival_ns - reference_ns) * (rate_hz / SECOND_NS)).astype(np.int64)
    off = (timestamp.astype(np.int64) - reference - expected).astype(np.uint32).view(np.int32)
    elapsed: Int64s = expected + off
    return elapsed


def _key(ssrc: int, rate_hz: int) -> int:
    return ssrc << 32 | rate_hz


def _by_source(packets: Packets) -> list[tuple[int, Int64s]]:
    return _by_value(packets.ssrc.astype(np.uint64) << np.uint64(32) | packets.rate_hz.astype(np.uint64))


def _by_value(values: NDArray[np.uint32] | NDArray[np.uint64]) -> list[tuple[int, Int64s]]:
    """Each value with the indices that have it, in order."""
    if len(values) == 0:
        return []
    if (values == values[0]).all():
        return [(int(values[0]), np.arange(len(values)))]
    return [(int(value), np.flatnonzero(values == value)) for value in np.unique(values)]


def _first(mask: NDArray[np.bool_]) -> int:
    """Index of the first True; the length where there is none."""
    return int(mask.argmax()) if mask.any() else len(mask)
