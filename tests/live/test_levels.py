"""Levels through the gateway: ten times a second for the calls that somebody watches, and for no others."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import trio

from engine.call import EndCall
from live.messages import MOST_REQUEST_BYTES
from tests.end_to_end.audio import tone, ulaw
from tests.live.station import Station, open_station, until

LOUD, QUIET = (ulaw(tone(500, 0.02, level)) for level in (-6, -26))


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with open_station(tmp_path) as made:
        yield made


async def test_the_levels_of_those_that_are_watched(station: Station, nursery: trio.Nursery) -> None:
    watched, other = await station.call(1), await station.call(2)
    async with station.connect() as gateway:
        gateway.watch_levels([watched.call.id, UUID(int=99)])
        nursery.start_soon(lambda: watched.talk(LOUD, QUIET, packets=200))
        nursery.start_soon(lambda: other.talk(LOUD, QUIET, packets=200))
        await until(lambda: None not in (gateway.levels.get(watched.call.id) or (None,)), "levels")
        assert list(gateway.levels) == [watched.call.id]
        caller, callee = gateway.levels[watched.call.id] or (None, None)
        assert caller == pytest.approx(-9, abs=1)
        assert callee == pytest.approx(-29, abs=1)
        assert not station.node.sweep._watched  # a meter is served once a round

        await gateway.pause(watched.call.id, who="anna", sign="portal")
        await until(lambda: gateway.levels[watched.call.id] is None, "the pause to be seen")
        await gateway.resume(watched.call.id, who="anna", sign="portal")
        await until(lambda: gateway.levels[watched.call.id] not in (None, (None, None)), "the levels to come back")

        gateway.watch_levels([other.call.id])
        await until(lambda: gateway.levels.get(other.call.id), "the other's levels")
        assert list(gateway.levels) == [other.call.id]
        await other.ask(EndCall("normal"))
        await until(lambda: gateway.levels[other.call.id] is None, "the end to be seen")
        gateway.watch_levels([])
        assert gateway.levels == {}
        await gateway.calls()
        assert not watched.call._taps
    nursery.cancel_scope.cancel()


async def test_two_thousand_calls_and_more_fit_the_line(station: Station, nursery: trio.Nursery) -> None:
    """As many lists of calls as are open: what is asked for is told in pieces, and only what changed."""
    watched = await station.call(1)
    others = [UUID(int=number) for number in range(100, 2100)]
    said: list[str] = []
    async with station.connect() as gateway:
        gateway._requests = Overheard(gateway._requests, said)
        gateway.watch_levels([*others, watched.call.id])
        nursery.start_soon(lambda: watched.talk(LOUD, QUIET, packets=200))
        await until(lambda: None not in (gateway.levels.get(watched.call.id) or (None,)), "levels")
        assert max(map(len, said)) < MOST_REQUEST_BYTES // 2
        said.clear()
        gateway.watch_levels([*others[1:], watched.call.id])
        assert len(said) == 1
        assert len(said[0]) < 100
        assert (await gateway.calls())[0].call == watched.call.id
        assert not gateway.lost
    nursery.cancel_scope.cancel()


@dataclass
class Overheard:
    """The client's way to its sender, written down."""

    way: trio.MemorySendChannel[str]
    said: list[str]

    def send_nowait(self, text: str) -> None:
        self.said.append(text)
        self.way.send_nowait(text)

    def close(self) -> None:
        self.way.close()
