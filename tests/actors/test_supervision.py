"""The restart policy, without waiting for it."""

import itertools

import pytest
import trio
from trio.testing import MockClock

from actors.supervision import GaveUp, Policy, supervise

POLICY = Policy(restarts=3, within_s=60, first_pause_s=0.1, longest_pause_s=5)


async def test_what_returns_is_not_run_again(autojump_clock: MockClock) -> None:
    runs = []

    async def run() -> None:
        runs.append(trio.current_time())

    await supervise(run, name="part", policy=POLICY)
    assert len(runs) == 1


async def test_three_failures_are_borne_with_growing_pauses(autojump_clock: MockClock) -> None:
    runs: list[float] = []
    told: list[Exception] = []

    async def run() -> None:
        runs.append(trio.current_time())
        if len(runs) <= 3:
            raise ValueError(len(runs))

    await supervise(run, name="part", policy=POLICY, on_failure=told.append)
    assert [round(after - before, 3) for before, after in itertools.pairwise(runs)] == [0.1, 0.2, 0.4]
    assert [error.args for error in told] == [(1,), (2,), (3,)]


async def test_the_fourth_failure_within_a_minute_is_the_last(autojump_clock: MockClock) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        raise ValueError("broken")

    with pytest.raises(GaveUp) as caught:
        await supervise(run, name="part", policy=POLICY)
    assert runs == 4
    assert isinstance(caught.value.__cause__, ValueError)


async def test_failures_far_apart_are_forgotten(autojump_clock: MockClock) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        await trio.sleep(61)
        if runs < 10:
            raise ValueError("now and then")

    await supervise(run, name="part", policy=POLICY)
    assert runs == 10


async def test_a_cancelled_part_is_not_a_failed_one(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1) as scope:
        await supervise(trio.sleep_forever, name="part", policy=POLICY)
    assert scope.cancelled_caught
