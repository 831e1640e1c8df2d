"""The lister: finished calls as a whole, once, whatever was told of them before; and rows that nobody tells more of."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from actors.spool import Spool
from archive import unlisted
from archive.encode import Encoding
from archive.finish import Recipe, Recording, Stuck, finish
from archive.listing import NOTHING_LEFT
from archive.project import Owners, fold, record_of, record_of_manifest
from engine.events import Paused, Resumed
from schema import clerk as database
from schema.database import open_database
from schema.values import CallStage, Offset
from tests.archive.calls import CALL_ID, PRIVATE_KEY, REALTIME_NS, SECOND, instant, two_tones
from tests.archive.office import at_stage, at_work, until, view
from tests.archive.outboxes import NODE, Engine
from tests.databases import KEY

RECIPE = Recipe(PRIVATE_KEY, Encoding("flac"), "silence")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "data") as engine:
        yield engine


def record(engine: Engine, call_id: UUID = CALL_ID) -> Recording:
    """A call with audio and a pause, finished; it waits to be listed."""
    script = two_tones(2)
    script.call_id = call_id
    script.told = [
        Paused(at=instant(SECOND // 2), holder="person", who="ann"),
        Resumed(at=instant(SECOND), holder="person", who="ann"),
    ]
    script.finished(engine.spool.root.parent)
    return made(engine.spool, call_id)


def made(spool: Spool, call_id: UUID) -> Recording:
    recording = finish(spool, spool.root.parent / "recordings", str(call_id), RECIPE)
    assert isinstance(recording, Recording)
    return recording


async def listed(engine: Engine) -> bool:
    return not unlisted.waiting(engine.spool)


async def test_a_finished_call_is_listed_from_its_manifest(engine: Engine, database_url: str) -> None:
    recording = record(engine)
    async with at_work(engine.spool, database_url):
        seen = await at_stage(CALL_ID, CallStage.FINISHED)
        expected = record_of_manifest(
            recording.manifest, f"2026/03/05/{CALL_ID}", Owners(await database.default_tenant())
        )
        assert seen.record == expected
        assert seen.record.kept
        await until(lambda: listed(engine))


async def test_a_call_that_was_told_to_run_is_finished_and_its_events_go(engine: Engine, database_url: str) -> None:
    recording = record(engine)
    (engine.spool.unlisted / str(CALL_ID)).rename(engine.spool.root / "aside")
    async with open_database(database_url, key=KEY):
        running = record_of(fold(recording.manifest.events[:3]), Owners(await database.default_tenant()))
        await database.apply(NODE, Offset(), (), [running])
    (engine.spool.root / "aside").rename(engine.spool.unlisted / str(CALL_ID))
    async with at_work(engine.spool, database_url):
        seen = await at_stage(CALL_ID, CallStage.FINISHED)
        assert len(seen.record.pauses) == 1
        assert await database.events_of(CALL_ID) == []


async def test_events_that_come_late_do_not_undo_what_the_recording_told(engine: Engine, database_url: str) -> None:
    call = engine.call().start().agree().identify().pause().resume().end()
    call.close()
    finished = made(engine.spool, call.id)
    other = engine.call().start()
    async with at_work(engine.spool, database_url, clerk=False):
        before = await at_stage(call.id, CallStage.FINISHED)
    async with at_work(engine.spool, database_url):
        await at_stage(other.id, CallStage.ACTIVE)
        assert await view(call.id) == before
        assert await database.events_of(call.id) == []
    assert before.record.end == finished.manifest.end


async def test_listed_again_a_call_is_the_same(engine: Engine, database_url: str) -> None:
    recording = record(engine)
    async with at_work(engine.spool, database_url):
        before = await at_stage(CALL_ID, CallStage.FINISHED)
        await until(lambda: listed(engine))
        unlisted.note(engine.spool, str(CALL_ID), recording.folder)
        await until(lambda: listed(engine))
        assert await view(CALL_ID) == before


async def test_a_call_of_a_killed_engine_is_being_finished(engine: Engine, database_url: str) -> None:
    call, running = engine.call().start().agree(), engine.call().start().agree()
    async with at_work(engine.spool, database_url):
        await at_stage(call.id, CallStage.ACTIVE)
        call.close()  # the next engine hands it over, without an end
        assert (await at_stage(call.id, CallStage.FINISHING)).record.ended_at is None
        assert (await view(running.id)).stage == CallStage.ACTIVE


async def test_a_stuck_call_is_incomplete_with_the_reason(engine: Engine, database_url: str) -> None:
    call = engine.call().start().agree().identify()
    bare = engine.call()
    async with at_work(engine.spool, database_url):
        await at_stage(call.id, CallStage.ACTIVE)
        for each in (call, bare):
            each.close()
            (engine.spool.finished / str(each.id) / "journal").write_bytes(b"no journal")
            assert isinstance(finish(engine.spool, engine.spool.root / "x", str(each.id), RECIPE), Stuck)
        seen = (await at_stage(call.id, CallStage.FINISHED)).record
        assert (seen.end, seen.kept, seen.recording_file, seen.caller.name) == ("incomplete", False, None, "Ann")
        assert "ends before a journal's header" in seen.warnings[-1]
        alone = (await at_stage(bare.id, CallStage.FINISHED)).record
        assert (alone.end, alone.kept, len(alone.warnings)) == ("incomplete", False, 1)
        assert round(alone.started_at.timestamp() * SECOND) == REALTIME_NS + 60 * SECOND
        await until(lambda: listed(engine))
        unlisted.note(engine.spool, str(call.id), engine.spool.stuck / str(call.id))
        await until(lambda: listed(engine))
        assert (await view(call.id)).record == seen


async def test_a_call_that_is_noted_and_not_moved_yet_waits(engine: Engine, database_url: str) -> None:
    call, other = engine.call().start(), engine.call()
    call.close()
    unlisted.note(engine.spool, str(call.id), engine.spool.stuck / str(call.id))
    other.start().close()
    made(engine.spool, other.id)
    async with at_work(engine.spool, database_url):
        await at_stage(other.id, CallStage.FINISHED)
        assert (await at_stage(call.id, CallStage.FINISHING)).record.end is None
        made(engine.spool, call.id)
        assert (await at_stage(call.id, CallStage.FINISHED)).record.end == "interrupted"


async def test_a_stuck_call_that_was_mended_is_a_recording(engine: Engine, database_url: str) -> None:
    call = engine.call().start().agree().end()
    call.close()
    folder = engine.spool.finished / str(call.id)
    journal = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(b"")
    stuck = finish(engine.spool, engine.spool.root / "x", str(call.id), RECIPE)
    async with at_work(engine.spool, database_url):
        assert (await at_stage(call.id, CallStage.FINISHED)).record.end == "incomplete"
        (stuck.folder / "journal").write_bytes(journal)
        stuck.folder.rename(folder)
        made(engine.spool, call.id)

        async def mended() -> bool:
            return (await view(call.id)).record.end == "normal"

        await until(mended)


@pytest.mark.parametrize("harm", [b"", b'{"version": 1}', b"\xff"])
async def test_a_manifest_that_cannot_be_read_is_said(engine: Engine, database_url: str, harm: bytes) -> None:
    recording = record(engine)
    (recording.folder / "manifest.json").write_bytes(harm)
    async with at_work(engine.spool, database_url):
        seen = (await at_stage(CALL_ID, CallStage.FINISHED)).record
    assert (seen.end, seen.kept) == ("incomplete", False)
    assert seen.warnings[0].startswith("The recording's manifest cannot be read: ")


async def test_rows_that_nobody_will_tell_more_of_are_finished(engine: Engine, database_url: str) -> None:
    """As after the database was restored from an older copy, or somebody removed files of the spool."""
    recorded, stuck, lost, running = (engine.call().start().agree().identify() for _ in range(4))
    ended = engine.call().start().agree().end()
    async with at_work(engine.spool, database_url, lister=False):
        for call in (recorded, stuck, lost, running):
            await at_stage(call.id, CallStage.ACTIVE)
        await at_stage(ended.id, CallStage.FINISHING)
    for call in (recorded, stuck, lost, ended):
        call.close()
    made(engine.spool, recorded.id)
    (engine.spool.finished / str(stuck.id) / "journal").write_bytes(b"")
    assert isinstance(finish(engine.spool, engine.spool.root / "x", str(stuck.id), RECIPE), Stuck)
    for call in (recorded, stuck):
        (engine.spool.unlisted / str(call.id)).unlink()
    for call in (lost, ended):
        shutil.rmtree(engine.spool.finished / str(call.id))
    with structlog.testing.capture_logs() as logged:
        async with at_work(engine.spool, database_url):
            ends = {}
            for call in (recorded, stuck, lost, ended):
                seen = (await at_stage(call.id, CallStage.FINISHED)).record
                ends[call.id] = (seen.end, seen.kept, seen.warnings[-1:])
            assert (await view(running.id)).stage == CallStage.ACTIVE
    assert ends[recorded.id] == ("interrupted", False, ("No audio came, so there is no audio file.",))
    assert ends[stuck.id][:2] == ("incomplete", False)
    assert ends[lost.id] == ("lost", False, (NOTHING_LEFT,))
    assert ends[ended.id] == ("lost", False, (NOTHING_LEFT,))
    found = [line["call"] for line in logged if line["event"] == "call_without_end"]
    assert sorted(found) == sorted(str(call.id) for call in (recorded, stuck, lost, ended))
