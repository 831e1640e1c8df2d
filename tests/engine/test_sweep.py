"""The sweep on real loopback sockets: what came is kept byte for byte, what must not be kept leaves no trace.

Rules: dynamic ports, no threads, no sleeping: loopback delivers before `sendto` returns.
"""

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.journal import ROW, ROW_CUT, Block, Kind, read_rows
from engine.sweep import Intake, MediaSocket, Sweep
from engine.sweep.intake import LEARN_AFTER
from engine.sweep.slab import SO_RXQ_OVFL, SO_TIMESTAMPNS
from engine.sweep.visits import FORGET_AFTER_S, NARROW_AFTER, SLABS


def rtp(sequence: int, payload: bytes = b"x" * 160, ssrc: int = 1, payload_type: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, sequence * 160, ssrc) + payload


def udp() -> socket.socket:
    """A socket on a port of its own, asked for by number: one that the kernel chose is lost with a disconnect."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.bind(("127.0.0.1", 0))
        address = chosen.getsockname()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(address)
    return sock


@dataclass
class Kept:
    """The rows of every visit, as a journal would have them."""

    visits: list[Block] = field(default_factory=list)

    def __call__(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, real: int, mono: int
    ) -> None:
        payload = bytes(headers) + bytes(packets)
        self.visits.append(Block(len(self.visits) + 1, Kind.PACKETS, rows, 0, real, mono, payload))

    def packets(self, stream: int | None = None) -> list[bytes]:
        found = []
        for visit in self.visits:
            rows = read_rows(visit)
            found += [
                rows.packet(row)
                for row in range(visit.rows)
                if stream is None or int(rows.headers["stream"][row]) == stream
            ]
        return found

    def headers(self) -> np.ndarray:
        return np.concatenate([read_rows(visit).headers for visit in self.visits])


class Line:
    """A call of `streams` media sockets, each with a sender."""

    def __init__(self, sweep: Sweep, streams: int = 1, *, buffer_bytes: int = 0) -> None:
        self.sweep = sweep
        self.kept = Kept()
        self.intake = Intake(self.kept)
        self.senders = [udp() for _ in range(streams)]
        self.media: list[MediaSocket] = []
        for index in range(streams):
            sock = udp()
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            if buffer_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.media.append(MediaSocket(sock, index))
            sweep.attach(self.intake, self.media[-1], time.time())
        sweep.add(self.intake)

    def send(self, packet: bytes, stream: int = 0, sender: socket.socket | None = None) -> None:
        (sender or self.senders[stream]).sendto(packet, self.media[stream].sock.getsockname())

    def close(self) -> None:
        for sock in (*self.senders, *(media.sock for media in self.media)):
            sock.close()


def tick(sweep: Sweep) -> bool:
    return sweep.tick(time.time_ns(), time.monotonic_ns())


def whole_round(sweep: Sweep) -> None:
    for _ in range(sweep.ticks_per_round):
        tick(sweep)


@pytest.fixture
def sweep() -> Sweep:
    return Sweep()


@pytest.fixture
def line(sweep: Sweep) -> Iterator[Line]:
    made = Line(sweep, 2)
    yield made
    made.close()


def test_packets_of_all_streams_are_kept_as_they_came(sweep: Sweep, line: Line) -> None:
    before = time.time_ns()
    for number in range(10):
        line.send(rtp(number, b"a" * 160), 0)
        line.send(rtp(number, b"b" * 80, ssrc=2), 1)
    whole_round(sweep)
    assert line.kept.packets(0) == [rtp(number, b"a" * 160) for number in range(10)]
    assert line.kept.packets(1) == [rtp(number, b"b" * 80, ssrc=2) for number in range(10)]
    for visit in line.kept.visits:
        arrivals = read_rows(visit).arrivals_ns()
        assert (arrivals >= before).all()
        assert (arrivals <= time.time_ns()).all()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1500), st.booleans()), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_whatever_sizes_come_between_whatever_ticks(sent: list[tuple[int, int, bool]]) -> None:
    sweep = Sweep()
    line = Line(sweep, 2)
    line.intake.steady = True
    try:
        expected: list[list[bytes]] = [[], []]
        for number, (stream, size, then_tick) in enumerate(sent):
            packet = rtp(number, bytes([number & 0xFF]) * size, ssrc=stream)
            line.send(packet, stream)
            expected[stream].append(packet)
            if then_tick:
                whole_round(sweep)
        whole_round(sweep)
        headers = line.kept.headers() if line.kept.visits else np.zeros(0, ROW)
        whole = [
            [packet for packet, cut in zip(line.kept.packets(s), _cut_flags(headers, s), strict=True) if not cut]
            for s in (0, 1)
        ]
        for stream in (0, 1):
            assert sum(_cut_flags(headers, stream)) == sweep.counts(line.media[stream]).cut
            assert len(line.kept.packets(stream)) == len(expected[stream])
            assert [p for p in expected[stream] if p in whole[stream]] == whole[stream]
            if not sweep.counts(line.media[stream]).cut:
                assert whole[stream] == expected[stream]
    finally:
        line.close()


def _cut_flags(headers: np.ndarray, stream: int) -> list[bool]:
    return [bool(flags & ROW_CUT) for flags in headers["flags"][headers["stream"] == stream]]


def test_a_longer_packet_than_the_row_is_cut_once_and_widens_it(sweep: Sweep, line: Line) -> None:
    line.intake.steady = True
    for number in range(NARROW_AFTER):
        line.send(rtp(number), 0)
        line.send(rtp(number, ssrc=2), 1)
    whole_round(sweep)
    line.send(rtp(NARROW_AFTER), 0)
    line.send(rtp(NARROW_AFTER, ssrc=2), 1)
    whole_round(sweep)
    assert SLABS[line.intake.width][1] == 256
    line.send(rtp(NARROW_AFTER + 1, b"y" * 480), 0)
    whole_round(sweep)
    line.send(rtp(NARROW_AFTER + 2, b"z" * 480), 0)
    whole_round(sweep)
    assert sweep.counts(line.media[0]).cut == 1
    assert len(line.kept.packets(0)[-2]) == 256
    assert line.kept.packets(0)[-1] == rtp(NARROW_AFTER + 2, b"z" * 480)


def test_losses_strangers_and_rubbish_are_counted(sweep: Sweep, line: Line) -> None:
    for number in (0, 1, 2, 3, 6, 7):
        line.send(rtp(number))
    line.send(b"\x00" * 40)
    line.send(b"\x80")
    line.send(rtp(8, ssrc=9))
    line.send(rtp(9, ssrc=9))
    whole_round(sweep)
    counts = sweep.counts(line.media[0])
    assert (counts.packets, counts.lost, counts.malformed, counts.source_changes) == (8, 2, 2, 1)


def test_muxed_rtcp_is_kept_and_is_no_stream_of_its_own(sweep: Sweep, line: Line) -> None:
    report = bytes([0x80, 200]) + struct.pack("!HI", 6, 1) + bytes(20)
    line.send(rtp(0))
    line.send(report)
    line.send(rtp(1))
    whole_round(sweep)
    counts = sweep.counts(line.media[0])
    assert (counts.packets, counts.lost, counts.source_changes, counts.malformed) == (2, 0, 0, 0)
    assert line.kept.packets(0) == [rtp(0), report, rtp(1)]


def test_the_loss_count_survives_the_sequence_numbers_end(sweep: Sweep, line: Line) -> None:
    for number in (65_533, 65_534, 65_535, 65_536, 65_538):
        line.send(rtp(number))
        whole_round(sweep)
    assert sweep.counts(line.media[0]).lost == 1


def test_the_first_steady_sender_becomes_the_source(sweep: Sweep, line: Line) -> None:
    stranger = udp()
    line.send(b"noise", 0, stranger)
    for number in range(LEARN_AFTER):
        line.send(rtp(number))
    whole_round(sweep)
    assert line.media[0].source == line.senders[0].getsockname()
    line.send(rtp(100, b"forged" * 20, ssrc=66), 0, stranger)
    line.send(rtp(LEARN_AFTER))
    whole_round(sweep)
    assert line.kept.packets(0) == [rtp(number) for number in range(LEARN_AFTER + 1)]
    assert sweep.counts(line.media[0]).strays == 1
    stranger.close()


def test_the_offers_address_is_the_source_at_its_first_packet(sweep: Sweep, line: Line) -> None:
    late = udp()
    line.media[0].expected = line.senders[0].getsockname()
    for number in range(3):
        line.send(rtp(900 + number, b"late" * 40, ssrc=66), 0, late)
    line.send(rtp(0))
    whole_round(sweep)
    assert line.kept.packets(0) == [rtp(0)]
    assert sweep.counts(line.media[0]).strays == 3
    late.close()


def test_a_source_that_falls_silent_may_come_back_from_elsewhere(sweep: Sweep, line: Line) -> None:
    for number in range(LEARN_AFTER):
        line.send(rtp(number))
    whole_round(sweep)
    sweep.forget_silent(time.time() + FORGET_AFTER_S / 2)
    assert line.media[0].source is not None
    sweep.forget_silent(time.time() + FORGET_AFTER_S + 1)
    assert line.media[0].source is None
    moved = udp()
    for number in range(LEARN_AFTER):
        line.send(rtp(50 + number), 0, moved)
    whole_round(sweep)
    assert line.media[0].source == moved.getsockname()
    assert line.kept.packets(0)[-1] == rtp(50 + LEARN_AFTER - 1)
    moved.close()


def test_a_paused_call_keeps_nothing_and_leaves_nothing_in_memory(sweep: Sweep, line: Line) -> None:
    marker = b"the card number is 4111"
    line.send(rtp(0))
    whole_round(sweep)
    line.intake.paused = True
    for number in range(1, 9):
        line.send(rtp(number, marker * 6))
        whole_round(sweep)
    line.send(rtp(9, marker * 6))
    sweep.drain(line.intake, time.time_ns(), time.monotonic_ns())
    line.intake.paused = False
    line.send(rtp(10))
    whole_round(sweep)
    assert line.kept.packets(0) == [rtp(0), rtp(10)]
    for slab in sweep._slabs:
        assert marker not in slab.data.tobytes()
    counts = sweep.counts(line.media[0])
    assert (counts.packets, counts.lost) == (11, 0)


def test_a_drain_takes_all_that_waits(sweep: Sweep, line: Line) -> None:
    for number in range(150):
        line.send(rtp(number))
    sweep.drain(line.intake, time.time_ns(), time.monotonic_ns())
    assert line.kept.packets(0) == [rtp(number) for number in range(150)]


def test_a_drain_ends_under_a_flood(sweep: Sweep, line: Line) -> None:
    answered = 0

    def flood(rows: int, *_: object) -> None:
        nonlocal answered
        answered += rows
        line.send(rtp(answered))

    line.intake.keep = flood
    line.send(rtp(0))
    sweep.drain(line.intake, time.time_ns(), time.monotonic_ns())
    assert answered > 100


def test_a_full_slab_goes_on_at_the_next_tick(sweep: Sweep) -> None:
    lines = [Line(sweep, buffer_bytes=1_000_000) for _ in range(10)]
    for number in range(300):
        for line in lines:
            line.send(rtp(number))
    ticks = 1
    while tick(sweep) or any(len(line.kept.packets()) < 300 for line in lines):
        ticks += 1
        assert ticks < 20
    assert ticks >= 3
    assert sweep.full_slabs >= 2
    for line in lines:
        assert line.kept.packets() == [rtp(number) for number in range(300)]
        assert sweep.counts(line.media[0]).lost == 0
        line.close()


def test_what_the_kernel_dropped_is_counted(sweep: Sweep) -> None:
    line = Line(sweep, buffer_bytes=5_000)
    for number in range(100):
        line.send(rtp(number))
    whole_round(sweep)
    line.send(rtp(100))
    whole_round(sweep)
    counts = sweep.counts(line.media[0])
    assert counts.packets + counts.dropped == 101
    assert counts.dropped == counts.lost > 50
    line.close()


@pytest.mark.parametrize("calls", [1, 2, 3, 7, 101])
def test_a_round_visits_each_call_once(sweep: Sweep, calls: int) -> None:
    lines = [Line(sweep) for _ in range(calls)]
    for _ in range(3):
        for line in lines:
            line.send(rtp(0))
        whole_round(sweep)
    whole_round(sweep)
    assert {len(line.kept.packets()) for line in lines} == {3}
    for line in lines[::2]:
        sweep.remove(line.intake)
    assert sweep.calls == calls // 2
    for line in lines:
        line.send(rtp(1))
    for _ in range(2):
        whole_round(sweep)
    assert {len(line.kept.packets()) for line in lines[1::2]} <= {4}
    assert {len(line.kept.packets()) for line in lines[::2]} == {3}
    for line in lines:
        line.close()


def test_a_watched_call_among_few_is_visited_at_every_tick(sweep: Sweep) -> None:
    lines = [Line(sweep) for _ in range(5)]
    watched = lines[3]
    sweep.watch(watched.intake)
    for number in range(20):
        watched.send(rtp(number))
        tick(sweep)
        assert len(watched.kept.packets()) == number + 1
    sweep.unwatch(watched.intake)
    for line in lines:
        line.close()


@pytest.mark.parametrize(("calls", "watched", "visits"), [(60, 1, 10), (700, 50, 10), (60, 60, 5), (700, 101, 2)])
def test_the_more_calls_are_watched_the_less_often(calls: int, watched: int, visits: int) -> None:
    """Calls without sockets: who is visited in a round is in the batches."""
    sweep = Sweep()
    intakes = [Intake(keep_nothing) for _ in range(calls)]
    for intake in intakes:
        sweep.add(intake)
    for intake in intakes[:watched]:
        sweep.watch(intake)
    seen: list[Intake] = []
    sweep._visit = lambda slab, group, *times: seen.extend(group) or len(group)  # type: ignore[method-assign, func-returns-value]
    rounds = 4
    for _ in range(rounds * sweep.ticks_per_round):
        tick(sweep)
    counts = [seen.count(intake) for intake in (intakes[0], intakes[watched - 1])]
    # Its own turn in the round comes beside those of the watched, or is one of them.
    assert all(rounds * visits <= count <= rounds * (visits + 1) for count in counts)
    assert all(seen.count(intake) == rounds for intake in intakes[watched:])


def keep_nothing(*_: object) -> None:
    """What is kept of calls without packets."""


def test_an_ipv4_source_of_an_ipv6_socket_is_learned_as_the_offer_names_it(sweep: Sweep) -> None:
    line = Line(sweep)
    port = line.media[0].sock.getsockname()[1]
    line.media[0].sock.close()
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind(("::", port))
    sweep.detach(line.intake, line.media[0])
    media = MediaSocket(sock, 0)
    media.expected = line.senders[0].getsockname()
    sweep.attach(line.intake, media, time.time())
    for number in range(2):
        line.senders[0].sendto(rtp(number), ("127.0.0.1", port))
        whole_round(sweep)
    assert media.source == media.expected
    assert line.kept.packets() == [rtp(0), rtp(1)]
    sock.close()
    line.close()
