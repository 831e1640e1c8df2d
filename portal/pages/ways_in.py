"""How a user gets in, as administrators arrange it: a first or a new password, and an invitation by mail.

Not here: how passwords are judged and hashed (`portal/passwords.py`), what mails say (`portal/mails.py`), what one
does for oneself (`own.py`).
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from quart import flash
from quart_babel import format_datetime, gettext

from portal import gate, links, passwords, sessions, signin
from portal import mails as letters
from portal.config import portal
from portal.forms import Form
from portal.pages.password import tell_of_change
from portal.proxy import client_address
from schema import access, mails, people, users
from schema.database import DatabaseError
from schema.mails import MailKind, MailState
from schema.profiles import User, UserFields
from schema.refusals import Refusal

log = structlog.get_logger()

# Of the last mails to somebody, one that holds a link is among so many.
LATEST: Final = 10
FIRST_ACCESS: Final = ("invitation", "password", "none")


async def first_password(form: Form, fields: UserFields) -> str:
    """The hash of the password that somebody new is given; empty where he gets an invitation, or none for now."""
    chosen = form.choice("first_access", FIRST_ACCESS)
    given = form.secret("password", most=passwords.MOST_CHARACTERS)
    if fields.authentication != "password" or chosen == "none":
        return ""
    if chosen == "invitation":
        if not fields.email:
            form.wrong(gettext("An invitation needs a mail address."), "email")
        if not fields.may_sign_in:
            form.wrong(gettext("Who is invited needs web access."), "may_sign_in")
        return ""
    return await _hashed(form, given, fields)


async def new_password(form: Form, fields: UserFields) -> str:
    """The hash of the password that somebody is given instead of his own; empty where he keeps that."""
    given = form.secret("password", most=passwords.MOST_CHARACTERS)
    if not given or fields.authentication != "password":
        return ""
    return await _hashed(form, given, fields)


async def invite(user: User) -> None:
    """Mails a link by which somebody chooses his password, and says so on the next page."""
    account = await people.account(user.id)
    if account is None or not can_be_invited(user):
        await flash(gettext("Nothing was mailed: this user has no web access with a password."), "warning")
        return
    secret, expires_at = links.new_secret(), datetime.now(UTC) + links.INVITED_FOR
    await access.make_link(gate.by(), user.id, links.hash_of(secret), invitation=True, expires_at=expires_at)
    url = f"{links.origin()}{links.PATH}{secret}"
    await mails.queue_mail(gate.by(), await letters.invitation_mail(account, url, expires_at))
    if await mails.can_go_out():
        await flash(gettext("An invitation to %(email)s is on its way.", email=account.email))
    else:
        await flash(_waits_for_a_server(account.email), "warning")


def can_be_invited(user: User) -> bool:
    """Whether a link would let him in: he signs in with a password, and may."""
    return user.fields.may_sign_in and user.fields.authentication == "password" and user.disabled_at is None


async def _hashed(form: Form, given: str, fields: UserFields) -> str:
    try:
        await passwords.approve(given, fields.login)
    except passwords.PasswordRefused as refused:
        form.wrong(passwords.in_words(refused), "password")
    if not form.ok:
        return ""
    try:
        return await portal().passwords.hash(given)
    except passwords.Busy:
        raise signin.busy() from None


async def update_with_password(user_id: UUID, fields: UserFields, hashed: str, was: UserFields) -> User:
    """Somebody is so and has this password from now on, and is told by mail where he has an address.

    Errors: Refusal, NotThere; then nothing was changed.
    """
    changed, ended = await users.update_user_and_password(gate.by(), user_id, fields, hashed, was)
    sessions.forget(ended)
    account = await people.account(user_id)
    if account is not None:
        await tell_of_change(account)
    return changed


async def end_second_factor(user_id: UUID) -> None:
    """Somebody signs in with his password alone from now on, and is told by mail where he has an address.

    Errors: Refusal, NotThere.
    """
    await access.clear_totp(gate.by(), user_id)
    account = await people.account(user_id)
    if account is not None and account.email:
        try:
            await mails.queue_mail(None, await letters.second_factor_off_mail(account, client_address()))
        except (DatabaseError, Refusal) as error:  # it is off all the same
            log.warning("second_factor_mail_not_queued", user=str(user_id), reason=str(error))


async def last_mail(user_id: UUID) -> str:
    """What became of the last mail by which he was let in, in a sentence; empty where there was none."""
    found = await mails.list_mails(gate.scope(), account_id=user_id, limit=LATEST)
    last = next((mail for mail in found.items if mail.kind in (MailKind.INVITATION, MailKind.RESET)), None)
    if last is None:
        return ""
    at = format_datetime(last.sent_at or last.created_at, "medium")
    if last.state is MailState.SENT:
        return gettext("The last link was mailed to %(email)s: %(at)s.", email=last.to_address, at=at)
    if last.state is MailState.FAILED:
        return gettext("The last link could not be mailed to %(email)s: %(at)s.", email=last.to_address, at=at)
    if not await mails.can_go_out():
        return _waits_for_a_server(last.to_address)
    return gettext("A mail with a link to %(email)s waits to be sent since %(at)s.", email=last.to_address, at=at)


def _waits_for_a_server(email: str) -> str:
    if gate.may_call("mail.index"):
        return gettext("The mail to %(email)s waits: no mail server is set up yet.", email=email)
    return gettext("The mail to %(email)s waits: no mail server is set up yet. Ask the operator.", email=email)
