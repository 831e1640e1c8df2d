"""Groups: the list, a group, its form, and what its buttons do."""

from uuid import UUID, uuid4

import pytest
from quart_trio import QuartTrio

from portal.pages import lists
from schema import groups
from schema.profiles import Group, GroupFields
from schema.roles import Role
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

INDEX = "/administration/groups"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def support(people: People) -> Group:
    """The group that Ulla is in and Sam manages."""
    found = await groups.list_groups(COMMAND.scope, text="Support")
    return found.items[0]


async def made(name: str, tenant_id: UUID | None = None, **more: str) -> Group:
    return await groups.create_group(COMMAND, GroupFields(name=name, **more), tenant_id=tenant_id)


def page_of(group: Group) -> str:
    return f"{INDEX}/{group.id}"


async def test_the_list_says_who_is_in_a_group_and_who_manages_it(anna: Desk, people: People) -> None:
    await made("Sales")
    told = await anna.words(INDEX)
    assert "Support 1 Sam Reed Active" in told
    assert "Sales 0 Nobody Active" in told


async def test_the_list_is_searched_by_its_address(anna: Desk) -> None:
    await made("Müller & Söhne")
    assert "Müller & Söhne" in await anna.words(f"{INDEX}?q=M%C3%9CLLER")
    assert "Support" not in await anna.words(f"{INDEX}?q=M%C3%9CLLER")
    nothing = await anna.words(f"{INDEX}?q=nothing")
    assert "No group is like this" in nothing
    assert "No groups yet" not in nothing


async def test_disabled_groups_are_listed_where_they_are_asked_for(anna: Desk) -> None:
    await groups.disable_group(COMMAND, (await made("Archive team")).id)
    assert "Archive team" not in await anna.words(INDEX)
    assert "Archive team 0 Nobody Disabled" in await anna.words(f"{INDEX}?status=disabled")
    assert "Support" not in await anna.words(f"{INDEX}?status=disabled")
    everything = await anna.words(f"{INDEX}?status=all")
    assert "Archive team" in everything
    assert "Support" in everything
    assert (await anna.get(f"{INDEX}?status=x")).status == 404


async def test_pages_of_the_list_go_on_and_back_and_keep_the_search(
    anna: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "ROWS", 2)
    for number in range(5):
        await made(f"Team {number}")
    first = await anna.page(f"{INDEX}?q=team")
    second = await anna.page(link(first, "next"))
    third = await anna.page(link(second, "next"))
    assert ["Team 4" in page for page in (first, second, third)] == [False, False, True]
    assert 'rel="next"' not in third
    assert "Team 2" in await anna.page(link(third, "prev"))
    assert (await anna.get(f"{INDEX}?cursor=x")).status == 404


def link(page: str, rel: str) -> str:
    return page.partition(f'rel="{rel}" href="')[2].partition('"')[0].replace("&amp;", "&")


async def test_an_empty_list_says_how_the_first_gets_there(app: QuartTrio) -> None:
    desk = await desk_of(app, "anna", Role.ADMINISTRATOR)
    assert "No groups yet A group brings users together" in await desk.words(INDEX)


async def test_a_group_is_made(anna: Desk) -> None:
    answer = await anna.fill(f"{INDEX}/new", name="  Sales ", language="fr", time_zone="Europe/Berlin")
    assert answer.status == 303
    told = await anna.words(answer.location)
    assert "The group Sales was created." in told
    assert "Language Français Time zone Berlin (UTC+" in told
    assert "Nobody is in this group" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "Please fill in this field."),
        ("SUPPORT", "There is a group Support in Default already."),
        ("x" * 255, "This is too long: at most 254 characters fit."),
    ],
    ids=["empty", "taken", "long"],
)
async def test_a_wrong_name_is_said_at_its_field_and_kept(anna: Desk, name: str, told: str) -> None:
    answer = await anna.fill(f"{INDEX}/new", name=name, language="ru")
    assert answer.status == 422
    assert told in answer.words
    assert 'aria-invalid="true"' in answer.text
    assert f'value="{name}"' in answer.text
    assert '<option value="ru" selected>' in answer.text


async def test_what_no_menu_offers_is_refused(anna: Desk) -> None:
    for wrong in ({"language": "xx"}, {"time_zone": "Nowhere/City"}):
        answer = await anna.fill(f"{INDEX}/new", name="Sales", **wrong)
        assert answer.status == 422
        assert "Please choose one of the list." in answer.words


async def test_a_group_shows_its_people_and_what_it_inherits(anna: Desk, people: People) -> None:
    told = await anna.words(page_of(await support(people)))
    assert "Language Not set: the language of each browser holds" in told
    assert "Ulla Skinner ulla 300 Active" in told
    assert "Managed by Sam Reed" in told


async def test_a_group_is_changed(anna: Desk, people: People) -> None:
    group = await support(people)
    answer = await anna.fill(f"{page_of(group)}/edit", name="Customer care", language="es")
    assert (answer.status, answer.location) == (303, page_of(group))
    changed = await groups.get_group(COMMAND.scope, group.id)
    assert changed is not None
    assert changed.fields == GroupFields(name="Customer care", language="es")


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(anna: Desk, people: People) -> None:
    group = await support(people)
    address = f"{page_of(group)}/edit"
    opened = await anna.form(address)
    await groups.update_group(COMMAND, group.id, GroupFields(name="Helpdesk", language="fr"))
    answer = await anna.send(address, opened, language="es")
    assert answer.status == 409
    assert "Somebody else changed this while the form was open" in answer.words
    assert "Name Helpdesk Support" in answer.words
    assert "Language Français Español" in answer.words
    unchanged = await groups.get_group(COMMAND.scope, group.id)
    assert unchanged is not None
    assert unchanged.fields.name == "Helpdesk"
    # Whoever has seen it decides.
    again = await anna.send(address, opened, language="es", version=form_version(answer.text))
    assert again.status == 303


def form_version(page: str) -> str:
    return page.partition('name="version" value="')[2].partition('"')[0]


async def test_a_group_is_disabled_and_enabled(anna: Desk, people: People) -> None:
    group = await support(people)
    answer = await anna.press(f"{page_of(group)}/disable")
    assert answer.location == page_of(group)
    told = await anna.words(page_of(group))
    assert "The group Support is disabled." in told
    assert "Status Disabled" in told
    await anna.press(f"{page_of(group)}/enable")
    assert "Status Active" in await anna.words(page_of(group))


async def test_only_a_group_without_users_is_deleted(anna: Desk, people: People) -> None:
    group, other = await support(people), await made("Sales")
    assert f"{page_of(group)}/delete" not in await anna.page(page_of(group))
    refused = await anna.press(f"{page_of(group)}/delete")
    assert refused.location == page_of(group)
    told = "The group Support has users. Move them to another group first."
    assert told in await anna.words(refused.location)
    assert f"{page_of(other)}/delete" in await anna.page(page_of(other))
    assert (await anna.press(f"{page_of(other)}/delete")).location == INDEX
    assert "The group Sales was deleted." in await anna.words(INDEX)
    assert (await anna.get(page_of(other))).status == 404


async def test_another_tenants_group_is_not_there(app: QuartTrio, people: People) -> None:
    stranger = await add_account("eve", tenant="Flexus")
    desk = await signed_in(app, "Flexus/eve")
    group = await support(people)
    assert "Support" not in await desk.words(f"{INDEX}?status=all")
    for there in (group.id, uuid4()):
        assert (await desk.get(f"{INDEX}/{there}")).status == 404
        assert (await desk.get(f"{INDEX}/{there}/edit")).status == 404
        for deed in ("edit", "disable", "enable", "delete"):
            assert (await desk.press(f"{INDEX}/{there}/{deed}", name="Mine")).status == 404
    assert await support(people) == group
    assert stranger.tenant_id != group.tenant.id


async def test_an_operator_sees_whose_a_group_is_and_chooses_the_tenant(app: QuartTrio, people: People) -> None:
    flexus = (await add_account("eve", tenant="Flexus")).tenant_id
    desk = await desk_of(app, "otto", Role.OPERATOR)
    assert "Support Default 1 Sam Reed Active" in await desk.words(INDEX)
    answer = await desk.fill(f"{INDEX}/new", name="Support", tenant=str(flexus))
    assert answer.status == 303
    assert "Support Flexus 0 Nobody Active" in await desk.words(INDEX)
    wrong = await desk.fill(f"{INDEX}/new", name="Sales", tenant=str(uuid4()))
    assert wrong.status == 422
    assert "Please choose one of the list." in wrong.words
