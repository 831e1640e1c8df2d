"""Statements about many rows, in the SQL that both databases read.

Not here: what is asked. Names of tables and columns come from this house, values always as parameters.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from schema.database import rows

Item = TypeVar("Item")

# Both databases take some 32,000 parameters.
_VALUES_PER_STATEMENT: Final = 20_000


async def rows_in(query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows of a query that ends in `... IN`, for any number of values."""
    found = []
    for some in batches(values, _VALUES_PER_STATEMENT):
        found += await rows(f"{query} ({marks(1, len(some))})", *some)
    return found


async def insert(
    table: str, columns: Sequence[str], given: Sequence[Sequence[Any]], end: str = "", *more: Any
) -> list[dict[str, Any]]:
    """Inserts rows in one statement, which `end` completes, and returns what that asks for.

    `more`: parameters of `end`, numbered after those of the rows.
    """
    width = len(columns)
    lines = ", ".join(f"({marks(number * width + 1, width)})" for number in range(len(given)))
    query = f'INSERT INTO "{table}" ({", ".join(columns)}) VALUES {lines} {end}'  # noqa: S608  # names of ours
    return await rows(query, *(value for row in given for value in row), *more)


def marks(first: int, number: int) -> str:
    """`$3, $4, $5`: places for this number of parameters."""
    return ", ".join(f"${place}" for place in range(first, first + number))


def batches(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + most] for start in range(0, len(items), most))
