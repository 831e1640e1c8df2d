"""The ends of the audit trail's chain as they are kept outside of the database: `audit/heads.jsonl` in the data folder.

One line a head, in order: {"number": 41, "chain": "...", "at": "...", "signature": "..."}. Whoever can change the
database cannot take away here what was there. A copy on another machine protects against who can write to this one.

Not here: what is signed and looked at (`schema/chain.py`, `schema/verification.py`), when it is written (`sealer.py`).
"""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schema.chain import Head, is_genuine

FOLDER: Final = "audit"
FILE: Final = "heads.jsonl"
# The last lines; each has some 250 bytes.
_TAIL_BYTES: Final = 64 << 10


def path_below(data_dir: Path) -> Path:
    """Where the ends are kept."""
    return data_dir / FOLDER / FILE


def last(path: Path, key: Ed25519PublicKey) -> Head | None:
    """The last end in the file that this system signed; None where there is none. Errors: OSError."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    heads = (_head(line) for line in reversed(lines))
    return next((head for head in heads if head is not None and is_genuine(head, key)), None)


def read(path: Path) -> Iterator[Head | None]:
    """The ends in the file as it is now, in order; None for a line that is none. Errors: OSError."""
    size = path.stat().st_size if path.exists() else 0
    return _read(path, size)


def append(path: Path, heads: Sequence[Head]) -> None:
    """Returns once the ends are on the disk, below all others. Errors: OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        _cut_torn_line(file)
        file.write(b"".join(_line(head) for head in heads))
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: Path, size: int) -> Iterator[Head | None]:
    if size:
        with path.open("rb") as file:
            while file.tell() < size:
                yield _head(file.readline())


def _cut_torn_line(file: BinaryIO) -> None:
    """A kill may have left half a line: the whole one is written again."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    file.truncate(size - torn)
    file.seek(0, os.SEEK_END)


def _line(head: Head) -> bytes:
    told = {
        "number": head.number,
        "chain": head.chain,
        "at": head.at.isoformat(timespec="microseconds"),
        "signature": base64.b64encode(head.signature).decode("ascii"),
    }
    return json.dumps(told).encode() + b"\n"


def _head(line: bytes) -> Head | None:
    try:
        told = json.loads(line)
        at, signature = datetime.fromisoformat(told["at"]), base64.b64decode(told["signature"], validate=True)
        return Head(int(told["number"]), str(told["chain"]), at, signature)
    except (ValueError, TypeError, KeyError):
        return None
