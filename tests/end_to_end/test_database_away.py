"""The database is away for a while: recording, pausing and finishing go on, and it is told everything afterwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schema.values import CallStage
from tests.databases import PostgresServer
from tests.end_to_end import rows
from tests.end_to_end.audio import BEFORE_HZ, marker
from tests.end_to_end.phone import PhoneSystem
from tests.end_to_end.recorder import Recorder, until
from tests.end_to_end.test_clerk_killed import finished_as_recorded, running_as_told

VOICE = marker(BEFORE_HZ, 0.5)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process has SQLite's file for itself."""
    other = sqlite3.connect(Path("/", url.removeprefix("sqlite:///")), isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@pytest.mark.parametrize(
    ("how", "archive_killed"),
    [("locked", False), ("locked", True), ("stopped", False), ("stopped", True), ("silent", False)],
)
def test_nothing_is_lost_while_the_database_is_away(
    recorder: Recorder, request: pytest.FixtureRequest, how: str, archive_killed: bool, tmp_path: Path
) -> None:
    if how == "locked":
        url = f"sqlite:///{tmp_path / 'calls.sqlite'}"
        away = locked(url)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.make()
        away = server.away() if how == "stopped" else server.silent()
    engine = recorder.engine()
    archive = recorder.archive(DATABASE_URL=url)
    with PhoneSystem(engine.sip) as phones:
        before, ends, broken_off = phones.call(), phones.call(), phones.call()
        until(lambda: running_as_told(recorder, url), "the calls to be told", poll_s=0.2)
        with away:
            if archive_killed:
                archive.kill()
                archive = recorder.archive(DATABASE_URL=url)
            during = phones.call()
            for call in (before, during):
                assert call.offer("inactive").status == 200
                assert call.offer("active").status == 200
            assert ends.offer("inactive").status == 200
            ends.talk(VOICE, 0.2)
            ends.bye()
            during.talk(VOICE, 0.2)
            manifests = recorder.manifests(1)
            assert len(manifests[0]["pauses"]) == 1
            assert [path.name for path in (recorder.data / "spool" / "unlisted").iterdir()] == [manifests[0]["call_id"]]
            archive.line("database_away")
            assert archive.alive
            assert len(archive.lines("database_away")) == 1
        until(lambda: running_as_told(recorder, url), "the running calls to be told", poll_s=0.2)
        for call in (before, during, broken_off):
            call.bye()
    recorder.manifests(4)
    until(lambda: finished_as_recorded(recorder, url, 4), "all calls to be finished", poll_s=0.2)
    assert {call_id: view.record for call_id, view in rows.views(url).items()} == rows.recorded(url, recorder)
    assert all(view.stage == CallStage.FINISHED for view in rows.views(url).values())
    assert archive.lines("database_back")
