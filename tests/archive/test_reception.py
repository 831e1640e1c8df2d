"""The counters of RFC 3550, however packets come and wherever batches are cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.reception import Receiver, Reception
from engine.timeline import SECOND_NS, Packets

MS = 1_000_000


def packets(sequence: list[int], arrival_ns: np.ndarray | None = None) -> Packets:
    numbers = np.array(sequence, np.int64)
    count = len(numbers)
    return Packets(
        np.arange(count),
        np.full(count, 7, np.uint32),
        (numbers & 0xFFFF).astype(np.uint16),
        (numbers * 160 & 0xFFFFFFFF).astype(np.uint32),
        np.full(count, 160, np.int64),
        np.full(count, 8000, np.int64),
        np.ones(count, np.bool_),
        numbers * 20 * MS if arrival_ns is None else arrival_ns,
    )


def count(*batches: list[int]) -> Reception:
    receiver = Receiver(0)
    for batch in batches:
        receiver.receive(packets(batch), 160 * len(batch))
    return receiver.report()


def test_all_came():
    report = count(list(range(65_500, 65_600)))
    assert (report.packets, report.payload_bytes) == (100, 16_000)
    assert (report.lost, report.duplicates, report.out_of_order) == (0, 0, 0)


def test_lost_late_and_doubled():
    report = count([1, 2, 3, 6, 5, 7, 7, 3, 10])
    assert (report.lost, report.duplicates, report.out_of_order) == (3, 2, 1)


def test_a_gap_over_a_turn_of_the_counter():
    assert count([65_534, 65_535, 2, 3]).lost == 2


@pytest.mark.parametrize("jump", [5000, -5000, 30_000])
def test_a_sequence_that_begins_anew_is_no_loss(jump):
    report = count(list(range(20_000, 20_100)) + list(range(20_100 + jump, 20_200 + jump)))
    assert (report.lost, report.out_of_order) == (0, 0)


def test_what_was_withheld_is_not_lost():
    receiver = Receiver(0)
    receiver.receive(packets([1, 2, 3]), 0)
    receiver.interrupt()
    receiver.receive(packets([500, 501, 503]), 0)
    assert receiver.report().lost == 1


def test_any_sequence_is_counted_in_time():
    rng = np.random.default_rng(5)
    report = count(rng.integers(0, 65_536, 5000).tolist())
    assert report.packets == 5000


@given(st.lists(st.integers(0, 100), min_size=1, max_size=80), st.data())
def test_where_batches_are_cut_does_not_matter(sequence, data):
    cut = data.draw(st.integers(1, len(sequence)))
    batches = [batch for batch in (sequence[:cut], sequence[cut:]) if batch]
    whole, parts = count(sequence), count(*batches)
    assert (whole.lost, whole.duplicates, whole.out_of_order) == (parts.lost, parts.duplicates, parts.out_of_order)
    assert whole.duplicates == len(sequence) - len(set(sequence))


def test_jitter_is_that_of_the_standard():
    rng = np.random.default_rng(6)
    number = np.arange(2000)
    arrival = number * 20 * MS + rng.exponential(10 * MS, 2000).astype(np.int64)
    expected, highest, total = 0.0, 0.0, 0.0
    for difference in np.abs(np.diff(arrival - number * 20 * MS, prepend=arrival[0])) / MS:
        expected += (difference - expected) / 16  # RFC 3550 section 6.4.1
        highest, total = max(highest, expected), total + expected
    receiver = Receiver(0)
    for begin in range(0, 2000, 300):
        some = slice(begin, begin + 300)
        receiver.receive(packets(number[some].tolist(), arrival[some]), 0)
    report = receiver.report()
    assert report.jitter_ms == pytest.approx(total / 2000, abs=0.002)
    assert report.jitter_max_ms == pytest.approx(highest, abs=0.002)
    assert report.last_ns == arrival[-1]
    assert report.last_ns > 39 * SECOND_NS
