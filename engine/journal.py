"""The journal: an append-only file of sealed blocks, one file a call (and one a segment of the outbox).

Layout (all integers little-endian):

    file    = magic (8) | owner id (16: the call's UUID) | length of wrapped key (u16) | wrapped key | block*
    block   = length of sealed bytes (u32) | number (u32) | sealed bytes
    sealed  = AES-256-GCM, owner's data key; nonce = number (12 bytes, big-endian), additional data = owner id | number
    opened  = kind (u8) | zero (u8) | rows (u16) | event number (u32) | realtime ns (i64) | monotonic ns (i64) | payload
    payload = an event as JSON, or `rows` row headers of 16 bytes (ROW) followed by the packets themselves, end to end

Block numbers only rise. One that is missing was never written whole (a full disk); its number is not used again, so
that no nonce is. A tail that does not open is torn: it is what a kill left, and reading ends before it. A block in the
middle that does not open (a damaged disk) is skipped and counted.

Not here: what events mean (`events.py`, `call.py`), where files lie (`actors/spool.py`), any codec.
"""

import ctypes
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

# PyDLL keeps the GIL. A call that gives it up waits a whole switch interval for a busy thread to hand it back.
_libc = ctypes.PyDLL(None, use_errno=True)
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
        code = ctypes.get_errno() if written < 0 else 28  # a short write to a file is a full disk: ENOSPC
        if written > 0:
            os.ftruncate(self._fd, self._good_bytes)
        raise OSError(code, os.strerror(code))


class JournalReader:
    """Reads a journal's blocks in order, with the archive's private key.

    Raises `JournalError` when the file does not begin as a journal, `KeyRefused` when another key sealed it.
    After iteration `torn_bytes` says how much of the tail did not make a whole block, `damaged_blocks` how many whole
    ones before it would not open.
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
        self._start = file.tell()
        self.torn_bytes = 0
        self.damaged_blocks = 0

    def __iter__(self) -> Iterator[Block]:
        """The blocks from the first; each call starts again, so a journal can be read twice."""
        good, last, skipped = self._start, 0, 0
        self.damaged_blocks = 0
        self._file.seek(good)
        while (sealed := self._next(last)) is not None:
            block = self._open(*sealed)
            if block is None:
                skipped += 1
                continue
            self.damaged_blocks += skipped
            good, last, skipped = self._file.tell(), block.number, 0
            yield block
        self.torn_bytes = self._file.seek(0, os.SEEK_END) - good

    def _next(self, last: int) -> tuple[int, bytes] | None:
        head = self._file.read(_BLOCK_HEAD.size)
        if len(head) < _BLOCK_HEAD.size:
            return None
        length, number = _BLOCK_HEAD.unpack(head)
        if number <= last or not TAG_BYTES + _INNER.size <= length <= MAX_BLOCK_BYTES:
            return None
        sealed = self._file.read(length)
        return (number, sealed) if len(sealed) == length else None

    def _open(self, number: int, sealed: bytes) -> Block | None:
        try:
            opened = self._cipher.decrypt(
                number.to_bytes(12, "big"), sealed, self.owner.bytes + number.to_bytes(4, "little")
            )
        except InvalidTag:
            return None
        kind, rows, event_number, realtime_ns, monotonic_ns = _INNER.unpack_from(opened)
        return Block(number, _KINDS[kind], rows, event_number, realtime_ns, monotonic_ns, opened[_INNER.size :])


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
