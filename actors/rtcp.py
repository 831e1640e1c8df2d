"""RTCP: one epoll set for the control sockets of all calls. A packet each few seconds is no work for the sweep.

What is no RTCP, comes from a host other than its stream's, or comes too often is refused and counted: a control port
is open to anybody, and what it takes goes to the disk.

Not here: what reports mean; they are journaled as they came.
"""

import select
import socket
import struct
from typing import TYPE_CHECKING, Final

import structlog
import trio

from actors.clock import instant
from actors.sip_ports import plain
from engine.events import Instant
from engine.journal import ROW_RTCP
from engine.sweep.slab import SO_TIMESTAMPNS

if TYPE_CHECKING:
    from actors.call import Call
    from engine.sweep import MediaSocket

log = structlog.get_logger()

# RFC 3550's packets are far shorter; what is longer is cut by the kernel and no RTCP.
MOST_BYTES: Final = 1500
AT_ONCE: Final = 200
# A header and the sender's SSRC, which every packet begins with (RFC 3550 section 6.4; feedback: RFC 4585 section 6.1).
LEAST_BYTES: Final = 8
# The packet types that are told from RTP on one port (RFC 5761 section 4).
PACKET_TYPES: Final = range(192, 224)
# A report comes every few seconds. Feedback is denser, and no phone system needs this much of it.
MOST_A_SECOND: Final = 20
_NS_A_PACKET: Final = 1_000_000_000 // MOST_A_SECOND
# Reports may wait: the kernel notes when they came. Waking the loop for each cost 0.2 ms a report.
LOOK_EVERY_S: Final = 0.25
# Turns of a look. 1,800 calls have 180 reports in it; a flood waits in its own socket.
MOST_TURNS: Final = 8
CONTROL_BYTES: Final = 128
_ROW = struct.Struct("<IIHHHH")
_TIMESPEC = struct.Struct("=qq")


class ControlPort:
    """One stream's RTCP socket, and what may come in there."""

    __slots__ = ("_full_at_ns", "call", "media", "refused", "sock")

    def __init__(self, sock: socket.socket, call: "Call", media: "MediaSocket") -> None:
        self.sock = sock
        self.call = call
        self.media = media
        self.refused = 0
        self._full_at_ns = 0  # when the allowance is whole again: a bucket of `MOST_A_SECOND` packets

    def accepts(self, packet: bytes, host: str, now_ns: int) -> bool:
        """Whether to keep this packet of `host`, now on the monotonic clock; counts it where not.

        The host is the learned source of the stream's RTP, or the one that the offer names. The port is free.
        """
        known = (self.media.source, self.media.expected)
        if (
            len(packet) >= LEAST_BYTES
            and packet[0] >> 6 == 2
            and packet[1] in PACKET_TYPES
            and any(source is not None and source[0] == host for source in known)
        ):
            full_at_ns = max(self._full_at_ns, now_ns) + _NS_A_PACKET
            if full_at_ns - now_ns <= MOST_A_SECOND * _NS_A_PACKET:
                self._full_at_ns = full_at_ns
                return True
        self.refused += 1
        return False


class RtcpSet:
    """The set; `run` is its task."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ports: dict[int, ControlPort] = {}

    def add(self, sock: socket.socket, call: "Call", media: "MediaSocket") -> None:
        """Read this socket for the stream of `call` whose RTP socket is `media`."""
        self._ports[sock.fileno()] = ControlPort(sock, call, media)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Read it no more. Before it is closed."""
        port = self._ports.pop(sock.fileno(), None)
        if port is not None:
            self._epoll.unregister(sock.fileno())
            if port.refused:
                log.info("RTCP refused", call=str(port.call.id), stream=port.media.index, packets=port.refused)

    async def run(self) -> None:
        """Read what came since the last look, a packet a socket in turn, so that a flood on one starves nobody."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            for _ in range(MOST_TURNS):
                if not self._read():
                    break
                await trio.lowlevel.checkpoint()

    def _read(self) -> bool:
        """One packet of each socket that has one, of a few hundred at most. False where none has."""
        ready = self._epoll.poll(0, AT_ONCE)
        now = instant()
        for fd, _ in ready:
            port = self._ports[fd]
            try:
                packet, control, _, sender = port.sock.recvmsg(MOST_BYTES, CONTROL_BYTES)
            except OSError:  # nothing after all, or an error that reading cleared
                continue
            if port.accepts(packet, plain(sender[0]), now.monotonic_ns):
                seconds, nanoseconds = _received_at(control, now)
                header = _ROW.pack(seconds, nanoseconds, port.media.index, len(packet), ROW_RTCP, 0)
                port.call.keep_rtcp(header, packet, now)
        return bool(ready)

    def close(self) -> None:
        """Close the set."""
        self._epoll.close()


def _received_at(control: list[tuple[int, int, bytes]], now: Instant) -> tuple[int, int]:
    """The kernel's receive time (realtime) in seconds and nanoseconds."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return seconds, nanoseconds
    return divmod(now.realtime_ns, 1_000_000_000)
