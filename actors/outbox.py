"""The outbox: every event of every call on this node, in one sequence, for the clerk.

It is the fast path; a call's own journal is the authority. A segment is sealed like a journal, under a name that only
rises; a new one begins with every start of the engine (which cannot read an old one) and at a size.

The clerk deletes what it has read, so that a segment or two are there as a rule. While the database is away they become
more; past MOST_SEGMENTS the oldest go unread. Nothing is lost with them but the fast path: the clerk reads the journals
of calls that run where it finds events missing, and a finished call is told as a whole, from its journal.

Not here: reading segments (the clerk's).
"""

from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from engine.events import Instant
from engine.journal import JournalWriter

log = structlog.get_logger()

SEGMENT_BYTES: Final = 8 * 2**20
# Half a GB: the events of some 70,000 calls. The disk is for calls.
MOST_SEGMENTS: Final = 64


class Outbox:
    """Appends to the newest segment. A full disk costs the fast path alone: the journal has the event too."""

    def __init__(self, folder: Path, public_key: bytes) -> None:
        self._folder = folder
        self._public_key = public_key
        self._last = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
        self._segment: JournalWriter | None = None
        self.unwritten = 0

    def append(self, call_id: UUID, event_number: int, event: bytes, at: Instant) -> None:
        """Add event `event_number` of a call, as JSON with the call's id around it."""
        payload = b'{"call_id":"%s","number":%d,"event":%s}' % (str(call_id).encode(), event_number, event)
        try:
            self._current().append_event(event_number, payload, at.realtime_ns, at.monotonic_ns)
        except OSError as error:
            self.unwritten += 1
            log.warning("outbox not written", call=str(call_id), number=event_number, reason=str(error))

    def close(self) -> None:
        """Close the segment."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _current(self) -> JournalWriter:
        if self._segment is None or self._segment.size_bytes >= SEGMENT_BYTES:
            self.close()
            self._make_room()
            self._last += 1
            path = self._folder / f"{self._last:012d}"
            self._segment = JournalWriter(str(path), UUID(int=self._last), self._public_key)
        return self._segment

    def _make_room(self) -> None:
        """Delete the oldest segments, as many as are too many with the one that begins."""
        segments = sorted((path for path in self._folder.iterdir() if path.name.isdigit()), key=lambda p: int(p.name))
        surplus = segments[: max(0, len(segments) + 1 - MOST_SEGMENTS)]
        for path in surplus:
            path.unlink(missing_ok=True)
        if surplus:
            log.warning("oldest segments of the outbox deleted unread", segments=len(surplus), kept=MOST_SEGMENTS)
