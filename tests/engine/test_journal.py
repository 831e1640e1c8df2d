"""The journal on disk: what was appended is read, a torn tail is cut, damage is skipped, a full disk leaves no mark."""

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from engine import journal as journal_module
from engine.journal import ROW, Block, JournalError, JournalReader, JournalWriter, Kind, read_rows
from engine.keys import KeyRefused, archive_private_key, public_bytes

CALL = UUID(int=7)
PRIVATE = archive_private_key(b"m" * 32)
PUBLIC = public_bytes(PRIVATE)


@dataclass(frozen=True, slots=True)
class LongJournal:
    """A journal's bytes, and where each block begins and ends."""

    content: bytes
    spans: list[tuple[int, int]]


def write(path: Path, blocks: list[tuple[Kind, list[bytes]]]) -> None:
    writer = JournalWriter(str(path), CALL, PUBLIC)
    for number, (kind, items) in enumerate(blocks, 1):
        if kind is Kind.EVENT:
            writer.append_event(number, items[0], 10 * number, number)
        else:
            headers = np.zeros(len(items), ROW)
            headers["length"] = [len(item) for item in items]
            headers["arrival_s"] = range(len(items))
            writer.append_packets(len(items), headers.tobytes(), b"".join(items), 10 * number, number)
    writer.close()


def read(path: Path) -> tuple[list[Block], JournalReader]:
    with path.open("rb") as file:
        reader = JournalReader(file, PRIVATE)
        return list(reader), reader


packets = st.lists(st.binary(max_size=300), min_size=1, max_size=8)
blocks = st.lists(
    st.one_of(
        st.tuples(st.just(Kind.EVENT), st.lists(st.binary(max_size=50), min_size=1, max_size=1)),
        st.tuples(st.just(Kind.PACKETS), packets),
    ),
    max_size=6,
)


@given(blocks)
def test_what_was_appended_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[Kind, list[bytes]]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, written)
    found, reader = read(path)
    assert reader.owner == CALL
    assert reader.torn_bytes == 0
    assert [block.kind for block in found] == [kind for kind, _ in written]
    for block, (kind, items) in zip(found, written, strict=True):
        assert (block.realtime_ns, block.monotonic_ns) == (10 * block.number, block.number)
        if kind is Kind.EVENT:
            assert block.payload == items[0]
            assert block.event_number == block.number
        else:
            rows = read_rows(block)
            assert [rows.packet(row) for row in range(block.rows)] == items
            assert rows.arrivals_ns().tolist() == [row * 1_000_000_000 for row in range(block.rows)]


@given(st.integers(0, 400))
def test_a_tail_torn_anywhere_leaves_the_whole_blocks(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, [(Kind.EVENT, [bytes([n]) * 40]) for n in range(5)])
    whole = path.stat().st_size
    head = whole - 5 * (8 + 24 + 40 + 16)
    with path.open("r+b") as file:
        file.truncate(max(head, whole - cut))
    found, reader = read(path)
    kept = max(0, whole - head - cut) // 88
    assert [block.payload for block in found] == [bytes([n]) * 40 for n in range(kept)]
    assert reader.torn_bytes == max(head, whole - cut) - head - kept * 88


def test_a_damaged_block_is_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [bytes([n]) * 40]) for n in range(5)])
    data = bytearray(path.read_bytes())
    data[-88 * 3 + 20] ^= 1
    path.write_bytes(data)
    found, reader = read(path)
    assert [block.payload[0] for block in found] == [0, 1, 3, 4]
    assert (reader.damaged_blocks, reader.damaged_bytes, reader.torn_bytes) == (1, 88, 0)


@pytest.fixture(scope="module")
def long_journal(tmp_path_factory: pytest.TempPathFactory) -> LongJournal:
    """Thirty blocks of 50 to some thousand bytes."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    sizes = [(7 * number * number) % 1400 for number in range(30)]
    written = [(Kind.PACKETS if size % 3 else Kind.EVENT, [bytes([size % 256]) * size] * 2) for size in sizes]
    write(path, written)
    with path.open("rb") as file:
        reader = JournalReader(file, PRIVATE)
        starts, end = [file.tell()], path.stat().st_size
        for block in reader:
            starts.append(starts[-1] + 48 + len(block.payload))
    assert starts.pop() == end
    return LongJournal(path.read_bytes(), list(zip(starts, [*starts[1:], end], strict=True)))


# Noise, zeros, and what looks like heads of blocks: the last are tried and do not open.
junk = st.one_of(
    st.binary(min_size=1, max_size=300),
    st.builds(bytes, st.integers(1, 5000)),
    st.builds(lambda seed, size: Random(seed).randbytes(size), st.integers(), st.integers(1, 5000)),
    st.lists(st.tuples(st.integers(40, 3000), st.integers(1, 40)), min_size=1, max_size=600).map(
        lambda heads: b"".join(struct.pack("<II", *head) for head in heads)
    ),
)


@given(st.data(), junk)
def test_every_block_that_was_not_touched_is_read(long_journal: LongJournal, data: st.DataObject, over: bytes) -> None:
    whole, spans = long_journal.content, long_journal.spans
    place = data.draw(st.integers(spans[0][0], len(whole) - 1))
    damaged = (whole[:place] + over + whole[place + len(over) :])[: len(whole)]
    reader = JournalReader(io.BytesIO(damaged), PRIVATE)
    found = [block.number for block in reader]
    untouched = [number for number, (start, end) in enumerate(spans, 1) if damaged[start:end] == whole[start:end]]
    assert found == untouched
    end = spans[untouched[-1] - 1][1] if untouched else spans[0][0]
    assert reader.torn_bytes == len(whole) - end
    assert reader.damaged_bytes == end - spans[0][0] - sum(spans[n - 1][1] - spans[n - 1][0] for n in untouched)
    assert reader.damaged_blocks == (untouched[-1] - len(untouched) if untouched else 0)


@given(st.data(), junk)
def test_bytes_that_are_lost_or_new_cost_no_block_behind_them(
    long_journal: LongJournal, data: st.DataObject, new: bytes
) -> None:
    whole, spans = long_journal.content, long_journal.spans
    place = data.draw(st.integers(spans[0][0], len(whole)))
    behind = place + data.draw(st.integers(0, 5000))
    reader = JournalReader(io.BytesIO(whole[:place] + new + whole[behind:]), PRIVATE)
    found = [block.number for block in reader]
    assert found == sorted(found)
    assert {number for number, (start, end) in enumerate(spans, 1) if end <= place or start >= behind} <= set(found)


def test_a_block_is_found_wherever_the_windows_of_the_search_end(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"first"]), (Kind.EVENT, [b"last"])])
    whole = path.read_bytes()
    for window_end in (4096, 4096 + 8192):
        for damage in range(window_end - 60, window_end + 10):
            reader = JournalReader(io.BytesIO(whole[:-52] + bytes(damage) + whole[-52:]), PRIVATE)
            assert [block.payload for block in reader] == [b"first", b"last"]
            assert (reader.damaged_bytes, reader.torn_bytes) == (damage, 0)


def test_numbers_that_were_used_up_by_a_full_disk_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL, PUBLIC)
    writer.append_event(1, b"before", 1, 1)
    writer._number += 5_000_000
    writer.append_event(2, b"after", 2, 2)
    writer.close()
    found, reader = read(path)
    assert [block.payload for block in found] == [b"before", b"after"]
    assert (reader.damaged_blocks, reader.damaged_bytes, reader.torn_bytes) == (0, 0, 0)


class Counting:
    """Stands for the cipher, and counts what it is given."""

    def __init__(self, cipher: AESGCM) -> None:
        self._cipher = cipher
        self.tries = 0
        self.bytes = 0

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        self.tries += 1
        self.bytes += len(data)
        return self._cipher.decrypt(nonce, data, associated_data)


@pytest.mark.parametrize("length", [40, 100_000, 4 * 2**20])
def test_a_file_made_of_heads_is_tried_in_bounds(tmp_path: Path, length: int) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"first"]), (Kind.EVENT, [b"last"])])
    whole = path.read_bytes()
    filling = 8 * 2**20
    crafted = whole[:-52] + struct.pack("<II", length, 2) * (filling // 8) + bytes(300_000) + whole[-52:]
    reader = JournalReader(io.BytesIO(crafted), PRIVATE)
    reader._cipher = counting = Counting(reader._cipher)  # type: ignore[assignment]  # has what the reader calls
    assert [block.payload for block in reader] == [b"first", b"last"]
    assert reader.damaged_bytes == filling + 300_000
    bound = 64 * 2**20 + 32 * (filling + 2**20)
    assert bound // 4 < counting.bytes + 16_384 * counting.tries <= bound


def test_zeros_are_searched_without_a_try(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"first"])])
    reader = JournalReader(io.BytesIO(path.read_bytes() + bytes(2**20)), PRIVATE)
    reader._cipher = counting = Counting(reader._cipher)  # type: ignore[assignment]  # has what the reader calls
    assert [block.payload for block in reader] == [b"first"]
    assert (counting.tries, reader.torn_bytes, reader.damaged_blocks) == (1, 2**20, 0)


def test_a_journal_can_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"one"]), (Kind.EVENT, [b"two"])])
    with path.open("rb") as file:
        reader = JournalReader(file, PRIVATE)
        assert list(reader) == list(reader)


def test_a_journal_that_grows_is_read_on_and_a_torn_tail_means_not_yet(tmp_path: Path) -> None:
    path, whole = tmp_path / "journal", tmp_path / "whole"
    write(whole, [(Kind.EVENT, [b"%d" % number]) for number in range(1, 6)])
    content = whole.read_bytes()
    head = 26 + int.from_bytes(content[24:26], "little")
    path.write_bytes(content[:head])
    told: list[bytes] = []
    with path.open("rb") as file, path.open("ab", buffering=0) as pen:
        reader = JournalReader(file, PRIVATE)
        for byte in content[head:]:
            pen.write(bytes([byte]))
            told += [block.payload for block in reader.more()]
        assert told == [b"1", b"2", b"3", b"4", b"5"]
        assert (reader.torn_bytes, reader.damaged_blocks) == (0, 0)
        # A disk that was full took a part of a block, which the writer cut off again.
        pen.write(content[head : head + 40])
        assert list(reader.more()) == []
        assert reader.torn_bytes == 40
        pen.truncate(len(content))
        writer_goes_on = content[head:]
        pen.write(writer_goes_on)  # numbers that were used already are no blocks of this place
        assert list(reader.more()) == []


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"secret"])])
    with path.open("rb") as file, pytest.raises(KeyRefused, match="EARSHOT_MASTER_KEY_FILE"):
        JournalReader(file, archive_private_key(b"n" * 32))


@pytest.mark.parametrize("content", [b"", b"EARSHOT\x01", b"RIFF" + bytes(100)])
def test_what_is_no_journal_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(JournalError):
        JournalReader(file, PRIVATE)


def test_nothing_readable_lies_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [(Kind.EVENT, [b"a card number"]), (Kind.PACKETS, [b"what was said" * 10])])
    data = path.read_bytes()
    assert b"card" not in data
    assert b"said" not in data


def test_no_number_is_used_twice_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL, PUBLIC)
    writer.append_event(1, b"first", 1, 1)
    size = path.stat().st_size

    def half(fd: int, data: bytes, length: int) -> int:
        return os.write(fd, data[: length // 2])

    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "_write", half)
        with pytest.raises(OSError, match="No space left"):
            writer.append_event(2, b"refused", 2, 2)
    assert path.stat().st_size == size
    writer.append_event(2, b"second", 3, 3)
    writer.close()
    found, reader = read(path)
    assert [(block.number, block.payload) for block in found] == [(1, b"first"), (3, b"second")]
    assert reader.torn_bytes == 0
