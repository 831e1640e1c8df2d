"""What the database said lately, for the minutes in which it does not answer: calls can be paused and heard meanwhile.

The database is always asked first. Only while it refuses or is silent, its last answer counts, and no longer than
LASTS_S: whoever lost his rights loses them here at most so much later than there. What this portal itself has ended
stays ended, whatever the database could be told of it.

Not here: what may be done with it (`gate.py`, `finding.py`). Recordings, lists and finished calls are not remembered.
"""

import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

import trio

from schema.database import DatabaseAway, DatabaseError
from schema.values import Account, CallView, Scope

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# Longer than a database takes to start again or to move to another machine.
LASTS_S: Final = 300.0
# Who knows an answer waits no longer for a fresh one: asking who it is and which call leaves time for the pause itself.
KNOWN_WITHIN_S: Final = 0.8
UNKNOWN_WITHIN_S: Final = 2.0
# A database that was silent is left alone for so long by those who know their answer.
SILENT_S: Final = 2.0
# Of each kind, a few MB; what was confirmed the longest ago goes first.
MOST: Final = 5000


class Remembered(Generic[Key, Value]):
    """Answers of one kind of question, by what was asked for."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Value, float]] = {}
        self._ended: dict[Key, None] = {}
        self._silent_until_s = -math.inf

    async def ask(self, key: Key, question: Callable[[], Awaitable[Value | None]]) -> Value | None:
        """The database's answer, else what it was lately. The wait for the database may be cut short.

        Errors: `DatabaseError`, where it does not answer and nothing is remembered.
        """
        if key in self._ended:
            return None
        known = self._recall(key)
        if known is None or trio.current_time() >= self._silent_until_s:
            try:
                with trio.fail_after(UNKNOWN_WITHIN_S if known is None else KNOWN_WITHIN_S):
                    known = await question()
            except trio.TooSlowError:
                self._silent_until_s = trio.current_time() + SILENT_S
                if known is None:
                    raise DatabaseAway("it is silent") from None
            except DatabaseError:
                if known is None:
                    raise
            else:
                self.note(key, known)
        return None if key in self._ended else known  # it may have ended meanwhile

    def note(self, key: Key, answer: Value | None) -> None:
        """The database has just answered this; None: there is nothing."""
        self._known.pop(key, None)  # it is the youngest now
        if answer is not None:
            _keep(self._known, key, (answer, trio.current_time()))

    def end(self, key: Key) -> None:
        """There is nothing of this any more, whatever the database says."""
        self._known.pop(key, None)
        _keep(self._ended, key, None)

    def _recall(self, key: Key) -> Value | None:
        found = self._known.get(key)
        return found[0] if found is not None and trio.current_time() - found[1] < LASTS_S else None


@dataclass(slots=True)
class SilentNodes:
    """The engines of which nothing was heard, as known until `until_s` of trio's clock."""

    names: frozenset[str] = frozenset()
    until_s: float = -math.inf


@dataclass(frozen=True, slots=True)
class Memory:
    """What a portal remembers. Sessions and tokens go by their hashes; calls are those that ran, by who saw them."""

    sessions: Remembered[bytes, tuple[Account, datetime]] = field(default_factory=Remembered)
    tokens: Remembered[bytes, Account] = field(default_factory=Remembered)
    calls: Remembered[tuple[Scope, UUID], CallView] = field(default_factory=Remembered)
    silent: SilentNodes = field(default_factory=SilentNodes)


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    while len(kept) > MOST:
        del kept[next(iter(kept))]
