"""The audit trail's newest entries about what a page shows, for those who may read the trail.

Not here: how entries are told (`audit_words.py`), the trail itself (`audit.py`).
"""

from typing import Any, Final
from uuid import UUID

from portal import gate
from schema import audit
from schema.entries import Resource
from schema.roles import Permission
from schema.values import Scope

MOST: Final = 10


async def about(object_id: UUID, scope: Scope | None = None) -> dict[str, Any]:
    """What `audit/about.html` shows of an object: no entries at all where the trail may not be read.

    `scope`: what is in reach, where that is more than what is looked at.
    """
    if not gate.may(Permission.READ_AUDIT):
        return {"entries": None, "about_id": object_id}
    return {"entries": await audit.entries_about(scope or gate.scope(), object_id, MOST), "about_id": object_id}


async def about_platform(scope: Scope) -> dict[str, Any]:
    """The same of what holds for all tenants."""
    if not gate.may(Permission.READ_AUDIT):
        return {"entries": None, "about_id": None}
    found = await audit.list_entries(scope, audit.Filters(resource=Resource.PLATFORM), limit=MOST)
    return {"entries": found.items, "about_id": None}
