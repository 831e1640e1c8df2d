"""Calls as the API shows them: each field, each state, page by page, and to nobody who may not see them."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from portal.api.models import Call, CallList
from portal.app import create_app
from schema import clerk
from schema.database import open_database
from schema.roles import Role
from schema.values import NodeRecord, PartyRecord, PauseRecord
from tests.databases import KEY
from tests.portal.api.conftest import START, Api, keep, keep_many


async def test_a_finished_call_with_all_that_is_known(api, keep_recorded, person):
    ann, _ = await person("ann", Role.USER)
    record = await keep_recorded(
        "flac",
        connected_at=START + timedelta(milliseconds=221),
        caller=PartyRecord("442071838750", "", "", "192.0.2.10:40002"),
        callee=PartyRecord("12333001100", "Ann Smith", "ann@pbx", "192.0.2.10:40000", ann.id),
        pauses=(PauseRecord(1.25, 2.5, "ann"),),
        warnings=("Stream 0: sources that never sent two packets in a row, left out: 1.",),
    )
    response = await api.get(f"/api/v1/calls/{record.id}")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert await response.get_json() == {
        "id": str(record.id),
        "state": "finished",
        "end": "normal",
        "direction": "inbound",
        "started_at": "2026-03-05T14:03:22.120Z",
        "connected_at": "2026-03-05T14:03:22.341Z",
        "ended_at": "2026-03-05T14:03:25.120Z",
        "duration_s": 3.01,
        "from": {
            "number": "442071838750",
            "name": None,
            "phone_id": None,
            "address": "192.0.2.10:40002",
            "user_id": None,
        },
        "to": {
            "number": "12333001100",
            "name": "Ann Smith",
            "phone_id": "ann@pbx",
            "address": "192.0.2.10:40000",
            "user_id": str(ann.id),
        },
        "mode": "always-pause",
        "recording": "off",
        "kept": True,
        "pauses": [{"start_s": 1.25, "end_s": 2.5, "by": "ann"}],
        "interaction_id": str(record.id),
        "confidential": False,
        "warnings": ["Stream 0: sources that never sent two packets in a row, left out: 1."],
        "audio": {
            "url": f"/api/v1/calls/{record.id}/audio",
            "format": "flac",
            "bytes": record.recording_file.bytes,
            "sha256": record.recording_file.sha256,
        },
    }


async def test_a_running_call_of_which_little_is_known(api):
    record = await keep(direction="", mode="", recording="paused", pauses=(PauseRecord(0.5, None, "phone-system"),))
    nobody = dict.fromkeys(("number", "name", "phone_id", "address", "user_id"))
    assert await (await api.get(f"/api/v1/calls/{record.id}")).get_json() == {
        "id": str(record.id),
        "state": "active",
        "end": None,
        "direction": None,
        "started_at": "2026-03-05T14:03:22.120Z",
        "connected_at": None,
        "ended_at": None,
        "duration_s": None,
        "from": nobody,
        "to": nobody,
        "mode": None,
        "recording": "paused",
        "kept": None,
        "pauses": [{"start_s": 0.5, "end_s": None, "by": "phone-system"}],
        "interaction_id": str(record.id),
        "confidential": False,
        "warnings": [],
        "audio": None,
    }


async def calls_by_state() -> dict[str, str]:
    """A call in each state, and the id of each."""
    silent_since = datetime.now(UTC) - timedelta(hours=1)
    await clerk.heartbeat(NodeRecord("dead", "ws://127.0.0.1:1", "1", silent_since))
    made = {
        "active": await keep(),
        "unreachable": await keep(node="dead"),
        "finishing": await keep(ended_at=START + timedelta(seconds=9), end="normal"),
        "finished": await keep(ended_at=START + timedelta(seconds=9), end="normal", finished=True, kept=False),
    }
    return {state: str(record.id) for state, record in made.items()}


async def test_each_state_lists_its_own(api):
    ids = await calls_by_state()
    for state, call_id in ids.items():
        listed = await (await api.get(f"/api/v1/calls?state={state}")).get_json()
        assert [(call["id"], call["state"]) for call in listed["calls"]] == [(call_id, state)]
        assert listed["next"] is None
    assert len((await (await api.get("/api/v1/calls")).get_json())["calls"]) == 4


async def test_recording_is_off_once_a_call_has_ended(api):
    ids = await calls_by_state()
    states = {state: (await (await api.get(f"/api/v1/calls/{ids[state]}")).get_json())["recording"] for state in ids}
    assert states == {"active": "recording", "unreachable": "recording", "finishing": "off", "finished": "off"}


async def test_pages_hold_every_call_once_while_others_come(api):
    made = await keep_many(25)
    seen, cursor = [], None
    while True:
        path = "/api/v1/calls?limit=10" + (f"&cursor={cursor}" if cursor else "")
        page = msgspec.json.decode(await (await api.get(path)).get_data(), type=CallList, strict=True)
        assert len(page.calls) <= 10
        seen += [call.id for call in page.calls]
        cursor = page.next
        if cursor is None:
            break
        await keep(started_at=START + timedelta(hours=1))
    assert seen == [record.id for record in made]


async def test_twenty_a_page_unless_asked_otherwise(api):
    await keep_many(21)
    listed = await (await api.get("/api/v1/calls")).get_json()
    assert len(listed["calls"]) == 20
    assert len((await (await api.get("/api/v1/calls?limit=200")).get_json())["calls"]) == 21


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("state=ringing", "The state must be one of: active, unreachable, finishing, finished."),
        ("state=", "The state must be one of: active, unreachable, finishing, finished."),
        ("limit=0", "The limit must be a whole number from 1 to 200."),
        ("limit=201", "The limit must be a whole number from 1 to 200."),
        ("limit=-1", "The limit must be a whole number from 1 to 200."),
        ("limit=1.5", "The limit must be a whole number from 1 to 200."),
        ("limit=", "The limit must be a whole number from 1 to 200."),
        ("limit=%D9%A1", "The limit must be a whole number from 1 to 200."),
        ("limit=" + "9" * 5000, "The limit must be a whole number from 1 to 200."),
        ("sate=active", "There is no parameter sate here. There are: state, limit, cursor."),
        ("limit=1&limit=2", "The parameter limit is given more than once."),
    ],
)
async def test_a_wrong_parameter_says_what_would_be_right(api, query, detail):
    response = await api.get(f"/api/v1/calls?{query}")
    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    assert await response.get_json() == {
        "type": "about:blank",
        "title": "Not understood",
        "status": 400,
        "detail": detail,
        "instance": "/api/v1/calls",
    }


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "%00", "A" * 4000, "%ff%fe"])
async def test_a_cursor_that_is_none_of_ours_is_refused(api, cursor):
    response = await api.get(f"/api/v1/calls?cursor={cursor}")
    assert response.status_code == 400
    assert "cursor" in (await response.get_json())["detail"]


async def test_a_parameter_that_a_single_call_does_not_have_is_refused(api):
    record = await keep()
    response = await api.get(f"/api/v1/calls/{record.id}?fields=id")
    assert response.status_code == 400
    assert (await response.get_json())["detail"] == "There is no parameter fields here. There are: none."


async def test_what_is_not_there_is_not_found(api):
    for path in (f"/api/v1/calls/{uuid4()}", "/api/v1/calls/17", "/api/v1/call", "/api/v2/calls"):
        response = await api.get(path)
        assert response.status_code == 404
        assert response.content_type == "application/problem+json"


async def test_without_a_valid_token_nothing_is_told(api):
    record = await keep()
    for token in ("", "wrong", "token of nobody", "token of ada too"):
        response = await api.of(token).get(f"/api/v1/calls/{record.id}")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.content_type == "application/problem+json"


async def test_a_user_sees_his_own_calls_and_no_others(api, person):
    ann, token = await person("ann", Role.USER)
    bob, _ = await person("bob", Role.USER)
    own = [
        await keep(callee=PartyRecord("100", user_id=ann.id)),
        await keep(caller=PartyRecord("100", user_id=ann.id), started_at=START - timedelta(seconds=1)),
    ]
    others = await keep(callee=PartyRecord("200", user_id=bob.id))
    nobodys = await keep()
    listed = msgspec.json.decode(await (await api.of(token).get("/api/v1/calls")).get_data(), type=CallList)
    assert [call.id for call in listed.calls] == [record.id for record in own]
    for hidden in (others, nobodys):
        assert (await api.of(token).get(f"/api/v1/calls/{hidden.id}")).status_code == 404
        assert (await api.get(f"/api/v1/calls/{hidden.id}")).status_code == 200


async def test_another_tenants_calls_are_not_there(api, person):
    _, stranger = await person("eve", tenant="Elsewhere")
    record = await keep()
    assert (await api.of(stranger).get(f"/api/v1/calls/{record.id}")).status_code == 404
    assert (await (await api.of(stranger).get("/api/v1/calls")).get_json())["calls"] == []


async def test_one_who_may_no_longer_sign_in_has_no_token_any_more(api, person):
    _, token = await person("ann", may_sign_in=False)
    assert (await api.of(token).get("/api/v1/calls")).status_code == 401


async def test_a_list_entry_and_the_call_itself_are_the_same(api, keep_recorded):
    record = await keep_recorded()
    listed = msgspec.json.decode(await (await api.get("/api/v1/calls")).get_data(), type=CallList)
    single = msgspec.json.decode(await (await api.get(f"/api/v1/calls/{record.id}")).get_data(), type=Call)
    assert listed.calls == (single,)


async def test_methods_that_an_address_does_not_take(api):
    for method, path, allowed in (
        ("POST", "/api/v1/calls", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", f"/api/v1/calls/{uuid4()}", {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"/api/v1/calls/{uuid4()}/recording", {"PUT", "OPTIONS"}),
    ):
        response = await api.ask(method, path)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == allowed
        assert response.content_type == "application/problem+json"


async def test_when_the_database_is_away_it_is_said(config):
    """Nothing listens on port 1."""
    async with open_database("postgresql://nobody@127.0.0.1:1/nothing", key=KEY):
        response = await Api(create_app(config, None), "token").get("/api/v1/calls")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.content_type == "application/problem+json"
    assert (await response.get_json())["detail"].startswith("Calls are recorded all the same")
