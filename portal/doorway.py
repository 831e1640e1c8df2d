"""What a page shows to who has not signed in: the look and language of the tenant whose host name was asked for.

Not here: the sign-in page (`signin.py`), and the look of who has signed in: his account bears it.
"""

from typing import Final

import trio
from quart import g, request

from schema import tenants
from schema.database import DatabaseError
from schema.profiles import Doorway

# The look of a page is worth no longer wait.
WITHIN_S: Final = 1.0


async def arrive() -> None:
    """Before a page for strangers: whose door it is. Blueprints of such pages list it in `before_request`."""
    with trio.move_on_after(WITHIN_S):
        try:
            g.doorway = await tenants.doorway(request.host)
        except DatabaseError:
            return  # what the page needs of the database itself, it asks for again


def at_hand() -> Doorway | None:
    """What the page at hand shows to a stranger; None where somebody is signed in, or the database is away."""
    found: Doorway | None = g.get("doorway")
    return found
