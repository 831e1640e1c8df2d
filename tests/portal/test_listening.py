"""Websockets to browsers and programs: who may listen, what they are sent, and when it ends.

Rules: a real server on a port of its own, a real engine, a real database; nobody sleeps but to talk.
"""

import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio
from trio_websocket import ConnectionClosed, WebSocketConnection

from engine.call import EndCall, Pause
from portal import listening, relay
from portal.app import create_app
from portal.config import PortalConfig
from portal.gateways import Gateways, open_gateways
from schema import access, audit, clerk
from schema.audit import Filters
from schema.database import Database, DatabaseAway, rows, unit
from schema.entries import Action, Application, Entry
from schema.roles import Role
from schema.values import Account, CallRecord, NodeRecord, Offset, PartyRecord
from tests.live.station import KEY, NODE, Phones, Station, open_station, open_websocket, until
from tests.people import COMMAND
from tests.portal.test_gateways import CALLEE, CALLER, Heard
from tests.portal.visitor import Visitor, add_account


class House:
    """A portal that listens, and the engine behind it."""

    def __init__(self, station: Station, app: QuartTrio, gateways: Gateways, port: int) -> None:
        self.station = station
        self.app = app
        self.gateways = gateways
        self.origin = f"http://127.0.0.1:{port}"
        self.url = f"ws://127.0.0.1:{port}"
        self._offset = Offset()

    async def call(self, number: int = 1, **given: Any) -> Phones:
        """A call that runs, and that the database knows."""
        phones = await self.station.call(number)
        await self.know(phones.call.id, **given)
        return phones

    async def know(self, call_id: UUID, **given: Any) -> None:
        known = {"tenant_id": await clerk.default_tenant(), "started_at": datetime.now(UTC), **given}
        self._offset = replace(self._offset, block=self._offset.block + 1)
        await clerk.apply(NODE, self._offset, [], [CallRecord(id=call_id, node=NODE, events=2, **known)])

    async def person(self, login: str, role: Role = Role.SUPERVISOR, **options: Any) -> tuple[Account, str]:
        """An account and its token."""
        account = await add_account(login, role, **options)
        token = f"token of {login}"
        await access.add_token(COMMAND, account.id, hashlib.sha256(token.encode()).digest(), "test")
        return account, token

    async def cookie(self, login: str) -> str:
        """The cookie of a browser that signed in."""
        visitor = Visitor(self.app)
        await visitor.sign_in(login)
        return f"earshot={visitor.cookie()}"

    def by_token(self, call_id: UUID, token: str) -> Any:
        headers = [("Authorization", f"Bearer {token}")]
        return open_websocket(f"{self.url}/api/v1/calls/{call_id}/listen", headers)

    def by_page(self, path: str, cookie: str, origin: str | None = None) -> Any:
        headers = [("Cookie", cookie), ("Origin", self.origin if origin is None else origin)]
        return open_websocket(f"{self.url}{path}", headers)


@pytest.fixture
async def house(config: PortalConfig, database: Database, tmp_path: Path) -> AsyncIterator[House]:
    config = replace(config, gateway_key=KEY)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    serving = Config()
    serving.bind = [f"fd://{sock.detach()}"]
    serving.graceful_timeout = 0.1
    serving.accesslog = serving.errorlog = None
    stop = trio.Event()
    async with open_station(tmp_path / "engine") as station:
        await clerk.heartbeat(NodeRecord(NODE, station.gateway.url, "1", datetime.now(UTC)))

        async def nodes() -> list[NodeRecord]:
            return await clerk.nodes()

        async with open_gateways(KEY, nodes) as gateways, trio.open_nursery() as nursery:
            app = create_app(config, gateways)
            await nursery.start(partial(serve, app, serving, shutdown_trigger=stop.wait))
            yield House(station, app, gateways, port)
            stop.set()


async def read(socket: WebSocketConnection, heard: Heard) -> int:
    """All that comes, until the portal closes; gives the code."""
    try:
        while True:
            message = await socket.get_message()
            heard.take(message if isinstance(message, bytes) else json.loads(message))
    except ConnectionClosed as closed:
        return closed.reason.code if closed.reason is not None else 0


async def closed_with(opening: Any) -> tuple[int, Heard]:
    """What a websocket says before it is closed at once, and the code."""
    heard = Heard()
    async with opening as socket:
        with trio.fail_after(10):
            return await read(socket, heard), heard


@asynccontextmanager
async def hearing(opening: Any) -> AsyncIterator[Heard]:
    heard = Heard()
    async with opening as socket, trio.open_nursery() as nursery:
        nursery.start_soon(read, socket, heard)
        yield heard
        nursery.cancel_scope.cancel()


async def test_a_program_listens_by_its_token(house: House) -> None:
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    async with hearing(house.by_token(phones.call.id, token)) as heard:
        await phones.talk(CALLER, CALLEE, packets=30)
        await until(lambda: len(heard.frames) > 20, "sound")
        await phones.ask(Pause("person", who="bob"))
        await until(lambda: heard.told("state"), "the pause")
        await phones.ask(EndCall("normal"))
        await until(lambda: heard.told("ended"), "the end")
    assert heard.order == ["hello", "frames", "state", "ended"]
    assert heard.told("state")[0]["by"] == "bob"
    assert house.gateways.listeners == 0


async def test_a_page_listens_by_its_session_from_its_own_origin(house: House) -> None:
    await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    cookie, path = await house.cookie("anna"), f"/calls/{phones.call.id}/listen"
    async with hearing(house.by_page(path, cookie)) as heard:
        await until(lambda: heard.told("hello"), "the greeting")
    for origin in ("https://elsewhere.example", "null", ""):
        assert (await closed_with(house.by_page(path, cookie, origin)))[0] == 4403
    assert (await closed_with(house.by_page(path, "earshot=nonsense")))[0] == 4401
    assert house.gateways.upstreams == 0


async def test_a_program_without_a_token_is_told_to_send_one(house: House) -> None:
    phones = await house.call()
    path = f"/api/v1/calls/{phones.call.id}/listen"
    assert (await closed_with(open_websocket(f"{house.url}{path}", [])))[0] == 4401


async def test_what_goes_wrong_is_told_by_the_code(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError("made to fail")

    async def away(_: object) -> None:
        raise DatabaseAway("away")

    _, token = await house.person("anna", Role.ADMINISTRATOR)
    cookie, call_id = await house.cookie("anna"), UUID(int=1)
    for trouble, code in ((fail, 1011), (away, 1013)):
        monkeypatch.setattr(listening, "look_for_running", trouble)
        monkeypatch.setattr(listening, "look_for_these", trouble)
        assert (await closed_with(house.by_token(call_id, token)))[0] == code
        assert await refused_levels(house, cookie, {"calls": [str(call_id)]}) == code


async def test_one_person_has_so_many_websockets_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST_OPEN", 1)
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    _, of_another = await house.person("bea", Role.ADMINISTRATOR)
    phones = await house.call()
    async with hearing(house.by_token(phones.call.id, token)) as heard:
        await until(lambda: heard.told("hello"), "the greeting")
        assert (await closed_with(house.by_token(phones.call.id, token)))[0] == 1013
        async with hearing(house.by_token(phones.call.id, of_another)) as other:
            await until(lambda: other.told("hello"), "the other's greeting")
    await until(lambda: house.gateways.listeners == 0, "both to be gone")
    async with hearing(house.by_token(phones.call.id, token)) as heard:
        await until(lambda: heard.told("hello"), "the greeting")


async def test_who_may_not_listen_is_told_by_the_code(house: House) -> None:
    agent, of_agent = await house.person("ulla", Role.USER)
    _, of_stranger = await house.person("eve", Role.ADMINISTRATOR, tenant="Elsewhere")
    _, of_supervisor = await house.person("sam", Role.SUPERVISOR)
    phones = await house.call()
    own = UUID(int=2)
    await house.know(own, callee=PartyRecord("300", agent.name, user_id=agent.id))
    for call_id, token, code in (
        (phones.call.id, "no token of ours", 4401),
        (own, of_agent, 4403),
        (phones.call.id, of_stranger, 4404),
        (phones.call.id, of_supervisor, 4404),  # nobody's call: administrators alone see it
        (UUID(int=77), of_stranger, 4404),
    ):
        assert (await closed_with(house.by_token(call_id, token)))[0] == code
    assert not phones.call._taps


async def test_a_call_that_is_over_is_told_by_the_code(house: House) -> None:
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    over, gone = UUID(int=5), UUID(int=6)
    await house.know(over, ended_at=datetime.now(UTC), end="normal")
    await house.know(gone)  # the database has not heard yet that it ended
    for call_id in (over, gone):
        code, heard = await closed_with(house.by_token(call_id, token))
        assert code == 4409
        assert heard.told("error")[0]["title"] == "Call ended"


async def test_an_engine_that_does_not_answer_is_told_in_two_seconds(house: House) -> None:
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    await until(lambda: house.gateways.reachable(NODE), "the line")
    house.station.cut()
    await until(lambda: not house.gateways.reachable(NODE), "the line to break")
    began = trio.current_time()
    code, heard = await closed_with(house.by_token(phones.call.id, token))
    assert code == 4504
    assert heard.told("error")[0]["title"] == "No answer"
    assert trio.current_time() - began < 4


async def test_a_line_that_breaks_is_told_in_words(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "RETURN_S", 0.3)
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    heard = Heard()
    async with house.by_token(phones.call.id, token) as socket, trio.open_nursery() as nursery:
        nursery.start_soon(read, socket, heard)
        await until(lambda: heard.told("hello"), "the greeting")
        house.station.cut()
        await until(lambda: len(heard.told("error")) == 2, "both errors")
        nursery.cancel_scope.cancel()
    first, second = heard.told("error")
    assert first["title"] == second["title"] == "Line lost"
    assert "as soon as it answers" in first["detail"]
    assert "did not come back" in second["detail"]


@pytest.mark.parametrize("path", ["/calls/{id}/listen", "/live/levels"])
async def test_who_signs_out_hears_nothing_more(
    house: House, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 0.1)
    anna, _ = await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    cookie = await house.cookie("anna")
    heard = Heard()
    codes: list[int] = []

    async def listen(socket: WebSocketConnection) -> None:
        codes.append(await read(socket, heard))

    async with house.by_page(path.format(id=phones.call.id), cookie) as socket, trio.open_nursery() as nursery:
        nursery.start_soon(listen, socket)
        if "levels" not in path:
            await until(lambda: heard.told("hello"), "the greeting")
        await access.close_sessions(COMMAND, anna.id)
        await until(lambda: codes, "the websocket to be closed")
    assert codes == [4401]
    await until(lambda: not phones.call._taps, "the upstream to be closed")
    assert "modified" not in caplog.text  # a websocket has no answer to change the cookie with


async def test_the_audit_trail_tells_when_somebody_listened_and_how_long(house: House) -> None:
    anna, token = await house.person("anna", Role.ADMINISTRATOR)
    _, of_stranger = await house.person("eve", Role.ADMINISTRATOR, tenant="Elsewhere")
    phones = await house.call()
    path, cookie = f"/calls/{phones.call.id}/listen", await house.cookie("anna")
    assert (await closed_with(house.by_token(phones.call.id, of_stranger)))[0] == 4404
    ways = [(Application.API, house.by_token(phones.call.id, token)), (Application.WEB, house.by_page(path, cookie))]
    for times, (application, opening) in enumerate(ways, 1):
        async with hearing(opening) as heard:
            await until(lambda heard=heard: heard.told("hello"), "the greeting")
            start = (await noted(Action.LIVE_MONITOR_START, times))[-1]
            assert len(await noted(Action.LIVE_MONITOR_END, times - 1)) == times - 1
        end = (await noted(Action.LIVE_MONITOR_END, times))[-1]
        for entry in (start, end):
            assert (entry.initiator_id, entry.application, entry.about.id) == (
                anna.id,
                application,
                str(phones.call.id),
            )
            assert entry.address == "127.0.0.1"
        assert 0 <= float(end.details["duration"]) <= (end.at - start.at).total_seconds() + 1
    assert len(await noted(Action.LIVE_MONITOR_START, 2)) == 2


async def noted(action: Action, count: int) -> list[Entry]:
    """The entries of the audit trail, the oldest first, once there are so many."""
    with trio.fail_after(60):
        while len(found := (await audit.list_entries(COMMAND.scope, Filters(action=action))).items) < count:
            await trio.lowlevel.checkpoint()
    return list(found[::-1])


async def test_a_listener_who_goes_is_noticed(house: House) -> None:
    _, token = await house.person("anna", Role.ADMINISTRATOR)
    phones = await house.call()
    async with house.by_token(phones.call.id, token) as socket:
        await socket.get_message()
        for _ in range(50):
            await socket.send_message("hello?")
        assert house.gateways.listeners == 1
    await until(lambda: not phones.call._taps, "his going to be noticed")
    assert house.gateways.upstreams == 0


async def ask_for_levels(house: House, cookie: str, asked: object) -> tuple[list[dict[str, Any]], int | None]:
    """What is told within a second, and the code where it was closed."""
    told: list[dict[str, Any]] = []
    async with house.by_page("/live/levels", cookie) as socket:
        await socket.send_message(asked if isinstance(asked, str | bytes) else json.dumps(asked))
        with trio.move_on_after(1):
            try:
                while True:
                    told.append(json.loads(await socket.get_message())["levels"])
            except ConnectionClosed as closed:
                return told, closed.reason.code if closed.reason is not None else 0
    return told, None


async def refused_levels(house: House, cookie: str, asked: object) -> int:
    """The code by which the websocket is closed, before anything is told."""
    async with house.by_page("/live/levels", cookie) as socket:
        with trio.fail_after(60):
            try:
                await socket.send_message(asked if isinstance(asked, str | bytes) else json.dumps(asked))
                told = await socket.get_message()
            except ConnectionClosed as closed:
                return closed.reason.code if closed.reason is not None else 0
    raise AssertionError(told)


async def test_levels_of_what_one_may_see_ten_times_a_second(house: House, nursery: trio.Nursery) -> None:
    await house.person("anna", Role.ADMINISTRATOR)
    await house.person("eve", Role.ADMINISTRATOR, tenant="Elsewhere")
    one, two = await house.call(1), await house.call(2)
    cookie = await house.cookie("anna")
    await until(lambda: house.gateways.reachable(NODE), "the line")
    nursery.start_soon(lambda: one.talk(CALLER, CALLEE, packets=400))
    await two.ask(Pause("person"))
    asked = {"calls": [str(one.call.id), str(two.call.id), str(UUID(int=88))]}
    told, code = await ask_for_levels(house, cookie, asked)
    assert code is None
    assert 3 <= len(told) <= 12
    assert all(levels.keys() == {str(one.call.id), str(two.call.id)} for levels in told)
    assert [pytest.approx(-13, abs=1), pytest.approx(-13, abs=1)] in [levels[str(one.call.id)] for levels in told]
    assert all(levels[str(two.call.id)] == [None, None] for levels in told)
    told, code = await ask_for_levels(house, await house.cookie("eve"), asked)
    assert code is None
    assert all(levels == {} for levels in told)
    await until(lambda: not one.call._taps, "nobody to watch")
    nursery.cancel_scope.cancel()


async def test_levels_end_with_ones_reach_and_with_the_call(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 0.1)
    agent, _ = await house.person("ulla", Role.USER)
    await house.person("sam", Role.SUPERVISOR, manages=["ulla"])
    of_agent = PartyRecord("300", agent.name, user_id=agent.id)
    one, two = await house.call(1, callee=of_agent), await house.call(2, callee=of_agent)
    await until(lambda: house.gateways.reachable(NODE), "the line")
    told: list[set[str]] = []

    async def listen(socket: WebSocketConnection) -> None:
        while True:
            told.append(set(json.loads(await socket.get_message())["levels"]))

    first, second = str(one.call.id), str(two.call.id)
    async with house.by_page("/live/levels", await house.cookie("sam")) as socket, trio.open_nursery() as nursery:
        nursery.start_soon(listen, socket)
        await socket.send_message(json.dumps({"calls": [first, second]}))
        await until(lambda: one.call._taps and two.call._taps, "both to be measured")
        assert told[-1] == {first, second}
        await house.know(one.call.id, callee=of_agent, ended_at=datetime.now(UTC), end="normal")
        await until(lambda: not one.call._taps, "the one that ended to be measured no longer")
        await until(lambda: two.call._taps, "the other one to be measured as before")
        await unmanage()
        await until(lambda: not two.call._taps, "what is out of reach to be measured no longer")
        await until(lambda: told[-1] == set(), "nothing to be told of it")
        nursery.cancel_scope.cancel()


@unit
async def unmanage() -> None:
    await rows("DELETE FROM management")


@pytest.mark.parametrize("nonsense", ["[", b"\xff\xfe", '{"calls": ["x"]}', {"calls": [str(UUID(int=1))] * 51}, "{}"])
async def test_levels_asked_for_in_nonsense_are_refused(house: House, nonsense: object) -> None:
    await house.person("anna", Role.ADMINISTRATOR)
    assert await refused_levels(house, await house.cookie("anna"), nonsense) == 4400
