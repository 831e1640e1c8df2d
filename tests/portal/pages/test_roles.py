"""Roles: what each may do, copies, and that nobody gives what he does not have."""

from uuid import UUID, uuid4

import pytest
from quart_trio import QuartTrio

from portal.pages.people_words import PERMISSIONS
from schema import roles_kept, users
from schema.profiles import KeptRole, RoleFields, UserFields
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

INDEX = "/administration/roles"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def copied(name: str = "Team lead", base: Role = Role.SUPERVISOR, grant: Grant | None = None) -> KeptRole:
    return await roles_kept.copy_role(COMMAND, base, RoleFields(name=name, grant=grant or READY_MADE[base]))


async def kept(role_id: UUID) -> RoleFields:
    found = await roles_kept.get_role(COMMAND.scope, role_id)
    assert found is not None
    return found.fields


def test_each_permission_is_in_one_chapter() -> None:
    told = [permission for chapter in PERMISSIONS for permission in chapter.permissions]
    assert sorted(told) == sorted(Permission)


async def test_the_list_shows_reach_and_users_and_compares_permissions(anna: Desk) -> None:
    await copied()
    told = await anna.words(INDEX)
    assert "Administrator Ready-made Tenant 17 of 19 1 Copy" in told
    assert "Supervisor Ready-made Managed groups and users 6 of 19 1 Copy" in told
    assert "Team lead Managed groups and users 6 of 19 0 Copy" in told
    # Administrator, Supervisor, User, Team lead; and only operators see theirs.
    assert "Live-monitor Listen to calls while they are held. Yes Yes \N{EN DASH} No Yes" in told
    assert "Platform operator" not in told


async def test_a_role_says_what_it_may_do_in_sentences(anna: Desk) -> None:
    told = await anna.words(f"{INDEX}/supervisor")
    assert "This role is ready-made and stays as it is." in told
    assert "Own calls, and those of the groups and users that one manages." in told
    assert "Yes Live-monitor Listen to calls while they are held." in told
    assert "No Pause Pause and resume" in told
    assert "/edit" not in await anna.page(f"{INDEX}/supervisor")


async def test_a_copy_begins_as_its_source(anna: Desk) -> None:
    form = await anna.form(f"{INDEX}/supervisor/copy")
    assert form["name"] == ["Copy of Supervisor"]
    assert form["reach"] == ["managed"]
    assert set(form["permissions"]) == READY_MADE[Role.SUPERVISOR].permissions


async def test_a_copy_is_made_and_changed(anna: Desk) -> None:
    answer = await anna.fill(f"{INDEX}/supervisor/copy", name="Coach", permissions=["view_calls", "play", "evaluate"])
    assert answer.status == 303
    told = await anna.words(answer.location)
    assert "The role Coach was created." in told
    assert "Yes Evaluate" in told
    role_id = UUID(answer.location.rpartition("/")[2])
    expected = Grant(Reach.MANAGED, frozenset({Permission.VIEW_CALLS, Permission.PLAY, Permission.EVALUATE}))
    assert (await kept(role_id)).grant == expected
    changed = await anna.fill(f"{INDEX}/{role_id}/edit", reach="own", permissions=["view_calls"])
    assert changed.status == 303
    assert await kept(role_id) == RoleFields(name="Coach", grant=Grant(Reach.OWN, frozenset({Permission.VIEW_CALLS})))


async def test_a_copy_of_a_copy(anna: Desk) -> None:
    role = await copied()
    answer = await anna.fill(f"{INDEX}/{role.id}/copy")
    assert answer.status == 303
    assert "Copy of Team lead" in await anna.words(answer.location)


async def test_what_one_lacks_is_shown_and_cannot_be_given(anna: Desk) -> None:
    page = await anna.page(f"{INDEX}/administrator/copy")
    assert 'value="manage_platform" disabled' in page
    assert "You do not have this permission yourself, so you cannot give it." in page
    assert 'value="platform"' not in page
    for wrong in ({"permissions": ["view_calls", "manage_platform"]}, {"reach": "platform"}, {"reach": "x"}):
        answer = await anna.fill(f"{INDEX}/supervisor/copy", name="Mine", **wrong)
        assert answer.status == 422
        assert "Please choose" in answer.words
    assert all(role.id is None for role in await roles_kept.list_roles(COMMAND.scope))


async def test_a_role_that_gives_more_than_one_has_is_not_ones_to_change(anna: Desk) -> None:
    grant = Grant(Reach.TENANT, frozenset({Permission.MANAGE_ARCHIVING}))
    role = await copied("Keeper", Role.ADMINISTRATOR, grant)
    told = await anna.words(f"{INDEX}/{role.id}")
    assert "This role gives rights that you do not have yourself, so you cannot change it." in told
    assert f"{INDEX}/{role.id}/edit" not in await anna.page(f"{INDEX}/{role.id}")
    answer = await anna.fill(f"{INDEX}/{role.id}/edit", permissions=["view_calls"])
    assert answer.status == 422
    assert "This would give rights that you do not have yourself." in answer.words
    assert (await kept(role.id)).grant == grant


@pytest.mark.parametrize("name", ["", "TEAM LEAD", "administrator"], ids=["empty", "taken", "ready-made"])
async def test_a_wrong_name_is_said_and_what_was_ticked_stays(anna: Desk, name: str) -> None:
    await copied()
    answer = await anna.fill(f"{INDEX}/user/copy", name=name, permissions=["view_notes"])
    assert answer.status == 422
    assert 'aria-invalid="true"' in answer.text
    assert 'value="view_notes" checked' in answer.text
    assert 'value="play" checked' not in answer.text


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(anna: Desk) -> None:
    role = await copied()
    address = f"{INDEX}/{role.id}/edit"
    opened = await anna.form(address)
    now = RoleFields(name="Team lead", grant=Grant(Reach.MANAGED, frozenset({Permission.VIEW_CALLS})))
    await roles_kept.update_role(COMMAND, role.id, now)
    answer = await anna.send(address, opened, permissions=["view_calls", "play"])
    assert answer.status == 409
    assert "Permissions View calls View calls, Play" in answer.words
    assert await kept(role.id) == now


async def test_a_role_that_somebody_has_is_not_deleted(anna: Desk, people: People) -> None:
    role = await copied()
    nina = UserFields(login="nina", role=role.id)
    user = await users.create_user(COMMAND, nina)
    page = f"{INDEX}/{role.id}"
    assert "1 user has this role." in await anna.words(page)
    assert f"{page}/delete" not in await anna.page(page)
    refused = await anna.press(f"{page}/delete")
    assert refused.location == page
    assert "Somebody has the role Team lead." in await anna.words(page)
    await users.update_user(COMMAND, user.id, UserFields(login="nina"))
    assert f"{page}/delete" in await anna.page(page)
    assert (await anna.press(f"{page}/delete")).location == INDEX
    assert "The role Team lead was deleted." in await anna.words(INDEX)


async def test_another_tenants_role_is_not_there(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus")
    desk = await signed_in(app, "Flexus/eve")
    role = await copied()
    assert "Team lead" not in await desk.words(INDEX)
    for there in (role.id, uuid4(), "nobody", "operator"):
        assert (await desk.get(f"{INDEX}/{there}")).status == 404
        assert (await desk.get(f"{INDEX}/{there}/copy")).status == 404
    for deed in ("edit", "delete", "copy"):
        assert (await desk.press(f"{INDEX}/{role.id}/{deed}", name="Mine", reach="own")).status == 404
    assert (await kept(role.id)).name == "Team lead"


async def test_an_operator_sees_the_copies_of_all_tenants(app: QuartTrio, people: People) -> None:
    await copied()
    desk = await desk_of(app, "otto", Role.OPERATOR)
    told = await desk.words(INDEX)
    assert "Platform operator Ready-made All tenants Platform 19 of 19 1 Copy" in told
    assert "Team lead Default Managed groups and users 6 of 19 0 Copy" in told
