"""One's own security: `/security` with the browsers one is signed in with, the second factor, and tokens for the API.

Not here: the second factor itself (`own_second_factor.py`), the password (`own_password.py`).
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog
from quart import Response, flash, redirect, render_template, request, url_for
from quart_babel import gettext, ngettext

from portal import agents, gate, sessions
from portal.errors import not_found
from portal.forms import Form, filled, submitted
from portal.pages.own_second_factor import blueprint
from portal.pages.people_words import PERMISSIONS
from portal.proxy import client_address
from portal.tokens import TOKEN_BYTES, TOKEN_PREFIX
from schema import access
from schema.access import SessionView, TokenView
from schema.roles import Permission

__all__ = ["blueprint"]

log = structlog.get_logger()

MOST_NAME: Final = 100
ALL: Final = "all"
SOME: Final = "some"
NEVER: Final = "never"
DEFAULT_DAYS: Final = 90
DAYS: Final = (7, 30, DEFAULT_DAYS, 365)


@blueprint.get("/security", endpoint="security")
async def show() -> Any:
    return await _page(filled(rights=ALL, expires=str(DEFAULT_DAYS)))


@blueprint.post("/security/sessions/end", endpoint="end_session")
async def end_session() -> Any:
    """Ends one of one's sessions in another browser."""
    wanted = (await request.form).get("session", "")
    for one in await _sessions():
        if sessions.handle(one.id_hash) == wanted:
            sessions.forget(await access.close_sessions(gate.by(), gate.account().id, only=one.id_hash))
            await flash(gettext("The session was ended."))
            break
    else:
        await flash(gettext("This session had ended already."))
    return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)


@blueprint.post("/security/sessions/end-others", endpoint="end_other_sessions")
async def end_other_sessions() -> Any:
    """Ends all of one's sessions but the one at hand."""
    ended = await access.close_sessions(gate.by(), gate.account().id, but=sessions.key())
    sessions.forget(ended)
    await flash(
        ngettext(
            "%(num)s session in another browser was ended.",
            "%(num)s sessions in other browsers were ended.",
            len(ended),
        )
    )
    return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)


@blueprint.post("/security/tokens", endpoint="add_token")
async def add_token() -> Any:
    """Makes a token, and shows it this once."""
    account, form = gate.account(), await submitted()
    name = form.text("name", most=MOST_NAME, required=True)
    rights = form.choice("rights", [ALL, SOME])
    chosen = form.choices("permissions", [str(one) for one in account.grant.permissions])
    expires = form.choice("expires", [*map(str, DAYS), NEVER])
    if rights == SOME and not chosen:
        form.wrong(gettext("Choose at least one permission."), "permissions")
    if not form.ok:
        return await _page(form, HTTPStatus.UNPROCESSABLE_ENTITY)
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    await access.add_token(
        gate.by(),
        account.id,
        hashlib.sha256(token.encode()).digest(),
        name,
        None if rights == ALL else frozenset(map(Permission, chosen)),
        None if expires == NEVER else datetime.now(UTC) + timedelta(days=int(expires)),
    )
    log.info("token_made", user=str(account.id), address=client_address())
    return await render_template("own/token.html", name=name, token=token)


@blueprint.post("/security/tokens/revoke", endpoint="revoke_token")
async def revoke_token() -> Any:
    """A token opens nothing any more."""
    account, wanted = gate.account(), (await request.form).get("token", "")
    found = [one for one in await _tokens() if sessions.handle(one.token_hash) == wanted]
    if not found:
        raise not_found()
    await access.revoke_token(gate.by(), account.id, found[0].token_hash)
    await flash(gettext("The token %(name)s opens nothing any more.", name=found[0].name))
    return redirect(url_for("own.security"), HTTPStatus.SEE_OTHER)


async def _sessions() -> tuple[SessionView, ...]:
    return await access.list_sessions(gate.scope(), gate.account().id)


async def _tokens() -> tuple[TokenView, ...]:
    return await access.list_tokens(gate.scope(), gate.account().id)


async def _page(form: Form, status: HTTPStatus = HTTPStatus.OK) -> Response:
    account, own, now = gate.account(), sessions.key(), datetime.now(UTC)
    browsers = [
        {
            "browser": agents.browser(one.user_agent),
            "icon": "device-mobile" if agents.is_handheld(one.user_agent) else "device-laptop",
            "view": one,
            "handle": sessions.handle(one.id_hash),
            "here": one.id_hash == own,
        }
        for one in await _sessions()
    ]
    tokens = [
        {
            "view": one,
            "handle": sessions.handle(one.token_hash),
            "over": one.expires_at is not None and one.expires_at <= now,
            "rights": _rights(one),
        }
        for one in await _tokens()
    ]
    permissions = [
        (chapter.title(), [(str(one), term.name()) for one, term in chapter.permissions.items() if gate.may(one)])
        for chapter in PERMISSIONS
    ]
    page = await render_template(
        "own/security.html",
        f=form,
        owner=account,
        browsers=sorted(browsers, key=lambda one: not one["here"]),
        tokens=tokens,
        codes_left=await access.recovery_codes_left(account.id) if account.two_factor else 0,
        permissions=[(title, some) for title, some in permissions if some],
        expiries=[(str(days), _days(days)) for days in DAYS] + [(NEVER, gettext("Never"))],
    )
    return Response(page, status)


def _rights(token: TokenView) -> str:
    """What a token gives, in words."""
    if token.permissions is None:
        return gettext("All that you may do")
    names = [
        term.name() for chapter in PERMISSIONS for one, term in chapter.permissions.items() if one in token.permissions
    ]
    return ", ".join(names)


def _days(days: int) -> str:
    return ngettext("In %(num)s day", "In %(num)s days", days)
