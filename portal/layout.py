"""What the page around every page needs: who is signed in, icons, names of roles, the server's clock.

Not here: what stands on the pages.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from markupsafe import Markup
from quart import Quart
from quart_babel import gettext

from portal import gate, sessions
from portal.config import VERSION
from schema.values import Account, Role

ROLE_NAMES: Final[dict[Role, Callable[[], str]]] = {
    Role.ADMINISTRATOR: lambda: gettext("Administrator"),
    Role.SUPERVISOR: lambda: gettext("Supervisor"),
    Role.USER: lambda: gettext("User"),
}


def register(app: Quart, static_url: Callable[[str], str]) -> None:
    """Gives the templates of `app` their common names."""

    def icon(name: str, classes: str = "") -> Markup:
        """An icon of `vendor/icons.svg`, in the colour of the text; screen readers skip it."""
        sprite = static_url("vendor/icons.svg")
        return Markup('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>').format(classes, sprite, name)

    app.jinja_env.globals.update(
        icon=icon,
        initials=initials,
        role_name=lambda role: ROLE_NAMES[role](),
        now_ms=lambda: time.time_ns() // 1_000_000,
        version=VERSION,
        Permission=gate.Permission,
    )
    app.context_processor(_of_this_request)


def initials(account: Account) -> str:
    """`Anna Maria Berg` -> `AB`, `anna` -> `A`."""
    words = (account.name or account.login).split()
    return "".join(word[0] for word in dict.fromkeys((words[0], words[-1]))).upper() if words else ""


def _of_this_request() -> dict[str, Any]:
    return {"account": gate.visitor(), "may": gate.may, "csrf_token": sessions.csrf_token}
