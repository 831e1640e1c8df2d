"""Deadlines by key, soonest first: a heap that stays as small as what is scheduled.

It keeps no clock; times are seconds on whatever clock the caller passes. It must never scan all keys for a look-up.
"""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

STALE_ALLOWED = 64  # superseded entries kept beside as many as there are keys, before the heap is built anew


class Timetable(Generic[K]):
    """At most one deadline a key. Setting, dropping and popping cost O(log n), looking at the next one O(1)."""

    __slots__ = ("_at", "_count", "_heap")

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0  # breaks ties, so that keys are never compared

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float) -> None:
        """Schedules `key`, in the place of an earlier deadline of its own."""
        if self._at.get(key) == at:
            return
        self._at[key] = at
        self._count += 1
        if len(self._heap) > 2 * len(self._at) + STALE_ALLOWED:
            self._heap = [(each, -position, other) for position, (other, each) in enumerate(self._at.items())]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, self._count, key))

    def drop(self, key: K) -> None:
        """Forgets `key`, whether it was scheduled or not."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """The soonest deadline, or None where nothing is scheduled."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> K | None:
        """Takes the soonest key off the table if its deadline is not after `now`."""
        at = self.next()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._at[key]
        return key
