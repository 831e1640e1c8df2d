"""What the page around every page needs: who is signed in, menus, the tenant's look, icons, the server's clock.

Not here: what stands on the pages, and which entries the menus have (`menus.py`).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from quart import Quart, g, request, url_for
from quart_babel import gettext

from portal import doorway, gate, menus, sessions, tenant_switch
from portal.accent import DEFAULT, Accent, accent
from portal.config import VERSION
from portal.errors import by_script
from portal.pages import texts
from schema.database import DatabaseError
from schema.profiles import Named
from schema.roles import Permission, Role
from schema.values import DEFAULT_TENANT, Account

PRODUCT: Final = "Earshot"
LOGO: Final = "earshot.svg"
# The tenant of a system that was never divided into tenants, and so never named.
UNNAMED: Final = Named(DEFAULT_TENANT, "Default")

ROLE_NAMES: Final[dict[Role, Callable[[], str]]] = {
    Role.OPERATOR: lambda: gettext("Platform operator"),
    Role.ADMINISTRATOR: lambda: gettext("Administrator"),
    Role.SUPERVISOR: lambda: gettext("Supervisor"),
    Role.USER: lambda: gettext("User"),
}


@dataclass(frozen=True, slots=True)
class Brand:
    """How the portal presents itself: the tenant's name and logo, and the one accent colour."""

    name: str
    logo: str
    accent: Accent


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of a menu as a page shows it. `here`: the page at hand belongs to it."""

    address: str
    icon: str
    text: str
    here: bool


def register(app: Quart, static_url: Callable[[str], str]) -> None:
    """Gives the templates of `app` their common names."""

    def icon(name: str, classes: str = "") -> Markup:
        """An icon of `vendor/icons.svg`, in the colour of the text; screen readers skip it."""
        sprite = static_url("vendor/icons.svg")
        return Markup('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>').format(classes, sprite, name)

    def brand() -> Brand:
        """How the portal presents itself to the one who asks: as his tenant, or as that of the host name."""
        account, door = gate.visitor(), doorway.at_hand()
        if account is not None:
            tenant, colour, has_logo = Named(account.tenant_id, account.tenant), account.colour, account.has_logo
        elif door is not None and door.tenant is not None:
            tenant, colour, has_logo = door.tenant, door.colour, door.has_logo
        else:
            return Brand(PRODUCT, static_url(LOGO), accent(DEFAULT))
        logo = url_for("tenants.logo", tenant=tenant.id) if has_logo else static_url(LOGO)
        return Brand(tenant.name if tenant != UNNAMED else PRODUCT, logo, accent(colour))

    app.jinja_env.globals.update(
        icon=icon,
        brand=brand,
        by_script=by_script,
        menu=lambda: _links(menus.MENU),
        own_menu=lambda: _links(menus.OWN),
        initials=initials,
        role_name=role_name,
        now_ms=lambda: time.time_ns() // 1_000_000,
        version=VERSION,
        may=gate.may,
        texts_of_requests=texts.of_requests,
        csrf_token=sessions.csrf_token,
        opened_for=gate.opened_for,
        Permission=Permission,
    )
    app.context_processor(_of_this_request)
    app.before_request(_recognise)


def role_name(account: Account) -> str:
    """The role as people call it: a copy by its own name."""
    return account.role_name or ROLE_NAMES[account.role]()


def initials(account: Account) -> str:
    """`Anna Maria Berg` -> `AB`, `anna` -> `A`."""
    words = (account.name or account.login).split()
    return "".join(word[0] for word in dict.fromkeys((words[0], words[-1]))).upper() if words else ""


def _links(entries: tuple[menus.Entry, ...]) -> list[Link]:
    return [
        Link(url_for(entry.endpoint), entry.icon, entry.text(), menus.is_here(entry)) for entry in menus.shown(entries)
    ]


async def _recognise() -> None:
    """An address that is not there needs nobody's permission; who asks for it still sees his own page around that."""
    if request.endpoint is None and not by_script():
        with suppress(DatabaseError):
            g.account = await sessions.current()


async def _of_this_request() -> dict[str, Any]:
    # Scripts get a part of a page, which has no bar.
    return {"account": gate.visitor(), "tenant_switch": None if by_script() else await tenant_switch.at_hand()}
