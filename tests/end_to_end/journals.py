"""What a call's journal holds, for assertions: its events, and every packet that was kept."""

from dataclasses import dataclass
from pathlib import Path

from engine.call import CallState, fold
from engine.events import AnyEvent, decode
from engine.journal import ROW_RTCP, JournalReader, Kind, read_rows
from tests.end_to_end.recorder import PRIVATE_KEY


@dataclass(frozen=True, slots=True)
class Kept:
    """One packet of a journal."""

    stream: int
    rtcp: bool
    packet: bytes

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.packet[2:4], "big")


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal read through."""

    state: CallState
    events: tuple[AnyEvent, ...]
    packets: tuple[Kept, ...]
    torn_bytes: int

    def numbers(self, stream: int, payload: bytes) -> list[int]:
        """The sequence numbers of a stream's packets with this payload."""
        return [
            kept.sequence
            for kept in self.packets
            if kept.stream == stream and not kept.rtcp and kept.packet[12:] == payload
        ]

    def holds(self, pattern: bytes) -> bool:
        """Whether these bytes stand anywhere in a packet."""
        return any(pattern in kept.packet for kept in self.packets)


def read_journal(path: Path) -> Journal:
    """Reads it all."""
    events: list[AnyEvent] = []
    packets: list[Kept] = []
    with path.open("rb") as file:
        reader = JournalReader(file, PRIVATE_KEY)
        for block in reader:
            if block.kind is Kind.EVENT:
                events.append(decode(block.payload))
                continue
            rows = read_rows(block)
            for row in range(block.rows):
                header = rows.headers[row]
                packets.append(Kept(int(header["stream"]), bool(header["flags"] & ROW_RTCP), rows.packet(row)))
        assert reader.damaged_blocks == 0
    state = fold(events)
    assert state is not None
    return Journal(state, tuple(events), tuple(packets), reader.torn_bytes)
