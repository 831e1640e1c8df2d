"""A node without processes: its parts on free ports and a temporary folder, for tests of single actors."""

import random
import socket
from pathlib import Path
from typing import Literal
from uuid import UUID

from actors.call import Call, Node
from actors.media import MediaPair, MediaPorts
from actors.outbox import Outbox
from actors.rtcp import RtcpSet
from actors.spool import Spool
from engine import events
from engine.events import AnyEvent, decode
from engine.journal import Block, JournalReader, Kind, read_rows
from engine.keys import archive_private_key, public_bytes
from engine.sweep import Sweep

PRIVATE = archive_private_key(b"t" * 32)


def free_ports(count: int) -> tuple[int, int]:
    """An even first port and an odd last one, of `count` ports that were free a moment ago."""
    starts = range(20_000, 32_000, count + count % 2)
    # Not the first ones: tests of other processes on this machine look for ports too.
    for first in random.sample(starts, len(starts)):
        try:
            for port in range(first, first + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first, first + count - 1
    raise RuntimeError("no free ports")


def make_node(folder: Path, ports: int = 40) -> Node:
    """Everything a call needs, below `folder`."""
    spool = Spool.below(folder)
    public = public_bytes(PRIVATE)
    media = MediaPorts("127.0.0.1", *free_ports(ports))
    return Node("test", public, spool, Outbox(spool.outbox, public), Sweep(), media, RtcpSet())


def close_node(node: Node) -> None:
    """Close what `make_node` opened."""
    node.outbox.close()
    node.rtcp.close()


def open_streams(call: Call, node: Node, count: int = 2) -> list[MediaPair]:
    """Streams without SDP: the sockets of a call."""
    pairs = node.ports.open(range(call.next_stream, call.next_stream + count))
    for pair in pairs:
        call.open_stream(pair)
    return pairs


def streams(
    pairs: list[MediaPair], state: Literal["active", "inactive", "rejected"] = "active"
) -> tuple[events.Stream, ...]:
    """What an offer would say of them."""
    sides: tuple[events.Side, ...] = ("caller", "callee")
    return tuple(
        events.Stream(
            index=pair.media.index,
            dialog=0,
            label=str(place + 1),
            side=sides[place % 2],
            port=pair.port,
            state=state,
            codecs=(events.Codec(0, "PCMU", 8000),),
        )
        for place, pair in enumerate(pairs)
    )


def journal_of(node: Node, call_id: UUID) -> Path:
    """Where a call's journal lies now."""
    for folder in (node.spool.live, node.spool.finished):
        path = folder / str(call_id) / "journal"
        if path.exists():
            return path
    raise FileNotFoundError(call_id)


def read_journal(path: Path) -> tuple[list[AnyEvent], list[bytes], list[str]]:
    """Events, RTP packets, and the order of both (event names and `packets`)."""
    found: list[AnyEvent] = []
    packets: list[bytes] = []
    order: list[str] = []
    with path.open("rb") as file:
        for block in JournalReader(file, PRIVATE):
            _take(block, found, packets, order)
    return found, packets, order


def _take(block: Block, found: list[AnyEvent], packets: list[bytes], order: list[str]) -> None:
    if block.kind is Kind.EVENT:
        event = decode(block.payload)
        found.append(event)
        order.append(events.event_name(event))
    else:
        rows = read_rows(block)
        packets += [rows.packet(row) for row in range(block.rows)]
        order.append("packets")
