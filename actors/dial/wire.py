"""Where the client's SIP goes out and comes in: one UDP socket, or one TCP connection, for all its calls.

Messages are bytes here, whole ones. What they mean is not known, nor when to send them again.
"""

import errno
import math
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import trio

from actors.dial.errors import DialError
from engine.errors import RemoteProtocolError
from engine.sip.address import serialize_host_port
from engine.sip.framer import PONG, Framer, Ping

Address: TypeAlias = tuple[str, int]
"""Host (a numeric address) and port."""

MOST_BYTES: Final = 65_536
# Datagrams read in one go, so that a flood of responses does not keep the media from being sent.
AT_ONCE: Final = 64
CONNECT_S: Final = 10.0

# Linux tells an unconnected socket of "port unreachable" only when asked (ip(7), ipv6(7)); Python names neither.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25


class Wire(Protocol):
    """One way to the recorder. `closed` says why nothing can pass any more, and is empty while something can."""

    transport: str
    local: Address
    peer: Address
    closed: str

    def send(self, data: bytes, to: Address) -> None:
        """Send without waiting. What cannot be sent is lost, as on any network."""

    async def run(self, receive: Callable[[bytes, Address], None], unreachable: Callable[[str], None]) -> None:
        """Hand over what comes, and a sentence whenever the network says that nobody is there."""


async def open_wire(host: str, port: int, transport: str) -> Wire:
    """The way to `host`, a name or an address. Errors: `DialError`."""
    if transport == "tcp":
        return await TcpWire.connect(host, port)
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise DialError(f"The host {host} is not known: {error.strerror or error}.") from error
    family, _, _, _, address = found[0]
    return UdpWire(socket.AddressFamily(family), (str(address[0]), int(address[1])))


class UdpWire:
    """One socket on the address that faces the recorder."""

    transport = "UDP"
    closed = ""

    def __init__(self, family: socket.AddressFamily, peer: Address) -> None:
        self.peer = peer
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(peer)
                self._sock.bind((probe.getsockname()[0], 0))
            if family == socket.AF_INET6:
                self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        except OSError as error:
            self._sock.close()
            raise DialError(f"There is no way to {peer[0]}: {error.strerror}.") from error
        self._sock.setblocking(False)
        name = self._sock.getsockname()
        self.local = (str(name[0]), int(name[1]))

    def send(self, data: bytes, to: Address) -> None:
        try:
            self._sock.sendto(data, to)
        except OSError:
            # A full buffer, or the news of an earlier datagram's fate, which `run` reads as well. The transaction
            # sends again.
            return

    async def run(self, receive: Callable[[bytes, Address], None], unreachable: Callable[[str], None]) -> None:
        with self._sock:
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                for _ in range(AT_ONCE):
                    try:
                        data, source = self._sock.recvfrom(MOST_BYTES)
                    except BlockingIOError:
                        break
                    except OSError:
                        continue  # the same news as the error queue's, which is read next
                    receive(data, (str(source[0]), int(source[1])))
                if self.peer in self._undelivered():
                    unreachable(f"Nothing listens at {serialize_host_port(*self.peer)} (UDP).")

    def _undelivered(self) -> set[Address]:
        """Empties the socket's error queue: the destinations that had no open port."""
        refused: set[Address] = set()
        while True:
            try:
                _, _, _, address = self._sock.recvmsg(1, 0, socket.MSG_ERRQUEUE)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return refused
                continue
            refused.add((str(address[0]), int(address[1])))


class TcpWire:
    """One connection; the receiver of each message is whoever is at its other end."""

    transport = "TCP"

    def __init__(self, stream: trio.SocketStream) -> None:
        local, peer = stream.socket.getsockname(), stream.socket.getpeername()
        self.local = (str(local[0]), int(local[1]))
        self.peer = (str(peer[0]), int(peer[1]))
        self.closed = ""
        self._stream = stream
        self._put, self._take = trio.open_memory_channel[bytes](math.inf)

    @classmethod
    async def connect(cls, host: str, port: int) -> "TcpWire":
        """Errors: `DialError`."""
        place = serialize_host_port(host, port)
        try:
            with trio.fail_after(CONNECT_S):
                return cls(await trio.open_tcp_stream(host, port))
        except trio.TooSlowError:
            raise DialError(f"Nothing answers at {place} (TCP).") from None
        except OSError as error:
            causes = error.__cause__.exceptions if isinstance(error.__cause__, ExceptionGroup) else (error,)
            cause = causes[0] if isinstance(causes[0], OSError) else error
            # trio's text holds the address once more; a resolver's errors are below 0, and have a text of their own.
            why = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
            raise DialError(f"There is no connection to {place} (TCP): {why}.") from error

    def send(self, data: bytes, to: Address) -> None:
        self._put.send_nowait(data)

    async def run(self, receive: Callable[[bytes, Address], None], unreachable: Callable[[str], None]) -> None:
        async with self._stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read(receive)
            except trio.BrokenResourceError:
                self.closed = "The connection to the recorder broke."
            except RemoteProtocolError as error:
                self.closed = f"The recorder sent what is no SIP, so that the connection had to end: {error}"
            nursery.cancel_scope.cancel()
        unreachable(self.closed)

    async def _read(self, receive: Callable[[bytes, Address], None]) -> None:
        framer = Framer()
        while data := await self._stream.receive_some(MOST_BYTES):
            for item in framer.feed(data):
                if isinstance(item, Ping):
                    self.send(PONG, self.peer)
                else:
                    receive(item, self.peer)
        self.closed = "The recorder closed the connection."

    async def _write(self) -> None:
        async for data in self._take:
            try:
                await self._stream.send_all(data)
            except trio.BrokenResourceError:
                return  # the reading side learns of it too, and says so
