"""An engine without SIP: its sweep, its calls and its gateway, in this process; and phones that send tones.

Rules: ports are the system's or were free a moment ago; nothing sleeps for its own sake; waiting has an end.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from actors.call import Call, Node
from actors.sweeper import Sweeper
from engine.call import AgreeStreams, Begin, Command
from engine.events import Origin
from live.client import Gateway as Client
from live.client import open_gateway
from live.gateway import Gateway, GatewayConfig
from live.line import NodeAddress
from tests.actors.workshop import close_node, journal_of, make_node, open_streams, read_journal, streams

KEY = b"k" * 32
NODE = "test"
PACKET_S = 0.02
PATIENCE_S = 10.0


async def until(look: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Looks again and again until it sees something true."""
    with trio.move_on_after(patience_s) as patience:
        while not look():  # noqa: ASYNC110  # what it looks at sets no event
            await trio.sleep(0.005)
    assert not patience.cancelled_caught, f"waited {patience_s:g} s in vain for {what}"


@asynccontextmanager
async def open_websocket(url: str, headers: Sequence[tuple[str, str]]) -> AsyncIterator[WebSocketConnection]:
    """A websocket whose stream is closed in any case: trio-websocket forgets it where the server closes first."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    stream = await trio.open_tcp_stream(parts.hostname, parts.port)
    given = [(name.encode(), value.encode()) for name, value in headers]
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE_S):
                socket = await wrap_client_stream(nursery, stream, parts.netloc, parts.path, extra_headers=given)
            yield socket
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


class Phones:
    """One call and what its two sides send."""

    def __init__(self, call: Call, ports: list[int]) -> None:
        self.call = call
        self.ports = ports
        self.sequence = 0
        self._senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
        for sender in self._senders:
            sender.bind(("127.0.0.1", 0))

    def say(self, *payloads: bytes, payload_type: int = 0) -> None:
        """One packet a side, now."""
        for side, payload in enumerate(payloads):
            head = struct.pack("!BBHII", 0x80, payload_type, self.sequence & 0xFFFF, self.sequence * 160, 0x70 + side)
            self._senders[side].sendto(head + payload, ("127.0.0.1", self.ports[side]))
        self.sequence += 1

    async def talk(self, *payloads: bytes, packets: int) -> None:
        """Packets by the clock."""
        due = trio.current_time()
        for _ in range(packets):
            await trio.sleep_until(due)
            self.say(*payloads)
            due += PACKET_S

    async def ask(self, *commands: Command) -> None:
        await self.call.mailbox.ask(commands)

    def close(self) -> None:
        for sender in self._senders:
            sender.close()


class Station:
    """Made by `open_station`."""

    def __init__(self, node: Node, gateway: Gateway, nursery: trio.Nursery) -> None:
        self.node = node
        self.calls: dict[UUID, Call] = {}
        self.gateway = gateway
        self.serving = trio.CancelScope()
        self._nursery = nursery
        self._phones: list[Phones] = []

    @property
    def address(self) -> NodeAddress:
        return NodeAddress(NODE, self.gateway.url)

    async def serve(self) -> None:
        """The gateway's task; cancelling `serving` ends it as a kill does: without a word."""
        with self.serving:
            await self.gateway.run(self.calls)

    def cut(self) -> None:
        """Cuts every connection, and takes none any more."""
        self.serving.cancel()

    def mend(self) -> None:
        """Takes connections again."""
        self.serving = trio.CancelScope()
        self._nursery.start_soon(self.serve)

    async def call(self, number: int = 1) -> Phones:
        """A call of two streams that has begun."""
        call = Call(UUID(int=number), self.node, lambda call: self.calls.pop(call.id, None))
        pairs = open_streams(call, self.node)
        self.calls[call.id] = call
        self._nursery.start_soon(call.run_supervised)
        begin = Begin(str(call.id), NODE, Origin(f"call-{number}@sbc"))
        await call.mailbox.ask((begin, AgreeStreams(0, streams(pairs))))
        call.expect({}, steady=True)
        phones = Phones(call, [pair.port for pair in pairs])
        self._phones.append(phones)
        return phones

    def connect(self, key: bytes = KEY, **other: str) -> AbstractAsyncContextManager[Client]:
        return open_gateway(replace(self.address, **other), key)

    def journal(self, phones: Phones) -> list[bytes]:
        """The packets that were kept of a call."""
        return read_journal(journal_of(self.node, phones.call.id))[1]

    def close(self) -> None:
        for phones in self._phones:
            phones.close()


@asynccontextmanager
async def open_station(
    folder: Path, *, tls: tuple[Path, Path] | None = None, port: int = 0, calls: int = 8
) -> AsyncIterator[Station]:
    """A station that runs until its end."""
    node = make_node(folder, ports=4 * calls)
    cert, key = tls if tls is not None else (None, None)
    gateway = Gateway(GatewayConfig(("127.0.0.1", port), NODE, KEY, cert, key))
    try:
        async with trio.open_nursery() as nursery:
            station = Station(node, gateway, nursery)
            nursery.start_soon(Sweeper(node.sweep).run)
            nursery.start_soon(station.serve)
            yield station
            nursery.cancel_scope.cancel()
    finally:
        gateway.close()
        station.close()
        close_node(node)


__all__ = ["KEY", "NODE", "Client", "Phones", "Station", "open_station", "open_websocket", "until"]
