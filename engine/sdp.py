"""Session descriptions: read, written, offered and answered (RFC 8866, RFC 3264, RFC 7866).

A description is a value. The lines that a recorder has no use for (bandwidth, timing, keys, information) are read
over and not kept; every attribute is kept as text. Nothing here opens a port or knows which codecs Earshot decodes:
the caller says both.

What phone systems leave out is filled in: a missing `c=`, `t=` or `o=` is no error, a direction is inherited from
the session and is sendrecv where nobody gives one, and static payload types need no `a=rtpmap`. Labels are text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from engine.errors import LocalProtocolError, RemoteProtocolError

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Suspension = Literal["inactive", "zero-address", "inactive+zero-address"]
Attributes = tuple[tuple[str, str | None], ...]

MAX_MEDIA = 64
"""A recorded conference has a handful of m-lines; each one costs a pair of ports to answer."""

RTP_PROFILES = ("rtp/avp", "rtp/avpf")
"""The profiles that are answered: plain RTP. The keyed ones are rejected, see `answer`."""

_DIRECTIONS: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}
_BESIDE_AUDIO = frozenset({"telephone-event", "cn", "red"})
"""Payloads that come beside audio; a stream that offers nothing else has nothing to record."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_RTPMAP = re.compile(r"([0-9]{1,3})\s+([^\s/]+)\s*/\s*([0-9]{1,7})(?:\s*/\s*([0-9]{1,3}))?")
_FMTP = re.compile(r"([0-9]{1,3})\s+(.+)", re.DOTALL)
_UNWRITABLE = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Codec:
    """What one payload type carries. `rate_hz` is the RTP clock; `name` is spelled as the peer did."""

    payload_type: int
    name: str
    rate_hz: int
    channels: int = 1
    fmtp: str | None = None

    @property
    def encoding(self) -> str:
        """The name in lower case: encoding names are compared without regard to case (RFC 4855, section 3)."""
        return self.name.lower()


STATIC_CODECS: dict[int, Codec] = {
    codec.payload_type: codec
    for codec in (
        Codec(0, "PCMU", 8000),
        Codec(3, "GSM", 8000),
        Codec(4, "G723", 8000),
        Codec(8, "PCMA", 8000),
        Codec(9, "G722", 8000),
        Codec(13, "CN", 8000),
        Codec(18, "G729", 8000),
        Codec(19, "CN", 8000),
    )
}
"""Payload types known without a=rtpmap (RFC 3551, section 6; 19 is the old number of comfort noise)."""

PCMU, PCMA = STATIC_CODECS[0], STATIC_CODECS[8]
TELEPHONE_EVENT = Codec(101, "telephone-event", 8000, fmtp="0-15")


def is_g711(codec: Codec) -> bool:
    """Tell whether a codec is G.711 of one channel at 8 kHz, or the telephone-events that go with it."""
    return codec.encoding in ("pcmu", "pcma", "telephone-event") and (codec.rate_hz, codec.channels) == (8000, 1)


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line and what belongs to it.

    `formats` are payload types (int) or, outside RTP, tokens (str). `address` is that of its c= line, else the
    session's, else None. `session_direction` is what the session's own attributes say, if anything.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[int | str, ...]
    port_count: int = 1
    address: str | None = None
    attributes: Attributes = ()
    session_direction: Direction | None = None

    def attribute(self, name: str) -> str | None:
        """Return the value of the first attribute of this name; None where it is missing or has no value."""
        return next((value for key, value in self.attributes if key.lower() == name), None)

    @property
    def label(self) -> str | None:
        """The label that ties the stream to the metadata (RFC 4574); text, whatever it looks like."""
        return self.attribute("label")

    @property
    def direction(self) -> Direction:
        """Its own direction, else the session's, else sendrecv (RFC 8866, section 6.7)."""
        return _direction(self.attributes) or self.session_direction or "sendrecv"

    @property
    def ptime_ms(self) -> int | None:
        """How much audio a packet carries, in ms, where the description says it sensibly (RFC 8866, section 6.4)."""
        digits = re.match(r"[0-9]{1,4}", self.attribute("ptime") or "")
        return int(digits[0]) or None if digits else None

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs of the formats, in the order of preference; formats that nobody explains are left out."""
        maps: dict[int, Codec] = {}
        parameters: dict[int, str] = {}
        for name, value in self.attributes:
            if name.lower() == "rtpmap" and (found := _RTPMAP.match(value or "")) and int(found[3]):
                codec = Codec(int(found[1]), found[2], int(found[3]), int(found[4] or 1) or 1)
                maps.setdefault(codec.payload_type, codec)
            elif name.lower() == "fmtp" and (found := _FMTP.match(value or "")):
                parameters.setdefault(int(found[1]), found[2])
        explained = []
        for payload_type in dict.fromkeys(self.formats):
            if isinstance(payload_type, int) and (known := maps.get(payload_type) or STATIC_CODECS.get(payload_type)):
                fmtp = parameters.get(payload_type, known.fmtp)
                explained.append(Codec(payload_type, known.name, known.rate_hz, known.channels, fmtp))
        return tuple(explained)


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line: who made the description, and which version of it this is (RFC 8866, section 5.2)."""

    username: str = "-"
    session_id: str = "0"
    version: str = "0"
    address: str = "0.0.0.0"  # noqa: S104 - what phone systems write when they do not say it; nothing binds to it


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. `address` is that of the session's own c= line, or None."""

    media: tuple[Media, ...]
    origin: Origin = field(default_factory=Origin)
    name: str = "-"
    address: str | None = None
    attributes: Attributes = ()

    def serialize(self) -> bytes:
        """Write the description, with CRLF.

        Errors: LocalProtocolError where a text has a line break in it.
        """
        origin = self.origin
        lines = ["v=0", f"o={origin.username} {origin.session_id} {origin.version} {_network(origin.address)}"]
        lines.append(f"s={self.name}")
        if self.address is not None:
            lines.append(f"c={_network(self.address)}")
        lines += ["t=0 0", *_attribute_lines(self.attributes)]
        for media in self.media:
            port = str(media.port) if media.port_count == 1 else f"{media.port}/{media.port_count}"
            lines.append(" ".join([f"m={media.kind}", port, media.protocol, *map(str, media.formats)]))
            if media.address is not None and media.address != self.address:
                lines.append(f"c={_network(media.address)}")
            lines += _attribute_lines(media.attributes)
        if any(_UNWRITABLE.search(line) for line in lines):
            raise LocalProtocolError("A line of a session description must not contain a line break.")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def parse(document: bytes) -> SessionDescription:
    """Read a description; the work is linear in its length. Line ends may be CRLF, LF or CR.

    Errors: RemoteProtocolError where it does not begin with v=, a line is no `x=value`, an m-line cannot be
    understood, or there are more than `MAX_MEDIA` of them.
    """
    lines = [line.decode("utf-8", "replace").strip() for line in _LINE_END.split(document)]
    lines = [line for line in lines if line]
    if not lines or not lines[0].startswith("v="):
        raise RemoteProtocolError("The session description does not begin with v=.")
    origin, name, address = Origin(), "-", None
    attributes: list[tuple[str, str | None]] = []
    sections: list[_Section] = []
    for line in lines:
        if line[1:2] != "=":
            raise RemoteProtocolError("The session description has a line that is not of the form x=value.")
        letter, value = line[0], line[2:].strip()
        section = sections[-1] if sections else None
        if letter == "m":
            if len(sections) == MAX_MEDIA:
                raise RemoteProtocolError(f"The session description has more than {MAX_MEDIA} media.")
            sections.append(_Section(value))
        elif letter == "a":
            _read_attribute(value, section.attributes if section else attributes)
        elif letter == "c" and section:
            section.address = section.address or _read_address(value)
        elif letter == "c":
            address = _read_address(value)
        elif letter == "o":
            origin = _read_origin(value)
        elif letter == "s":
            name = value or "-"
    direction = _direction(tuple(attributes))
    media = tuple(_read_media(section, address, direction) for section in sections)
    return SessionDescription(media, origin, name, address, tuple(attributes))


def suspension(media: Media) -> Suspension | None:
    """Tell whether and how a stream is suspended, that is: announced to carry no audio for now.

    `a=inactive` is the hold of Webex, AudioCodes and Cisco; a c= line of zeros (RFC 2543, section B.5) is the pause of
    BroadWorks and Metaswitch. The two cannot be told from each other by this alone, so the form is what is returned.
    """
    inactive = media.direction == "inactive"
    if _is_zero(media.address):
        return "inactive+zero-address" if inactive else "zero-address"
    return "inactive" if inactive else None


def is_acceptable(media: Media, codecs: Callable[[Codec], bool]) -> bool:
    """Tell whether `answer` would accept an m-line: live audio over plain RTP in a codec that `codecs` takes."""
    plain_audio = media.kind.lower() == "audio" and media.protocol.lower() in RTP_PROFILES
    return plain_audio and media.port != 0 and bool(_common_codecs(media, codecs))


def answer(
    offer: SessionDescription,
    *,
    session_id: int,
    version: int,
    address: str,
    ports: Mapping[int, int],
    codecs: Callable[[Codec], bool] = is_g711,
) -> SessionDescription:
    """Answer an offer as a recorder does (RFC 3264, section 6; RFC 7866, section 7.1.2): it receives and never sends.

    `ports` maps the index of an m-line to our RTP port; a line without a port, or with port 0, is rejected, and so is
    one that `is_acceptable` does not take. The answer has the offer's m-lines in their order, with their profile,
    their label and their payload numbers, of which it keeps those that `codecs` takes. An inactive stream stays
    inactive, one that the peer only wants to receive becomes inactive, and all others are recvonly. No ptime: the
    packets come as the sender makes them.

    RTP/SAVP and RTP/SAVPF are rejected with port 0: the answer has no keys to give.
    """
    media = []
    for index, offered in enumerate(offer.media):
        port = ports.get(index, 0) if is_acceptable(offered, codecs) else 0
        label: Attributes = (("label", offered.label),) if offered.label is not None else ()
        if port == 0:
            media.append(Media(offered.kind, 0, offered.protocol, offered.formats, 1, address, label))
            continue
        direction = "inactive" if offered.direction in ("inactive", "recvonly") else "recvonly"
        common = _common_codecs(offered, codecs)
        attributes = (*_codec_attributes(common), (direction, None), *label)
        formats = tuple(codec.payload_type for codec in common)
        media.append(Media(offered.kind, port, offered.protocol, formats, 1, address, attributes))
    origin = Origin("earshot", str(session_id), str(version), address)
    return SessionDescription(tuple(media), origin, address=address)


def offer(
    streams: Sequence[tuple[str, int]],
    *,
    session_id: int,
    version: int,
    address: str,
    suspended: Suspension | None = None,
    codecs: Sequence[Codec] = (PCMU, PCMA, TELEPHONE_EVENT),
    ptime_ms: int = 20,
) -> SessionDescription:
    """Offer audio streams as a recording client does (RFC 7866, section 7.1.1): one m-line for each (label, port).

    The streams are sendonly; `suspended` writes one of the forms that `suspension` reads: `a=inactive`, a c= line of
    zeros with no direction at all, or both at once.
    """
    connection = address
    if suspended in ("zero-address", "inactive+zero-address"):
        connection = "::" if ":" in address else "0.0.0.0"  # noqa: S104 - written to the peer; nothing binds to it
    direction: Attributes = () if suspended == "zero-address" else (("inactive" if suspended else "sendonly", None),)
    formats = tuple(codec.payload_type for codec in codecs)
    common = (*_codec_attributes(codecs), ("ptime", str(ptime_ms)), *direction)
    media = tuple(
        Media("audio", port, "RTP/AVP", formats, 1, connection, (*common, ("label", label))) for label, port in streams
    )
    return SessionDescription(media, Origin("-", str(session_id), str(version), address), address=connection)


@dataclass(slots=True)
class _Section:
    """An m-line while it is being read."""

    line: str
    address: str | None = None
    attributes: list[tuple[str, str | None]] = field(default_factory=list)


def _read_media(section: _Section, address: str | None, direction: Direction | None) -> Media:
    words = section.line.split()
    ports = re.fullmatch(r"([0-9]{1,5})(?:/([0-9]{1,3}))?", words[1]) if len(words) >= 3 else None
    if ports is None or int(ports[1]) > 65535 or ports[2] in ("0", "00", "000"):
        raise RemoteProtocolError(f"The session description has an m-line that cannot be read: {section.line[:80]!r}.")
    rtp = "rtp/" in words[2].lower()
    formats = tuple(int(word) if rtp and _is_payload_type(word) else word for word in words[3:])
    own, port_count, attributes = section.address or address, int(ports[2] or 1), tuple(section.attributes)
    return Media(words[0], int(ports[1]), words[2], formats, port_count, own, attributes, direction)


def _is_payload_type(word: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}", word) is not None and int(word) < 128


def _read_attribute(value: str, attributes: list[tuple[str, str | None]]) -> None:
    name, colon, text = value.partition(":")
    if name.strip():
        attributes.append((name.strip(), text.strip() if colon else None))


def _read_address(value: str) -> str | None:
    words = value.split()
    return words[2].partition("/")[0] or None if len(words) >= 3 else None


def _read_origin(value: str) -> Origin:
    words = value.split()
    return Origin(words[0], words[1], words[2], words[5]) if len(words) >= 6 else Origin()


def _direction(attributes: Attributes) -> Direction | None:
    return next((_DIRECTIONS[name.lower()] for name, _ in attributes if name.lower() in _DIRECTIONS), None)


def _is_zero(address: str | None) -> bool:
    try:
        return address is not None and ip_address(address).is_unspecified
    except ValueError:
        return False


def _common_codecs(media: Media, codecs: Callable[[Codec], bool]) -> tuple[Codec, ...]:
    """Return the codecs in common, or nothing where none of them is audio."""
    common = tuple(codec for codec in media.codecs if codecs(codec))
    return common if any(codec.encoding not in _BESIDE_AUDIO for codec in common) else ()


def _codec_attributes(codecs: Sequence[Codec]) -> Attributes:
    attributes: list[tuple[str, str | None]] = []
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        attributes.append(("rtpmap", f"{codec.payload_type} {codec.name}/{codec.rate_hz}{channels}"))
        if codec.fmtp is not None:
            attributes.append(("fmtp", f"{codec.payload_type} {codec.fmtp}"))
    return tuple(attributes)


def _attribute_lines(attributes: Attributes) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _network(address: str) -> str:
    return f"IN {'IP6' if ':' in address else 'IP4'} {address}"
