"""Pages of a list that goes by cursors: a page is known by the cursors that led to it, the last one its own.

So Back needs no query of its own, and everything that is asked for stands in the address.

Not here: what is on the list, and its filters.
"""

from dataclasses import dataclass
from typing import Any, Final

from quart import request, url_for

# An address stays short enough for every proxy; who goes further back has the browser's own way.
MOST_CURSORS: Final = 30


@dataclass(frozen=True, slots=True)
class Paging:
    """Where in a list the address at hand is: `at` is the number of items before this page."""

    cursors: tuple[str, ...]
    at: int

    @property
    def cursor(self) -> str | None:
        """What to ask the list for."""
        return self.cursors[-1] if self.cursors else None

    def links(self, endpoint: str, size: int, following: str | None, **filters: Any) -> tuple[str, str]:
        """The addresses of the next page and of the one before, each empty where there is none.

        `size`: items on a full page. `filters`: whatever else stands in the address, and parts of the path.
        """
        kept = {name: value for name, value in filters.items() if value not in ("", None)}
        older = newer = ""
        if following is not None:
            cursors = [*self.cursors, following][-MOST_CURSORS:]
            older = url_for(endpoint, **kept, cursor=cursors, at=self.at + size)
        if self.cursors:
            before = list(self.cursors[:-1])
            place = max(0, self.at - size) if before else 0
            newer = url_for(endpoint, **kept, cursor=before or None, at=place or None)
        return older, newer


def at_hand() -> Paging:
    """Where the address of the current request is."""
    cursors = tuple(request.args.getlist("cursor"))
    return Paging(cursors, max(0, request.args.get("at", 0, type=int)) if cursors else 0)
