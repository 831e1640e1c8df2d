"""Packets are known again in what a listener hears, however frames cut them."""

import numpy as np
import pytest

from bench.latency import latency_of
from bench.listeners import CODES, PACKET_SAMPLES, Packets
from bench.machine import BenchError


def test_a_packet_counts_where_its_last_sample_comes() -> None:
    packets = Packets()
    sound = np.repeat([3, 4], PACKET_SAMPLES)
    assert packets.whole(sound[:100]) == []
    assert packets.whole(sound[100:260]) == [3]
    assert packets.whole(sound[260:319]) == []
    assert packets.whole(sound[319:]) == [4]


def test_one_that_is_not_whole_does_not_count() -> None:
    packets = Packets()
    assert packets.whole(np.repeat([5], PACKET_SAMPLES - 1)) == []
    assert packets.whole(np.repeat([-1, 6], PACKET_SAMPLES)) == [6]


def test_numbers_come_again_and_count_again() -> None:
    packets = Packets()
    numbers = np.arange(2 * CODES) % CODES
    assert packets.whole(np.repeat(numbers, PACKET_SAMPLES)) == numbers.tolist()


def test_silence_is_no_packet() -> None:
    assert Packets().whole(np.full(800, -1)) == []


def test_a_row_without_any_wait_is_no_row() -> None:
    with pytest.raises(BenchError, match="nothing was heard"):
        latency_of("live", [], 120)


def test_waits_are_told_in_milliseconds() -> None:
    row = latency_of("live", [0.01] * 99 + [0.5], 120)
    assert row.p50_ms == pytest.approx(10)
    assert row.longest_ms == pytest.approx(500)
    assert row.p99_ms < 120
