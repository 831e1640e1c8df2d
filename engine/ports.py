"""Which RTP ports are free. Pure: the time is passed in, and nobody is asked but this object.

Ports come in pairs (RTP even, RTCP the next one: RFC 3550 section 11). A call's pairs lie side by side, because some
senders reach a second stream only so. A pair that was given back rests before it is used again, so that a late packet
of one call does not reach another; where only resting pairs are left, a call is worth more than the rest of one.
"""

from math import inf
from typing import Final

import numpy as np

COOL_DOWN_S: Final = 30.0


class PortPool:
    """The pairs of a range. `first` is even, `last` the odd port that ends the last pair."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._rested_at = np.full((last - first + 1) // 2, -inf)  # (pairs,) float64, s; inf: in use
        self._cursor = 0

    @property
    def pairs(self) -> int:
        """How many pairs there are, used or not."""
        return len(self._rested_at)

    def take(self, count: int, now_s: float) -> int | None:
        """The first RTP port of `count` neighbouring pairs, or None where so many are free nowhere.

        Goes round the range, so that a pair rests as long as it can; past that, takes those that rested the longest.
        """
        starts = self.pairs - count + 1
        if starts < 1:
            return None
        rested_at = self._rested_at[:starts].copy()  # of the run that begins there
        for place in range(1, count):
            np.maximum(rested_at, self._rested_at[place : place + starts], out=rested_at)
        rested = np.flatnonzero(rested_at <= now_s)
        if len(rested):
            start = int(rested[np.searchsorted(rested, self._cursor) % len(rested)])
        else:
            start = int(rested_at.argmin())
            if rested_at[start] == inf:
                return None
        self._rested_at[start : start + count] = inf
        self._cursor = start + count
        return self._first + 2 * start

    def give_back(self, port: int, now_s: float) -> None:
        """This RTP port's pair is used no more."""
        self._rested_at[(port - self._first) // 2] = now_s + COOL_DOWN_S
