"""The structured values inside SIP headers: parameters, URIs, name-addr and Via.

Reading is tolerant where phone systems are sloppy (a Contact without its closing `>`, parameters on either side of
it, spaces around separators), and raises `RemoteProtocolError` where no sense can be made. Parameter values keep their
quotes, so that what was read is written back unchanged. Nothing here knows which header a value came from.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from engine.errors import RemoteProtocolError

DEFAULT_PORT = 5060  # RFC 3261 section 18.2.2: where a Via names no port

Params = tuple[tuple[str, str | None], ...]
"""Parameters in order: (name as it came, value as it came or None for a flag)."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^>]*>?|[^"<]', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_VIA = re.compile(r"\s*[^\s/;,]+\s*/\s*[^\s/;,]+\s*/\s*([^\s/;,]+)\s+([^;]+)(.*)", re.DOTALL)
_HOST = re.compile(r"[^\s\x00-\x1f\[\]<>@,;?\"'/\\]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNQUOTED = re.compile(r"[\w\-.!%*+`'~ ]*", re.ASCII)


def split_outside(text: str, separator: str) -> list[str]:
    """The pieces of `text` between separators that stand outside quotes and `<>`, stripped, empty ones left out."""
    if separator not in text:
        pieces = [text]
    elif '"' not in text and "<" not in text:
        pieces = text.split(separator)
    else:
        pieces, start = [], 0
        for match in _PIECE.finditer(text):
            if match[0] == separator:
                pieces.append(text[start : match.start()])
                start = match.end()
        pieces.append(text[start:])
    return [stripped for piece in pieces if (stripped := piece.strip())]


def parse_params(text: str) -> Params:
    """Parameters of `;a=1;b;c="x;y"`. Never raises: whatever stands between semicolons is a parameter."""
    params: list[tuple[str, str | None]] = []
    for piece in split_outside(text, ";"):
        name, equals, value = piece.partition("=")
        params.append((name.strip(), value.strip() if equals else None))
    return tuple(params)


def serialize_params(params: Params) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def has_param(params: Params, name: str) -> bool:
    return any(each.lower() == name for each, _ in params)


def param_of(params: Params, name: str) -> str | None:
    """The first parameter called `name` (lower case), without quotes; "" for a flag, None where it is missing."""
    for each, value in params:
        if each.lower() == name:
            return unquoted(value or "")
    return None


def unquoted(text: str) -> str:
    """The text of a quoted-string (RFC 3261 section 25.1), or the text itself where it is none."""
    match = _QUOTED.fullmatch(text)
    return _ESCAPED.sub(r"\1", match[1]) if match else text


def quoted(text: str) -> str:
    """`text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address: the host without brackets, the port or None.

    Errors: RemoteProtocolError for a host that can be none, or a port that is no number below 65536.
    """
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest.strip()[:1], rest.strip()[1:]
        if not bracket or (rest.strip() and colon != ":"):
            raise RemoteProtocolError("The host has no closing bracket, or something other than a port behind it.")
    elif text.count(":") > 1:
        host, colon, port = text, "", ""
    else:
        host, colon, port = text.partition(":")
    host, port = host.strip(), port.strip()
    if not _HOST.fullmatch(host):
        raise RemoteProtocolError("The host is empty or holds what no host may.")
    if not colon:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise RemoteProtocolError("The port is not a number between 0 and 65535.")
    return host, int(port)


def serialize_host_port(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


@dataclass(frozen=True, slots=True)
class SipUri:
    """A sip, sips or tel URI (RFC 3261 section 19.1, RFC 3966). `user` is as on the wire; a tel URI has no host."""

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Params = ()
    headers: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Errors: RemoteProtocolError for another scheme, no host, or a port that is none."""
        scheme, colon, rest = text.strip().partition(":")
        scheme = scheme.lower()
        if not colon or scheme not in ("sip", "sips", "tel"):
            raise RemoteProtocolError("The URI is none of sip, sips and tel.", status=416)
        if scheme == "tel":
            number, _, tail = rest.partition(";")
            if not number.strip():
                raise RemoteProtocolError("The tel URI has no number.")
            return cls(scheme, number.strip(), "", None, parse_params(tail))
        userinfo, at, place = rest.rpartition("@")
        place, _, headers = place.partition("?")
        host_port, _, tail = place.partition(";")
        host, port = parse_host_port(host_port)
        return cls(scheme, userinfo if at else None, host, port, parse_params(tail), headers)

    @property
    def user_text(self) -> str:
        """The user for people to read: unescaped, without password and control characters; "" where there is none."""
        user = (self.user or "").partition(":")[0]
        return _CONTROL.sub("", unquote(user))

    def serialize(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{serialize_params(self.params)}"
        user = "" if self.user is None else f"{self.user}@"
        headers = f"?{self.headers}" if self.headers else ""
        place = serialize_host_port(self.host, self.port)
        return f"{self.scheme}:{user}{place}{serialize_params(self.params)}{headers}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The value of From, To, Contact, Route and their like (RFC 3261 section 20.10): who, and the header's parameters.

    `display` is unquoted text, `uri` the URI as it came.
    """

    display: str
    uri: str
    params: Params = ()

    @property
    def tag(self) -> str | None:
        return param_of(self.params, "tag") or None

    def param(self, name: str) -> str | None:
        """The header parameter `name` without quotes; "" for a flag, None where it is missing."""
        return param_of(self.params, name.lower())

    def has_feature(self, name: str) -> bool:
        """Whether the feature tag (`+sip.src`) is there, inside the `<>` or outside, with or without a value."""
        name = name.lower()
        return has_param(self.params, name) or has_param(parse_params(self.uri.partition(";")[2]), name)

    def with_param(self, name: str, value: str | None = None) -> "NameAddr":
        """The same with this parameter last, in the place of any of its name."""
        kept = tuple(each for each in self.params if each[0].lower() != name.lower())
        return NameAddr(self.display, self.uri, (*kept, (name, value)))

    def serialize(self) -> str:
        if self.uri == "*":
            return "*"
        display = ""
        if self.display:
            display = self.display if _UNQUOTED.fullmatch(self.display) else quoted(self.display)
        return f"{display}{' ' if display else ''}<{self.uri}>{serialize_params(self.params)}"


def parse_name_addr(text: str) -> NameAddr:
    """Reads `"Name" <uri>;params`, `Name <uri>;params`, `uri;params` (the parameters are the header's) and `*`.

    Without a closing `>` everything to the end is the URI, and its parameters count as the header's too.
    Errors: RemoteProtocolError where there is no URI, or one with white space in it: it could not be written again.
    """
    rest = text.strip()
    if rest == "*":
        return NameAddr("", "*")
    display = None
    if rest.startswith('"') and (match := _QUOTED.match(rest)):
        display, rest = _ESCAPED.sub(r"\1", match[1]), rest[match.end() :]
    before, bracket, after = rest.partition("<")
    if not bracket:
        uri, _, tail = rest.partition(";")
        found = NameAddr(display or "", uri.strip(), parse_params(tail))
    else:
        uri, closed, tail = after.partition(">")
        tail = tail.partition(";")[2] if closed else uri.partition(";")[2]
        name = before.strip().strip('"').rstrip() if display is None else display
        found = NameAddr(name, uri.strip(), parse_params(tail))
    scheme, colon, place = found.uri.partition(":")
    if not colon or not place or not _SCHEME.fullmatch(scheme):
        raise RemoteProtocolError("An address has no URI.")
    if any(character.isspace() for character in found.uri):
        raise RemoteProtocolError("An address has white space in its URI.")
    return found


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of the way that answers go back (RFC 3261 section 20.42). `transport` is in upper case."""

    transport: str
    host: str
    port: int | None = None
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads one value (not a comma list), spaces allowed around every separator.

        Errors: RemoteProtocolError.
        """
        match = _VIA.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("The Via is not `SIP/2.0/transport host`.")
        host, port = parse_host_port(match[2])
        return cls(match[1].upper(), host, port, parse_params(match[3]))

    @property
    def branch(self) -> str | None:
        return param_of(self.params, "branch") or None

    @property
    def received(self) -> str | None:
        return param_of(self.params, "received") or None

    @property
    def rport(self) -> int | None:
        value = param_of(self.params, "rport") or ""
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 5 else None

    def seen_from(self, host: str, port: int) -> "Via":
        """The same with `received` where the sender is not the host it names, and `rport` where it asked for that.

        RFC 3261 section 18.2.1, RFC 3581 section 4.
        """
        params = tuple(each for each in self.params if each[0].lower() != "received")
        asked = has_param(params, "rport")
        if asked:
            params = tuple((name, str(port)) if name.lower() == "rport" else (name, value) for name, value in params)
        if asked or host != self.host:
            params = (*params, ("received", host))
        return Via(self.transport, self.host, self.port, params)

    @property
    def reply_address(self) -> tuple[str, int]:
        """Where an answer goes over UDP: `received` or the host named, `rport` or the port named (RFC 3581)."""
        return self.received or self.host, self.rport or self.port or DEFAULT_PORT

    def serialize(self) -> str:
        place = serialize_host_port(self.host, self.port)
        return f"SIP/2.0/{self.transport} {place}{serialize_params(self.params)}"
