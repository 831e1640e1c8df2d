"""The archive as a process: real processes, real kills. Each test has a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from actors.spool import Spool
from archive.finish import Step
from archive.manifest import read_manifest
from archive.service import FIRST_RETRY_S, LAST_RETRY_S, retry_after_s
from engine.keys import archive_private_key
from tests.archive.calls import CALL_ID, two_tones

NAME = str(CALL_ID)
KEY = bytes(range(32))  # of `tests.archive.calls`
OTHER_KEY = bytes(32)
ROOT = Path(__file__).parents[2]
# Generous: a shared machine may stand still for a while. Nothing waits this long unless it failed.
PATIENCE_S = 60.0

# An archive as `earshot archive` starts one; after a step it may kill itself, fail, or hold until a file `go` is there.
ARCHIVE = """
import os, signal, sys, time
from pathlib import Path
import structlog
from archive.service import ArchiveConfig, run
from engine.keys import archive_private_key, audit_signing_key

structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
folder, step, what = sys.argv[1:4]
failed = []

def after_step(passed):
    if passed == step and what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if passed == step and what == "fail" and not failed:
        failed.append(1)
        raise OSError(28, "No space left on device")
    if passed == step and what == "hold":
        structlog.get_logger().info("held")
        while not Path(folder, "go").exists():
            time.sleep(0.01)

key = archive_private_key(bytes.fromhex(sys.argv[5]))
url = f"sqlite:///{folder}/earshot.sqlite"
grace_s = float(sys.argv[4])
signing = audit_signing_key(bytes(32))
config = ArchiveConfig(
    Path(folder), key, url, bytes(32), "node-1", signing, audio_format="flac", threads=2, grace_s=grace_s
)
run(config, after_step)
"""


class Process:
    """An archive's process, and the log lines that it has written so far."""

    def __init__(self, data_dir: Path, step: str, what: str, grace_s: float, key: bytes) -> None:
        self.log: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", ARCHIVE, str(data_dir), step, what, str(grace_s), key.hex()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, event: str) -> dict[str, object]:
        """The next log line of this event."""
        for line in self.process.stdout:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"The archive ended without {event}: {self.log} {self.process.stderr.read()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def archive(
    data_dir: Path, step: str = "", what: str = "", grace_s: float = 20.0, key: bytes = KEY
) -> Iterator[Process]:
    process = Process(data_dir, step, what, grace_s, key)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait(PATIENCE_S)
        process.process.stdout.close()
        process.process.stderr.close()


def manifests(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "recordings").rglob("manifest.json"))


def test_calls_that_wait_and_calls_that_come_are_finished(tmp_path):
    two_tones(2).finished(tmp_path)
    with archive(tmp_path) as process:
        line = process.wait_for("call_finished")
        assert (line["call"], line["end"], line["seconds"], line["backlog"]) == (NAME, "normal", 2.01, 0)
        later = two_tones(1)
        later.call_id = UUID(int=7)
        later.finished(tmp_path / "aside")
        os.rename(
            tmp_path / "aside/spool/finished" / str(later.call_id), tmp_path / "spool/finished" / str(later.call_id)
        )
        assert process.wait_for("call_finished")["call"] == str(later.call_id)
        assert process.stop() == 0
    assert len(manifests(tmp_path)) == 2
    assert list((tmp_path / "spool/finished").iterdir()) == []


@pytest.mark.parametrize("step", list(Step)[:-1])
def test_kill_9_after_each_step_loses_nothing_and_makes_nothing_twice(tmp_path, step):
    two_tones(2).finished(tmp_path)
    with archive(tmp_path, step, "kill") as killed:
        assert killed.process.wait(PATIENCE_S) == -signal.SIGKILL
    with archive(tmp_path) as process:
        if step == Step.DELETED:
            process.wait_for("archive_started")
        else:
            process.wait_for("call_finished")
        assert process.stop() == 0
    (manifest,) = manifests(tmp_path)
    recording = read_manifest(manifest.read_bytes())
    assert recording.audio.duration_s == pytest.approx(2.01)
    assert (manifest.parent / recording.audio.file).stat().st_size == recording.audio.bytes
    assert [path.name for path in manifest.parent.parent.iterdir()] == [NAME]
    assert list((tmp_path / "spool/finished").iterdir()) == []


def test_kill_9_after_a_call_was_set_aside(tmp_path):
    (two_tones(1).finished(tmp_path) / "journal").write_bytes(b"no journal")
    with archive(tmp_path, Step.STUCK, "kill") as killed:
        assert killed.process.wait(PATIENCE_S) == -signal.SIGKILL
    with archive(tmp_path) as process:
        process.wait_for("archive_started")
        assert process.stop() == 0
    assert [path.name for path in (tmp_path / "spool/stuck").iterdir()] == [NAME]


def test_a_stuck_call_is_told_and_the_next_one_finished(tmp_path):
    (two_tones(1).finished(tmp_path) / "journal").write_bytes(b"no journal")
    good = two_tones(1)
    good.call_id = UUID(int=8)
    good.finished(tmp_path)
    with archive(tmp_path) as process:
        process.wait_for("call_finished")
        process.stop()
        process.log += [json.loads(line) for line in process.process.stdout]
        (line,) = [line for line in process.log if line["event"] == "call_stuck"]
    assert line["call"] == NAME
    assert "ends before a journal's header" in line["reason"]


def test_a_failure_of_ours_is_tried_again_and_holds_nobody_up(tmp_path):
    two_tones(1).finished(tmp_path)
    with archive(tmp_path, Step.SURVEYED, "fail") as process:
        line = process.wait_for("call_failed")
        assert (line["failures"], line["again_s"]) == (1, FIRST_RETRY_S)
        assert "No space left" in line["exception"]
        other = two_tones(1)
        other.call_id = UUID(int=9)
        other.finished(tmp_path)
        assert process.wait_for("call_finished")["call"] == str(other.call_id)
        assert process.wait_for("call_finished")["call"] == NAME
        assert process.stop() == 0
    assert len(manifests(tmp_path)) == 2


def test_a_call_of_another_key_waits_and_is_finished_once_the_key_is_right(tmp_path):
    two_tones(1).finished(tmp_path, archive_private_key(OTHER_KEY))
    good = two_tones(1)
    good.call_id = UUID(int=11)
    good.finished(tmp_path)
    with archive(tmp_path) as process:
        line = process.wait_for("call_failed")
        assert (line["call"], line["failures"], line["again_s"]) == (NAME, 1, FIRST_RETRY_S)
        assert line["reason"].startswith("This file was sealed for another master key. Set EARSHOT_MASTER_KEY_FILE")
        assert "exception" not in line
        assert process.wait_for("call_finished")["call"] == str(good.call_id)
        assert process.wait_for("call_failed")["failures"] == 2
        assert process.stop() == 0
    assert list((tmp_path / "spool/stuck").iterdir()) == []
    with archive(tmp_path, key=OTHER_KEY) as process:
        assert process.wait_for("call_finished")["call"] == NAME
        assert process.stop() == 0
    assert len(manifests(tmp_path)) == 2


def test_a_damaged_journal_is_told_and_what_is_left_of_it_finished(tmp_path):
    journal = two_tones(3).finished(tmp_path) / "journal"
    data = bytearray(journal.read_bytes())
    data[len(data) // 3] ^= 1
    data[-9000:] = bytes(9000)
    journal.write_bytes(data)
    with archive(tmp_path) as process:
        process.wait_for("call_finished")
        assert process.stop() == 0
    tail, block = [line for line in process.log if line["event"] == "journal_damaged"]
    assert (tail["call"], block["call"]) == (NAME, NAME)
    assert "bytes could not be opened" in tail["reason"]
    assert block["reason"] == "Damaged blocks of the journal, which could not be opened: 1."
    (manifest,) = manifests(tmp_path)
    assert {tail["reason"], block["reason"]} <= set(read_manifest(manifest.read_bytes()).warnings)


def test_retries_grow_apart_up_to_ten_minutes():
    waits = [retry_after_s(failures) for failures in range(1, 50)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == LAST_RETRY_S
    assert retry_after_s(100_000) == LAST_RETRY_S


def test_a_second_archive_says_who_holds_the_spool_and_touches_nothing(tmp_path):
    with archive(tmp_path) as first:
        first.wait_for("archive_started")
        with archive(tmp_path) as second:
            status = second.process.wait(PATIENCE_S)
            complaint = second.process.stderr.read()
        assert status == 1
        assert f"held by the archive, process {first.process.pid}" in complaint
        two_tones(1).finished(tmp_path)
        first.wait_for("call_finished")
        assert first.stop() == 0
    assert len(manifests(tmp_path)) == 1


@pytest.mark.parametrize(("number", "grace_s"), [(signal.SIGINT, 600.0), (signal.SIGTERM, 0.0)])
def test_a_stop_abandons_the_call_in_hand_and_the_next_start_finishes_it(tmp_path, number, grace_s):
    two_tones(90).finished(tmp_path)
    with archive(tmp_path, Step.SURVEYED, "hold", grace_s) as process:
        process.wait_for("held")
        process.process.send_signal(number)
        assert process.wait_for("archive_abandoning")["in_hand"] == 1
        (tmp_path / "go").touch()
        process.wait_for("call_abandoned")
        assert process.process.wait(PATIENCE_S) == 0
    assert manifests(tmp_path) == []
    assert (tmp_path / "spool/finished" / NAME / "journal").exists()
    with archive(tmp_path) as process:
        process.wait_for("call_finished")
        assert process.stop() == 0
    assert len(manifests(tmp_path)) == 1


def test_sigterm_lets_the_call_in_hand_be_finished_and_begins_no_other(tmp_path):
    two_tones(90).finished(tmp_path)
    with archive(tmp_path, Step.SURVEYED, "hold", 600.0) as process:
        process.wait_for("held")
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("archive_stopping")
        later = two_tones(1)
        later.call_id = UUID(int=10)
        left = later.finished(tmp_path)
        (tmp_path / "go").touch()
        assert process.wait_for("call_finished")["call"] == NAME
        assert process.process.wait(PATIENCE_S) == 0
    assert len(manifests(tmp_path)) == 1
    assert (left / "journal").exists()


def test_a_second_signal_abandons_what_the_first_let_go_on(tmp_path):
    two_tones(90).finished(tmp_path)
    with archive(tmp_path, Step.SURVEYED, "hold", 600.0) as process:
        process.wait_for("held")
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("archive_stopping")
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("archive_abandoning")
        (tmp_path / "go").touch()
        process.wait_for("call_abandoned")
        assert process.process.wait(PATIENCE_S) == 0
    assert manifests(tmp_path) == []


def test_finishing_runs_at_low_priority_and_the_rest_does_not(tmp_path):
    two_tones(1).finished(tmp_path)
    with archive(tmp_path, Step.SURVEYED, "hold") as process:
        process.wait_for("held")
        tasks = Path(f"/proc/{process.process.pid}/task")
        # Field 19 of proc(5)'s stat is the nice value; the name in field 2 may hold blanks.
        nice = {
            int(task.name): int((task / "stat").read_text().rsplit(")", 1)[1].split()[16]) for task in tasks.iterdir()
        }
        assert nice[process.process.pid] == 0
        assert 15 in nice.values()
        (tmp_path / "go").touch()
        process.wait_for("call_finished")
        assert process.stop() == 0


def test_the_spool_is_made_where_it_is_missing(tmp_path):
    with archive(tmp_path / "new") as process:
        process.wait_for("archive_started")
        assert process.stop() == 0
    assert Spool.below(tmp_path / "new").finished.is_dir()
