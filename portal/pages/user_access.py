"""How a user gets in, arranged on his page: invitations, his sessions, his second factor.

Not here: what one does for oneself (`own.py`), signing in (`portal/signin.py`).
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from quart import flash, redirect, render_template, request
from quart_babel import gettext, ngettext

from portal import gate, sessions
from portal.errors import forbidden
from portal.forms import filled, submitted
from portal.pages import deeds, ways_in
from portal.pages.user import blueprint, called, is_above, page_of, there
from portal.refused import of_data
from schema import access, users
from schema.checked import MOST_CHARACTERS
from schema.profiles import User
from schema.refusals import Refusal
from schema.user_rules import has_ways_in

__all__ = ["blueprint"]


@blueprint.route("/<uuid:user_id>/invite", methods=["GET", "POST"])
async def invite(user_id: UUID) -> Any:
    """Mails a link by which he chooses his password; asks where to."""
    user = await _whose_access(user_id)
    if is_above(user):
        await flash(of_data(Refusal("above_you")), "danger")
        return redirect(page_of(user_id), 303)
    if request.method == "GET":
        return await render_template("users/invite.html", f=filled(email=user.fields.email), user=user)
    form = await submitted()
    email = form.text("email", most=MOST_CHARACTERS, required=True)
    if form.ok:
        try:
            if email != user.fields.email and ways_in.can_be_invited(user):
                user = await users.update_user(gate.by(), user_id, replace(user.fields, email=email))
            await ways_in.invite(user)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            return redirect(page_of(user_id), 303)
    return await render_template("users/invite.html", f=form, user=user), 422


@blueprint.post("/<uuid:user_id>/end-sessions")
async def end_sessions(user_id: UUID) -> Any:
    """Signs him out everywhere."""
    user = await _whose_access(user_id)
    try:
        ended = await access.close_sessions(gate.by(), user_id)
    except Refusal as refusal:
        await flash(of_data(refusal), "danger")
    else:
        sessions.forget(ended)
        await flash(
            ngettext(
                "%(num)s session of %(name)s was ended.",
                "%(num)s sessions of %(name)s were ended.",
                len(ended),
                name=called(user),
            )
        )
    return redirect(page_of(user_id), 303)


@blueprint.post("/<uuid:user_id>/reset-second-factor")
async def reset_second_factor(user_id: UUID) -> Any:
    """For somebody who lost his telephone: he signs in with his password alone, and may set up a new one."""
    user = await _whose_access(user_id)
    told = gettext("%(name)s signs in without a second factor now.", name=called(user))
    return await deeds.done(ways_in.end_second_factor(user_id), told, page_of(user_id))


async def _whose_access(user_id: UUID) -> User:
    """A user whose ways in are for the one who asks to arrange. Errors: Problem."""
    user = await there(user_id)
    if not has_ways_in(gate.by(), user_id):
        raise forbidden()
    return user
