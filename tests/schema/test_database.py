"""The bridge: units run to their end, readers may leave, and a database that is away comes back."""

import asyncio
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing

from schema import calls, clerk, people, sqlite
from schema.columns import new_id
from schema.database import DatabaseAway, QueryTooSlow, open_database, reading, rows, transaction, unit
from schema.values import Offset, Scope
from tests.databases import KEY, PostgresServer
from tests.schema.given import a_user

SCOPE = Scope(new_id(), new_id(), "tenant")
# Long enough that nobody waits for its end, on either database.
FOR_EVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgres": "SELECT pg_sleep(60)",
}


@unit
async def count_up(node: str) -> None:
    """Reads, then writes what it read: two at a time must not see the same."""
    async with transaction():
        offset = await clerk.offset(node)
        await rows("SELECT count(*) FROM call_event")
        await clerk.apply(node, Offset(offset.segment + 1, 0), [], [])


@reading
async def ask(query: str) -> None:
    await rows(query)


@reading
async def write_by_mistake() -> None:
    await rows("DELETE FROM node")


async def test_a_unit_is_not_cut_short_by_a_cancellation(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for _ in range(300):
            with trio.move_on_after(0.001):
                await count_up("one")
        reached = (await clerk.offset("one")).segment
        assert reached > 0
        with trio.fail_after(60):
            await count_up("one")
        assert (await clerk.offset("one")).segment == reached + 1


async def test_readers_may_leave(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        for _ in range(300):
            with trio.move_on_after(0.001):
                await calls.list_calls(SCOPE, silent_nodes=())
        with trio.fail_after(60):
            assert await people.account(amy.id) == amy
            assert (await calls.list_calls(SCOPE, silent_nodes=())).calls == ()


async def test_whoever_is_cancelled_already_starts_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        with trio.CancelScope() as scope:
            scope.cancel()
            await count_up("one")
        assert await clerk.offset("one") == Offset()


async def test_a_query_without_a_reader_is_stopped(tmp_path: Path) -> None:
    """SQLite reads on one connection: who left must not keep it."""
    url = f"sqlite:///{tmp_path / 'earshot.sqlite'}"
    async with open_database(url, migrate=True, key=KEY):
        await ask("SELECT 1")
        with trio.move_on_after(0.2) as scope:
            await ask(FOR_EVER["sqlite"])
        assert scope.cancelled_caught
        started = trio.current_time()
        await ask("SELECT 1")
        assert trio.current_time() - started < 4  # its time limit is 5 s


async def test_a_query_that_takes_too_long_is_stopped(
    database_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schema.database._READING_LIMIT_S", 0.3)
    async with open_database(database_url, key=KEY) as database:
        with pytest.raises(QueryTooSlow, match="The search took too long"):
            await ask(FOR_EVER[kind])
        await database.ready()
        await ask("SELECT 1")


async def test_a_long_read_delays_no_write(database_url: str, kind: str) -> None:
    async with open_database(database_url, key=KEY), trio.open_nursery() as nursery:
        await ask("SELECT 1")
        nursery.start_soon(ask, FOR_EVER[kind])
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(4):  # a reader may take 5 s
            await count_up("one")
        nursery.cancel_scope.cancel()


@unit
async def write_until(told: trio.Event, token: trio.lowlevel.TrioToken, go_on: threading.Event) -> None:
    """A transaction that has written, and goes on until it is let."""
    async with transaction():
        await rows("DELETE FROM node")
        token.run_sync_soon(told.set)
        await asyncio.to_thread(go_on.wait)


async def test_a_long_write_delays_no_lookup(database_url: str) -> None:
    """An import of thousands of users, say: everybody's session is looked up meanwhile."""
    writing, go_on = trio.Event(), threading.Event()
    async with open_database(database_url, key=KEY), trio.open_nursery() as nursery:
        amy = await a_user("amy")
        nursery.start_soon(write_until, writing, trio.lowlevel.current_trio_token(), go_on)
        await writing.wait()
        try:
            with trio.fail_after(60):
                assert await people.account(amy.id) == amy
        finally:
            go_on.set()


async def test_a_reader_writes_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        with pytest.raises(Exception, match=r"(?i)read.?only"):
            await write_by_mistake()


async def test_an_error_of_the_program_is_its_own(database_url: str) -> None:
    async with open_database(database_url, key=KEY) as database:
        with pytest.raises(Exception, match="nowhere") as caught:
            await ask("SELECT * FROM nowhere")
        assert not isinstance(caught.value, DatabaseAway | QueryTooSlow)
        await database.ready()


async def test_units_run_in_one_thread_and_it_ends(database_url: str) -> None:
    before = threading.active_count()
    async with open_database(database_url, key=KEY):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(count_up, str(number))
        assert {(await clerk.offset(str(number))).segment for number in range(20)} == {1}
        assert [thread.name for thread in threading.enumerate()].count("database") == 1
    assert "database" not in [thread.name for thread in threading.enumerate()]
    assert threading.active_count() <= before + 1  # trio keeps an idle one for a while


COUNTING = """
import sys, trio
from schema.database import open_database
from tests.schema.test_database import count_up
async def main(url, times):
    async with open_database(url, migrate=True, key=bytes(range(32))):
        for _ in range(times):
            await count_up("one")
trio.run(main, sys.argv[1], int(sys.argv[2]))
"""


async def test_two_processes_that_read_and_write_wait_for_each_other(database_url: str, kind: str) -> None:
    if kind == "postgres":
        return  # there, one that waited may be asked to try again
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(run_python, COUNTING, database_url, "100")
    async with open_database(database_url, key=KEY):
        assert (await clerk.offset("one")).segment == 200


async def test_two_processes_may_make_the_tables_at_once(empty_database_url: str) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(run_python, COUNTING, empty_database_url, "1")
    async with open_database(empty_database_url, key=KEY) as database:
        await database.ready()


async def run_python(program: str, *words: str) -> None:
    await trio.run_process([sys.executable, "-W", "error", "-c", program, *words])


# PostgreSQL


async def test_units_work_again_once_the_server_is_back(postgres: PostgresServer) -> None:
    url = postgres.make(template="earshot_template")
    async with open_database(url, key=KEY) as database:
        await count_up("one")
        for at_once in (False, True):
            with postgres.away(at_once=at_once):
                # More often than there are connections: none of them may be lost by it.
                for _ in range(8):
                    with pytest.raises(DatabaseAway, match="Calls are recorded all the same"):
                        await count_up("one")
                    with pytest.raises(DatabaseAway):
                        await ask("SELECT 1")
                with pytest.raises(DatabaseAway, match="refused"):
                    await database.ready()
            with trio.fail_after(60):
                for _ in range(8):
                    await count_up("one")
                    await ask("SELECT 1")
        assert (await clerk.offset("one")).segment == 17


async def test_a_server_that_stops_in_the_middle_loses_no_connection(postgres: PostgresServer) -> None:
    url = postgres.make(template="earshot_template")
    refused = 0

    async def count_until_refused() -> None:
        nonlocal refused
        try:
            while True:
                await count_up(str(new_id()))
        except DatabaseAway:
            refused += 1

    def stop_for_a_moment() -> None:
        with postgres.away():
            pass

    async with open_database(url, key=KEY) as database:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(count_until_refused)
                await count_up("one")
                await trio.to_thread.run_sync(stop_for_a_moment)
            with trio.fail_after(60):
                await database.ready()
                await count_up("one")
        assert refused == 12


async def test_it_opens_while_the_server_is_away(postgres: PostgresServer) -> None:
    url = postgres.make()
    async with open_database(url, migrate=True, key=KEY) as database:
        with postgres.away(), pytest.raises(DatabaseAway):
            await database.ready()
        await database.ready()
        assert await clerk.offset("one") == Offset()


async def test_a_silent_server_is_away(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.database._SILENCE_S", 0.5)
    monkeypatch.setattr("schema.postgres._CONNECT_LIMIT_S", 0.5)
    async with open_database(postgres.make(template="earshot_template"), key=KEY):
        await count_up("one")
        with postgres.silent(), trio.fail_after(60):
            for _ in range(4):
                with pytest.raises(DatabaseAway, match="it is silent"):
                    await count_up("one")
        with trio.fail_after(60):
            await count_up("one")


async def test_a_database_that_nobody_made_is_away(postgres: PostgresServer) -> None:
    async with open_database(postgres.make() + "_not", key=KEY) as database:
        with pytest.raises(DatabaseAway, match=r'database "earshot_\d+_not" does not exist'):
            await database.ready()


# SQLite


async def test_a_locked_file_is_away_for_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite._PRAGMAS, "busy_timeout", 100)
    path = tmp_path / "earshot.sqlite"
    async with open_database(f"sqlite:///{path}", migrate=True, key=KEY):
        await count_up("one")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseAway, match="locked"):
                await count_up("one")
            assert (await clerk.offset("one")).segment == 1
        await count_up("one")


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "earshot.sqlite"
    async with open_database(f"sqlite:///{path}", migrate=True, key=KEY):
        await count_up("one")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"earshot.sqlite": 0o600, "earshot.sqlite-wal": 0o600, "earshot.sqlite-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "earshot.sqlite"
    path.write_text("Once upon a time there was a text, and it was longer than a page of a database. " * 20)
    async with open_database(f"sqlite:///{path}", migrate=True, key=KEY) as database:
        with pytest.raises(DatabaseAway, match="file is not a database"):
            await database.ready()


async def test_a_place_where_no_file_can_be_is_said(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.touch()
    async with open_database(f"sqlite:///{place / 'earshot.sqlite'}", migrate=True, key=KEY) as database:
        for _ in range(3):
            with pytest.raises(DatabaseAway, match=r"(File exists|Not a directory)"):
                await database.ready()
            with pytest.raises(DatabaseAway):
                await ask("SELECT 1")
        place.unlink()
        with trio.fail_after(60):
            await database.ready()
            await ask("SELECT 1")
