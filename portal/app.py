"""The portal as an application: everything that answers, behind one gate.

Not here: listening sockets and signals (`server.py`), and what the pages do.
"""

from typing import Any, Final

import structlog
from jinja2 import Template
from quart import Blueprint, redirect
from quart_trio import QuartTrio

from portal import errors, gate, headers, health, language, layout, oidc, sessions, signin
from portal.api.calls import blueprint as api
from portal.audio import blueprint as audio
from portal.bodies import Request
from portal.config import EXTENSION, Portal, PortalConfig
from portal.gateways import Gateways
from portal.limits import Attempts
from portal.listening import blueprint as listening
from portal.memory import Memory
from portal.pages.administration import blueprint as administration
from portal.pages.audit import blueprint as audit
from portal.pages.call import blueprint as calls
from portal.pages.groups import blueprint as groups
from portal.pages.imports import blueprint as imports
from portal.pages.languages import blueprint as customization
from portal.pages.logos import blueprint as tenants
from portal.pages.mail import blueprint as mail
from portal.pages.own_security import blueprint as own
from portal.pages.password import blueprint as password
from portal.pages.phones import blueprint as phones
from portal.pages.platform import blueprint as platform
from portal.pages.providers import blueprint as providers
from portal.pages.roles import blueprint as roles
from portal.pages.user_access import blueprint as users
from portal.passwords import Passwords
from portal.static import StaticFiles

log = structlog.get_logger()

# Each of them has its endpoints in the gate's table.
BLUEPRINTS: Final[tuple[Blueprint, ...]] = (
    signin.blueprint,
    password,
    calls,
    audio,
    api,
    listening,
    administration,
    audit,
    own,
    customization,
    users,
    groups,
    phones,
    roles,
    imports,
    tenants,
    platform,
    mail,
    oidc.blueprint,
    providers,
)


class _App(QuartTrio):
    request_class = Request

    def log_exception(self, exception_info: Any) -> None:
        """Quart's own line about a failure: `errors.py` has written it, with its number."""

    async def handle_background_exception(self, error: BaseException) -> None:
        """Nobody waits for what is done in the background: its failure stands in the log."""
        log.error("failed in the background", exc_info=error)


class _Template(Template):
    """Nothing in our templates has to be awaited. Templates that might be take more than twice as long."""

    async def render_async(self, *args: Any, **kwargs: Any) -> str:
        return self.render(*args, **kwargs)


def create_app(config: PortalConfig, gateways: Gateways) -> QuartTrio:
    """The application; serve it inside `schema.database.open_database`.

    Errors: RuntimeError when a route has no line in the gate's table.
    """
    # Quart's own static route would read from the disk, uncompressed.
    app = _App("portal", static_folder=None)
    app.extensions[EXTENSION] = Portal(config, gateways, Passwords(), Attempts(), Memory())
    app.config.update(
        # A long recording may go to a slow line; who reads nothing at all is cut off by `server.py`.
        RESPONSE_TIMEOUT=None,
        # A recording that is being converted does not keep the portal from stopping.
        BACKGROUND_TASK_SHUTDOWN_TIMEOUT=None,
    )
    static = StaticFiles()
    app.add_url_rule("/static/<path:name>", "static", static.serve)
    app.jinja_env.globals["static_url"] = static.url
    app.jinja_env.is_async = False
    app.jinja_env.template_class = _Template
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    sessions.register(app, config)
    errors.register(app)
    headers.register(app)
    language.register(app)
    layout.register(app, static.url)
    app.add_url_rule("/health", "health", health.health)
    app.add_url_rule("/", "home", home)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    gate.register(app)
    return app


async def home() -> Any:
    """Work begins with the list of calls."""
    return redirect("/calls")
