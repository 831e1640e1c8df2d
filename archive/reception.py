"""How well a source was received: the counters of RFC 3550 (sections 6.4.1 and A.3, A.8), batch by batch.

Not here: when packets are heard (`engine/timeline.py`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.timeline import SECOND_NS, Packets

# RFC 3550 appendix A.1: past these a sequence number is no loss and no reordering, but a new beginning.
MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100
# Sequence numbers by which duplicates are known; twice the reordering that counts as such.
RECENT: Final = 2 * MAX_MISORDER
# The gain of the jitter estimate (RFC 3550 section 6.4.1), and the terms after which the past weighs nothing (1e-7).
GAIN: Final = 1 / 16
TERMS: Final = 256


@dataclass(frozen=True, slots=True)
class Reception:
    """What came of one source. Jitter in ms: the mean and the highest of the running estimate."""

    packets: int
    payload_bytes: int
    lost: int
    duplicates: int
    out_of_order: int
    jitter_ms: float
    jitter_max_ms: float
    first_ns: int
    last_ns: int


class Receiver:
    """Counts one source's packets as they come."""

    __slots__ = (
        "_base",
        "_duplicates",
        "_expected",
        "_first_ns",
        "_highest",
        "_jitter",
        "_jitter_max",
        "_jitter_packets",
        "_jitter_sum",
        "_last_ns",
        "_last_transit",
        "_out_of_order",
        "_packets",
        "_payload_bytes",
        "_recent",
    )

    def __init__(self, first_ns: int) -> None:
        self._packets = self._payload_bytes = self._duplicates = self._out_of_order = self._expected = 0
        self._first_ns = self._last_ns = first_ns
        self._base: int | None = None  # extended sequence numbers of the present stretch: first ...
        self._highest = 0  # ... and highest
        self._recent = np.zeros(0, np.int64)
        self._last_transit: float | None = None
        self._jitter = self._jitter_max = self._jitter_sum = 0.0
        self._jitter_packets = 0

    def receive(self, packets: Packets, payload_bytes: int) -> None:
        """Counts the next packets of this source, in file order."""
        self._packets += len(packets.number)
        self._payload_bytes += payload_bytes
        self._last_ns = int(packets.arrival_ns[-1])
        self._count(packets.sequence)
        audio = packets.take(packets.audio)
        if len(audio.number):
            self._estimate(audio)

    def interrupt(self) -> None:
        """What is missing from here to the next packet was withheld, not lost."""
        if self._base is not None:
            self._expected += self._highest - self._base + 1
            self._base = None

    def report(self) -> Reception:
        """The counters as they stand."""
        expected = self._expected if self._base is None else self._expected + self._highest - self._base + 1
        return Reception(
            self._packets,
            self._payload_bytes,
            max(0, expected - (self._packets - self._duplicates)),
            self._duplicates,
            self._out_of_order,
            round(self._jitter_sum / max(1, self._jitter_packets), 3),
            round(self._jitter_max, 3),
            self._first_ns,
            self._last_ns,
        )

    def _count(self, sequence: NDArray[np.uint16]) -> None:
        begin = 0
        while begin < len(sequence):
            begin += self._count_stretch(sequence[begin:])

    def _count_stretch(self, sequence: NDArray[np.uint16]) -> int:
        """Counts up to where the sequence begins anew; returns how many packets that were."""
        if self._base is None:
            self._base = self._highest = int(sequence[0])
            self._recent = np.zeros(0, np.int64)
        # Each step is known up to a turn of 65,536, and small ones are the rule.
        numbers = sequence.astype(np.int64)
        steps = numbers - np.concatenate((np.array([self._highest], np.int64), numbers[:-1]))
        extended = self._highest + np.cumsum(((steps + 0x8000) & 0xFFFF) - 0x8000)
        highest = np.maximum.accumulate(np.maximum(extended, self._highest))
        before = np.concatenate(([self._highest], highest[:-1]))
        strange = (extended - before > MAX_DROPOUT) | (extended - before < -MAX_MISORDER)
        count = int(strange.argmax()) if strange.any() else len(sequence)
        if count:
            known, first = np.unique(np.concatenate((self._recent, extended[:count])), return_index=True)
            new = np.isin(np.arange(count), first - len(self._recent))
            self._duplicates += count - int(np.count_nonzero(new))
            self._out_of_order += int(np.count_nonzero(new & (extended[:count] < before[:count])))
            self._highest = int(highest[count - 1])
            self._recent = known[-RECENT:]
        if count < len(sequence):
            self.interrupt()
        return count

    def _estimate(self, audio: Packets) -> None:
        rate_hz = int(audio.rate_hz[0])
        # RTP time relative to the first timestamp here; a turn of the timestamp shows as one huge difference: left out.
        elapsed = (audio.timestamp - audio.timestamp[0]).view(np.int32).astype(np.float64) * (SECOND_NS / rate_hz)
        transit = audio.arrival_ns - elapsed
        offset = int(audio.timestamp[0]) * (SECOND_NS / rate_hz)
        first = transit[0] if self._last_transit is None else self._last_transit + offset
        difference = np.abs(np.diff(transit, prepend=first)) / 1e6
        difference = np.where(difference < 1000, difference, 0.0)
        self._last_transit = float(transit[-1] - offset)
        estimate = difference * GAIN
        step = 1
        while step < TERMS:  # each turn doubles how far back the weighted sum reaches
            shifted = estimate[:-step] * (1 - GAIN) ** step
            estimate[step:] = estimate[step:] + shifted
            step *= 2
        estimate += self._jitter * (1 - GAIN) ** np.arange(1, len(estimate) + 1)
        self._jitter = float(estimate[-1])
        self._jitter_max = max(self._jitter_max, float(estimate.max()))
        self._jitter_sum += float(estimate.sum())
        self._jitter_packets += len(estimate)
