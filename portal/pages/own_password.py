"""Changing one's own password: `/change-password`. Who has to change it gets to no other page before.

Not here: a password that was forgotten (`password.py`), one that an administrator gives (`ways_in.py`).
"""

from http import HTTPStatus
from typing import Any

import structlog
import trio
from quart import Response, flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import gate, limits, passwords, sessions, signin
from portal.config import portal
from portal.forms import Form, submitted
from portal.pages.own_language import blueprint
from portal.pages.password import new_password, tell_of_change
from portal.passwords import Busy
from portal.proxy import client_address
from schema import access

__all__ = ["blueprint", "knows_password"]

log = structlog.get_logger()


@blueprint.route("/change-password", methods=["GET", "POST"], endpoint="password")
async def change() -> Any:
    """Changes it, and ends the sessions in other browsers."""
    account = gate.account()
    if request.method == "GET" or account.authentication != "password":
        return await _page(Form())
    form = await submitted()
    if not await knows_password(form, "old"):
        form.secret("password", most=passwords.MOST_CHARACTERS)
        form.secret("again", most=passwords.MOST_CHARACTERS)
        return await _page(form, HTTPStatus.UNPROCESSABLE_ENTITY)
    typed = form.get("password")
    hashed = await new_password(form, account)
    if hashed is not None and await portal().passwords.matches(typed, account.password_hash):
        form.wrong(gettext("You have this password already. Choose another one."), "password")
    if hashed is None or not form.ok:
        return await _page(form, HTTPStatus.UNPROCESSABLE_ENTITY)
    ended = await access.set_password(gate.by(), account.id, hashed, keep=sessions.key())
    sessions.forget(ended)
    log.info("password_changed", user=str(account.id), address=client_address())
    await tell_of_change(account)
    await flash(gettext("Your password was changed. You are signed out in all other browsers."))
    return redirect(url_for("home" if account.must_change_password else "own.security"), HTTPStatus.SEE_OTHER)


async def knows_password(form: Form, name: str) -> bool:
    """Whether field `name` has the password of the one who asks; if not, the form says so. Not too often, either."""
    account, given = gate.account(), form.secret(name, most=passwords.MOST_CHARACTERS)
    wait_s = portal().attempts.begin(str(account.id), client_address(), trio.current_time(), limits.OWN_PASSWORD)
    if wait_s > 0:
        form.wrong(signin.wait(wait_s), name)
        return False
    try:
        known = await portal().passwords.matches(given, account.password_hash)
    except Busy:
        raise signin.busy() from None
    if known:
        portal().attempts.succeeded(str(account.id), client_address(), limits.OWN_PASSWORD)
    else:
        log.warning("own_password_wrong", user=str(account.id), address=client_address())
        form.wrong(gettext("This is not your password."), name)
    return known


async def _page(form: Form, status: HTTPStatus = HTTPStatus.OK) -> Response:
    account = gate.account()
    page = await render_template("own/password.html", f=form, owner=account, rules=await passwords.rules())
    return Response(page, status)
