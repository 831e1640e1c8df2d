"""Engine and archive are killed again and again (kill -9) while calls pause and resume: each event is told once.

Calls that run are compared with their journals, event by event; finished ones with their manifests, column by column.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from schema.values import CallStage
from tests.end_to_end import rows
from tests.end_to_end.audio import BEFORE_HZ, marker
from tests.end_to_end.phone import Call, PhoneSystem
from tests.end_to_end.recorder import Recorder, until

VOICE = marker(BEFORE_HZ, 0.5)
ROUNDS = 3
CALLS = 3
STEPS = 14
# An archive that has just started is killed after so long at most: it has begun to tell by then, and is not done.
LONGEST_LIFE_S = 0.6
LONGEST_STEP_S = 0.15


@contextmanager
def archives_killed(recorder: Recorder, url: str) -> Iterator[list[int]]:
    """One archive after the other, each killed at some moment, until the block is left; gives their exit statuses."""
    stop, killed = threading.Event(), []

    def kill_one_after_the_other() -> None:
        while not stop.is_set():
            archive = recorder.archive(DATABASE_URL=url)
            archive.line("archive_started")
            stop.wait(random.uniform(0, LONGEST_LIFE_S))
            archive.kill()
            killed.append(archive.process.returncode)

    killing = threading.Thread(target=kill_one_after_the_other)
    killing.start()
    try:
        yield killed
    finally:
        stop.set()
        killing.join()


def change(call: Call, held: set[str]) -> None:
    """The phone system holds a call, or takes it off hold."""
    form = "active" if call.call_id in held else "inactive"
    assert call.offer(form).status == 200
    held.symmetric_difference_update({call.call_id})


def running_as_told(recorder: Recorder, url: str) -> bool:
    """Whether the database tells of each running call just what its journal does."""
    views = rows.views(url)
    for path in recorder.live.glob("*/journal"):
        call_id = UUID(path.parent.name)
        view = views.get(call_id)
        if view is None or view.stage != CallStage.ACTIVE or view.record != rows.projected(url, path):
            return False
        if rows.events(url, call_id) != rows.in_journal(path):
            return False
    return True


def finished_as_recorded(recorder: Recorder, url: str, count: int) -> bool:
    views = rows.views(url)
    return len(views) == count and all(view.stage == CallStage.FINISHED for view in views.values())


def test_every_event_is_told_once_and_in_order_whatever_is_killed(recorder: Recorder, database_url: str) -> None:
    for number in range(ROUNDS):
        engine = recorder.engine()
        with PhoneSystem(engine.sip) as phones:
            calls = [phones.call() for _ in range(CALLS)]
            held: set[str] = set()
            with archives_killed(recorder, database_url) as killed:
                for _ in range(STEPS):
                    change(random.choice(calls), held)
                    calls[0].say(VOICE)
                    time.sleep(random.uniform(0, LONGEST_STEP_S))
                until(lambda killed=killed: killed, "an archive to be killed")
            archive = recorder.archive(DATABASE_URL=database_url)
            until(lambda: running_as_told(recorder, database_url), "the running calls to be told", poll_s=0.2)
            calls[1].bye()
            calls[2].ask_offer("active" if calls[2].call_id in held else "inactive")
            time.sleep(random.uniform(0, 0.01))
            engine.kill()
            archive.kill()
        assert number == 0 or len(rows.views(database_url)) > CALLS

    engine = recorder.engine()
    recorder.archive(DATABASE_URL=database_url)
    recorder.manifests(ROUNDS * CALLS)
    until(lambda: finished_as_recorded(recorder, database_url, ROUNDS * CALLS), "all calls to be finished", poll_s=0.2)
    expected = rows.recorded(database_url, recorder)
    assert {call_id: view.record for call_id, view in rows.views(database_url).items()} == expected
    assert sorted(record.end for record in expected.values()) == sorted(
        ["interrupted", "interrupted", "normal"] * ROUNDS
    )
    assert sum(len(record.pauses) for record in expected.values()) >= ROUNDS * STEPS // 2 - ROUNDS * CALLS
    tables = rows.dump(database_url)
    assert tables["call_event"] == []
    assert len(tables["part"]) == len(tables["interaction"]) == ROUNDS * CALLS
    outbox = sorted(path.name for path in (recorder.data / "spool" / "outbox").iterdir())
    assert len(outbox) <= 1 + ROUNDS
    assert not any((recorder.data / "spool" / "unlisted").iterdir())
