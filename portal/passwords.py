"""Passwords: what makes one acceptable, and Argon2id (RFC 9106) in threads of their own.

A hash takes a tenth of a second of CPU and 64 MiB, so only a few are made at a time, and few may wait for their turn.

Not here: who has which password (`schema.people`), and how often one may try (`limits.py`).
"""

from typing import Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

FEWEST_CHARACTERS: Final = 12
# Nobody types more; a longer text only keeps a core busy.
MOST_CHARACTERS: Final = 1024
# Half of a small machine's cores, and 128 MiB.
AT_A_TIME: Final = 2
# With more in line the last one would wait for several seconds.
MOST_WAITING: Final = 40


class PasswordRefused(Exception):
    """A password that may not be used. The text says what one must be like."""


class Busy(Exception):
    """More people are signing in than can be checked now."""


def check(password: str, login: str) -> None:
    """Errors: `PasswordRefused`, when nobody should have this password, or not who has this login."""
    if not password:
        raise PasswordRefused("The password is empty.")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise PasswordRefused("The password is no text in UTF-8.") from error
    if len(password) < FEWEST_CHARACTERS:
        raise PasswordRefused(f"The password has {len(password)} characters; {FEWEST_CHARACTERS} or more are needed.")
    if len(password) > MOST_CHARACTERS:
        raise PasswordRefused(f"The password is longer than {MOST_CHARACTERS} characters.")
    if len(set(password)) == 1 or not password.strip():
        raise PasswordRefused("The password is one character again and again, or nothing but blanks.")
    if login.casefold() in password.casefold():
        raise PasswordRefused("The password holds the login. Choose one that nobody can guess from it.")


class Passwords:
    """Makes and checks hashes, `AT_A_TIME` at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turns = trio.CapacityLimiter(AT_A_TIME)

    async def hash(self, password: str) -> str:
        """The hash to keep, with its parameters. Errors: `Busy`."""
        if self._turns.statistics().tasks_waiting >= MOST_WAITING:
            raise Busy
        return await trio.to_thread.run_sync(self._hasher.hash, password, limiter=self._turns)

    async def matches(self, password: str, kept: str) -> bool:
        """Whether `kept` is this password's hash. Where none is kept (empty) it takes as long, and is False.

        Errors: `Busy`.
        """
        if len(password) > MOST_CHARACTERS:
            return False
        if not kept:
            await self.hash(password)
            return False
        if self._turns.statistics().tasks_waiting >= MOST_WAITING:
            raise Busy
        return await trio.to_thread.run_sync(self._verify, password, kept, limiter=self._turns)

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's, and should be made again."""
        return self._hasher.check_needs_rehash(kept)

    def _verify(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
