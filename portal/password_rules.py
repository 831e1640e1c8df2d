"""What makes a password acceptable: length, not among the most common, not holding the login; as the platform wants it.

A refusal has a code; its text is an English sentence, which commands print.

Not here: hashes, and sentences in the reader's language (`passwords.py`), who sets the policy (`schema/platform.py`).
"""

import string
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final

from schema.profiles import PasswordPolicy

# Nobody types more; a longer text only keeps a core busy.
MOST_CHARACTERS: Final = 1024
# How many of the passwords that people have most often nobody may have.
MOST_COMMON: Final = 10_000
# A login of two characters is in too many passwords to tell anything about them.
FEWEST_OF_LOGIN: Final = 3
# What people put around a word to make it longer.
AROUND_A_WORD: Final = string.digits + string.punctuation + string.whitespace

# English, for commands.
SENTENCES: Final[Mapping[str, str]] = {
    "empty": "The password is empty.",
    "no_text": "The password is no text in UTF-8.",
    "control": "The password has characters in it that no keyboard types, such as a line break.",
    "short": "The password has {num} characters; {fewest} or more are needed.",
    "long": "The password is longer than {most} characters.",
    "monotonous": "The password is one character again and again, or nothing but blanks.",
    "common": "The password is among those that are tried first. Choose one that nobody else has.",
    "login": "The password holds the login. Choose one that nobody can guess from it.",
}


class PasswordRefused(Exception):
    """A password that may not be used. Its text is an English sentence; `in_words` says it in the reader's language."""

    def __init__(self, code: str, **values: int) -> None:
        super().__init__(SENTENCES[code].format(**values))
        self.code = code
        self.values = values


def check(password: str, login: str, policy: PasswordPolicy = PasswordPolicy()) -> None:  # noqa: B008  # it is frozen
    """Errors: `PasswordRefused`, when nobody should have this password, or not who has this login."""
    if not password:
        raise PasswordRefused("empty")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise PasswordRefused("no_text") from error
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise PasswordRefused("control")
    if len(password) < policy.characters:
        raise PasswordRefused("short", num=len(password), fewest=policy.characters)
    if len(password) > MOST_CHARACTERS:
        raise PasswordRefused("long", most=MOST_CHARACTERS)
    if len(set(password)) == 1 or not password.strip():
        raise PasswordRefused("monotonous")
    if policy.not_common and _is_common(password):
        raise PasswordRefused("common")
    if policy.not_login and len(login) >= FEWEST_OF_LOGIN and login.casefold() in password.casefold():
        raise PasswordRefused("login")


def _is_common(password: str) -> bool:
    """Whether it is one of the most common passwords, or one of them between digits and punctuation."""
    folded = password.casefold()
    return folded in _common() or folded.strip(AROUND_A_WORD) in _common()


@cache
def _common() -> frozenset[str]:
    # The lists take a tenth of a second to read: whoever sets a password waits for them, and nobody else.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]  # it has no types

    return frozenset(FREQUENCY_LISTS["passwords"][:MOST_COMMON])
