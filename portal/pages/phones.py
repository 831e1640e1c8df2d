"""Phones: the list of lines, a line with its user, and what can be done with it.

Not here: whose calls a line's are (`schema/claims.py`), the import of many (`imports.py`).
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext, ngettext

from portal import gate
from portal.errors import by_script
from portal.forms import Form, filled, submitted
from portal.pages import lists, owners, paging, stale, trail
from schema import phones, users
from schema.checked import MOST_CHARACTERS, folded
from schema.claims import claim_calls
from schema.profiles import Phone, PhoneFields, User
from schema.refusals import Refusal
from schema.roles import Reach
from schema.values import NOBODY

# Users whose login, name or lines hold the same letters: an exact login is among the first so many.
MOST_NAMESAKES: Final = 500

blueprint: Final = Blueprint("phones", __name__, url_prefix="/administration/phones")


@blueprint.get("")
async def index() -> str:
    """The lines, in their order; for scripts the table alone."""
    text, here = request.args.get("q", "").strip(), paging.at_hand()
    found = await lists.asked(
        phones.list_phones(gate.scope(), text=text, status=lists.status(), limit=lists.ROWS, cursor=here.cursor)
    )
    older, newer = here.links("phones.index", len(found.items), found.next, q=text, status=lists.kept_status())
    return await render_template(
        "phones/table.html" if by_script() else "phones/index.html",
        phones=found.items,
        q=text,
        status=lists.kept_status(),
        statuses=lists.status_options(),
        older=older,
        newer=newer,
        all_tenants=owners.across_tenants(),
        may_add=gate.scope().reach not in (Reach.OWN, Reach.MANAGED),
    )


@blueprint.route("/new", methods=["GET", "POST"])
async def new() -> Any:
    """A form for a line that is not there yet; `?user=` names whose it will be."""
    if request.method == "GET":
        user_id = request.args.get("user", type=UUID)
        user = await users.get_user(gate.scope(), user_id) if user_id is not None else None
        return await _form(filled(user_id=user.fields.login if user else ""))
    form = await submitted()
    user, fields = await _read(form)
    if form.ok:
        try:
            made = await phones.create_phone(gate.by(), fields, tenant_id=user.tenant.id if user else None)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("The phone %(line)s was created.", line=made.fields.line))
            await _claim(made)
            return redirect(url_for("phones.show", phone_id=made.id), 303)
    return await _form(form), 422


@blueprint.get("/<uuid:phone_id>")
async def show(phone_id: UUID) -> str:
    """A line, and whose it is."""
    phone = await _phone(phone_id)
    return await render_template(
        "phones/show.html", phone=phone, all_tenants=owners.across_tenants(), **await trail.about(phone_id)
    )


@blueprint.route("/<uuid:phone_id>/edit", methods=["GET", "POST"])
async def edit(phone_id: UUID) -> Any:
    """A form with the line's fields."""
    phone = await _phone(phone_id)
    stored = phone.fields
    if request.method == "GET":
        user = await users.get_user(gate.scope(), stored.user_id)
        given = filled(line=stored.line, name=stored.name, user_id=user.fields.login if user else "")
        given.values[stale.FIELD] = [stale.version(stored)]
        return await _form(given, phone)
    form = await submitted()
    user, fields = await _read(form, phone)
    if not stale.check(form, stored):
        return await _form(form, phone, differences=_differences(phone, fields, user)), stale.CONFLICT
    if form.ok:
        try:
            changed = await phones.update_phone(gate.by(), phone_id, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            await _claim(changed)
            return redirect(url_for("phones.show", phone_id=phone_id), 303)
    return await _form(form, phone), 422


@blueprint.post("/<uuid:phone_id>/disable")
async def disable(phone_id: UUID) -> Any:
    """New calls of the line are nobody's."""
    phone = await _phone(phone_id)
    await phones.disable_phone(gate.by(), phone_id)
    await flash(gettext("The phone %(line)s is disabled: new calls of it are nobody's.", line=phone.fields.line))
    return redirect(url_for("phones.show", phone_id=phone_id), 303)


@blueprint.post("/<uuid:phone_id>/enable")
async def enable(phone_id: UUID) -> Any:
    phone = await _phone(phone_id)
    await phones.enable_phone(gate.by(), phone_id)
    await flash(gettext("The phone %(line)s is enabled.", line=phone.fields.line))
    await _claim(phone)
    return redirect(url_for("phones.show", phone_id=phone_id), 303)


@blueprint.post("/<uuid:phone_id>/delete")
async def delete(phone_id: UUID) -> Any:
    """Takes the line away; calls that were somebody's stay his."""
    phone = await _phone(phone_id)
    await phones.delete_phone(gate.by(), phone_id)
    await flash(gettext("The phone %(line)s was deleted.", line=phone.fields.line))
    return redirect(url_for("phones.index"), 303)


async def _phone(phone_id: UUID) -> Phone:
    return await phones.get_phone(gate.scope(), phone_id) or abort(404)


async def _claim(phone: Phone) -> None:
    """Gives the user the earlier calls of the line that were nobody's."""
    claimed = await claim_calls(phone.tenant.id, phone.fields.user_id)
    if claimed:
        await flash(
            ngettext(
                "%(num)s earlier call of this line belongs to %(name)s now.",
                "%(num)s earlier calls of this line belong to %(name)s now.",
                claimed,
                name=phone.user.name,
            )
        )


async def _read(form: Form, phone: Phone | None = None) -> tuple[User | None, PhoneFields]:
    """What was filled in, and whose the line will be: None where that is wrong."""
    line = form.text("line", most=MOST_CHARACTERS, required=True)
    user = await _user(form, phone)
    name = form.text("name", most=MOST_CHARACTERS)
    return user, PhoneFields(line=line, name=name, user_id=user.id if user else NOBODY)


async def _user(form: Form, phone: Phone | None) -> User | None:
    """Whose login was filled in: `sam`, or `Flexus/sam` where an operator has several to choose from."""
    given = form.text("user_id", most=2 * MOST_CHARACTERS, required=True)
    if "user_id" in form.errors:
        return None
    tenant, slash, login = given.rpartition("/")
    asked = await users.list_users(gate.scope(), text=login, status="all", limit=MOST_NAMESAKES)
    found = [user for user in asked.items if folded(user.fields.login) == folded(login)]
    if slash:
        found = [user for user in found if folded(user.tenant.name) == folded(tenant)]
    elif phone is not None:
        found = [user for user in found if user.tenant.id == phone.tenant.id]
    if len(found) == 1:
        return found[0]
    if found:
        form.wrong(
            gettext(
                "Several tenants have a user %(login)s. Write the tenant's name before it: tenant/login.", login=login
            ),
            "user_id",
        )
    else:
        form.wrong(gettext("There is no user with the login %(login)s.", login=given), "user_id")
    return None


async def _form(form: Form, phone: Phone | None = None, *, differences: Sequence[stale.Difference] = ()) -> str:
    return await render_template("phones/edit.html", f=form, phone=phone, differences=differences)


def _differences(phone: Phone, given: PhoneFields, user: User | None) -> list[stale.Difference]:
    told = (user.fields.name or user.fields.login) if user else ""
    return stale.differences(
        (
            (gettext("Line"), phone.fields.line, given.line),
            (gettext("Label"), phone.fields.name, given.name),
            (gettext("User"), phone.user.name, told),
        )
    )
