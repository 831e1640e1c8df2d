"""Whether this portal can do its work: for load balancers and monitoring, without signing in.

Not here: how engine and archive are; they may be well when the portal is not.
"""

from typing import Any

from schema import calls


async def health() -> dict[str, Any]:
    """`{"status": "ok"}` once the database answers a query as a page makes it.

    Errors: `DatabaseError`, which becomes a 503 that says what is wrong.
    """
    await calls.nodes()
    return {"status": "ok"}
