"""Pausing by the API over the real line: a portal's gateways, an engine's gateway, a call that runs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from engine.call import EndCall, Pause
from portal.app import create_app
from portal.config import PortalConfig
from portal.gateways import open_gateways
from schema import clerk
from schema.calls import nodes
from schema.database import Database
from schema.values import NodeRecord
from tests.live.station import KEY, NODE, PATIENCE_S, Phones, Station, open_station
from tests.portal.api.conftest import Api, Person, keep


@dataclass
class Running:
    """A call that runs, and the API as an administrator uses it."""

    api: Api
    station: Station
    phones: Phones

    @property
    def call_id(self) -> UUID:
        return self.phones.call.id

    async def want(self, state: str) -> tuple[int, dict]:
        response = await self.api.put(f"/api/v1/calls/{self.call_id}/recording", json={"state": state})
        return response.status_code, await response.get_json()


@pytest.fixture
async def running(config: PortalConfig, database: Database, person: Person, tmp_path: Path) -> AsyncIterator[Running]:
    async with open_station(tmp_path / "engine") as station, open_gateways(KEY, nodes) as gateways:
        phones = await station.call()
        await clerk.heartbeat(NodeRecord(NODE, station.gateway.url, "1", datetime.now(UTC)))
        await keep(id=phones.call.id, node=NODE)
        _, token = await person("ada")
        app = create_app(config, gateways)
        async with app.test_app():
            yield Running(Api(app, token), station, phones)


async def test_pausing_and_resuming_are_answered_with_state_and_position(running):
    status, paused = await running.want("paused")
    assert (status, paused["state"]) == (200, "paused")
    assert 0 <= paused["position_s"] < PATIENCE_S
    status, resumed = await running.want("recording")
    assert (status, resumed["state"]) == (200, "recording")
    assert resumed["position_s"] > paused["position_s"]


async def test_asking_again_changes_nothing_and_who_paused_is_kept(running):
    first = await running.want("paused")
    second = await running.want("paused")
    assert (first[0], second[0]) == (200, 200)
    assert second[1] == first[1]  # paused, and since when
    assert [(await running.want("recording"))[0] for _ in range(2)] == [200, 200]
    (span,) = running.phones.call.state.pauses
    assert (span.who, span.sign, span.holders) == ("ada", "api", ("person",))
    assert span.end is not None


async def test_what_the_phone_system_paused_a_person_does_not_resume(running):
    await running.phones.ask(Pause("phone-system", sign="inactive"))
    status, problem = await running.want("recording")
    assert status == 409
    assert problem["type"] == "urn:earshot:problem:refused"
    assert problem["detail"].startswith("The phone system holds this recording paused")


async def test_a_call_that_ended_a_moment_ago(running):
    """The database does not know it yet."""
    await running.phones.ask(EndCall("normal"))
    status, problem = await running.want("paused")
    assert status == 409
    assert problem["type"] == "urn:earshot:problem:call-ended"


async def test_an_engine_that_is_gone_is_a_504_after_two_seconds(running):
    running.station.serving.cancel()
    running.station.gateway.close()
    status, problem = await running.want("paused")
    assert status == 504
    assert problem["title"] == "No answer"
