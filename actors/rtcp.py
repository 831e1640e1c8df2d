"""RTCP: one epoll set for the control sockets of all calls. A packet each few seconds is no work for the sweep.

Not here: what reports mean; they are journaled as they came.
"""

import select
import socket
import struct
from typing import TYPE_CHECKING, Final

import trio

from actors.clock import instant
from engine.journal import ROW_RTCP

if TYPE_CHECKING:
    from actors.call import Call

# RFC 3550's packets are far shorter; what is longer is cut by the kernel and no RTCP.
MOST_BYTES: Final = 1500
AT_ONCE: Final = 64
_ROW = struct.Struct("<IIHHHH")


class RtcpSet:
    """The set; `run` is its task."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._owners: dict[int, tuple[socket.socket, Call, int]] = {}

    def add(self, sock: socket.socket, call: "Call", index: int) -> None:
        """Read this socket for stream `index` of `call`."""
        self._owners[sock.fileno()] = (sock, call, index)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Read it no more. Before it is closed."""
        if self._owners.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    async def run(self) -> None:
        """Read what comes, a packet a socket in turn, so that a flood on one starves nobody."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            now = instant()
            seconds, nanoseconds = divmod(now.realtime_ns, 1_000_000_000)
            for fd, _ in self._epoll.poll(0, AT_ONCE):
                sock, call, index = self._owners[fd]
                try:
                    packet = sock.recv(MOST_BYTES)
                except OSError:  # nothing after all, or an error that reading cleared
                    continue
                call.keep_rtcp(_ROW.pack(seconds, nanoseconds, index, len(packet), ROW_RTCP, 0), packet, now)
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close the set."""
        self._epoll.close()
