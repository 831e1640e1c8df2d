"""The switch in the bar by which operators look at one tenant, or at all of them again.

Not here: what follows from a look (`gate.py`), and the list of all tenants (`pages/tenants.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio
from quart import current_app

from portal import gate
from schema import tenants
from schema.database import DatabaseError
from schema.profiles import Named
from schema.roles import Reach

ENTER: Final = "tenants.enter"
# As many as a menu shows well; whoever has more goes by the list of tenants.
MOST: Final = 10
# The bar is worth no longer wait.
WITHIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class TenantSwitch:
    """`current` is the one that is looked at, None for all; `others`: some to choose from, `more` says that not all."""

    current: Named | None
    others: Sequence[Named]
    more: bool


async def at_hand() -> TenantSwitch | None:
    """The switch of the page at hand; None where there is one tenant only, or the database does not tell."""
    if gate.visitor() is None or ENTER not in current_app.view_functions or not gate.may_call(ENTER):
        return None
    with trio.move_on_after(WITHIN_S):
        try:
            return await _switch()
        except DatabaseError:
            pass  # what the page needs of the database itself, it asks for again
    return None


async def _switch() -> TenantSwitch | None:
    scope, looked_at = gate.scope(), gate.looked_at()
    current = None
    if looked_at is not None:
        tenant = await tenants.get_tenant(scope, looked_at)
        current = Named(looked_at, tenant.fields.name if tenant is not None else "")
    found = await tenants.tenant_names(replace(scope, reach=Reach.PLATFORM), MOST + 1)
    if current is None and len(found) < 2:
        return None
    return TenantSwitch(current, [each for each in found[:MOST] if each.id != looked_at], len(found) > MOST)
