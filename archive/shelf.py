"""The shelf: where finished recordings lie, and how one is opened.

    <data>/recordings/<folder>/<file>        `folder` and `file` as the database's row says

A row names a place below the shelf and nothing else: whatever points elsewhere is refused. (A folder that the
administrator replaced by a link to another disk is followed: he may.)

Not here: making recordings (`finish.py`), other formats (`transcode.py`), who may hear them.
"""

import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Final

from archive.peaks import Peaks, read_peaks
from schema.values import RecordingRecord

FOLDER: Final = "recordings"


class NotOnShelf(Exception):
    """The file is not where the row says, or not what it says. Its text is for the log."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is open for reading; whoever got it closes it. `size` in bytes."""

    file: FileIO
    path: Path
    size: int
    modified_ns: int

    def close(self) -> None:
        self.file.close()


class Shelf:
    """The recordings below a data folder. Its methods wait for the disk: call them from a thread."""

    __slots__ = ("_root",)

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / FOLDER

    def open_audio(self, recording: RecordingRecord) -> StoredFile:
        """Opens the audio file. Raises `NotOnShelf` where it is missing, or of another size than the row says."""
        stored = open_file(self._place(recording, recording.file))
        if stored.size != recording.bytes:
            stored.close()
            raise NotOnShelf(f"{stored.path} has {stored.size} bytes; the database says {recording.bytes}.")
        return stored

    def peaks(self, recording: RecordingRecord) -> Peaks:
        """The peaks of a recording. Raises `NotOnShelf` where there are none, or the file is damaged."""
        path = self._place(recording, recording.peaks)
        try:
            return read_peaks(path.read_bytes())
        except (OSError, ValueError) as error:
            raise NotOnShelf(f"{path} cannot be read: {error}") from error

    def _place(self, recording: RecordingRecord, name: str) -> Path:
        folder = PurePosixPath(recording.folder)
        whole = folder.parts and not folder.is_absolute() and ".." not in folder.parts
        if not whole or PurePosixPath(name).name != name or name in {"", ".."} or "\0" in recording.folder + name:
            raise NotOnShelf(f"{recording.folder!r} and {name!r} are no place below the shelf.")
        return self._root / folder / name


def open_file(path: Path) -> StoredFile:
    """Opens a file for reading. Raises `NotOnShelf`."""
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise NotOnShelf(f"{path} cannot be opened: {error.strerror}.") from error
    found = os.fstat(file.fileno())
    return StoredFile(file, path, found.st_size, found.st_mtime_ns)
