"""RTP packets (RFC 3550 section 5.1) and telephone-events (RFC 4733): one at a time, and a block's rows at once.

`parse`/`serialize` serve senders, tests and tools. `read_headers` reads all rows of a journal's block in one numpy
pass; the two agree on every packet (a test holds them together).

Not here: what a payload means (codecs), where a packet belongs in time (`timeline.py`), SRTP.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.journal import ROW_CUT, ROW_RTCP, Rows

VERSION: Final = 2
HEADER_BYTES: Final = 12
# The payload types that RTCP packet types 192 to 223 look like when both share a port (RFC 5761 section 4).
RTCP_FIRST: Final = 64
RTCP_LAST: Final = 95
COMFORT_NOISE: Final = 13  # RFC 3551 table 4, RFC 3389
DIGITS: Final = "0123456789*#ABCD"  # RFC 4733 table 3, events 0 to 15

_HEADER = struct.Struct(">BBHII")
_EXTENSION = struct.Struct(">HH")
_EVENT = struct.Struct(">BBH")
_HEADER_ROW: Final = np.dtype(
    [("first", "u1"), ("second", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")]
)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet. `extension` is (profile, words as bytes) or None; `padding` counts bytes after the payload."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    padding: int = 0


def parse(data: bytes) -> Packet:
    """The RTP packet in a datagram. Raises `RemoteProtocolError`."""
    if len(data) < HEADER_BYTES:
        raise RemoteProtocolError(f"An RTP packet has at least {HEADER_BYTES} bytes; this one has {len(data)}.")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != VERSION:
        raise RemoteProtocolError(f"RTP is of version {VERSION}; this packet says {first >> 6}.")
    if is_rtcp(data):
        raise RemoteProtocolError("This is an RTCP packet, not RTP.")
    start = HEADER_BYTES + 4 * (first & 0x0F)
    if start > len(data):
        raise RemoteProtocolError("The RTP packet ends within its list of contributing sources.")
    csrcs = struct.unpack_from(f">{first & 0x0F}I", data, HEADER_BYTES)
    extension = None
    if first & 0x10:
        if start + _EXTENSION.size > len(data):
            raise RemoteProtocolError("The RTP packet ends before its header extension does.")
        profile, words = _EXTENSION.unpack_from(data, start)
        end = start + _EXTENSION.size + 4 * words
        if end > len(data):
            raise RemoteProtocolError("The RTP packet ends before its header extension does.")
        extension, start = (profile, data[start + _EXTENSION.size : end]), end
    padding = 0
    if first & 0x20:
        padding = data[-1]
        if not 1 <= padding <= len(data) - start:
            raise RemoteProtocolError(f"The RTP packet says {padding} bytes of padding and has {len(data) - start}.")
    payload = data[start : len(data) - padding]
    return Packet(second & 0x7F, sequence, timestamp, ssrc, payload, bool(second & 0x80), csrcs, extension, padding)


def serialize(packet: Packet) -> bytes:
    """The datagram of a packet. Raises `LocalProtocolError` when a field cannot be written."""
    if len(packet.csrcs) > 15 or not 0 <= packet.payload_type < 128 or not 0 <= packet.padding < 256:
        raise LocalProtocolError("An RTP packet has at most 15 sources, payload type 127 and 255 bytes of padding.")
    if RTCP_FIRST <= packet.payload_type <= RTCP_LAST:
        raise LocalProtocolError(f"Payload type {packet.payload_type} would be taken for RTCP.")
    first = VERSION << 6 | bool(packet.padding) << 5 | (packet.extension is not None) << 4 | len(packet.csrcs)
    second = packet.marker << 7 | packet.payload_type
    parts = [_HEADER.pack(first, second, packet.sequence, packet.timestamp, packet.ssrc)]
    parts.append(struct.pack(f">{len(packet.csrcs)}I", *packet.csrcs))
    if packet.extension is not None:
        profile, words = packet.extension
        if len(words) % 4:
            raise LocalProtocolError("A header extension consists of whole 32-bit words.")
        parts += [_EXTENSION.pack(profile, len(words) // 4), words]
    parts.append(packet.payload)
    if packet.padding:
        parts.append(bytes(packet.padding - 1) + bytes([packet.padding]))
    return b"".join(parts)


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a shared port is RTCP (RFC 5761 section 4)."""
    return len(data) >= 2 and RTCP_FIRST <= data[1] & 0x7F <= RTCP_LAST


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """A telephone-event payload (RFC 4733 section 2.3). `duration` in ticks of the stream's RTP clock."""

    event: int
    duration: int
    end: bool = False
    volume: int = 10

    @property
    def digit(self) -> str:
        """The key that was pressed; empty when the event is none."""
        return DIGITS[self.event] if self.event < len(DIGITS) else ""


def parse_event(payload: bytes) -> TelephoneEvent:
    """The event of a telephone-event payload. Raises `RemoteProtocolError`."""
    if len(payload) < _EVENT.size:
        raise RemoteProtocolError(f"A telephone-event has {_EVENT.size} bytes; this one has {len(payload)}.")
    event, flags, duration = _EVENT.unpack_from(payload)
    return TelephoneEvent(event, duration, bool(flags & 0x80), flags & 0x3F)


def serialize_event(event: TelephoneEvent) -> bytes:
    """The payload of an event."""
    return _EVENT.pack(event.event, event.end << 7 | event.volume, event.duration)


@dataclass(frozen=True, slots=True)
class Headers:
    """The RTP headers of a block's rows, (n,) each. Where `valid` is False (no RTP) the rest means nothing.

    `payload_start` are offsets into the rows' data; `payload_bytes` are without padding.
    """

    valid: NDArray[np.bool_]
    marker: NDArray[np.bool_]
    payload_type: NDArray[np.uint8]
    sequence: NDArray[np.uint16]
    timestamp: NDArray[np.uint32]
    ssrc: NDArray[np.uint32]
    payload_start: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]


def read_headers(rows: Rows) -> Headers:
    """The headers of all rows. RTCP, whichever port it came on, and what `parse` would refuse is not `valid`.

    The padding of a row that was cut (ROW_CUT) is unknown: its payload runs to the row's end.
    """
    data, count = rows.data, len(rows.headers)
    length = rows.headers["length"].astype(np.int64)
    flags = rows.headers["flags"]
    valid = (length >= HEADER_BYTES) & (flags & ROW_RTCP == 0)
    starts = np.where(valid, rows.starts, 0)
    head = np.zeros(count, _HEADER_ROW)
    if valid.any():
        windows = np.lib.stride_tricks.sliding_window_view(data, HEADER_BYTES)
        head = windows[starts].view(_HEADER_ROW).reshape(count)
    first, second = head["first"], head["second"]
    payload_type = second & 0x7F
    valid &= (first >> 6 == VERSION) & ((payload_type < RTCP_FIRST) | (payload_type > RTCP_LAST))
    offset = HEADER_BYTES + 4 * (first & 0x0F).astype(np.int64)
    extended = np.flatnonzero(valid & (first & 0x10 != 0))
    if len(extended):
        offset[extended] += _extension_bytes(data, starts[extended] + offset[extended])
    valid &= offset <= length
    payload_bytes = length - offset
    padded = np.flatnonzero(valid & (first & 0x20 != 0) & (flags & ROW_CUT == 0))
    if len(padded):
        padding = data[starts[padded] + length[padded] - 1].astype(np.int64)
        valid[padded] &= (padding >= 1) & (padding <= payload_bytes[padded])
        payload_bytes[padded] -= padding
    return Headers(
        valid,
        second >= 0x80,
        payload_type.astype(np.uint8),
        head["sequence"].astype(np.uint16),
        head["timestamp"].astype(np.uint32),
        head["ssrc"].astype(np.uint32),
        starts + offset,
        payload_bytes,
    )


def _extension_bytes(data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sizes of the header extensions that begin at `at`. One that leaves its packet makes it too long to be valid."""
    words = data.take(at + 2, mode="clip").astype(np.int64) << 8 | data.take(at + 3, mode="clip")
    return _EXTENSION.size + 4 * words
