"""The clerk: every event once and in order, whatever the outbox lacks, and however often the clerk begins anew."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from actors.spool import NodeReport
from archive.clerk import AGAIN_S, FRESH_S
from engine import events
from engine.events import MetadataReceived
from schema import clerk as database
from schema.database import open_database
from schema.roles import Role
from schema.users import add_user
from schema.values import CallStage, Offset
from tests.archive.calls import instant
from tests.archive.office import at_event, at_stage, at_work, lean, projected, told, until, view
from tests.archive.outboxes import NODE, Call, Engine
from tests.databases import KEY
from tests.people import COMMAND


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "data") as engine:
        yield engine


async def check(*calls: Call) -> None:
    """Each call is in the database just as it was told."""
    tenant_id = await database.default_tenant()
    for call in calls:
        seen = await at_event(call.id, len(call.told))
        assert seen.record == projected(call.told, tenant_id)
        assert await told(call.id) == lean(call.told)


async def test_calls_appear_while_they_run(engine: Engine, database_url: str) -> None:
    async with at_work(engine.spool, database_url):
        first, second = engine.call().start(), engine.call().start()
        first.agree().identify()
        await check(first, second)
        second.agree().pause()
        await check(first, second)
        assert (await view(second.id)).record.recording == "paused"
        second.resume().end()
        assert (await at_stage(second.id, CallStage.FINISHING)).record.end == "normal"
        assert (await at_stage(first.id, CallStage.ACTIVE)).record.caller.name == "Ann"
        await check(first, second)


async def test_each_event_is_seen_before_there_is_another(engine: Engine, database_url: str) -> None:
    async with at_work(engine.spool, database_url):
        call = engine.call().start()
        await check(call)
        for number in range(2, 12):
            call.pause() if number % 2 else call.resume("bob") if number > 2 else call.agree()
            await at_event(call.id, number)


async def test_a_metadata_document_stays_in_the_journal(engine: Engine, database_url: str) -> None:
    async with at_work(engine.spool, database_url):
        call = engine.call().start()
        document = MetadataReceived(at=call.now, content_type="application/rs-metadata", document=b"<recording/>")
        call.tell(document)
        await check(call)
        assert (await told(call.id))[1][1].document == b""


async def test_many_calls_at_once_are_some_transactions(engine: Engine, database_url: str) -> None:
    calls = [engine.call().start() for _ in range(60)]
    for call in calls:
        call.agree().identify(group="g" if call is calls[0] else "").pause().resume()
    async with at_work(engine.spool, database_url):
        await check(*calls)
        assert await database.offset(NODE) == Offset(1, 301)


@pytest.mark.parametrize("missing", ["agree", "start", "two"])
async def test_what_the_outbox_lacks_the_journal_tells(engine: Engine, database_url: str, missing: str) -> None:
    async with at_work(engine.spool, database_url):
        call = engine.call().start(outbox=missing != "start")
        call.agree(outbox=missing == "start").identify(outbox=missing != "two").pause()
        await check(call)
        call.resume()
        await check(call)


async def test_a_call_that_ended_tells_what_is_missing_too(engine: Engine, database_url: str) -> None:
    call = engine.call().start().agree(outbox=False).end()
    call.close()
    async with at_work(engine.spool, database_url):
        await check(call)


async def test_what_neither_has_yet_is_waited_for_and_keeps_nobody_up(engine: Engine, database_url: str) -> None:
    """On a full disk an event waits in the engine's memory; a later one may reach the outbox first."""
    async with at_work(engine.spool, database_url):
        call, other = engine.call().start(), engine.call().start()
        call.agree(journal=False, outbox=False).pause(journal=False).resume(journal=False)
        other.agree().identify()
        await check(other)
        assert (await view(call.id)).record.events == 1
        for number in (2, 3, 4):
            call.write(number, call.told[number - 1])
        await check(call)


async def test_events_of_a_call_whose_journal_is_gone_wait_for_its_recording(engine: Engine, database_url: str) -> None:
    call, other = engine.call().start(outbox=False).agree(), engine.call().start()
    shutil.rmtree(engine.spool.live / str(call.id))
    async with at_work(engine.spool, database_url):
        await check(other)
        assert await view(call.id) is None
        assert await database.offset(NODE) == Offset(1, 3)


async def test_a_clerk_that_begins_anew_goes_on_where_the_database_is(engine: Engine, database_url: str) -> None:
    call = engine.call().start().agree()
    async with at_work(engine.spool, database_url):
        await check(call)
    call.pause()
    engine.restart()
    call.resume()
    async with at_work(engine.spool, database_url):
        await check(call)
        assert await database.offset(NODE) == Offset(2, 2)
        await until(lambda: only_segment(engine, "000000000002"))


async def only_segment(engine: Engine, name: str) -> bool:
    return [path.name for path in engine.spool.outbox.iterdir()] == [name]


async def test_an_offset_that_was_lost_tells_nothing_twice(engine: Engine, database_url: str) -> None:
    call, ended = engine.call().start().agree().pause(), engine.call().start().agree().end()
    async with at_work(engine.spool, database_url):
        await check(call, ended)
        await database.apply(NODE, Offset(), (), ())
    call.resume()
    async with at_work(engine.spool, database_url):
        await check(call, ended)


async def test_calls_that_the_outbox_never_told_are_found_when_the_clerk_begins(
    engine: Engine, database_url: str
) -> None:
    told_wholly = engine.call().start().agree()
    untold = engine.call().start(outbox=False).agree(outbox=False).pause(outbox=False)
    async with at_work(engine.spool, database_url):
        await check(told_wholly, untold)


async def test_a_gap_in_the_outbox_makes_every_running_call_suspect(engine: Engine, database_url: str) -> None:
    async with at_work(engine.spool, database_url):
        quiet, loud = engine.call().start(), engine.call().start()
        await check(quiet, loud)
        # What a full disk does: the block's number is used up, and nobody else ever says that one is missing.
        quiet.pause(outbox=False)
        segment = engine.outbox._current()
        segment._number += 1
        loud.agree()
        await check(loud, quiet)


async def test_a_call_that_the_database_refuses_keeps_no_other_out(engine: Engine, database_url: str) -> None:
    with structlog.testing.capture_logs() as logged:
        bad, good = engine.call().start(call_id="no id at all"), engine.call().start()
        alone = engine.call()
        async with at_work(engine.spool, database_url):
            await check(good)
            alone.start(call_id="none either")
            good.agree()
            await check(good)
            bad.agree()
            good.pause()
            await check(good)
            assert await view(bad.id) is None
            assert await database.offset(NODE) == Offset(1, 7)
    refused = [line for line in logged if line["event"] == "call_not_told"]
    assert {line["call"] for line in refused} == {str(bad.id), str(alone.id)}


async def test_an_event_of_a_later_release_is_passed_over(engine: Engine, database_url: str) -> None:
    call = engine.call().start()
    raw = b'{"event":"applauded","at":[1,1]}'
    engine.outbox.append(call.id, 2, raw, instant(0))
    engine.outbox.append(call.id, 3, events.encode(events.Paused(at=call.now, holder="person", who="ann")), call.now)
    async with at_work(engine.spool, database_url):
        seen = await at_event(call.id, 3)
        assert (seen.record.recording, len(seen.record.pauses)) == ("paused", 1)
        assert [event.data for event in await database.events_of(call.id)][1] == raw


async def test_the_calls_of_a_user_are_found_by_his_phones(engine: Engine, database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        ann = await add_user(
            COMMAND,
            "ann",
            role=Role.USER,
            tenant="Acme",
            name="Ann",
            password_hash="",
            may_sign_in=True,
            phones=("100",),
        )
    call, other = engine.call().start().identify("100", "200"), engine.call().start().identify("300", "200")
    async with at_work(engine.spool, database_url):
        await check(other)

        async def seen() -> bool:
            found = await view(call.id, ann.tenant_id)
            return found is not None and found.record.caller.user_id == ann.id

        await until(seen)
        assert await view(call.id) is None  # it is another tenant's


async def test_a_database_that_is_away_loses_nothing(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "away"
    url = f"sqlite:///{folder}/earshot.sqlite"
    folder.touch()  # in the way
    call = engine.call().start().agree()
    with structlog.testing.capture_logs() as logged:
        async with at_work(engine.spool, url, migrate=True):
            await until(lambda: said(logged, "database_away"))
            call.pause()
            folder.unlink()
            folder.mkdir()
            await check(call)
        assert [line["event"] for line in logged].count("database_away") == 1
    assert await said(logged, "database_back")


async def said(logged: list[dict], event: str) -> bool:
    return any(line["event"] == event for line in logged)


async def test_what_the_engine_says_of_itself_is_passed_on_while_it_is_fresh(engine: Engine, database_url: str) -> None:
    def report(age_s: float, gateway: str, pid: int = 1) -> None:
        engine.spool.report_node(
            NodeReport(
                name=NODE,
                gateway=gateway,
                gateway_certificate="PEM",
                version="1.2",
                pid=pid,
                calls=0,
                free_bytes=1,
                at_ns=time.time_ns() - round(age_s * 1e9),
            )
        )

    async def gateway() -> str | None:
        return next((node.gateway for node in await database.nodes()), None)

    async with at_work(engine.spool, database_url) as office:
        report(2 * FRESH_S, "ws://stale")
        with trio.move_on_after(AGAIN_S / 2):
            await office.clerk.run_beacon()
        assert await gateway() is None
        office.nursery.start_soon(office.clerk.run_beacon)
        report(0, "ws://one")
        assert await until(gateway) == "ws://one"
        report(0, "ws://two", pid=2)  # started anew: at once

        async def two() -> bool:
            return await gateway() == "ws://two"

        await until(two)
        (node,) = await database.nodes()
        assert (node.name, node.version, node.gateway_certificate) == (NODE, "1.2", "PEM")
