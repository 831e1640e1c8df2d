"""Pauses in the audit trail: each told once, whoever hears of it first."""

from dataclasses import replace
from datetime import timedelta

from schema import audit, clerk
from schema.audit import Filters
from schema.database import open_database
from schema.entries import About, Action, Application, By, Entry, Resource
from schema.pauses import pause_origin, position, resume_origin
from schema.roles import EVERYTHING
from schema.values import DEFAULT_TENANT, CallRecord, Offset, PartyRecord, PauseRecord
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import NOON, a_call, a_user

PARTIES = {"caller": PartyRecord("100", "Amy"), "callee": PartyRecord("200")}


async def heard(*records: CallRecord) -> None:
    await clerk.apply("one", Offset(), [], list(records))


async def told() -> list[Entry]:
    """The entries about calls, the oldest first."""
    found = await audit.list_entries(COMMAND.scope, Filters(resource=Resource.CALLS))
    return list(found.items[::-1])


async def test_a_phone_systems_pauses_are_told_once_and_when_they_were(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        call = a_call(events=3, pauses=(PauseRecord(5.25, None, "phone-system"),), **PARTIES)
        await heard(call)
        await heard(call)
        [pause] = await told()
        assert (pause.action, pause.application, pause.initiator_login) == (Action.PAUSE, Application.ENGINE, "")
        assert (pause.at, pause.details) == (NOON + timedelta(seconds=5.25), {"position": "5.250"})
        assert (pause.about, pause.tenant_id) == (About(str(call.id), "Amy - 200"), DEFAULT_TENANT)
        over = replace(call, events=4, pauses=(PauseRecord(5.25, 9.5, "phone-system"),))
        await heard(over)
        await clerk.finish(replace(over, ended_at=NOON + timedelta(seconds=60), end="normal"))
        assert [(one.action, one.details["position"]) for one in await told()] == [
            (Action.PAUSE, "5.250"),
            (Action.RESUME, "9.500"),
        ]


async def test_a_pause_that_the_calls_end_ended_was_not_resumed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        pauses = (PauseRecord(5.25, 60.0, "phone-system"),)
        await clerk.finish(a_call(pauses=pauses, ended_at=NOON + timedelta(seconds=60, microseconds=7), **PARTIES))
        assert [one.action for one in await told()] == [Action.PAUSE]


async def test_what_the_portal_told_is_not_told_again(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        by = By(COMMAND.scope, EVERYTHING, Application.WEB, amy.id, "amy", "Amy", "192.0.2.1")
        call = a_call(events=4, pauses=(PauseRecord(5.25, 9.5, "amy"),), **PARTIES)
        for action, at_s, origin in (
            (Action.PAUSE, 5.25, pause_origin(call.id, 5.25, "amy")),
            (Action.RESUME, 9.5, resume_origin(call.id, 9.5)),
        ):
            about = About(call.id, "Amy - 200")
            more = {"tenant_id": DEFAULT_TENANT, "details": position(at_s), "origin": origin}
            await audit.note(by, Resource.CALLS, action, about, **more)
        await heard(call)
        await clerk.finish(replace(call, ended_at=NOON + timedelta(seconds=60), end="normal"))
        assert [(one.action, one.address) for one in await told()] == [
            (Action.PAUSE, "192.0.2.1"),
            (Action.RESUME, "192.0.2.1"),
        ]


async def test_what_the_portal_could_not_tell_is_told_when_the_call_is_finished(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("Amy", name="Amy Archer")
        call = a_call(events=4, pauses=(PauseRecord(5.25, 9.5, "Amy"), PauseRecord(20.0, None, "gone")), **PARTIES)
        await heard(call)
        assert await told() == []
        await clerk.finish(replace(call, ended_at=NOON + timedelta(seconds=60), end="normal"))
        assert [(one.action, one.initiator_login, one.initiator_id, one.initiator_name) for one in await told()] == [
            (Action.PAUSE, "Amy", amy.id, "Amy Archer"),
            (Action.RESUME, "Amy", amy.id, "Amy Archer"),
            (Action.PAUSE, "gone", None, ""),
        ]
