"""The spool: where calls lie on disk until they are recordings, who holds it, and the renames that move them.

    <data>/spool/live/<call-id>/journal       a call that runs
    <data>/spool/finished/<call-id>/journal   one that ended: the rename is the commit, and the archive's turn begins
    <data>/spool/stuck/<call-id>/             one that the archive could not read, with the reason
    <data>/spool/unlisted/<call-id>           one that the archive is done with and the database does not know of yet
    <data>/spool/outbox/<number>              the node's events, segment by segment
    <data>/spool/node.json                    what the engine says of itself, every other second
    <data>/spool/engine.lock, archive.lock    who holds it

Not here: what a journal holds; the archive's own steps (`archive/`).
"""

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

JOURNAL = "journal"


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself. `gateway` is the URL of its live gateway, `gateway_certificate` PEM or empty."""

    name: str
    gateway: str
    gateway_certificate: str
    version: str
    pid: int
    calls: int
    free_bytes: int
    at_ns: int


class SpoolHeld(Exception):
    """Another process holds the spool. The text says which, and what to do."""


class SpoolUnusable(Exception):
    """The spool cannot be made, read or written. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Spool:
    """The folders below one data folder."""

    root: Path

    @classmethod
    def below(cls, data_dir: Path) -> Self:
        """The spool of this data folder; made where it is missing, readable by its owner alone.

        Errors: `SpoolUnusable`.
        """
        spool = cls(data_dir / "spool")
        for folder in (spool.root, spool.live, spool.finished, spool.stuck, spool.unlisted, spool.outbox):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise _unusable(folder, error.strerror or str(error)) from error
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise _unusable(folder, "its permissions forbid it")
        return spool

    @property
    def live(self) -> Path:
        """Calls that run."""
        return self.root / "live"

    @property
    def finished(self) -> Path:
        """Calls that ended and are not recordings yet."""
        return self.root / "finished"

    @property
    def stuck(self) -> Path:
        """Calls that could not be read."""
        return self.root / "stuck"

    @property
    def unlisted(self) -> Path:
        """One small file for each call that the archive is done with, until the database knows of it."""
        return self.root / "unlisted"

    @property
    def node_file(self) -> Path:
        """What the engine says of itself: a `NodeReport`."""
        return self.root / "node.json"

    @property
    def outbox(self) -> Path:
        """Segments of the outbox."""
        return self.root / "outbox"

    def open_call(self, call_id: UUID) -> Path:
        """Make a call's folder; gives its journal's path."""
        folder = self.live / str(call_id)
        folder.mkdir(mode=0o700)
        return folder / JOURNAL

    def finish(self, call_id: UUID) -> None:
        """Hand a call to the archive. Done twice it is done once."""
        try:
            os.rename(self.live / str(call_id), self.finished / str(call_id))
        except FileNotFoundError:
            if not (self.finished / str(call_id)).exists():
                raise

    def discard(self, call_id: UUID) -> None:
        """Remove a call that was refused before its first event."""
        folder = self.live / str(call_id)
        (folder / JOURNAL).unlink(missing_ok=True)
        folder.rmdir()

    def recover(self) -> list[str]:
        """Hand over what the last engine left when it died; only for who holds the lock. Gives the call ids."""
        left = sorted(folder.name for folder in self.live.iterdir())
        for name in left:
            os.rename(self.live / name, self.finished / name)
        return left

    def holds_calls(self) -> bool:
        """Whether a call lies there that is no recording yet; makes no folder. Errors: `SpoolUnusable`."""
        for folder in (self.live, self.finished):
            try:
                if any((call / JOURNAL).exists() for call in folder.iterdir()):
                    return True
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unusable(folder, error.strerror or str(error)) from error
        return False

    def report_node(self, report: NodeReport) -> None:
        """Replace what the engine says of itself. Errors: `OSError`; what was said before stands then."""
        unfinished = self.node_file.with_suffix(".part")
        unfinished.write_bytes(msgspec.json.encode(report))
        unfinished.replace(self.node_file)

    def read_node(self) -> NodeReport | None:
        """What the engine said last; None where nothing is there that can be read."""
        try:
            return msgspec.json.decode(self.node_file.read_bytes(), type=NodeReport)
        except (OSError, msgspec.MsgspecError):
            return None

    def free_bytes(self) -> int:
        """Room on the spool's disk for a process without privileges."""
        return shutil.disk_usage(self.root).free


class Lock:
    """A lock on a spool, held as long as the process lives; the kernel lets go of it whatever kills the process."""

    def __init__(self, path: Path, holder: str) -> None:
        """Take it. Errors: `SpoolHeld` with the other process's own words, `SpoolUnusable`."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.pread(self._fd, 200, 0).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(self._fd)
            raise SpoolHeld(
                f"{path.parent} is held by {other}. Stop that process first, "
                "or give this one a folder of its own with EARSHOT_DATA_DIR."
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{holder}, process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def _unusable(path: Path, reason: str) -> SpoolUnusable:
    return SpoolUnusable(
        f"{path.absolute()} cannot be used: {reason}. It must belong to the user that Earshot runs as; "
        "move what is in its way, or set EARSHOT_DATA_DIR to another folder."
    )
