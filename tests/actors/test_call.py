"""The call actor: what is journaled before it is answered, what survives a crash, what a full disk costs."""

import errno
import gc
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock

from actors import call as call_module
from actors.call import Call, Done, Node
from actors.clock import instant
from actors.mailbox import Unanswered
from actors.rtcp import LOOK_EVERY_S
from engine.call import AgreeStreams, Begin, CallState, Command, EndCall, Pause, Refusal, Resume, decide, fold
from engine.events import AnyEvent, Ended, Gap, Instant, Origin, Paused, Resumed, Started
from engine.journal import JournalWriter
from engine.sweep.intake import LEARN_AFTER
from tests.actors.workshop import close_node, journal_of, make_node, open_streams, read_journal, streams

CALL = UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0001)
BEGIN = Begin(str(CALL), "test", Origin("call@sbc"))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = make_node(tmp_path)
    yield made
    close_node(made)


class Running:
    """A call with two streams, its task, and a sender for each stream."""

    def __init__(self, node: Node) -> None:
        self.node = node
        closed = self.closed = list[UUID]()
        self.call = Call(CALL, node, lambda call: closed.append(call.id))
        self.pairs = open_streams(self.call, node)
        self.senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in self.pairs]
        self.sequence = 0

    async def begin(self) -> Done:
        return await self.call.mailbox.ask((BEGIN, AgreeStreams(0, streams(self.pairs))))

    async def ask(self, *commands: Command) -> Done:
        return await self.call.mailbox.ask(commands)

    def say(self, payload: bytes) -> None:
        for pair, sender in zip(self.pairs, self.senders, strict=True):
            head = struct.pack("!BBHII", 0x80, 0, self.sequence & 0xFFFF, self.sequence * 160, pair.port)
            sender.sendto(head + payload * (160 // len(payload)), ("127.0.0.1", pair.port))
        self.sequence += 1

    def tick(self) -> None:
        now = instant()
        for _ in range(self.node.sweep.ticks_per_round):
            self.node.sweep.tick(now.realtime_ns, now.monotonic_ns)

    def close(self) -> None:
        for sender in self.senders:
            sender.close()


@pytest.fixture
async def running(node: Node) -> AsyncIterator[Running]:
    made = Running(node)
    yield made
    made.close()


def count(packets: list[bytes], payload: bytes) -> int:
    return sum(payload in packet for packet in packets)


async def test_a_call_from_its_beginning_to_its_end(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    for _ in range(5):
        running.say(b"word")
    done = await running.ask(EndCall("normal", "phone-system"))
    assert done.state.ended is not None
    await trio.testing.wait_all_tasks_blocked()
    events, packets, order = read_journal(running.node.spool.finished / str(CALL) / "journal")
    assert order == ["started", "streams-agreed", "packets", "ended"]
    assert count(packets, b"word") == 10
    assert fold(events) == done.state
    assert running.closed == [CALL]


async def test_a_cut_drains_first_and_answers_last(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    for _ in range(10):  # 200 ms wait in the sockets when the pause comes
        running.say(b"before")
    paused = await running.ask(Pause("person", who="agent"))
    for _ in range(10):
        running.say(b"the secret")
    running.tick()
    for _ in range(10):  # and 200 ms of what must not be kept when the resumption comes
        running.say(b"the secret")
    resumed = await running.ask(Resume("person", who="agent"))
    for _ in range(10):
        running.say(b"after")
    await running.ask(EndCall("normal"))
    events, packets, order = read_journal(journal_of(running.node, CALL))
    assert order == ["started", "streams-agreed", "packets", "paused", "resumed", "packets", "ended"]
    assert (count(packets, b"before"), count(packets, b"secret"), count(packets, b"after")) == (20, 0, 20)
    cuts = [event.at for event in events if isinstance(event, Paused | Resumed)]
    assert [running.call.state.position_ns(at) for at in cuts if running.call.state] == sorted(
        running.call.state.position_ns(at) for at in cuts if running.call.state
    )
    assert paused.state.paused
    assert not resumed.state.paused
    assert [paused.state.since, resumed.state.since] == cuts  # where the journal says, to the nanosecond


async def test_an_end_in_a_pause_keeps_nothing_of_it(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    await running.ask(Pause("person"))
    running.say(b"the secret")
    await running.ask(EndCall("normal"))
    _, packets, _ = read_journal(journal_of(running.node, CALL))
    assert packets == []


async def test_rtcp_is_kept_with_its_stream_unless_paused(
    running: Running, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(running.call.run_supervised)
    nursery.start_soon(running.node.rtcp.run)
    await running.begin()
    for _ in range(LEARN_AFTER):
        running.say(b"word")
    running.tick()  # nobody's reports are kept before the source is known
    report = bytes([0x80, 201, 0, 1]) + bytes(4)
    running.senders[1].sendto(report, ("127.0.0.1", running.pairs[1].port + 1))
    await trio.sleep(2 * LOOK_EVERY_S)  # the jumping clock looks at once
    assert read_journal(journal_of(running.node, CALL))[1][-1] == report
    await running.ask(Pause("person"))
    running.senders[1].sendto(report, ("127.0.0.1", running.pairs[1].port + 1))
    await trio.sleep(2 * LOOK_EVERY_S)  # the jumping clock looks at once
    await running.ask(EndCall("normal"))
    _, packets, _ = read_journal(journal_of(running.node, CALL))
    assert packets.count(report) == 1
    nursery.cancel_scope.cancel()


def failing(
    times: int, on: type[Command]
) -> Callable[[CallState | None, Command, Instant], tuple[AnyEvent, ...] | Refusal]:
    left = times

    def fail(state: CallState | None, command: Command, now: Instant) -> tuple[AnyEvent, ...] | Refusal:
        nonlocal left
        if isinstance(command, on) and left:
            left -= 1
            raise ZeroDivisionError("made to fail")
        return decide(state, command, now)

    return fail


async def test_a_crash_loses_neither_state_nor_audio(
    running: Running, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    running.say(b"before")
    before = (await running.ask()).state
    monkeypatch.setattr(call_module, "decide", failing(1, Pause))
    with pytest.raises(Unanswered, match="made to fail"):
        await running.ask(Pause("person"))
    running.say(b"while it is down")
    running.tick()
    running.say(b"after")
    done = await running.ask(Pause("person"))
    assert done.state.restarts == 1
    assert done.state.streams == before.streams
    assert done.state.paused
    await running.ask(EndCall("normal"))
    events, packets, _ = read_journal(journal_of(running.node, CALL))
    assert [count(packets, word) for word in (b"before", b"while it is", b"after")] == [2, 2, 2]
    assert fold(events) == running.call.state


async def test_a_paused_call_that_crashes_stays_paused(
    running: Running, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    await running.ask(Pause("person"))
    monkeypatch.setattr(call_module, "decide", failing(1, Resume))
    with pytest.raises(Unanswered):
        await running.ask(Resume("person"))
    running.say(b"the secret")
    running.tick()
    assert (await running.ask()).state.paused
    await running.ask(EndCall("normal"))
    assert read_journal(journal_of(running.node, CALL))[1] == []


async def test_past_the_limit_it_is_sealed_as_incomplete_and_its_neighbour_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    broken = Running(node)
    neighbour_id = UUID(int=2)
    neighbour = Call(neighbour_id, node, lambda call: None)
    nursery.start_soon(broken.call.run_supervised)
    nursery.start_soon(neighbour.run_supervised)
    await broken.begin()
    await neighbour.mailbox.ask((Begin(str(neighbour_id), "test", Origin("other")),))
    broken.say(b"kept")
    monkeypatch.setattr(call_module, "decide", failing(4, Pause))
    for _ in range(4):
        with pytest.raises(Unanswered):
            await broken.ask(Pause("person"))
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(Unanswered, match="has ended"):
        await broken.ask(Pause("person"))
    events, packets, _ = read_journal(node.spool.finished / str(CALL) / "journal")
    assert isinstance(events[-1], Ended)
    assert events[-1].end == "incomplete"
    assert "made to fail" in events[-1].by
    assert count(packets, b"kept") == 2
    assert not (await neighbour.mailbox.ask(())).state.restarts
    await neighbour.mailbox.ask((EndCall("normal"),))
    broken.close()


class Disk:
    """A disk that can be full: stands where the journal writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        seal = JournalWriter._seal

        def checked(writer: JournalWriter, opened: bytes) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            seal(writer, opened)

        monkeypatch.setattr(JournalWriter, "_seal", checked)


async def test_a_full_disk_costs_audio_and_never_the_pause(
    running: Running, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    running.say(b"before")
    running.tick()
    disk.full = True
    running.say(b"nowhere to go")
    running.tick()
    running.say(b"nor these")
    assert (await running.ask(Pause("person"))).state.paused
    running.say(b"the secret")
    running.tick()
    disk.full = False
    running.say(b"the secret")
    assert not (await running.ask(Resume("person"))).state.paused
    running.say(b"after")
    await running.ask(EndCall("normal"))
    events, packets, order = read_journal(journal_of(running.node, CALL))
    assert [count(packets, word) for word in (b"before", b"nowhere", b"nor", b"secret", b"after")] == [2, 0, 0, 0, 2]
    assert order == ["started", "streams-agreed", "packets", "paused", "gap", "resumed", "packets", "ended"]
    gaps = [event for event in events if isinstance(event, Gap)]
    assert [(gap.packets, gap.cause) for gap in gaps] == [(4, "the disk could not be written")]
    assert [type(event) for event in events].index(Started) == 0
    assert running.call.state is not None
    assert any("4 packets lost" in warning for warning in running.call.state.warnings)


async def test_a_call_that_cannot_be_begun_leaves_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: JournalWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalWriter, "_put", refuse)
    with pytest.raises(OSError, match="No space"):
        Call(CALL, node, lambda call: None)
    assert not list(node.spool.live.iterdir())
    assert node.sweep.calls == 0


async def test_a_cancelled_node_hands_its_calls_over(running: Running) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.call.run_supervised)
        await running.begin()
        running.say(b"last words")
        running.tick()
        nursery.cancel_scope.cancel()
    events, packets, _ = read_journal(running.node.spool.finished / str(CALL) / "journal")
    assert not any(isinstance(event, Ended) for event in events)
    assert count(packets, b"last words") == 2


async def test_a_call_that_ended_is_freed_without_the_collector(node: Node) -> None:
    gc.collect()
    gc.disable()
    try:
        running = Running(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.call.run_supervised)
            await running.begin()
            running.say(b"word")
            await running.ask(EndCall("normal"))
        running.close()
        del running, nursery
        assert [each for each in gc.get_objects() if isinstance(each, Call)] == []
    finally:
        gc.enable()


async def test_ports_are_given_back_and_the_outbox_has_every_event(running: Running, nursery: trio.Nursery) -> None:
    nursery.start_soon(running.call.run_supervised)
    await running.begin()
    await running.ask(Pause("person"))
    await running.ask(EndCall("normal"))
    await trio.testing.wait_all_tasks_blocked()
    for pair in running.pairs:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", pair.port))
    running.node.outbox.close()
    (segment,) = running.node.spool.outbox.iterdir()
    numbers = [block for block in _outbox(segment)]
    assert numbers == [(str(CALL), 1), (str(CALL), 2), (str(CALL), 3), (str(CALL), 4)]


def _outbox(segment: Path) -> list[tuple[str, int]]:
    import json

    from engine.journal import JournalReader
    from tests.actors.workshop import PRIVATE

    with segment.open("rb") as file:
        found = [json.loads(block.payload) for block in JournalReader(file, PRIVATE)]
    return [(each["call_id"], each["number"]) for each in found]
