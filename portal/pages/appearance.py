"""How a tenant looks to its people: Administration > Customization > Appearance, with its name, colour and logo.

Any colour is taken: where texts in it could not be read, the portal makes it darker or lighter (`accent.py`), and the
page says so.

Not here: language (`customization.py` has the blueprint), what else operators set of a tenant (`tenants.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio
from quart import flash, redirect, render_template, request, url_for
from quart_babel import gettext, pgettext
from werkzeug.datastructures import FileStorage

from portal import gate, pictures
from portal.accent import COLOUR, accent
from portal.errors import not_found
from portal.forms import Form, filled, submitted
from portal.pages import stale, trail
from portal.pages.customization import blueprint
from schema import tenants
from schema.checked import MOST_CHARACTERS
from schema.profiles import Tenant
from schema.refusals import Refusal
from schema.tenants import MOST_LOGO_KB

KB: Final = 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What the form shows and changes, besides the logo."""

    name: str
    colour: str


@blueprint.route("/administration/customization/appearance", methods=["GET", "POST"])
async def appearance() -> Any:
    """The form of the tenant that is looked at."""
    tenant = await tenants.get_tenant(gate.scope(), gate.scope().tenant_id)
    if tenant is None:
        raise not_found()
    stored = Look(tenant.fields.name, tenant.fields.colour)
    if request.method == "GET":
        given = filled(name=stored.name, colour=stored.colour)
        given.values[stale.FIELD] = [stale.version(stored)]
        return await _form(given, tenant)
    form = await submitted()
    look = Look(form.text("name", most=MOST_CHARACTERS, required=True), form.text("colour", most=7))
    if look.colour and not COLOUR.fullmatch(look.colour):
        form.wrong(gettext("Write a colour as #rrggbb, or leave this empty."), "colour")
    uploaded = form.files.get("logo")
    logo = await _logo(form, uploaded) if uploaded is not None and uploaded.filename else None
    if not stale.check(form, stored):
        return await _form(form, tenant, differences=_differences(stored, look)), stale.CONFLICT
    if form.ok:
        try:
            await tenants.set_appearance(gate.by(), tenant.id, look.name, look.colour)
            if logo is not None:
                await tenants.set_logo(gate.by(), tenant.id, *logo)
            elif form.checked("remove_logo"):
                await tenants.set_logo(gate.by(), tenant.id, None, "")
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved. Your people see it on the next page that they open."))
            return redirect(url_for("customization.appearance"), 303)
    return await _form(form, tenant), 422


@blueprint.get("/administration/customization/colours")
async def colours() -> Any:
    """What a colour becomes in both themes, and a sentence about it, for the preview of a form."""
    given = request.args.get("colour", "").strip()
    shades = accent(given)
    return {
        "light": shades.light,
        "on_light": shades.on_light,
        "dark": shades.dark,
        "on_dark": shades.on_dark,
        "told": told(given),
    }


def told(colour: str) -> str:
    """How well texts in a colour can be read, and what is done about it; empty is the portal's own colour."""
    if not colour:
        return gettext("Empty: the portal's own blue.")
    if not COLOUR.fullmatch(colour):
        return gettext("Write a colour as #rrggbb, or leave this empty.")
    shades, given = accent(colour), colour.lower()
    darker, lighter = shades.light != given, shades.dark != given
    if darker and lighter:
        return gettext(
            "Texts in this colour could hardly be read. It is made darker on light pages (%(light)s) and lighter on "
            "dark ones (%(dark)s).",
            light=shades.light,
            dark=shades.dark,
        )
    if darker:
        return gettext(
            "Texts in this colour could hardly be read on light pages: there it is made darker (%(light)s).",
            light=shades.light,
        )
    if lighter:
        return gettext(
            "Texts in this colour can be read on light pages. On dark ones it is made lighter (%(dark)s).",
            dark=shades.dark,
        )
    return gettext("Texts in this colour can be read on light and on dark pages.")


async def _logo(form: Form, uploaded: FileStorage) -> tuple[bytes, str] | None:
    """The picture's bytes and media type; None, and a sentence in the form, where it is none that is taken."""
    data = uploaded.read(MOST_LOGO_KB * KB + 1)
    if len(data) > MOST_LOGO_KB * KB:
        form.wrong(
            gettext("This file is larger than %(most)s kB. Make the picture smaller.", most=MOST_LOGO_KB), "logo"
        )
        return None
    picture = await trio.to_thread.run_sync(pictures.recognized, data)
    if picture is None:
        form.wrong(
            gettext(
                "This is no PNG, JPEG or WebP picture of at most %(pixels)s pixels a side, or it is damaged.",
                pixels=pictures.MOST_PIXELS,
            ),
            "logo",
        )
        return None
    return data, picture.media_type


async def _form(form: Form, tenant: Tenant, *, differences: Sequence[stale.Difference] = ()) -> str:
    return await render_template(
        "customization/appearance.html",
        f=form,
        tenant=tenant,
        differences=differences,
        told=told(form.get("colour")),
        shades=accent(form.get("colour")),
        most_kb=MOST_LOGO_KB,
        **await trail.about(tenant.id),
    )


def _differences(stored: Look, given: Look) -> list[stale.Difference]:
    return stale.differences(
        ((pgettext("of a thing", "Name"), stored.name, given.name), (gettext("Colour"), stored.colour, given.colour))
    )
