"""A password by mail: to ask for the mail, and to set the password by the link in it.

The answer to who asks is the same whether there is an account or not, and what is done for one is done after it. To
look at a link does not use it up: programs that read mails do that, too.

Not here: changing a password that one knows (`own_password.py`), invitations (`ways_in.py`), the mails (`mails.py`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import structlog
import trio
from quart import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import doorway, limits, links, passwords, sessions, signin
from portal import mails as letters
from portal.config import portal
from portal.forms import Form, submitted
from portal.passwords import Busy, PasswordRefused
from portal.proxy import client_address
from schema import access, mails
from schema.database import DatabaseError
from schema.refusals import NotThere, Refusal
from schema.values import Account

log = structlog.get_logger()

blueprint: Final = Blueprint("password", __name__)
blueprint.before_request(doorway.arrive)


@blueprint.route("/forgot-password", methods=["GET", "POST"])
async def forgot() -> Any:
    """Says that a mail is on its way if there is somebody to send it to; only then looks whether there is."""
    if request.method == "GET":
        return await _forgot(Form())
    form = await submitted()
    if not await sessions.csrf_token_matches():
        return await _forgot(form, HTTPStatus.FORBIDDEN, signin.stale())
    wanted = form.text("login", most=signin.MOST_LOGIN, required=True)
    if not form.ok:
        return await _forgot(form, HTTPStatus.UNPROCESSABLE_ENTITY)
    address = client_address()
    wait_s = portal().attempts.begin(wanted, address, trio.current_time(), limits.ASK_FOR_MAIL)
    if wait_s > 0:
        log.warning("password_mail_held_back", address=address, wait_s=round(wait_s, 1))
        return signin.later(
            await _forgot(form, HTTPStatus.TOO_MANY_REQUESTS, signin.wait(wait_s)),
            wait_s,
        )
    origin = links.origin()
    # Both are asked for, whatever was typed.
    found = [*await signin.named(wanted), *signin.here(await access.accounts_by_email(wanted))]
    current_app.add_background_task(_send, found, origin)
    await flash(
        gettext(
            "If there is an account with a mail address, a mail with a link is on its way to it. The link works for an "
            "hour. Nothing came? Ask your administrator."
        )
    )
    return redirect(url_for("signin.form"), HTTPStatus.SEE_OTHER)


@blueprint.route("/set-password/<secret>", methods=["GET", "POST"], endpoint="set")
async def set_by_link(secret: str) -> Any:
    """Sets the new password, which uses the link up."""
    found = await access.link(links.hash_of(secret))
    genuine = request.method == "GET" or await sessions.csrf_token_matches()
    if found is None:
        return await _dead(HTTPStatus.NOT_FOUND if genuine else HTTPStatus.FORBIDDEN)
    account, invited = found
    if request.method == "GET":
        return await _set(Form(), secret, account, invited)
    form = await submitted()
    if not genuine:
        form.wrong(signin.stale())
        return await _set(form, secret, account, invited, HTTPStatus.FORBIDDEN)
    hashed = await new_password(form, account)
    if hashed is None:
        return await _set(form, secret, account, invited, HTTPStatus.UNPROCESSABLE_ENTITY)
    ended = await access.use_link(links.hash_of(secret), hashed, client_address())
    if ended is None:
        return await _dead(HTTPStatus.NOT_FOUND)
    sessions.forget(ended)
    log.info("password_set_by_link", user=str(account.id), invited=invited, address=client_address())
    if not invited:
        await tell_of_change(account)
    await flash(gettext("Your password is set. You can sign in with it now."))
    return redirect(url_for("signin.form"), HTTPStatus.SEE_OTHER)


async def new_password(form: Form, account: Account) -> str | None:
    """The hash of the password that was typed twice; None where it cannot be taken, and the form says why."""
    password = form.secret("password", most=passwords.MOST_CHARACTERS)
    again = form.secret("again", most=passwords.MOST_CHARACTERS)
    try:
        await passwords.approve(password, account.login)
    except PasswordRefused as refused:
        form.wrong(passwords.in_words(refused), "password")
    if form.ok and password != again:
        form.wrong(gettext("This is not the same as above."), "again")
    if not form.ok:
        return None
    try:
        return await portal().passwords.hash(password)
    except Busy:
        raise signin.busy() from None


async def tell_of_change(account: Account) -> None:
    """Mails the owner of an account that its password was changed, where he has an address."""
    if account.email:
        try:
            await mails.queue_mail(None, await letters.password_changed_mail(account, client_address()))
        except (DatabaseError, Refusal) as error:  # the password is changed all the same
            log.warning("password_mail_not_queued", user=str(account.id), reason=str(error))


async def _send(found: Sequence[Account], origin: str) -> None:
    """Mails a link to each of these who signs in with a password and has an address."""
    if not origin:
        log.error("password_mail_without_address", setting="PUBLIC_URL")
        return
    # A portal that stops has told somebody already that his mail is on its way.
    with trio.CancelScope(shield=True):
        for account in {one.id: one for one in found}.values():
            if account.may_sign_in and account.authentication == "password" and account.email:
                await _send_to(account, origin)


async def _send_to(account: Account, origin: str) -> None:
    wait_s = portal().attempts.begin(str(account.id), "", trio.current_time(), limits.GET_MAIL)
    if wait_s > 0:
        log.warning("password_mail_enough", user=str(account.id))
        return
    secret, expires_at = links.new_secret(), datetime.now(UTC) + links.RESET_FOR
    try:
        await access.make_link(None, account.id, links.hash_of(secret), invitation=False, expires_at=expires_at)
        await mails.queue_mail(None, await letters.reset_mail(account, f"{origin}{links.PATH}{secret}", expires_at))
    except (DatabaseError, NotThere, Refusal) as error:
        log.warning("password_mail_not_queued", user=str(account.id), reason=str(error))
    else:
        log.info("password_mail_queued", user=str(account.id))


async def _forgot(form: Form, status: HTTPStatus = HTTPStatus.OK, notice: str = "") -> Response:
    return Response(await render_template("password/forgot.html", f=form, notice=notice), status)


async def _set(
    form: Form, secret: str, account: Account, invited: bool, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    page = await render_template(
        "password/set.html", f=form, secret=secret, owner=account, invited=invited, rules=await passwords.rules()
    )
    return Response(page, status)


async def _dead(status: HTTPStatus) -> Response:
    return Response(await render_template("password/dead.html"), status)
