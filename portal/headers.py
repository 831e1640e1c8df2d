"""Headers that every answer bears: what a browser may load and run, what it may keep, what it tells others.

Scripts, styles, workers and connections come from this portal alone. A component that must write a style element of
its own gets a nonce (`csp_nonce()` in templates), which then holds for that one answer.

Not here: cookies (`sessions.py`), and how long static files are kept (`static.py`).
"""

import re
import secrets
from typing import Final

from quart import Quart, Response, g, request

from portal.config import portal

HSTS: Final = "max-age=31536000"
NONCE_BYTES: Final = 16
# Some browsers take 'self' for http and https alone, so that websockets have to be named; only a plain host is.
HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def register(app: Quart) -> None:
    """Adds the headers to every answer of `app`."""
    app.after_request(_guard)
    app.add_template_global(csp_nonce)


def csp_nonce() -> str:
    """The nonce that this answer allows on style elements."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(NONCE_BYTES)
    return str(g.csp_nonce)


async def _guard(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _policy())
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
    headers.setdefault("Cache-Control", "no-store")
    if portal().config.encrypted:
        headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def _policy() -> str:
    host = request.headers.get("Host", "")
    socket = f" {'wss' if portal().config.encrypted else 'ws'}://{host}" if HOST.fullmatch(host) else ""
    nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self'{nonce}",
            "img-src 'self' data:",
            "font-src 'self'",
            "media-src 'self' blob:",
            f"connect-src 'self'{socket}",
            "worker-src 'self'",
            "manifest-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
