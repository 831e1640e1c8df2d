"""Whoever listens, downloads or pauses is found in the audit trail: once for each time he did."""

import pytest
import trio
from quart_trio import QuartTrio

from portal import notes
from schema import audit
from schema.audit import Filters
from schema.entries import Action, Application, Entry, Resource
from schema.pauses import pause_origin
from tests.people import COMMAND
from tests.portal.api.conftest import Api, Engine, keep
from tests.portal.visitor import Visitor, add_account

PATIENCE_S = 30


async def told(action: Action | None = None) -> list[Entry]:
    found = await audit.list_entries(COMMAND.scope, Filters(resource=Resource.CALLS, action=action))
    return list(found.items[::-1])


async def told_soon(action: Action) -> Entry:
    """The entry, once it is written down in the background."""
    with trio.fail_after(PATIENCE_S):
        while not (found := await told(action)):
            await trio.lowlevel.checkpoint()
    [entry] = found
    return entry


@pytest.fixture
async def browser(app: QuartTrio) -> Visitor:
    account = await add_account("grace", name="Grace H")
    visitor = Visitor(app)
    assert (await visitor.sign_in("grace")).status_code == 303, account
    return visitor


async def test_listening_is_one_entry_however_many_parts_are_fetched(
    browser: Visitor, keep_recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await keep_recorded("opus")
    path = f"/calls/{record.id}/audio"
    await browser.client.head(path)
    await browser.get(f"/calls/{record.id}")
    await browser.get(f"/calls/{record.id}/peaks")
    assert await told() == []
    for wanted in ("bytes=0-", "bytes=100-200", "bytes=0-"):
        assert (await browser.get(path, headers={"Range": wanted})).status_code == 206
    [entry] = await told()
    assert (entry.action, entry.initiator_login, entry.application) == (Action.PLAYBACK, "grace", Application.WEB)
    assert (entry.about.id, entry.address) == (str(record.id), "192.0.2.7")
    monkeypatch.setattr(notes, "LISTENING_S", 0.0)
    await browser.get(path)
    assert len(await told()) == 2


async def test_each_download_is_an_entry_and_what_goes_on_with_one_is_none(browser: Visitor, keep_recorded) -> None:
    record = await keep_recorded("opus")
    path = f"/calls/{record.id}/download"
    for wanted in ({}, {"Range": "bytes=50-"}, {}):
        await browser.get(path, headers=wanted)
    assert [(one.action, one.details) for one in await told()] == [(Action.DOWNLOAD, {"format": "opus"})] * 2


async def test_a_programs_download_says_so(api: Api, keep_recorded) -> None:
    record = await keep_recorded("opus")
    await api.get(f"/api/v1/calls/{record.id}/audio")
    [entry] = await told()
    assert (entry.action, entry.application, entry.initiator_login) == (Action.DOWNLOAD, Application.API, "ada")


async def test_what_is_not_given_is_not_told(api: Api, browser: Visitor) -> None:
    record = await keep()
    for path in (f"/calls/{record.id}/audio", f"/calls/{record.id}/download"):
        assert (await browser.get(path)).status_code == 409
    assert await told() == []


async def test_who_pauses_is_told_with_the_position(api: Api, engine: Engine) -> None:
    record = await keep()
    for _ in range(2):
        assert (await api.put(f"/api/v1/calls/{record.id}/recording", json={"state": "paused"})).status_code == 200
    entry = await told_soon(Action.PAUSE)
    assert (entry.initiator_login, entry.application, entry.details) == ("ada", Application.API, {"position": "12.340"})
    assert pause_origin(record.id, 12.34, "ada") == f"{record.id} paused 12.340000 ada"


async def test_what_is_refused_is_not_told(api: Api, engine: Engine) -> None:
    ended = await keep(ended_at=(await keep()).started_at, end="normal")
    assert (await api.put(f"/api/v1/calls/{ended.id}/recording", json={"state": "paused"})).status_code == 409
    assert await told() == []
