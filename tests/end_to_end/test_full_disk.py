"""The disk is full, and an agent pauses the recording to take a card number."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import Gap, Paused, Resumed
from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, MARKER_SAMPLES, PAUSED_HZ, decode, levels, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import PhoneSystem
from tests.end_to_end.recorder import Recorder

DISK_MB = 8
LOST_HZ = 3750
INAUDIBLE_DBFS = -32


@pytest.fixture
def disk(recorder: Recorder) -> Iterator[Path]:
    """A small disk as the recorder's data folder."""
    recorder.data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs", recorder.data],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.fail(f"This test fills up a small disk, and only root may mount one here: {mounted.stderr.strip()}")
    yield recorder.data
    recorder.__exit__()
    subprocess.run(["umount", recorder.data], check=True)


def fill(disk: Path) -> Path:
    """Leaves no room for another byte; gives the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("freed", ["while paused", "after the resumption"])
def test_a_pause_holds_on_a_full_disk(recorder: Recorder, disk: Path, freed: str) -> None:
    before, lost, paused, after = (marker(hz, 0.5) for hz in (BEFORE_HZ, LOST_HZ, PAUSED_HZ, AFTER_HZ))
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        call = phones.call()
        call.talk(before, 0.5)
        call.settle()
        filler = fill(disk)
        call.talk(lost, 0.5)
        assert call.offer("zero-address").status == 200
        call.talk(paused, 0.5)
        call.settle()
        if freed == "while paused":
            filler.unlink()
        assert call.offer("active").status == 200
        if freed == "after the resumption":
            call.talk(lost, 0.3)
            call.settle()
            filler.unlink()
        call.talk(after, 0.5)
        call.bye()

    journal = read_journal(recorder.journals(1)[0])
    assert not journal.holds(paused[: MARKER_SAMPLES // 2])
    for stream in range(2):
        assert journal.numbers(stream, before) == call.numbers(stream, before)
        assert journal.numbers(stream, after) == call.numbers(stream, after)
    kept = sum(len(journal.numbers(stream, lost)) for stream in range(2))
    cuts = [event for event in journal.events if isinstance(event, Paused | Resumed)]
    assert [type(event) for event in cuts] == [Paused, Resumed]
    gaps = [event for event in journal.events if isinstance(event, Gap)]
    assert sum(gap.packets for gap in gaps) + kept == sum(len(call.numbers(stream, lost)) for stream in range(2))
    assert engine.lines("journal not written")

    recorder.archive()
    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "normal"
    assert sum(gap["packets"] for gap in manifest["gaps"]) == sum(gap.packets for gap in gaps) > 0
    assert [warning for warning in manifest["warnings"] if "disk" in warning]
    assert [pause["sign"] for pause in manifest["pauses"]] == ["zero-address"]
    samples, rate_hz = decode(manifest["folder"] / "audio.opus")
    for channel in range(2):
        assert levels(samples[:, channel], rate_hz, PAUSED_HZ).max() < INAUDIBLE_DBFS
