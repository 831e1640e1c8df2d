"""The outbox as the clerk reads it: in order, while it grows, over segments that are cut, damaged or gone."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from actors import outbox as outbox_module
from actors.outbox import Outbox
from archive.segments import Batch, Segments
from engine.events import Instant
from engine.keys import archive_private_key, public_bytes
from schema.values import Offset

PRIVATE = archive_private_key(b"s" * 32)
OTHER = archive_private_key(b"o" * 32)
PUBLIC = public_bytes(PRIVATE)
CALL = UUID(int=9)


@pytest.fixture(autouse=True)
def logged() -> list[dict]:
    with structlog.testing.capture_logs() as logged:
        yield logged


Reading = Callable[..., Segments]


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    """Opens the outbox at an offset; closes what was opened."""
    opened: list[Segments] = []

    def begin(*offset: int) -> Segments:
        opened.append(Segments(tmp_path, PRIVATE, Offset(*offset)))
        return opened[-1]

    yield begin
    for segments in opened:
        segments.close()


def append(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        outbox.append(CALL, number, b'{"event":"resumed","n":%d}' % number, Instant(number, number))


def write(folder: Path, *segments: tuple[int, ...], key: bytes = PUBLIC) -> None:
    """One segment for each tuple of event numbers."""
    for numbers in segments:
        outbox = Outbox(folder, key)
        append(outbox, *numbers)
        outbox.close()


def drain(segments: Segments, most: int = 1000) -> list[Batch]:
    batches = []
    while (batch := segments.read(most)) is not None:
        batches.append(batch)
    return batches


def numbers(batches: list[Batch]) -> list[int]:
    return [event.number for batch in batches for event in batch.events]


def test_events_come_in_order_with_the_offset_behind_them(tmp_path: Path, reading: Reading) -> None:
    write(tmp_path, (1, 2, 3), (4, 5))
    segments = reading()
    first, second, third = drain(segments, 2)
    assert [first.offset, second.offset, third.offset] == [Offset(1, 3), Offset(1, 4), Offset(2, 3)]
    assert numbers([first, second, third]) == [1, 2, 3, 4, 5]
    assert not any(batch.cut for batch in (first, second, third))
    event = first.events[0]
    assert (event.call_id, event.number, json.loads(event.data)) == (CALL, 1, {"event": "resumed", "n": 1})


@pytest.mark.parametrize(("segment", "block"), [(1, 1), (1, 2), (1, 4), (2, 0), (2, 2), (2, 3)])
def test_reading_goes_on_behind_any_offset(tmp_path: Path, reading: Reading, segment: int, block: int) -> None:
    write(tmp_path, (1, 2, 3), (4, 5))
    told = drain(reading(segment, block))
    assert numbers(told) == list(range(3 * (segment - 1) + max(1, block), 6))
    assert not any(batch.cut for batch in told)


def test_a_growing_segment_is_read_as_it_grows(tmp_path: Path, reading: Reading) -> None:
    outbox = Outbox(tmp_path, PUBLIC)
    segments = reading()
    assert segments.read() is None
    for number in range(1, 4):
        append(outbox, number)
        assert numbers(drain(segments)) == [number]
        assert segments.read() is None
    outbox.close()


def test_a_torn_tail_means_not_yet(tmp_path: Path, reading: Reading) -> None:
    write(tmp_path, (1, 2))
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    segments = reading()
    assert numbers(drain(segments)) == [1]
    with path.open("ab") as file:
        file.write(content[-5:])
    assert numbers(drain(segments)) == [2]


def test_a_tail_that_stays_torn_is_passed_once_a_newer_segment_is_there(tmp_path: Path, reading: Reading) -> None:
    write(tmp_path, (1, 2))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    segments = reading()
    assert numbers(drain(segments)) == [1]
    write(tmp_path, (3,))
    assert numbers(drain(segments)) == [3]


@pytest.mark.parametrize("cut_to", [0, 10, 60])
def test_a_segment_that_is_just_begun_is_waited_for(
    tmp_path: Path, reading: Reading, cut_to: int, logged: list[dict]
) -> None:
    write(tmp_path, (1,))
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    path.write_bytes(content[:cut_to])
    segments = reading()
    assert segments.read() is None
    path.write_bytes(content)
    assert numbers(drain(segments)) == [1]
    assert logged == []


def test_a_segment_of_another_key_is_told_once_and_passed(tmp_path: Path, reading: Reading, logged: list[dict]) -> None:
    write(tmp_path, (1,))
    write(tmp_path, (2,), key=public_bytes(OTHER))
    segments = reading()
    assert numbers(drain(segments)) == [1]
    assert segments.read() is None
    assert segments.read() is None
    write(tmp_path, (3,))
    (batch,) = drain(segments)
    assert numbers([batch]) == [3]
    assert batch.cut
    (line,) = logged
    assert (line["event"], line["segment"]) == ("outbox segment not read", 2)
    assert "another master key" in line["reason"]


def test_a_damaged_segment_is_passed_and_what_is_left_of_one_is_read(
    tmp_path: Path, reading: Reading, logged: list[dict]
) -> None:
    write(tmp_path, (1,), (2, 3, 4), (5,))
    first, second, _ = sorted(tmp_path.iterdir())
    first.write_bytes(b"no outbox" * 20)
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1  # in the second of three blocks
    second.write_bytes(content)
    batches = drain(reading())
    assert numbers(batches) == [2, 4, 5]
    assert [batch.cut for batch in batches] == [True, False]
    assert [line["segment"] for line in logged] == [1]


def test_what_a_full_disk_kept_out_is_a_cut(tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, PUBLIC)
    append(outbox, 1)
    segments = reading()
    assert [batch.cut for batch in drain(segments)] == [False]
    with monkeypatch.context() as patched:
        patched.setattr("engine.journal._write", lambda *_: -1)
        patched.setattr(os, "write", lambda *_: 0)
        append(outbox, 2)
    assert outbox.unwritten == 1
    append(outbox, 3)
    outbox.close()
    (batch,) = drain(segments)
    assert (numbers([batch]), batch.cut) == ([3], True)


def test_segments_that_the_engine_deleted_unread_are_a_cut(tmp_path: Path, reading: Reading) -> None:
    write(tmp_path, (1,), (2,), (3,))
    first, second, _ = sorted(tmp_path.iterdir())
    first.unlink()
    (batch, last) = drain(reading())
    assert (numbers([batch]), batch.cut, last.cut) == ([2], True, False)
    second.unlink()
    (batch,) = drain(reading(1, 2))
    assert (numbers([batch]), batch.cut) == ([3], True)


def test_an_outbox_that_was_removed_begins_anew(tmp_path: Path, reading: Reading, logged: list[dict]) -> None:
    write(tmp_path, (1,), (2,))
    segments = reading(7, 3)
    batches = drain(segments)
    assert numbers(batches) == [1, 2]
    assert batches[0].cut
    assert [line["event"] for line in logged] == ["outbox began anew"]


def test_an_empty_outbox_is_no_new_one(tmp_path: Path, reading: Reading, logged: list[dict]) -> None:
    assert reading(7, 3).read() is None
    assert logged == []


def test_only_what_was_read_wholly_is_deleted(
    tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "SEGMENT_BYTES", 1)  # each event begins a segment
    outbox = Outbox(tmp_path, PUBLIC)
    append(outbox, 1, 2, 3)
    segments = reading()
    assert numbers([segments.read(), segments.read()]) == [1, 2]
    segments.delete_read()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000002", "000000000003"]
    assert numbers(drain(segments)) == [3]
    segments.delete_read()
    assert [path.name for path in tmp_path.iterdir()] == ["000000000003"]
    append(outbox, 4)
    outbox.close()
    assert numbers(drain(segments)) == [4]


def test_a_block_that_is_no_event_of_a_call_is_told_and_passed(
    tmp_path: Path, reading: Reading, logged: list[dict]
) -> None:
    outbox = Outbox(tmp_path, PUBLIC)
    append(outbox, 1)
    outbox._current().append_event(2, b'{"something": "else"}', 1, 1)
    append(outbox, 3)
    outbox.close()
    (batch,) = drain(reading())
    assert (numbers([batch]), batch.cut, batch.offset) == ([1, 3], False, Offset(1, 4))
    assert [(line["event"], line["block"]) for line in logged] == [("outbox event not read", 2)]


def test_what_is_given_out_was_synced_before(tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, (1,))
    synced = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    segments = reading()
    assert segments.read() is not None
    assert synced == [str(tmp_path / "000000000001")]
    assert segments.read() is None
    assert len(synced) == 1
