"""The outbox as the clerk reads it: segment after segment, each while it grows.

A segment is whole once a newer one exists: its writer has closed it before. A torn tail of the newest means "not yet",
one of an older segment is what a kill left. What cannot be opened (another key, damage) is told once and skipped; block
numbers then say that something is missing, as they do after a full disk.

What is given out lies on the disk: a segment is synced before its events are, so that no offset in the database
outlives, over a loss of power, the blocks that it counts.

Not here: what becomes of events (`clerk.py`), what a block is (`engine/journal.py`).
"""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from engine.journal import Block, JournalError, JournalReader, KeyRefused, Kind
from schema.values import Event, Offset

log = structlog.get_logger()

# Some 100 ms of work for the database, and no more memory than 64 MB where each event is the largest there is.
MOST_EVENTS: Final = 1000


class _Entry(msgspec.Struct, frozen=True):
    call_id: UUID
    number: int
    event: msgspec.Raw


_decoder: Final = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events in the order of the outbox, and the offset behind them. `cut`: events before them are missing."""

    events: tuple[Event, ...]
    offset: Offset
    cut: bool


class Segments:
    """Reads an outbox from an offset on."""

    def __init__(self, folder: Path, private_key: X25519PrivateKey, offset: Offset) -> None:
        self._folder = folder
        self._private_key = private_key
        self._offset = offset
        self._file: BinaryIO | None = None
        self._reader: JournalReader | None = None
        self._cut = False
        self._told = 0  # the last segment of which was told that it cannot be read

    def read(self, most: int = MOST_EVENTS) -> Batch | None:
        """The next events, at most so many; None where there is nothing new."""
        while True:
            numbers = self._numbers()
            newest = numbers[-1] if numbers else 0
            if newest < self._offset.segment:
                self._begin_anew(newest)
            if not self._open(numbers):
                return None
            whole = newest > self._offset.segment
            blocks = [] if self._reader is None else list(islice(self._reader.more(), most))
            if blocks:
                return self._batch(blocks)
            if not whole:
                return None
            self._go_on(numbers)

    def delete_read(self) -> None:
        """Delete the segments before the one that is being read: their offset must be committed."""
        for number in self._numbers():
            if number < self._offset.segment:
                self._path(number).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the segment that is open."""
        if self._file is not None:
            self._file.close()
        self._file = self._reader = None

    def _numbers(self) -> list[int]:
        return sorted(int(entry.name) for entry in os.scandir(self._folder) if entry.name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}"

    def _begin_anew(self, newest: int) -> None:
        """Somebody removed the outbox: its numbers begin again, and so do we."""
        if self._offset.segment and newest:
            log.warning("outbox began anew", expected=self._offset.segment, newest=newest)
            self.close()
            self._offset, self._cut = Offset(), True

    def _open(self, numbers: list[int]) -> bool:
        """Whether a segment is being read, or was found to be unreadable for good; opens the next where none is."""
        if self._file is not None:
            return True
        number = next((number for number in numbers if number >= self._offset.segment), None)
        if number is None:
            return False
        if number != self._offset.segment:
            # The first of all has the number 1; any other jump means that the engine deleted segments unread.
            self._cut |= self._offset != Offset() or number != 1
            self._offset = Offset(number)
        try:
            self._file = self._path(number).open("rb")
        except FileNotFoundError:  # deleted by the engine, which keeps so many
            return number != numbers[-1]
        try:
            self._reader = JournalReader(self._file, self._private_key)
            _sync(self._folder)
        except (JournalError, KeyRefused) as error:
            self.close()
            newest = number == numbers[-1]
            if number != self._told and not (newest and isinstance(error, JournalError)):  # or it is just being begun
                self._told = number
                log.error("outbox segment not read", segment=number, reason=str(error))
            self._cut = True
            return not newest
        self._pass_over(self._reader)
        return True

    def _pass_over(self, reader: JournalReader) -> None:
        """Read up to the offset's block: what lies before it the database has."""
        last = self._offset.block - 1
        if last < 1:
            return
        for block in reader.more():
            if block.number >= last:
                self._cut |= block.number > last
                return

    def _go_on(self, numbers: list[int]) -> None:
        """To the next segment."""
        self.close()
        following = next(number for number in numbers if number > self._offset.segment)
        self._cut |= following != self._offset.segment + 1
        self._offset = Offset(following)

    def _batch(self, blocks: list[Block]) -> Batch:
        expected = max(1, self._offset.block)
        self._cut |= any(block.number != expected + i for i, block in enumerate(blocks))
        if self._file is not None:
            os.fdatasync(self._file.fileno())
        self._offset = Offset(self._offset.segment, blocks[-1].number + 1)
        events = tuple(event for block in blocks if (event := self._event(block)) is not None)
        batch = Batch(events, self._offset, self._cut)
        self._cut = False
        return batch

    def _event(self, block: Block) -> Event | None:
        try:
            entry = _decoder.decode(block.payload)
        except msgspec.MsgspecError as error:
            log.error("outbox event not read", segment=self._offset.segment, block=block.number, reason=str(error))
            return None
        return Event(entry.call_id, entry.number, bytes(entry.event)) if block.kind is Kind.EVENT else None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
