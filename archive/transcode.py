"""Recordings in other formats than the stored one: made once, kept in a cache, then served like any file.

    <data>/cache/audio/<call-id>-<sha256>.<format>           `.<name>.<n>.part` while it is made

A process of its own and of low priority converts: relaying live audio shares no interpreter lock with it, an end of the
portal ends it, and a codec that crashes takes nobody along. (As a thread it disturbed a loop with ticks of 20 ms by
2 ms more at worst; starting a process costs 0.15 s.) It runs on when whoever asked has gone: the next one who asks
finds the file. Everything in the cache can be deleted at any time.

Not here: where stored recordings lie (`shelf.py`), encoders (`encode.py`), who may hear them.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import chain, count
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
import structlog
import trio

from archive.encode import AudioFormat, Encoding, FileEncoder
from archive.shelf import NotOnShelf, StoredFile, open_file

log = structlog.get_logger()

FOLDER: Final = "cache/audio"
# Of the cache, after which the files that were not asked for the longest go: some 140 hours of MP3.
MOST_BYTES: Final = 2 << 30
# Left free on the disk for those who record: twice what the engine wants before it takes a call.
LEAST_FREE_BYTES: Final = 1 << 30
# Half a file that nobody has written to for this long was left by a process that was killed.
PART_LASTS_S: Final = 600.0
PART: Final = ".part"
# As many at a time: each takes a core.
WORKERS: Final = 2
# Somebody's conversions are made one after the other, and so many of them may wait: nobody waits for all of another's.
MOST_OF_ONE: Final = 5
NICE: Final = 15
# A file's name holds this much of the sha256: a recording that was made anew has another.
DIGEST_CHARACTERS: Final = 16

# What the finisher writes into a file; FFmpeg adds others of its own.
TAGS: Final = frozenset({"title", "date", "comment"})

Spawn = Callable[[Callable[[], Awaitable[None]]], object]


class TranscodeFailed(Exception):
    """The recording could not be converted; the stored file is whole. Its text is for the log."""


class NoRoom(TranscodeFailed):
    """The disk is nearly full, and what is left is kept for recording."""


class TooManyOrdered(TranscodeFailed):
    """Whoever asks waits for as many conversions as one may."""


class _Job:
    __slots__ = ("done", "failure")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.failure: TranscodeFailed | None = None


class Transcoder:
    """Other formats of recordings. `spawn` starts a task that outlives the request that asked for it."""

    def __init__(self, data_dir: Path, spawn: Spawn, *, most_bytes: int = MOST_BYTES) -> None:
        self._cache = data_dir / FOLDER
        self._spawn = spawn
        self._most_bytes = most_bytes
        self._jobs: dict[str, _Job] = {}
        self._room = trio.CapacityLimiter(WORKERS)
        self._ordered: Counter[str] = Counter()
        self._turns: dict[str, trio.Lock] = {}
        self._numbers = count()

    async def open(
        self,
        source: StoredFile,
        call_id: str,
        sha256: str,
        form: AudioFormat,
        rate_hz: int,
        duration_s: float,
        *,
        owner: str,
    ) -> StoredFile:
        """The recording in another format, open; it is made first where the cache does not hold it.

        `source` is the stored file, which stays open. `owner` is who asks. Raises `TranscodeFailed`.
        """
        name = f"{call_id}-{sha256[:DIGEST_CHARACTERS]}.{form}"
        path = self._cache / name
        cached = await trio.to_thread.run_sync(_open_cached, path)
        if cached is not None:
            return cached
        job = self._jobs.get(name)
        if job is None:
            if self._ordered[owner] >= MOST_OF_ONE:
                raise TooManyOrdered(f"{owner} waits for {MOST_OF_ONE} conversions.")
            self._ordered[owner] += 1
            job = self._jobs[name] = _Job()
            whole_bytes = round(duration_s * rate_hz) * 4  # as WAV, the largest
            source_path = source.path

            async def work() -> None:
                await self._make(job, owner, source_path, path, form, rate_hz, whole_bytes)

            self._spawn(work)
        await job.done.wait()
        if job.failure is not None:
            raise job.failure
        cached = await trio.to_thread.run_sync(_open_cached, path)
        if cached is None:
            raise TranscodeFailed(f"{path} was deleted before it could be sent.")
        return cached

    async def _make(
        self, job: _Job, owner: str, source: Path, path: Path, form: AudioFormat, rate_hz: int, whole_bytes: int
    ) -> None:
        try:
            async with self._turns.setdefault(owner, trio.Lock()), self._room:
                await self._convert(source, path, form, rate_hz, whole_bytes)
        except TranscodeFailed as failure:
            log.error("transcode_failed", source=str(source), format=form, reason=str(failure))
            job.failure = failure
        except BaseException:
            job.failure = TranscodeFailed(f"Converting {source} was interrupted.")
            raise
        finally:
            del self._jobs[path.name]
            self._ordered[owner] -= 1
            if not self._ordered[owner]:
                del self._ordered[owner]
                self._turns.pop(owner, None)
            job.done.set()

    async def _convert(self, source: Path, path: Path, form: AudioFormat, rate_hz: int, whole_bytes: int) -> None:
        part = path.with_name(f".{path.name}.{os.getpid()}-{next(self._numbers)}{PART}")
        began_s = time.monotonic()
        try:
            await trio.to_thread.run_sync(make_room, self._cache, self._most_bytes - whole_bytes)
            await trio.to_thread.run_sync(_refuse_a_full_disk, self._cache, whole_bytes)
            command = [sys.executable, "-P", "-m", __name__, str(source), str(part), form, str(rate_hz)]
            ended = await trio.run_process(
                command, stdin=subprocess.DEVNULL, capture_stdout=True, capture_stderr=True, check=False
            )
            if ended.returncode:
                said = ended.stderr.decode(errors="replace").strip().splitlines()
                raise TranscodeFailed(said[-1] if said else f"The process ended with status {ended.returncode}.")
            os.rename(part, path)
        except OSError as error:
            raise TranscodeFailed(str(error)) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        log.info("transcoded", source=str(source), format=form, took_s=round(time.monotonic() - began_s, 3))


def make_room(cache: Path, most_bytes: int) -> None:
    """Makes the cache's folder, and deletes from it until at most `most_bytes` are left: the least lately used first.

    Raises `OSError`.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    found: list[tuple[int, int, Path]] = []
    for path in cache.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            fresh = time.time() - status.st_mtime < PART_LASTS_S
            if path.suffix != PART:
                found.append((status.st_atime_ns, status.st_size, path))
            elif not fresh:
                path.unlink()
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size


def _refuse_a_full_disk(cache: Path, whole_bytes: int) -> None:
    if shutil.disk_usage(cache).free < LEAST_FREE_BYTES + whole_bytes:
        raise NoRoom(f"Less than {(LEAST_FREE_BYTES + whole_bytes) >> 20} MB are free for {cache}.")


def _open_cached(path: Path) -> StoredFile | None:
    try:
        stored = open_file(path)
    except NotOnShelf:
        return None
    with contextlib.suppress(OSError):  # when it was last asked for; the modification time names the version
        os.utime(path, ns=(time.time_ns(), stored.modified_ns))
    return stored


def transcode(source: Path, target: Path, form: AudioFormat, rate_hz: int) -> None:
    """Converts an audio file of two channels, in their order, to `form` at `rate_hz`, and syncs it to the disk.

    Raises `OSError` or `av.FFmpegError` where the source cannot be read or the target not be written.
    """
    with av.open(str(source)) as container:
        stream = container.streams.audio[0]
        tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
        kept = {key: value for key, value in tags.items() if key in TAGS}
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=rate_hz, frame_size=rate_hz)
        with contextlib.closing(FileEncoder(target, Encoding(form), rate_hz, kept)) as encoder:
            for frame in chain(container.decode(stream), (None,)):
                for second in resampler.resample(frame):
                    encoder.write(np.ascontiguousarray(second.to_ndarray().reshape(-1, 2), np.int16))
            encoder.finish()
    with target.open("rb") as file:
        os.fsync(file.fileno())


def main() -> None:
    """`python -m archive.transcode SOURCE TARGET FORMAT RATE`: what a `Transcoder` starts."""
    source, target, form, rate_hz = sys.argv[1:]
    os.umask(0o077)
    os.nice(NICE)
    try:
        transcode(Path(source), Path(target), cast(AudioFormat, form), int(rate_hz))
    except (OSError, av.FFmpegError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
