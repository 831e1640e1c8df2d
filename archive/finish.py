"""One call from its journal to its recording, in steps of which each can be repeated after a kill at any point.

    <data>/spool/finished/<call-id>/journal                  where it begins
    <data>/recordings/YYYY/MM/DD/<call-id>.part/             made anew by each attempt
    <data>/recordings/YYYY/MM/DD/<call-id>/                  the rename is the commit; the date is the start's, in UTC
        audio.opus (wav, flac, mp3)   peaks.dat   manifest.json

The journal goes last, and only once a whole recording lies on the disk and is noted for the database (`unlisted.py`). A
journal of which no call can be made goes to `spool/stuck/` with the reason; nothing of it is deleted. One that was
sealed for another key stays: the key is wrong.

Not here: which call is next, threads, retries (`service.py`).
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from actors.spool import JOURNAL, Spool
from archive.callfile import CallFile, NoCall
from archive.encode import Encoding, FileEncoder
from archive.manifest import MANIFEST_NAME, Audio, Manifest, Peaks, audio_of, describe, read_manifest, write_manifest
from archive.peaks import POINTS_PER_S, PeaksWriter
from archive.render import PausePolicy, Renderer
from archive.survey import Survey, survey
from archive.unlisted import note
from engine.journal import JournalError
from engine.timeline import SECOND_NS

RECORDINGS: Final = "recordings"
PEAKS_NAME: Final = "peaks.dat"
REASON_NAME: Final = "reason.txt"
PART: Final = ".part"


class Step(StrEnum):
    """The steps, each named for what is done once it has passed."""

    SURVEYED = "surveyed"
    ENCODED = "encoded"
    DESCRIBED = "described"
    SYNCED = "synced"
    COMMITTED = "committed"
    NOTED = "noted"
    DELETED = "deleted"
    STUCK = "stuck"


class Abandoned(Exception):
    """Finishing was given up half-way because the process stops; the next one begins again."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How recordings are made."""

    private_key: X25519PrivateKey
    encoding: Encoding
    pause_policy: PausePolicy


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is on the disk. `manifest` is the one that lies there."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Stuck:
    """A call that cannot be finished, where it lies now and why."""

    folder: Path
    reason: str


def finish(
    spool: Spool,
    recordings: Path,
    name: str,
    recipe: Recipe,
    *,
    go_on: Callable[[], None] = lambda: None,
    after_step: Callable[[Step], None] = lambda step: None,
) -> Recording | Stuck | None:
    """Finishes the call of this name. None where there is no such call any more.

    `go_on` is called every few seconds of audio and may raise `Abandoned`; `after_step` is told each step that passed.
    Errors: `OSError` where the disk or an encoder fails, `KeyRefused` where the journal was sealed for another key: the
    call stays where it is and can be tried again.
    """
    source = spool.finished / name
    try:
        file = (source / JOURNAL).open("rb")
    except FileNotFoundError:
        return _without_journal(spool, source)
    with file:
        try:
            call = CallFile(file, recipe.private_key)
            target = _target(recordings, name, call)
            recording = _whole(target)
            if recording is None:
                recording = _make(call, target, recipe, os.fstat(file.fileno()).st_size, go_on, after_step)
        except (JournalError, NoCall) as error:
            stuck = _set_aside(spool, source, str(error))
            after_step(Step.STUCK)
            return stuck
    note(spool, name, recording.folder)
    after_step(Step.NOTED)
    _forget(source)
    after_step(Step.DELETED)
    return recording


def _target(recordings: Path, name: str, call: CallFile) -> Path:
    start = datetime.fromtimestamp(call.started().at.realtime_ns // SECOND_NS, UTC)
    return recordings / f"{start:%Y}" / f"{start:%m}" / f"{start:%d}" / name


def _whole(target: Path) -> Recording | None:
    """The recording at `target` if it is whole: its manifest reads, and the audio is as long as that says."""
    try:
        manifest = read_manifest((target / MANIFEST_NAME).read_bytes())
        if manifest.audio is not None and (target / manifest.audio.file).stat().st_size != manifest.audio.bytes:
            return None
    except (FileNotFoundError, ValueError):
        return None
    return Recording(target, manifest)


def _make(
    call: CallFile,
    target: Path,
    recipe: Recipe,
    journal_bytes: int,
    go_on: Callable[[], None],
    after_step: Callable[[Step], None],
) -> Recording:
    surveyed = survey(call, go_on)
    after_step(Step.SURVEYED)
    part = target.with_name(target.name + PART)
    _make_folder(part.parent)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        return _fill(call, surveyed, part, target, recipe, journal_bytes, go_on, after_step)
    except BaseException:  # half a recording must not keep a full disk full
        shutil.rmtree(part, ignore_errors=True)
        raise


def _fill(
    call: CallFile,
    surveyed: Survey,
    part: Path,
    target: Path,
    recipe: Recipe,
    journal_bytes: int,
    go_on: Callable[[], None],
    after_step: Callable[[Step], None],
) -> Recording:
    renderer = Renderer(surveyed, recipe.pause_policy)
    audio: Audio | None = None
    peaks: Peaks | None = None
    if surveyed.rate_hz and renderer.length_samples:
        audio, peaks = _encode(call, surveyed, renderer, part, recipe, go_on)
    after_step(Step.ENCODED)
    manifest = describe(surveyed, renderer.pauses, audio, peaks, journal_bytes, renderer.late)
    (part / MANIFEST_NAME).write_bytes(write_manifest(manifest))
    after_step(Step.DESCRIBED)
    for path in (*part.iterdir(), part):
        _sync(path)
    after_step(Step.SYNCED)
    if target.exists():  # not whole, or it would have been left alone; the journal has all of it
        shutil.rmtree(target)
    os.rename(part, target)
    _sync(target.parent)
    after_step(Step.COMMITTED)
    return Recording(target, manifest)


def _encode(
    call: CallFile, surveyed: Survey, renderer: Renderer, part: Path, recipe: Recipe, go_on: Callable[[], None]
) -> tuple[Audio, Peaks]:
    rate_hz = surveyed.rate_hz
    audio_path, peaks_path = part / recipe.encoding.file_name, part / PEAKS_NAME
    samples = 0
    encoder = FileEncoder(audio_path, recipe.encoding, rate_hz, _tags(surveyed))
    with contextlib.closing(encoder), PeaksWriter(peaks_path, rate_hz) as peaks:
        for chunk in renderer.chunks(call, go_on):
            encoder.write(chunk)
            peaks.write(chunk)
            samples += len(chunk)
        encoder.finish()
        peaks.finish()
    with audio_path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = audio_path.stat().st_size
    audio = audio_of(recipe.encoding, size, digest, samples / rate_hz, rate_hz, recipe.pause_policy)
    return audio, Peaks(PEAKS_NAME, POINTS_PER_S, peaks_path.stat().st_size)


def _tags(surveyed: Survey) -> dict[str, str]:
    state = surveyed.state
    parties = [party.name or party.number or party.aor for party in (state.caller, state.callee)]
    start = datetime.fromtimestamp(state.started.realtime_ns // SECOND_NS, UTC)
    title = " to ".join(party or "unknown" for party in parties)
    return {"title": title, "date": f"{start:%Y-%m-%dT%H:%M:%SZ}", "comment": f"Call {state.call_id}"}


def _set_aside(spool: Spool, source: Path, reason: str) -> Stuck:
    (source / REASON_NAME).write_text(reason + "\n", encoding="utf-8")
    target, number = spool.stuck / source.name, 1
    while target.exists():
        number += 1
        target = spool.stuck / f"{source.name}_{number}"
    note(spool, source.name, target)
    os.rename(source, target)
    return Stuck(target, reason)


def _without_journal(spool: Spool, source: Path) -> Stuck | None:
    """An empty folder is what a kill left between the journal and its folder; anything else is a riddle for people."""
    if not source.is_dir():
        return None
    if any(source.iterdir()):
        return _set_aside(spool, source, "The call's folder holds no journal.")
    source.rmdir()
    return None


def _forget(source: Path) -> None:
    """Removes a call's folder, its journal last."""
    for path in source.iterdir():
        if path.name != JOURNAL:
            path.unlink()
    (source / JOURNAL).unlink()
    source.rmdir()


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each durable before the next."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
