"""What the sweep knows of a call: its media sockets, what it learned of their sources, and who keeps the packets.

A source is learned from the first packets that look right, and the socket is then connected to it, so that the kernel
drops whatever others send. It is learned again after a silence, and after a new offer.

Not here: reading the sockets (`visits.py`).
"""

import ctypes
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.sweep.slab import MAPPED

# Packets of one source that make it the source, where it is not the address that the offer named.
LEARN_AFTER: Final = 4
# Sources weighed at once while learning; a flood of forged addresses fills no memory.
MOST_CANDIDATES: Final = 16
_libc = ctypes.PyDLL(None, use_errno=True)

Keep = Callable[[int, bytes | memoryview, bytes | memoryview, int, int], None]
"""keep(rows, headers, packets, realtime ns, monotonic ns): the rows of one visit, as `JournalWriter.append_packets`."""


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """What came on one media socket so far. `lost` is by sequence numbers, `dropped` by the kernel's full buffer."""

    packets: int
    lost: int
    malformed: int
    cut: int
    dropped: int
    strays: int
    source_changes: int
    last_arrival_s: float


class MediaSocket:
    """One stream's RTP socket. `index` is the stream's number in its call, `slot` its row in the sweep's counters.

    `expected` is the source that the offer names, `source` the one that was learned (None: learning).
    """

    __slots__ = ("candidates", "expected", "fd", "index", "settled", "slot", "sock", "source", "strays")

    def __init__(self, sock: socket.socket, index: int) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.index = index
        self.slot = -1
        self.expected: tuple[str, int] | None = None
        self.source: tuple[str, int] | None = None
        self.settled = False
        self.candidates: dict[bytes, int] = {}
        self.strays = 0

    @property
    def buffer_bytes(self) -> int:
        """What the kernel may hold for this socket."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def learn(self, source: tuple[str, int], name: bytes) -> None:
        """Listen to `source` alone from now on."""
        host, port = source
        mapped = self.sock.family == socket.AF_INET6 and ":" not in host
        try:
            self.sock.connect((MAPPED + host if mapped else host, port))
        except OSError:  # an address that we have no route to cannot be connected to, but may still send
            self.candidates = {}
            return
        self.source = source
        self.settled = False
        self.candidates = {name: LEARN_AFTER}

    def forget(self) -> None:
        """Listen to anybody again, until a source is learned."""
        if self.source is not None:
            _disconnect(self.fd)
        self.source = None
        self.settled = False
        self.candidates = {}


class Intake:
    """A call's side of the sweep: the object that its actor owns and the sweep calls.

    `paused`: what comes is counted and thrown away. `steady` says that the packets of these streams have one size as
    long as the offer stands (G.711), so that rows may be cut to what was seen. `lanes` is (descriptor, slot) of each
    socket, kept by the sweep, which reads it some thousand times a second.
    """

    __slots__ = ("keep", "lanes", "longest", "paused", "seen", "sockets", "steady", "width")

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.sockets: list[MediaSocket] = []
        self.lanes: list[tuple[int, int]] = []
        self.paused = False
        self.steady = False
        self.width = 0  # index of the slab in use; 0 is the widest
        self.longest = 0
        self.seen = 0

    def renew(self) -> None:
        """An offer changed what may come: learn sources and sizes again."""
        self.width = 0
        self.longest = 0
        self.seen = 0
        for media in self.sockets:
            media.forget()


def _disconnect(fd: int) -> None:
    """Dissolve a UDP socket's association (connect to AF_UNSPEC); Python's own `connect` cannot.

    The socket keeps its port only if it was bound to that port by number.
    """
    unspec = ctypes.create_string_buffer(16)
    if _libc.connect(fd, unspec, 16) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "a media socket could not be disconnected")
