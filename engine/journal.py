"""The journal: an append-only file of sealed blocks, one file a call (and one a segment of the outbox).

Layout (all integers little-endian):

    file    = magic (8) | owner id (16: the call's UUID) | length of wrapped key (u16) | wrapped key | block*
    block   = length of sealed bytes (u32) | number (u32) | sealed bytes
    sealed  = AES-256-GCM, owner's data key; nonce = number (12 bytes, big-endian), additional data = owner id | number
    opened  = kind (u8) | zero (u8) | rows (u16) | event number (u32) | realtime ns (i64) | monotonic ns (i64) | payload
    payload = an event as JSON, or `rows` row headers of 16 bytes (ROW) followed by the packets themselves, end to end

Block numbers only rise. One that is missing was never written whole (a full disk); its number is not used again, so
that no nonce is. A tail that does not open is torn: it is what a kill left, and reading ends before it. What does not
open in the middle (a damaged disk) is skipped and counted: wherever a later block begins, it is found, since only a
block that was written here opens.

Not here: what events mean (`events.py`, `call.py`), where files lie (`actors/spool.py`), any codec.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, Final, NamedTuple
from uuid import UUID

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from engine.keys import KEY_BYTES, KeyRefused, unwrap, wrap

MAGIC: Final = b"EARSHOT\x01"
# The longest sealed block that a reader takes for one: a visit's rows (2,048 of 2 KiB) fit four times.
MAX_BLOCK_BYTES: Final = 16 * 2**20
MAX_ROWS: Final = 0xFFFF
TAG_BYTES: Final = 16

ROW: Final = np.dtype(
    [
        ("arrival_s", "<u4"),  # kernel's receive time, realtime: seconds ...
        ("arrival_ns", "<u4"),  # ... and nanoseconds
        ("stream", "<u2"),  # the stream's index in its call
        ("length", "<u2"),  # bytes of the packet
        ("flags", "<u2"),  # ROW_* below
        ("zero", "<u2"),
    ]
)
ROW_RTCP: Final = 1  # came on the stream's RTCP port
ROW_CUT: Final = 2  # was longer than its row: the rest is lost, and counted

_FILE_HEAD = struct.Struct("<8s16sH")
_BLOCK_HEAD = struct.Struct("<II")
_INNER = struct.Struct("<BxHIqq")
_LEAST_SEALED_BYTES: Final = _INNER.size + TAG_BYTES
_LEAST_BLOCK_BYTES: Final = _BLOCK_HEAD.size + _LEAST_SEALED_BYTES

# The search for the next block behind damage. It is near as a rule: windows begin small and double up to the largest.
_FIRST_WINDOW_BYTES: Final = 4096
_WINDOW_BYTES: Final = 256 * 2**10
# A full disk uses up numbers: two days of it. Nearer bounds would find fewer false heads: there is one a MiB now.
_MOST_AHEAD: Final = 1_000_000
# What may be deciphered in vain: so much at first, and so much more with each byte searched (noise needs a quarter of
# that, by the mean). A try costs as much as this many bytes, and its own.
_ALLOWANCE_BYTES: Final = 64 * 2**20
_TRIED_A_BYTE: Final = 32
_TRY_BYTES: Final = 16 * 2**10

# PyDLL keeps the GIL. A call that gives it up waits a whole switch interval for a busy thread to hand it back.
_libc = ctypes.PyDLL(None)
_write = _libc.write
_write.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
_write.restype = ctypes.c_ssize_t


class Kind(IntEnum):
    """What a block holds."""

    PACKETS = 1
    EVENT = 2


_KINDS: Final = {int(kind): kind for kind in Kind}
# As plain numbers: this is packed at every visit to every call.
_PACKETS: Final = int(Kind.PACKETS)
_EVENT: Final = int(Kind.EVENT)


class JournalError(Exception):
    """A file that is no journal, or not one of this version."""


class Block(NamedTuple):
    """One whole block, opened. `payload` is the event's JSON, or row headers and packets (see `Rows`).

    A named tuple: a day has half a million of them, and each is read twice.
    """

    number: int
    kind: Kind
    rows: int
    event_number: int
    realtime_ns: int
    monotonic_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """The packets of a block: `headers` (n,) of ROW, `starts` (n,) int64 offsets into `data` uint8."""

    headers: NDArray[np.void]
    starts: NDArray[np.int64]
    data: NDArray[np.uint8]

    def packet(self, row: int) -> bytes:
        """The bytes of one packet."""
        start = int(self.starts[row])
        return self.data[start : start + int(self.headers["length"][row])].tobytes()

    def arrivals_ns(self) -> NDArray[np.int64]:
        """Kernel receive times, realtime ns, (n,)."""
        seconds = self.headers["arrival_s"].astype(np.int64)
        result: NDArray[np.int64] = seconds * 1_000_000_000 + self.headers["arrival_ns"]
        return result


def read_rows(block: Block) -> Rows:
    """The rows of a PACKETS block. Raises `JournalError` when its lengths do not add up."""
    end = block.rows * ROW.itemsize
    headers = np.frombuffer(block.payload[:end], ROW)
    data = np.frombuffer(block.payload, np.uint8, offset=min(end, len(block.payload)))
    ends = np.cumsum(headers["length"], dtype=np.int64)
    if len(headers) != block.rows or (len(ends) and int(ends[-1]) != len(data)):
        raise JournalError(f"Block {block.number} says {block.rows} packets but holds other lengths.")
    return Rows(headers, ends - headers["length"], data)


class JournalWriter:
    """Appends sealed blocks to a file that it has just created; owns the descriptor.

    A write that the disk refuses leaves the file as it was and raises `OSError`. Nothing is buffered: a block that was
    appended survives the death of the process.
    """

    __slots__ = ("_encrypt", "_fd", "_good_bytes", "_number", "_owner")

    def __init__(self, path: str, owner: UUID, public_key: bytes) -> None:
        self._owner = owner.bytes
        data_key = os.urandom(KEY_BYTES)
        self._encrypt = AESGCM(data_key).encrypt
        wrapped = wrap(data_key, public_key, self._owner)
        self._number = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._good_bytes = 0
        try:
            self._put(_FILE_HEAD.pack(MAGIC, self._owner, len(wrapped)) + wrapped)
        except OSError:
            os.close(self._fd)
            os.unlink(path)
            raise

    @property
    def size_bytes(self) -> int:
        """Bytes of whole blocks in the file."""
        return self._good_bytes

    def append_event(self, event_number: int, payload: bytes, realtime_ns: int, monotonic_ns: int) -> None:
        """Append one numbered event. Raises `OSError`; the file is then unchanged."""
        self._seal(_INNER.pack(_EVENT, 0, event_number, realtime_ns, monotonic_ns) + payload)

    def append_packets(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """Append `rows` packets: their ROW headers, and their bytes end to end.

        Raises `OSError`; the file is then unchanged.
        """
        self._seal(b"".join((_INNER.pack(_PACKETS, rows, 0, realtime_ns, monotonic_ns), headers, packets)))

    def close(self) -> None:
        """Close the descriptor; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _seal(self, opened: bytes) -> None:
        number = self._number = self._number + 1
        nonce = number.to_bytes(12, "big")
        sealed = self._encrypt(nonce, opened, self._owner + number.to_bytes(4, "little"))
        self._put(_BLOCK_HEAD.pack(len(sealed), number) + sealed)

    def _put(self, data: bytes) -> None:
        length = len(data)
        written = _write(self._fd, data, length)
        if written == length:
            self._good_bytes += length
            return
        if written < 0:
            written = os.write(self._fd, data)  # says why, and does it where it can be done after all
        if written == length:
            self._good_bytes += length
            return
        os.ftruncate(self._fd, self._good_bytes)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a short write to a file is a full disk


class JournalReader:
    """Reads a journal's blocks in order, with the archive's private key.

    Raises `JournalError` when the file does not begin as a journal, `KeyRefused` when another key sealed it.
    After iteration `torn_bytes` says how much of the tail did not make a whole block; `damaged_bytes` how much did not
    before the last one that opened, and `damaged_blocks` how many were lost there, as far as their numbers tell.
    """

    def __init__(self, file: BinaryIO, private_key: X25519PrivateKey) -> None:
        self._file = file
        head = file.read(_FILE_HEAD.size)
        if len(head) < _FILE_HEAD.size:
            raise JournalError("The file ends before a journal's header does.")
        magic, owner, wrapped_bytes = _FILE_HEAD.unpack(head)
        if magic != MAGIC:
            raise JournalError("This is not a journal of this version: it does not begin with its mark.")
        wrapped = file.read(wrapped_bytes)
        if len(wrapped) < wrapped_bytes:
            raise JournalError("The file ends before a journal's header does.")
        self.owner = UUID(bytes=owner)
        self._cipher = AESGCM(unwrap(wrapped, private_key, owner))
        self._start = self._good = file.tell()
        self._last = 0
        self._allowance = 0
        self.torn_bytes = 0
        self.damaged_blocks = 0
        self.damaged_bytes = 0

    def __iter__(self) -> Iterator[Block]:
        """The blocks from the first to the end that the file has now; each call starts again."""
        self._good, self._last = self._start, 0
        self.damaged_blocks = self.damaged_bytes = 0
        return self.more()

    def more(self) -> Iterator[Block]:
        """The blocks behind the last one that was given, to the end that the file has now: it may be growing."""
        end = self._file.seek(0, os.SEEK_END)
        self._allowance = _ALLOWANCE_BYTES
        while self._good < end:
            good, last = self._good, self._last
            place, block = good, self._read(good, last, end)
            if block is None:
                found = self._search(good + 1, last, end)
                if found is None:
                    break
                place, block = found
                lost = min(block.number - last - 1, (place - good) // _LEAST_BLOCK_BYTES)
                self.damaged_blocks += max(1, lost)
                self.damaged_bytes += place - good
            self._good, self._last = place + _LEAST_BLOCK_BYTES + len(block.payload), block.number
            yield block
        self.torn_bytes = end - self._good

    def _read(self, place: int, last: int, end: int) -> Block | None:
        """The block that begins at this place; None where none does."""
        self._file.seek(place)
        head = self._file.read(_BLOCK_HEAD.size)
        if len(head) < _BLOCK_HEAD.size:
            return None
        length, number = _BLOCK_HEAD.unpack(head)
        if number <= last or not _LEAST_SEALED_BYTES <= length <= min(MAX_BLOCK_BYTES, end - place - len(head)):
            return None
        sealed = self._file.read(length)
        return self._open(number, sealed) if len(sealed) == length else None

    def _search(self, place: int, last: int, end: int) -> tuple[int, Block] | None:
        """The next block behind damage, and where it begins. What looks like a head is one if its block opens.

        Tries are bounded by the bytes searched, so that a file made of heads takes no minutes.
        """
        window = _FIRST_WINDOW_BYTES
        while end - place >= _LEAST_BLOCK_BYTES:
            self._file.seek(place)
            data = self._file.read(min(window + _BLOCK_HEAD.size - 1, end - place))
            if len(data) < _LEAST_BLOCK_BYTES:  # its writer cut it meanwhile
                break
            self._allowance += window * _TRIED_A_BYTE
            for offset, cost in _heads(data, last, end - place, self._allowance):
                self._allowance -= cost
                block = self._read(place + offset, last, end)
                if block is not None:
                    return place + offset, block
            place += window
            window = min(2 * window, _WINDOW_BYTES)
        return None

    def _open(self, number: int, sealed: bytes) -> Block | None:
        try:
            opened = self._cipher.decrypt(
                number.to_bytes(12, "big"), sealed, self.owner.bytes + number.to_bytes(4, "little")
            )
        except InvalidTag:
            return None
        kind, rows, event_number, realtime_ns, monotonic_ns = _INNER.unpack_from(opened)
        return Block(number, _KINDS[kind], rows, event_number, realtime_ns, monotonic_ns, opened[_INNER.size :])


def _heads(data: bytes, last: int, room: int, allowance: int) -> Iterator[tuple[int, int]]:
    """Offsets that a block's head may have in `data`, and what each costs to try: the first that are allowed together.

    `room` is the bytes from the beginning of `data` to the file's end.
    """
    offsets, lengths = [], []
    for shift in range(4):
        words = np.frombuffer(data, "<u4", (len(data) - shift) // 4, shift)
        length, number = words[:-1], words[1:]
        likely = (number > last) & (number <= last + _MOST_AHEAD)
        rows = np.flatnonzero(likely & (length >= _LEAST_SEALED_BYTES) & (length <= MAX_BLOCK_BYTES))
        offsets.append(rows * 4 + shift)
        lengths.append(length[rows].astype(np.int64))
    offset_of, length_of = np.concatenate(offsets), np.concatenate(lengths)
    order = np.argsort(offset_of)
    order = order[offset_of[order] + _BLOCK_HEAD.size + length_of[order] <= room]
    costs = length_of[order] + _TRY_BYTES
    allowed = int(np.searchsorted(np.cumsum(costs), allowance, "right"))
    return zip(offset_of[order[:allowed]].tolist(), costs[:allowed].tolist(), strict=True)


__all__ = [
    "MAGIC",
    "MAX_ROWS",
    "ROW",
    "ROW_CUT",
    "ROW_RTCP",
    "Block",
    "JournalError",
    "JournalReader",
    "JournalWriter",
    "KeyRefused",
    "Kind",
    "Rows",
    "read_rows",
]
