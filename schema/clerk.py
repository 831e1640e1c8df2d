"""What the archive writes: calls as the outbox and the finisher tell of them. The only queries without a scope.

Each unit is one transaction and can be repeated: the second time changes nothing. A finished call is the finisher's
word: no event that comes late undoes it.

Whose a call is, the first match decides: phones go to other users, and what was recorded before stays whose it was. A
call that is nobody's so far may still become somebody's.

Not here: what an event means (the archive folds them), who may see a call (`calls.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from schema import interactions, pauses
from schema import records as kept
from schema.columns import as_id
from schema.database import rows, transaction, unit
from schema.nodes import heartbeat, nodes
from schema.sql import batches, insert, rows_in
from schema.values import DEFAULT_TENANT, CallRecord, Event, Offset, PartyRecord

__all__ = [
    "apply",
    "default_tenant",
    "events_of",
    "finish",
    "heartbeat",
    "is_finished",
    "mark_ended",
    "nodes",
    "offset",
    "store",
    "unended",
    "unfinished",
    "users_of_lines",
]

# Both databases limit the parameters of a statement to some 32,000; a call's row has 30.
_RECORDS_PER_STATEMENT: Final = 500
_EVENTS_PER_STATEMENT: Final = 5_000
# PostgreSQL cannot index a text of more than some 2,700 bytes. No phone system's group id is a tenth of that.
_LONGEST_GROUP: Final = 512
_USERS: Final = ("caller_user_id", "callee_user_id")


@unit
async def default_tenant() -> UUID:
    """The tenant of calls that belong to nobody's."""
    return DEFAULT_TENANT


@unit
async def offset(node: str) -> Offset:
    """How far a node's outbox was read; its beginning where nothing was."""
    found = await rows("SELECT segment, block FROM outbox_offset WHERE node = $1", node)
    return Offset(found[0]["segment"], found[0]["block"]) if found else Offset()


@unit
async def events_of(call_id: UUID) -> list[Event]:
    """The events of a call that is not finished, in order."""
    found = await rows("SELECT number, data FROM call_event WHERE call_id = $1 ORDER BY number", call_id)
    return [Event(call_id, row["number"], bytes(row["data"])) for row in found]


@unit
async def apply(node: str, offset: Offset, events: Sequence[Event], records: Sequence[CallRecord]) -> None:
    """Stores events, the records that they lead to, and how far the node's outbox was read: all or nothing.

    An event that is there already, and a record older than the one that is there, change nothing.
    """
    async with transaction():
        await store(records, final=False)
        await _add(events)
        await rows(
            "INSERT INTO outbox_offset (node, segment, block) VALUES ($1, $2, $3) "
            "ON CONFLICT (node) DO UPDATE SET segment = excluded.segment, block = excluded.block",
            node,
            offset.segment,
            offset.block,
        )


@unit
async def finish(record: CallRecord) -> None:
    """Stores what a call came to, whatever was known of it before, and drops its events."""
    async with transaction():
        await store([replace(record, finished=True)], final=True)
        await rows("DELETE FROM call_event WHERE call_id = $1", record.id)


@unit
async def is_finished(call_id: UUID) -> bool:
    """Whether `finish` was told of this call."""
    return bool(await rows("SELECT 1 AS found FROM \"call\" WHERE id = $1 AND phase = 'finished'", call_id))


@unit
async def mark_ended(call_ids: Sequence[UUID]) -> None:
    """Calls of which only this is known yet: they run no more."""
    await rows_in("UPDATE \"call\" SET phase = 'finishing' WHERE phase = 'running' AND id IN", sorted(call_ids))


@unit
async def unended(node: str) -> list[UUID]:
    """The calls of a node that run, as far as the database knows."""
    query = "SELECT id FROM \"call\" WHERE phase = 'running' AND node = $1 ORDER BY started_at, id"
    return [as_id(row["id"]) for row in await rows(query, node)]


@unit
async def unfinished(node: str) -> list[UUID]:
    """The calls of a node that run or are being finished, as far as the database knows."""
    # One question for each phase: each has an index of its own.
    query = (
        "SELECT id FROM \"call\" WHERE phase = 'running' AND node = $1 "
        "UNION ALL SELECT id FROM \"call\" WHERE phase = 'finishing' AND node = $1"
    )
    return sorted(as_id(row["id"]) for row in await rows(query, node))


@unit
async def users_of_lines(lines: Sequence[str]) -> dict[str, tuple[UUID, UUID]]:
    """The tenant and the user of each line. One that is disabled is nobody's; one that two tenants have is left out: it
    could be either's.
    """
    found: dict[str, tuple[UUID, UUID]] = {}
    twice: set[str] = set()
    asked = sorted({kept.clean(line) for line in lines})
    query = "SELECT line, tenant_id, account_id FROM phone WHERE disabled_at IS NULL AND line IN"
    for row in await rows_in(query, asked):
        if row["line"] in found:
            twice.add(row["line"])
        found[row["line"]] = (as_id(row["tenant_id"]), as_id(row["account_id"]))
    return {line: user for line, user in found.items() if line not in twice}


async def store(given: Sequence[CallRecord], *, final: bool) -> None:
    """Inside a transaction: stores the newest record of each call, unless a newer one is there; `final`: even then."""
    latest: dict[UUID, CallRecord] = {}
    # By id: two writers that store the same calls do not wait for each other crosswise.
    for record in sorted(given, key=lambda record: (record.id, record.events)):
        latest[record.id] = record
    for some in batches(list(latest.values()), _RECORDS_PER_STATEMENT):
        fitting = await _fitting(some)
        stored = await _upsert(fitting, final=final)
        changed = [replace(record, tenant_id=stored[record.id]) for record in fitting if record.id in stored]
        if changed:
            await _replace_children(changed)
            await interactions.assign(changed)
            await pauses.tell(changed, final=final)


async def _fitting(given: Sequence[CallRecord]) -> list[CallRecord]:
    """The records with tenants that are there, users of their own tenant, and group ids that can be looked up.

    A user may be deleted while his call runs, and a recording may come from another database: the call is kept all the
    same, as nobody's, or in the default tenant.
    """
    asked = {party.user_id for record in given for party in (record.caller, record.callee) if party.user_id is not None}
    users = {
        as_id(row["id"]): as_id(row["tenant_id"])
        for row in await rows_in("SELECT id, tenant_id FROM account WHERE id IN", sorted(asked))
    }
    known = await rows_in("SELECT id FROM tenant WHERE id IN", sorted({record.tenant_id for record in given}))
    tenants = {as_id(row["id"]) for row in known}

    def party(one: PartyRecord, tenant: UUID) -> PartyRecord:
        own = one.user_id is None or users.get(one.user_id) == tenant
        return one if own else replace(one, user_id=None)

    fitting = []
    for record in given:
        tenant = record.tenant_id if record.tenant_id in tenants else DEFAULT_TENANT
        caller, callee = party(record.caller, tenant), party(record.callee, tenant)
        group = kept.clean(record.group_id)[:_LONGEST_GROUP]
        fitting.append(replace(record, tenant_id=tenant, caller=caller, callee=callee, group_id=group))
    return fitting


async def _upsert(given: Sequence[CallRecord], *, final: bool) -> dict[UUID, UUID]:
    """The tenants, by call, of those that were stored."""
    found = [kept.call_row(record) for record in given]
    columns = list(found[0])
    kept_apart = ("id", "phase", "tenant_id", *_USERS)
    changes = [f"{column} = excluded.{column}" for column in columns if column not in kept_apart]
    default = f"${len(found) * len(columns) + 1}"
    nobodys = f'"call".tenant_id = {default} AND ' + " AND ".join(f'"call".{user} IS NULL' for user in _USERS)
    changes.append(f'tenant_id = CASE WHEN {nobodys} THEN excluded.tenant_id ELSE "call".tenant_id END')
    fits = f'"call".tenant_id = excluded.tenant_id OR ({nobodys})'
    changes += [f'{user} = coalesce("call".{user}, CASE WHEN {fits} THEN excluded.{user} END)' for user in _USERS]
    # A call that is known to have ended does not run again for an event that was told before.
    changes.append(
        "phase = CASE WHEN \"call\".phase = 'finishing' AND excluded.phase = 'running' "
        "THEN 'finishing' ELSE excluded.phase END"
    )
    newer = "" if final else ' WHERE "call".phase <> \'finished\' AND "call".events <= excluded.events'
    stored = await insert(
        "call",
        columns,
        [list(row.values()) for row in found],
        f"ON CONFLICT (id) DO UPDATE SET {', '.join(changes)}{newer} RETURNING id, tenant_id",
        DEFAULT_TENANT,
    )
    return {as_id(row["id"]): as_id(row["tenant_id"]) for row in stored}


async def _replace_children(given: Sequence[CallRecord]) -> None:
    ids = [record.id for record in given]
    children = {record.id: kept.child_rows(record) for record in given}
    for table, columns in kept.CHILDREN.items():
        await rows_in(f"DELETE FROM {table} WHERE call_id IN", ids)  # noqa: S608  # a name of ours
        found = [
            [record.tenant_id, record.id, number, *row]
            for record in given
            for number, row in enumerate(children[record.id][table])
        ]
        for some in batches(found, _RECORDS_PER_STATEMENT):
            await insert(table, ["tenant_id", "call_id", "number", *columns], some)


async def _add(events: Sequence[Event]) -> None:
    calls = sorted({event.call_id for event in events})
    found = await rows_in("SELECT id FROM \"call\" WHERE phase = 'finished' AND id IN", calls)
    finished = {as_id(row["id"]) for row in found}
    open_ones = [[event.call_id, event.number, event.data] for event in events if event.call_id not in finished]
    for some in batches(open_ones, _EVENTS_PER_STATEMENT):
        await insert("call_event", ["call_id", "number", "data"], some, "ON CONFLICT (call_id, number) DO NOTHING")
