"""The list of calls: what a row says, its pages, its views, and who sees which rows."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from schema.values import CallRecord, PartyRecord
from tests.portal.pages.conftest import START, Keep, Reader, rows_of

Readers = Callable[[str], Awaitable[Reader]]


def row(page: str, record: CallRecord) -> str:
    """The words of a call's row."""
    found = re.search(rf'<tr data-row="{record.id}">(.*?)</tr>', page, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


async def test_a_row_says_who_when_and_how_long(keep: Keep, reader: Readers) -> None:
    record = await keep()
    page = await (await reader("anna")).page("/calls")
    # CLDR has a narrow no-break space before PM.
    assert row(page, record).replace("\u202f", " ") == (
        "Ulla Skinner Mar 5, 2026 2:03 PM 1:37 12333001100 (Michael Harvell) 300 (Ulla Skinner)"
    )
    assert "<strong>300 (Ulla Skinner)</strong>" in page
    assert "<strong>12333001100" not in page


async def test_times_are_in_the_readers_zone(keep: Keep, reader: Readers) -> None:
    record = await keep()
    anna = await reader("anna")
    anna.visitor.client.set_cookie("localhost", "earshot_zone", "America/New_York")
    assert "Mar 5, 2026 9:03 AM" in row(await anna.page("/calls"), record).replace("\u202f", " ")


async def test_a_call_that_runs_ticks_and_shows_its_state(keep: Keep, reader: Readers) -> None:
    connected = START + timedelta(seconds=2)
    record = await keep(running=True, connected_at=connected, recording="paused")
    page = await (await reader("anna")).page("/calls")
    assert "Paused" in row(page, record)
    assert f'data-since="{int(connected.timestamp() * 1000)}"' in page


async def test_a_call_of_a_silent_node_is_unreachable(keep: Keep, reader: Readers) -> None:
    record = await keep(running=True, node="recorder-of-last-year")
    anna = await reader("anna")
    assert "Unreachable" in row(await anna.page("/calls"), record)
    assert "Recording" not in row(await anna.page("/calls?view=active"), record)


async def test_what_ended_badly_is_said(keep: Keep, reader: Readers) -> None:
    records = {end: await keep(end=end) for end in ("interrupted", "lost", "incomplete")}
    silent = await keep(kept=False, recording_file=None)
    page = await (await reader("anna")).page("/calls")
    for end, record in records.items():
        assert row(page, record).endswith(end.capitalize())
    assert row(page, silent).endswith("No audio")


async def test_a_party_of_whom_nothing_is_known(keep: Keep, reader: Readers) -> None:
    record = await keep(caller=PartyRecord())
    assert "Unknown 300" in row(await (await reader("anna")).page("/calls"), record)


async def test_what_a_phone_system_calls_somebody_is_text(keep: Keep, reader: Readers) -> None:
    await keep(caller=PartyRecord("1", '<script>alert("x")</script>'))
    page = await (await reader("anna")).page("/calls")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


async def test_pages_go_back_and_forth_and_miss_nothing(keep: Keep, reader: Readers) -> None:
    every = [(await keep(started_at=START + timedelta(minutes=each))).id for each in range(45)]
    anna = await reader("anna")
    seen, path, paths = [], "/calls", []
    while path:
        paths.append(path)
        page = await anna.page(path)
        seen += rows_of(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
        newer = re.search(r'rel="prev" href="([^"]+)"', page)
        assert (newer[1].replace("&amp;", "&") if newer else None) == (paths[-2] if len(paths) > 1 else None)
    assert seen == every[::-1]
    assert "41 to 45 of 45" in page


async def test_many_are_many(keep: Keep, reader: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await keep()
    anna = await reader("anna")
    assert "1 to 3 of 3" in await anna.page("/calls")
    monkeypatch.setattr("portal.pages.calls.COUNT_TO", 2)
    assert "1 to 3 of many" in await anna.page("/calls")


async def test_scripts_get_the_table_alone(keep: Keep, reader: Readers) -> None:
    record = await keep()
    page = await (await reader("anna")).page("/calls?view=all", headers={"Sec-Fetch-Mode": "cors"})
    assert rows_of(page) == [record.id]
    assert "<html" not in page


async def test_each_role_sees_its_calls(keep: Keep, reader: Readers) -> None:
    hers = await keep()
    nobodys = await keep(callee=PartyRecord("999"))
    assert set(rows_of(await (await reader("anna")).page("/calls"))) == {hers.id, nobodys.id}
    for login in ("sam", "ulla"):
        page = await (await reader(login)).page("/calls")
        assert rows_of(page) == [hers.id]
        assert "1 to 1 of 1" in page


async def test_no_calls_yet_says_how_the_first_one_gets_there(reader: Readers) -> None:
    assert "sip:localhost" in await (await reader("anna")).page("/calls")
    assert "sip:" not in await (await reader("ulla")).page("/calls")
    assert "No call is running" in await (await reader("anna")).page("/calls?view=active")


async def test_addresses_that_nobody_was_given(keep: Keep, reader: Readers) -> None:
    anna = await reader("anna")
    assert await anna.status("/calls?view=secret") == 404
    assert await anna.status("/calls?cursor=%F0%9F%98%80") == 404
    assert await anna.status("/calls?cursor=abc&at=-7") == 404
    assert await anna.status("/calls?at=x") == 200
