"""What somebody filled into a form: the texts as they came, and what is wrong with them, field by field.

    form = await submitted()
    name = form.text("name", most=200, required=True)
    if not form.ok:
        return await render_template("groups/edit.html", form=form), 422

The macros of `forms.html` show a form's values and sentences again, and put the cursor into the first wrong field.

Not here: what a value means, and whether it fits to what is stored: pages say so by `wrong`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from quart import request
from quart_babel import gettext
from werkzeug.datastructures import FileStorage

from portal.refused import of_data
from schema.refusals import Refusal

ON: Final = "on"


@dataclass(slots=True)
class Form:
    """`values`: each field's texts. `errors`: a sentence for each field that is wrong, under "" what no field is to
    blame for."""

    values: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    files: Mapping[str, FileStorage] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.errors

    @property
    def first_wrong(self) -> str:
        """The field that the cursor goes to."""
        return next((name for name in self.errors if name), "")

    def get(self, name: str) -> str:
        """A field's text as it came; empty where there is none."""
        return next(iter(self.values.get(name, ())), "")

    def wrong(self, sentence: str, name: str = "") -> None:
        """Says what is wrong with a field, or with all of the form. The first sentence about a field stays."""
        self.errors.setdefault(name, sentence)

    def refuse(self, refusal: Refusal) -> None:
        """Says why the database refused what was filled in."""
        self.wrong(of_data(refusal), refusal.field)

    def text(self, name: str, *, most: int, required: bool = False, lines: bool = False) -> str:
        """A text without white space around it, on one line unless `lines`. `most`: characters."""
        given = self.get(name).strip()
        if lines:
            given = given.replace("\r\n", "\n")
        odd = [character for character in given if not character.isprintable() and not (lines and character in "\n\t")]
        if required and not given:
            self.wrong(gettext("Please fill in this field."), name)
        elif len(given) > most:
            self.wrong(gettext("This is too long: at most %(most)s characters fit.", most=most), name)
        elif odd:
            self.wrong(gettext("This has characters in it that cannot be shown."), name)
        return given

    def secret(self, name: str, *, most: int) -> str:
        """A password or key, exactly as it came. It is never shown again."""
        given = self.get(name)
        self.values.pop(name, None)
        if len(given) > most:
            self.wrong(gettext("This is too long: at most %(most)s characters fit.", most=most), name)
        return given

    def checked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.values

    def choice(self, name: str, among: Collection[str]) -> str:
        """One of the values that a select offers; the page offers no others."""
        given = self.get(name)
        if given not in among:
            self.wrong(gettext("Please choose one of the list."), name)
        return given

    def choices(self, name: str, among: Collection[str]) -> list[str]:
        """Some of the values that boxes or a multiple select offer, each once."""
        given = list(dict.fromkeys(self.values.get(name, ())))
        if any(value not in among for value in given):
            self.wrong(gettext("Please choose from the list."), name)
        return given

    def number(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number; None where the field is empty."""
        given = self.get(name).strip()
        if not given:
            return None
        digits = given.isascii() and given.lstrip("-").isdigit() and len(given) <= len(str(most)) + 1
        if digits and least <= int(given) <= most:
            return int(given)
        told = gettext("This must be a whole number from %(least)s to %(most)s.", least=least, most=most)
        self.wrong(told, name)
        return None


def filled(**values: str | bool | int | Collection[str] | None) -> Form:
    """A form that shows what is stored. A ticked box is True; None and False leave a field out."""
    form = Form()
    for name, value in values.items():
        if value is None or value is False:
            continue
        if value is True:
            form.values[name] = [ON]
        elif isinstance(value, str | int):
            form.values[name] = [str(value)]
        else:
            form.values[name] = [*value]
    return form


async def submitted() -> Form:
    """The form of the request at hand."""
    texts, files = await request.form, await request.files
    return Form({name: list(values) for name, values in texts.lists()}, files=files)
