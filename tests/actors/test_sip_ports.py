"""The SIP ports on loopback: big datagrams, messages in pieces, keep-alives, peers that break or do not read."""

import errno
import gc
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from actors import sip_ports
from actors.sip_ports import (
    MOST_STRANGERS,
    MOST_UNSENT_BYTES,
    STRANGER_S,
    Flow,
    TcpFlow,
    TcpPort,
    UdpPort,
    address_towards,
    open_ports,
)
from engine.errors import RemoteProtocolError
from engine.sip.framer import PONG

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 5\r\n\r\nhello"


def knows(host: str) -> bool:
    return host == "127.0.0.1"


class Received:
    def __init__(self) -> None:
        self.items: list[tuple[bytes, Flow]] = []
        self.arrived = trio.Event()

    def __call__(self, data: bytes, flow: Flow) -> None:
        self.items.append((data, flow))
        self.arrived.set()

    def refuse(self, head: bytes, flow: Flow, fault: RemoteProtocolError) -> None:
        flow.send(b"%d %s" % (fault.status, head.split()[0]))

    async def wait_for(self, count: int) -> list[tuple[bytes, Flow]]:
        with trio.fail_after(5):
            while len(self.items) < count:
                self.arrived = trio.Event()
                await self.arrived.wait()
        return self.items


class Failing(Received):
    def refuse(self, head: bytes, flow: Flow, fault: RemoteProtocolError) -> None:
        raise ZeroDivisionError("made to fail")


@asynccontextmanager
async def serving(port: UdpPort | TcpPort, received: Received | None = None) -> AsyncIterator[Received]:
    received = received or Received()
    async with trio.open_nursery() as nursery:
        if isinstance(port, TcpPort):
            nursery.start_soon(port.run, received, received.refuse)
        else:
            nursery.start_soon(port.run, received)
        yield received
        nursery.cancel_scope.cancel()
    port.close()


async def test_a_datagram_of_sixty_kilobytes_comes_whole_and_is_answered() -> None:
    port = UdpPort("127.0.0.1", 0)
    async with serving(port) as received:
        sender = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await sender.bind(("127.0.0.1", 0))
        data = bytes(range(256)) * 240
        await sender.sendto(data, ("127.0.0.1", port.port))
        ((got, flow),) = await received.wait_for(1)
        assert got == data
        assert flow.peer == sender.getsockname()
        assert not flow.reliable
        flow.send(b"answer")
        with trio.fail_after(2):
            assert await sender.recv(100) == b"answer"
        sender.close()


async def test_a_port_that_is_taken_is_refused_at_once() -> None:
    first = UdpPort("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        UdpPort("127.0.0.1", first.port)
    first.close()


def test_any_port_is_one_that_is_free_for_both() -> None:
    taken: list[int] = []

    def tcp_of(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
        if kind is socket.SOCK_STREAM and len(taken) < 3:
            taken.append(port)
            raise OSError(errno.EADDRINUSE, "in use")
        return bound(host, port, kind)

    bound = sip_ports._bound
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sip_ports, "_bound", tcp_of)
        udp, tcp = open_ports("127.0.0.1", 0, knows)
    assert udp.port == tcp.port
    assert len(taken) == 3
    with pytest.raises(OSError, match="in use"):
        open_ports("127.0.0.1", udp.port, knows)
    udp.close()
    tcp.close()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Received, trio.SocketStream]]:
    port = TcpPort("127.0.0.1", 0, knows)
    async with serving(port) as received:
        stream = await trio.open_tcp_stream("127.0.0.1", port.port)
        async with stream:
            yield received, stream


async def test_messages_in_pieces_and_two_in_one() -> None:
    async with connected() as (received, stream):
        await stream.send_all(MESSAGE[:20])
        await stream.send_all(MESSAGE[20:] + MESSAGE)
        items = await received.wait_for(2)
        assert [data for data, _ in items] == [MESSAGE, MESSAGE]
        items[0][1].send(b"one")
        items[1][1].send(b"two")
        with trio.fail_after(2):
            answer = b""
            while len(answer) < 6:
                answer += await stream.receive_some()
        assert answer == b"onetwo"


async def test_a_ping_gets_its_pong() -> None:
    async with connected() as (_, stream):
        await stream.send_all(b"\r\n\r\n")
        with trio.fail_after(2):
            assert await stream.receive_some() == PONG


async def test_what_cannot_be_framed_ends_its_connection_alone() -> None:
    port = TcpPort("127.0.0.1", 0, knows)
    async with serving(port) as received:
        broken = await trio.open_tcp_stream("127.0.0.1", port.port)
        healthy = await trio.open_tcp_stream("127.0.0.1", port.port)
        await broken.send_all(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: many\r\n\r\n")
        with trio.fail_after(2):
            assert await broken.receive_some() == b"400 OPTIONS"
            assert await broken.receive_some() == b""
        await healthy.send_all(MESSAGE)
        assert (await received.wait_for(1))[-1][0] == MESSAGE
        await broken.aclose()
        await healthy.aclose()


async def test_a_peer_that_only_stopped_sending_gets_its_answer() -> None:
    async with connected() as (received, stream):
        await stream.send_all(MESSAGE)
        await stream.send_eof()
        ((_, flow),) = await received.wait_for(1)
        await trio.sleep(0.05)  # a call takes a moment
        flow.send(b"answer")
        with trio.fail_after(2):
            assert await stream.receive_some() == b"answer"
            assert await stream.receive_some() == b""


async def test_a_peer_that_resets_or_reads_nothing_harms_nobody() -> None:
    port = TcpPort("127.0.0.1", 0, knows)
    async with serving(port) as received:
        deaf = await trio.open_tcp_stream("127.0.0.1", port.port)
        await deaf.send_all(MESSAGE)
        ((_, flow),) = await received.wait_for(1)
        for _ in range(20):
            flow.send(bytes(MOST_UNSENT_BYTES // 4))
        healthy = await trio.open_tcp_stream("127.0.0.1", port.port)
        await healthy.send_all(MESSAGE)
        assert len(await received.wait_for(2)) == 2
        deaf.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, RESET)
        await deaf.aclose()
        await healthy.send_all(MESSAGE)
        assert len(await received.wait_for(3)) == 3
        await healthy.aclose()


def test_our_address_towards_loopback() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"


async def test_connections_reset_before_they_are_accepted_end_nothing() -> None:
    port = TcpPort("127.0.0.1", 0, knows)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    async with serving(port) as received:
        healthy = await trio.open_tcp_stream("127.0.0.1", port.port)
        await healthy.send_all(MESSAGE)
        assert (await received.wait_for(1))[0][0] == MESSAGE
        await healthy.aclose()


async def test_a_port_can_be_run_again_after_a_failure() -> None:
    port = TcpPort("127.0.0.1", 0, knows)
    with trio.move_on_after(0.05):
        await port.run(lambda data, flow: None, lambda head, flow, fault: None)
    async with serving(port) as received:
        stream = await trio.open_tcp_stream("127.0.0.1", port.port)
        await stream.send_all(MESSAGE)
        assert len(await received.wait_for(1)) == 1
        await stream.aclose()


async def test_a_message_that_we_fail_on_ends_its_connection_alone() -> None:
    port = TcpPort("127.0.0.1", 0, knows)
    async with serving(port, Failing()) as received:
        broken = await trio.open_tcp_stream("127.0.0.1", port.port)
        await broken.send_all(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: many\r\n\r\n")
        healthy = await trio.open_tcp_stream("127.0.0.1", port.port)
        await healthy.send_all(MESSAGE)
        assert len(await received.wait_for(1)) == 1
        await broken.aclose()
        await healthy.aclose()


async def test_strangers_have_little_room_and_little_time(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = math.inf
    port = TcpPort("127.0.0.1", 0, lambda host: False)
    async with serving(port):
        streams = [await trio.open_tcp_stream("127.0.0.1", port.port) for _ in range(MOST_STRANGERS + 5)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (port._strangers, port._known) == (MOST_STRANGERS, 0)
        autojump_clock.jump(STRANGER_S + 1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert port._strangers == 0
        for stream in streams:
            await stream.aclose()


async def test_an_ipv4_peer_of_an_ipv6_port_is_an_ipv4_peer() -> None:
    port = UdpPort("::", 0)
    async with serving(port) as received:
        sender = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await sender.bind(("127.0.0.1", 0))
        await sender.sendto(b"hello", ("127.0.0.1", port.port))
        ((_, flow),) = await received.wait_for(1)
        assert flow.peer == sender.getsockname()
        flow.send(b"answer")
        with trio.fail_after(2):
            assert await sender.recv(100) == b"answer"
        sender.close()


async def test_a_closed_connection_is_freed_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        port = TcpPort("127.0.0.1", 0, knows)
        async with serving(port) as received:
            for _ in range(3):
                stream = await trio.open_tcp_stream("127.0.0.1", port.port)
                await stream.send_all(MESSAGE)
                await received.wait_for(1)
                received.items.clear()
                await stream.aclose()
            with trio.fail_after(5):
                while port._known:  # noqa: ASYNC110  # the linger; a test has no event for it
                    await trio.sleep(0.05)
            await trio.testing.wait_all_tasks_blocked()
            assert [each for each in gc.get_objects() if isinstance(each, TcpFlow)] == []
    finally:
        gc.enable()
