"""The master key's file: read, or made at the first start.

Engine and archive start at the same moment and both may find no key: whoever links the file into place first has made
it, and the other takes that one. Where calls wait, no key is made: theirs exists somewhere, and is not this one.

What must not be here: what the key is for (`engine/keys.py`).
"""

import os
import secrets
from pathlib import Path

import structlog

from actors.spool import Spool
from engine.keys import KEY_BYTES, KeyRefused, decode_key, encode_key

log = structlog.get_logger()


def read_master_key(path: Path) -> bytes:
    """The key in this file. Errors: KeyRefused, with what to do."""
    try:
        return decode_key(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise KeyRefused(
            f"There is no master key at {path}. Name its file with EARSHOT_MASTER_KEY_FILE, or start in the folder "
            "where Earshot runs."
        ) from error
    except OSError as error:
        raise KeyRefused(f"The master key {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, KeyRefused) as error:
        raise KeyRefused(f"{path} holds no master key. A key is 32 bytes in base64, on one line.") from error


def read_or_make_master_key(path: Path, spool: Spool) -> bytes:
    """The key in this file; where there is no file and no call in `spool`, a new key, in it and on the disk.

    Errors: KeyRefused, `SpoolUnusable`.
    """
    try:
        if not path.exists():
            if spool.holds_calls() and not path.exists():  # one that was made meanwhile seals what is there
                raise KeyRefused(
                    f"There is no master key at {path.absolute()}, but calls wait in {spool.root.absolute()}, and "
                    "with a new key nobody could read them. Name their key's file with EARSHOT_MASTER_KEY_FILE or put "
                    "it there again; if it is lost for good, move the calls away."
                )
            if _make(path):
                log.warning("master key made", file=str(path.absolute()), advice="Back it up, apart from the data.")
    except OSError as error:
        raise KeyRefused(f"The master key {path} cannot be made: {error.strerror}.") from error
    return read_master_key(path)


def _make(path: Path) -> bool:
    """Whether this process made the key; another one may have been faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(encode_key(secrets.token_bytes(KEY_BYTES)) + "\n")
            file.flush()
            # A key that a power loss takes away would leave journals that nobody can read.
            os.fsync(descriptor)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return False
        _sync(path.parent)
        return True
    finally:
        unfinished.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
