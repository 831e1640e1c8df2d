"""Turning one's own second factor on and off, and new recovery codes: below `/security`.

Each of them asks for the password: who finds an open browser changes nothing here.

Not here: what a code is (`portal/second_factor.py`), asking for one (`portal/signin.py`).
"""

import time
from http import HTTPStatus
from typing import Any, Final

import structlog
from quart import Response, flash, redirect, render_template, session, url_for
from quart_babel import gettext

from portal import gate, second_factor
from portal import mails as letters
from portal.forms import Form, submitted
from portal.layout import PRODUCT
from portal.pages.own_password import blueprint, knows_password
from portal.proxy import client_address
from schema import access, mails
from schema.database import DatabaseError
from schema.refusals import Refusal

__all__ = ["blueprint"]

log = structlog.get_logger()

# In the cookie: the number that the secret is made from while it is set up.
NUMBER: Final = "second_factor"
# Six digits, and blanks that people type between them.
MOST_CODE: Final = 20


@blueprint.get("/security/second-factor", endpoint="totp_begin")
async def begin() -> Any:
    """Shows the secret to an app."""
    if _cannot():
        return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)
    session.setdefault(NUMBER, second_factor.new_number())
    return await _secret(Form())


@blueprint.post("/security/second-factor", endpoint="totp_confirm")
async def confirm() -> Any:
    """Turns it on, once the app shows the right code."""
    account, form = gate.account(), await submitted()
    number = session.get(NUMBER)
    if _cannot() or number is None:
        return redirect(url_for("own.totp_begin"), HTTPStatus.SEE_OTHER)
    secret = second_factor.secret_from(number, account.id)
    typed = form.text("code", most=MOST_CODE, required=True)
    if await knows_password(form, "password") and form.ok:
        step = second_factor.step_of(secret, typed, time.time())
        if step is not None:
            codes = second_factor.new_recovery_codes()
            hashes = [second_factor.hash_of(account.id, one) for one in codes]
            await access.set_totp(gate.by(), secret, step, hashes)
            session.pop(NUMBER)
            log.info("second_factor_on", user=str(account.id), address=client_address())
            return await render_template("own/codes.html", codes=codes, begun=True)
        form.wrong(gettext("This is not the code that belongs to this picture. Is your phone's clock right?"), "code")
    return await _secret(form, HTTPStatus.UNPROCESSABLE_ENTITY)


@blueprint.route("/security/second-factor/off", methods=["GET", "POST"], endpoint="totp_end")
async def end() -> Any:
    """Turns it off."""
    account, form = gate.account(), await submitted()
    if not account.two_factor:
        return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)
    if form.values and await knows_password(form, "password"):
        await access.clear_totp(gate.by(), account.id)
        log.info("second_factor_off", user=str(account.id), address=client_address())
        if account.email:
            try:
                await mails.queue_mail(None, await letters.second_factor_off_mail(account, client_address()))
            except (DatabaseError, Refusal) as error:  # it is off all the same
                log.warning("second_factor_mail_not_queued", user=str(account.id), reason=str(error))
        await flash(gettext("Two-factor sign-in is off. Your password alone lets you in."))
        return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)
    page = await render_template("own/totp_end.html", f=form)
    return Response(page, HTTPStatus.OK if form.ok else HTTPStatus.UNPROCESSABLE_ENTITY)


@blueprint.route("/security/recovery-codes", methods=["GET", "POST"], endpoint="recovery_codes")
async def recovery_codes() -> Any:
    """Makes new ones; those before open nothing any more."""
    account, form = gate.account(), await submitted()
    if not account.two_factor:
        return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)
    if form.values and await knows_password(form, "password"):
        codes = second_factor.new_recovery_codes()
        await access.set_recovery_codes(gate.by(), [second_factor.hash_of(account.id, one) for one in codes])
        log.info("recovery_codes_made", user=str(account.id), address=client_address())
        return await render_template("own/codes.html", codes=codes, begun=False)
    page = await render_template("own/recovery_codes.html", f=form)
    return Response(page, HTTPStatus.OK if form.ok else HTTPStatus.UNPROCESSABLE_ENTITY)


def _cannot() -> bool:
    """Whether it is on already, or is the business of a provider."""
    account = gate.account()
    return account.two_factor or account.authentication != "password"


async def _secret(form: Form, status: HTTPStatus = HTTPStatus.OK) -> Response:
    account = gate.account()
    secret = second_factor.secret_from(session[NUMBER], account.id)
    page = await render_template(
        "own/totp_begin.html",
        f=form,
        picture=second_factor.picture(secret, account.login, f"{PRODUCT} {account.tenant}"),
        secret=second_factor.in_groups(secret),
    )
    return Response(page, status)
