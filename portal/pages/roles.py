"""Roles: what each may do and how far it reaches, and copies that a tenant makes of them.

A ready-made role stays as it is. Nobody gives what he does not have: the form shows such permissions, and why they
cannot be ticked; the database refuses them all the same.

Not here: what permissions are called (`people_words.py`), who has which role (`users.py`).
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext, pgettext

from portal import gate
from portal.forms import Form, filled, submitted
from portal.pages import owners, stale, trail
from portal.pages.deeds import done
from portal.pages.people_words import PERMISSIONS, REACHES, role_title
from schema import roles_kept
from schema.checked import MOST_CHARACTERS
from schema.profiles import KeptRole, RoleFields
from schema.refusals import Refusal
from schema.roles import Grant, Permission, Reach

blueprint: Final = Blueprint("roles", __name__, url_prefix="/administration/roles")


@blueprint.get("")
async def index() -> str:
    """All roles, and side by side what they may do."""
    found = await roles_kept.list_roles(gate.scope())
    # The copies of all tenants side by side would be wider than any screen.
    compared = [one for one in found if one.id is None or not owners.across_tenants()]
    return await render_template("roles/index.html", roles=found, compared=compared, **_words())


@blueprint.get("/<role>")
async def show(role: str) -> str:
    """One role. `role`: a ready-made one's name, or the id of a copy."""
    kept = await _role(role)
    told = await trail.about(kept.id) if kept.id is not None else {"entries": None}
    return await render_template("roles/show.html", role=kept, mine=_mine(kept), **told, **_words())


@blueprint.route("/<role>/copy", methods=["GET", "POST"])
async def copy(role: str) -> Any:
    """A form for a new role that begins as this one, without what the one who asks lacks."""
    source = await _role(role)
    if request.method == "GET":
        given = _given()
        start = source.fields.grant.narrowed(given.permissions)
        reach = start.reach if start.reach in _reaches(given) else given.reach
        name = gettext("Copy of %(name)s", name=role_title(source))
        return await _form(_filled(RoleFields(name=name, grant=Grant(reach, start.permissions))), source)
    form = await submitted()
    fields = _read(form)
    if form.ok:
        try:
            made = await roles_kept.copy_role(gate.by(), source.id or source.base, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(
                gettext("The role %(name)s was created. Give it to users on their pages.", name=made.fields.name)
            )
            return redirect(url_for("roles.show", role=made.id), 303)
    return await _form(form, source), 422


@blueprint.route("/<uuid:role_id>/edit", methods=["GET", "POST"])
async def edit(role_id: UUID) -> Any:
    """A form with a copy's fields."""
    kept = await _role(str(role_id))
    stored = kept.fields
    if request.method == "GET":
        given = _filled(stored)
        given.values[stale.FIELD] = [stale.version(stored)]
        return await _form(given, kept, change=True)
    form = await submitted()
    fields = _read(form)
    if not stale.check(form, stored):
        return await _form(form, kept, change=True, differences=_differences(stored, fields)), stale.CONFLICT
    if form.ok:
        try:
            await roles_kept.update_role(gate.by(), role_id, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved. It holds from now on, also for who is signed in."))
            return redirect(url_for("roles.show", role=role_id), 303)
    return await _form(form, kept, change=True), 422


@blueprint.post("/<uuid:role_id>/delete")
async def delete(role_id: UUID) -> Any:
    """Takes a copy away that nobody has."""
    kept = await _role(str(role_id))
    return await done(
        roles_kept.delete_role(gate.by(), role_id),
        gettext("The role %(name)s was deleted.", name=kept.fields.name),
        url_for("roles.index"),
        otherwise=url_for("roles.show", role=role_id),
    )


async def _role(given: str) -> KeptRole:
    """Roles are few: the one among all."""
    known = {str(kept.id or kept.base): kept for kept in await roles_kept.list_roles(gate.scope())}
    return known.get(given) or abort(404)


def _given() -> Grant:
    """What the one who asks may give at most: what he has himself."""
    return gate.account().grant


def _mine(kept: KeptRole) -> bool:
    """Whether the one who asks may change this role: it is a copy, and gives nothing that he has not."""
    return kept.id is not None and _given().covers(kept.fields.grant)


def _reaches(grant: Grant) -> list[Reach]:
    return [reach for reach in Reach if grant.covers(Grant(reach, frozenset()))]


def _words() -> dict[str, Any]:
    return {
        "chapters": PERMISSIONS,
        "reaches": REACHES,
        "role_title": role_title,
        "every": len(Permission),
        "all_tenants": owners.across_tenants(),
    }


def _filled(fields: RoleFields) -> Form:
    return filled(name=fields.name, reach=str(fields.grant.reach), permissions=sorted(fields.grant.permissions))


def _read(form: Form) -> RoleFields:
    given = _given()
    name = form.text("name", most=MOST_CHARACTERS, required=True)
    reach = form.choice("reach", _reaches(given))
    permissions = form.choices("permissions", given.permissions)
    chosen = frozenset(Permission(one) for one in permissions) if "permissions" not in form.errors else frozenset()
    return RoleFields(name=name, grant=Grant(Reach(reach) if "reach" not in form.errors else Reach.OWN, chosen))


async def _form(
    form: Form, kept: KeptRole, *, change: bool = False, differences: Sequence[stale.Difference] = ()
) -> str:
    return await render_template(
        "roles/edit.html",
        f=form,
        role=kept,
        change=change,
        given=_given(),
        offered=_reaches(_given()),
        differences=differences,
        **_words(),
    )


def _differences(stored: RoleFields, given: RoleFields) -> list[stale.Difference]:
    def told(grant: Grant) -> str:
        terms = {permission: term for chapter in PERMISSIONS for permission, term in chapter.permissions.items()}
        return ", ".join(term.name() for permission, term in terms.items() if permission in grant.permissions)

    return stale.differences(
        (
            (pgettext("of a thing", "Name"), stored.name, given.name),
            (gettext("Reach"), REACHES[stored.grant.reach].name(), REACHES[given.grant.reach].name()),
            (gettext("Permissions"), told(stored.grant), told(given.grant)),
        )
    )
