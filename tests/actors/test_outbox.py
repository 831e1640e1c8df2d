"""The outbox: segments in a rising order, sealed, and no more of them than the disk is meant to give."""

import errno
import json
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from actors import outbox as outbox_module
from actors.outbox import MOST_SEGMENTS, Outbox
from engine.events import Instant
from engine.journal import JournalReader, JournalWriter
from engine.keys import public_bytes
from tests.actors.workshop import PRIVATE

CALL = UUID(int=9)
PUBLIC = public_bytes(PRIVATE)


def append(outbox: Outbox, number: int) -> None:
    outbox.append(CALL, number, b'{"event":"resumed"}', Instant(number, number))


def segments(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def numbers(folder: Path) -> list[int]:
    """The events' numbers, of all segments in their order."""
    found = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found += [json.loads(block.payload)["number"] for block in JournalReader(file, PRIVATE)]
    return found


def test_a_new_segment_begins_at_each_start_and_at_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "SEGMENT_BYTES", 500)
    for start in range(2):
        outbox = Outbox(tmp_path, PUBLIC)
        for number in range(1, 6):
            append(outbox, 10 * start + number)
        outbox.close()
    assert segments(tmp_path) == [1, 2, 3, 4]
    assert numbers(tmp_path) == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "SEGMENT_BYTES", 1)  # each event begins a segment
    outbox = Outbox(tmp_path, PUBLIC)
    with structlog.testing.capture_logs() as logged:
        for number in range(1, MOST_SEGMENTS + 3):
            append(outbox, number)
    outbox.close()
    assert segments(tmp_path) == list(range(3, MOST_SEGMENTS + 3))
    assert numbers(tmp_path) == list(range(3, MOST_SEGMENTS + 3))
    assert outbox.unwritten == 0
    assert [(line["log_level"], line["segments"]) for line in logged] == [("warning", 1), ("warning", 1)]


def test_what_earlier_releases_left_goes_at_once(tmp_path: Path) -> None:
    for name in range(1, 201):
        (tmp_path / f"{name:012d}").touch()
    outbox = Outbox(tmp_path, PUBLIC)
    with structlog.testing.capture_logs() as logged:
        append(outbox, 1)
    outbox.close()
    assert segments(tmp_path) == list(range(202 - MOST_SEGMENTS, 202))
    assert [line["segments"] for line in logged] == [200 + 1 - MOST_SEGMENTS]


def test_a_full_disk_costs_the_fast_path_and_no_more_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in range(1, MOST_SEGMENTS + 1):
        (tmp_path / f"{name:012d}").touch()
    outbox = Outbox(tmp_path, PUBLIC)

    def refuse(self: JournalWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(JournalWriter, "_put", refuse)
        for number in range(1, 4):
            append(outbox, number)
    assert outbox.unwritten == 3
    assert segments(tmp_path) == list(range(2, MOST_SEGMENTS + 1))
    append(outbox, 4)
    outbox.close()
    assert len(segments(tmp_path)) == MOST_SEGMENTS
