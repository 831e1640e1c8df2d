"""Cuts a TCP stream into SIP messages (RFC 3261 section 18.3) and keep-alives (RFC 5626 section 3.5.1).

It looks only at where messages end; reading them is the parser's work. Bytes may come in any portions, and the work
is linear in them. After an error the boundaries are lost: the connection is to be closed, the framer is done.
"""

import re
from dataclasses import dataclass

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.parser import MAX_MESSAGE_BYTES

PONG = b"\r\n"  # the answer to a Ping

_PING = b"\r\n\r\n"
_HEAD_END = re.compile(rb"\n\r?\n")
_HEADER_VALUE = rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)"
_LENGTH = re.compile(rb"^(?:content-length|l)" + _HEADER_VALUE, re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer asks whether the connection lives: answer with `PONG`."""


class FramingError(RemoteProtocolError):
    """The stream cannot be followed any further.

    `items` holds what was whole before it broke, `head` the header part of the message that broke it, if that is whole.
    """

    def __init__(self, message: str, items: list[bytes | Ping], head: bytes, *, status: int = 400) -> None:
        super().__init__(message, status=status)
        self.items = items
        self.head = head


class Framer:
    """The receiving side of one connection."""

    __slots__ = ("_broken", "_buffer", "_needed", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer known to hold no end of a head
        self._needed = 0  # length of the message whose head is complete, 0 while the head is not
        self._broken = False

    def feed(self, data: bytes) -> list[bytes | Ping]:
        """Takes the next bytes, returns the messages and pings that are now complete.

        A message without Content-Length has no body; one that names a Content-Type all the same breaks the stream.
        Errors: FramingError (a RemoteProtocolError), LocalProtocolError when fed again after that.
        """
        if self._broken:
            raise LocalProtocolError("The framer was fed after an error.")
        self._buffer += data
        items: list[bytes | Ping] = []
        try:
            while (item := self._next()) is not None:
                items.append(item)
        except RemoteProtocolError as error:
            self._broken = True
            end = _HEAD_END.search(self._buffer)
            head = bytes(self._buffer[: end.end()]) if end else b""
            self._buffer.clear()
            raise FramingError(str(error), items, head, status=error.status) from None
        return items

    def _next(self) -> bytes | Ping | None:
        if not self._needed:
            if self._skip_line_breaks():
                return Ping()
            self._needed = self._length_of_next()
        if not self._needed or len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        self._drop(self._needed)
        return message

    def _skip_line_breaks(self) -> bool:
        """Drops line breaks in front of a message; True where they were a ping."""
        buffer = self._buffer
        while buffer and buffer[0] in b"\r\n":
            if buffer.startswith(_PING):
                self._drop(len(_PING))
                return True
            if _PING.startswith(buffer):
                break  # may become a ping
            self._drop(1)
        return False

    def _length_of_next(self) -> int:
        """The length of the message at the front of the buffer, 0 as long as its head is not complete."""
        buffer = self._buffer
        if not buffer or buffer[0] in b"\r\n":
            return 0
        match = _HEAD_END.search(buffer, max(0, self._searched - 2))
        if match is None:
            if len(buffer) > MAX_MESSAGE_BYTES:
                raise RemoteProtocolError("The header part is longer than 64 KiB.", status=513)
            self._searched = len(buffer)
            return 0
        head_length = match.end()
        head = bytes(buffer[:head_length])
        if b"SIP/" not in head.partition(b"\n")[0].upper():
            raise RemoteProtocolError("The stream does not go on with a SIP message.")
        length = head_length + _body_length(head)
        if length > MAX_MESSAGE_BYTES:
            raise RemoteProtocolError("The message is longer than 64 KiB.", status=513)
        return length

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._searched = self._needed = 0


def _body_length(head: bytes) -> int:
    values = {match[1].strip() for match in _LENGTH.finditer(head)}
    if not values:
        if _TYPE.search(head):
            raise RemoteProtocolError("A message with a body came over a stream without Content-Length.")
        return 0
    value = values.pop()
    if values or not value.isdigit() or len(value) > 10:
        raise RemoteProtocolError("The Content-Length is not one number.")
    return int(value)
