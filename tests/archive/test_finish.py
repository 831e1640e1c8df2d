"""One call from journal to recording: what lies where, in which order, and what becomes of one that cannot be read."""

import hashlib
import io
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from actors.spool import Spool
from archive import finish as finishing
from archive import unlisted
from archive.encode import Encoding
from archive.finish import Abandoned, Recipe, Recording, Step, Stuck, finish
from archive.manifest import read_manifest
from archive.peaks import read_peaks
from engine import rtp
from engine.events import Identified, Party
from engine.keys import KeyRefused, archive_private_key
from tests.archive.calls import CALL_ID, CALLEE_HZ, CALLER_HZ, PRIVATE_KEY, Script, Sent, instant, level, two_tones

NAME = str(CALL_ID)
RECIPE = Recipe(PRIVATE_KEY, Encoding("flac"), "silence")
STEPS = [
    Step.SURVEYED,
    Step.ENCODED,
    Step.DESCRIBED,
    Step.SYNCED,
    Step.COMMITTED,
    Step.NOTED,
    Step.DELETED,
]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.below(tmp_path)


def recordings(spool: Spool) -> Path:
    return spool.root.parent / "recordings"


def run(spool: Spool, recipe: Recipe = RECIPE, **hooks) -> Recording | Stuck | None:
    return finish(spool, recordings(spool), NAME, recipe, **hooks)


def folder(spool: Spool) -> Path:
    return recordings(spool) / "2026" / "03" / "05" / NAME


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("form", ["opus", "wav", "flac", "mp3"])
def test_a_recording_with_the_right_voice_on_each_side(spool, form):
    script = two_tones(4)
    script.told = [Identified(at=instant(5), caller=Party("100", "Ann"), callee=Party("200"))]
    script.finished(spool.root.parent)
    steps = []
    recording = run(spool, Recipe(PRIVATE_KEY, Encoding(form), "silence"), after_step=steps.append)
    assert steps == STEPS
    assert recording.folder == folder(spool)
    assert unlisted.waiting(spool) == [CALL_ID]
    assert unlisted.folder_of(spool, CALL_ID) == recording.folder
    assert sorted(path.name for path in recording.folder.iterdir()) == [f"audio.{form}", "manifest.json", "peaks.dat"]
    assert list(spool.finished.iterdir()) == []

    manifest = read_manifest((recording.folder / "manifest.json").read_bytes())
    audio = recording.folder / manifest.audio.file
    assert manifest == recording.manifest
    assert manifest.audio.bytes == audio.stat().st_size
    assert manifest.audio.sha256 == hashlib.sha256(audio.read_bytes()).hexdigest()
    assert manifest.audio.duration_s == pytest.approx(4.01)
    with av.open(str(audio)) as container:
        stream = container.streams.audio[0]
        rate_hz = stream.rate
        resampler = av.AudioResampler(format="fltp", layout="stereo")
        parts = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
        tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
    sides = np.concatenate(parts, axis=1)[:, rate_hz : 3 * rate_hz] * 32768
    assert tags["title"] == "Ann to 200"
    for side, own, other in ((0, CALLER_HZ, CALLEE_HZ), (1, CALLEE_HZ, CALLER_HZ)):
        assert level(sides[side], own, rate_hz) == pytest.approx(10_000, rel=0.15)
        assert level(sides[side], other, rate_hz) < 100
    peaks = read_peaks((recording.folder / "peaks.dat").read_bytes())
    assert len(peaks.points) == 81
    assert peaks.points[10:70].max() == 9852 >> 8  # mu-law's nearest to 10,000


def test_nothing_of_the_recording_is_for_others(spool):
    two_tones(1).finished(spool.root.parent)
    run(spool)
    for path in (recordings(spool), *recordings(spool).rglob("*")):
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0


def test_what_is_there_already_is_not_made_again(spool):
    journal = two_tones(1).finished(spool.root.parent)
    kept = shutil.copytree(journal, spool.root / "copy")
    run(spool)
    before = {path: path.stat().st_mtime_ns for path in folder(spool).iterdir()}
    shutil.copytree(kept, journal)
    steps = []
    assert isinstance(run(spool, after_step=steps.append), Recording)
    assert steps == [Step.NOTED, Step.DELETED]
    assert {path: path.stat().st_mtime_ns for path in folder(spool).iterdir()} == before
    assert list(spool.finished.iterdir()) == []


@pytest.mark.parametrize("harm", ["no manifest", "half a manifest", "half the audio", "no audio"])
def test_a_recording_that_is_not_whole_is_made_again(spool, harm):
    journal = two_tones(1).finished(spool.root.parent)
    kept = shutil.copytree(journal, spool.root / "copy")
    run(spool)
    manifest, audio = folder(spool) / "manifest.json", folder(spool) / "audio.flac"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "half a manifest":
        manifest.write_bytes(manifest.read_bytes()[:500])
    elif harm == "half the audio":
        audio.write_bytes(audio.read_bytes()[:500])
    else:
        audio.unlink()
    shutil.copytree(kept, journal)
    recording = run(spool)
    assert (recording.folder / "audio.flac").stat().st_size == recording.manifest.audio.bytes
    assert list(spool.finished.iterdir()) == []


def test_what_an_attempt_left_behind_is_removed(spool):
    two_tones(1).finished(spool.root.parent)
    left = folder(spool).with_name(NAME + ".part")
    left.mkdir(parents=True)
    (left / "audio.opus").write_bytes(b"half")
    run(spool)
    assert sorted(path.name for path in folder(spool).parent.iterdir()) == [NAME]
    assert sorted(path.name for path in folder(spool).iterdir()) == ["audio.flac", "manifest.json", "peaks.dat"]


def test_an_abandoned_call_stays_where_it_is(spool):
    two_tones(60).finished(spool.root.parent)

    def stop() -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        run(spool, go_on=stop)
    assert (spool.finished / NAME / "journal").exists()
    assert isinstance(run(spool), Recording)


def test_a_disk_that_fails_leaves_the_call_where_it_is(spool, monkeypatch):
    two_tones(1).finished(spool.root.parent)

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(finishing, "_sync", fail)
        # The folders of the date are there already, or their sync would fail first.
        folder(spool).parent.mkdir(parents=True)
        with pytest.raises(OSError, match="No space"):
            run(spool)
    assert list(folder(spool).parent.iterdir()) == []  # half a recording would keep a full disk full
    assert (spool.finished / NAME / "journal").exists()
    assert isinstance(run(spool), Recording)


def test_everything_is_synced_before_the_rename_and_the_journal_goes_last(spool, monkeypatch):
    two_tones(1).finished(spool.root.parent)
    done = []
    fsync, rename, unlink = os.fsync, os.rename, Path.unlink

    def synced(fd: int) -> None:
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{fd}")).name))
        fsync(fd)

    def renamed(source: Path, target: Path) -> None:
        done.append(("rename", Path(target).name))
        rename(source, target)

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        done.append(("unlink", path.name))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(Path, "unlink", unlinked)
    run(spool)
    made = done.index(("rename", NAME))
    part = NAME + ".part"
    assert {name for what, name in done[:made] if what == "sync"} >= {"audio.flac", "peaks.dat", "manifest.json", part}
    noted = [("sync", f".{NAME}"), ("rename", NAME), ("sync", "unlisted")]
    assert done[made + 1 :] == [("sync", "05"), *noted, ("unlink", "journal")]
    assert ("sync", "2026") in done[:made]  # the folders of the date are new


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("empty", "ends before a journal's header"),
        ("not ours", "not a journal of this version"),
        ("header only", "no whole block"),
        ("no journal", "holds no journal"),
    ],
)
def test_a_call_that_cannot_be_read_is_set_aside_with_the_reason(spool, harm, reason):
    source = two_tones(0.5).finished(spool.root.parent)
    journal = source / "journal"
    whole = journal.read_bytes()
    if harm == "empty":
        journal.write_bytes(b"")
    elif harm == "not ours":
        journal.write_bytes(b"#!/bin/sh\n" * 100)
    elif harm == "header only":
        head = 26 + int.from_bytes(whole[24:26], "little")
        journal.write_bytes(whole[: head + 20])
    else:
        journal.rename(source / "something")
    before = [path.read_bytes() for path in source.iterdir()]
    stuck = run(spool)
    assert isinstance(stuck, Stuck)
    assert stuck.folder == spool.stuck / NAME
    assert reason in stuck.reason
    assert (stuck.folder / "reason.txt").read_text(encoding="utf-8") == stuck.reason + "\n"
    kept = [path.read_bytes() for path in stuck.folder.iterdir() if path.name != "reason.txt"]
    assert kept == before
    assert not source.exists()
    assert not recordings(spool).exists()
    assert unlisted.folder_of(spool, CALL_ID) == stuck.folder


def test_two_stuck_calls_of_one_name_are_both_kept(spool):
    for _ in range(2):
        (two_tones(0.1).finished(spool.root.parent) / "journal").write_bytes(b"")
        run(spool)
    assert sorted(path.name for path in spool.stuck.iterdir()) == [NAME, NAME + "_2"]


def test_an_empty_folder_is_what_a_kill_left(spool):
    (spool.finished / NAME).mkdir()
    assert run(spool) is None
    assert everything(spool.finished) == []
    assert run(spool) is None


def test_a_call_of_another_key_stays_until_the_key_is_right(spool):
    source = two_tones(0.5).finished(spool.root.parent)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    with pytest.raises(KeyRefused, match="sealed for another master key"):
        run(spool, Recipe(archive_private_key(bytes(32)), Encoding("flac"), "silence"))
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert everything(spool.stuck) == []
    assert isinstance(run(spool), Recording)


def test_a_stuck_call_can_be_tried_again(spool):
    source = two_tones(0.5).finished(spool.root.parent)
    journal = (source / "journal").read_bytes()
    (source / "journal").write_bytes(b"")
    stuck = run(spool)
    (stuck.folder / "journal").write_bytes(journal)
    stuck.folder.rename(source)
    assert isinstance(run(spool), Recording)
    assert everything(spool.finished) == everything(spool.stuck) == []


def test_a_call_without_audio_has_a_manifest_that_says_so(spool):
    Script(ended_ns=2_000_000_000).finished(spool.root.parent)
    recording = run(spool)
    assert [path.name for path in recording.folder.iterdir()] == ["manifest.json"]
    assert recording.manifest.audio is None
    assert "No audio came, so there is no audio file." in recording.manifest.warnings
    assert isinstance(run(spool), type(None))


def test_packets_that_nobody_can_decode_make_no_audio_file(spool):
    sent = [Sent(20_000_000 * (i + 1), 0, rtp.Packet(111, i, 160 * i, 1, bytes(50))) for i in range(50)]
    Script(sent, ended_ns=2_000_000_000).finished(spool.root.parent)
    recording = run(spool)
    assert recording.manifest.audio is None
    assert recording.manifest.streams[0].packets == 50


def test_an_interrupted_call_is_playable(spool):
    script = two_tones(3)
    script.ended_ns = None
    source = script.finished(spool.root.parent)
    journal = source / "journal"
    journal.write_bytes(journal.read_bytes()[:-100])
    recording = run(spool)
    assert recording.manifest.end == "interrupted"
    assert recording.manifest.journal.torn_bytes > 0
    assert recording.manifest.audio.duration_s > 2.7
    with av.open(io.BytesIO((recording.folder / "audio.flac").read_bytes())) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 2.7 * 8000
