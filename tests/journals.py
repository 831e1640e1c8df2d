"""Journals for tests: a pen that writes them, and a short call."""

from pathlib import Path
from uuid import UUID

import numpy as np

from engine.events import (
    AnyEvent,
    Codec,
    Ended,
    Identified,
    Instant,
    MetadataReceived,
    Origin,
    Party,
    Started,
    Stream,
    StreamsAgreed,
    encode,
)
from engine.journal import ROW, ROW_CUT, ROW_RTCP, JournalWriter
from engine.keys import archive_private_key, public_bytes

MASTER_KEY = bytes(range(32))
CALL_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
START_NS = 1_700_000_000_000_000_000
NS_PER_MS = 1_000_000


def at(position_ms: int) -> Instant:
    return Instant(START_NS + position_ms * NS_PER_MS, 5_000_000_000 + position_ms * NS_PER_MS)


CALLER = Stream(
    index=0,
    dialog=0,
    label="1",
    side="caller",
    port=10_000,
    address="192.0.2.20",
    remote_address="192.0.2.10",
    remote_port=40_000,
    codecs=(Codec(0, "PCMU", 8000),),
)
CALLEE = Stream(index=1, dialog=0, label="2", side="callee", port=10_002, address="2001:db8::20", remote_port=40_002)


def rtp(sequence: int, payload: bytes = b"\xff" * 160) -> bytes:
    return b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(8) + payload


class Pen:
    """Writes a journal's events and packets at given positions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        key = public_bytes(archive_private_key(MASTER_KEY))
        self.writer = JournalWriter(str(path), CALL_ID, key)
        self._events = 0

    def event(self, event: AnyEvent) -> None:
        self._events += 1
        self.writer.append_event(self._events, encode(event), event.at.realtime_ns, event.at.monotonic_ns)

    def packets(self, position_ms: int, *rows: tuple[int, bytes, int]) -> None:
        """Rows of (stream, packet, flags), a millisecond apart."""
        headers = np.zeros(len(rows), ROW)
        for row, (stream, packet, flags) in enumerate(rows):
            arrival_ns = START_NS + (position_ms + row) * NS_PER_MS
            headers[row] = (arrival_ns // 10**9, arrival_ns % 10**9, stream, len(packet), flags, 0)
        data = b"".join(packet for _, packet, _ in rows)
        now = at(position_ms)
        self.writer.append_packets(len(rows), headers.tobytes(), data, now.realtime_ns, now.monotonic_ns)

    def close(self) -> None:
        self.writer.close()


def write_call(path: Path) -> None:
    """A short call of seven blocks: two streams, packets of both, RTCP, and its end."""
    pen = Pen(path)
    origin = Origin("abc@example.org", from_uri="sip:sbc@example.org", transport="udp")
    pen.event(Started(at=at(0), call_id=str(CALL_ID), node="recorder-1", origin=origin))
    pen.event(StreamsAgreed(at=at(1), dialog=0, streams=(CALLER, CALLEE)))
    pen.event(Identified(at=at(2), caller=Party("+1 555 0100", "Ann"), callee=Party("200")))
    pen.event(MetadataReceived(at=at(2), content_type="application/rs-metadata+xml", document=b"<recording/>"))
    pen.packets(200, (0, rtp(65_535), 0), (1, rtp(7), 0), (0, rtp(0), 0))
    pen.packets(400, (0, b"\x80\xc8" + bytes(26), ROW_RTCP), (1, rtp(8), ROW_CUT), (1, b"\x80", 0))
    pen.event(Ended(at=at(1500), end="normal", by="BYE"))
    pen.close()
