"""Deadlines by key."""

from hypothesis import given
from hypothesis import strategies as st

from engine.sip.timetable import STALE_ALLOWED, Timetable


def test_the_soonest_comes_first_and_only_when_it_is_due() -> None:
    table: Timetable[str] = Timetable()
    table.set("late", 3.0)
    table.set("soon", 1.0)
    table.set("same", 1.0)

    assert table.next() == 1.0
    assert table.pop_due(0.9) is None
    assert [table.pop_due(1.0), table.pop_due(1.0), table.pop_due(1.0)] == ["soon", "same", None]
    assert (table.next(), len(table)) == (3.0, 1)


def test_the_heap_stays_as_small_as_what_is_scheduled() -> None:
    table: Timetable[int] = Timetable()
    for turn in range(10_000):
        table.set(turn % 10, float(turn))

    assert len(table._heap) <= 2 * 10 + STALE_ALLOWED + 1
    assert table.next() == 9990.0


@given(st.lists(st.tuples(st.sampled_from(["set", "drop", "pop"]), st.integers(0, 5), st.integers(0, 20))))
def test_it_agrees_with_a_plain_dictionary(steps: list[tuple[str, int, int]]) -> None:
    table: Timetable[int] = Timetable()
    plain: dict[int, float] = {}
    for what, key, at in steps:
        if what == "set":
            table.set(key, at)
            plain[key] = at
        elif what == "drop":
            table.drop(key)
            plain.pop(key, None)
        else:
            popped = table.pop_due(at)
            due = {each: when for each, when in plain.items() if when <= at}
            assert (popped is None) == (not due)
            if popped is not None:
                assert plain.pop(popped) == min(due.values())
        assert table.next() == min(plain.values(), default=None)
        assert len(table) == len(plain)
