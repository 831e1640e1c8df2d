"""Passwords: whether one may be had, said to its reader, and Argon2id (RFC 9106) in threads of their own.

A hash takes a tenth of a second of CPU and 64 MiB, so only a few are made at a time, and few may wait for their turn.

Not here: what makes one acceptable (`password_rules.py`), who has which (`schema/access.py`), and how often one may try
(`limits.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from quart_babel import gettext, ngettext

from portal.password_rules import MOST_CHARACTERS, SENTENCES, PasswordRefused, check
from schema.platform import password_policy

__all__ = [
    "MOST_CHARACTERS",
    "SENTENCES",
    "Busy",
    "PasswordRefused",
    "Passwords",
    "approve",
    "check",
    "in_words",
    "rules",
]

# Half of a small machine's cores, and 128 MiB.
AT_A_TIME: Final = 2
# With more in line the last one would wait for several seconds.
MOST_WAITING: Final = 40


class Busy(Exception):
    """More people are signing in than can be checked now."""


async def approve(password: str, login: str) -> None:
    """`check`, as the platform wants it. Errors: `PasswordRefused`."""
    check(password, login, await password_policy())


async def rules() -> str:
    """What a password must be like, to be read before one chooses."""
    policy = await password_policy()
    told = ngettext("At least %(num)s character.", "At least %(num)s characters.", policy.characters)
    common = gettext("Not one that many people have.") if policy.not_common else ""
    login = gettext("Your login must not be in it.") if policy.not_login else ""
    return " ".join(filter(None, (told, common, login)))


def in_words(refused: PasswordRefused) -> str:
    """Why a password may not be used, in the reader's language."""
    return _WORDS[refused.code](refused.values)


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "empty": lambda v: gettext("Please fill in this field."),
    "no_text": lambda v: gettext("This has characters in it that are no text."),
    "control": lambda v: gettext("This has characters in it that no keyboard types, such as a line break."),
    "short": lambda v: ngettext(
        "This has %(num)s character; %(fewest)s or more are needed.",
        "This has %(num)s characters; %(fewest)s or more are needed.",
        v["num"],
        fewest=v["fewest"],
    ),
    "long": lambda v: gettext("This is too long: at most %(most)s characters fit.", **v),
    "monotonous": lambda v: gettext("This is one character again and again, or nothing but blanks."),
    "common": lambda v: gettext("This is among the passwords that are tried first. Choose one that nobody else has."),
    "login": lambda v: gettext("This holds the login. Choose a password that nobody can guess from it."),
}


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
