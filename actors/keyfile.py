"""The master key's file: read, or made at the first start.

Engine and archive start at the same moment and both may find no key: whoever links the file into place first has made
it, and the other takes that one.

What must not be here: what the key is for (`engine/keys.py`).
"""

import os
import secrets
from pathlib import Path

from engine.keys import KEY_BYTES, KeyRefused, decode_key, encode_key


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


def read_or_make_master_key(path: Path) -> bytes:
    """The key in this file; where there is no file, a new key, in it and on the disk. Errors: KeyRefused."""
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise KeyRefused(f"The master key {path} cannot be made: {error.strerror}.") from error
    return read_master_key(path)


def _make(path: Path) -> None:
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
            return
        _sync(path.parent)
    finally:
        unfinished.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
