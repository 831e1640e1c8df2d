"""The second pass through a journal: packets become stereo samples, caller left, callee right.

Each stream has a track that holds its packets back for HORIZON_NS, so that late ones find their place, and is then
decoded in the order in which it is heard; the tracks of a side are added up. Pauses are exact.

Memory is bounded by HORIZON_NS of packets and STEP_NS of samples, whatever a call's length.

Not here: one stream's packets (`track.py`), where they belong (`engine/timeline.py`), files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from archive.callfile import Batch, CallFile, Sorter
from archive.survey import Survey
from archive.track import Track
from engine.events import StreamsAgreed
from engine.timeline import SECOND_NS

PausePolicy = Literal["silence", "tone", "skip"]

# Longer than any network or socket buffer holds a packet back (5 s of G.711); later ones are counted and left out.
HORIZON_NS: Final = 20 * SECOND_NS
# Samples are put out in pieces of at most this.
STEP_NS: Final = 30 * SECOND_NS
# The tone of a pause: Europe's dial tone, soft enough to talk over.
TONE_HZ: Final = 425
TONE_PEAK: Final = round(32767 * 10 ** (-30 / 20))

Samples = NDArray[np.int16]


def samples_at(position_ns: int, rate_hz: int) -> int:
    """The sample at a position on the call's clock: the nearest."""
    return round(position_ns * rate_hz / SECOND_NS)


@dataclass(frozen=True, slots=True)
class PauseMap:
    """Pauses in samples of the recording, and where positions lie once they are skipped. `spans` are (start, end)."""

    spans: tuple[tuple[int, int], ...]
    policy: PausePolicy

    def in_file(self, position: int) -> int:
        """Where a position on the call's clock, in samples, lies in the file."""
        if self.policy != "skip":
            return position
        return position - sum(max(0, min(end, position) - start) for start, end in self.spans)

    def apply(self, samples: Samples, begin: int, rate_hz: int) -> Samples:
        """`samples` (n, 2) from position `begin` on with their pauses silent, filled with the tone, or left out."""
        inside = [
            (max(start, begin) - begin, min(end, begin + len(samples)) - begin)
            for start, end in self.spans
            if start < begin + len(samples) and end > begin
        ]
        if not inside:
            return samples
        for first, last in inside:
            samples[first:last] = 0 if self.policy != "tone" else _tone(begin + first, begin + last, rate_hz)[:, None]
        if self.policy != "skip":
            return samples
        kept = np.ones(len(samples), np.bool_)
        for first, last in inside:
            kept[first:last] = False
        return samples[kept]


class Renderer:
    """Renders one call. `late` counts packets that came too late to be heard, once `chunks` has ended."""

    def __init__(self, surveyed: Survey, policy: PausePolicy) -> None:
        self.rate_hz = surveyed.rate_hz
        self.pauses = PauseMap(
            tuple((self._samples(start), self._samples(end)) for start, end in surveyed.pauses), policy
        )
        self.late = 0
        self._length = self._samples(surveyed.length_ns)
        self._tracks = {s.index: Track(s.timeline, self.rate_hz) for s in surveyed.streams if s.rate_hz}
        self._sides = {s.index: s.agreed.side if s.agreed is not None else "both" for s in surveyed.streams}
        self._done = 0

    @property
    def length_samples(self) -> int:
        """Samples of each side that `chunks` puts out in all."""
        return self.pauses.in_file(self._length)

    def chunks(self, call: CallFile, go_on: Callable[[], None] = lambda: None) -> Iterator[Samples]:
        """Stereo samples (n, 2), contiguous, from the call's start to its end; n is at most STEP_NS.

        `go_on` is called with each batch; what it raises ends the rendering.
        """
        sorter = Sorter()
        latest = 0
        for item in call.items():
            if isinstance(item, StreamsAgreed):
                sorter.agree(item)
            elif isinstance(item, Batch):
                go_on()
                for packets in sorter.sort(item):
                    if packets.stream in self._tracks:
                        self._tracks[packets.stream].take(packets, item.rows.data)
                latest = max(latest, int(item.arrival_ns.max(initial=0)))
                yield from self._flush(self._samples(latest - HORIZON_NS), go_on)
        yield from self._flush(self._length, go_on)
        self.late = sum(track.late for track in self._tracks.values())

    def _samples(self, position_ns: int) -> int:
        return samples_at(position_ns, self.rate_hz)

    def _flush(self, until: int, go_on: Callable[[], None]) -> Iterator[Samples]:
        step = self._samples(STEP_NS)
        while self._done < min(until, self._length):
            go_on()
            begin, self._done = self._done, min(self._done + step, until, self._length)
            chunk = self.pauses.apply(self._mix(begin, self._done), begin, self.rate_hz)
            if len(chunk):
                yield chunk

    def _mix(self, begin: int, end: int) -> Samples:
        sides: dict[str, list[Samples]] = {"caller": [], "callee": []}
        for index, track in self._tracks.items():
            samples = track.put_out(begin, end)
            if samples is not None:
                for side in sides if self._sides[index] == "both" else (self._sides[index],):
                    sides[side].append(samples)
        mixed = np.zeros((end - begin, 2), np.int16)
        for column, parts in enumerate(sides.values()):
            if len(parts) == 1:
                mixed[:, column] = parts[0]
            elif parts:
                mixed[:, column] = np.clip(np.sum(parts, axis=0, dtype=np.int32), -32768, 32767)
        return mixed


def _tone(begin: int, end: int, rate_hz: int) -> Samples:
    """The tone between two positions; its phase follows the position, so that pieces of it join."""
    tone: Samples = np.rint(TONE_PEAK * np.sin(2 * np.pi * TONE_HZ / rate_hz * np.arange(begin, end))).astype(np.int16)
    return tone
