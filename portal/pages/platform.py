"""What holds for all tenants: what the sign-in page shows, what passwords must be like, language and time zone.

Not here: mail (`mail.py`), tenants.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from quart import Blueprint, flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import gate, language
from portal.forms import Form, filled, submitted
from portal.pages import owners, stale, trail
from portal.pages.people_words import language_name
from schema import platform
from schema.profiles import PasswordPolicy, PlatformFields
from schema.refusals import Refusal

MOST_CONTACT: Final = 500
MOST_NAME: Final = 100
MOST_ADDRESS: Final = 500
# The sign-in page stays a page.
MOST_SISTERS: Final = 20
CHARACTERS: Final = (platform.LEAST_CHARACTERS, platform.MOST_CHARACTERS)
# Rows that a form has ready for what is to be added.
EMPTY_ROWS: Final = 1

blueprint: Final = Blueprint("platform", __name__)


@blueprint.route("/administration/platform", methods=["GET", "POST"])
async def edit() -> Any:
    """The form of the platform."""
    stored = await platform.get_platform()
    if request.method == "GET":
        return await _form(_filled(stored))
    form = await submitted()
    fields = _read(form)
    if not stale.check(form, stored):
        return await _form(form, differences=_differences(stored, fields)), stale.CONFLICT
    if form.ok:
        try:
            await platform.set_platform(gate.by(), fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            return redirect(url_for("platform.edit"), 303)
    return await _form(form), 422


def _filled(fields: PlatformFields) -> Form:
    form = filled(
        support_contact=fields.support_contact,
        sister_name=[name for name, _ in fields.sister_platforms],
        sister_address=[address for _, address in fields.sister_platforms],
        language=fields.language,
        time_zone=fields.time_zone,
        characters=fields.passwords.characters,
        not_common=fields.passwords.not_common,
        not_login=fields.passwords.not_login,
    )
    form.values[stale.FIELD] = [stale.version(fields)]
    return form


def _read(form: Form) -> PlatformFields:
    least, most = CHARACTERS
    characters = form.number("characters", least=least, most=most)
    if characters is None:
        form.wrong(gettext("Please fill in this field."), "characters")
    return PlatformFields(
        support_contact=form.text("support_contact", most=MOST_CONTACT, lines=True),
        sister_platforms=_sisters(form),
        language=form.choice("language", ["", *language.LANGUAGES]),
        time_zone=form.choice("time_zone", ["", *language.ZONES]),
        passwords=PasswordPolicy(
            characters=characters or PasswordPolicy().characters,
            not_common=form.checked("not_common"),
            not_login=form.checked("not_login"),
        ),
    )


def _sisters(form: Form) -> tuple[tuple[str, str], ...]:
    """Names and addresses, row by row; rows that are empty are none."""
    field = "sister_platforms"
    found = []
    for name, address in rows(form):
        if not name and not address:
            continue
        if not name or not address:
            form.wrong(gettext("Each platform needs a name and an address."), field)
        elif len(name) > MOST_NAME or len(address) > MOST_ADDRESS or not name.isprintable():
            form.wrong(gettext("A name or an address is too long, or cannot be shown."), field)
        elif not _is_https(address):
            form.wrong(gettext("%(address)s is no address that begins with https://.", address=address), field)
        found.append((name, address))
    if len(found) > MOST_SISTERS:
        form.wrong(gettext("At most %(most)s platforms fit on the sign-in page.", most=MOST_SISTERS), field)
    return tuple(found)


def rows(form: Form) -> list[tuple[str, str]]:
    """The rows of the form as they were filled in, without white space around."""
    names, addresses = form.values.get("sister_name", []), form.values.get("sister_address", [])
    return [(name.strip(), address.strip()) for name, address in zip(names, addresses, strict=False)]


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and " " not in address
    return plain and parts.scheme == "https" and bool(parts.hostname) and parts.username is None


async def _form(form: Form, *, differences: Sequence[stale.Difference] = ()) -> str:
    return await render_template(
        "platform/edit.html",
        f=form,
        differences=differences,
        rows=[row for row in rows(form) if any(row)] + [("", "")] * EMPTY_ROWS,
        languages=[("", gettext("That of the browser")), *language.LANGUAGES.items()],
        zones=[("", gettext("That of the browser")), *language.zones()],
        characters=CHARACTERS,
        **await trail.about_platform(owners.everything()),
    )


def _differences(stored: PlatformFields, given: PlatformFields) -> list[stale.Difference]:
    def sisters(fields: PlatformFields) -> str:
        return ", ".join(f"{name} ({address})" for name, address in fields.sister_platforms)

    def told(ticked: bool) -> str:
        return gettext("Yes") if ticked else gettext("No")

    old, new = stored.passwords, given.passwords
    return stale.differences(
        (
            (gettext("Support contact"), stored.support_contact, given.support_contact),
            (gettext("Sister platforms"), sisters(stored), sisters(given)),
            (gettext("Language"), language_name(stored.language), language_name(given.language)),
            (gettext("Time zone"), stored.time_zone, given.time_zone),
            (gettext("Fewest characters"), str(old.characters), str(new.characters)),
            (gettext("Not one of the most common passwords"), told(old.not_common), told(new.not_common)),
            (gettext("Not with the login in it"), told(old.not_login), told(new.not_login)),
        )
    )
