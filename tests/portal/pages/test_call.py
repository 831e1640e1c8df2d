"""The page of a call: live, being finished, with its player or without; and what each role may do on it."""

import json
import re
from collections.abc import Awaitable, Callable
from html import unescape
from uuid import uuid4

import pytest

from schema import clerk
from schema.values import ParticipantRecord, PartyRecord, PauseRecord, StreamRecord
from tests.portal.pages.conftest import Keep, People, Reader

Readers = Callable[[str], Awaitable[Reader]]


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_a_finished_call_has_its_player_and_all_that_is_known(keep: Keep, reader: Readers) -> None:
    record = await keep(
        direction="inbound",
        participants=(
            ParticipantRecord("Michael Harvell", "12333001100", "", 0.0, None),
            ParticipantRecord("Sam Reed", "301", "", 61.0, None),
        ),
        streams=(StreamRecord(0, "1", "caller", "PCMU", 4812, 3, 1.7), StreamRecord(1, "2", "callee", "PCMU", 4815, 0)),
        pauses=(PauseRecord(31.2, 52.8, "ulla", 31.2),),
        warnings=("Packets that came too late to be heard: 12.",),
        sip_call_id="ab82@sbc",
    )
    page = await (await reader("anna")).page(f"/calls/{record.id}")
    bands = re.search(r'data-bands="([^"]+)"', page)
    assert bands is not None
    assert json.loads(unescape(bands[1])) == [{"start": 31.2, "end": 52.8}]
    assert f'data-peaks="/calls/{record.id}/peaks"' in page
    assert f'<audio src="/calls/{record.id}/audio"' in page
    for fact in (
        "Inbound",
        "0:31 Recording paused by ulla",
        "0:52 Recording resumed",
        "1:01 Sam Reed joined",
        "Caller PCMU 4,812 3 (0.1%) 1.7 ms",
        "Callee PCMU 4,815 0 (0.0%) \N{EN DASH}",
        "Packets that came too late to be heard: 12.",
        "SIP Call-ID ab82@sbc",
        "182.7 kB",
    ):
        assert fact in words(page), fact


async def test_styles_of_the_player_have_a_nonce_that_the_policy_knows(keep: Keep, reader: Readers) -> None:
    record = await keep()
    anna = await reader("anna")
    response = await anna.visitor.get(f"/calls/{record.id}")
    page = await response.get_data(as_text=True)
    nonce = re.search(r'name="style-nonce" content="([^"]+)"', page)
    assert nonce is not None
    assert f"style-src 'self' 'nonce-{nonce[1]}'" in response.headers["Content-Security-Policy"]


async def test_a_call_that_runs_shows_its_pause_and_who_made_it(keep: Keep, reader: Readers) -> None:
    paused = await keep(running=True, recording="paused", pauses=(PauseRecord(75.0, None, "phone-system"),))
    page = await (await reader("anna")).page(f"/calls/{paused.id}")
    assert 'data-stage="active"' in page
    assert 'data-recording="paused"' in page
    assert "Paused at 1:15 by the phone system." in words(page)
    recorded = await keep(running=True)
    assert 'data-recording="recording"' in await (await reader("anna")).page(f"/calls/{recorded.id}")


@pytest.mark.parametrize(
    ("login", "listens", "pauses"), [("anna", True, True), ("sam", True, False), ("ulla", False, False)]
)
async def test_a_role_finds_the_buttons_that_it_may_press(
    keep: Keep, reader: Readers, login: str, listens: bool, pauses: bool
) -> None:
    running, finished = await keep(running=True), await keep()
    who = await reader(login)
    live = await who.page(f"/calls/{running.id}")
    assert ("data-listen " in live) == listens
    assert ("data-meter" in live) == listens
    assert ("data-put" in live) == pauses
    player = await who.page(f"/calls/{finished.id}")
    assert "data-player" in player
    assert "download?format=mp3" in player


async def test_a_call_that_has_just_ended_is_being_finished(keep: Keep, reader: Readers) -> None:
    record = await keep(running=True)
    await clerk.mark_ended([record.id])
    page = await (await reader("anna")).page(f"/calls/{record.id}")
    assert 'data-stage="finishing"' in page
    assert "The recording is being finished" in page
    assert "data-put" not in page


async def test_a_call_of_a_silent_node(keep: Keep, reader: Readers) -> None:
    record = await keep(running=True, node="recorder-of-last-year")
    page = await (await reader("anna")).page(f"/calls/{record.id}")
    assert "Nothing has been heard of recorder-of-last-year" in words(page)


async def test_a_call_without_audio_says_so_and_offers_none(keep: Keep, reader: Readers) -> None:
    record = await keep(kept=False, recording_file=None, warnings=("No audio came, so there is no audio file.",))
    page = await (await reader("anna")).page(f"/calls/{record.id}")
    assert "There is no audio of this call" in page
    assert "No audio came, so there is no audio file." in page
    assert "data-player" not in page
    assert "download?format" not in page


async def test_a_call_that_one_may_not_see_is_not_there(keep: Keep, reader: Readers) -> None:
    nobodys = await keep(callee=PartyRecord("999"))
    for login in ("sam", "ulla"):
        assert await (await reader(login)).status(f"/calls/{nobodys.id}") == 404
    anna = await reader("anna")
    assert await anna.status(f"/calls/{nobodys.id}") == 200
    assert await anna.status(f"/calls/{uuid4()}") == 404
    assert await anna.status("/calls/not-a-call") == 404


@pytest.mark.parametrize(("login", "linked"), [("anna", True), ("sam", True), ("ulla", False)])
async def test_users_lead_to_their_pages_for_who_may_open_these(
    keep: Keep, people: People, reader: Readers, login: str, linked: bool
) -> None:
    call = await keep()
    told = f'href="/administration/users/{people.ulla.id}">Ulla Skinner</a>'
    them = await reader(login)
    assert (told in await them.page(f"/calls/{call.id}")) is linked
    assert (told in await them.page("/calls")) is linked


async def test_who_may_open_some_pages_is_led_to_no_others(keep: Keep, people: People, reader: Readers) -> None:
    call = await keep(caller=PartyRecord("400", "Anna Berg", user_id=people.anna.id))
    page = await (await reader("sam")).page(f"/calls/{call.id}")
    assert f"/administration/users/{people.ulla.id}" in page
    assert "Anna Berg" in page
    assert f"/administration/users/{people.anna.id}" not in page
