"""Pages of a list that goes by cursors: where the one before and the one after are.

A page is known by the cursors that led to it, the last one its own: so the way back needs no query of its own.

Not here: what a list shows (each page), and the list of calls, which has a count (`calls.py`).
"""

from dataclasses import dataclass
from typing import Any, Final

from quart import request, url_for

# An address stays short enough for every proxy; who goes further back has the browser's own way.
MOST_CURSORS: Final = 30
ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class Steps:
    """Addresses, empty where there is no such page."""

    newer: str
    older: str


def cursor() -> str | None:
    """What the page at hand begins after; None for the first."""
    return next(reversed(request.args.getlist("cursor")), None)


def steps(endpoint: str, following: str | None, **kept: str | None) -> Steps:
    """The pages around the one at hand. `following`: the cursor of the next; `kept`: filters, of which empty ones are
    left out."""
    cursors = request.args.getlist("cursor")
    return Steps(
        newer=_address(endpoint, cursors[:-1], kept) if cursors else "",
        older="" if following is None else _address(endpoint, [*cursors, following], kept),
    )


def _address(endpoint: str, cursors: list[str], kept: dict[str, str | None]) -> str:
    filters: dict[str, Any] = {name: value for name, value in kept.items() if value}
    return url_for(endpoint, cursor=cursors[-MOST_CURSORS:] or None, **filters)
