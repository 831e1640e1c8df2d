"""Marking a call as confidential, on its page."""

from quart_trio import QuartTrio

from schema import audit, clerk
from schema.roles import Role
from schema.values import CallRecord, Offset, PartyRecord
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account
from tests.schema.given import a_call

MARK = "Confidential</span>"


async def a_call_of(login: str) -> CallRecord:
    user = await add_account(login, Role.USER, group="Sales")
    call = a_call(caller=PartyRecord("2001", "Amy", user_id=user.id), callee=PartyRecord("4930123"))
    await clerk.apply("one", Offset(), [], [call])
    return call


async def seen_by(app: QuartTrio, login: str) -> Visitor:
    visitor = Visitor(app)
    await visitor.sign_in(login)
    return visitor


async def page(visitor: Visitor, path: str) -> str:
    answer = await visitor.get(path)
    assert answer.status_code == 200
    return (await answer.get_data()).decode()


async def test_a_call_is_hidden_from_who_manages_and_seen_by_who_was_on_it(app: QuartTrio) -> None:
    call = await a_call_of("amy")
    await add_account("sue", Role.SUPERVISOR, manages=["Sales"])
    await add_account("ada", Role.ADMINISTRATOR)
    here = f"/calls/{call.id}"
    amy, sue, ada = [await seen_by(app, login) for login in ("amy", "sue", "ada")]
    for visitor, may in ((amy, False), (sue, False), (ada, True)):
        assert ("Make confidential" in await page(visitor, here)) is may
    form = {"confidential": "yes", "csrf_token": await ada.token(here)}
    assert (await ada.post(f"{here}/confidential", form)).headers["Location"] == here
    shown = await page(ada, here)
    assert "Only those who were on this call see it now" in shown
    assert MARK in shown
    assert MARK in await page(ada, "/calls")
    assert MARK in await page(amy, here)
    assert (await sue.get(here)).status_code == 404
    assert str(call.id) not in await page(sue, "/calls")
    (entry,) = await audit.entries_about(COMMAND.scope, call.id, 9)
    assert (entry.initiator_login, entry.fields) == ("ada", {"confidential": ("False", "True")})
    assert (await ada.post(f"{here}/confidential", form | {"confidential": "no"})).status_code == 303
    assert MARK not in await page(sue, here)


async def test_the_api_tells_which_calls_are(app: QuartTrio) -> None:
    call = await a_call_of("amy")
    await add_account("ada", Role.ADMINISTRATOR)
    ada = await seen_by(app, "ada")
    for marks in (True, False):
        form = {"confidential": "yes" if marks else "no", "csrf_token": await ada.token("/nowhere")}
        await ada.post(f"/calls/{call.id}/confidential", form)
        assert (await (await ada.get(f"/api/v1/calls/{call.id}")).get_json())["confidential"] is marks
