"""Taps: who listens is given what is kept and nothing else, and can harm nobody."""

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import trio

from actors.call import Node
from engine.call import CallState, EndCall, Pause, Resume
from engine.events import AnyEvent, event_name
from engine.journal import ROW, JournalWriter
from engine.sweep.visits import WATCHED
from tests.actors.test_call import CALL, Running, count
from tests.actors.workshop import close_node, journal_of, make_node, read_journal


class Ear:
    """A tap that remembers everything in order."""

    often = True

    def __init__(self) -> None:
        self.order: list[str] = []
        self.packets: list[bytes] = []
        self.closed = 0

    def take(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        lengths = np.frombuffer(headers, ROW)["length"]
        assert len(lengths) == rows
        ends = np.cumsum(lengths)
        self.packets += [bytes(packets[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
        self.order.append("packets")

    def tell(self, event: AnyEvent, state: CallState) -> None:
        self.order.append(event_name(event))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = make_node(tmp_path)
    yield made
    close_node(made)


@pytest.fixture
async def running(node: Node) -> AsyncIterator[Running]:
    made = Running(node)
    yield made
    made.close()


async def test_a_tap_is_given_what_is_kept_and_nothing_of_a_pause(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    ear = Ear()
    running.call.tap(ear)
    for word in (b"before", b"before"):
        running.say(word)
    await running.ask(Pause("person"))
    for _ in range(3):
        running.say(b"the secret")
        running.tick()
    running.say(b"the secret")
    await running.ask(Resume("person"))
    running.say(b"after")
    await running.ask(EndCall("normal"))
    await trio.testing.wait_all_tasks_blocked()
    assert [count(ear.packets, word) for word in (b"before", b"secret", b"after")] == [4, 0, 2]
    assert ear.order == ["packets", "paused", "resumed", "packets", "ended"]
    assert ear.closed == 1
    _, packets, _ = read_journal(journal_of(running.node, CALL))
    assert packets == ear.packets


async def test_a_call_is_watched_while_it_has_a_tap(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    at_rest = running.node.sweep.ticks_per_round
    first, second = Ear(), Ear()
    running.call.tap(first)
    running.call.tap(second)
    running.call.untap(first)
    assert at_rest < running.node.sweep.ticks_per_round == WATCHED[0][1]
    running.say(b"word")
    running.node.sweep.tick(1, 1)
    assert (len(first.packets), len(second.packets)) == (0, 2)
    running.call.untap(second)
    running.call.untap(second)
    assert running.node.sweep.ticks_per_round == at_rest
    running.say(b"word")
    running.tick()
    assert len(second.packets) == 2
    await running.ask(EndCall("normal"))
    assert second.closed == 0


async def test_a_tap_that_is_in_no_hurry_costs_no_visits(running: Running, nursery: trio.Nursery) -> None:
    class Meter(Ear):
        often = False

    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    at_rest = running.node.sweep.ticks_per_round
    meter, ear = Meter(), Ear()
    running.call.tap(meter)
    assert running.node.sweep.ticks_per_round == at_rest
    running.call.tap(ear)
    assert running.node.sweep.ticks_per_round > at_rest
    running.call.untap(ear)
    assert running.node.sweep.ticks_per_round == at_rest
    running.say(b"word")
    running.tick()
    assert (len(meter.packets), len(ear.packets)) == (2, 0)
    await running.ask(EndCall("normal"))


async def test_what_the_disk_refuses_is_heard(
    running: Running, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    ear = Ear()
    running.call.tap(ear)
    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "append_packets", refuse)
        running.say(b"refused")
        running.tick()
    running.say(b"kept")
    await running.ask(EndCall("normal"))
    assert [count(ear.packets, word) for word in (b"refused", b"kept")] == [2, 2]
    assert [count(read_journal(journal_of(running.node, CALL))[1], word) for word in (b"refused", b"kept")] == [0, 2]


async def test_a_tap_that_fails_costs_the_recording_nothing(running: Running, nursery: trio.Nursery) -> None:
    class Deaf(Ear):
        def take(self, *_: object) -> None:
            raise ZeroDivisionError("made to fail")

    class Dumb(Ear):
        def tell(self, *_: object) -> None:
            raise ZeroDivisionError("made to fail")

    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    ear = Ear()
    deaf, dumb = Deaf(), Dumb()
    for tap in (deaf, dumb, ear):
        running.call.tap(tap)
    running.say(b"before")
    assert (await running.ask(Pause("person"))).state.restarts == 0
    await running.ask(Resume("person"))
    running.say(b"after")
    await running.ask(EndCall("normal"))
    _, packets, _ = read_journal(journal_of(running.node, CALL))
    assert [count(packets, word) for word in (b"before", b"after")] == [2, 2]
    assert ear.packets == packets
    assert (deaf.closed, dumb.closed, ear.closed) == (1, 1, 1)  # each is told once that nothing more comes


async def test_reports_of_reception_are_no_audio(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    ear = Ear()
    running.call.tap(ear)
    done = await running.ask()
    running.call.keep_rtcp(np.zeros(1, ROW).tobytes(), b"", done.state.started)
    assert ear.order == []
    await running.ask(EndCall("normal"))


async def test_who_taps_a_call_that_was_sealed_is_told_at_once(node: Node) -> None:
    running = Running(node)
    running.call.seal()
    ear = Ear()
    running.call.tap(ear)
    assert ear.closed == 1
    running.close()
