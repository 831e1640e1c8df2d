"""What goes wrong when one dials, as sentences for the one who does. A defect of ours is none of these."""

import re
from typing import Final

from engine.sip.address import unquoted
from engine.sip.message import Response

_WARNING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class DialError(Exception):
    """A call, or a request inside one, did not come about. Its text is a sentence for the user."""


class WrongUsage(DialError):
    """What was asked for makes no sense, whatever the recorder does."""


class Refused(DialError):
    """The recorder answered with a failure; where it says more in a Warning (RFC 3261 section 20.43), so do we."""

    def __init__(self, what: str, response: Response) -> None:
        answer = f"{response.status} {response.reason}".rstrip()
        warning = _WARNING.search(response.headers.get("Warning") or "")
        why = f" ({unquoted(warning[0])})" if warning else ""
        super().__init__(f"The recorder refused {what}: {answer}{why}.")
        self.status = response.status


class NoAnswer(DialError):
    """Nobody answered, or nobody is there."""


class Ended(DialError):
    """The call had ended before."""
