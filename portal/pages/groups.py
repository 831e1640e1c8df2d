"""Groups: the list, a group with its users and managers, and what can be done with it.

Who is in a group, and who manages it, is set on the users' own pages.

Not here: users (`users.py`), the import of many (`imports.py`).
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext, pgettext

from portal import gate, language
from portal.errors import by_script
from portal.forms import Form, filled, submitted
from portal.pages import inherited, lists, owners, paging, stale, trail
from portal.pages.deeds import done
from portal.pages.people_words import language_name
from schema import groups, users
from schema.checked import MOST_CHARACTERS
from schema.profiles import Group, GroupFields
from schema.refusals import Refusal

# As many of its users as a group's page shows; the list of users has all.
MEMBERS: Final = 20

blueprint: Final = Blueprint("groups", __name__, url_prefix="/administration/groups")


@blueprint.get("")
async def index() -> str:
    """The groups, by name; for scripts the table alone."""
    text, here = request.args.get("q", "").strip(), paging.at_hand()
    found = await lists.asked(
        groups.list_groups(gate.scope(), text=text, status=lists.status(), limit=lists.ROWS, cursor=here.cursor)
    )
    older, newer = here.links("groups.index", len(found.items), found.next, q=text, status=lists.kept_status())
    return await render_template(
        "groups/table.html" if by_script() else "groups/index.html",
        groups=found.items,
        q=text,
        status=lists.kept_status(),
        statuses=lists.status_options(),
        older=older,
        newer=newer,
        all_tenants=owners.across_tenants(),
    )


@blueprint.route("/new", methods=["GET", "POST"])
async def new() -> Any:
    """A form for a group that is not there yet."""
    tenants = await owners.choices()
    if request.method == "GET":
        return await _form(filled(tenant=owners.proposed(request.args.get("tenant", ""), tenants)), tenants=tenants)
    form = await submitted()
    fields, tenant_id = _read(form), owners.chosen(form, tenants)
    if form.ok:
        try:
            made = await groups.create_group(gate.by(), fields, tenant_id=tenant_id)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("The group %(name)s was created.", name=made.fields.name))
            return redirect(url_for("groups.show", group_id=made.id), 303)
    return await _form(form, tenants=tenants), 422


@blueprint.get("/<uuid:group_id>")
async def show(group_id: UUID) -> str:
    """A group, its users, and who manages it."""
    group = await _group(group_id)
    members = await users.list_users(gate.scope(), group_id=group_id, status="all", limit=MEMBERS)
    return await render_template(
        "groups/show.html",
        group=group,
        language=inherited.own_language(group.fields.language, group.inherited_language),
        time_zone=inherited.own_zone(group.fields.time_zone, group.inherited_time_zone),
        members=members.items,
        more=members.next is not None,
        all_tenants=owners.across_tenants(),
        **await trail.about(group_id),
    )


@blueprint.route("/<uuid:group_id>/edit", methods=["GET", "POST"])
async def edit(group_id: UUID) -> Any:
    """A form with the group's fields."""
    group = await _group(group_id)
    stored = group.fields
    if request.method == "GET":
        given = filled(name=stored.name, language=stored.language, time_zone=stored.time_zone)
        given.values[stale.FIELD] = [stale.version(stored)]
        return await _form(given, group)
    form = await submitted()
    fields = _read(form)
    if not stale.check(form, stored):
        return await _form(form, group, differences=_differences(stored, fields)), stale.CONFLICT
    if form.ok:
        try:
            await groups.update_group(gate.by(), group_id, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            return redirect(url_for("groups.show", group_id=group_id), 303)
    return await _form(form, group), 422


@blueprint.post("/<uuid:group_id>/disable")
async def disable(group_id: UUID) -> Any:
    """Nobody comes into the group any more; who is in it stays."""
    name = (await _group(group_id)).fields.name
    told, back = gettext("The group %(name)s is disabled.", name=name), url_for("groups.show", group_id=group_id)
    return await done(groups.disable_group(gate.by(), group_id), told, back)


@blueprint.post("/<uuid:group_id>/enable")
async def enable(group_id: UUID) -> Any:
    name = (await _group(group_id)).fields.name
    told, back = gettext("The group %(name)s is enabled.", name=name), url_for("groups.show", group_id=group_id)
    return await done(groups.enable_group(gate.by(), group_id), told, back)


@blueprint.post("/<uuid:group_id>/delete")
async def delete(group_id: UUID) -> Any:
    """Takes a group away that nobody is in."""
    name = (await _group(group_id)).fields.name
    return await done(
        groups.delete_group(gate.by(), group_id),
        gettext("The group %(name)s was deleted.", name=name),
        url_for("groups.index"),
        otherwise=url_for("groups.show", group_id=group_id),
    )


async def _group(group_id: UUID) -> Group:
    return await groups.get_group(gate.scope(), group_id) or abort(404)


def _read(form: Form) -> GroupFields:
    return GroupFields(
        name=form.text("name", most=MOST_CHARACTERS, required=True),
        language=form.choice("language", ["", *language.LANGUAGES]),
        time_zone=form.choice("time_zone", ["", *language.ZONES]),
    )


async def _form(
    form: Form,
    group: Group | None = None,
    *,
    tenants: owners.Choices = (),
    differences: Sequence[stale.Difference] = (),
) -> str:
    return await render_template(
        "groups/edit.html",
        f=form,
        group=group,
        tenants=tenants,
        differences=differences,
        languages=inherited.language_options(),
        zones=inherited.zone_options(),
        inherited_language=inherited.told_language(group.inherited_language) if group else "",
        inherited_zone=inherited.told_zone(group.inherited_time_zone) if group else "",
    )


def _differences(stored: GroupFields, given: GroupFields) -> list[stale.Difference]:
    return stale.differences(
        (
            (pgettext("of a thing", "Name"), stored.name, given.name),
            (gettext("Language"), language_name(stored.language), language_name(given.language)),
            (gettext("Time zone"), stored.time_zone, given.time_zone),
        )
    )
