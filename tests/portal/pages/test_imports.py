"""Imports from a file: what would change is shown line by line, then done as a whole, or not at all."""

import io
import re
from dataclasses import replace
from uuid import UUID

import pytest
from quart_trio import QuartTrio
from werkzeug.datastructures import FileStorage

from portal import csv_files
from portal.pages import import_words, imports
from schema import groups, importing, phones, tenants, users
from schema.audit import Filters, list_entries
from schema.profiles import GroupFields, RecordingMode, TenantFields, User, UserFields
from schema.roles import Role
from schema.values import PartyRecord
from tests.people import COMMAND
from tests.portal.pages.conftest import Keep, People
from tests.portal.pages.desk import Answer, Desk, desk_of, signed_in, words
from tests.portal.visitor import add_account

PLACE = "/administration/{}/import"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def send(desk: Desk, content: str | bytes, kind: str = "users", name: str = "people.csv") -> Answer:
    data = content if isinstance(content, bytes) else content.encode()
    file = {"file": FileStorage(io.BytesIO(data), filename=name, content_type="text/csv")}
    page = PLACE.format(kind)
    token = await desk.visitor.token("/nowhere")
    response = await desk.visitor.client.post(page, form={"csrf_token": token}, files=file)
    return Answer(response.status_code, await response.get_data(as_text=True), response.headers.get("Location", ""))


async def preview(desk: Desk, content: str | bytes, kind: str = "users") -> tuple[str, str]:
    """Where it is shown, and what it says."""
    sent = await send(desk, content, kind)
    assert sent.status == 303, sent.words
    return sent.location, await desk.words(sent.location)


async def apply(desk: Desk, content: str | bytes, kind: str = "users") -> str:
    """What the page says when it is done."""
    place, _ = await preview(desk, content, kind)
    return await desk.words((await desk.press(f"{place}/apply")).location)


async def by_login(login: str) -> User | None:
    return await users.get_by_login(COMMAND.scope, login)


# Where a file is chosen


@pytest.mark.parametrize("kind", import_words.KINDS)
async def test_each_column_is_explained_and_stands_in_the_template(anna: Desk, kind: str) -> None:
    page = await anna.page(PLACE.format(kind))
    assert all(f"<code>{column}</code>" in page for column in importing.COLUMNS[kind])
    response = await anna.visitor.get(f"{PLACE.format(kind)}/template.csv")
    assert response.headers["Content-Disposition"] == f'attachment; filename="{kind}.csv"'
    table = csv_files.read(await response.get_data(as_text=False), importing.COLUMNS[kind])
    assert table.columns == importing.COLUMNS[kind] == tuple(import_words.COLUMNS[kind])


async def test_the_example_of_a_template_is_never_taken_for_somebody(app: QuartTrio) -> None:
    bea = await desk_of(app, "bea", Role.ADMINISTRATOR)
    own = {"groups": {"name": "Sales"}, "users": {"login": "carl"}, "phones": {"line": "401", "user": "carl"}}
    for kind, cells in own.items():
        response = await bea.visitor.get(f"{PLACE.format(kind)}/template.csv")
        content = await response.get_data(as_text=False)
        place, told = await preview(bea, content, kind)
        assert "This file holds nothing but the example of the template" in told
        assert f"{place}/apply" not in await bea.page(place)
        content += csv_files.write([[cells.get(column, "") for column in importing.COLUMNS[kind]]])
        place, told = await preview(bea, content, kind)
        assert "2 Example, left out (example)" in told
        assert "All lines 2 New 1 Changed 0 Unchanged 0 Errors 0" in told
        assert "All of it was written: 1 new" in await apply(bea, content, kind), kind
    assert [user.fields.login for user in (await users.list_users(COMMAND.scope)).items] == ["bea", "carl"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "There is no line below the header in this file"),
        (b"login,name\n", "There is no line below the header in this file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "This is no CSV file: it does not hold text."),
        (b"PK\x03\x04xlsx", "Open it, save it as CSV (UTF-8), and choose that file."),
        (b"name,email\nAnna,a@example.com\n", "The first line must name the columns, among them login."),
        (b"login,shoe size\nanna,39\n", "There is no column shoe size. Known columns are: login, name, email"),
        (b"login,name,name\nanna,a,b\n", "The column name stands twice in the header."),
        (b'login,name\nanna,"Anna\n', "The quotation marks from line 2 on do not fit together"),
    ],
    ids=["empty", "only-header", "picture", "spreadsheet", "no-key", "column", "twice", "quotes"],
)
async def test_a_wrong_file_gets_a_sentence(anna: Desk, content: bytes, told: str) -> None:
    answer = await send(anna, content)
    assert answer.status == 422
    assert told in answer.words
    assert "Columns" in answer.words


async def test_no_file_gets_a_sentence(anna: Desk) -> None:
    answer = await anna.fill(PLACE.format("users"))
    assert answer.status == 422
    assert "Please choose a file." in answer.words


async def test_a_file_has_bounds(anna: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MOST_LINES", 2)
    assert "This file has more than" in (await send(anna, "login\na\nb\nc\n")).words
    monkeypatch.setattr(csv_files, "MOST_BYTES", 10)
    assert "This file is larger than" in (await send(anna, "login\nanna\n")).words


async def test_what_is_much_too_long_is_not_read(anna: Desk) -> None:
    assert (await send(anna, b"login\n" + b"x" * (11 * 1024 * 1024))).status == 413


async def test_there_are_imports_of_three_kinds(anna: Desk) -> None:
    assert (await anna.get(PLACE.format("tenants"))).status == 404


# What would change


FILE = """login;name;group;may_sign_in;phones;recording_mode
ulla;Ulla Berg;Support;yes;300;
carl;"Müller, Carl";support;no;401;402;always
max;Max;Sales;no;;
sam;Sam Reed;;yes;;
zoe;Zoe;;perhaps;300;
"""
GOOD = """login,name,group,may_sign_in,phones,recording_mode
ulla,Ulla Berg,Support,yes,301,
carl,"Müller, Carl",support,no,401;402,on_demand
sam,Sam Reed,,yes,,
"""


async def test_each_line_says_what_it_would_do(anna: Desk) -> None:
    place, told = await preview(anna, FILE)
    assert "2 Changed ulla Name: Ulla Skinner → Ulla Berg" in told
    assert "3 Error This line has more cells than the header has columns" in told
    assert "4 Error max Group: There is no group Sales in Default." in told
    assert "5 Unchanged sam" in told
    assert "6 Error zoe Web access: perhaps is neither yes nor no." in told
    assert "3 lines cannot be taken as they are, so nothing can be applied." in told
    assert f"{place}/apply" not in await anna.page(place)
    errors = await anna.words(f"{place}?show=error")
    assert ("max" in errors, "Ulla Berg" in errors) == (True, False)
    assert (await anna.get(f"{place}?show=x")).status == 404
    assert "Nothing was changed: some lines cannot be taken as they are." in await anna.words(
        (await anna.press(f"{place}/apply")).location
    )
    ulla = await by_login("ulla")
    assert ulla is not None
    assert ulla.fields.name == "Ulla Skinner"


async def test_nothing_is_written_before_apply(anna: Desk, people: People) -> None:
    entries = await list_entries(COMMAND.scope, Filters(), limit=100)
    _, told = await preview(anna, GOOD)
    assert "Nothing has been written yet." in told
    assert "3 New carl Name: Müller, Carl Group: Support" in told
    assert await by_login("carl") is None
    assert await list_entries(COMMAND.scope, Filters(), limit=100) == entries


async def test_a_long_file_is_shown_page_by_page(anna: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LINES", 2)
    place, told = await preview(anna, "login\n" + "".join(f"agent{number}\n" for number in range(5)))
    assert ("agent0" in told, "agent2" in told, "1 to 2 of 5" in told) == (True, False, True)
    last = await anna.page(f"{place}?page=2")
    assert "5 to 5 of 5" in words(last)
    assert 'rel="next"' not in last


async def test_a_guessed_encoding_is_told(anna: Desk) -> None:
    _, told = await preview(anna, "login,name\ncarl,Carl Müller\n".encode("cp1252"))
    assert "It was read as Windows-1252" in told
    assert "Carl Müller" in told


async def test_a_file_that_changes_nothing_says_so(anna: Desk) -> None:
    place, told = await preview(anna, "login,name\nulla,Ulla Skinner\n")
    assert "Everything in this file is as it is here already." in told
    assert f"{place}/apply" not in await anna.page(place)


async def test_what_somebody_else_uploaded_is_not_there(app: QuartTrio, anna: Desk, people: People) -> None:
    other = await desk_of(app, "bea", Role.ADMINISTRATOR)
    place, _ = await preview(anna, GOOD)
    for there in (place, place.replace("users", "groups")):
        desk = other if there == place else anna
        answer = await desk.get(there)
        assert answer.location == there.rpartition("/")[0]
        assert "This file is not kept any more" in await desk.words(answer.location)
    assert (await other.press(f"{place}/apply")).location == PLACE.format("users")
    assert await by_login("carl") is None


# Doing it


async def test_all_lines_are_done_at_once(anna: Desk) -> None:
    told = await apply(anna, GOOD)
    assert "All of it was written: 1 new, 1 changed, 1 unchanged." in told
    carl, ulla = await by_login("carl"), await by_login("ulla")
    assert carl is not None
    assert ulla is not None
    assert carl.group is not None
    assert carl.fields == UserFields(
        login="carl",
        name="Müller, Carl",
        group_id=carl.group.id,
        phones=("401", "402"),
        recording_mode=RecordingMode.ON_DEMAND,
    )
    assert (ulla.fields.name, ulla.fields.phones, carl.group.name) == ("Ulla Berg", ("301",), "Support")


async def test_done_is_done_once(anna: Desk) -> None:
    place, _ = await preview(anna, GOOD)
    done = (await anna.press(f"{place}/apply")).location
    assert f"{done}/apply" not in await anna.page(done)
    for again in (place, done):
        assert (await anna.press(f"{again}/apply")).location == PLACE.format("users")


async def test_what_changed_meanwhile_is_shown_anew(anna: Desk, people: People) -> None:
    place, _ = await preview(anna, GOOD)
    fields = (await users.get_users(COMMAND.scope, [people.ulla.id]))[people.ulla.id].fields
    await users.update_user(COMMAND, people.ulla.id, replace(fields, name="Ulla Meyer"))
    answer = await anna.press(f"{place}/apply")
    told = await anna.words(answer.location)
    assert "Something changed since this was shown, so nothing was written." in told
    assert "Name: Ulla Meyer → Ulla Berg" in told
    assert await by_login("carl") is None
    await anna.press(f"{answer.location}/apply")
    assert await by_login("carl") is not None


async def test_users_get_the_earlier_calls_of_their_phones(anna: Desk, keep: Keep) -> None:
    await keep(callee=PartyRecord("401", "Somebody"))
    assert "1 earlier call that was nobody's has a user now." in await apply(anna, GOOD)


async def test_phones_and_groups_are_imported(anna: Desk, people: People) -> None:
    await apply(anna, "name,language,time_zone\nSupport,fr,\nSales,,Europe/Paris\n", "groups")
    found = (await groups.list_groups(COMMAND.scope)).items
    assert [group.fields for group in found] == [
        GroupFields(name="Sales", time_zone="Europe/Paris"),
        GroupFields(name="Support", language="fr"),
    ]
    await apply(anna, "line\tname\tuser\n300\tReception\tsam\n301\t\tULLA\n", "phones")
    lines = (await phones.list_phones(COMMAND.scope)).items
    assert [(phone.fields.line, phone.fields.name, phone.fields.user_id) for phone in lines] == [
        ("300", "Reception", people.sam.id),
        ("301", "", people.ulla.id),
    ]


async def test_an_exported_list_changes_nothing_when_it_is_imported(anna: Desk, people: People) -> None:
    await users.create_user(
        COMMAND, UserFields(login="=carl", name="+1 'Carl'\"; x", phones=("+49301", "@carl"), broadworks_user_id="-1")
    )
    response = await anna.visitor.get("/administration/users/export?status=all")
    _, told = await preview(anna, await response.get_data(as_text=False))
    assert "Everything in this file is as it is here already." in told
    assert re.search(r"All lines 4 New 0 Changed 0 Unchanged 4 Errors 0", told)


async def test_a_list_with_users_above_who_exports_it_can_be_imported_again(anna: Desk, people: People) -> None:
    await add_account("otto", Role.OPERATOR)
    response = await anna.visitor.get("/administration/users/export?status=all")
    content = await response.get_data(as_text=False)
    _, told = await preview(anna, content)
    assert "All lines 4 New 0 Changed 0 Unchanged 4 Errors 0" in told
    _, told = await preview(anna, content.replace(b"Ulla Skinner", b"Ulla Berg"))
    assert "Changed 1 Unchanged 3 Errors 0" in told
    _, told = await preview(anna, "login,name\notto,Otto the Great\n")
    assert "Error otto This user has rights that you do not have." in told


async def test_an_operator_imports_into_the_tenant_that_he_chooses(app: QuartTrio, people: People) -> None:
    flexus = (await add_account("eve", tenant="Flexus")).tenant_id
    otto = await desk_of(app, "otto", Role.OPERATOR)
    content = io.BytesIO(b"login,name\nulla,Ulla of Flexus\n")
    file = {"file": FileStorage(content, filename="people.csv")}
    sent = await otto.upload(PLACE.format("users"), file, tenant=str(flexus))
    assert "New ulla" in await otto.words(sent.location)
    await otto.press(f"{sent.location}/apply")
    found = (await users.list_users(replace(COMMAND.scope, tenant_id=flexus, reach="tenant"))).items
    assert [user.fields.name for user in found] == ["", "Ulla of Flexus"]
    ulla = (await users.get_users(COMMAND.scope, [people.ulla.id]))[UUID(str(people.ulla.id))]
    assert ulla.fields.name == "Ulla Skinner"


async def test_what_was_read_for_one_tenant_is_not_written_into_another(app: QuartTrio) -> None:
    """An operator who looks at another tenant in another window meanwhile."""
    otto = await desk_of(app, "otto", Role.OPERATOR)
    acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
    globex = await tenants.create_tenant(COMMAND, TenantFields(name="Globex"))
    await otto.press("/tenant", tenant=str(acme.id))
    place, _ = await preview(otto, "login\nastray\n")
    await otto.press("/tenant", tenant=str(globex.id))
    assert (await otto.get(place)).status == 409
    refused = await otto.press(f"{place}/apply")
    assert (refused.status, await by_login("astray")) == (409, None)
    assert "another tenant than the one that you look at now" in refused.words
    await otto.press("/tenant", tenant="")
    assert (await otto.press(f"{place}/apply")).status == 303
    made = await by_login("astray")
    assert made is not None
    assert made.tenant.id == acme.id
