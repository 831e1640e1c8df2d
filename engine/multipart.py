"""Bodies of several parts: what a multipart body holds, and how one is written (RFC 2046, section 5.1).

A part's body comes out byte for byte as it stood between two delimiters. Nothing here decodes a part, follows
nested multiparts, or knows what SIPREC puts into them.

Phone systems bend the rules, and all of this is read: a boundary quoted or not, missing from the header or not the
one that the body uses, a closing delimiter left out, bare LF for CRLF, `Content-Type:` without a space.
"""

import re
from dataclasses import dataclass

from engine.errors import LocalProtocolError, RemoteProtocolError

MAX_PARTS = 32
"""A SIPREC body has two or three parts; a body of thousands is an attack on what walks over them."""

DEFAULT_CONTENT_TYPE = "text/plain"
"""What a part without a Content-Type is (RFC 2046, section 5.2)."""

_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]*)\"|([^;]*))", re.IGNORECASE)
_FIRST_DELIMITER = re.compile(rb"^--([^\r\n]{1,200})", re.MULTILINE)
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LAWFUL_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its media type as written, its other header lines in their order, and its body, untouched."""

    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def media_type(content_type: str) -> str:
    """Return the bare media type of a Content-Type value: no parameters, no white space, lower case."""
    return "".join(content_type.partition(";")[0].split()).lower()


def split(content_type: str, body: bytes) -> tuple[Part, ...]:
    """Take a multipart body apart; the work is linear in its length.

    The boundary is the header's, or, where that is missing or never met, the one of the first line that looks like
    a delimiter. Text before the first and after the closing delimiter is dropped. Without a closing delimiter the
    last part reaches to the end of the body.

    Errors: RemoteProtocolError where no delimiter is found, where there is no part or more than `MAX_PARTS`, or
    where a part's header has a line without a colon.
    """
    delimiters = _delimiters(content_type, body)
    parts = []
    for index, (_, start, closing) in enumerate(delimiters):
        if closing:
            break
        if index == MAX_PARTS:
            raise RemoteProtocolError(f"The multipart body has more than {MAX_PARTS} parts.")
        last = index + 1 == len(delimiters)
        end = len(body) if last else _without_line_break(body, start, delimiters[index + 1][0])
        parts.append(_part(body[start:end]))
    if not parts:
        raise RemoteProtocolError("The multipart body has no part.")
    return tuple(parts)


def join(parts: tuple[Part, ...], boundary: str) -> tuple[str, bytes]:
    """Write parts as one body; return its Content-Type value (multipart/mixed) and its bytes.

    Errors: LocalProtocolError for a boundary that RFC 2046 does not allow or that a part's body contains, for
    header lines with a line break in them, and for no part at all.
    """
    if not parts:
        raise LocalProtocolError("A multipart body needs at least one part.")
    if not _LAWFUL_BOUNDARY.fullmatch(boundary):
        raise LocalProtocolError(f"The boundary {boundary!r} is not allowed in a multipart body.")
    delimiter = b"--" + boundary.encode("ascii")
    chunks = []
    for part in parts:
        if delimiter in part.body:
            raise LocalProtocolError(f"The boundary {boundary!r} occurs in a part's body.")
        chunks.append(delimiter + b"\r\n")
        for name, value in (("Content-Type", part.content_type), *part.headers):
            if "\r" in name + value or "\n" in name + value or ":" in name:
                raise LocalProtocolError(f"The part's header {name!r} cannot be written on one line.")
            chunks.append(f"{name}: {value}\r\n".encode())
        chunks += [b"\r\n", part.body, b"\r\n"]
    chunks.append(delimiter + b"--\r\n")
    return f'multipart/mixed;boundary="{boundary}"', b"".join(chunks)


def _delimiters(content_type: str, body: bytes) -> list[tuple[int, int, bool]]:
    """Return (start of the delimiter's line, start of what follows it, is it the closing one) for each delimiter."""
    if declared := _BOUNDARY.search(content_type):
        boundary = (declared[1] if declared[1] is not None else declared[2]).strip().encode("utf-8", "replace")
        if boundary and (found := _find(boundary, body)):
            return found
    if first := _FIRST_DELIMITER.search(body):
        boundary = first[1].rstrip(b" \t")
        if found := _find(boundary, body):
            return found
    raise RemoteProtocolError("The multipart body does not contain its boundary.")


def _find(boundary: bytes, body: bytes) -> list[tuple[int, int, bool]]:
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
    return [(found.start(), found.end(), found[1] is not None) for found in line.finditer(body)]


def _without_line_break(body: bytes, start: int, end: int) -> int:
    """Return where the content ends: the line break before a delimiter belongs to the delimiter."""
    if end > start and body[end - 1 : end] == b"\n":
        end -= 1
        if end > start and body[end - 1 : end] == b"\r":
            end -= 1
    return end


def _part(content: bytes) -> Part:
    blank = _BLANK_LINE.search(content)
    block, body = (content[: blank.start()], content[blank.end() :]) if blank else (content, b"")
    content_type = None
    headers = []
    for line in _FOLD.sub(b" ", block).split(b"\n"):
        if not line.strip():
            continue
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon:
            raise RemoteProtocolError("A part of the multipart body has a header line without a colon.")
        if content_type is None and name.strip().lower() == "content-type":
            content_type = value.strip()
        else:
            headers.append((name.strip(), value.strip()))
    return Part(content_type or DEFAULT_CONTENT_TYPE, tuple(headers), body)
