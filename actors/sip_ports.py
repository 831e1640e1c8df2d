"""The SIP ports: datagrams and connections in, bytes out. Who may talk and what it means is the switchboard's.

A flow says where bytes came from and takes the answer: for UDP an address, for TCP a connection.
"""

import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
import trio

from engine.errors import RemoteProtocolError
from engine.sip.framer import PONG, Framer, FramingError, Ping
from engine.sweep.slab import MAPPED

log = structlog.get_logger()

# An INVITE with metadata has some 4 kB; a UDP datagram can have 64.
MOST_DATAGRAM_BYTES: Final = 65_535
READ_BYTES: Final = 65_536
# A peer that stops reading is cut off when this much waits for it.
MOST_UNSENT_BYTES: Final = 1_000_000
MOST_CONNECTIONS: Final = 1000
MOST_STRANGERS: Final = 20
# A phone system keeps its connection for days, but says something at first; a stranger gets his 403.
FIRST_MESSAGE_S: Final = 30.0
STRANGER_S: Final = 3.0
ACCEPT_AGAIN_S: Final = 0.1
BACKLOG: Final = 128
# A connection whose peer has stopped sending: how long calls have to answer, and the answers to be sent.
ANSWER_S: Final = 0.2
LINGER_S: Final = 1.0
# A burst of calls waits here while the loop is in a tick: some 300 INVITEs of 4 kB.
UDP_BUFFER_BYTES: Final = 4 * 2**20
# A port that the kernel finds free for UDP is seldom taken for TCP.
ANY_PORT_ATTEMPTS: Final = 20


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
        host, port = self.peer
        try:
            self.sock.sendto(data, (_as_family(host, self.sock.family), port))
        except OSError as error:
            log.debug("datagram not sent", peer=host, reason=str(error))


class TcpFlow:
    """One connection. What the kernel does not take at once waits for it to take more, in a task of the port's."""

    transport = "TCP"
    reliable = True

    def __init__(self, sock: socket.socket, peer: tuple[str, int], nursery: trio.Nursery) -> None:
        self.peer = peer
        self._sock = sock
        self._nursery = nursery
        self._unsent = bytearray()
        self._all_sent = trio.Event()

    def send(self, data: bytes) -> None:
        """Send now, or as soon as the peer reads; one that reads nothing is cut off."""
        if self._sock.fileno() < 0:
            return
        was_sending = bool(self._unsent)
        self._unsent += data
        if len(self._unsent) > MOST_UNSENT_BYTES:
            log.warning("peer does not read", peer=self.peer[0])
            self.close()
        elif not was_sending and not self._push():
            self._nursery.start_soon(self._keep_pushing)

    async def flush(self) -> None:
        """Wait until what was sent is with the kernel."""
        if self._unsent:
            self._all_sent = trio.Event()
            await self._all_sent.wait()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._unsent.clear()
        self._all_sent.set()
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def _push(self) -> bool:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            return False
        except OSError as error:
            log.debug("connection lost", peer=self.peer[0], reason=str(error))
            self.close()
        if not self._unsent:
            self._all_sent.set()
        return not self._unsent

    async def _keep_pushing(self) -> None:
        try:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._sock)
                self._push()
        except (OSError, ValueError, trio.ClosedResourceError):  # closed meanwhile
            return


class UdpPort:
    """The UDP port. Bound when made, so that a wrong address stops the start."""

    def __init__(self, host: str, port: int) -> None:
        """Errors: `OSError` when the address cannot be bound."""
        self._sock = _bound(host, port, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
        self.port: int = self._sock.getsockname()[1]

    async def run(self, receive: Receive) -> None:
        """Read datagrams until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                data, address = self._sock.recvfrom(MOST_DATAGRAM_BYTES)
            except OSError:  # nothing after all, or an ICMP error about something that we sent
                continue
            receive(data, self.flow_to((plain(address[0]), address[1])))

    def flow_to(self, peer: tuple[str, int]) -> UdpFlow:
        """The way to an address."""
        return UdpFlow(self._sock, peer)

    def close(self) -> None:
        """Close the port."""
        self._sock.close()


class TcpPort:
    """The TCP port and its connections. Bound when made; `run` may be started again after a failure.

    `knows` says whether an address is a phone system of ours. A stranger gets his answer and is closed soon; there is
    room for few of them, so that they cannot keep the others out.
    """

    def __init__(self, host: str, port: int, knows: Callable[[str], bool]) -> None:
        """Errors: `OSError` when the address cannot be bound."""
        self._sock = _bound(host, port, socket.SOCK_STREAM)
        self._sock.listen(BACKLOG)
        self._knows = knows
        self.port: int = self._sock.getsockname()[1]
        self._known = self._strangers = 0

    async def run(self, receive: Receive, refuse: Refuse) -> None:
        """Serve connections until cancelled."""
        self._known = self._strangers = 0
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                try:
                    sock, address = self._sock.accept()
                except BlockingIOError:
                    continue
                except OSError as error:  # reset before it was accepted, or no descriptors are left
                    log.warning("connection not accepted", reason=str(error))
                    await trio.sleep(ACCEPT_AGAIN_S)
                    continue
                sock.setblocking(False)
                flow = TcpFlow(sock, (plain(address[0]), address[1]), nursery)
                nursery.start_soon(self._serve, sock, flow, receive, refuse)
                del sock, flow  # theirs alone, or the last one would live until the next comes

    def close(self) -> None:
        """Close the port."""
        self._sock.close()

    async def _serve(self, sock: socket.socket, flow: TcpFlow, receive: Receive, refuse: Refuse) -> None:
        """One connection, from its first byte to its last. Whatever goes wrong with it stays with it."""
        known = self._knows(flow.peer[0])
        if (self._known >= MOST_CONNECTIONS) if known else (self._strangers >= MOST_STRANGERS):
            log.warning("connection refused", peer=flow.peer[0], reason="too many are open")
            flow.close()
            return
        self._known += known
        self._strangers += not known
        try:
            with trio.move_on_after(FIRST_MESSAGE_S if known else STRANGER_S) as patience:
                await self._read(sock, flow, receive, refuse, patience if known else None)
                patience.deadline = trio.current_time() + LINGER_S
                await trio.sleep(ANSWER_S)  # a peer that only stopped sending still wants its answers
                await flow.flush()
        except (OSError, trio.ClosedResourceError) as error:
            log.debug("connection lost", peer=flow.peer[0], reason=str(error))
        except Exception:
            log.exception("connection failed", peer=flow.peer[0])
        finally:
            flow.close()
            self._known -= known
            self._strangers -= not known

    async def _read(
        self,
        sock: socket.socket,
        flow: TcpFlow,
        receive: Receive,
        refuse: Refuse,
        patience: trio.CancelScope | None,
    ) -> None:
        """Until the peer stops sending. With the first message `patience` has no end any more."""
        framer = Framer()
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                return
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
                if patience is not None:
                    patience.deadline = math.inf
            if broken is not None:
                refuse(broken.head, flow, broken)
                return


def open_ports(host: str, port: int, knows: Callable[[str], bool]) -> tuple[UdpPort, TcpPort]:
    """Both ports, of one number. Port 0 stands for any that is free for both. Errors: `OSError`."""
    attempts_left = 1 if port else ANY_PORT_ATTEMPTS
    while True:
        udp = UdpPort(host, port)
        try:
            return udp, TcpPort(host, udp.port, knows)
        except OSError:
            udp.close()
            attempts_left -= 1
            if not attempts_left:
                raise


def plain(host: str) -> str:
    """An address as it is written elsewhere: one of IPv4 that came over an IPv6 socket without its prefix."""
    return host.removeprefix(MAPPED) if "." in host else host


def address_towards(peer: str) -> str:
    """The address of ours that a packet to `peer` would bear. Errors: `OSError` where there is no way."""
    with socket.socket(_family(peer), socket.SOCK_DGRAM) as sock:
        sock.connect((peer, 9))  # no packet is sent
        return str(sock.getsockname()[0])


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(_family(host), kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _as_family(host: str, family: int) -> str:
    return MAPPED + host if family == socket.AF_INET6 and ":" not in host else host
