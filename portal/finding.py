"""Calls for whoever asks, within his scope, and which engines are silent.

Not here: pages and the API's answers, and queries (`schema.calls`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import trio

from portal import gate
from portal.config import portal
from portal.errors import not_found
from schema import calls
from schema.database import DatabaseError
from schema.values import CallStage, CallView

# A node says every five seconds that it lives.
SILENT_AFTER_S: Final = 20.0
# Every page asks which nodes those are.
SILENT_FOR_S: Final = 1.0
RUNNING: Final = frozenset({CallStage.ACTIVE, CallStage.UNREACHABLE})


async def silent_nodes() -> frozenset[str]:
    """The nodes of which nothing was heard lately."""
    known = portal().memory.silent
    if trio.current_time() >= known.until_s:
        known.names = await calls.silent_nodes(datetime.now(UTC), SILENT_AFTER_S)
        known.until_s = trio.current_time() + SILENT_FOR_S
    return known.names


async def find_call(call_id: UUID) -> CallView:
    """A call of whoever asks. Raises `Problem` (404) where there is none that he may see."""
    return _there(await _find(call_id))


async def find_running(call_id: UUID) -> CallView:
    """The same for what is done with calls that run: while the database is away, one that ran lately counts as it was.

    Raises `Problem` (404).
    """
    return _there(await look_for_running(call_id))


async def look_for_running(call_id: UUID) -> CallView | None:
    """The same for websockets, which have no 404."""
    remembered, key = portal().memory.calls, (gate.scope(), call_id)
    asked: list[CallView | None] = []

    async def ask() -> CallView | None:
        asked.append(await _find(call_id))
        return asked[0] if asked[0] is not None and asked[0].stage in RUNNING else None

    found = await remembered.ask(key, ask)
    return asked[0] if asked else found


async def look_for_these(call_ids: Sequence[UUID]) -> dict[UUID, CallView]:
    """Those of these calls that there are, asked for at once; as `look_for_running` while the database is away."""
    try:
        found = await calls.get_calls(gate.scope(), call_ids, silent_nodes=await silent_nodes())
    except DatabaseError:
        known = [await look_for_running(call_id) for call_id in call_ids]
        return {call.record.id: call for call in known if call is not None}
    note_running(tuple(found.values()))
    return found


def note_running(views: tuple[CallView, ...]) -> None:
    """Whoever asks has just seen these calls."""
    scope, remembered = gate.scope(), portal().memory.calls
    for view in views:
        remembered.note((scope, view.record.id), view if view.stage in RUNNING else None)


async def _find(call_id: UUID) -> CallView | None:
    return await calls.get_call(gate.scope(), call_id, silent_nodes=await silent_nodes())


def _there(found: CallView | None) -> CallView:
    if found is None:
        raise not_found()
    return found
