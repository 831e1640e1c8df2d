"""What is remembered, for how long, and what is not: without a database, on a clock that jumps."""

import pytest
import trio
from trio.testing import MockClock

from portal import memory
from portal.memory import KNOWN_WITHIN_S, LASTS_S, SILENT_S, UNKNOWN_WITHIN_S, Remembered
from schema.database import DatabaseAway


class Database:
    """Gives its answer, or fails as it is told to; `asked` counts."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.fails = ""
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        if self.fails == "silent":
            await trio.sleep_forever()
        if self.fails:
            raise DatabaseAway(self.fails)
        return self.answer


@pytest.mark.parametrize("fails", ["refuses", "silent"])
async def test_an_answer_lasts_for_some_minutes(autojump_clock: MockClock, fails: str) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    assert await remembered.ask("key", database) == "ada"
    database.fails = fails
    await trio.sleep(LASTS_S - 1)
    assert await remembered.ask("key", database) == "ada"
    await trio.sleep(1)
    with pytest.raises(DatabaseAway):
        await remembered.ask("key", database)


async def test_what_is_remembered_does_not_make_it_younger(autojump_clock: MockClock) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    await remembered.ask("key", database)
    database.fails = "refuses"
    for _ in range(4):
        await trio.sleep(LASTS_S / 5)
        assert await remembered.ask("key", database) == "ada"
    await trio.sleep(LASTS_S / 5)
    with pytest.raises(DatabaseAway):
        await remembered.ask("key", database)


async def test_the_database_is_asked_first(autojump_clock: MockClock) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    await remembered.ask("key", database)
    database.answer = None
    assert await remembered.ask("key", database) is None
    database.fails = "refuses"
    with pytest.raises(DatabaseAway):
        await remembered.ask("key", database)


async def test_what_was_never_told_is_not_known(autojump_clock: MockClock) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    database.fails = "silent"
    with pytest.raises(DatabaseAway):
        await remembered.ask("key", database)
    assert trio.current_time() == pytest.approx(UNKNOWN_WITHIN_S, abs=0.01)


async def test_silence_is_waited_for_once_in_a_while(autojump_clock: MockClock) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    await remembered.ask("key", database)
    database.fails = "silent"
    began_s = trio.current_time()
    for _ in range(50):
        assert await remembered.ask("key", database) == "ada"
    assert trio.current_time() - began_s == pytest.approx(KNOWN_WITHIN_S, abs=0.01)
    await trio.sleep(SILENT_S)
    database.fails, database.answer = "", "eve"
    assert await remembered.ask("key", database) == "eve"


async def test_what_was_ended_stays_so_whatever_the_database_says(autojump_clock: MockClock) -> None:
    remembered, database = Remembered[str, str](), Database("ada")
    await remembered.ask("key", database)
    remembered.end("key")
    assert await remembered.ask("key", database) is None
    database.fails = "refuses"
    assert await remembered.ask("key", database) is None


async def test_an_answer_that_comes_after_the_end_counts_no_more(autojump_clock: MockClock) -> None:
    remembered = Remembered[str, str]()

    async def ends_meanwhile() -> str:
        remembered.end("key")
        return "ada"

    assert await remembered.ask("key", ends_meanwhile) is None


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 2)
    remembered, database = Remembered[str, str](), Database(None)
    for key in ("one", "two", "one", "three"):
        remembered.note(key, key)
        remembered.end(f"{key} ended")
    database.fails = "refuses"
    assert [await remembered.ask(key, database) for key in ("one", "three")] == ["one", "three"]
    with pytest.raises(DatabaseAway):
        await remembered.ask("two", database)
    assert len(remembered._ended) == 2
