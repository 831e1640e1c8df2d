"""The instrument that times the loop's stops: on a real loop, with lower bounds only."""

import time

import trio

from bench.engine_process import Stops

BLOCKED_S = 0.03


def test_a_stop_is_as_long_as_the_loop_looked_at_nothing_new() -> None:
    stops = Stops()

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        time.sleep(BLOCKED_S)  # noqa: ASYNC251 - what is measured
        await trio.lowlevel.checkpoint()

    trio.run(main, instruments=[stops])
    count, longest, _, p99, _ = stops.end_span()
    assert count >= 2
    assert longest >= BLOCKED_S
    assert p99 <= longest


def test_a_span_forgets_the_one_before() -> None:
    stops = Stops()
    for _ in range(5):
        stops.after_io_wait(0)
        stops.before_io_wait(0)
    first, *_ = stops.end_span()
    stops.after_io_wait(0)
    stops.before_io_wait(0)
    second, *_ = stops.end_span()
    assert (first, second) == (5, 1)


def test_a_span_in_which_nothing_was_timed_has_no_stop() -> None:
    assert Stops().end_span() == (0, 0.0, 0.0, 0.0, 0.0)
