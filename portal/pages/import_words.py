"""What people read about an import: what each column means, and why a file or a line of it cannot be taken.

The names of columns are the same in every language: files are made once, and by programs.

Not here: the pages (`imports.py`), reading files (`portal/csv_files.py`), sentences of refusals (`portal/refused.py`).
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from quart_babel import gettext, pgettext

from portal.csv_files import MOST_BYTES, MOST_LINES, Unreadable, Why
from portal.language import size
from portal.pages.people_words import Term, Words
from schema.refusals import Refusal

Kind = Literal["users", "phones", "groups"]

KINDS: Final[Mapping[Kind, Words]] = {
    "users": lambda: gettext("Users"),
    "phones": lambda: gettext("Phones"),
    "groups": lambda: gettext("Groups"),
}


def _language() -> Term:
    return Term(lambda: gettext("Language"), lambda: gettext("en, es, fr, pt_BR or ru. Empty: inherited."))


def _time_zone() -> Term:
    return Term(
        lambda: gettext("Time zone"),
        lambda: gettext("As in the IANA database, such as Europe/Paris. Empty: inherited."),
    )


# By kind and column, in the order of the template.
COLUMNS: Final[Mapping[Kind, Mapping[str, Term]]] = {
    "users": {
        "login": Term(
            lambda: gettext("Login"),
            lambda: gettext("Says which user the line is about. A login that is new makes one."),
        ),
        "name": Term(lambda: gettext("Name"), lambda: gettext("First and last name.")),
        "email": Term(lambda: gettext("Email"), lambda: gettext("Where invitations go.")),
        "group": Term(lambda: gettext("Group"), lambda: gettext("By name; it must be there. Empty: none.")),
        "role": Term(
            lambda: gettext("Role"), lambda: gettext("user, supervisor, administrator, or the name of a copied role.")
        ),
        "authentication": Term(
            lambda: gettext("Authentication"), lambda: gettext("password, or oidc for single sign-on.")
        ),
        "broadworks_user_id": Term(
            lambda: gettext("BroadWorks user id"), lambda: gettext("How the phone system names the user.")
        ),
        "broadworks_group_id": Term(
            lambda: gettext("BroadWorks group id"), lambda: gettext("How the phone system names the group.")
        ),
        "broadworks_sp_id": Term(
            lambda: gettext("BroadWorks service-provider id"),
            lambda: gettext("How the phone system names the service provider."),
        ),
        "may_sign_in": Term(
            lambda: gettext("Web access"),
            lambda: gettext(
                "yes or no. Going from yes to no ends the user's sessions at once and revokes the API tokens."
            ),
        ),
        "must_change_password": Term(lambda: gettext("Must change the password"), lambda: gettext("yes or no.")),
        "confidential": Term(
            lambda: gettext("Confidential"), lambda: gettext("yes or no. Hides the user and the user's calls.")
        ),
        "recording_mode": Term(
            lambda: gettext("Recording mode"),
            lambda: gettext("always, always_pause, on_demand, on_demand_start or never. Empty: not set."),
        ),
        "language": _language(),
        "time_zone": _time_zone(),
        "phones": Term(
            lambda: gettext("Phones"),
            lambda: gettext(
                "Numbers or addresses, with semicolons between them. A phone that is not named is taken away."
            ),
        ),
        "manages": Term(
            lambda: gettext("Manages"),
            lambda: gettext("Names of groups and logins of users, with semicolons between them."),
        ),
    },
    "phones": {
        "line": Term(
            lambda: gettext("Line"),
            lambda: gettext("Number or address as the phone system writes it. Says which phone the line is about."),
        ),
        "name": Term(lambda: gettext("Label"), lambda: gettext("For instance where the phone stands.")),
        "user": Term(lambda: gettext("User"), lambda: gettext("By login; must be there.")),
    },
    "groups": {
        "name": Term(
            lambda: pgettext("of a thing", "Name"),
            lambda: gettext("Says which group the line is about. A name that is new makes one."),
        ),
        "language": _language(),
        "time_zone": _time_zone(),
    },
}

# Where a field and its column are not called alike.
_COLUMN_OF: Final = {"group_id": "group", "user_id": "user", "manages_groups": "manages", "manages_users": "manages"}

# What the template's line is about: never taken for somebody, so that it may stay in the file.
EXAMPLE: Final = "(example)"
# A line of the template below its header; what it does not name is empty.
EXAMPLES: Final[Mapping[Kind, Mapping[str, str]]] = {
    "users": {
        "login": EXAMPLE,
        "name": "Example",
        "email": "example@example.com",
        "role": "user",
        "authentication": "password",
        "may_sign_in": "yes",
        "must_change_password": "yes",
        "confidential": "no",
        "recording_mode": "always",
        "language": "fr",
        "time_zone": "Europe/Paris",
        "phones": "300;12333001100",
    },
    "phones": {"line": EXAMPLE, "name": "Reception", "user": EXAMPLE},
    "groups": {"name": EXAMPLE, "language": "fr", "time_zone": "Europe/Paris"},
}

_UNREADABLE: Final[Mapping[Why, Callable[[Unreadable, str], str]]] = {
    Why.EMPTY: lambda told, known: gettext(
        "There is no line below the header in this file, so there is nothing to import."
    ),
    Why.TOO_LONG: lambda told, known: gettext(
        "This file is larger than %(most)s. Divide it, and import one part after the other.", most=size(MOST_BYTES)
    ),
    Why.TOO_MANY_LINES: lambda told, known: gettext(
        "This file has more than %(most)s lines. Divide it, and import one part after the other.", most=MOST_LINES
    ),
    Why.SPREADSHEET: lambda told, known: gettext(
        "This is a spreadsheet's own file. Open it, save it as CSV (UTF-8), and choose that file."
    ),
    Why.NOT_TEXT: lambda told, known: gettext("This is no CSV file: it does not hold text."),
    Why.BROKEN: lambda told, known: gettext(
        "The quotation marks from line %(line)s on do not fit together: one that opens a cell is never closed, or "
        "something stands behind one that closes it.",
        line=told.line,
    ),
    Why.NO_KEY: lambda told, known: gettext(
        "The first line must name the columns, among them %(column)s. Known columns are: %(known)s.",
        column=told.column,
        known=known,
    ),
    Why.UNKNOWN_COLUMN: lambda told, known: gettext(
        "There is no column %(column)s. Known columns are: %(known)s.", column=told.column, known=known
    ),
    Why.COLUMN_TWICE: lambda told, known: gettext(
        "The column %(column)s stands twice in the header.", column=told.column
    ),
}


def unreadable(told: Unreadable, kind: Kind) -> str:
    """Why a file is no table of this kind, and what to do."""
    return _UNREADABLE[told.why](told, ", ".join(COLUMNS[kind]))


def too_many_cells() -> str:
    """Why a line cannot be taken that has more cells than there are columns."""
    return gettext(
        "This line has more cells than the header has columns: put cells with separators into quotation marks."
    )


def column_name(kind: Kind, column: str) -> str:
    """A column in words."""
    return COLUMNS[kind][column].name()


def field_name(kind: Kind, refusal: Refusal) -> str:
    """The field that a refusal is about, in words; empty where it is about none, or about what names the line."""
    column = _COLUMN_OF.get(refusal.field, refusal.field)
    return column_name(kind, column) if column in list(COLUMNS[kind])[1:] else ""
