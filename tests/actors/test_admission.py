"""Who may send calls, and when there is room."""

import ipaddress
from pathlib import Path

import pytest
from trio.testing import MockClock

from actors.admission import DISK_EVERY_S, Admission
from actors.spool import Spool


def admission(tmp_path: Path, *, most_calls: int = 10, least_free_bytes: int = 0) -> Admission:
    networks = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
    return Admission(networks, most_calls, least_free_bytes, Spool.below(tmp_path))


async def test_addresses_are_let_in_by_network(tmp_path: Path) -> None:
    rules = admission(tmp_path)
    assert rules.allows("192.0.2.7")
    assert rules.allows("::ffff:192.0.2.7")
    assert rules.allows("2001:db8::1")
    assert not rules.allows("198.51.100.1")
    assert not rules.allows("fe80::1%eth0")
    assert rules.refused == 2


async def test_a_full_node_a_closing_one_and_a_full_disk_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    rules = admission(tmp_path, most_calls=2, least_free_bytes=1000)
    monkeypatch.setattr(Spool, "free_bytes", lambda self: 1001)
    assert rules.reason_to_refuse(1) is None
    assert "2 calls are running" in (rules.reason_to_refuse(2) or "")
    monkeypatch.setattr(Spool, "free_bytes", lambda self: 999)
    assert rules.reason_to_refuse(0) is None  # asked a moment ago
    autojump_clock.jump(DISK_EVERY_S)
    assert "nearly full" in (rules.reason_to_refuse(0) or "")
    rules.closing = True
    assert "stopping" in (rules.reason_to_refuse(0) or "")
