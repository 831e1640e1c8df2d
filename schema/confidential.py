"""Marking a call as confidential: from then on only its parties see it, and who may see what is confidential.

Table `call` is the clerk's, who writes thousands of rows at a time, and so tells the audit trail nothing by itself: the
entry is noted here, in the transaction of the change. What the clerk stores later leaves the mark as it is.

Not here: what the mark hides (`scoped.py`).
"""

from typing import Any, Final
from uuid import UUID

from schema.audited import changing
from schema.columns import as_id
from schema.database import rows, unit
from schema.entries import About, Action, By, Resource
from schema.refusals import NotThere
from schema.scoped import ScopedCalls
from schema.values import PartyRecord

_MARK: Final = (
    'UPDATE "call" SET confidential = $1 WHERE id = $2 AND confidential <> $1 '
    "RETURNING tenant_id, caller_number, caller_name, callee_number, callee_name"
)


@unit
async def set_call_confidential(by: By, call_id: UUID, confidential: bool) -> None:
    """Marks a call, or takes the mark away. Errors: NotThere, for a call that `by` does not see."""
    async with changing(by) as changes:
        query = ScopedCalls(by.scope)
        if not await rows(query.one(call_id), *query.values):
            raise NotThere
        for changed in await rows(_MARK, confidential, call_id):
            changes.note(
                Resource.CALLS,
                Action.UPDATE,
                About(call_id, called(*(_side(changed, side) for side in ("caller", "callee")))),
                tenant_id=as_id(changed["tenant_id"]),
                fields={"confidential": (str(not confidential), str(confidential))},
            )


def called(caller: PartyRecord, callee: PartyRecord) -> str:
    """What a call is called where it is named: its two sides."""
    return " - ".join(party.name or party.number or "?" for party in (caller, callee))


def _side(row: dict[str, Any], side: str) -> PartyRecord:
    return PartyRecord(row[f"{side}_number"], row[f"{side}_name"])
