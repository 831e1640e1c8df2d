"""Which calls belong together: those of a tenant to which the phone system gave the same group id.

Each call is one part of one interaction for now. The interaction of a call that stands alone has the call's id.

Not here: calls (`clerk.py` stores them first).
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from schema.columns import as_id
from schema.database import is_sqlite, rows
from schema.sql import insert, rows_in
from schema.values import CallRecord

# Any number: the class of locks that make two clerks agree on a group's interaction.
_LOCK_CLASS: Final = 0x47524F55
# A call comes to another tenant when its user becomes known: what has its id goes with it.
_TO_TENANT: Final = "ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id"


async def assign(given: Sequence[CallRecord]) -> None:
    """Inside a transaction: gives each call its interaction, and moves one whose group became known later."""
    tenants = {record.id: record.tenant_id for record in given}
    found = await rows_in("SELECT call_id, interaction_id, tenant_id FROM part WHERE call_id IN", list(tenants))
    before = {as_id(row["call_id"]): as_id(row["interaction_id"]) for row in found}
    now = {
        as_id(row["call_id"]): as_id(row["interaction_id"])
        for row in found
        if as_id(row["tenant_id"]) == tenants[as_id(row["call_id"])]
    }
    # In one order everywhere: two clerks do not wait for each other crosswise.
    for record in sorted(given, key=lambda record: (record.tenant_id, record.group_id, record.started_at, record.id)):
        alone = record.id not in now or now[record.id] == record.id
        shared = await _of_group(record) if record.group_id and alone else None
        wanted = shared or now.get(record.id, record.id)
        if now.get(record.id) == wanted:
            continue
        await insert("interaction", ["id", "tenant_id"], [[wanted, record.tenant_id]], _TO_TENANT)
        await insert(
            "part",
            ["tenant_id", "interaction_id", "call_id", "number", "from_s"],
            [[record.tenant_id, wanted, record.id, 0, 0.0]],
            "ON CONFLICT (call_id, number) DO UPDATE "
            "SET interaction_id = excluded.interaction_id, tenant_id = excluded.tenant_id",
        )
        if before.get(record.id, wanted) != wanted:
            await rows(
                "DELETE FROM interaction WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM part WHERE interaction_id = $1)",
                before[record.id],
            )


async def _of_group(record: CallRecord) -> UUID | None:
    """The interaction of the group's other calls."""
    if not is_sqlite():
        await rows(
            "SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK_CLASS, f"{record.tenant_id} {record.group_id}"
        )
    found = await rows(
        'SELECT part.interaction_id FROM "call" AS other JOIN part ON part.call_id = other.id '
        "WHERE other.tenant_id = $1 AND other.group_id = $2 AND other.group_id <> '' AND other.id <> $3 "
        "ORDER BY other.started_at, other.id LIMIT 1",
        record.tenant_id,
        record.group_id,
        record.id,
    )
    return as_id(found[0]["interaction_id"]) if found else None
