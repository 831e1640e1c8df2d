"""The SIP ports: datagrams and connections in, bytes out. Who may talk and what it means is the switchboard's.

A flow says where bytes came from and takes the answer: for UDP an address, for TCP a connection.
"""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
import trio

from engine.errors import RemoteProtocolError
from engine.sip.framer import PONG, Framer, FramingError, Ping

log = structlog.get_logger()

# An INVITE with metadata has some 4 kB; a UDP datagram can have 64.
MOST_DATAGRAM_BYTES: Final = 65_535
READ_BYTES: Final = 65_536
# A peer that stops reading is cut off when this much waits for it.
MOST_UNSENT_BYTES: Final = 1_000_000
MOST_CONNECTIONS: Final = 1000
BACKLOG: Final = 128
# A connection whose peer has stopped sending: how long calls have to answer, and the answers to be sent.
ANSWER_S: Final = 0.2
LINGER_S: Final = 1.0
# A burst of calls waits here while the loop is in a tick: some 300 INVITEs of 4 kB.
UDP_BUFFER_BYTES: Final = 4 * 2**20


class Flow(Protocol):
    """Where a message came from, and the way back."""

    @property
    def transport(self) -> str:
        """`UDP` or `TCP`, as a Via names it."""

    @property
    def peer(self) -> tuple[str, int]:
        """The other end's address and port."""

    @property
    def reliable(self) -> bool:
        """Whether the transport delivers by itself."""

    def send(self, data: bytes) -> None:
        """Send without waiting; what cannot be sent is lost, as on any network."""


Receive = Callable[[bytes, Flow], None]
# What to do with the head (if it is whole) of a message after which a connection cannot be followed any more.
Refuse = Callable[[bytes, Flow, RemoteProtocolError], None]


@dataclass(frozen=True, slots=True)
class UdpFlow:
    """An address reached through our UDP port."""

    sock: socket.socket
    peer: tuple[str, int]
    transport: str = "UDP"
    reliable: bool = False

    def send(self, data: bytes) -> None:
        """Errors of a datagram are the network's: SIP sends again."""
        try:
            self.sock.sendto(data, self.peer)
        except OSError as error:
            log.debug("datagram not sent", peer=self.peer[0], reason=str(error))


class TcpFlow:
    """One connection. What is sent waits for the writer task."""

    transport = "TCP"
    reliable = True

    def __init__(self, stream: trio.SocketStream, peer: tuple[str, int]) -> None:
        self.peer = peer
        self._stream = stream
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._arrived = trio.Event()
        self._all_sent = trio.Event()

    def send(self, data: bytes) -> None:
        """Queue for the writer; a peer that reads nothing is cut off."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > MOST_UNSENT_BYTES:
            log.warning("peer does not read", peer=self.peer[0])
            self._stream.socket.close()
        self._arrived.set()

    async def write(self) -> None:
        """The writer: sends until cancelled. Errors: `trio.BrokenResourceError`, `trio.ClosedResourceError`."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._unsent:
                data = self._unsent.popleft()
                await self._stream.send_all(data)
                self._unsent_bytes -= len(data)
            self._all_sent.set()
            self._all_sent = trio.Event()

    async def flush(self) -> None:
        """Wait until the writer has sent what is queued."""
        if self._unsent_bytes:
            await self._all_sent.wait()


class UdpPort:
    """The UDP port. Bound when made, so that a wrong address stops the start."""

    def __init__(self, host: str, port: int) -> None:
        """Errors: `OSError` when the address cannot be bound."""
        self._sock = socket.socket(_family(host), socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
            self._sock.bind((host, port))
        except OSError:
            self._sock.close()
            raise
        self.port: int = self._sock.getsockname()[1]

    async def run(self, receive: Receive) -> None:
        """Read datagrams until cancelled."""
        reader = trio.socket.from_stdlib_socket(self._sock)
        while True:
            try:
                data, address = await reader.recvfrom(MOST_DATAGRAM_BYTES)
            except OSError:  # an ICMP error about something that we sent
                continue
            receive(data, self.flow_to((address[0], address[1])))

    def flow_to(self, peer: tuple[str, int]) -> UdpFlow:
        """The way to an address."""
        return UdpFlow(self._sock, peer)

    def close(self) -> None:
        """Close the port."""
        self._sock.close()


class TcpPort:
    """The TCP port and its connections. Bound when made."""

    def __init__(self, host: str, port: int) -> None:
        """Errors: `OSError` when the address cannot be bound."""
        self._sock = socket.socket(_family(host), socket.SOCK_STREAM)
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind((host, port))
            self._sock.listen(BACKLOG)
        except OSError:
            self._sock.close()
            raise
        self.port: int = self._sock.getsockname()[1]
        self._connections = trio.CapacityLimiter(MOST_CONNECTIONS)

    async def run(self, receive: Receive, refuse: Refuse) -> None:
        """Serve connections until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._sock))

        async def serve(stream: trio.SocketStream) -> None:
            await self._serve(stream, receive, refuse)

        await trio.serve_listeners(serve, [listener])

    def close(self) -> None:
        """Close the port."""
        self._sock.close()

    async def _serve(self, stream: trio.SocketStream, receive: Receive, refuse: Refuse) -> None:
        async with self._connections, stream:
            address = stream.socket.getpeername()
            flow = TcpFlow(stream, (address[0], address[1]))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(flow.write)
                    await self._read(stream, flow, receive, refuse)
                    with trio.move_on_after(LINGER_S):  # a peer that only stopped sending still wants its answers
                        await trio.sleep(ANSWER_S)
                        await flow.flush()
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("connection lost", peer=flow.peer[0])

    async def _read(self, stream: trio.SocketStream, flow: TcpFlow, receive: Receive, refuse: Refuse) -> None:
        framer = Framer()
        while data := await stream.receive_some(READ_BYTES):
            broken = None
            try:
                items = framer.feed(data)
            except FramingError as error:
                items, broken = error.items, error
            for item in items:
                if isinstance(item, Ping):
                    flow.send(PONG)
                else:
                    receive(item, flow)
            if broken is not None:
                refuse(broken.head, flow, broken)
                return


def address_towards(peer: str) -> str:
    """The address of ours that a packet to `peer` would bear. Errors: `OSError` where there is no way."""
    with socket.socket(_family(peer), socket.SOCK_DGRAM) as sock:
        sock.connect((peer, 9))  # no packet is sent
        return str(sock.getsockname()[0])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
