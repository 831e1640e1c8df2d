"""Administration > Customization > Language: what holds for the platform, for tenants and for groups.

The operator sees the platform's, and of whom he looks at the tenant's and the groups'; administrators see their own
tenant's and its groups'. Each row shows what holds and where it comes from; Change opens the menus in that row.

Not here: what people choose for themselves (`own_language.py`), which languages there are (`language.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal
from uuid import UUID

from quart import flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import gate, language
from portal.errors import not_found
from portal.forms import Form, filled, submitted
from portal.pages import inherited, lists, owners, paging
from portal.pages.customization import blueprint
from portal.pages.people_words import language_name
from schema import groups, platform, tenants
from schema.profiles import Group, Inherited, Tenant
from schema.refusals import Refusal
from schema.roles import Permission

__all__ = ["blueprint", "index"]

MOST_TEXT: Final = 200
PLATFORM: Final = "platform"


@dataclass(frozen=True, slots=True)
class Row:
    """One whose language can be changed: the platform, a tenant or a group. `key` tells it from the others.

    What is its own is empty where it is inherited; then `from_...` say what holds and where it comes from.
    """

    key: str
    name: str
    language: str
    time_zone: str
    from_language: str
    from_zone: str
    tenant: str = ""


@blueprint.route("/administration/customization/language", methods=["GET", "POST"], endpoint="language")
async def index() -> Any:
    """The page, and saving the row that is being changed."""
    text, change = request.args.get("q", "").strip()[:MOST_TEXT], request.args.get("change", "")
    here = paging.at_hand()
    form = Form()
    if request.method == "POST":
        form = await submitted()
        if await _save(form, change):
            await flash(gettext("Saved."))
            return redirect(_here(text, here), HTTPStatus.SEE_OTHER)
    listed = await lists.asked(groups.list_groups(gate.scope(), text=text, limit=lists.ROWS, cursor=here.cursor))
    sections = [
        (gettext("Platform"), await _platform_row()),
        (gettext("Tenant"), [_row("tenant", tenant) for tenant in await _tenants(text)]),
        (gettext("Groups"), [_row("group", group) for group in listed.items]),
    ]
    open_row = next((row for _, rows in sections for row in rows if row.key == change), None)
    if request.method == "GET" and open_row is not None:
        form = filled(language=open_row.language, time_zone=open_row.time_zone)
    older, newer = here.links("customization.language", lists.ROWS, listed.next, q=text or None)
    page = await render_template(
        "customization/language.html",
        f=form,
        text=text,
        change=change,
        sections=[(title, rows) for title, rows in sections if rows],
        older=older,
        newer=newer,
        address=lambda key: _here(text, here, key),
        languages=inherited.language_options(),
        zones=inherited.zone_options() if open_row is not None else [],
        across=owners.across_tenants(),
        language_name=language_name,
    )
    return page, HTTPStatus.OK if form.ok else HTTPStatus.UNPROCESSABLE_ENTITY


async def _save(form: Form, key: str) -> bool:
    """Sets what was chosen for a row. Errors: `Problem` (404) for a row that is not there."""
    spoken = form.choice("language", ["", *language.LANGUAGES])
    zone = form.choice("time_zone", ["", *language.ZONES])
    if not form.ok:
        return False
    kind, _, of = key.partition("-")
    by = gate.by()
    try:
        if key == PLATFORM and gate.may(Permission.MANAGE_PLATFORM):
            await platform.set_platform_language(by, spoken, zone)
        elif kind == "tenant":
            await tenants.set_tenant_language(by, _id(of), spoken, zone)
        elif kind == "group":
            await groups.set_group_language(by, _id(of), spoken, zone)
        else:
            raise not_found()
    except Refusal as refusal:
        form.refuse(refusal)
    return form.ok


async def _platform_row() -> list[Row]:
    """The row of the platform, for who may change it."""
    if not gate.may(Permission.MANAGE_PLATFORM):
        return []
    fields, nothing = await platform.get_platform(), Inherited("", "default")
    told = inherited.told_language(nothing), inherited.told_zone(nothing)
    return [Row(PLATFORM, gettext("All tenants"), fields.language, fields.time_zone, *told)]


async def _tenants(text: str) -> Sequence[Tenant]:
    """The tenant that is looked at; with a look at all of them those with `text` in their names."""
    scope = gate.scope()
    if owners.across_tenants():
        return (await tenants.list_tenants(scope, text=text, status="active", limit=lists.ROWS)).items
    own = await tenants.get_tenant(scope, scope.tenant_id)
    return [own] if own is not None else []


def _row(kind: Literal["tenant", "group"], of: Tenant | Group) -> Row:
    return Row(
        key=f"{kind}-{of.id}",
        name=of.fields.name,
        language=of.fields.language,
        time_zone=of.fields.time_zone,
        from_language=inherited.told_language(of.inherited_language),
        from_zone=inherited.told_zone(of.inherited_time_zone),
        tenant=of.tenant.name if isinstance(of, Group) else "",
    )


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise not_found() from None


def _here(text: str, page: paging.Paging, change: str = "") -> str:
    """The page as it is, with the row of this key open to be changed."""
    cursors = list(page.cursors) or None
    return url_for("customization.language", q=text or None, cursor=cursors, at=page.at or None, change=change or None)
