"""Tables as spreadsheets write them are read; what is written runs nowhere and is read as it was."""

import contextlib
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import csv_files
from portal.csv_files import Unreadable, Why

KNOWN = ("login", "name", "phones")


def cells(content: bytes) -> list[dict[str, str]]:
    return [line.cells for line in csv_files.read(content, KNOWN).lines]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(encoding: str, delimiter: str, end: str) -> None:
    text = end.join([delimiter.join(KNOWN), delimiter.join(["jürgen", '"Jürgen, ""J"" Müller; Dr."', "300"]), ""])
    table = csv_files.read(text.encode(encoding), KNOWN)
    assert [line.cells for line in table.lines] == [
        {"login": "jürgen", "name": 'Jürgen, "J" Müller; Dr.', "phones": "300"}
    ]
    assert not table.guessed


def test_what_is_no_utf_is_read_as_windows_writes_it_and_that_is_told() -> None:
    table = csv_files.read("login,name\njo,Müller €\n".encode("cp1252"), KNOWN)
    assert (table.lines[0].cells["name"], table.guessed) == ("Müller €", True)


def test_a_line_is_known_by_where_it_begins() -> None:
    table = csv_files.read(b'\nlogin,name\n\na,"one\ntwo"\n , \nb,three\n', KNOWN)
    assert [(line.number, line.cells["name"]) for line in table.lines] == [(4, "one\ntwo"), (7, "three")]


def test_columns_come_in_any_order_and_letter_case() -> None:
    assert cells(b' Name ,"LOGIN"\nAnna,anna\n') == [{"name": "Anna", "login": "anna"}]


def test_what_a_short_line_does_not_have_is_not_there() -> None:
    assert cells(b"login,name,phones\nanna,\n") == [{"login": "anna", "name": ""}]


def test_cells_without_a_column_are_told_where_they_hold_something() -> None:
    table = csv_files.read(b"login,name,,\nanna,Anna,,\njo,Jo,Berg,\n", KNOWN)
    assert [line.too_many for line in table.lines] == [False, True]


@pytest.mark.parametrize(
    ("content", "why", "line", "column"),
    [
        (b"", Why.EMPTY, 0, ""),
        (b"\xef\xbb\xbf \r\n", Why.EMPTY, 0, ""),
        (b"login,name\n,\n", Why.EMPTY, 0, ""),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Why.NOT_TEXT, 0, ""),
        (b"\xff\xd8\xff\xe1\x81\x8d", Why.NOT_TEXT, 0, ""),
        (b"PK\x03\x04\x14\x00", Why.SPREADSHEET, 0, ""),
        (b"\xff\xfel\0o", Why.NOT_TEXT, 0, ""),
        (b"name,phones\nAnna,300\n", Why.NO_KEY, 1, "login"),
        (b"\nlogin,Shoe size\n", Why.UNKNOWN_COLUMN, 2, "Shoe size"),
        (b"login,name,Name\n", Why.COLUMN_TWICE, 1, "name"),
        (b'login,name\nanna,Anna\njo,"Jo\nmax,Max\n', Why.BROKEN, 3, ""),
        (b'login,name\njo,"Jo" Berg\n', Why.BROKEN, 2, ""),
    ],
)
def test_what_is_no_table_is_told(content: bytes, why: Why, line: int, column: str) -> None:
    with pytest.raises(Unreadable) as caught:
        csv_files.read(content, KNOWN)
    assert (caught.value.why, caught.value.line, caught.value.column) == (why, line, column)


def test_a_file_has_bounds() -> None:
    line = b"somebody,Some Body\n"
    most = b"login,name\n" + line * csv_files.MOST_LINES
    assert len(csv_files.read(most, KNOWN).lines) == csv_files.MOST_LINES
    with pytest.raises(Unreadable, match=Why.TOO_MANY_LINES):
        csv_files.read(most + line, KNOWN)
    with pytest.raises(Unreadable, match=Why.TOO_LONG):
        csv_files.read(b"login\n" + b"x" * csv_files.MOST_BYTES, KNOWN)


@pytest.mark.parametrize("cell", ["=1+1", "+49 30", "-1", "@SUM(A1)", "'=1", "''+1"])
def test_no_cell_that_is_written_runs(cell: str) -> None:
    written = csv_files.write([KNOWN, ["a", cell, ""]])
    [_, row] = list(csv.reader(io.StringIO(written.decode())))
    assert row[1].startswith("'")
    assert cells(written) == [{"login": "a", "name": cell, "phones": ""}]


WORDS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from("'=+-@,;\" \n"))


@given(st.tuples(WORDS, WORDS))
def test_a_table_is_read_as_it_was_written(values: tuple[str, str]) -> None:
    name, phones = (value.strip() for value in values)
    assert cells(csv_files.MARK + csv_files.write([KNOWN, ["a", name, phones]])) == [
        {"login": "a", "name": name, "phones": phones}
    ]


@given(st.binary(max_size=200))
def test_garbage_is_a_table_or_unreadable(content: bytes) -> None:
    with contextlib.suppress(Unreadable):
        table = csv_files.read(b"login,name\n" + content, KNOWN)
        assert all(set(line.cells) <= {"login", "name"} for line in table.lines)
