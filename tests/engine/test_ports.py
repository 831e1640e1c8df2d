"""RTP ports: neighbours for a call, rest after use, none given twice."""

from engine.ports import COOL_DOWN_S, PortPool


def test_the_pairs_of_a_call_are_neighbours() -> None:
    pool = PortPool(10_000, 10_007)
    assert pool.take(2, 0.0) == 10_000
    assert pool.take(2, 0.0) == 10_004
    assert pool.take(1, 0.0) is None


def test_a_pair_rests_before_it_is_used_again() -> None:
    pool = PortPool(10_000, 10_003)
    assert pool.take(2, 0.0) == 10_000
    pool.give_back(10_000, 5.0)
    pool.give_back(10_002, 5.0)
    assert pool.take(1, 5.0 + COOL_DOWN_S - 0.1) is None
    assert pool.take(2, 5.0 + COOL_DOWN_S) == 10_000


def test_a_run_never_wraps_round_the_end() -> None:
    pool = PortPool(10_000, 10_005)
    assert pool.take(1, 0.0) == 10_000
    assert pool.take(1, 0.0) == 10_002
    pool.give_back(10_000, -COOL_DOWN_S)
    assert pool.take(2, 0.0) is None  # 10,004 and 10,000 are free, and no neighbours
    assert pool.take(1, 0.0) == 10_004
    assert pool.take(1, 0.0) == 10_000


def test_the_range_is_used_round_before_a_port_comes_again() -> None:
    pool = PortPool(10_000, 10_007)
    first = pool.take(1, 0.0)
    assert first == 10_000
    pool.give_back(first, -COOL_DOWN_S)
    assert [pool.take(1, 0.0) for _ in range(4)] == [10_002, 10_004, 10_006, 10_000]
