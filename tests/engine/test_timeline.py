"""Timelines: where packets lie, however the network and the clocks behaved. Headers only; no audio."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Instant
from engine.timeline import SECOND_NS, Arrivals, Packets, StreamClock, Timeline

MS = 1_000_000
RATE_HZ = 8000
TICKS = 160  # 20 ms


@dataclass
class Source:
    """A sender whose packet i holds what was said from `said_ns[i]` on, of `ticks` each."""

    said_ns: np.ndarray
    timestamp: np.ndarray
    arrival_ns: np.ndarray
    sequence: np.ndarray
    ssrc: int = 0xABCD
    ticks: int = TICKS
    audio: np.ndarray | None = field(default=None)

    def packets(self, first: int = 0) -> Packets:
        count = len(self.said_ns)
        return Packets(
            np.arange(first, first + count),
            np.full(count, self.ssrc, np.uint32),
            (self.sequence & 0xFFFF).astype(np.uint16),
            (self.timestamp & 0xFFFFFFFF).astype(np.uint32),
            np.full(count, self.ticks, np.int64),
            np.full(count, RATE_HZ, np.int64),
            np.ones(count, np.bool_) if self.audio is None else self.audio,
            self.arrival_ns.astype(np.int64),
        )

    def keep(self, kept: np.ndarray) -> "Source":
        return Source(
            self.said_ns[kept],
            self.timestamp[kept],
            self.arrival_ns[kept],
            self.sequence[kept],
            self.ssrc,
            self.ticks,
            None if self.audio is None else self.audio[kept],
        )

    def in_order_of_arrival(self) -> "Source":
        return self.keep(np.argsort(self.arrival_ns, kind="stable"))


def speak(seconds: float, *, ppm: float = 0.0, start_s: float = 0.5, timestamp: int = 2**32 - 800_000) -> Source:
    """A sender without jitter, whose clock is `ppm` slow: its 20 ms take that much longer."""
    number = np.arange(round(seconds * 50))
    length_ns = 20 * MS * (1 + ppm / 1e6)
    said = start_s * SECOND_NS + number * length_ns
    return Source(said, timestamp + number * TICKS, said + length_ns, 65_500 + number)


def late(source: Source, delay_ns: np.ndarray) -> Source:
    """The same packets, delayed each by its own time, through a network that keeps their order."""
    source.arrival_ns = np.maximum.accumulate(source.arrival_ns + delay_ns)
    return source


def settle(*batches: Packets) -> Timeline:
    clock = StreamClock()
    for packets in batches:
        clock.observe(packets)
    return clock.settle()


def errors_ms(source: Source, timeline: Timeline | None = None) -> np.ndarray:
    """How far from where it was said each packet was placed."""
    packets = source.packets()
    return ((timeline or settle(packets)).place(packets) - source.said_ns) / MS


def test_an_undisturbed_stream_lies_where_it_was_said():
    source = speak(30)
    assert np.abs(errors_ms(source)).max() < 0.001
    (segment,) = settle(source.packets()).segments
    assert segment.skew == 0


@pytest.mark.parametrize("network_ms", [0.0, 8.0, 40.0])
def test_after_four_hours_at_100_ppm_the_sides_are_within_40_ms(network_ms):
    rng = np.random.default_rng(1)
    sides = []
    for ppm in (100, -100):
        source = speak(4 * 3600, ppm=ppm)
        source = late(source, rng.exponential(network_ms * MS, len(source.said_ns)) if network_ms else np.zeros(1))
        timeline = settle(source.packets())
        (segment,) = timeline.segments
        assert segment.skew * 1e6 == pytest.approx(ppm, abs=1)
        sides.append(errors_ms(source, timeline))
    assert np.abs(sides[0] - sides[1]).max() < 5
    assert max(np.abs(side).max() for side in sides) < 5


def test_a_slow_clock_alone_ends_4_hours_1_440_ms_late_unless_it_is_corrected():
    source = speak(4 * 3600, ppm=100)
    uncorrected = source.said_ns[0] + np.arange(len(source.said_ns)) * 20 * MS
    assert (source.said_ns - uncorrected)[-1] / MS == pytest.approx(1440, abs=1)
    assert np.abs(errors_ms(source)).max() < 1


def test_ten_minutes_at_500_ppm():
    assert np.abs(errors_ms(speak(600, ppm=500))).max() < 1
    assert np.abs(errors_ms(speak(600, ppm=-500))).max() < 1


def test_the_skew_of_a_short_call_is_not_trusted():
    rng = np.random.default_rng(2)
    source = late(speak(20), rng.exponential(20 * MS, 1000))
    (segment,) = settle(source.packets()).segments
    assert segment.skew == 0
    assert not segment.fitted


def test_a_burst_after_a_stall_begins_no_segment():
    source = speak(60)
    stalled = (source.said_ns > 20 * SECOND_NS) & (source.said_ns < 21.5 * SECOND_NS)
    source.arrival_ns[stalled] = 21.52 * SECOND_NS
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 1


def test_a_stall_whose_queue_drains_with_losses_begins_no_segment():
    source = speak(60)
    stalled = np.flatnonzero((source.said_ns > 20 * SECOND_NS) & (source.said_ns < 21 * SECOND_NS))
    source.arrival_ns[stalled] = 21.02 * SECOND_NS + np.arange(len(stalled)) * MS
    source = source.keep(~np.isin(np.arange(len(source.said_ns)), stalled[10:30]))
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 1


def test_a_call_that_begins_within_a_stall_lies_where_it_was_said():
    source = speak(60)
    source.arrival_ns = np.maximum(source.arrival_ns, 1.5 * SECOND_NS)
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 1


def test_silence_that_is_not_sent_begins_no_segment():
    source = speak(600, ppm=50)
    spoken = (source.said_ns // (3 * SECOND_NS)) % 2 == 0  # 3 s of speech, 3 s of nothing
    source = source.keep(spoken)
    source.sequence = 65_500 + np.arange(len(source.said_ns))  # a timestamp gap without a sequence gap
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 1


def test_loss_and_reordering_begin_no_segment():
    rng = np.random.default_rng(3)
    source = speak(120)
    source.arrival_ns = source.arrival_ns + rng.exponential(30 * MS, len(source.said_ns))
    source = source.keep(rng.random(len(source.said_ns)) > 0.1).in_order_of_arrival()
    assert (np.diff(source.sequence) < 0).any()
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 5


@pytest.mark.parametrize("jump", [4000, 8_000_000, -4000, -8_000_000, 2**31 - 1])
def test_a_timestamp_that_jumps_begins_a_segment(jump):
    source = speak(60)
    source.timestamp[1500:] += jump
    timeline = settle(source.packets())
    assert [s.first_packet for s in timeline.segments] == [0, 1500]
    assert np.abs(errors_ms(source, timeline)).max() < 1


def test_a_clock_that_stood_still_on_hold_begins_a_segment():
    source = speak(60)
    source.said_ns[1000:] += 25 * SECOND_NS
    source.arrival_ns[1000:] += 25 * SECOND_NS
    timeline = settle(source.packets())
    assert [s.first_packet for s in timeline.segments] == [0, 1000]
    assert np.abs(errors_ms(source, timeline)).max() < 1


def test_two_holds_within_two_seconds_begin_two_segments():
    source = speak(60)
    for at in (1000, 1050):
        source.said_ns[at:] += 5 * SECOND_NS
        source.arrival_ns[at:] += 5 * SECOND_NS
    timeline = settle(source.packets())
    assert [s.first_packet for s in timeline.segments] == [0, 1000, 1050]
    assert np.abs(errors_ms(source, timeline)).max() < 1


def test_a_hold_just_before_the_end_begins_a_segment():
    source = speak(20)
    source.said_ns[-20:] += 5 * SECOND_NS
    source.arrival_ns[-20:] += 5 * SECOND_NS
    assert np.abs(errors_ms(source)).max() < 1


def test_packets_that_are_late_at_the_end_begin_no_segment():
    source = speak(20)
    source.arrival_ns[-3:] += 150 * MS
    assert len(settle(source.packets()).segments) == 1
    assert np.abs(errors_ms(source)).max() < 1


def test_one_wild_timestamp_moves_no_other_packet():
    source = speak(30)
    source.timestamp[700] += 5_000_000
    errors = np.abs(errors_ms(source))
    errors[700] = 0
    assert errors.max() < 1


def test_a_change_of_ssrc_begins_a_segment():
    first, second = speak(10), speak(10, start_s=10.5, timestamp=77)
    second.ssrc = 0x9999
    timeline = settle(first.packets(), second.packets(first=500))
    assert {s.ssrc for s in timeline.segments} == {0xABCD, 0x9999}
    for source, at in ((first, 0), (second, 500)):
        assert np.abs((timeline.place(source.packets(at)) - source.said_ns) / MS).max() < 1


def test_a_foreign_packet_is_noise():
    source, foreign = speak(10), speak(0.02, start_s=3, timestamp=5)
    foreign.ssrc = 0x6666
    timeline = settle(source.packets(), foreign.packets(first=500))
    assert timeline.noise == {0x6666}
    assert np.isnan(timeline.place(foreign.packets(500))).all()
    assert not np.isnan(timeline.place(source.packets())).any()


def test_a_flood_of_forged_sources_does_not_keep_the_real_one_out():
    clock = StreamClock()
    for i in range(1000):
        forged = speak(0.02)
        forged.ssrc = i
        clock.observe(forged.packets(first=i))
    source = speak(10)
    clock.observe(source.packets(first=1000))
    timeline = clock.settle()
    assert [s.ssrc for s in timeline.segments] == [0xABCD]
    assert len(timeline.noise) < 300


def test_a_stream_of_one_packet_is_kept():
    assert np.abs(errors_ms(speak(0.02))).max() < 1


def test_packets_that_tell_no_time_do_not_move_the_others():
    source = speak(10)
    events = np.zeros(500, np.bool_)
    events[100:150] = True  # a long key press: all its packets carry the timestamp of its beginning
    source.timestamp[events] = source.timestamp[100]
    source.audio = ~events
    errors = errors_ms(source)
    assert np.abs(errors[~events]).max() < 1
    assert abs(errors[100]) < 1


def test_a_clock_that_no_line_explains_is_followed_in_pieces():
    """A sender that stands still for 20 ms every 2 s: 10,000 ppm, 12 s in 20 minutes, and no single step to see."""
    source = speak(1200)
    source.said_ns = source.said_ns + 20 * MS * (np.arange(len(source.said_ns)) // 100)
    source.arrival_ns = source.said_ns + 20 * MS
    timeline = settle(source.packets())
    assert len(timeline.segments) > 10
    assert np.abs(errors_ms(source, timeline)).max() < 300


def test_24_hours_of_one_clock_are_one_segment():
    source = speak(24 * 3600, ppm=-80)
    timeline = settle(*(source.keep(np.s_[at : at + 500]).packets(at) for at in range(0, len(source.said_ns), 500)))
    (segment,) = timeline.segments
    assert segment.skew * 1e6 == pytest.approx(-80, abs=0.5)
    assert np.abs(errors_ms(source, timeline)).max() < 1


@given(
    cuts=st.lists(st.integers(1, 1499), max_size=6, unique=True),
    seed=st.integers(0, 1000),
    jitter_ms=st.sampled_from([0, 10, 60, 150]),
    jump_at=st.integers(100, 1400),
    jump=st.sampled_from([0, 160 * 20, -160 * 30, 80_000]),
    hold=st.booleans(),
)
def test_where_batches_are_cut_does_not_matter(cuts, seed, jitter_ms, jump_at, jump, hold):
    source = speak(30)
    rng = np.random.default_rng(seed)
    if hold:
        source.arrival_ns[jump_at:] += 7 * SECOND_NS
    source.timestamp[jump_at:] += jump
    source = late(source, rng.exponential(max(jitter_ms, 0.001) * MS, 1500))
    edges = [0, *sorted(cuts), 1500]
    batches = [source.keep(np.s_[a:b]).packets(a) for a, b in pairwise(edges)]
    assert settle(*batches) == settle(source.packets())


def test_an_arrival_is_the_blocks_time_less_the_packets_age():
    clock = Arrivals(Instant(1_000 * SECOND_NS, 50 * SECOND_NS))
    arrivals = clock.place(
        np.array([1_001 * SECOND_NS, 1_002 * SECOND_NS]),
        np.array([51 * SECOND_NS, 52 * SECOND_NS]),
        np.array([2, 1]),
        np.array([1_000_900, 1_000_999, 1_001_500]) * MS,
    )
    assert (arrivals // MS).tolist() == [900, 999, 1500]


@pytest.mark.parametrize("step_s", [3600, -3600, 0.5, -0.5])
def test_where_the_realtime_clock_was_set_packets_arrive_with_their_block(step_s):
    clock = Arrivals(Instant(1_000 * SECOND_NS, 50 * SECOND_NS))
    before = np.array([1_000_850, 1_000_950]) * MS
    first = clock.place(np.array([1_001 * SECOND_NS]), np.array([51 * SECOND_NS]), np.array([2]), before)
    # Two packets of the old time and one of the new wait when the clock is set.
    now = (1_001 + 0.2 + step_s) * SECOND_NS
    waiting = np.array([1_001.05 * SECOND_NS, 1_001.1 * SECOND_NS, now - 10 * MS]).astype(np.int64)
    second = clock.place(np.array([int(now)]), np.array([51_200 * MS]), np.array([3]), waiting)
    after = clock.place(
        np.array([int(now + 200 * MS)]), np.array([51_400 * MS]), np.array([1]), np.array([int(now + 150 * MS)])
    )
    assert (first // MS).tolist() == [850, 950]
    assert (second // MS).tolist() == [1200, 1200, 1200]
    assert (after // MS).tolist() == [1350]


def test_a_packet_without_a_receive_time_arrives_with_its_block():
    clock = Arrivals(Instant(1_000 * SECOND_NS, 50 * SECOND_NS))
    clock.place(np.array([1_001 * SECOND_NS]), np.array([51 * SECOND_NS]), np.array([0]), np.zeros(0, np.int64))
    arrivals = clock.place(
        np.array([1_002 * SECOND_NS]), np.array([52 * SECOND_NS]), np.array([1]), np.zeros(1, np.int64)
    )
    assert arrivals.tolist() == [2 * SECOND_NS]
