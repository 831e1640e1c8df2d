"""What the lists of the administration have in common: their length, the filter by status, an address that is wrong.

Not here: their pages (`paging.py`), what they show.
"""

from collections.abc import Awaitable
from typing import Final, TypeVar

from quart import abort, request

from portal.pages.people_words import STATUSES, Status

Found = TypeVar("Found")

ROWS: Final = 50


def status() -> Status:
    """Which items the address asks for: those that are in use, unless it says otherwise."""
    asked: dict[str, Status] = {"": "active", "disabled": "disabled", "all": "all"}
    return asked.get(request.args.get("status", "")) or abort(404)


def kept_status() -> str:
    """The same as it stands in addresses."""
    return request.args.get("status", "")


def status_options() -> list[tuple[str, str]]:
    """What the menu of statuses offers; the first one stands in no address."""
    return [("" if name == "active" else name, told()) for name, told in STATUSES.items()]


async def asked(question: Awaitable[Found]) -> Found:
    """What a list answers. A cursor that no list gave leads nowhere: it is not found."""
    try:
        return await question
    except ValueError:
        abort(404)
