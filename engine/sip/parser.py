"""Reads one SIP message out of bytes (RFC 3261 section 7 and 18.3), tolerant of what phone systems send.

Accepted beyond the grammar: bare LF in the header part, header folding, spaces before the colon and none after it,
bytes that are no UTF-8, empty lines in front. Bodies are handed on byte for byte. Work grows linearly with the length.
Nothing is decided here about methods, dialogs or what is supported.
"""

import re

from engine.errors import RemoteProtocolError
from engine.sip.address import parse_name_addr
from engine.sip.message import VERSION, Headers, Message, Request, Response

MAX_MESSAGE_BYTES = 65_536  # the largest UDP datagram; real ones with metadata reach 4 kB, conferences some more
MAX_HEADER_LINES = 256  # real messages have 15 to 40, long proxy chains add two a hop
MAX_HEADER_BYTES = 8_192  # one header unfolded; History-Info and Identity reach some 2 kB

MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
_HEAD_END = re.compile(rb"\n\r?\n")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_STATUS_LINE = re.compile(r"SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+(.*))?", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


class MalformedRequest(RemoteProtocolError):
    """A request that breaks the grammar but can be answered: `response_to(error.request, error.status)`.

    Never raised for an ACK, which has no answer.
    """

    def __init__(self, message: str, request: Request, *, status: int = 400) -> None:
        super().__init__(message, status=status)
        self.request = request


def is_keep_alive(datagram: bytes) -> bool:
    """Whether a datagram is one of the fillers that keep a NAT binding open: line breaks, NULs or nothing."""
    return not datagram.strip(b"\r\n\0 ")


def parse(datagram: bytes) -> Request | Response:
    """Reads a datagram, or what the stream framer cut out.

    A Content-Length below what is there cuts the body, a missing one takes the rest.
    Errors: MalformedRequest where an answer is possible, otherwise RemoteProtocolError.
    """
    if len(datagram) > MAX_MESSAGE_BYTES:
        raise RemoteProtocolError("The message is longer than 64 KiB.", status=513)
    data = datagram.lstrip(b"\r\n")
    end = _HEAD_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    lines = _unfolded(head)
    start_line = _text(lines[0]).strip() if lines else ""
    faults: list[tuple[int, str]] = []
    if end is None:
        faults.append((400, "The header part has no end."))
    headers = _headers(lines[1:], faults)
    if start_line[:4].upper() == "SIP/":
        return _response(start_line, headers, body, faults)
    return _request(start_line, headers, body, faults)


def _response(start_line: str, headers: Headers, body: bytes, faults: list[tuple[int, str]]) -> Response:
    match = _STATUS_LINE.fullmatch(start_line)
    if match is None:
        raise RemoteProtocolError("The status line is not `SIP/2.0 code reason`.")
    response = Response(int(match[1]), (match[2] or "").strip(), headers, _cut(headers, body, faults))
    _check(response, faults)
    if faults:
        raise RemoteProtocolError(faults[0][1])
    return response


def _request(start_line: str, headers: Headers, body: bytes, faults: list[tuple[int, str]]) -> Request:
    words = start_line.split()
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]):
        faults.insert(0, (400, "The first line is not `method URI SIP/2.0`."))
    elif words[2].upper() != VERSION:
        faults.insert(0, (505, f"The version is not {VERSION}."))
    method, uri = (*words, "", "")[:2]
    request = Request(method, uri, headers, _cut(headers, body, faults))
    _check(request, faults)
    if not faults:
        return request
    status, message = faults[0]
    if method != "ACK" and _is_answerable(request):
        raise MalformedRequest(message, request, status=status)
    raise RemoteProtocolError(message, status=status)


def _text(line: bytes) -> str:
    line = _CONTROL.sub(b" ", line)
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _unfolded(head: bytes) -> list[bytes]:
    """The lines of the head; a line that starts with a space or tab belongs to the one before (section 7.3.1)."""
    lines: list[list[bytes]] = []
    for raw in head.split(b"\n"):
        line = raw.removesuffix(b"\r")
        if len(lines) > 1 and line[:1] in (b" ", b"\t"):
            lines[-1].append(line.strip())
        else:
            lines.append([line.rstrip()])
    return [b" ".join(parts) for parts in lines]


def _headers(lines: list[bytes], faults: list[tuple[int, str]]) -> Headers:
    if len(lines) > MAX_HEADER_LINES:
        faults.append((513, f"The message has more than {MAX_HEADER_LINES} headers."))
    pairs = []
    for line in lines[:MAX_HEADER_LINES]:
        if len(line) > MAX_HEADER_BYTES:
            faults.append((513, f"A header is longer than {MAX_HEADER_BYTES} bytes."))
            continue
        name, colon, value = _text(line).partition(":")
        name = name.strip()
        if not colon or not _TOKEN.fullmatch(name):
            faults.append((400, "A header line has no name and colon."))
            continue
        pairs.append((name, value.strip()))
    return Headers(tuple(pairs))


def _cut(headers: Headers, body: bytes, faults: list[tuple[int, str]]) -> bytes:
    lengths = set(headers.all("Content-Length"))
    if not lengths:
        return body
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit() and len(text) <= 10):
        faults.append((400, "The Content-Length is not one number."))
        return body
    length = int(text)
    if length > len(body):
        faults.append((400, f"The Content-Length says {length} bytes, and {len(body)} are there."))
    return body[:length]


def _check(message: Message, faults: list[tuple[int, str]]) -> None:
    """The mandatory headers (section 8.1.1): there, once, and readable."""
    for name in MANDATORY:
        values = message.headers.all(name)
        if not values or not values[0]:
            faults.append((400, f"The message has no {name} header."))
        elif name != "Via" and len(values) > 1:
            faults.append((400, f"The message has more than one {name} header."))
    if faults:
        return
    try:
        _ = message.via, parse_name_addr(message.required("From")), parse_name_addr(message.required("To"))
        number_method = message.cseq
    except RemoteProtocolError as error:
        faults.append((error.status, str(error)))
        return
    if isinstance(message, Request) and message.method not in ("ACK", number_method.method):
        faults.append((400, "The CSeq names another method than the first line."))


def _is_answerable(request: Request) -> bool:
    """Whether the way back is known: all that an answer needs (RFC 4475 section 3.3.1)."""
    try:
        _ = request.via
    except RemoteProtocolError:
        return False
    return True
