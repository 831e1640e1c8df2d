"""To whose tenant something new will belong: an operator who looks at all tenants chooses one in the form.

Not here: which tenant somebody looks at (`gate.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from portal import gate
from portal.forms import Form
from schema import tenants
from schema.roles import Reach
from schema.values import Scope

# More than a menu can hold: who has more looks at one of them first.
MOST: Final = 1000

Choices = Sequence[tuple[str, str]]


def across_tenants() -> bool:
    """Whether the one who asks looks at all tenants, so that lists must tell whose something is."""
    return gate.scope().reach is Reach.PLATFORM


def everything() -> Scope:
    """What an operator reaches on pages about the platform: all tenants, also while he looks at one."""
    return replace(gate.scope(), reach=Reach.PLATFORM)


async def choices() -> Choices:
    """The tenants to choose from, by name; none for who looks at one alone."""
    if not across_tenants():
        return []
    return [(str(tenant.id), tenant.name) for tenant in await tenants.tenant_names(gate.scope(), MOST)]


def proposed(given: str, offered: Choices) -> str:
    """The tenant that a form begins with: the one that a link named, else the operator's own."""
    return given if given in dict(offered) else str(gate.account().tenant_id)


def chosen(form: Form, offered: Choices) -> UUID | None:
    """The tenant that was chosen; None is the one that is looked at."""
    if not offered:
        return None
    given = form.choice("tenant", dict(offered))
    return UUID(given) if "tenant" not in form.errors else None
