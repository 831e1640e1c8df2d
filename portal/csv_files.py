"""CSV files as people's spreadsheets write and read them: a table in, a table out, and no formula that runs.

Read: UTF-8 with or without its mark, UTF-16 with one, else Windows-1252; comma, semicolon or tab; quoted cells of
several lines. Written: what a spreadsheet would take for a formula gets an apostrophe in front, which reading takes
away again, so that a table that was written is read as it was.

Not here: what the columns mean (`schema/importing.py`), pages (`pages/imports.py`).
"""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_BYTES: Final = 10 * 1000 * 1000
# So that an import holds the embedded database for seconds.
MOST_LINES: Final = 10_000
DELIMITERS: Final = (",", ";", "\t")
# What makes a spreadsheet compute a cell instead of showing it (OWASP, CSV injection).
_RUNS: Final = frozenset("=+-@\t\r\n")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
# Office documents are ZIP archives, those of old are OLE documents.
_SPREADSHEETS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class Why(StrEnum):
    """What keeps a file from being read."""

    EMPTY = "empty"
    TOO_LONG = "too long"
    TOO_MANY_LINES = "too many lines"
    SPREADSHEET = "spreadsheet"
    NOT_TEXT = "not text"
    BROKEN = "broken"
    NO_KEY = "no key"
    UNKNOWN_COLUMN = "unknown column"
    COLUMN_TWICE = "column twice"


class Unreadable(Exception):
    """A file that is no such table. `line` is where, `column` which, where there is one."""

    def __init__(self, why: Why, *, line: int = 0, column: str = "") -> None:
        super().__init__(f"{why} (line {line}, column {column!r})")
        self.why = why
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table. `number` is where it begins in the file, from 1; `too_many`: it has more cells than columns.

    A cell that the line does not have is not in `cells`.
    """

    number: int
    cells: dict[str, str]
    too_many: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A file's lines. `guessed`: it was not UTF, and read as Windows-1252."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    guessed: bool


def read(content: bytes, known: Sequence[str]) -> Table:
    """The table in a file. `known`: the names of its columns, of which the first must be there; others are refused.

    Names count in any letter case. Errors: Unreadable.
    """
    if len(content) > MOST_BYTES:
        raise Unreadable(Why.TOO_LONG)
    text, guessed = _decoded(content)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, known), strict=True)
    columns: tuple[str, ...] = ()
    lines: list[Line] = []
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if columns:
                    lines.append(_line(begins, columns, cells))
                else:
                    columns = _header(cells, known, begins)
            if len(lines) > MOST_LINES:
                raise Unreadable(Why.TOO_MANY_LINES)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(Why.BROKEN, line=begins) from error
    if not lines:
        raise Unreadable(Why.EMPTY)
    return Table(columns, tuple(lines), guessed)


def write(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of a file, without a mark (`MARK`)."""
    text = io.StringIO()
    csv.writer(text).writerows([[_safe(cell) for cell in row] for row in rows])
    return text.getvalue().encode()


# What makes spreadsheets read a file as UTF-8; it stands at its very beginning.
MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()


def _decoded(content: bytes) -> tuple[str, bool]:
    """The text, and whether its encoding was guessed."""
    if content.startswith(_SPREADSHEETS):
        raise Unreadable(Why.SPREADSHEET)
    guessed = False
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        guessed = True
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise Unreadable(Why.NOT_TEXT) from error
    if "\0" in text:
        raise Unreadable(Why.NOT_TEXT)
    if not text.strip():
        raise Unreadable(Why.EMPTY)
    return text, guessed


def _delimiter(text: str, known: Collection[str]) -> str:
    """The one that finds the most known columns in the first line."""
    first = text.lstrip().partition("\n")[0]
    return max(DELIMITERS, key=lambda one: sum(_name(cell) in known for cell in first.split(one)))


def _name(cell: str) -> str:
    return cell.strip().strip('"').strip().casefold()


def _header(cells: Sequence[str], known: Sequence[str], line: int) -> tuple[str, ...]:
    names = [_name(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if known[0] not in names:
        raise Unreadable(Why.NO_KEY, line=line, column=known[0])
    for place, name in enumerate(names):
        if name not in known:
            raise Unreadable(Why.UNKNOWN_COLUMN, line=line, column=cells[place].strip())
        if name in names[:place]:
            raise Unreadable(Why.COLUMN_TWICE, line=line, column=name)
    return tuple(names)


def _line(number: int, columns: Sequence[str], cells: Sequence[str]) -> Line:
    given = [_plain(cell.strip()) for cell in cells]
    return Line(number, dict(zip(columns, given, strict=False)), any(given[len(columns) :]))


def _safe(cell: str) -> str:
    return f"'{cell}" if _would_run(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _would_run(cell) else cell


def _would_run(cell: str) -> bool:
    """Whether it is a formula, behind any number of apostrophes."""
    return cell.lstrip("'")[:1] in _RUNS and cell.strip("'") != ""
