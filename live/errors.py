"""What may come of asking an engine for something, as errors. Each text is a sentence.

Not here: problem documents and pages (the portal's).
"""


class GatewayError(Exception):
    """Something that was asked of an engine was not done. The text is a sentence."""


class Unreachable(GatewayError):
    """No connection to the gateway, or none any more."""


class Refused(GatewayError):
    """The call's state does not allow it. `why` is the `engine.call.Why` of it, as text: an engine that is newer than
    this may have others."""

    def __init__(self, sentence: str, why: str = "") -> None:
        super().__init__(sentence)
        self.why = why


class NoSuchCall(GatewayError):
    """The call does not run on this engine."""


class Unanswered(GatewayError):
    """Nobody knows whether it was done: the answer did not come."""
