"""Whether this portal can do its work: for load balancers and monitoring, without signing in.

Not here: how engine and archive are; they may be well when the portal is not.
"""

from typing import Any, Final

import trio

from schema import nodes
from schema.database import DatabaseAway

# Monitoring asks often, and takes silence for worse than a refusal.
WITHIN_S: Final = 2.0


async def health() -> dict[str, Any]:
    """`{"status": "ok"}` once the database answers a query as a page makes it.

    Errors: `DatabaseError`, which becomes a 503 that names the database as the part which is not well.
    """
    try:
        with trio.fail_after(WITHIN_S):
            await nodes.nodes()
    except trio.TooSlowError:
        raise DatabaseAway("it is silent") from None
    return {"status": "ok"}
