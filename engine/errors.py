"""The two errors of the protocol code: either we erred, or the peer did.

Whatever bytes a parser is given, it returns a value or raises `RemoteProtocolError`; anything else is a defect.
"""


class ProtocolError(Exception):
    """A protocol was violated. Never raised itself: one of the two below says by whom."""


class LocalProtocolError(ProtocolError):
    """Our own code asked for something that the protocol does not allow in this state."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow.

    `status` is the SIP status code that answers it best (400 where nothing better is known).
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
