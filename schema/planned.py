"""What the lines of a table would do: the values of a plan, and what is the same for users, phones and groups.

Not here: how a line is understood (`planned_users.py`, `planned_phones.py`, `planned_groups.py`), applying it
(`importing.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol
from uuid import UUID

from schema.records import clean
from schema.refusals import Refusal

Kind = Literal["users", "phones", "groups"]
Does = Literal["create", "update", "unchanged", "error"]

# By kind, the names of columns; the first says what a line is about.
COLUMNS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "users": (
        "login",
        "name",
        "email",
        "group",
        "role",
        "authentication",
        "broadworks_user_id",
        "broadworks_group_id",
        "broadworks_sp_id",
        "may_sign_in",
        "must_change_password",
        "confidential",
        "recording_mode",
        "language",
        "time_zone",
        "phones",
        "manages",
    ),
    "phones": ("line", "name", "user"),
    "groups": ("name", "language", "time_zone"),
}
# Between the phones, and between those whom somebody manages, in one cell.
SEPARATOR: Final = ";"
_YES: Final = frozenset({"yes", "true", "1"})
_NO: Final = frozenset({"no", "false", "0"})


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """What a line does. `number`: its place, from 1; `name`: what its first column says; `changes`: by column, old and
    new value. `owner_id`: the user who has a phone by this line that he had not before.
    """

    number: int
    action: Does
    name: str
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    refusal: Refusal | None = None
    owner_id: UUID | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all lines do, in their order. Two plans are equal when they would do the same to the same."""

    lines: tuple[PlannedLine, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether no line is an error."""
        return all(line.action != "error" for line in self.lines)


class Planner(Protocol):
    """What understands the lines of one kind: made with all that it has to know, then asked line by line, in order."""

    def line(self, number: int, cells: Mapping[str, str]) -> PlannedLine:
        """Errors: Refusal."""

    async def write(self) -> None:
        """Inside `changing`: does what all lines so far do. Errors: Refusal."""


def name_of(kind: Kind, cells: Mapping[str, str]) -> str:
    """What a line is about. Errors: Refusal (column_unknown, column_needed)."""
    columns = COLUMNS[kind]
    for column in cells:
        if column not in columns:
            raise Refusal("column_unknown", column=column)
    if columns[0] not in cells:
        raise Refusal("column_needed", column=columns[0])
    return cells[columns[0]].strip()


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By column, the values that differ."""
    return {column: (old.get(column, ""), value) for column, value in new.items() if old.get(column, "") != value}


def action(there: bool, changes: Mapping[str, tuple[str, str]]) -> Does:
    """What is done to something that is `there` already, or not."""
    return "create" if not there else "update" if changes else "unchanged"


def yes_or_no(text: str, column: str, so_far: bool) -> bool:
    """An empty cell leaves it as it is. Errors: Refusal (value_unclear)."""
    word = text.strip().casefold()
    if word and word not in _YES | _NO:
        raise Refusal("value_unclear", column, value=text)
    return word in _YES if word else so_far


def told(value: bool) -> str:
    return "yes" if value else "no"


def several(text: str) -> tuple[str, ...]:
    """What stands in a cell that takes several values."""
    return tuple(dict.fromkeys(filter(None, (one.strip() for one in text.split(SEPARATOR)))))


def cleaned(given: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The lines without what a database refuses in a text."""
    return [{column: str(clean(cell)) for column, cell in cells.items()} for cells in given]
