"""Sessions of browsers: a signed cookie with a random number, of which the database keeps the hash; and CSRF tokens.

The cookie is signed under the session key (itsdangerous, HMAC-SHA256). It also carries what a page says once at the
next one. A session ends at sign-out, IDLE_S after its last request, LONGEST_S after its sign-in, and at once when its
account may not sign in any more. A CSRF token is an HMAC of the session's number, or of a number that the browser got
with the sign-in form: another site can make a browser send the cookie, but cannot know the token.

Not here: who may do what (`gate.py`), and checking passwords (`signin.py`).
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from quart import Quart, has_request_context, request, session
from quart.sessions import SecureCookieSessionInterface

from portal.config import PortalConfig, portal
from portal.proxy import client_address
from schema import access
from schema.values import Account

# A browser that shows a page asks for news of it every few seconds: idle means that no page is open.
IDLE_S: Final = 3600
# A long shift.
LONGEST_S: Final = 12 * 3600
# The cookie is renewed this often while it is used.
RENEW_S: Final = 60
NUMBER_BYTES: Final = 32
HANDLE_BYTES: Final = 16
MOST_USER_AGENT: Final = 200

NUMBER: Final = "number"
FORM: Final = "form"
SEEN: Final = "seen"

UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"


class Cookies(SecureCookieSessionInterface):
    """Quart's signed cookies, with SHA-256 for its SHA-1."""

    digest_method = staticmethod(hashlib.sha256)


def register(app: Quart, config: PortalConfig) -> None:
    """Gives `app` its cookies."""
    app.session_interface = Cookies()
    app.secret_key = config.session_key
    app.config.update(
        # The prefix makes browsers take it from this very host and over HTTPS only.
        SESSION_COOKIE_NAME="__Host-earshot" if config.encrypted else "earshot",
        SESSION_COOKIE_SECURE=config.encrypted,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=IDLE_S),
        SESSION_REFRESH_EACH_REQUEST=False,
    )


async def begin(account: Account, **how: str) -> None:
    """A new session for this account, whatever the browser had before. `how`: more about it for the audit trail.

    Errors: `schema.refusals.NotThere`, when the account may not sign in any more.
    """
    await end()
    number = secrets.token_urlsafe(NUMBER_BYTES)
    await access.open_session(
        access.by_owner(account, client_address()),
        _hash(number),
        datetime.now(UTC) + timedelta(seconds=LONGEST_S),
        request.headers.get("User-Agent", "")[:MOST_USER_AGENT],
        how,
    )
    session.permanent = True
    session[NUMBER] = number
    session[SEEN] = int(time.time())


async def end() -> None:
    """Forgets the browser's session, here and in the database."""
    number = session.get(NUMBER)
    session.clear()
    if number is not None:
        portal().memory.sessions.end(_hash(number))
        await access.close_session(_hash(number), client_address())


async def current() -> Account | None:
    """Whose session the current request or websocket belongs to; None where there is none, or it has ended."""
    number = session.get(NUMBER)
    if number is None:
        return None
    key = _hash(number)
    found = await portal().memory.sessions.ask(key, lambda: access.session(key))
    if found is None or not found[0].may_sign_in or found[1] <= datetime.now(UTC):
        if has_request_context():  # a websocket has no answer that could carry a cookie
            session.pop(NUMBER)
        return None
    return found[0]


def key() -> bytes:
    """The hash by which the database knows the session at hand."""
    return _hash(session[NUMBER])


def forget(ended: Iterable[bytes]) -> None:
    """These sessions, by their hashes, have ended; here they do so also while the database is away."""
    for one in ended:
        portal().memory.sessions.end(one)


def handle(kept: bytes) -> str:
    """By what a page names a session or a token of which `kept` is the hash. It tells nobody the hash."""
    return hmac.digest(portal().config.session_key, b"handle:" + kept, "sha256")[:HANDLE_BYTES].hex()


def renew() -> None:
    """Says that the session is in use; the cookie that tells so goes out once in a while."""
    if time.time() - session.get(SEEN, 0) >= RENEW_S:
        session[SEEN] = int(time.time())


def csrf_token() -> str:
    """The token that a form or script of the current page sends along."""
    bound_to = session.get(NUMBER) or session.get(FORM)
    if bound_to is None:
        bound_to = session[FORM] = secrets.token_urlsafe(NUMBER_BYTES)
        session.permanent = True
    return _csrf_token(bound_to)


async def csrf_token_matches() -> bool:
    """Whether the current request carries its session's token, in a header or in a form's field."""
    bound_to = session.get(NUMBER) or session.get(FORM)
    given: Any = request.headers.get(CSRF_HEADER)
    if given is None and request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        given = (await request.form).get(CSRF_FIELD)
    if not bound_to or not given:
        return False
    return hmac.compare_digest(_csrf_token(bound_to).encode(), str(given).encode("utf-8", "replace"))


def _csrf_token(bound_to: str) -> str:
    return hmac.digest(portal().config.session_key, b"csrf:" + bound_to.encode(), "sha256").hex()


def _hash(number: str) -> bytes:
    return hashlib.sha256(number.encode()).digest()
