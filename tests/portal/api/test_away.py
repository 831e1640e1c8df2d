"""Pausing while the database is away: PostgreSQL is really stopped, or really silent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import trio
from quart import Response
from quart_trio import QuartTrio
from structlog.testing import capture_logs

from portal import memory, notes
from portal.config import PortalConfig
from schema import audit
from schema.audit import Filters
from schema.entries import Action
from tests.databases import TEMPLATE, PostgresServer
from tests.people import COMMAND
from tests.portal.api.conftest import START, Api, Engine, keep
from tests.portal.visitor import Visitor, add_account

Away = Callable[[], AbstractContextManager[None]]
PAUSE = {"state": "paused"}
# Who asks and which call, then the pause itself; a busy machine adds to it.
ANSWERED_WITHIN_S = 4.0
PATIENCE_S = 60


@pytest.fixture
def config(config: PortalConfig, postgres: PostgresServer) -> PortalConfig:
    return replace(config, database_url=postgres.make(template=TEMPLATE))


@pytest.fixture(params=["stopped", "silent"])
def away(request: pytest.FixtureRequest, postgres: PostgresServer) -> Away:
    return postgres.away if request.param == "stopped" else postgres.silent


def path_of(call_id: UUID) -> str:
    return f"/api/v1/calls/{call_id}/recording"


async def test_a_program_pauses_a_call_that_it_listed(api: Api, engine: Engine, away: Away) -> None:
    record = await keep()
    assert (await api.get("/api/v1/calls")).status_code == 200
    with away():
        began_s = trio.current_time()
        assert (await api.put(path_of(record.id), json=PAUSE)).status_code == 200
        assert trio.current_time() - began_s < ANSWERED_WITHIN_S
    assert engine.asked == [("pause", record.id, "ada", "api")]


async def test_who_paused_is_written_down_once_the_database_is_back(
    api: Api, engine: Engine, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "AGAIN_S", 0.05)
    record = await keep()
    assert (await api.get("/api/v1/calls")).status_code == 200
    with capture_logs() as logged:
        with postgres.away():
            assert (await api.put(path_of(record.id), json=PAUSE)).status_code == 200
            paused_at = datetime.now(UTC)
            with trio.fail_after(PATIENCE_S):
                while [one["event"] for one in logged].count("audit_entry_waits") < 2:
                    await trio.lowlevel.checkpoint()
            gone_on_at = datetime.now(UTC)
        with trio.fail_after(PATIENCE_S):
            while api.app.extensions[notes.WAITING]:
                await trio.lowlevel.checkpoint()
    found = await audit.list_entries(COMMAND.scope, Filters(action=Action.PAUSE))
    (entry,) = found.items
    assert (entry.initiator_login, entry.about.id) == ("ada", str(record.id))
    assert entry.at <= paused_at < gone_on_at  # when it was done, and not when it could be written down


async def test_a_browser_pauses_and_sees_the_call_that_it_shows(app: QuartTrio, engine: Engine, away: Away) -> None:
    record = await keep()
    browser = await grace(app)
    headers = {"X-CSRF-Token": await browser.token(f"/calls/{record.id}")}
    with away():
        paused = await browser.client.put(path_of(record.id), json=PAUSE, headers=headers)
        assert paused.status_code == 200
        assert (await browser.get(f"/calls/{record.id}")).status_code == 200
        assert (await browser.get("/calls")).status_code == 503
    assert engine.asked == [("pause", record.id, "grace", "portal")]


async def test_after_some_minutes_it_is_no_longer_known_who_may(
    api: Api, engine: Engine, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await keep()
    await api.get("/api/v1/calls")
    with postgres.away():
        assert (await api.put(path_of(record.id), json=PAUSE)).status_code == 200
        monkeypatch.setattr(memory, "LASTS_S", 0.0)
        response = await api.put(path_of(record.id), json=PAUSE)
        assert response.status_code == 503
        assert (await response.get_json())["part"] == "database"
    assert len(engine.asked) == 1


async def test_what_one_has_not_seen_one_does_not_pause(api: Api, engine: Engine, postgres: PostgresServer) -> None:
    unseen = await keep()
    ended = await keep(ended_at=START, end="normal")
    for path in ("/api/v1/openapi.json", f"/api/v1/calls/{ended.id}"):
        assert (await api.get(path)).status_code == 200
    with postgres.away():
        for record in (unseen, ended):
            assert (await api.put(path_of(record.id), json=PAUSE)).status_code == 503
        assert (await api.of("a token of nobody").put(path_of(unseen.id), json=PAUSE)).status_code == 503
    assert engine.asked == []


async def test_another_ones_calls_stay_his(
    api: Api, person: Callable, engine: Engine, postgres: PostgresServer
) -> None:
    record = await keep()
    _, token = await person("bob", tenant="Elsewhere")
    assert (await api.get("/api/v1/calls")).status_code == 200
    assert (await api.of(token).get("/api/v1/calls")).status_code == 200
    with postgres.away():
        assert (await api.of(token).put(path_of(record.id), json=PAUSE)).status_code == 503
    assert engine.asked == []


async def test_who_signed_out_stays_out(app: QuartTrio, engine: Engine, postgres: PostgresServer) -> None:
    """Also where the database could not be told."""
    record = await keep()
    browser, thief = await grace(app), Visitor(app)
    headers = {"X-CSRF-Token": await browser.token(f"/calls/{record.id}")}
    thief.client.set_cookie("localhost", "earshot", browser.cookie())
    assert (await thief.client.put(path_of(record.id), json=PAUSE, headers=headers)).status_code == 200
    with postgres.away():
        await browser.post("/sign-out", {"csrf_token": headers["X-CSRF-Token"]})
        assert await refused(thief, record.id, headers)
    assert await refused(thief, record.id, headers)
    assert len(engine.asked) == 1


async def test_health_does_not_wait_for_silence(app: QuartTrio, postgres: PostgresServer) -> None:
    client = app.test_client()
    assert (await client.get("/health")).status_code == 200
    with postgres.silent():
        began_s = trio.current_time()
        response: Response = await client.get("/health")
        assert trio.current_time() - began_s < ANSWERED_WITHIN_S
    assert response.status_code == 503
    assert (await response.get_json())["part"] == "database"


async def grace(app: QuartTrio) -> Visitor:
    await add_account("grace")
    browser = Visitor(app)
    await browser.sign_in("grace")
    return browser


async def refused(browser: Visitor, call_id: UUID, headers: dict[str, str]) -> bool:
    return (await browser.client.put(path_of(call_id), json=PAUSE, headers=headers)).status_code == 401
