"""Signing in and out: login and password, then the tenant where several fit, then the second factor where one is on.

Whoever is refused is told the same sentence after the same time, whether the login exists or not. A login may exist in
several tenants: the host name tells which one is meant, or the password does, or `tenant/login`; where a password fits
several, one is asked.

Not here: cookies (`sessions.py`, `pending.py`), hashes (`passwords.py`), how often one may try (`limits.py`).
"""

import math
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import trio
from quart import Blueprint, Response, flash, redirect, render_template, request, url_for
from quart_babel import format_timedelta, gettext, ngettext

from portal import doorway, limits, oidc, pending, second_factor, sessions
from portal.config import portal
from portal.errors import Problem
from portal.passwords import Busy
from portal.proxy import client_address
from schema import access, audit, people, providers
from schema.checked import MOST_CHARACTERS, folded
from schema.entries import About, Action, Application, By, Resource
from schema.refusals import NotThere
from schema.roles import Grant, Reach
from schema.sealing import NotReadable
from schema.values import DEFAULT_TENANT, NOBODY, Account, Scope

log = structlog.get_logger()

HOME: Final = "/"
# A tenant, a slash and a login.
MOST_LOGIN: Final = 254 + 1 + 254
# With few recovery codes left, one is told to make new ones.
FEW_CODES: Final = 3
# Each of them costs a hash: with more accounts of one login, the tenant must be told first.
MOST_TRIED: Final = 8
BUSY_AGAIN_S: Final = 5

blueprint = Blueprint("signin", __name__)
blueprint.before_request(doorway.arrive)
blueprint.add_app_template_global(doorway.at_hand, "doorway")


@blueprint.get("/sign-in")
async def form() -> Any:
    """The form; who is signed in already goes on."""
    if await sessions.current() is not None:
        return redirect(next_path(), HTTPStatus.SEE_OTHER)
    door = doorway.at_hand()
    if "tenant" in request.args and (door is None or door.tenant is None):
        return await _named_door(request.args["tenant"].strip()[:MOST_CHARACTERS])
    return await _form()


@blueprint.post("/sign-in")
async def enter() -> Any:
    """Checks login and password. Begins a session, or goes on to what is still asked."""
    given = await request.form
    login, password = given.get("login", "").strip()[:MOST_LOGIN], given.get("password", "")
    if not await sessions.csrf_token_matches():
        return await _form(HTTPStatus.FORBIDDEN, login, stale())
    address = client_address()
    wait_s = portal().attempts.begin(login, address, trio.current_time())
    if wait_s > 0:
        log.warning("sign_in_held_back", address=address, wait_s=round(wait_s, 1))
        return later(await _form(HTTPStatus.TOO_MANY_REQUESTS, login, wait(wait_s)), wait_s)
    accounts = await named(login)
    if len(accounts) > MOST_TRIED:
        log.warning("sign_in_of_many", address=address)
        many = gettext("Many tenants have this login. Write the name of yours before it: tenant/login.")
        return await _form(HTTPStatus.UNAUTHORIZED, login, many)
    fitting = await _fitting(accounts, password)
    if not fitting:
        log.warning("sign_in_failed", address=address)
        await _note_failure(accounts)
        refused = gettext("Login and password do not fit together, or this account has no web access.")
        return await _form(HTTPStatus.UNAUTHORIZED, login, refused)
    portal().attempts.succeeded(login, address)
    return await _go_on(fitting)


@blueprint.route("/sign-in/tenant", methods=["GET", "POST"])
async def tenant() -> Any:
    """Asks for the tenant, where a password fits accounts of several."""
    accounts = await pending.accounts()
    if not accounts:
        return await _again()
    notice, status = "", HTTPStatus.OK
    if request.method == "POST":
        chosen = [one for one in accounts if str(one.tenant_id) == (await request.form).get("tenant")]
        if not await sessions.csrf_token_matches():
            notice, status = stale(), HTTPStatus.FORBIDDEN
        elif not chosen:
            notice, status = gettext("Please choose one of the list."), HTTPStatus.UNPROCESSABLE_ENTITY
        else:
            pending.narrow(chosen[0])
            return await _go_on(chosen, narrowed=True)
    page = await render_template("signin/tenant.html", accounts=accounts, notice=notice, next=next_path())
    return Response(page, status)


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
async def code() -> Any:
    """Asks for the second factor: a code of the app's, or a recovery code."""
    accounts = await pending.accounts()
    if len(accounts) != 1 or not accounts[0].two_factor:
        return await _again()
    (account,) = accounts
    if request.method == "GET":
        return await _code_form()
    typed = (await request.form).get("code", "")
    if not await sessions.csrf_token_matches():
        return await _code_form(HTTPStatus.FORBIDDEN, stale())
    address = client_address()
    wait_s = portal().attempts.begin(str(account.id), address, trio.current_time(), limits.SECOND_FACTOR)
    if wait_s > 0:
        log.warning("second_factor_held_back", user=str(account.id), address=address, wait_s=round(wait_s, 1))
        return later(await _code_form(HTTPStatus.TOO_MANY_REQUESTS, wait(wait_s)), wait_s)
    try:
        accepted = await _accepted(account, typed)
    except NotReadable:
        log.error("second_factor_unreadable", user=str(account.id))
        unreadable = gettext(
            "Codes of your app cannot be checked at the moment. Use a recovery code, or ask your administrator to turn "
            "two-factor sign-in off for you."
        )
        return await _code_form(HTTPStatus.SERVICE_UNAVAILABLE, unreadable)
    if accepted is None:
        log.warning("second_factor_failed", user=str(account.id), address=address)
        await _note_failure([account], {"second_factor": "wrong"})
        return await _code_form(HTTPStatus.UNAUTHORIZED, gettext("This code is not right, or was used already."))
    portal().attempts.succeeded(str(account.id), address, limits.SECOND_FACTOR)
    return await _begin(account, second_factor=accepted)


@blueprint.post("/sign-out")
async def leave() -> Any:
    """Ends the session."""
    await sessions.end()
    return redirect(url_for("signin.form"), HTTPStatus.SEE_OTHER)


def next_path() -> str:
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


def stranger() -> By:
    """Whoever is at the door: may nothing, and is known by his address alone."""
    door = doorway.at_hand()
    owner = door.tenant.id if door is not None and door.tenant is not None else DEFAULT_TENANT
    nothing = Grant(Reach.OWN, frozenset())
    return By(Scope(owner, NOBODY, Reach.OWN), nothing, Application.WEB, address=client_address())


def here(accounts: Sequence[Account]) -> list[Account]:
    """Those that may be meant at the host name that was asked for: a tenant's own, where it is a tenant's."""
    door = doorway.at_hand()
    if door is None or door.tenant is None:
        return list(accounts)
    return [account for account in accounts if account.tenant_id == door.tenant.id]


async def named(login: str) -> list[Account]:
    """The accounts with this login, or with this tenant and login, at this host name."""
    if not login:
        return []
    found = await people.accounts_by_login(login)
    tenant, slash, name = login.rpartition("/")
    if slash:
        of_tenants = await people.accounts_by_login(name)
        found += [account for account in of_tenants if folded(account.tenant) == folded(tenant)]
    return here(found)


def stale() -> str:
    return gettext("This page was open for too long, or your browser refuses cookies. Please try again.")


def wait(wait_s: float) -> str:
    """That it is too early for another attempt, and when it is not."""
    pause = format_timedelta(math.ceil(wait_s), granularity="second", threshold=1.5)
    return gettext("Too many attempts. Please try again in %(pause)s.", pause=pause)


def later(response: Response, wait_s: float) -> Response:
    """The same, and programs are told, too."""
    response.headers["Retry-After"] = str(math.ceil(wait_s))
    return response


def busy() -> Problem:
    return Problem(
        503,
        gettext("Too many people are signing in"),
        gettext("Please try again in a few seconds."),
        headers={"Retry-After": str(BUSY_AGAIN_S)},
    )


async def _fitting(candidates: Sequence[Account], password: str) -> list[Account]:
    """Whose password this is, of those who may sign in with one. It takes as long where there is nobody."""
    passwords = portal().passwords
    candidates = [account for account in candidates if pending.may(account)]
    try:
        if not candidates:
            await passwords.matches(password, "")
        fitting = [account for account in candidates if await passwords.matches(password, account.password_hash)]
        if len(fitting) == 1 and passwords.outdated(fitting[0].password_hash):
            better = await passwords.hash(password)
            await access.rehash(fitting[0].id, fitting[0].password_hash, better)
    except Busy:
        raise busy() from None
    return fitting


async def _go_on(accounts: Sequence[Account], *, narrowed: bool = False) -> Any:
    """A password was right: to the tenant, to the second factor, or in."""
    if len(accounts) == 1 and not accounts[0].two_factor:
        return await _begin(accounts[0])
    if not narrowed:
        current = [await people.account(account.id) for account in accounts]
        pending.remember(account for account in current if account is not None)
    step = "signin.tenant" if len(accounts) > 1 else "signin.code"
    return redirect(url_for(step, next=next_path()), HTTPStatus.SEE_OTHER)


async def _begin(account: Account, **how: str) -> Any:
    try:
        await sessions.begin(account, **how)
    except NotThere:  # his access was taken a moment ago
        return await _again()
    log.info("signed_in", user=str(account.id), login=account.login, address=client_address())
    if how.get("second_factor") == "recovery code":
        await _tell_codes(account)
    return redirect(next_path(), HTTPStatus.SEE_OTHER)


async def _accepted(account: Account, typed: str) -> str | None:
    """By what somebody has shown that it is him; None where he has not. Errors: NotReadable."""
    if second_factor.is_code(typed):
        step = second_factor.step_of(await access.totp_secret(account.id), typed, time.time())
        return "code" if step is not None and await access.use_totp_step(account.id, step) else None
    by = access.by_owner(account, client_address())
    left = await access.use_recovery_code(by, second_factor.hash_of(account.id, typed))
    return None if left is None else "recovery code"


async def _tell_codes(account: Account) -> None:
    left = await access.recovery_codes_left(account.id)
    told = ngettext(
        "You have used a recovery code. %(num)s is left.", "You have used a recovery code. %(num)s are left.", left
    )
    if left <= FEW_CODES:
        await flash(gettext("Make new recovery codes on the page Security."), "warning")
    await flash(told, "warning" if left <= FEW_CODES else "success")


async def _note_failure(accounts: Sequence[Account], details: dict[str, str] | None = None) -> None:
    """In the audit trail of whom it was tried at. What was typed stays out of it: it may be a password."""
    by = stranger()
    for account in accounts:
        about = About(account.id, account.name or account.login)
        told = {"login": account.login, **(details or {})}
        await audit.note(by, Resource.SESSIONS, Action.FAILED_LOGIN, about, tenant_id=account.tenant_id, details=told)
    if not accounts:
        told = {"login": "unknown"}
        await audit.note(by, Resource.SESSIONS, Action.FAILED_LOGIN, tenant_id=by.scope.tenant_id, details=told)


async def _again() -> Any:
    """To the beginning: what was given before holds no more."""
    await flash(gettext("That took too long. Please sign in again."), "warning")
    return redirect(url_for("signin.form", next=next_path()), HTTPStatus.SEE_OTHER)


async def _form(status: HTTPStatus = HTTPStatus.OK, login: str = "", notice: str = "") -> Response:
    to = next_path()
    buttons = await _buttons(to)
    to_name = not buttons and await _has_doors()
    page = await render_template("signin.html", login=login, notice=notice, next=to, buttons=buttons, to_name=to_name)
    return Response(page, status)


async def _named_door(tenant: str) -> Response:
    """The providers of a tenant that somebody names: of those that have no host name, no page tells who is here."""
    to, notice, found, status, wait_s = next_path(), "", list[oidc.Button](), HTTPStatus.OK, 0.0
    if tenant:
        address = client_address()
        wait_s = portal().attempts.begin("", address, trio.current_time(), limits.NAME_TENANT)
        if wait_s > 0:
            notice, status = wait(wait_s), HTTPStatus.TOO_MANY_REQUESTS
        elif found := await oidc.buttons(None, to, tenant):
            portal().attempts.succeeded("", address, limits.NAME_TENANT)
        else:
            notice = gettext(
                "There is no sign-in with an account of %(tenant)s here. Write the name as your administrator does, or "
                "open the address that belongs to your company.",
                tenant=tenant,
            )
            status = HTTPStatus.NOT_FOUND
    page = await render_template("signin/named.html", tenant=tenant, buttons=found, notice=notice, next=to)
    response = Response(page, status)
    return later(response, wait_s) if wait_s > 0 else response


async def _has_doors() -> bool:
    """Whether it makes sense to ask for a tenant. The form itself needs no database."""
    door = doorway.at_hand()
    return door is not None and door.tenant is None and await providers.has_doors()


async def _buttons(to: str) -> list[oidc.Button]:
    """Other ways in, at this host name. The form itself needs no database."""
    door = doorway.at_hand()
    if door is None:
        return []
    return await oidc.buttons(door.tenant.id if door.tenant is not None else None, to)


async def _code_form(status: HTTPStatus = HTTPStatus.OK, notice: str = "") -> Response:
    return Response(await render_template("signin/code.html", notice=notice, next=next_path()), status)
