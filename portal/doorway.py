"""What a page shows to who has not signed in: the look and language of the tenant whose host name was asked for.

Not here: the sign-in page (`signin.py`), and the look of who has signed in: his account bears it.
"""

from quart import g

from schema.profiles import Doorway


def at_hand() -> Doorway | None:
    """What the page at hand shows to a stranger; None where somebody is signed in, or the database is away."""
    found: Doorway | None = g.get("doorway")
    return found
