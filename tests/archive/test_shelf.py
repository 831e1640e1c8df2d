"""What lies on the shelf is opened; what a row says otherwise is not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from archive.finish import RECORDINGS, finish
from archive.shelf import FOLDER, NotOnShelf, Shelf
from schema.values import RecordingRecord
from tests.archive.calls import CALL_ID, two_tones
from tests.archive.test_finish import RECIPE, Spool


@pytest.fixture
def recording(tmp_path) -> RecordingRecord:
    """A recording as the finisher leaves it, three seconds long."""
    script = two_tones(3)
    script.finished(tmp_path)
    made = finish(Spool.below(tmp_path), tmp_path / RECORDINGS, str(CALL_ID), RECIPE)
    audio, peaks = made.manifest.audio, made.manifest.peaks
    folder = str(made.folder.relative_to(tmp_path / RECORDINGS))
    return RecordingRecord(
        folder,
        audio.file,
        audio.format,
        audio.bytes,
        audio.sha256,
        audio.duration_s,
        audio.rate_hz,
        peaks.file,
    )


def test_the_finisher_and_the_shelf_mean_the_same_folder():
    assert FOLDER == RECORDINGS


def test_audio_is_opened_and_peaks_are_read(tmp_path, recording):
    stored = Shelf(tmp_path).open_audio(recording)
    with stored.file as file:
        assert file.read() == (tmp_path / RECORDINGS / recording.folder / "audio.flac").read_bytes()
        assert stored.size == recording.bytes
    peaks = Shelf(tmp_path).peaks(recording)
    assert len(peaks.points) / peaks.rate_hz * peaks.samples_per_point == pytest.approx(recording.duration_s, abs=0.05)


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("..", "secret"),
        ("2026/../..", "secret"),
        ("/etc", "passwd"),
        ("", "audio.flac"),
        (".", "audio.flac"),
        ("2026", "../../secret"),
        ("2026", "/etc/passwd"),
        ("2026", ""),
        ("2026", ".."),
        ("2026", "."),
        ("2026\0", "audio.flac"),
        ("2026", "audio\0.flac"),
    ],
)
def test_no_row_leads_off_the_shelf(tmp_path, folder, file):
    (tmp_path / "secret").write_bytes(b"secret")
    wrong = RecordingRecord(folder, file, "flac", 6, "", 3.0, 8000, file)
    with pytest.raises(NotOnShelf, match="no place below the shelf"):
        Shelf(tmp_path).open_audio(wrong)
    with pytest.raises(NotOnShelf, match="no place below the shelf"):
        Shelf(tmp_path).peaks(wrong)


def test_a_missing_file_is_said_with_its_path(tmp_path, recording):
    path = tmp_path / RECORDINGS / recording.folder / recording.file
    path.unlink()
    with pytest.raises(NotOnShelf, match=f"{path} cannot be opened: No such file"):
        Shelf(tmp_path).open_audio(recording)
    path.mkdir()
    with pytest.raises(NotOnShelf, match="Is a directory"):
        Shelf(tmp_path).open_audio(recording)


def test_audio_of_another_size_is_none_of_ours_and_leaves_no_file_open(tmp_path, recording):
    path = tmp_path / RECORDINGS / recording.folder / recording.file
    os.truncate(path, recording.bytes - 1)
    with pytest.raises(NotOnShelf, match=f"{recording.bytes - 1} bytes; the database says {recording.bytes}"):
        Shelf(tmp_path).open_audio(recording)
    assert str(path) not in [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]


def test_damaged_peaks_are_said(tmp_path, recording):
    (tmp_path / RECORDINGS / recording.folder / recording.peaks).write_bytes(b"nothing")
    with pytest.raises(NotOnShelf, match=r"peaks\.dat cannot be read"):
        Shelf(tmp_path).peaks(recording)
    with pytest.raises(NotOnShelf):
        Shelf(tmp_path).peaks(replace(recording, peaks=""))
