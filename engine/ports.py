"""Which RTP ports are free. Pure: the time is passed in, and nobody is asked but this object.

Ports come in pairs (RTP even, RTCP the next one: RFC 3550 section 11). A call's pairs lie side by side, because some
senders reach a second stream only so. A pair that was given back rests before it is used again, so that a late packet
of one call cannot reach another.
"""

from math import inf
from typing import Final

COOL_DOWN_S: Final = 30.0


class PortPool:
    """The pairs of a range. `first` is even, `last` the odd port that ends the last pair."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._free_at = [-inf] * ((last - first + 1) // 2)
        self._cursor = 0

    @property
    def pairs(self) -> int:
        """How many pairs there are, used or not."""
        return len(self._free_at)

    def take(self, count: int, now_s: float) -> int | None:
        """The first RTP port of `count` neighbouring pairs, or None where none are free and rested.

        Goes round the range, so that a pair rests as long as it can.
        """
        run = 0
        for step in range(len(self._free_at) + count):
            place = (self._cursor + step) % len(self._free_at)
            if place == 0:
                run = 0
            run = run + 1 if self._free_at[place] <= now_s else 0
            if run == count:
                start = place - count + 1
                for taken in range(start, place + 1):
                    self._free_at[taken] = inf
                self._cursor = place + 1
                return self._first + 2 * start
        return None

    def give_back(self, port: int, now_s: float) -> None:
        """This RTP port's pair is used no more."""
        self._free_at[(port - self._first) // 2] = now_s + COOL_DOWN_S
