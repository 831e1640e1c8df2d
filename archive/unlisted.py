"""Calls that the archive is done with and the database does not know of yet: one small file each, in the spool.

    spool/unlisted/<call-id>      one line: the folder in which the call lies now, relative to the data folder

The file is on the disk before the last of the journal goes, and goes itself once the database has the call. So a
database that is away keeps nothing from being finished, and a kill at any moment loses nothing: normal work and
catching up are one path.

Not here: what the database is told (`listing.py`).
"""

import os
from pathlib import Path
from uuid import UUID

from actors.spool import Spool


def note(spool: Spool, name: str, folder: Path) -> None:
    """Remember durably that the call of this name, which lies in `folder` from now on, is to be listed."""
    if as_call_id(name) is None:  # somebody's folder, no call of ours
        return
    path = spool.unlisted / name
    unfinished = path.with_name(f".{name}")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(f"{folder.relative_to(spool.root.parent)}\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(unfinished, path)
    descriptor = os.open(spool.unlisted, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def waiting(spool: Spool) -> list[UUID]:
    """The calls that wait to be listed, by their ids: the oldest first."""
    return sorted(call_id for path in spool.unlisted.iterdir() if (call_id := as_call_id(path.name)) is not None)


def folder_of(spool: Spool, call_id: UUID) -> Path | None:
    """Where a waiting call lies; None where it does not wait any more."""
    try:
        return spool.root.parent / (spool.unlisted / str(call_id)).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def forget(spool: Spool, call_id: UUID, folder: Path) -> None:
    """The database has this call as it lies in `folder`. One that lies elsewhere by now goes on waiting."""
    if folder_of(spool, call_id) == folder:
        (spool.unlisted / str(call_id)).unlink(missing_ok=True)


def as_call_id(name: str) -> UUID | None:
    """The call id that is a file's or folder's name; None where the name is none."""
    try:
        call_id = UUID(name)
    except ValueError:
        return None
    return call_id if str(call_id) == name else None
