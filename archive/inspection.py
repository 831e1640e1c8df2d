"""What a journal holds, for people: readable lines, JSON, or a capture.

Reads any sealed file: the journal of a call that runs, that ended or that was cut short, and a segment of the outbox.
Blocks are read one at a time, so memory does not grow with the call.

What must not be here: changing a journal, decoding audio, where keys or files lie.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import msgspec
import numpy as np
from rich.text import Text

from engine import pcap
from engine.events import AnyEvent, MetadataReceived, Stream, StreamsAgreed, decode
from engine.journal import ROW_CUT, ROW_RTCP, Block, JournalError, JournalReader, Kind, Rows, read_rows

_NS_PER_S: Final = 1_000_000_000
# An RTP packet's sequence number is its second 16-bit word (RFC 3550 section 5.1).
_SEQUENCE: Final = slice(2, 4)
# By IP version, for what a capture must name and nobody told.
UNKNOWN: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - written into a capture, never bound


class Packets(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream's packets in one block, in the order of their arrival. Sequence numbers are RTP's."""

    stream: int
    packets: int
    bytes: int
    rtcp: bool = False
    cut: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One block. `since_start_s` counts from the first block, on the monotonic clock."""

    block: int
    kind: str
    realtime: str
    since_start_s: float
    event_number: int | None = None
    event: msgspec.Raw | None = None
    packets: tuple[Packets, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class Streams:
    """The streams that a journal's events have named so far, by their index in the call."""

    known: dict[int, Stream]

    def note(self, event: AnyEvent | None) -> None:
        if isinstance(event, StreamsAgreed):
            self.known.update((stream.index, stream) for stream in event.streams)


def entries(reader: JournalReader) -> Iterator[Entry]:
    """A journal's blocks as entries, from the first."""
    start_ns: int | None = None
    for block in reader:
        start_ns = block.monotonic_ns if start_ns is None else start_ns
        yield _entry(block, start_ns)


def as_json(entry: Entry) -> str:
    """An entry as one line of JSON."""
    return msgspec.json.encode(entry).decode()


def as_text(entry: Entry, streams: Streams) -> Text:
    """An entry as readable lines. `streams` gives packets their names, and learns from this entry."""
    line = Text.assemble((f"{entry.block:>7} ", "dim"), (f"{entry.since_start_s:>10.3f}  ", "green"))
    if entry.event is not None:
        event = read_event(bytes(entry.event))
        streams.note(event)
        line.append(_told(bytes(entry.event), event))
    for number, packets in enumerate(entry.packets):
        line.append("; " if number else "")
        line.append(_summary(packets, streams.known.get(packets.stream)), style="dim")
    line.append(entry.problem, style="red")
    return line


def tail(reader: JournalReader) -> str:
    """What the end of a journal that was read through says about damage; empty where there is none."""
    sentences = []
    if reader.torn_bytes:
        sentences.append(
            f"The last {reader.torn_bytes} bytes are no whole block: writing was cut off there, or goes on right now."
        )
    if reader.damaged_blocks:
        sentences.append(f"Damaged blocks, left out: {reader.damaged_blocks}.")
    return " ".join(sentences)


def capture(reader: JournalReader) -> Iterator[bytes]:
    """The packets as a pcap file, piece by piece.

    Packets are addressed as the phone system and we agreed in SDP: a journal does not keep each packet's own source.
    """
    streams = Streams({})
    yield pcap.FILE_HEADER
    for block in reader:
        if block.kind is Kind.EVENT:
            streams.note(read_event(block.payload))
        else:
            yield _records(read_rows(block), streams)


def read_event(payload: bytes) -> AnyEvent | None:
    """A call's event; None for one of another release, or of the outbox."""
    try:
        return decode(payload)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def _entry(block: Block, start_ns: int) -> Entry:
    event = block.kind is Kind.EVENT
    packets: tuple[Packets, ...] = ()
    problem = ""
    try:
        packets = () if event else _packets(read_rows(block))
    except JournalError as error:
        problem = str(error)
    return Entry(
        block.number,
        block.kind.name.lower(),
        datetime.fromtimestamp(block.realtime_ns / _NS_PER_S, UTC).isoformat(timespec="milliseconds"),
        round((block.monotonic_ns - start_ns) / _NS_PER_S, 6),
        block.event_number if event else None,
        msgspec.Raw(block.payload) if event else None,
        packets,
        problem,
    )


def _packets(rows: Rows) -> tuple[Packets, ...]:
    """A block's rows, summed by stream and port."""
    headers = rows.headers
    rtcp = headers["flags"] & ROW_RTCP
    keys = headers["stream"].astype(np.int64) * 2 + (rtcp != 0)
    found = []
    for key in np.unique(keys).tolist():
        chosen = np.flatnonzero(keys == key)
        numbered = chosen[headers["length"][chosen] >= _SEQUENCE.stop] if not key % 2 else chosen[:0]
        found.append(
            Packets(
                stream=key // 2,
                packets=len(chosen),
                bytes=int(headers["length"][chosen].sum()),
                rtcp=bool(key % 2),
                cut=int(np.count_nonzero(headers["flags"][chosen] & ROW_CUT)),
                first_sequence=_sequence(rows, int(numbered[0])) if len(numbered) else None,
                last_sequence=_sequence(rows, int(numbered[-1])) if len(numbered) else None,
            )
        )
    return tuple(found)


def _sequence(rows: Rows, row: int) -> int:
    return int.from_bytes(rows.packet(row)[_SEQUENCE], "big")


def _told(payload: bytes, event: AnyEvent | None) -> Text:
    """An event in words: its name, then what it says; empty fields are left out."""
    if event is None:
        return Text(payload.decode("utf-8", "replace"))
    fields: dict[str, Any] = msgspec.to_builtins(event)
    told = Text(fields["event"], style="bold cyan")
    if isinstance(event, StreamsAgreed):
        told.append(f" dialog={event.dialog}", style="none")
        for stream in event.streams:
            told.append(f"\n{'':>20}{_agreed(stream)}", style="none")
        return told
    if isinstance(event, MetadataReceived):
        fields["document"] = f"{len(event.document)} bytes"
    told.append(_fields({name: value for name, value in fields.items() if name not in ("at", "event")}), style="none")
    return told


def _fields(fields: dict[str, Any], prefix: str = "") -> str:
    parts = []
    for name, value in fields.items():
        if isinstance(value, dict):
            parts.append(_fields(value, f"{prefix}{name}."))
        elif value not in ("", None, (), []):
            parts.append(f" {prefix}{name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}")
    return "".join(parts)


def _agreed(stream: Stream) -> str:
    codecs = ", ".join(f"{codec.payload_type} {codec.name}/{codec.rate_hz}" for codec in stream.codecs)
    way = f"{stream.remote_address or '?'}:{stream.remote_port} to {stream.address}:{stream.port}"
    return f"{_name(stream.index, stream)}: {way}, {stream.state}, {codecs or 'no codec'}"


def _name(index: int, stream: Stream | None) -> str:
    return f"stream {index}" if stream is None else f"stream {index} ({stream.side}, label {stream.label or 'none'})"


def _summary(packets: Packets, stream: Stream | None) -> str:
    text = (
        f"{_name(packets.stream, stream)}: {packets.packets} {'RTCP' if packets.rtcp else 'RTP'}, {packets.bytes} bytes"
    )
    if packets.first_sequence is not None:
        text += f", seq {packets.first_sequence}-{packets.last_sequence}"
    return text + (f", {packets.cut} cut" if packets.cut else "")


def _records(rows: Rows, streams: Streams) -> bytes:
    arrivals_ns = rows.arrivals_ns().tolist()
    senders = list(zip(rows.headers["stream"].tolist(), (rows.headers["flags"] & ROW_RTCP).tolist(), strict=True))
    ways = {(index, rtcp): _addresses(streams.known.get(index), bool(rtcp)) for index, rtcp in set(senders)}
    return b"".join(
        pcap.record(arrivals_ns[row], *ways[sender], rows.packet(row)) for row, sender in enumerate(senders)
    )


def _addresses(stream: Stream | None, rtcp: bool) -> tuple[pcap.Address, pcap.Address]:
    """Where a packet went from and to. What the events do not tell is the unspecified address, and port 0."""
    if stream is None:
        return (UNKNOWN[4], 0), (UNKNOWN[4], 0)
    here, there = _ip(stream.address), _ip(stream.remote_address)
    version = (here or there or ip_address(UNKNOWN[4])).version
    source, destination = (
        str(address) if address is not None and address.version == version else UNKNOWN[version]
        for address in (there, here)
    )
    # A port's RTCP is at the next one; the largest has none (RFC 3550 section 11).
    return (source, min(stream.remote_port + rtcp, 0xFFFF)), (destination, min(stream.port + rtcp, 0xFFFF))


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
