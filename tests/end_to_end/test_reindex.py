"""The database is lost; `earshot reindex` rebuilds what it knew of the calls, beside the archive at work."""

from pathlib import Path

from tests.end_to_end import rows
from tests.end_to_end.audio import BEFORE_HZ, marker
from tests.end_to_end.phone import PhoneSystem
from tests.end_to_end.recorder import PATIENCE_S, Program, Recorder, until
from tests.end_to_end.test_clerk_killed import finished_as_recorded

VOICE = marker(BEFORE_HZ, 0.5)
CALLS = 4


def record_calls(recorder: Recorder) -> None:
    """Calls with pauses and without, of one group and of none, and one that breaks off."""
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        calls = [phones.call() for _ in range(CALLS)]
        for call in calls[:2]:
            call.talk(VOICE, 0.2)
            assert call.offer("inactive").status == 200
            assert call.offer("active").status == 200
        for call in calls[:-1]:
            call.bye()
        recorder.manifests(CALLS - 1)
        engine.kill()
    recorder.engine()


def ended(program: Program) -> int:
    return program.process.wait(PATIENCE_S)


def test_a_database_that_was_lost_is_rebuilt_from_the_manifests(
    recorder: Recorder, database_url: str, request, kind: str, tmp_path: Path
) -> None:
    archive = recorder.archive(DATABASE_URL=database_url)
    record_calls(recorder)
    recorder.manifests(CALLS)
    until(lambda: finished_as_recorded(recorder, database_url, CALLS), "all calls to be finished", poll_s=0.2)
    before = rows.dump(database_url)
    assert archive.stop() == 0

    url = request.getfixturevalue("postgres").make() if kind == "postgres" else f"sqlite:///{tmp_path}/new.sqlite"
    archive = recorder.archive(DATABASE_URL=url)
    archive.line("archive_started")
    for _ in range(2):
        reindexed = recorder.start("reindex", DATABASE_URL=url)
        assert ended(reindexed) == 0, reindexed.errors()
        assert reindexed.log_file.read_text() == f"Recordings in the database: {CALLS}. Calls without one: 0.\n"
        assert rows.dump(url) == before
    assert archive.stop() == 0


def test_manifests_that_cannot_be_read_are_named_and_keep_no_other_out(recorder: Recorder) -> None:
    archive = recorder.archive()
    record_calls(recorder)
    folders = [manifest["folder"] for manifest in recorder.manifests(CALLS)]
    assert archive.stop() == 0
    (folders[0] / "manifest.json").write_text("{}")
    (folders[1] / "manifest.json").unlink()
    stuck = recorder.data / "spool" / "stuck" / f"{folders[2].name}"
    stuck.mkdir()
    (recorder.data / "earshot.sqlite").rename(recorder.folder / "lost.sqlite")
    reindexed = recorder.start("reindex")
    assert ended(reindexed) == 1
    assert reindexed.log_file.read_text() == f"Recordings in the database: {CALLS - 2}. Calls without one: 0.\n"
    unreadable, told = reindexed.errors().splitlines()
    assert unreadable.startswith(f"{folders[0] / 'manifest.json'} cannot be read: ")
    assert told == "Manifests that cannot be read: 1. Their audio is untouched."


def test_a_database_that_is_away_is_said_in_a_sentence(recorder: Recorder) -> None:
    for words in (("reindex",), ("migrate",)):
        program = recorder.start(*words, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert ended(program) == 1
        assert program.errors().startswith("The database does not answer (")
        assert program.errors().endswith("Run this again once the database is there: nothing is done twice.\n")
        assert program.log_file.read_text() == ""


def test_migrate_says_what_it_did(recorder: Recorder, empty_database_url: str) -> None:
    told = []
    for _ in range(2):
        program = recorder.start("migrate", DATABASE_URL=empty_database_url)
        assert ended(program) == 0, program.errors()
        told.append(program.log_file.read_text().splitlines())
    first, second = told
    assert first[0].startswith("Applied 0001")
    assert first[-1] == "The database is up to date."
    assert second == ["The database was up to date already."]
