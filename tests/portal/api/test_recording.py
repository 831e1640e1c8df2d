"""Pausing and resuming by the API: what the engine says comes back, and what stands in the way is said."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import uuid4

import pytest
import trio

from live.client import NoSuchCall, Refused, Unanswered, Unreachable
from live.messages import Answer
from schema import clerk
from schema.roles import Role
from schema.values import NodeRecord, PartyRecord
from tests.portal.api.conftest import START, keep
from tests.portal.visitor import Visitor, add_account

EXPECTED = 'The body must be {"state": "paused"} or {"state": "recording"}, as application/json.'


def path_of(call_id) -> str:
    return f"/api/v1/calls/{call_id}/recording"


def failing(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(("state", "done"), [("paused", "pause"), ("recording", "resume")])
async def test_the_answer_is_the_engines(api, engine, state, done):
    record = await keep()
    engine.does = lambda: Answer(id=1, state=state, position_s=12.34)
    response = await api.put(path_of(record.id), json={"state": state})
    assert response.status_code == 200
    assert await response.get_json() == {"state": state, "position_s": 12.34}
    assert engine.asked == [(done, record.id, "ada", "api")]


async def test_a_call_that_seems_unreachable_is_tried_all_the_same(api, engine):
    await clerk.heartbeat(NodeRecord("quiet", "ws://127.0.0.1:1", "1", datetime.now(UTC) - timedelta(hours=1)))
    record = await keep(node="quiet")
    assert (await api.put(path_of(record.id), json={"state": "paused"})).status_code == 200
    assert engine.asked == [("pause", record.id, "ada", "api")]


@pytest.mark.parametrize("finished", [False, True])
async def test_a_call_that_has_ended_cannot_be_paused(api, engine, finished):
    record = await keep(ended_at=START + timedelta(seconds=9), end="normal", finished=finished)
    response = await api.put(path_of(record.id), json={"state": "paused"})
    assert response.status_code == 409
    assert (await response.get_json())["type"] == "urn:earshot:problem:call-ended"
    assert engine.asked == []


@pytest.mark.parametrize(
    ("error", "status", "kind", "detail"),
    [
        (Refused("The phone system holds the call."), 409, "refused", "The phone system holds the call."),
        (NoSuchCall("no"), 409, "call-ended", "The call has ended: nothing of it is recorded any more."),
    ],
)
async def test_what_the_state_forbids(api, engine, error, status, kind, detail):
    record = await keep()
    engine.does = failing(error)
    response = await api.put(path_of(record.id), json={"state": "recording"})
    assert response.status_code == status
    problem = await response.get_json()
    assert problem["type"] == f"urn:earshot:problem:{kind}"
    assert problem["detail"] == detail
    assert problem["instance"] == path_of(record.id)


@pytest.mark.parametrize("error", [Unanswered("silence"), Unreachable("refused")])
async def test_an_engine_that_does_not_answer(api, engine, error):
    record = await keep()
    engine.does = failing(error)
    response = await api.put(path_of(record.id), json={"state": "paused"})
    assert response.status_code == 504
    assert (await response.get_json())["detail"].endswith("Ask again: doing it twice changes nothing.")


async def test_an_engine_that_says_nothing_is_not_waited_for(api, engine):
    record = await keep()
    engine.does = lambda: None
    began_s = trio.current_time()
    response = await api.put(path_of(record.id), json={"state": "paused"})
    assert response.status_code == 504
    assert 2 <= trio.current_time() - began_s < 5


async def test_a_page_pauses_with_its_own_token_and_by_its_own_name(app, engine):
    record = await keep()
    await add_account("grace")
    browser = Visitor(app)
    await browser.sign_in("grace")
    token = await browser.token("/calls")
    bare = await browser.client.put(path_of(record.id), json={"state": "paused"})
    assert bare.status_code == 403
    assert engine.asked == []
    headers = {"X-CSRF-Token": token}
    done = await browser.client.put(path_of(record.id), json={"state": "paused"}, headers=headers)
    assert done.status_code == 200
    headers["Authorization"] = "Basic Z3JhY2U6"  # of a proxy in front, say: no token
    await browser.client.put(path_of(record.id), json={"state": "paused"}, headers=headers)
    assert engine.asked == [("pause", record.id, "grace", "portal")] * 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"state": "off"}}, 422),
        ({"json": {"state": None}}, 422),
        ({"json": {}}, 422),
        ({"json": []}, 422),
        ({"json": "paused"}, 422),
        ({"json": {"state": "paused", "until": "later"}}, 422),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b'{"state": "\xff"}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b'{"state": ' + b"[" * 60_000, "headers": {"Content-Type": "application/json"}}, 422),
        ({"data": b'{"state": "paused"}'}, 415),
        ({"data": b'{"state": "paused"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"form": {"state": "paused"}}, 415),
    ],
)
async def test_a_wrong_body_says_what_would_be_right(api, engine, options, status):
    record = await keep()
    response = await api.put(path_of(record.id), **options)
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert (await response.get_json())["detail"] == EXPECTED
    assert engine.asked == []


async def test_a_body_that_is_too_long_is_not_read(api, engine):
    record = await keep()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = await api.put(path_of(record.id), data=b" " * 100_000, headers=headers)
    assert response.status_code == 413
    assert engine.asked == []


async def test_a_charset_beside_the_type_does_no_harm(api, engine):
    record = await keep()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await api.put(path_of(record.id), data=b'{"state": "paused"}', headers=headers)).status_code == 200


@pytest.mark.parametrize("role", [Role.USER, Role.SUPERVISOR])
async def test_only_an_administrator_may(api, engine, person, role):
    somebody, token = await person("ann", role)
    record = await keep(callee=PartyRecord("100", user_id=somebody.id))
    response = await api.of(token).put(path_of(record.id), json={"state": "paused"})
    assert response.status_code == 403
    assert (await response.get_json())["detail"] == "Your role does not permit this. An administrator can."
    assert engine.asked == []


async def test_a_call_that_one_may_not_see_is_not_there(api, engine, person):
    _, stranger = await person("eve", tenant="Elsewhere")
    record = await keep()
    for call_id in (record.id, uuid4()):
        assert (await api.of(stranger).put(path_of(call_id), json={"state": "paused"})).status_code == 404
    assert engine.asked == []
