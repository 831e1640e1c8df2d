"""The beacon: what it says, how often, and that a disk which refuses does not end it."""

import os
import time
from pathlib import Path

import structlog
import trio
import trio.testing

from actors.beacon import EVERY_S, Beacon
from actors.spool import Spool


async def test_a_node_is_reported_again_and_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    spool = Spool.below(tmp_path)
    calls = [3]
    beacon = Beacon(spool, "recorder-1", lambda: calls[0], "wss://192.0.2.1:5065", "PEM")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beacon.run)
        await trio.sleep(EVERY_S / 2)
        first = spool.read_node()
        calls[0] = 4
        await trio.sleep(EVERY_S)
        second = spool.read_node()
        nursery.cancel_scope.cancel()
    assert first is not None
    assert second is not None
    assert (first.name, first.gateway, first.gateway_certificate) == ("recorder-1", "wss://192.0.2.1:5065", "PEM")
    assert (first.pid, first.calls, second.calls) == (os.getpid(), 3, 4)
    assert first.version
    assert first.free_bytes > 0
    assert first.at_ns < second.at_ns <= time.time_ns()
    assert [path.name for path in spool.root.iterdir() if path.is_file()] == ["node.json"]


async def test_a_disk_that_refuses_silences_the_node_and_ends_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    spool = Spool.below(tmp_path)
    (spool.root / "node.part").mkdir()  # in the way of every write
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Beacon(spool, "recorder-1", lambda: 0).run)
            await trio.sleep(2.5 * EVERY_S)
            assert spool.read_node() is None
            (spool.root / "node.part").rmdir()
            await trio.sleep(EVERY_S)
            nursery.cancel_scope.cancel()
    assert spool.read_node() is not None
    assert [line["event"] for line in logged] == ["node not reported"]


def test_a_report_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    spool = Spool.below(tmp_path)
    spool.node_file.write_text('{"name": 1}')
    assert spool.read_node() is None
