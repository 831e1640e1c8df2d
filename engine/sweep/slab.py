"""The slab: rows of memory that recvmmsg fills, one datagram a row, with its length, receive time and source.

The system call is made through `ctypes.PyDLL`, which keeps the GIL: a call that gives it up waits for a busy thread to
hand it back, once a socket.

Not here: what the bytes mean.
"""

import ctypes
import socket
from typing import Final

import numpy as np

# Linux, asm-generic/socket.h; Python's socket module has names for neither.
SO_TIMESTAMPNS: Final = 35
SO_RXQ_OVFL: Final = 40

# With MSG_TRUNC the kernel reports a datagram's true length even where the row is shorter.
RECEIVE_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_TRUNC
# One control message with a timespec is 32 bytes; the drop counter, present once something was dropped, 24 more.
_CONTROL_BYTES: Final = 64
_CONTROL_WITH_DROPS: Final = 32 + 24
# How IPv4 addresses look on an IPv6 socket (RFC 4291 section 2.5.5.2).
MAPPED: Final = "::ffff:"
_NAME_BYTES: Final = 28  # sockaddr_in6, the longer of the two


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


HEADER_BYTES: Final = ctypes.sizeof(_MMsgHdr)
_libc = ctypes.PyDLL(None)
recvmmsg = _libc.recvmmsg
recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
recvmmsg.restype = ctypes.c_int


class Slab:
    """`capacity` rows of `width` bytes, and for each the kernel's words about it.

    `recvmmsg(fd, slab.base + row * HEADER_BYTES, most, RECEIVE_FLAGS, None)` fills up to `most` rows from `row` on and
    gives how many. Fewer than `most` means that the socket is empty now: it never sends, so no error can end a read
    early. (No method: it is called thousands of times a second.)

    Arrays over all rows, filled in order: `data` (capacity, width) uint8; `words` the same as big-endian
    uint32; `lengths` the datagrams' true lengths; `seconds` and `nanoseconds` their receive times (realtime).
    Named slabs also keep each datagram's source (see `sources`).
    """

    def __init__(self, capacity: int, width: int, *, named: bool) -> None:
        self.capacity = capacity
        self.width = width
        self.named = named
        self.data = np.zeros((capacity, width), np.uint8)
        self.words = self.data.view(">u4")
        self._control = np.zeros((capacity, _CONTROL_BYTES // 8), np.int64)
        self._names = np.zeros((capacity, _NAME_BYTES), np.uint8)
        self._iovs = (_IoVec * capacity)()
        memory = np.zeros(capacity * HEADER_BYTES, np.uint8)
        self._headers = (_MMsgHdr * capacity).from_buffer(memory.data)
        for row in range(capacity):
            self._iovs[row].base = self.data.ctypes.data + row * width
            self._iovs[row].length = width
            header = self._headers[row].header
            header.iov = ctypes.addressof(self._iovs) + row * ctypes.sizeof(_IoVec)
            header.iov_length = 1
            header.control = self._control.ctypes.data + row * _CONTROL_BYTES
            header.control_length = _CONTROL_BYTES
            if named:
                header.name = self._names.ctypes.data + row * _NAME_BYTES
                header.name_length = _NAME_BYTES
        self.base = ctypes.addressof(self._headers)
        as_words = memory.view(np.uint32).reshape(capacity, HEADER_BYTES // 4)
        as_longs = memory.view(np.uint64).reshape(capacity, HEADER_BYTES // 8)
        self.lengths = as_words[:, ctypes.sizeof(_MsgHdr) // 4]
        self._name_lengths = as_words[:, _MsgHdr.name_length.offset // 4]
        self._control_lengths = as_longs[:, _MsgHdr.control_length.offset // 8]
        self.seconds = self._control[:, 2]
        self.nanoseconds = self._control[:, 3]

    def drops(self, rows: int) -> list[tuple[int, int]]:
        """(row, datagrams that the kernel had dropped on that socket by then), for the rows that tell of any."""
        told = np.flatnonzero(self._control_lengths[:rows] >= _CONTROL_WITH_DROPS)
        # The second control message starts at byte 32: 16 bytes of header, then a uint32.
        return [(int(row), int(self._control[row, 6]) & 0xFFFFFFFF) for row in told]

    def sources(self, row: int, count: int) -> list[bytes]:
        """The source addresses of `count` datagrams as the kernel gave them (a sockaddr each); only of a named slab."""
        raw = self._names[row : row + count].tobytes()
        lengths = self._name_lengths[row : row + count].tolist()
        return [raw[place * _NAME_BYTES : place * _NAME_BYTES + length] for place, length in enumerate(lengths)]

    def reuse(self, rows: int) -> None:
        """Make the first `rows` rows ready to be filled again: the kernel shortened what it was given."""
        self._control_lengths[:rows] = _CONTROL_BYTES
        if self.named:
            self._name_lengths[:rows] = _NAME_BYTES

    def wipe(self, rows: int) -> None:
        """Overwrite the first `rows` rows: they held what nobody may keep."""
        self.data[:rows] = 0


def address_of(name: bytes) -> tuple[str, int] | None:
    """(host, port) of a sockaddr, or None for a family that is neither IPv4 nor IPv6.

    An IPv4 address that came over an IPv6 socket is an IPv4 address, as it stands in offers.
    """
    family = int.from_bytes(name[:2], "little")
    port = int.from_bytes(name[2:4], "big")
    if family == socket.AF_INET and len(name) >= 8:
        return socket.inet_ntop(socket.AF_INET, name[4:8]), port
    if family == socket.AF_INET6 and len(name) >= 24:
        host = socket.inet_ntop(socket.AF_INET6, name[8:24])
        return (host.removeprefix(MAPPED) if "." in host else host), port
    return None
