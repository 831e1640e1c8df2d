"""The visits of the sweep: which calls each tick reads, and what becomes of what it read.

Rules:
- A round visits every call once, in `ticks_per_round` ticks; a tick's share is small enough that no stop is long.
- A call that is watched (somebody listens) is visited more often: every 20 ms while few are, every 100 ms at least.
- What a tick could not take because the slab was full, the next tick goes on with before anything else.
- Audio of a paused call is read to keep the counters true, never copied, and overwritten before the tick ends.
- Rows fit what a stream sends: the wide slab until the source is learned and the size is known, a narrower one after.

Not here: the timer, the clock, the journal.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.journal import ROW, ROW_CUT
from engine.sweep.counters import RTP_HEADER_BYTES, Counters
from engine.sweep.intake import LEARN_AFTER, MOST_CANDIDATES, Intake, MediaSocket, StreamCounts
from engine.sweep.slab import HEADER_BYTES, RECEIVE_FLAGS, Slab, address_of, recvmmsg

# A round is what a kill may cost, and what waits in the kernel: its default buffer holds 25 rounds of G.711.
ROUND_S: Final = 0.2
# 50 calls of G.711 are 1,000 packets and some 3 ms of work: short stops, and the cost of a tick is spread thin.
CALLS_PER_TICK: Final = 50
MOST_TICKS: Final = 40
# Visits a round of calls that are watched: (calls up to, visits), and those where more are. A visit has a price, most
# of it the block in the journal: ten a round cost 0.8 ms of CPU a second and call, 15 % of a core for 200 calls.
WATCHED: Final = ((50, 10), (100, 5))
LEAST_WATCHED: Final = 2
# Datagrams asked of one socket at once. 200 ms of 10 ms packets are 20; a backlog takes several calls.
AT_ONCE: Final = 64
# (rows, bytes): what an unknown source may send; 60 ms of G.711; 30 ms of it. Rows bound a tick's stop; those of
# streams whose source is being learned cost the most.
SLABS: Final = ((512, 2048), (1536, 512), (2048, 256))
# Packets of a call seen in the wide slab before its rows are cut to their size.
NARROW_AFTER: Final = 40
# After this silence a source is learned again: it may have moved.
FORGET_AFTER_S: Final = 10.0
# The least memory that the kernel accounts a datagram; a buffer of n bytes never holds more than n / this.
LEAST_TRUESIZE: Final = 256


class Sweep:
    """Visits the media sockets of all calls. One object an engine; its methods are called from one thread."""

    def __init__(self) -> None:
        self._ring: list[Intake | None] = []
        self._cursor = 0
        self._holes = 0
        self._left: list[Intake] = []
        self._watched: dict[Intake, None] = {}  # a set in order
        self._watched_due = 0.0
        self._slabs = tuple(Slab(rows, width, named=i == 0) for i, (rows, width) in enumerate(SLABS))
        self._counters = Counters()
        self.packets = 0
        self.full_slabs = 0

    @property
    def calls(self) -> int:
        """How many calls are in the ring."""
        return len(self._ring) - self._holes

    @property
    def ticks_per_round(self) -> int:
        """Ticks that share a round: few while there are few calls, so that each is worth its cost."""
        wanted = -(-self.calls // CALLS_PER_TICK)
        return max(self._watched_visits, min(MOST_TICKS, wanted))

    @property
    def _watched_visits(self) -> int:
        return next((visits for calls, visits in WATCHED if 0 < len(self._watched) <= calls), LEAST_WATCHED)

    def add(self, intake: Intake) -> None:
        """Visit this call from now on."""
        self._ring.append(intake)

    def attach(self, intake: Intake, media: MediaSocket, now_s: float) -> None:
        """Add a socket to a call. `now_s` is realtime: silence counts from it."""
        self._counters.take(media, now_s)
        intake.sockets.append(media)
        intake.lanes.append((media.fd, media.slot))
        intake.width = 0

    def detach(self, intake: Intake, media: MediaSocket) -> StreamCounts:
        """Take a socket out of a call; gives what it counted. The caller closes it."""
        counts = self.counts(media)
        intake.sockets.remove(media)
        intake.lanes.remove((media.fd, media.slot))
        self._counters.give_back(media)
        return counts

    def remove(self, intake: Intake) -> None:
        """Visit this call no more."""
        self._ring[self._ring.index(intake)] = None
        self._holes += 1
        self.unwatch(intake)
        self._left = [left for left in self._left if left is not intake]

    def watch(self, intake: Intake) -> None:
        """Visit this call more often than once a round."""
        self._watched[intake] = None

    def unwatch(self, intake: Intake) -> None:
        """Visit this call once a round again."""
        self._watched.pop(intake, None)

    def counts(self, media: MediaSocket) -> StreamCounts:
        """What came on this socket so far."""
        return self._counters.of(media)

    def tick(self, realtime_ns: int, monotonic_ns: int) -> bool:
        """Visit this tick's share of the calls. True: a slab was full, and the next tick should come soon."""
        if self._left:
            batch, self._left = self._left, []
        else:
            batch = self._share()
            if self._watched:
                batch += self._watched_too(set(batch))
        groups: tuple[list[Intake], ...] = ([], [], [])
        paused: list[Intake] = []
        for intake in batch:
            (paused if intake.paused else groups[intake.width]).append(intake)
        for slab, group in zip(self._slabs, groups, strict=True):
            if group:
                self._left += group[self._visit(slab, group, realtime_ns, monotonic_ns) :]
        if paused:
            self._left += paused[self._discard(paused) :]
        self.full_slabs += bool(self._left)
        return bool(self._left)

    def forget_silent(self, now_s: float) -> None:
        """Learn again the sources that have been silent for long. Called about once a second; `now_s` is realtime."""
        forgotten = {media for media in self._counters.silent_since(now_s - FORGET_AFTER_S) if media.source is not None}
        for media in forgotten:
            media.forget()
        if forgotten:
            for intake in self._ring:
                if intake is not None and not forgotten.isdisjoint(intake.sockets):
                    intake.width = 0

    def drain(self, intake: Intake, realtime_ns: int, monotonic_ns: int) -> None:
        """Read a call's sockets until nothing waits: kept, or thrown away where the call is paused.

        Bounded under a flood by what the buffer could hold when the drain began: it is first in, first out, so all that
        waited then has been read.
        """
        bound = sum(media.buffer_bytes for media in intake.sockets) // LEAST_TRUESIZE
        read = 0
        while read < bound:
            before = self.packets
            if intake.paused:
                self._discard([intake])
            else:
                self._visit(self._slabs[intake.width], [intake], realtime_ns, monotonic_ns)
            if self.packets == before:
                return
            read += self.packets - before

    def _watched_too(self, visited: set[Intake]) -> list[Intake]:
        """The watched calls, at those ticks that are theirs."""
        self._watched_due += self._watched_visits / self.ticks_per_round
        if self._watched_due < 1:
            return []
        self._watched_due -= 1
        return [watched for watched in self._watched if watched not in visited]

    def _share(self) -> list[Intake]:
        ring = self._ring
        if self._cursor >= len(ring):
            self._cursor = 0
            if self._holes:
                self._ring = ring = [intake for intake in ring if intake is not None]
                self._holes = 0
        end = self._cursor + -(-len(ring) // self.ticks_per_round)
        share = [intake for intake in ring[self._cursor : end] if intake is not None]
        self._cursor = end
        return share

    def _gather(self, slab: Slab, group: Sequence[Intake]) -> tuple[list[int], list[int], list[int], int]:
        """Fill the slab. Gives the row where each call ends, the sockets' slots and counts a run, and calls done."""
        base, capacity = slab.base, slab.capacity
        roomy = capacity - AT_ONCE
        ends: list[int] = []
        slots: list[int] = []
        counts: list[int] = []
        row = 0
        for intake in group:
            for fd, slot in intake.lanes:
                most = AT_ONCE if row <= roomy else capacity - row
                got = recvmmsg(fd, base + row * HEADER_BYTES, most, RECEIVE_FLAGS, None)
                if got <= 0:
                    continue
                begin = row
                row += got
                while got == most and row < capacity:  # more may wait
                    most = min(AT_ONCE, capacity - row)
                    got = recvmmsg(fd, base + row * HEADER_BYTES, most, RECEIVE_FLAGS, None)
                    row += max(got, 0)
                slots.append(slot)
                counts.append(row - begin)
                if row == capacity:
                    break
            ends.append(row)
            if row == capacity:
                break
        done = len(ends) if row < capacity else len(ends) - 1
        return ends, slots, counts, done

    def _visit(self, slab: Slab, group: Sequence[Intake], realtime_ns: int, monotonic_ns: int) -> int:
        ends, slots, counts, done = self._gather(slab, group)
        rows = ends[-1]
        if not rows:
            return done
        slot_of = np.array(slots)
        count_of = np.array(counts)
        row_slots = np.repeat(slot_of, count_of)
        lengths = slab.lengths[:rows]
        kept = np.minimum(lengths, slab.width)
        self.packets += rows
        self._counters.count(slab, rows, slot_of, count_of, row_slots)
        headers = np.empty(rows, ROW)
        words = headers.view(np.uint32).reshape(rows, 4)  # as ROW lies in memory: the fields two by two
        words[:, 0] = slab.seconds[:rows]
        words[:, 1] = slab.nanoseconds[:rows]
        words[:, 2] = self._counters.index[row_slots] | kept.astype(np.int64) << 16
        words[:, 3] = 0
        if int(lengths.max()) > slab.width:
            self._widen(slab, group, lengths, row_slots, headers)
        wanted = self._choose_sources(slab, slots, counts, row_slots) if slab.named else None
        if wanted is None:
            self._keep(slab, group, ends, headers, kept, realtime_ns, monotonic_ns)
        else:
            self._keep_some(slab, group, ends, headers, kept, wanted, realtime_ns, monotonic_ns)
        if slab.named:
            self._narrow(group, ends, kept)
        slab.reuse(rows)
        return done

    def _discard(self, group: Sequence[Intake]) -> int:
        slab = self._slabs[0]
        ends, slots, counts, done = self._gather(slab, group)
        rows = ends[-1]
        if rows:
            slot_of, count_of = np.array(slots), np.array(counts)
            self.packets += rows
            self._counters.count(slab, rows, slot_of, count_of, np.repeat(slot_of, count_of))
            slab.wipe(rows)
            slab.reuse(rows)
        return done

    def _keep(
        self,
        slab: Slab,
        group: Sequence[Intake],
        ends: list[int],
        headers: NDArray[np.void],
        kept: NDArray[np.uint32],
        realtime_ns: int,
        monotonic_ns: int,
    ) -> None:
        header_bytes = headers.view(np.uint8).data
        size = int(kept[0])
        packets: memoryview | None = None
        if (kept == size).all():
            packets = np.ascontiguousarray(slab.data[: ends[-1], :size]).reshape(-1).data
        start = 0
        for intake, end in zip(group, ends, strict=False):
            if end > start:
                head = header_bytes[start * ROW.itemsize : end * ROW.itemsize]
                body = _compact(slab, start, end, kept) if packets is None else packets[start * size : end * size]
                intake.keep(end - start, head, body, realtime_ns, monotonic_ns)
            start = end

    def _keep_some(
        self,
        slab: Slab,
        group: Sequence[Intake],
        ends: list[int],
        headers: NDArray[np.void],
        kept: NDArray[np.uint32],
        wanted: NDArray[np.bool_],
        realtime_ns: int,
        monotonic_ns: int,
    ) -> None:
        start = 0
        for intake, end in zip(group, ends, strict=False):
            rows = start + np.flatnonzero(wanted[start:end])
            if len(rows) == end - start > 0:
                body = _compact(slab, start, end, kept)
                intake.keep(end - start, headers[start:end].tobytes(), body, realtime_ns, monotonic_ns)
            elif len(rows):
                body = b"".join(slab.data[row, : kept[row]].tobytes() for row in rows)
                intake.keep(len(rows), headers[rows].tobytes(), body, realtime_ns, monotonic_ns)
            start = end

    def _widen(
        self,
        slab: Slab,
        group: Sequence[Intake],
        lengths: NDArray[np.uint32],
        row_slots: NDArray[np.int64],
        headers: NDArray[np.void],
    ) -> None:
        cut = np.flatnonzero(lengths > slab.width)
        headers["flags"][cut] |= ROW_CUT
        slots, times = np.unique(row_slots[cut], return_counts=True)
        self._counters.cut[slots] += times
        for intake in group:
            if any(media.slot in slots.tolist() for media in intake.sockets):
                intake.width, intake.steady = 0, False

    def _narrow(self, group: Sequence[Intake], ends: list[int], kept: NDArray[np.uint32]) -> None:
        start = 0
        for intake, end in zip(group, ends, strict=False):
            if end > start:
                intake.seen += end - start
                intake.longest = max(intake.longest, int(kept[start:end].max()))
                if intake.steady and intake.seen >= NARROW_AFTER and all(media.settled for media in intake.sockets):
                    fitting = [i for i, slab in enumerate(self._slabs) if slab.width >= intake.longest]
                    intake.width = fitting[-1] if fitting else 0
            start = end

    def _choose_sources(
        self, slab: Slab, slots: list[int], counts: list[int], row_slots: NDArray[np.int64]
    ) -> NDArray[np.bool_] | None:
        """Learn sources from the rows of sockets that are not settled. Gives the rows to keep; None for all of them."""
        wanted: NDArray[np.bool_] | None = None
        start = 0
        for slot, count in zip(slots, counts, strict=True):
            media = self._counters.media[slot]
            if media is not None and not media.settled:
                if wanted is None:
                    wanted = np.ones(len(row_slots), np.bool_)
                wanted[start : start + count] = self._learn(slab, media, start, count)
            start += count
        return wanted

    def _learn(self, slab: Slab, media: MediaSocket, start: int, count: int) -> list[bool]:
        names = slab.sources(start, count)
        if media.source is None:
            rows = slice(start, start + count)
            valid = (slab.data[rows, 0] >> 6 == 2) & (slab.lengths[rows] >= RTP_HEADER_BYTES)
            for name, is_valid in zip(names, valid.tolist(), strict=True):
                if is_valid and (name in media.candidates or len(media.candidates) < MOST_CANDIDATES):
                    media.candidates[name] = media.candidates.get(name, 0) + 1
            best = max(
                media.candidates, key=lambda name: (_is(name, media.expected), media.candidates[name]), default=None
            )
            if best is not None and (_is(best, media.expected) or media.candidates[best] >= LEARN_AFTER):
                address = address_of(best)
                if address is not None:
                    media.learn(address, best)
        else:
            # What others had sent before the socket was connected is out of it after one visit.
            best = next(iter(media.candidates))
            media.settled = True
        keep = [name == best for name in names]
        media.strays += len(keep) - sum(keep)
        return keep


def _is(name: bytes, expected: tuple[str, int] | None) -> bool:
    return expected is not None and address_of(name) == expected


def _compact(slab: Slab, start: int, end: int, kept: NDArray[np.uint32]) -> bytes:
    """The rows' bytes end to end, for a tick whose rows differ in length."""
    sizes = kept[start:end].tolist()
    longest = max(sizes)
    if min(sizes) == longest:
        return slab.data[start:end, :longest].tobytes()
    columns = np.arange(longest)
    return slab.data[start:end, :longest][columns < kept[start:end, None]].tobytes()
