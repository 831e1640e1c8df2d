"""The engines: what the clerk heard of each, and when.

Not here: what a silent engine means for its calls (`calls.py`).
"""

from datetime import datetime, timedelta
from typing import Any

from schema.columns import as_moment
from schema.database import lookup, rows, unit
from schema.values import NodeRecord


@unit
async def heartbeat(node: NodeRecord) -> None:
    """Notes that a node was heard of at `node.seen_at`, and how to reach it."""
    await rows(
        "INSERT INTO node (name, gateway, version, seen_at, gateway_certificate) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (name) DO UPDATE SET gateway = excluded.gateway, version = excluded.version, "
        "seen_at = excluded.seen_at, gateway_certificate = excluded.gateway_certificate",
        node.name,
        node.gateway,
        node.version,
        node.seen_at,
        node.gateway_certificate,
    )


@lookup
async def nodes() -> list[NodeRecord]:
    """All nodes by name."""
    return [_node(row) for row in await rows("SELECT * FROM node ORDER BY name")]


@lookup
async def node_of(name: str) -> NodeRecord | None:
    """A node by its name; None where nothing was ever heard of it."""
    found = await rows("SELECT * FROM node WHERE name = $1", name)
    return _node(found[0]) if found else None


@lookup
async def silent_nodes(now: datetime, after_s: float) -> frozenset[str]:
    """The nodes of which nothing was heard for `after_s`, and those with running calls of which nothing ever was."""
    found = await rows(
        "SELECT name FROM node WHERE seen_at < $1 UNION SELECT node FROM \"call\" WHERE phase = 'running' "
        "AND node NOT IN (SELECT name FROM node)",
        now - timedelta(seconds=after_s),
    )
    return frozenset(row["name"] for row in found)


def _node(row: dict[str, Any]) -> NodeRecord:
    return NodeRecord(
        name=row["name"],
        gateway=row["gateway"],
        version=row["version"],
        seen_at=as_moment(row["seen_at"]),
        gateway_certificate=row["gateway_certificate"],
    )
