"""What goes wrong when one dials, as sentences for the one who does. A defect of ours is none of these."""


class DialError(Exception):
    """A call, or a request inside one, did not come about. Its text is a sentence for the user."""


class WrongUsage(DialError):
    """What was asked for makes no sense, whatever the recorder does."""


class Refused(DialError):
    """The recorder answered with a failure."""

    def __init__(self, what: str, status: int, reason: str) -> None:
        super().__init__(f"The recorder refused {what}: {status} {reason}.")
        self.status = status
        self.reason = reason


class NoAnswer(DialError):
    """Nobody answered, or nobody is there."""


class Ended(DialError):
    """The call had ended before."""
