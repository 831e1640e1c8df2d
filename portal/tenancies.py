"""Tenants from the command line: added, listed.

Not here: the options of these commands (`accounts_command.py`), a tenant's limits and looks (the portal's pages).
"""

from collections.abc import Sequence
from typing import Final

from portal.commanded import EVERYWHERE, table, text, working
from schema import tenants
from schema.profiles import Tenant, TenantFields

NONE_MADE: Final = "No tenant was made."


async def add_tenant(
    database_url: str, key: bytes, name: str, hosts: Sequence[str], language: str, time_zone: str
) -> str:
    """Makes a tenant; gives a sentence. `hosts`: names by which browsers reach it. Errors: `Refused`."""
    fields = TenantFields(
        name=text(name, "A tenant", NONE_MADE), hosts=tuple(hosts), language=language, time_zone=time_zone
    )
    async with working(database_url, key, NONE_MADE) as by:
        made = await tenants.create_tenant(by, fields)
    return (
        f"The tenant {made.fields.name} was added. Nobody can sign in to it yet: "
        f"earshot user add LOGIN --role administrator --tenant '{made.fields.name}' --password-stdin"
    )


async def list_tenants(database_url: str, key: bytes) -> str:
    """A table of all tenants, by name. Errors: `Refused`."""
    found: list[Tenant] = []
    async with working(database_url, key, "Nothing was listed."):
        cursor: str | None = None
        while True:
            page = await tenants.list_tenants(EVERYWHERE, status="all", limit=100, cursor=cursor)
            found += page.items
            if (cursor := page.next) is None:
                break
    return table(("NAME", "USERS", "HOST NAMES", "STATE"), [_line(tenant) for tenant in found])


def _line(tenant: Tenant) -> tuple[str, ...]:
    limit = "" if tenant.fields.max_users is None else f" of {tenant.fields.max_users}"
    state = "active" if tenant.disabled_at is None else "disabled"
    return (tenant.fields.name, f"{tenant.users}{limit}", ", ".join(tenant.fields.hosts), state)
