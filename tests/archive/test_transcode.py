"""Recordings in other formats: the same voices on the same sides, as long as before, made once and kept for a while."""

import contextlib
import hashlib
import itertools
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import trio

from archive import transcode as transcoding
from archive.encode import Encoding
from archive.shelf import StoredFile, open_file
from archive.transcode import (
    FOLDER,
    MOST_OF_ONE,
    NoRoom,
    TooManyOrdered,
    TranscodeFailed,
    Transcoder,
    make_room,
    transcode,
)
from tests.archive.calls import CALLEE_HZ, CALLER_HZ, level, tone
from tests.archive.test_encode import FORMATS, RATE_HZ, decode, encode

SECONDS = 6.3
CALL = "6f6b1c1e-5d5c-4b7e-9a61-0a1b2c3d4e5f"
PATIENCE_S = 60


def stored(tmp_path: Path, form: str, seconds: float = SECONDS) -> StoredFile:
    """A recording of two tones, in both channels all the time."""
    path = tmp_path / f"stored.{form}"
    encode(path, Encoding(form), np.stack((tone(CALLER_HZ, seconds), tone(CALLEE_HZ, seconds)), axis=1))
    return open_file(path)


@contextlib.asynccontextmanager
async def transcoder(tmp_path: Path, **options) -> AsyncIterator[Transcoder]:
    """One whose tasks end with the test."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            yield Transcoder(tmp_path, nursery.start_soon, **options)
            nursery.cancel_scope.cancel()


async def ask(of: Transcoder, source: StoredFile, form: str, call: str = CALL, owner: str = "ann") -> StoredFile:
    digest = hashlib.sha256(source.path.read_bytes()).hexdigest()
    return await of.open(source, call, digest, form, RATE_HZ, SECONDS, owner=owner)


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / FOLDER).iterdir())


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMATS, 2)))
def test_each_side_keeps_its_voice_and_its_moment(tmp_path, source, target):
    with stored(tmp_path, source).file:
        transcode(tmp_path / f"stored.{source}", tmp_path / "made", target, RATE_HZ)
    sides, rate_hz, tags = decode(tmp_path / "made")
    assert sides.shape[1] / rate_hz == pytest.approx(SECONDS, abs=0.02)
    for own, other, side in ((CALLER_HZ, CALLEE_HZ, 0), (CALLEE_HZ, CALLER_HZ, 1)):
        middle = sides[side, rate_hz : 5 * rate_hz]
        assert level(middle, own, rate_hz) == pytest.approx(10_000, rel=0.15)
        assert level(middle, other, rate_hz) < 100  # 40 dB below
    assert np.argmax(np.abs(sides[0]) > 3000) / rate_hz < 0.005  # it begins where it began
    assert tags["title"] == "Ann to Bob"


def test_a_long_recording_is_never_whole_in_memory(tmp_path):
    """Frames come one by one: 20 minutes are 38 MB as samples."""
    program = "from archive.transcode import main; main(); print(open('/proc/self/status').read())"
    peaks_kb = []
    for seconds in (1, 1200):
        stored(tmp_path, "flac", seconds).close()
        arguments = [str(tmp_path / "stored.flac"), str(tmp_path / "made.wav"), "wav", str(RATE_HZ)]
        said = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
        peaks_kb += [int(line.split()[1]) for line in said.stdout.splitlines() if line.startswith("VmHWM")]
    assert (tmp_path / "made.wav").stat().st_size > 38_000_000
    assert peaks_kb[1] - peaks_kb[0] < 10_000


async def test_it_is_made_once_and_then_kept(tmp_path):
    source = stored(tmp_path, "opus")
    async with transcoder(tmp_path) as of:
        first = await ask(of, source, "mp3")
        second = await ask(of, source, "mp3")
    with source.file, first.file, second.file:
        assert os.path.samestat(os.fstat(first.file.fileno()), os.fstat(second.file.fileno()))
        assert first.modified_ns == second.modified_ns
        assert cached(tmp_path) == [first.path.name]
        assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
        with av.open(first.file) as container:
            assert container.format.name == "mp3"


async def test_nobody_waits_for_all_that_another_ordered(tmp_path):
    source = stored(tmp_path, "flac", 60)
    done: list[str] = []

    async def one(owner: str, number: int) -> None:
        (await ask(of, source, "mp3", f"{owner}-{number}", owner)).close()
        done.append(owner)

    async with transcoder(tmp_path) as of, trio.open_nursery() as nursery:
        for number in range(MOST_OF_ONE):
            nursery.start_soon(one, "ann", number)
        await until(lambda: of._ordered["ann"] == MOST_OF_ONE)
        with pytest.raises(TooManyOrdered):
            await ask(of, source, "mp3", "one more", "ann")
        await one("bob", 0)
        assert done.count("ann") <= 2
        nursery.cancel_scope.cancel()
    source.close()


async def test_who_waited_may_ask_again(tmp_path, monkeypatch):
    monkeypatch.setattr(transcoding, "MOST_OF_ONE", 1)
    with stored(tmp_path, "flac").file:
        source = open_file(tmp_path / "stored.flac")
        async with transcoder(tmp_path) as of:
            for number in range(2):
                (await ask(of, source, "wav", str(number))).close()
            assert (of._ordered, of._turns) == ({}, {})
        source.close()


async def until(true) -> None:
    while not true():
        await trio.lowlevel.checkpoint()


async def test_who_asks_at_the_same_time_gets_the_same_one(tmp_path):
    source = stored(tmp_path, "flac")
    found: list[StoredFile] = []

    async def one() -> None:
        found.append(await ask(of, source, "wav"))

    async with transcoder(tmp_path) as of:
        began = []
        spawn = of._spawn
        of._spawn = lambda work: (began.append(work), spawn(work))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
    source.close()
    for file in found:
        file.close()
    assert len(found) == 5
    assert len(began) == 1
    assert len(cached(tmp_path)) == 1


async def test_it_is_made_to_the_end_when_whoever_asked_has_gone(tmp_path):
    source = stored(tmp_path, "flac")
    async with transcoder(tmp_path) as of:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, of, source, "mp3")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert of._jobs
        with (await ask(of, source, "mp3")).file:
            assert len(cached(tmp_path)) == 1
    source.close()


async def test_when_the_portal_ends_nothing_is_left(tmp_path):
    source = stored(tmp_path, "wav", 600)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            of = Transcoder(tmp_path, nursery.start_soon)
            nursery.start_soon(ask, of, source, "mp3")
            while not list((tmp_path / "cache").glob("*/.*.part")):  # noqa: ASYNC110 (another process makes it)
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    source.close()
    assert cached(tmp_path) == []


async def test_a_recording_that_cannot_be_read_is_said_and_tried_again(tmp_path):
    (tmp_path / "stored.opus").write_bytes(b"no audio at all")
    source = open_file(tmp_path / "stored.opus")
    async with transcoder(tmp_path) as of:
        with pytest.raises(TranscodeFailed, match=r"^\[Errno.*Invalid data"):
            await ask(of, source, "mp3")
        source.close()
        source = stored(tmp_path, "opus")
        (await ask(of, source, "mp3")).close()
        source.close()
    assert len(cached(tmp_path)) == 1


async def test_what_was_not_asked_for_the_longest_goes(tmp_path):
    source = stored(tmp_path, "flac")
    whole_bytes = round(SECONDS * RATE_HZ) * 4
    async with transcoder(tmp_path, most_bytes=whole_bytes * 5 // 2) as of:
        for call in ("a", "b"):
            (await ask(of, source, "wav", call)).close()
        (await ask(of, source, "wav", "a")).close()
        (await ask(of, source, "wav", "c")).close()
        assert [name[0] for name in cached(tmp_path)] == ["a", "c"]
    source.close()


def test_half_files_of_a_killed_process_go_and_those_being_written_stay(tmp_path):
    left, growing = tmp_path / ".left.part", tmp_path / ".growing.part"
    for path in (left, growing):
        path.write_bytes(b"half")
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    make_room(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == [".growing.part"]


async def test_a_nearly_full_disk_is_left_to_those_who_record(tmp_path, monkeypatch):
    monkeypatch.setattr(transcoding, "LEAST_FREE_BYTES", 1 << 60)
    source = stored(tmp_path, "flac")
    async with transcoder(tmp_path) as of:
        with pytest.raises(NoRoom):
            await ask(of, source, "wav")
    source.close()
    assert cached(tmp_path) == []
