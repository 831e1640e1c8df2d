"""The language and the time zone that somebody chooses for himself: `/language`.

Not here: what holds for groups, tenants and the platform (`languages.py`), which languages there are (`language.py`).
"""

from http import HTTPStatus
from typing import Any

from quart import flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import gate, language
from portal.errors import not_found
from portal.forms import filled, submitted
from portal.pages import inherited
from portal.pages.own import blueprint
from schema import roster, users
from schema.profiles import User
from schema.refusals import Refusal

__all__ = ["blueprint", "speak"]


@blueprint.route("/language", methods=["GET", "POST"], endpoint="language")
async def speak() -> Any:
    """The page, and saving it: what one has chosen holds at once."""
    user = await roster.get_user(gate.scope(), gate.account().id)
    if user is None:
        raise not_found()
    form = filled(language=user.fields.language, time_zone=user.fields.time_zone)
    if request.method == "POST":
        form = await submitted()
        spoken = form.choice("language", ["", *language.LANGUAGES])
        zone = form.choice("time_zone", ["", *language.ZONES])
        if form.ok:
            try:
                user = await users.set_language(gate.by(), user.id, spoken, zone)
            except Refusal as refusal:
                form.refuse(refusal)
        if form.ok:
            with language.speaking(user.fields.language or user.inherited_language.value or language.of_browser()):
                await flash(gettext("Saved."))
            return redirect(url_for("own.language"), HTTPStatus.SEE_OTHER)
    page = await render_template(
        "own/language.html",
        f=form,
        languages=inherited.language_options(),
        zones=inherited.zone_options(),
        inherited_language=_language_without(user),
        inherited_zone=_zone_without(user),
    )
    return page, HTTPStatus.OK if form.ok else HTTPStatus.UNPROCESSABLE_ENTITY


def _language_without(user: User) -> str:
    """What holds where one has chosen no language."""
    if user.inherited_language.source == "default":
        return gettext("From your browser: %(value)s", value=language.LANGUAGES[language.of_browser()])
    return inherited.told_language(user.inherited_language)


def _zone_without(user: User) -> str:
    if user.inherited_time_zone.source == "default":
        return gettext("From your browser: %(value)s", value=language.zone_name(language.zone_of_browser()))
    return inherited.told_zone(user.inherited_time_zone)
