"""RTP ports: neighbours for a call, rest after use as long as they can, none given twice."""

from hypothesis import given
from hypothesis import strategies as st

from engine.ports import COOL_DOWN_S, PortPool


def test_the_pairs_of_a_call_are_neighbours() -> None:
    pool = PortPool(10_000, 10_007)
    assert pool.take(2, 0.0) == 10_000
    assert pool.take(2, 0.0) == 10_004
    assert pool.take(1, 0.0) is None


def test_a_pair_rests_before_it_is_used_again() -> None:
    pool = PortPool(10_000, 10_007)
    assert pool.take(2, 0.0) == 10_000
    assert pool.take(1, 0.0) == 10_004
    pool.give_back(10_000, 5.0)
    pool.give_back(10_002, 5.0)
    assert pool.take(1, 5.0 + COOL_DOWN_S - 0.1) == 10_006
    assert pool.take(2, 5.0 + COOL_DOWN_S) == 10_000


def test_a_run_never_wraps_round_the_end() -> None:
    pool = PortPool(10_000, 10_005)
    assert pool.take(1, 0.0) == 10_000
    assert pool.take(1, 0.0) == 10_002
    pool.give_back(10_000, -COOL_DOWN_S)
    assert pool.take(2, 0.0) is None  # 10,004 and 10,000 are free, and no neighbours
    assert pool.take(1, 0.0) == 10_004
    assert pool.take(1, 0.0) == 10_000


def test_where_none_is_rested_the_longest_rested_neighbours_are_taken() -> None:
    pool = PortPool(10_000, 10_011)
    for _ in range(3):
        pool.take(2, 0.0)
    for port, given_back_s in ((10_000, 1.0), (10_002, 9.0), (10_004, 6.0), (10_006, 4.0), (10_008, 2.0)):
        pool.give_back(port, given_back_s)
    assert pool.take(2, 10.0) == 10_006  # the later of the two was given back at 4 s, of others at 6 and 9 s
    assert pool.take(1, 10.0) == 10_000
    assert pool.take(2, 10.0) == 10_002
    assert pool.take(1, 10.0) is None  # 10,010 is in use


def test_more_pairs_than_the_range_has_are_refused() -> None:
    assert PortPool(10_000, 10_003).take(3, 0.0) is None


class Ring:
    """What a pool promises, said plainly: the time at which each pair is rested; None where it is in use."""

    def __init__(self, pairs: int) -> None:
        self.rested: list[float | None] = [-1e9] * pairs
        self.cursor = 0

    def take(self, count: int, now_s: float) -> int | None:
        waits = {}
        for start in range(len(self.rested) - count + 1):
            run = [each for each in self.rested[start : start + count] if each is not None]
            if len(run) == count:
                waits[start] = max(max(run), now_s)  # rested is rested
        rested = [start for start, wait in waits.items() if wait == now_s]
        ahead = [start for start in rested if start >= self.cursor]
        if not waits:
            return None
        found = min(ahead or rested) if rested else min(waits, key=lambda start: waits[start])
        self.rested[found : found + count] = [None] * count
        self.cursor = found + count
        return found


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(0, 20)), max_size=60))
def test_any_sequence_of_calls_gives_what_is_promised(pairs: int, steps: list[tuple[int, int, int]]) -> None:
    pool, ring, now_s = PortPool(10_000, 10_000 + 2 * pairs - 1), Ring(pairs), 0.0
    for count, place, wait_s in steps:
        now_s += wait_s
        if count:
            start = ring.take(count, now_s)
            assert pool.take(count, now_s) == (None if start is None else 10_000 + 2 * start)
        elif place < pairs and ring.rested[place] is None:
            ring.rested[place] = now_s + COOL_DOWN_S
            pool.give_back(10_000 + 2 * place, now_s)


def test_the_range_is_used_round_before_a_port_comes_again() -> None:
    pool = PortPool(10_000, 10_007)
    first = pool.take(1, 0.0)
    assert first == 10_000
    pool.give_back(first, -COOL_DOWN_S)
    assert [pool.take(1, 0.0) for _ in range(4)] == [10_002, 10_004, 10_006, 10_000]
