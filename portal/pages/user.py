"""The page of one user, the form to make or change one, and what can be done with one.

Not here: the list (`users.py`), what the form holds (`user_form.py`), how he gets in (`user_access.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from quart import abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext, ngettext

from portal import gate, language
from portal.finding import silent_nodes
from portal.forms import Form, filled, submitted
from portal.pages import calls as call_pages
from portal.pages import deeds, inherited, owners, people_words, stale, texts, trail, user_form, ways_in
from portal.pages.users import blueprint
from portal.refused import of_data
from schema import access, calls, mails, users
from schema.claims import claim_calls
from schema.profiles import User, UserFields
from schema.refusals import Refusal
from schema.roles import Permission, Role
from schema.user_rules import has_ways_in

__all__ = ["blueprint", "called", "is_above", "page_of", "there"]

RECENT_CALLS: Final = 10


@blueprint.get("/<uuid:user_id>")
async def show(user_id: UUID) -> str:
    """A user: who he is, his phones, whom he manages, his newest calls, how he gets in."""
    user = await there(user_id)
    scope, silent = gate.scope(), await silent_nodes()
    recent = await calls.list_calls(scope, user_id=user_id, limit=RECENT_CALLS, silent_nodes=silent)
    manages, above = gate.may(Permission.MANAGE_USERS), is_above(user)
    arranges = manages and not above and has_ways_in(gate.by(), user_id)
    return await render_template(
        "users/show.html",
        user=user,
        words=people_words,
        rows=[call_pages.row_of(call) for call in recent.calls],
        more_calls=recent.next is not None,
        sessions=len(await access.list_sessions(scope, user_id)) if arranges else None,
        mail=await ways_in.last_mail(user_id) if arranges else None,
        mail_settings=gate.may_call("mail.index") and not await mails.can_go_out(),
        language_form=filled(language=user.fields.language, time_zone=user.fields.time_zone),
        languages=inherited.language_options(),
        zones=inherited.zone_options(),
        arranges=arranges,
        may_invite=arranges and ways_in.can_be_invited(user),
        managed_groups=user.manages[: len(user.fields.manages_groups)],
        managed_users=user.manages[len(user.fields.manages_groups) :],
        manages=manages,
        alters=manages and not above,
        above=of_data(Refusal("above_you")) if manages and above else "",
        is_oneself=user_id == gate.account().id,
        all_tenants=owners.across_tenants(),
        **user_form.inherited_words(user),
        **await trail.about(user_id),
    )


@blueprint.route("/new", methods=["GET", "POST"])
async def new() -> Any:
    """A form for somebody who is not there yet. An operator who looks at all tenants chooses one first."""
    tenants = await owners.choices()
    chosen = request.args.get("tenant", "")
    if tenants and chosen not in dict(tenants):
        return await render_template("users/tenant.html", tenants=tenants)
    tenant_id = UUID(chosen) if tenants else gate.scope().tenant_id
    offered = await user_form.offer(tenant_id)
    if request.method == "GET":
        return await _form(_blank(request.args), offered, tenant=dict(tenants).get(chosen, ""))
    form = await submitted()
    fields = await user_form.read(form, offered)
    hashed = await ways_in.first_password(form, fields)
    if form.ok:
        try:
            made = await users.create_user(gate.by(), fields, tenant_id=tenant_id, password_hash=hashed)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("The user %(name)s was created.", name=called(made)))
            await _claim(made)
            if form.get("first_access") == "invitation":
                await ways_in.invite(made)
            return redirect(page_of(made.id), 303)
    return await _form(form, offered, tenant=dict(tenants).get(chosen, "")), 422


@blueprint.route("/<uuid:user_id>/edit", methods=["GET", "POST"])
async def edit(user_id: UUID) -> Any:
    """A form with the user's fields."""
    user = await there(user_id)
    if is_above(user):
        await flash(of_data(Refusal("above_you")), "danger")
        return redirect(page_of(user_id), 303)
    offered = await user_form.offer(user.tenant.id, user)
    if request.method == "GET":
        return await _form(user_form.filled_with(user, offered), offered, user)
    form = await submitted()
    fields = await user_form.read(form, offered, user.fields)
    hashed = await ways_in.new_password(form, fields) if offered.ways_in else ""
    if form.ok and not stale.check(form, user.fields):
        differences = _differences(user, fields, offered, form)
        return await _form(form, offered, user, differences=differences), stale.CONFLICT
    if form.ok:
        try:
            if hashed:
                changed = await ways_in.update_with_password(user_id, fields, hashed, was=user.fields)
            else:
                changed = await users.update_user(gate.by(), user_id, fields, was=user.fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            await _claim(changed, before=user)
            return redirect(page_of(user_id), 303)
    return await _form(form, offered, user), 422


@blueprint.post("/<uuid:user_id>/disable")
async def disable(user_id: UUID) -> Any:
    """He cannot sign in any more; his calls are recorded as before."""
    user = await there(user_id)
    told = gettext("%(name)s is disabled and signed out.", name=called(user))
    return await deeds.done(users.disable_user(gate.by(), user_id), told, page_of(user_id))


@blueprint.post("/<uuid:user_id>/enable")
async def enable(user_id: UUID) -> Any:
    user = await there(user_id)
    told = gettext("%(name)s is enabled.", name=called(user))
    return await deeds.done(users.enable_user(gate.by(), user_id), told, page_of(user_id))


@blueprint.post("/<uuid:user_id>/language", endpoint="language")
async def language_of(user_id: UUID) -> Any:
    """His language and time zone: an administrator may set them, and whoever manages him."""
    await there(user_id)
    form = await submitted()
    code = form.choice("language", ["", *language.LANGUAGES])
    zone = form.choice("time_zone", ["", *language.ZONES])
    if not form.ok:
        abort(400)
    await users.set_language(gate.by(), user_id, code, zone)
    await flash(gettext("Saved."))
    return redirect(page_of(user_id), 303)


def page_of(user_id: UUID) -> str:
    return url_for("users.show", user_id=user_id)


async def there(user_id: UUID) -> User:
    """A user whom the one who asks may see; whom he may not see is not found."""
    return await users.get_user(gate.scope(), user_id) or abort(404)


def is_above(user: User) -> bool:
    """Whether he has rights that the one who asks does not have: then he is not the one's to change."""
    return user.id != gate.account().id and not gate.account().grant.covers(user.grant)


def called(user: User) -> str:
    """How a user is called: by the name, else by the login."""
    return user.fields.name or user.fields.login


def _blank(given: Mapping[str, str]) -> Form:
    """The form of somebody new. A link may propose a role and a group."""
    return filled(
        role=given.get("role") or Role.USER,
        group_id=given.get("group", ""),
        authentication="password",
        first_access="none",
        must_change_password=True,
    )


async def _form(
    form: Form,
    offered: user_form.Offer,
    user: User | None = None,
    *,
    tenant: str = "",
    differences: Sequence[stale.Difference] = (),
) -> str:
    return await render_template(
        "users/edit.html",
        f=form,
        user=user,
        tenant=tenant,
        offered=offered,
        differences=differences,
        modes=user_form.modes(),
        authentications=user_form.authentications(),
        languages=inherited.language_options(),
        zones=inherited.zone_options(),
        words=people_words,
        texts=texts.of_requests(),
        **user_form.inherited_words(user),
    )


def _differences(user: User, fields: UserFields, offered: user_form.Offer, form: Form) -> list[stale.Difference]:
    """What is stored otherwise than it was filled in."""
    stored = user_form.told(user.fields, offered, user.managed_logins)
    given = user_form.told(fields, offered, [one for one in form.values.get("manages_users", ()) if one])
    return stale.differences((label, one, other) for (label, one), (_, other) in zip(stored, given, strict=True))


async def _claim(user: User, before: User | None = None) -> None:
    """Calls that were recorded before anybody had his phones are his now."""
    if not set(user.fields.phones) - set(before.fields.phones if before else ()):
        return
    claimed = await claim_calls(user.tenant.id, user.id)
    if claimed:
        await flash(
            ngettext(
                "%(num)s earlier call of these phones belongs to %(name)s now.",
                "%(num)s earlier calls of these phones belong to %(name)s now.",
                claimed,
                name=called(user),
            )
        )
