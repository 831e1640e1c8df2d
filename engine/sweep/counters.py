"""What came on every media socket: one row of arrays a socket, counted for a whole tick at once.

Not here: reading sockets (`visits.py`), and the exact statistics of a finished call (they are made from its journal).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.sweep.intake import MediaSocket, StreamCounts
from engine.sweep.slab import Slab

RTP_HEADER_BYTES: Final = 12
# The second byte of RTCP that shares the RTP port (RFC 5761 section 4).
MUXED_RTCP: Final = (192, 223)
FIRST_SLOTS: Final = 256


class Counters:
    """The arrays, (slots,) each. `index` is the stream's number in its call, `media` the socket of a slot in use."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self.media: list[MediaSocket | None] = []
        self.index = np.zeros(0, np.int64)
        self.cut = np.zeros(0, np.int64)
        self._packets = np.zeros(0, np.int64)
        self._lost = np.zeros(0, np.int64)
        self._malformed = np.zeros(0, np.int64)
        self._dropped = np.zeros(0, np.int64)
        self._changes = np.zeros(0, np.int64)
        self._ssrc = np.zeros(0, np.int64)  # -1: none yet
        self._sequence = np.zeros(0, np.int64)
        self._arrival_s = np.zeros(0, np.float64)
        self._grow(FIRST_SLOTS)

    def take(self, media: MediaSocket, now_s: float) -> None:
        """Give a socket a slot, with all counters at nothing."""
        if not self._free:
            self._grow(2 * len(self.media))
        slot = media.slot = self._free.pop()
        self.media[slot] = media
        for counter in (self.cut, self._packets, self._lost, self._malformed, self._dropped, self._changes):
            counter[slot] = 0
        self._ssrc[slot] = -1
        self.index[slot] = media.index
        self._arrival_s[slot] = now_s

    def give_back(self, media: MediaSocket) -> None:
        """The slot is free again."""
        self.media[media.slot] = None
        self._free.append(media.slot)
        media.slot = -1

    def of(self, media: MediaSocket) -> StreamCounts:
        """What came on this socket so far."""
        slot = media.slot
        return StreamCounts(
            packets=int(self._packets[slot]),
            lost=int(self._lost[slot]),
            malformed=int(self._malformed[slot]),
            cut=int(self.cut[slot]),
            dropped=int(self._dropped[slot]),
            strays=media.strays,
            source_changes=int(self._changes[slot]),
            last_arrival_s=float(self._arrival_s[slot]),
        )

    def silent_since(self, moment_s: float) -> list[MediaSocket]:
        """The sockets on which nothing has come since (realtime)."""
        found = (self.media[slot] for slot in np.flatnonzero(self._arrival_s < moment_s))
        return [media for media in found if media is not None]

    def _grow(self, size: int) -> None:
        old = len(self.media)
        self.media += [None] * (size - old)
        self._free += range(size - 1, old - 1, -1)
        for name, array in vars(self).items():
            if isinstance(array, np.ndarray):
                setattr(self, name, np.concatenate((array, np.zeros(size - old, array.dtype))))

    def count(
        self,
        slab: Slab,
        rows: int,
        slot_of: NDArray[np.int64],
        count_of: NDArray[np.int64],
        row_slots: NDArray[np.int64],
    ) -> None:
        """One pass over the headers of a slab's first `rows` rows (RFC 3550 section 5.1).

        `slot_of` (n,) names the sockets that were read, in order, `count_of` (n,) how many rows each gave; `row_slots`
        (rows,) is the same for every row.
        """
        first = slab.words[:rows, 0].astype(np.int64)
        ssrc = slab.words[:rows, 2].astype(np.int64)
        sequence = first & 0xFFFF
        bad = (first >> 30 != 2) | (slab.lengths[:rows] < RTP_HEADER_BYTES)
        last = np.cumsum(count_of) - 1
        odd = bad | (ssrc != self._ssrc[row_slots])
        if odd.any():
            odd_runs = np.logical_or.reduceat(odd, last + 1 - count_of)
            rows_of_odd = np.flatnonzero(np.repeat(odd_runs, count_of))
            self._count_odd(rows_of_odd, bad, first, ssrc, row_slots)
            even = ~odd_runs
            slot_of, count_of, last_even = slot_of[even], count_of[even], last[even]
        else:
            last_even = last
        # A run's packets follow one another on one socket: how far its sequence went beyond its count was lost.
        step = ((sequence[last_even] - self._sequence[slot_of] + 0x8000) & 0xFFFF) - 0x8000
        self._lost[slot_of] += step - count_of
        self._sequence[slot_of] = sequence[last_even]
        self._packets[slot_of] += count_of
        self._arrival_s[row_slots[last]] = slab.seconds[last] + slab.nanoseconds[last] * 1e-9
        for row, dropped in slab.drops(rows):
            self._dropped[row_slots[row]] = dropped

    def _count_odd(
        self,
        rows: NDArray[np.intp],
        bad: NDArray[np.bool_],
        first: NDArray[np.int64],
        ssrc: NDArray[np.int64],
        row_slots: NDArray[np.int64],
    ) -> None:
        """The rows of sockets on which something was not as before, one by one."""
        columns = (row_slots[rows].tolist(), bad[rows].tolist(), first[rows].tolist(), ssrc[rows].tolist())
        for slot, is_bad, word, source in zip(*columns, strict=True):
            if is_bad:
                self._malformed[slot] += 1
                continue
            if MUXED_RTCP[0] <= word >> 16 & 0xFF <= MUXED_RTCP[1]:
                continue
            number = word & 0xFFFF
            self._packets[slot] += 1
            if source != self._ssrc[slot]:
                self._changes[slot] += self._ssrc[slot] >= 0
                self._ssrc[slot] = source
            else:
                self._lost[slot] += ((number - int(self._sequence[slot]) + 0x8000) & 0xFFFF) - 0x8000 - 1
            self._sequence[slot] = number
