"""SIP messages as values: requests, responses and their headers (RFC 3261 section 7), and the answer to a request.

Headers keep their order, duplicates and spelling; bodies are bytes and are never touched. Nothing here checks whether
a message makes sense: the parser does so for what comes in. A property that reads a header raises RemoteProtocolError
where the header is missing or unreadable, which cannot happen for the mandatory headers of a parsed message.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.address import NameAddr, SipUri, Via, parse_name_addr, split_outside

__all__ = [
    "CSeq",
    "Headers",
    "Message",
    "NameAddr",
    "Request",
    "Response",
    "SipUri",
    "Via",
    "parse_name_addr",
    "response_to",
]

VERSION = "SIP/2.0"
MAX_CSEQ = 2**32 - 1  # RFC 3261 section 8.1.1.5 says below 2**31; some count on as unsigned

# The IANA registry of compact forms.
COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    603: "Decline",
    606: "Not Acceptable",
}

_CLASSES = {1: "Progress", 2: "OK", 3: "Redirection", 4: "Request Failure", 5: "Server Failure", 6: "Global Failure"}
_CSEQ = re.compile(r"([0-9]{1,10})\s+(\S+)")


class CSeq(NamedTuple):
    number: int
    method: str


def header_key(name: str) -> str:
    """The lower-case long form under which a header name is looked up."""
    lowered = name.strip().lower()
    return COMPACT.get(lowered, lowered)


@dataclass(frozen=True, slots=True)
class Headers:
    """Header lines in order, as (name as it came, value without the space around it)."""

    pairs: tuple[tuple[str, str], ...] = ()
    _index: dict[str, list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, list[str]] = {}
        for name, value in self.pairs:
            index.setdefault(header_key(name), []).append(value)
        object.__setattr__(self, "_index", index)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __contains__(self, name: str) -> bool:
        return header_key(name) in self._index

    def get(self, name: str) -> str | None:
        """The value of the first line called `name`, in any case and in long or compact form."""
        values = self._index.get(header_key(name))
        return values[0] if values else None

    def all(self, name: str, *, split: bool = False) -> list[str]:
        """The value of each line called `name`; `split` takes comma lists apart outside quotes and `<>`.

        Split only headers that are lists (Via, Route, Contact, Require, Allow ...): a comma in a Date is no separator.
        """
        values = self._index.get(header_key(name), [])
        return [item for value in values for item in split_outside(value, ",")] if split else list(values)

    def replaced(self, name: str, value: str) -> "Headers":
        """The same with `value` in the place of the first line called `name`, or at the end where there is none."""
        key, found, pairs = header_key(name), False, list(self.pairs)
        for position, (each, _) in enumerate(pairs):
            if header_key(each) == key:
                pairs[position], found = (each, value), True
                break
        return Headers((*pairs, (name, value)) if not found else tuple(pairs))

    def without(self, name: str) -> "Headers":
        key = header_key(name)
        return Headers(tuple(pair for pair in self.pairs if header_key(pair[0]) != key))


class Message(ABC):
    """What requests and responses have in common: headers, a body, and how they are told apart and written."""

    __slots__ = ()
    headers: Headers
    body: bytes

    @property
    @abstractmethod
    def start_line(self) -> str:
        """The first line without its line break."""

    def required(self, name: str) -> str:
        """Errors: RemoteProtocolError where the header is missing."""
        value = self.headers.get(name)
        if value is None:
            raise RemoteProtocolError(f"The message has no {name} header.")
        return value

    @property
    def call_id(self) -> str:
        return self.required("Call-ID")

    @property
    def from_addr(self) -> NameAddr:
        return parse_name_addr(self.required("From"))

    @property
    def to_addr(self) -> NameAddr:
        return parse_name_addr(self.required("To"))

    @property
    def from_tag(self) -> str | None:
        return self.from_addr.tag

    @property
    def to_tag(self) -> str | None:
        return self.to_addr.tag

    @property
    def cseq(self) -> CSeq:
        match = _CSEQ.fullmatch(self.required("CSeq"))
        if match is None or int(match[1]) > MAX_CSEQ:
            raise RemoteProtocolError("The CSeq is not a number and a method.")
        return CSeq(int(match[1]), match[2])

    @property
    def via(self) -> Via:
        """The topmost Via: the neighbour that the message came from."""
        values = split_outside(self.required("Via"), ",")
        if not values:
            raise RemoteProtocolError("The Via is empty.")
        return Via.parse(values[0])

    @property
    def via_branch(self) -> str | None:
        return self.via.branch

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact, or None where there is none."""
        values = self.headers.all("Contact", split=True)
        return parse_name_addr(values[0]) if values else None

    @property
    def content_type(self) -> str | None:
        """The whole value of Content-Type, parameters included, or None."""
        return self.headers.get("Content-Type")

    def serialize(self) -> bytes:
        """The bytes for the wire. Content-Length is made from the body, whatever the headers said.

        Errors: LocalProtocolError where the first line or a header holds a line break.
        """
        lines = [self.start_line]
        lines += [f"{name}: {value}" for name, value in self.headers if header_key(name) != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}")
        for line in lines:
            if "\r" in line or "\n" in line:
                raise LocalProtocolError(f"A line break inside the line {line!r}.")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


@dataclass(frozen=True, slots=True)
class Request(Message):
    method: str
    uri: str
    headers: Headers
    body: bytes = b""
    version: str = VERSION

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} {self.version}"

    def with_via(self, via: Via) -> "Request":
        """The same with this Via on top, as the transport that sends it adds."""
        return replace(self, headers=Headers((("Via", via.serialize()), *self.headers)))

    def seen_from(self, host: str, port: int) -> "Request":
        """The same with `received` and `rport` in its topmost Via, as the transport that received it adds."""
        first, *rest = split_outside(self.required("Via"), ",")
        stamped = Via.parse(first).seen_from(host, port).serialize()
        return replace(self, headers=self.headers.replaced("Via", ", ".join([stamped, *rest])))


@dataclass(frozen=True, slots=True)
class Response(Message):
    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def start_line(self) -> str:
        return f"{VERSION} {self.status} {self.reason}"

    @property
    def is_provisional(self) -> bool:
        return self.status < 200

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """The answer to `request` (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq copied, `headers` behind them.

    A To without a tag gets `to_tag`; where none is given (an answer outside a dialog), one derived from the request,
    so that a request that comes twice is answered alike. Record-Route is copied into answers that make a dialog.
    Works for the request of a `MalformedRequest` too.
    """
    pairs = [("Via", value) for value in request.headers.all("Via")]
    if status == 100 and (timestamp := request.headers.get("Timestamp")):
        pairs.append(("Timestamp", timestamp))
    if request.method == "INVITE" and 100 < status < 300:
        pairs += [("Record-Route", value) for value in request.headers.all("Record-Route")]
    for name in ("From", "To", "Call-ID", "CSeq"):
        value = request.headers.get(name)
        if value:  # a malformed request may lack it
            pairs.append((name, _tagged(request, value, to_tag) if name == "To" and status > 100 else value))
    pairs += headers
    if content_type is not None:
        pairs.append(("Content-Type", content_type))
    text = REASONS.get(status) or _CLASSES.get(status // 100, "Unknown")
    return Response(status, text if reason is None else reason, Headers(tuple(pairs)), body)


def _tagged(request: Request, value: str, tag: str | None) -> str:
    try:
        if parse_name_addr(value).tag:
            return value
    except RemoteProtocolError:
        return value
    if tag is None:
        seed = "\n".join(request.headers.get(name) or "" for name in ("Via", "From", "Call-ID", "CSeq"))
        tag = hashlib.blake2s(seed.encode(), digest_size=8).hexdigest()
    return f"{value};tag={tag}"
