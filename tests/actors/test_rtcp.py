"""Control ports: what is RTCP of the stream's own source is kept, at a rate that fills no disk; the rest is counted."""

import socket
from collections.abc import Iterator
from typing import cast
from uuid import UUID

import pytest
import structlog
import trio
from trio.testing import MockClock

from actors.call import Call
from actors.rtcp import LOOK_EVERY_S, MOST_A_SECOND, ControlPort, RtcpSet
from engine.events import Instant
from engine.journal import ROW_RTCP
from engine.sweep import MediaSocket

SECOND = 1_000_000_000
HERE = "127.0.0.1"
REPORT = bytes([0x80, 201, 0, 1]) + bytes(4)


class Kept:
    """Stands for a call: what the set gave it."""

    id = UUID(int=5)

    def __init__(self) -> None:
        self.packets: list[tuple[bytes, bytes]] = []

    def keep_rtcp(self, header: bytes, packet: bytes, at: Instant) -> None:
        self.packets.append((header, packet))


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setblocking(False)
        opened.bind((HERE, 0))
        yield opened


@pytest.fixture
def port(sock: socket.socket) -> ControlPort:
    media = MediaSocket(sock, 3)
    media.source = ("192.0.2.1", 4000)
    return ControlPort(sock, cast(Call, Kept()), media)


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (REPORT, True),
        (b"\x80\xc0" + bytes(6), True),  # packet type 192
        (b"\x80\xdf" + bytes(6), True),  # 223
        (b"\x80\xbf" + bytes(6), False),
        (b"\x80\xe0" + bytes(6), False),
        (b"\x80\x00" + bytes(10), False),  # RTP
        (b"\x40\xc9" + bytes(6), False),  # version 1
        (REPORT[:7], False),
        (b"", False),
    ],
)
def test_only_rtcp_is_kept(port: ControlPort, packet: bytes, kept: bool) -> None:
    assert port.accepts(packet, "192.0.2.1", SECOND) is kept
    assert port.refused == (not kept)


@pytest.mark.parametrize(
    ("source", "expected", "kept"),
    [
        (None, None, []),
        (None, "192.0.2.2", ["192.0.2.2"]),
        ("192.0.2.1", None, ["192.0.2.1"]),
        ("192.0.2.1", "192.0.2.2", ["192.0.2.1", "192.0.2.2"]),
    ],
)
def test_only_the_streams_own_hosts_are_heard(
    port: ControlPort, source: str | None, expected: str | None, kept: list[str]
) -> None:
    port.media.source = (source, 4000) if source else None
    port.media.expected = (expected, 5000) if expected else None
    hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert [host for host in hosts if port.accepts(REPORT, host, SECOND)] == kept
    assert port.refused == len(hosts) - len(kept)


def test_a_flood_is_kept_at_the_permitted_rate(port: ControlPort) -> None:
    kept = [port.accepts(REPORT, "192.0.2.1", SECOND + step * SECOND // 1000) for step in range(10_000)]
    assert sum(kept[:1000]) <= 2 * MOST_A_SECOND  # a full allowance, and what grows in the second
    assert sum(kept) in range(10 * MOST_A_SECOND, 11 * MOST_A_SECOND + 1)
    assert port.refused == len(kept) - sum(kept)


def test_an_allowance_that_rested_is_whole_and_no_more(port: ControlPort) -> None:
    for now in (SECOND, 100 * SECOND):
        assert [port.accepts(REPORT, "192.0.2.1", now) for _ in range(50)].count(True) == MOST_A_SECOND


def test_strangers_use_up_nobodys_allowance(port: ControlPort) -> None:
    assert not any(port.accepts(REPORT, "192.0.2.9", SECOND) for _ in range(100))
    assert port.accepts(REPORT, "192.0.2.1", SECOND)


async def test_a_socket_is_read_for_its_stream_until_it_is_removed(
    sock: socket.socket, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ports, kept, media = RtcpSet(), Kept(), MediaSocket(sock, 3)
    media.expected = (HERE, 1)
    ports.add(sock, cast(Call, kept), media)
    nursery.start_soon(ports.run)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in (REPORT, b"noise", REPORT + b"more"):
            sender.sendto(packet, sock.getsockname())
        await trio.sleep(2 * LOOK_EVERY_S)  # the jumping clock looks at once
        with structlog.testing.capture_logs() as logged:
            ports.remove(sock)
        sender.sendto(REPORT, sock.getsockname())
        await trio.sleep(2 * LOOK_EVERY_S)  # the jumping clock looks at once
    assert [packet for _, packet in kept.packets] == [REPORT, REPORT + b"more"]
    assert [header[8:14] for header, _ in kept.packets] == [
        bytes([3, 0, len(p), 0, ROW_RTCP, 0]) for _, p in kept.packets
    ]
    assert [(line["event"], line["stream"], line["packets"]) for line in logged] == [("RTCP refused", 3, 1)]
    nursery.cancel_scope.cancel()
    ports.close()
