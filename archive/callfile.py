"""A call's journal as the finisher reads it: events one by one, packets in large batches, sorted out by stream.

Both passes of the finisher read the same file through `CallFile` and `Sorter`, so they see the same batches and give
the same numbers to the same packets.

Not here: what becomes of either (`survey.py`, `render.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from archive.codecs import Format, Formats
from engine import events, rtp
from engine.events import AnyEvent, Started, StreamsAgreed
from engine.journal import ROW, ROW_RTCP, Block, JournalReader, Kind, Rows
from engine.timeline import SECOND_NS, Arrivals, Packets

# numpy is worth its calls from some hundred packets on: 30 s of two streams are 3,000, and 1 MB.
BATCH_NS: Final = 30 * SECOND_NS
# Where packets come faster than that (a flood, or a visit after a long stop), memory sets the limit.
BATCH_BYTES: Final = 2 * 2**20

Int64s = NDArray[np.int64]


class NoCall(Exception):
    """The journal opens, but no call can be made of it. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The packets of some consecutive blocks, and when they arrived, in ns since the call's start."""

    rows: Rows
    arrival_ns: Int64s


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A block that opens but makes no sense. `problem` says why."""

    number: int
    problem: str


class CallFile:
    """Reads a sealed journal. Raises `JournalError` or `KeyRefused` (see `JournalReader`)."""

    def __init__(self, file: BinaryIO, private_key: X25519PrivateKey) -> None:
        self._reader = JournalReader(file, private_key)

    @property
    def torn_bytes(self) -> int:
        """Bytes of a tail that was never written whole; known once `items` has ended."""
        return self._reader.torn_bytes

    @property
    def damaged_blocks(self) -> int:
        """Blocks that did not open; known once `items` has ended."""
        return self._reader.damaged_blocks

    def started(self) -> Started:
        """The first event. Raises `NoCall` where it is no `Started`."""
        for item in self.items():
            if isinstance(item, Started):
                return item
        raise NoCall("The journal holds no call.")

    def items(self) -> Iterator[AnyEvent | Batch | Unreadable]:
        """Events and batches in the order of the file; each call begins again.

        Raises `NoCall` where the first block is not the event `started`.
        """
        arrivals: Arrivals | None = None
        waiting: list[Block] = []
        size = 0
        for block in self._reader:
            if arrivals is None:
                first = _event(block)
                if not isinstance(first, Started):
                    raise NoCall("The journal does not begin with the event 'started'.")
                arrivals = Arrivals(first.at)
                yield first
            elif block.kind is Kind.EVENT:
                yield from _batches(waiting, arrivals)
                waiting, size = [], 0
                yield _event(block)
            else:
                waiting.append(block)
                size += len(block.payload)
                if size >= BATCH_BYTES or block.monotonic_ns - waiting[0].monotonic_ns >= BATCH_NS:
                    yield from _batches(waiting, arrivals)
                    waiting, size = [], 0
        if arrivals is None:
            raise NoCall("The journal holds no whole block.")
        yield from _batches(waiting, arrivals)


def _event(block: Block) -> AnyEvent | Unreadable:
    if block.kind is not Kind.EVENT:
        return Unreadable(block.number, "packets before the call started")
    try:
        return events.decode(block.payload)
    except msgspec.MsgspecError as error:
        return Unreadable(block.number, str(error))


def _batches(blocks: list[Block], arrivals: Arrivals) -> Iterator[Batch | Unreadable]:
    counts = np.array([block.rows for block in blocks], np.int64)
    sizes = np.array([len(block.payload) for block in blocks], np.int64) - counts * ROW.itemsize
    whole = sizes >= 0
    if whole.all():
        headers = np.frombuffer(b"".join([b.payload[: b.rows * ROW.itemsize] for b in blocks]), ROW)
        ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(headers["length"], dtype=np.int64)))
        last = np.cumsum(counts)
        whole = ends[last] - ends[last - counts] == sizes
    if not whole.all():
        for block, good in zip(blocks, whole.tolist(), strict=True):
            if good:
                yield from _batches([block], arrivals)
            else:
                yield Unreadable(block.number, "its packets' lengths do not add up")
    elif blocks:
        data = np.frombuffer(b"".join([b.payload[b.rows * ROW.itemsize :] for b in blocks]), np.uint8)
        realtime = np.array([block.realtime_ns for block in blocks], np.int64)
        monotonic = np.array([block.monotonic_ns for block in blocks], np.int64)
        rows = Rows(headers, ends[:-1], data)
        yield Batch(rows, arrivals.place(realtime, monotonic, counts, rows.arrivals_ns()))


@dataclass(frozen=True, slots=True)
class StreamPackets:
    """One stream's RTP packets of a batch, (n,) each. Payloads are `payload_bytes` at `payload_start` in the rows."""

    stream: int
    packets: Packets
    payload_type: NDArray[np.uint8]
    payload_start: Int64s
    payload_bytes: Int64s
    formats: dict[int, Format | None]

    def of_kind(self, kind: str) -> NDArray[np.bool_]:
        """Which packets are of a format of this kind ("audio", "noise", "event", "unknown")."""
        types = [t for t, f in self.formats.items() if (f.kind if f is not None else "unknown") == kind]
        return np.isin(self.payload_type, types)


class Sorter:
    """Sorts batches out by stream. Give it every event and every batch, in order."""

    __slots__ = ("_counts", "_formats", "malformed")

    def __init__(self) -> None:
        self._formats = Formats()
        self._counts: dict[int, int] = {}
        self.malformed = 0  # rows of an RTP port that hold neither RTP nor RTCP

    def agree(self, event: StreamsAgreed) -> None:
        """Takes an agreement into account."""
        self._formats.agree(event)

    def sort(self, batch: Batch) -> list[StreamPackets]:
        """The RTP packets of each stream."""
        headers = rtp.read_headers(batch.rows)
        streams = batch.rows.headers["stream"]
        self.malformed += int(np.count_nonzero(~headers.valid & ~_rtcp(batch.rows)))
        return [
            self._sort(batch, headers, int(stream), np.flatnonzero(headers.valid & (streams == stream)))
            for stream in np.unique(streams[headers.valid])
        ]

    def _sort(self, batch: Batch, headers: rtp.Headers, stream: int, rows: Int64s) -> StreamPackets:
        first = self._counts.get(stream, 0)
        self._counts[stream] = first + len(rows)
        payload_type = headers.payload_type[rows]
        start, length = headers.payload_start[rows], headers.payload_bytes[rows]
        formats = {int(t): self._formats.get(stream, int(t)) for t in np.unique(payload_type)}
        ticks, rate_hz = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        audio = np.zeros(len(rows), np.bool_)
        for number, known in formats.items():
            if known is None or known.kind == "unknown":
                continue
            of = payload_type == number
            rate_hz[of] = known.codec.rate_hz
            if known.decoder is not None:
                audio[of] = length[of] > 0
                ticks[of] = known.decoder.ticks(batch.rows.data, start[of], length[of])
        packets = Packets(
            np.arange(first, first + len(rows)),
            headers.ssrc[rows],
            headers.sequence[rows],
            headers.timestamp[rows],
            ticks,
            rate_hz,
            audio,
            batch.arrival_ns[rows],
        )
        return StreamPackets(stream, packets, payload_type, start, length, formats)


def _rtcp(rows: Rows) -> NDArray[np.bool_]:
    """Rows that are RTCP, by their port or by their second byte."""
    on_port = rows.headers["flags"] & ROW_RTCP != 0
    second = rows.data.take(rows.starts + 1, mode="clip") & 0x7F if len(rows.data) else np.zeros(len(rows.starts), "u1")
    muxed: NDArray[np.bool_] = on_port | ((second >= rtp.RTCP_FIRST) & (second <= rtp.RTCP_LAST))
    return muxed
