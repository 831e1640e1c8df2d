"""Signing in and out.

Whoever is refused is told the same sentence after the same time, whether the login exists or not. A login may exist in
several tenants: the password tells which one is meant, and where it fits several, `tenant/login` does.

Not here: cookies (`sessions.py`), hashes (`passwords.py`), how often one may try (`limits.py`).
"""

import math
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import trio
from quart import Blueprint, Response, redirect, render_template, request
from quart_babel import format_timedelta, gettext

from portal import sessions
from portal.config import portal
from portal.errors import Problem
from portal.passwords import Busy
from portal.proxy import client_address
from schema import access, people
from schema.values import Account

log = structlog.get_logger()

HOME: Final = "/"
# A tenant, a slash and a login.
MOST_LOGIN: Final = 254 + 1 + 254
BUSY_AGAIN_S: Final = 5

blueprint = Blueprint("signin", __name__)


@blueprint.get("/sign-in")
async def form() -> Any:
    """The form; who is signed in already goes on."""
    if await sessions.current() is not None:
        return redirect(_next(), HTTPStatus.SEE_OTHER)
    return await _form()


@blueprint.post("/sign-in")
async def enter() -> Any:
    """Checks login and password, and begins a session."""
    given = await request.form
    login, password = given.get("login", "").strip()[:MOST_LOGIN], given.get("password", "")
    if not await sessions.csrf_token_matches():
        stale = gettext("This page was open for too long, or your browser refuses cookies. Please try again.")
        return await _form(HTTPStatus.FORBIDDEN, login, stale)
    address = client_address()
    wait_s = portal().attempts.begin(login, address, trio.current_time())
    if wait_s > 0:
        log.warning("sign_in_held_back", login=login, address=address, wait_s=round(wait_s, 1))
        return await _wait(login, wait_s)
    try:
        accounts = await _accounts(login, password)
    except Busy:
        raise Problem(
            503,
            gettext("Too many people are signing in"),
            gettext("Please try again in a few seconds."),
            headers={"Retry-After": str(BUSY_AGAIN_S)},
        ) from None
    if len(accounts) > 1:
        log.warning("sign_in_of_several", login=login, address=address)
        several = gettext("Several accounts fit: sign in as tenant/login.")
        return await _form(HTTPStatus.UNAUTHORIZED, login, several)
    if not accounts:
        log.warning("sign_in_failed", login=login, address=address)
        refused = gettext("Login and password do not fit together, or this account has no web access.")
        return await _form(HTTPStatus.UNAUTHORIZED, login, refused)
    (account,) = accounts
    portal().attempts.succeeded(login, address)
    await sessions.begin(account)
    log.info("signed_in", user=str(account.id), login=account.login, address=address)
    return redirect(_next(), HTTPStatus.SEE_OTHER)


@blueprint.post("/sign-out")
async def leave() -> Any:
    """Ends the session."""
    await sessions.end()
    return redirect("/sign-in", HTTPStatus.SEE_OTHER)


async def _accounts(login: str, password: str) -> list[Account]:
    """Whose login and password these are, of those who may sign in."""
    passwords = portal().passwords
    candidates = [account for account in await _named(login) if account.may_sign_in and account.password_hash]
    if not candidates:
        await passwords.matches(password, "")
    fitting = [account for account in candidates if await passwords.matches(password, account.password_hash)]
    if len(fitting) == 1 and passwords.outdated(fitting[0].password_hash):
        await access.rehash(fitting[0].id, fitting[0].password_hash, await passwords.hash(password))
    return fitting


async def _named(login: str) -> list[Account]:
    """The accounts with this login, or with this tenant and login."""
    if not login:
        return []
    found = await people.accounts_by_login(login)
    tenant, slash, name = login.rpartition("/")
    if slash:
        of_tenants = await people.accounts_by_login(name)
        found += [account for account in of_tenants if account.tenant.casefold() == tenant.casefold()]
    return found


async def _form(status: HTTPStatus = HTTPStatus.OK, login: str = "", notice: str = "") -> Response:
    return Response(await render_template("signin.html", login=login, notice=notice, next=_next()), status)


async def _wait(login: str, wait_s: float) -> Response:
    """That it is too early for another attempt, and when it is not."""
    again_s = math.ceil(wait_s)
    pause = format_timedelta(again_s, granularity="second", threshold=1.5)
    notice = gettext("Too many attempts. Please try again in %(pause)s.", pause=pause)
    response = await _form(HTTPStatus.TOO_MANY_REQUESTS, login, notice)
    response.headers["Retry-After"] = str(again_s)
    return response


def _next() -> str:
    """Where to go after signing in: a path of this portal, whatever the address says."""
    wanted: str = request.args.get("next", "")
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return HOME
    outside = parts.scheme or parts.netloc or not wanted.startswith("/") or wanted.startswith("//")
    # Browsers take a backslash for a slash, and skip control characters.
    odd = "\\" in wanted or not wanted.isprintable()
    return HOME if outside or odd else wanted
