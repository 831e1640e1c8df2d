"""What a step's samples say: whether the backlog grows, and how many calls would fill the core."""

import pytest

from bench.sustained import Sample, Step, step_of

CALL_S = 20.0
CALLS, RATE = 100.0, 5.0


def step(waiting_after: int, *, seconds: int = 40, engine_cpu_s: float = 8.0, archive_cpu_s: float = 24.0) -> Step:
    """A step in which calls ended at their rate and the backlog went evenly from 10 to `waiting_after`."""
    samples = [
        Sample(
            at_s=1000.0 + at,
            waiting=round(10 + (waiting_after - 10) * at / seconds),
            oldest_s=1.0,
            ended=round(RATE * at),
            engine_cpu_s=engine_cpu_s * at / seconds,
            archive_cpu_s=archive_cpu_s * at / seconds,
            core_s=(engine_cpu_s + archive_cpu_s + 4.0) * at / seconds,
        )
        for at in range(seconds + 1)
    ]
    return step_of(samples, CALLS, RATE, CALL_S)


def test_a_backlog_that_stays_is_flat() -> None:
    flat = step(10)
    assert flat.flat
    assert flat.growth == pytest.approx(0)
    assert flat.finished_calls == pytest.approx(CALLS)


def test_a_backlog_that_grows_is_not_flat_and_says_by_how_much() -> None:
    grown = step(50)
    assert not grown.flat
    assert grown.growth == pytest.approx(1.0, abs=0.05)
    # Of five calls a second four were finished: as much as 80 calls speak.
    assert grown.finished_calls == pytest.approx(80)


def test_a_backlog_that_shrinks_is_flat() -> None:
    assert step(2).flat


def test_a_few_calls_more_in_a_short_step_are_no_growth() -> None:
    assert step(12, seconds=5).flat


def test_the_core_is_full_where_its_costs_add_up() -> None:
    # 20 % for holding 100 calls and 60 % for finishing 100: 0.8 % a call.
    assert step(10).fitting_calls == pytest.approx(125)


def test_what_others_take_of_the_core_is_seen() -> None:
    assert step(10).others_share == pytest.approx(0.1)
