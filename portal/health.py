"""Whether this portal can do its work: for load balancers and monitoring, without signing in.

Not here: how engine and archive are; they may be well when the portal is not.
"""

from typing import Any

from schema.database import ready


async def health() -> dict[str, Any]:
    """`{"status": "ok"}`. Errors: `DatabaseError`, which is answered with a 503 that says what is wrong."""
    await ready()
    return {"status": "ok"}
