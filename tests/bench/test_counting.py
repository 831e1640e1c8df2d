"""Packets in journals: which are RTP, which RTCP, and which lie in the measured span."""

from pathlib import Path
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.counting import Journaled, count_journal
from engine.journal import ROW, ROW_RTCP, JournalWriter
from engine.keys import public_bytes

KEY = X25519PrivateKey.generate()
ALL_NS = (0, 1_000)


def journal(path: Path, *visits: tuple[int, int, int]) -> Path:
    """A journal of visits: rows, flags, monotonic ns."""
    writer = JournalWriter(str(path), UUID(int=1), public_bytes(KEY))
    writer.append_event(1, b"{}", 0, 0)
    for rows, flags, monotonic_ns in visits:
        headers = np.zeros(rows, ROW)
        headers["length"], headers["flags"] = 3, flags
        writer.append_packets(rows, headers.tobytes(), b"abc" * rows, 0, monotonic_ns)
    writer.close()
    return path


def test_rtcp_is_counted_apart_from_a_visit_that_brought_one_packet(tmp_path: Path) -> None:
    path = journal(tmp_path / "journal", (20, 0, 1), (1, 0, 2), (1, ROW_RTCP, 3))
    assert count_journal(path, KEY, ALL_NS) == Journaled(rtp=21, rtcp=1, in_span=22)


def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(tmp_path: Path) -> None:
    path = journal(tmp_path / "journal", (1, 0, 9), (2, 0, 10), (4, 0, 19), (8, 0, 20))
    assert count_journal(path, KEY, (10, 20)).in_span == 6


def test_a_torn_journal_says_so(tmp_path: Path) -> None:
    path = journal(tmp_path / "journal", (1, 0, 1), (1, 0, 2))
    path.write_bytes(path.read_bytes()[:-1])
    counted = count_journal(path, KEY, ALL_NS)
    assert (counted.rtp, counted.torn_bytes > 0) == (1, True)


def test_counts_add_up() -> None:
    assert Journaled(1, 2, 3, 4, 5) + Journaled(10, 20, 30, 40, 50) == Journaled(11, 22, 33, 44, 55)
