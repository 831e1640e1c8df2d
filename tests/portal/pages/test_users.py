"""Users: the list and who finds whom on it, what is proposed while one types, and the list as a file."""

import csv
import io
from urllib.parse import quote

import pytest
from quart_trio import QuartTrio

from portal.pages import lists
from portal.pages import users as pages
from schema import groups, roles_kept, users
from schema.audit import Filters, list_entries
from schema.entries import Action, Resource
from schema.profiles import RoleFields, UserFields
from schema.roles import READY_MADE, Role
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in, words
from tests.portal.visitor import add_account

INDEX = "/administration/users"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def table(desk: Desk, address: str = INDEX) -> str:
    """The words of the table alone, as a script gets it."""
    response = await desk.visitor.get(address, headers={"X-Requested-With": "fetch"})
    assert response.status_code == 200
    return words(f"<main>{await response.get_data(as_text=True)}</main>")


async def test_a_row_says_who_where_and_how(anna: Desk) -> None:
    told = await table(anna)
    assert "Ulla Skinner (ulla) Support User 300 Yes Always (not set) Never" in told
    assert "Sam Reed (sam) Supervisor Yes" in told
    assert "Tenant" not in told


async def test_what_a_row_names_is_linked_for_who_may_open_it(app: QuartTrio, anna: Desk, people: People) -> None:
    user = await users.get_user(COMMAND.scope, people.ulla.id)
    assert user is not None
    assert user.group is not None
    links = (f"/administration/groups/{user.group.id}", f"/administration/phones/{user.phones[0].id}")
    for address in (INDEX, links[0]):
        page = await anna.page(address)
        assert [link for link in links if f'href="{link}"' not in page] == ([] if address == INDEX else [links[0]])
    page = await (await signed_in(app, "sam")).page(INDEX)
    assert "Support" in page
    assert [link for link in links if link in page] == []


async def test_a_row_says_what_is_special(anna: Desk, people: People) -> None:
    mode = {"recording_mode": "on_demand_start", "phones": ("401", "402"), "confidential": True}
    made = await users.create_user(COMMAND, UserFields(login="carl", **mode))
    await users.disable_user(COMMAND, made.id)
    told = await table(anna, f"{INDEX}?status=disabled")
    assert "carl Disabled Confidential User 401 +1 No On Demand with User Initiated Start Never" in told
    assert "Ulla" not in told
    assert "carl" not in await table(anna)
    assert "carl" in await table(anna, f"{INDEX}?status=all")


@pytest.mark.parametrize("text", ["müLLER", "carl", "CM@EXAMPLE", "0401", "Carl M"])
async def test_login_name_mail_and_phone_are_searched(anna: Desk, people: People, text: str) -> None:
    fields = UserFields(login="carl", name="Carl Müller", email="cm@example.com", phones=("+49 0401",))
    await users.create_user(COMMAND, fields)
    found = await table(anna, f"{INDEX}?q={quote(text)}")
    assert "Carl Müller" in found
    assert "Ulla" not in found


async def test_filters_by_group_and_role(anna: Desk, people: People) -> None:
    [support] = (await groups.list_groups(COMMAND.scope)).items
    copy = await roles_kept.copy_role(COMMAND, Role.USER, RoleFields(name="Trainee", grant=READY_MADE[Role.USER]))
    await users.create_user(COMMAND, UserFields(login="tim", role=copy.id or Role.USER))
    by_group = await table(anna, f"{INDEX}?group={support.id}")
    assert ("Ulla" in by_group, "Sam" in by_group) == (True, False)
    by_role = await table(anna, f"{INDEX}?role=user")
    assert ("Ulla" in by_role, "Sam" in by_role, "tim" in by_role) == (True, False, False)
    by_copy = await table(anna, f"{INDEX}?role={copy.id}")
    assert ("Ulla" in by_copy, "tim Trainee" in by_copy) == (False, True)
    page = await anna.page(f"{INDEX}?group={support.id}&role=user")
    assert f'<option value="{support.id}" selected>Support</option>' in page
    assert '<option value="user" selected>User</option>' in page


@pytest.mark.parametrize("wrong", ["status=x", "cursor=x", "group=x", "role=x"])
async def test_an_address_that_no_list_gave_leads_nowhere(anna: Desk, wrong: str) -> None:
    assert (await anna.get(f"{INDEX}?{wrong}")).status == 404


async def test_pages_go_on_and_back_and_keep_what_was_asked(anna: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "ROWS", 2)
    for number in range(5):
        await users.create_user(COMMAND, UserFields(login=f"agent{number}", name=f"Agent {number}"))
    first = await anna.page(f"{INDEX}?q=agent")
    second = await anna.page(link(first, "next"))
    third = await anna.page(link(second, "next"))
    assert [f"Agent {number}" in first for number in range(5)] == [True, True, False, False, False]
    assert ["Agent 4" in page for page in (first, second, third)] == [False, False, True]
    assert 'rel="next"' not in third
    assert "Agent 2" in await anna.page(link(third, "prev"))


def link(page: str, rel: str) -> str:
    return page.partition(f'rel="{rel}" href="')[2].partition('"')[0].replace("&amp;", "&")


async def test_nothing_found_says_what_to_do(anna: Desk) -> None:
    assert "No user is like this Search for fewer letters" in await table(anna, f"{INDEX}?q=zzz")


async def test_a_supervisor_sees_whom_he_manages_and_nothing_to_change(app: QuartTrio, people: People) -> None:
    sam = await signed_in(app, "sam")
    page = await sam.page(INDEX)
    assert "Ulla Skinner" in page
    assert "Anna Berg" not in page
    for deed in ("New user", "Import", "Export"):
        assert deed not in page


async def test_an_operator_sees_whose_a_user_is(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus", name="Eve Stone")
    told = await table(await desk_of(app, "otto", Role.OPERATOR))
    assert "Flexus Eve Stone (eve) Administrator" in told
    assert "Default Ulla Skinner (ulla) Support" in told


async def test_another_tenants_users_are_not_there(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus")
    eve = await signed_in(app, "Flexus/eve")
    assert "Ulla" not in await table(eve, f"{INDEX}?status=all")
    assert "ulla" not in (await eve.get(f"{INDEX}/export")).text


# Proposals


async def proposed(desk: Desk, text: str) -> list[dict[str, str]]:
    answer = await desk.visitor.get(f"{INDEX}/complete?text={text}")
    found = await answer.get_json()
    return list(found["items"])


async def test_proposals_are_whom_one_may_see(app: QuartTrio, anna: Desk, people: People) -> None:
    assert await proposed(anna, "skin") == [{"id": str(people.ulla.id), "login": "ulla", "name": "Ulla Skinner"}]
    assert [one["login"] for one in await proposed(anna, "s")] == ["sam", "ulla"]
    sam = await signed_in(app, "sam")
    assert [one["login"] for one in await proposed(sam, "an")] == []


async def test_a_long_text_proposes_nobody(anna: Desk) -> None:
    assert await proposed(anna, "x" * 2000) == []


# The list as a file


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))))


async def test_the_list_is_saved_as_a_file_with_its_filters(anna: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "EXPORTED_AT_A_TIME", 2)
    response = await anna.visitor.get(f"{INDEX}/export")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="users-')
    saved = lines_of(await response.get_data(as_text=True))
    assert [line["login"] for line in saved] == ["anna", "sam", "ulla"]
    assert (saved[2]["group"], saved[2]["phones"], saved[1]["manages"]) == ("Support", "300", "Support")
    found = lines_of((await anna.get(f"{INDEX}/export?q=skin")).text)
    assert [line["login"] for line in found] == ["ulla"]


async def test_no_cell_of_the_file_runs_in_a_spreadsheet(anna: Desk) -> None:
    await users.create_user(COMMAND, UserFields(login="carl", name="=HYPERLINK(A1)", phones=("+4930",)))
    found = lines_of((await anna.get(f"{INDEX}/export?q=carl")).text)
    assert (found[0]["name"], found[0]["phones"]) == ("'=HYPERLINK(A1)", "'+4930")


async def test_that_the_file_was_saved_is_in_the_audit_trail(anna: Desk, people: People) -> None:
    await anna.get(f"{INDEX}/export")
    found = await list_entries(COMMAND.scope, Filters(resource=Resource.USERS, action=Action.EXPORT))
    assert [entry.initiator_id for entry in found.items] == [people.anna.id]
