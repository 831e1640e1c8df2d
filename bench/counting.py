"""What was kept and what was lost: packets in finished journals, and datagrams that the kernel dropped.

Not here: what was sent (the sender says it).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from engine.journal import ROW_RTCP, JournalReader, Kind, read_rows


@dataclass(frozen=True, slots=True)
class Journaled:
    """Packets in journals: RTP and RTCP, and how many of either were journaled in the measured span."""

    rtp: int = 0
    rtcp: int = 0
    in_span: int = 0
    torn_bytes: int = 0
    damaged_blocks: int = 0

    def __add__(self, other: "Journaled") -> "Journaled":
        return Journaled(
            self.rtp + other.rtp,
            self.rtcp + other.rtcp,
            self.in_span + other.in_span,
            self.torn_bytes + other.torn_bytes,
            self.damaged_blocks + other.damaged_blocks,
        )


def count_journal(path: Path, key: X25519PrivateKey, span_ns: tuple[int, int]) -> Journaled:
    """Count one journal's packets. `span_ns` is monotonic. Errors: `JournalError`, `KeyRefused`."""
    rtp = rtcp = in_span = 0
    with path.open("rb") as file:
        reader = JournalReader(file, key)
        for block in reader:
            if block.kind is not Kind.PACKETS:
                continue
            # RTCP comes a packet a block; a visit's block is opened only where it could be mistaken for that.
            control = block.rows == 1 and bool(read_rows(block).headers["flags"][0] & ROW_RTCP)
            rtcp += control
            rtp += 0 if control else block.rows
            if span_ns[0] <= block.monotonic_ns < span_ns[1]:
                in_span += block.rows
        return Journaled(rtp, rtcp, in_span, reader.torn_bytes, reader.damaged_blocks)


def kernel_drops(ports: range) -> int:
    """Datagrams that the kernel dropped on open UDP sockets of these local ports (proc(5), /proc/net/udp)."""
    return sum(drops for port, drops in _udp_sockets() if port in ports)


def _udp_sockets() -> Iterator[tuple[int, int]]:
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        yield int(words[1].rpartition(":")[2], 16), int(words[-1])
