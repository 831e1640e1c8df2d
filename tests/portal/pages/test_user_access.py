"""How a user gets in: who arranges it, and that nothing of it is half done."""

from dataclasses import replace

import pytest
from quart_trio import QuartTrio

from schema import access, mails, roles_kept, users
from schema.profiles import RoleFields
from schema.refusals import Refusal
from schema.roles import READY_MADE, Grant, Permission, Role
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.pages.test_user import INDEX, by_login, page_of, stored, with_mail
from tests.portal.visitor import PASSWORD, Visitor, add_account


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def a_team_lead(app: QuartTrio) -> Desk:
    """Somebody who manages users, and whose role reaches those whom he manages."""
    supervisor = READY_MADE[Role.SUPERVISOR]
    grant = Grant(supervisor.reach, supervisor.permissions | {Permission.MANAGE_USERS})
    role = (await roles_kept.copy_role(COMMAND, Role.SUPERVISOR, RoleFields(name="Lead", grant=grant))).id
    lead = await add_account("lead", Role.USER, group="Support")
    fields = (await stored(lead.id)).fields
    managed = replace(fields, role=role, manages_groups=(fields.group_id,))
    await users.update_user(COMMAND, lead.id, managed)
    return await signed_in(app, "lead")


async def test_who_manages_some_does_not_arrange_how_they_get_in(app: QuartTrio, people: People) -> None:
    await with_mail(people.ulla.id)
    lead, address, before = await a_team_lead(app), page_of(people.ulla.id), await stored(people.ulla.id)
    page = await lead.page(address)
    assert "is for administrators of the whole tenant" in page
    for deed in ("invite", "end-sessions", "reset-second-factor"):
        assert f"/{deed}" not in page
        answer = await lead.press(f"{address}/{deed}", email="lead@example.com")
        assert (answer.status, "Your role does not permit this." in answer.words) == (403, True)
    form = await lead.form(f"{address}/edit")
    assert not set(form) & {"login", "email", "authentication", "may_sign_in", "must_change_password", "password"}
    wanted = {"login": "lead2", "email": "lead@example.com", "authentication": "oidc", "password": PASSWORD + "!"}
    answer = await lead.fill(f"{address}/edit", name="Ulla Berg", **wanted, forget_identity="on")
    assert answer.status == 303
    assert (await stored(people.ulla.id)).fields == replace(before.fields, name="Ulla Berg")
    assert (await Visitor(app).sign_in("ulla", PASSWORD)).status_code == 303
    assert (await mails.list_mails(COMMAND.scope, account_id=people.ulla.id)).items == ()


async def test_how_he_gets_in_himself_he_arranges(app: QuartTrio, people: People) -> None:
    lead = await a_team_lead(app)
    mine = page_of((await by_login("lead")).id)
    assert (await lead.fill(f"{mine}/edit", email="lead@example.com")).status == 303
    assert (await by_login("lead")).fields.email == "lead@example.com"


async def test_with_a_password_that_is_not_kept_nothing_is(
    anna: Desk, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise Refusal("beyond_you")

    before = await stored(people.ulla.id)
    monkeypatch.setattr(access, "set_password", refused)
    answer = await anna.fill(f"{page_of(people.ulla.id)}/edit", name="Another", password=PASSWORD + "!")
    assert answer.status == 422
    assert await stored(people.ulla.id) == before


async def test_whom_a_provider_says_somebody_is_can_be_forgotten(anna: Desk, people: People) -> None:
    address, before = f"{page_of(people.ulla.id)}/edit", (await stored(people.ulla.id)).fields
    assert "forget_identity" not in await anna.page(address)
    known = replace(before, external_id="https://login.example.com#42")
    await users.update_user(COMMAND, people.ulla.id, known)
    assert "https://login.example.com#42" in await anna.page(address)
    assert (await anna.fill(address)).status == 303
    assert (await stored(people.ulla.id)).fields == known
    assert (await anna.fill(address, forget_identity="on")).status == 303
    assert (await stored(people.ulla.id)).fields == before


async def test_operators_make_and_change_operators_and_nobody_else_does(
    app: QuartTrio, anna: Desk, people: People
) -> None:
    otto = await desk_of(app, "otto", Role.OPERATOR)
    address = f"{INDEX}/new?tenant={people.anna.tenant_id}"
    assert (await otto.fill(address, login="olga", role="operator")).status == 303
    olga = await by_login("olga")
    assert olga.fields.role is Role.OPERATOR
    for edited in (olga, await by_login("otto")):
        assert (await otto.fill(f"{page_of(edited.id)}/edit", email="ops@example.com")).status == 303
        changed = await stored(edited.id)
        assert changed.fields == replace(edited.fields, email="ops@example.com")
    assert 'value="operator"' not in await anna.page(f"{INDEX}/new")
    changed = await stored(olga.id)
    await anna.press(f"{page_of(olga.id)}/edit", login="olga", role="operator", email="anna@example.com")
    assert await stored(olga.id) == changed
