"""What goes over the portal's lines: control, and sound for any number of listeners from one upstream."""

import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from engine.call import EndCall, Pause, Resume
from engine.events import Paused
from live.client import Gateway, NodeAddress, NoSuchCall, Refused, Unanswered, open_gateway
from portal import relay
from portal.gateways import FRAMES, LONGEST_FRAME_MS, LONGEST_PAUSE_S, Gateways, frame_ms, open_gateways, pause_s
from portal.relay import CALL_ENDED, GAP, NO_ANSWER, Listener
from schema.database import DatabaseAway
from schema.values import CallRecord, CallStage, CallView, NodeRecord
from tests.actors.workshop import journal_of, read_journal
from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, PAUSED_HZ, levels, loudest_hz, tone, ulaw
from tests.live.station import KEY, NODE, Phones, Station, open_station, until

RATE_HZ = 8000
HEADER = struct.Struct("<BBHId")
NOBODY = UUID(int=99)
CALLER, CALLEE = (ulaw(tone(hz, 0.02)) for hz in (500, 1500))


def view(call_id: UUID, node: str = NODE) -> CallView:
    record = CallRecord(id=call_id, tenant_id=UUID(int=0), node=node, events=1, started_at=datetime.now(UTC))
    return CallView(record, CallStage.ACTIVE, call_id, {})


@dataclass
class Directory:
    """What the database knows of nodes, while it is there."""

    urls: dict[str, str] = field(default_factory=dict)
    away: bool = False

    async def nodes(self) -> Sequence[NodeRecord]:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise DatabaseAway("away")
        return [NodeRecord(name, url, "1", datetime.now(UTC)) for name, url in self.urls.items()]


@dataclass
class Heard:
    """What one listener was given."""

    words: list[dict[str, Any]] = field(default_factory=list)
    frames: list[tuple[int, int, float, np.ndarray]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def take(self, message: dict[str, Any] | bytes) -> None:
        if isinstance(message, dict):
            self.words.append(message)
            self.order.append(message["type"])
            return
        version, flags, count, sequence, position_s = HEADER.unpack_from(message)
        assert version == 1
        samples = np.frombuffer(message, "<i2", offset=HEADER.size).reshape(-1, 2)
        assert len(samples) == count
        self.frames.append((flags, sequence, position_s, samples))
        if self.order[-1:] != ["frames"]:
            self.order.append("frames")

    async def listen(self, listener: Listener) -> None:
        async for message in listener:
            self.take(message)

    def sound(self) -> np.ndarray:
        return np.concatenate([samples for *_, samples in self.frames]).astype(np.float64) / 32768

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.words if message["type"] == kind]


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with open_station(tmp_path) as made:
        yield made


@pytest.fixture
def directory(station: Station) -> Directory:
    return Directory({NODE: station.gateway.url})


@pytest.fixture
async def gateways(directory: Directory) -> AsyncIterator[Gateways]:
    async with open_gateways(KEY, directory.nodes) as made:
        yield made


@asynccontextmanager
async def listening(gateways: Gateways, phones: Phones) -> AsyncIterator[Heard]:
    """Listens until the block ends."""
    heard = Heard()
    async with gateways.listen(view(phones.call.id)) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(heard.listen, listener)
        yield heard
        nursery.cancel_scope.cancel()


async def test_a_press_reaches_the_call_and_its_journal(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    call = view(phones.call.id)
    answer = await gateways.pause(call, "anna", "api")
    assert answer.state == "paused"
    (paused,) = [e for e in read_journal(journal_of(station.node, phones.call.id))[0] if isinstance(e, Paused)]
    assert (paused.holder, paused.who, paused.sign) == ("person", "anna", "api")
    assert (await gateways.resume(call, "anna")).state == "recording"
    assert (await gateways.start(call, "anna")).state == "recording"
    with pytest.raises(Refused):
        await gateways.stop(call, "anna")
    with pytest.raises(NoSuchCall):
        await gateways.pause(view(NOBODY), "anna")
    assert gateways.reachable(NODE)


async def test_each_ear_hears_its_side(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    async with listening(gateways, phones) as heard:
        await phones.talk(CALLER, CALLEE, packets=60)
        await until(lambda: len(heard.sound()) > 8000, "a second of sound")
    (hello,) = heard.told("hello")
    assert hello["call_id"] == str(phones.call.id)
    assert (hello["rate_hz"], hello["channels"], hello["frame_ms"], hello["recording"]) == (8000, 2, 20, "recording")
    sound = heard.sound()[4000:8000]
    assert loudest_hz(sound[:, 0], RATE_HZ) == pytest.approx(500, abs=5)
    assert loudest_hz(sound[:, 1], RATE_HZ) == pytest.approx(1500, abs=5)
    assert np.median(levels(sound[:, 0], RATE_HZ, 500)) > -11
    assert levels(sound[:, 0], RATE_HZ, 1500).max() < -40
    for (_, sequence, position_s, samples), (_, after, next_s, _) in zip(heard.frames, heard.frames[1:], strict=False):
        assert after == sequence + 1
        assert next_s == pytest.approx(position_s + len(samples) / RATE_HZ)


async def test_twenty_listeners_are_one_upstream(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    heard = [Heard() for _ in range(20)]

    async def listen(ear: Heard) -> None:
        async with gateways.listen(view(phones.call.id)) as listener:
            await ear.listen(listener)

    async with trio.open_nursery() as nursery:
        for ear in heard:
            nursery.start_soon(listen, ear)
        await until(lambda: all(ear.words for ear in heard), "twenty to be greeted")
        assert (gateways.listeners, gateways.upstreams) == (20, 1)
        assert len(phones.call._taps) == 1
        await phones.talk(CALLER, CALLEE, packets=30)
        await until(lambda: all(len(ear.frames) > 20 for ear in heard), "all to hear")
        nursery.cancel_scope.cancel()
    first = {sequence: samples for _, sequence, _, samples in heard[0].frames}
    for ear in heard[1:]:
        common = [(samples, first[sequence]) for _, sequence, _, samples in ear.frames if sequence in first]
        assert len(common) > 20
        assert all(np.array_equal(one, other) for one, other in common)
    assert (gateways.listeners, gateways.upstreams) == (0, 0)
    await until(lambda: not phones.call._taps, "the upstream to be closed")


async def test_one_who_stalls_loses_is_told_and_harms_nobody(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    stalled = Heard()
    async with listening(gateways, phones) as heard, gateways.listen(view(phones.call.id)) as idle:
        await phones.talk(CALLER, CALLEE, packets=100)
        await until(lambda: len(heard.frames) > 90, "the other to hear")
        for _ in range(3):
            stalled.take(await anext(idle))
        while stalled.frames[-1:] == [] or stalled.frames[-1][1] < heard.frames[-1][1]:
            stalled.take(await anext(idle))
    numbers = [sequence for _, sequence, _, _ in heard.frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not heard.told("dropped")
    assert np.abs(heard.sound()[4000:12_000]).max() > 0.3
    assert np.median(levels(heard.sound()[4000:12_000, 0], RATE_HZ, 500)) > -11

    (dropped,) = stalled.told("dropped")
    assert dropped["frames"] + len(stalled.frames) == pytest.approx(len(heard.frames), abs=2)
    assert sum(len(samples) for *_, samples in stalled.frames) <= 2 * relay.MOST_QUEUED
    assert stalled.frames[0][0] & GAP
    assert not any(flags & GAP for flags, *_ in stalled.frames[1:])
    await phones.ask(EndCall("normal"))
    assert len(station.journal(phones)) == 200


async def test_nothing_of_a_pause_is_heard(station: Station, gateways: Gateways) -> None:
    """As the file: what was said before is heard, what was said in between never, and it goes on after."""
    phones = await station.call()
    before, secret, after = (ulaw(tone(hz, 0.02)) for hz in (BEFORE_HZ, PAUSED_HZ, AFTER_HZ))
    call = view(phones.call.id)
    async with listening(gateways, phones) as heard:
        await phones.talk(before, before, packets=40)
        paused = await gateways.pause(call, "anna")
        await until(lambda: heard.told("state"), "the pause to be told")
        told_after = len(heard.frames)
        await phones.talk(secret, secret, packets=40)
        assert len(heard.frames) == told_after
        async with listening(gateways, phones) as late:
            await until(lambda: late.words, "who comes late to be greeted")
            assert late.words[0]["recording"] == "paused"
            assert late.words[0]["position_s"] >= paused.position_s
        resumed = await gateways.resume(call, "anna")
        await phones.talk(after, after, packets=40)
        await until(lambda: len(heard.frames) > told_after + 35, "it to go on")
        await phones.ask(EndCall("normal"))
        await until(lambda: heard.told("ended"), "the end to be told")
    sound = heard.sound()
    for channel in (0, 1):
        assert levels(sound[:, channel], RATE_HZ, PAUSED_HZ).max() < -40
        assert levels(sound[:, channel], RATE_HZ, BEFORE_HZ).max() > -12
        assert levels(sound[:, channel], RATE_HZ, AFTER_HZ).max() > -12
    first, second = heard.told("state")
    assert (first["recording"], first["by"]) == ("paused", "anna")
    assert (first["at_s"], second["at_s"]) == (paused.position_s, resumed.position_s)
    assert (second["recording"], second["by"]) == ("recording", None)
    assert heard.order == ["hello", "frames", "state", "state", "frames", "ended"]
    flags, _, position_s, _ = heard.frames[told_after]
    assert flags & GAP
    assert position_s == pytest.approx(resumed.position_s, abs=0.05)
    last = heard.frames[told_after - 1]
    assert paused.position_s - 0.3 < last[2] + len(last[3]) / RATE_HZ <= paused.position_s + 0.01
    assert heard.told("ended")[0]["end"] == "normal"


async def test_the_end_closes_the_listener(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    heard = Heard()
    async with gateways.listen(view(phones.call.id)) as listener:
        await phones.ask(EndCall("lost"))
        with trio.fail_after(5):
            await heard.listen(listener)
        assert listener.close_code == CALL_ENDED
    assert heard.words[-1] == {"type": "ended", "end": "lost"}
    assert gateways.upstreams == 0


async def test_who_listens_to_a_call_that_does_not_run_is_told_at_once(gateways: Gateways) -> None:
    with pytest.raises(NoSuchCall):
        async with gateways.listen(view(NOBODY)):
            pass
    assert gateways.upstreams == 0


async def test_a_line_that_breaks_is_told_and_mended(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    async with listening(gateways, phones) as heard, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: phones.talk(CALLER, CALLEE, packets=300))
        await until(lambda: len(heard.frames) > 10, "sound")
        station.cut()
        await until(lambda: heard.told("error"), "the break to be told")
        assert not gateways.reachable(NODE)
        station.mend()
        await until(lambda: len(heard.told("hello")) == 2, "the line to be mended")
        there = len(heard.frames)
        await until(lambda: len(heard.frames) > there + 20, "sound again")
        nursery.cancel_scope.cancel()
    assert heard.told("error") == [{"type": "error", "trouble": "lost"}]
    assert heard.frames[there][0] & GAP
    assert heard.frames[there][2] > heard.frames[there - 1][2]
    assert max(np.abs(samples).max() for *_, samples in heard.frames[there:]) > 10_000


async def test_an_engine_that_comes_back_without_the_call_ends_it(station: Station, gateways: Gateways) -> None:
    phones = await station.call()
    heard = Heard()
    async with gateways.listen(view(phones.call.id)) as listener:
        station.cut()
        await until(lambda: not gateways.reachable(NODE), "the line to break")
        await phones.ask(EndCall("interrupted"))
        await until(lambda: not station.calls, "the call to be gone")
        station.mend()
        with trio.fail_after(10):
            await heard.listen(listener)
        assert listener.close_code == CALL_ENDED
    assert heard.words[-1] == {"type": "ended", "end": None}


async def test_an_engine_that_does_not_come_back_is_given_up(
    station: Station, gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RETURN_S", 0.3)
    phones = await station.call()
    heard = Heard()
    async with gateways.listen(view(phones.call.id)) as listener:
        station.cut()
        with trio.fail_after(5):
            await heard.listen(listener)
        assert listener.close_code == NO_ANSWER
    assert [message["trouble"] for message in heard.told("error")] == ["lost", "gone"]


async def test_a_node_that_nobody_knows_is_unanswered_in_two_seconds(autojump_clock: MockClock) -> None:
    async with open_gateways(KEY, Directory().nodes) as gateways:
        began = trio.current_time()
        with pytest.raises(Unanswered, match="recorder-9"):
            await gateways.pause(view(NOBODY, "recorder-9"), "anna")
        assert trio.current_time() - began == pytest.approx(2)
        with pytest.raises(Unanswered):
            async with gateways.listen(view(NOBODY, "recorder-9")):
                pass
        assert not gateways.reachable("recorder-9")


async def test_a_node_that_is_away_for_hours_ends_nothing(autojump_clock: MockClock) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        directory = Directory({NODE: f"ws://127.0.0.1:{closed.getsockname()[1]}"})
        async with open_gateways(KEY, directory.nodes) as gateways:
            await trio.sleep(3 * 3600)
            with pytest.raises(Unanswered, match="cannot be reached"):
                await gateways.pause(view(NOBODY), "anna")


async def test_what_goes_wrong_with_a_node_stays_with_it(
    station: Station, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    async def fail() -> Sequence[NodeRecord]:
        raise ZeroDivisionError("made to fail")

    def break_down(node: NodeAddress, key: bytes) -> AbstractAsyncContextManager[Gateway]:
        if node.name == NODE:
            return open_gateway(node, key)
        raise ZeroDivisionError("made to fail")

    monkeypatch.setattr("portal.gateways.open_gateway", break_down)
    directory = Directory({"broken": station.gateway.url, NODE: station.gateway.url})
    async with open_gateways(KEY, directory.nodes) as gateways:
        await until(lambda: gateways.reachable(NODE), "the line to stand")
        monkeypatch.setattr(gateways, "_nodes", fail)
        with pytest.raises(Unanswered, match="made to fail"):
            await gateways.pause(view(NOBODY, "broken"), "anna")
        assert gateways.reachable(NODE)


def test_pauses_between_attempts_grow_up_to_the_longest() -> None:
    assert [pause_s(failures) for failures in range(1, 6)] == [0.25, 0.5, 1, 2, 4]
    assert pause_s(100_000) == LONGEST_PAUSE_S


async def test_a_node_that_moved_is_found_again(
    station: Station, tmp_path: Path, directory: Directory, gateways: Gateways
) -> None:
    await until(lambda: gateways.reachable(NODE), "the line to stand")
    async with open_station(tmp_path / "other") as other:
        phones = await other.call(7)
        directory.urls[NODE] = other.gateway.url
        station.cut()
        await until(lambda: not gateways.reachable(NODE), "the line to break")
        assert (await gateways.pause(view(phones.call.id), "anna")).state == "paused"


async def test_without_the_database_the_lines_stand(station: Station, directory: Directory, gateways: Gateways) -> None:
    phones = await station.call()
    await until(lambda: gateways.reachable(NODE), "the line to stand")
    directory.away = True
    station.cut()
    await until(lambda: not gateways.reachable(NODE), "the line to break")
    station.mend()
    assert (await gateways.pause(view(phones.call.id), "anna")).state == "paused"


async def test_levels_are_asked_for_once_however_many_watch(station: Station, gateways: Gateways) -> None:
    one, two = await station.call(1), await station.call(2)
    await until(lambda: gateways.reachable(NODE), "the line to stand")
    first, second = view(one.call.id), view(two.call.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: one.talk(CALLER, CALLEE, packets=400))
        async with gateways.watch([first]) as look:
            async with gateways.watch([first, second]) as both:
                await until(lambda: None not in (both().get(one.call.id) or (None,)), "levels")
                assert len(one.call._taps) == 1
                caller, callee = both()[one.call.id] or (None, None)
                assert caller == pytest.approx(-13, abs=1)
                assert callee == pytest.approx(-13, abs=1)
                assert both()[two.call.id] == (None, None)
            await until(lambda: not two.call._taps, "the second to be let go")
            assert list(look()) == [one.call.id]
            await one.ask(Pause("person"))
            await until(lambda: look()[one.call.id] is None, "the pause")
            await one.ask(Resume("person"))
            station.cut()
            await until(lambda: look() == {}, "the break")
            station.mend()
            await until(lambda: None not in (look().get(one.call.id) or (None,)), "levels over the mended line")
        await until(lambda: not one.call._taps, "the last to be let go")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("listeners", "ms"), [(1, 20), (25, 20), (26, 40), (50, 40), (51, 60), (100, 60), (101, 100), (500, 100)]
)
def test_frames_grow_with_the_listeners(listeners: int, ms: int) -> None:
    assert frame_ms(listeners) == ms


def test_a_frame_never_shrinks_with_more_listeners() -> None:
    lengths = [ms for _, ms in FRAMES] + [LONGEST_FRAME_MS]
    assert lengths == sorted(lengths)


async def test_frames_are_as_long_as_the_load_says(
    station: Station, gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gateways, "listeners", property(lambda _: 200))
    phones = await station.call()
    async with listening(gateways, phones) as heard:
        await phones.talk(CALLER, CALLEE, packets=60)
        await until(lambda: len(heard.sound()) > 8000, "a second of sound")
    assert heard.told("hello")[0]["frame_ms"] == 100
    lengths_ms = [len(samples) / 8 for *_, samples in heard.frames]
    assert min(lengths_ms) >= 75
    assert np.median(lengths_ms) <= 100
