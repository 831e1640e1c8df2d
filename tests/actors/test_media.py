"""RTP ports: neighbours on real sockets, ports of others skipped, clear words when there are none."""

import socket

import pytest

from actors.media import MediaPorts, NoPorts
from tests.actors.workshop import free_ports


def test_the_pairs_of_a_call_are_neighbours_with_rtcp_between() -> None:
    first, last = free_ports(8)
    ports = MediaPorts("127.0.0.1", first, last)
    pairs = ports.open(range(2))
    assert [pair.port for pair in pairs] == [first, first + 2]
    assert [pair.rtcp.getsockname()[1] for pair in pairs] == [first + 1, first + 3]
    assert [pair.media.index for pair in pairs] == [0, 1]
    for pair in pairs:
        ports.close(pair)


def test_a_port_that_somebody_else_holds_is_skipped() -> None:
    first, last = free_ports(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + 1))
        ports = MediaPorts("127.0.0.1", first, last)
        (pair,) = ports.open(range(1))
        assert pair.port == first + 2
        ports.close(pair)


def test_a_full_range_is_said_with_the_setting_that_helps() -> None:
    first, last = free_ports(2)
    ports = MediaPorts("127.0.0.1", first, last)
    (pair,) = ports.open(range(1))
    with pytest.raises(NoPorts, match="EARSHOT_RTP_PORTS"):
        ports.open(range(1))
    ports.close(pair)


def test_an_address_that_is_not_ours_is_no_endless_search() -> None:
    with pytest.raises(NoPorts, match="could not be opened"):
        MediaPorts("192.0.2.1", 20_000, 20_999).open(range(1))
