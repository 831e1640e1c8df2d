"""What holds for the platform, for tenants and for groups: shown with where it comes from, and changed row by row."""

import re
from dataclasses import dataclass
from uuid import uuid4

import pytest
from quart_trio import QuartTrio

from schema import groups, platform, tenants
from schema.profiles import Group, Tenant, TenantFields
from schema.roles import Role
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account

PATH = "/administration/customization/language"


@dataclass(frozen=True)
class Given:
    support: Group
    own: Tenant
    acme: Tenant
    theirs: Group


@pytest.fixture
async def given(app: QuartTrio) -> Given:
    await add_account("anna", Role.ADMINISTRATOR)
    await add_account("olga", Role.OPERATOR)
    await add_account("ulla", Role.USER, group="Support")
    acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
    await add_account("theo", Role.USER, tenant="Acme", group="Sales")
    found = {group.fields.name: group for group in (await groups.list_groups(COMMAND.scope)).items}
    own = next(one for one in (await tenants.list_tenants(COMMAND.scope)).items if one.fields.name == "Default")
    return Given(found["Support"], own, acme, found["Sales"])


@pytest.fixture
async def anna(app: QuartTrio, given: Given) -> Visitor:
    visitor = Visitor(app)
    await visitor.sign_in("anna")
    return visitor


@pytest.fixture
async def olga(app: QuartTrio, given: Given) -> Visitor:
    visitor = Visitor(app)
    await visitor.sign_in("olga")
    return visitor


async def page(visitor: Visitor, **query: str) -> str:
    text = (await (await visitor.get(PATH, query_string=query)).get_data()).decode()
    return re.sub("[\xa0\u202f]", " ", text)


async def change(visitor: Visitor, key: str, language: str, time_zone: str = "") -> int:
    form = {"csrf_token": await visitor.token(PATH), "language": language, "time_zone": time_zone}
    return (await visitor.post(f"{PATH}?change={key}", form)).status_code


def row(text: str, key: str) -> str:
    found = re.search(rf'<tr id="{key}">.*?</tr>', text, re.DOTALL)
    assert found is not None, f"no row {key}"
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


async def test_an_administrator_sees_the_tenant_and_its_groups_and_nothing_else(anna: Visitor, given: Given) -> None:
    text = await page(anna)
    assert "Not set: the language of each browser holds" in row(text, f"tenant-{given.own.id}")
    assert "Not set: the time zone of each browser holds" in row(text, f"group-{given.support.id}")
    for other in ("platform", f"tenant-{given.acme.id}", f"group-{given.theirs.id}"):
        assert f'id="{other}"' not in text


async def test_an_operator_sees_the_platform_every_tenant_and_every_group(olga: Visitor, given: Given) -> None:
    text = await page(olga)
    for key in ("platform", f"tenant-{given.own.id}", f"tenant-{given.acme.id}", f"group-{given.support.id}"):
        assert row(text, key)
    assert "Acme" in row(text, f"group-{given.theirs.id}")


async def test_change_opens_a_menu_in_the_row_and_what_is_chosen_holds_below(anna: Visitor, given: Given) -> None:
    key = f"tenant-{given.own.id}"
    opened = await page(anna, change=key)
    assert re.search(r'<select[^>]* name="language"', opened)
    assert "<select" not in await page(anna)
    assert await change(anna, key, "fr", "Europe/Paris") == 303
    text = await page(anna)
    assert '<html lang="fr"' in text
    assert "Français" in row(text, key)
    assert "organisation Default : Français" in row(text, f"group-{given.support.id}")
    assert await change(anna, f"group-{given.support.id}", "ru") == 303
    assert "Русский" in row(await page(anna), f"group-{given.support.id}")
    ulla = Visitor(anna.app)
    await ulla.sign_in("ulla")
    assert '<html lang="ru"' in (await (await ulla.get("/calls")).get_data()).decode()


async def test_the_platforms_is_the_operators_to_change(anna: Visitor, olga: Visitor, given: Given) -> None:
    assert await change(anna, "platform", "es") == 404
    assert (await platform.get_platform()).language == ""
    assert await change(olga, "platform", "es", "Europe/Madrid") == 303
    assert (await platform.get_platform()).language == "es"
    assert '<html lang="es"' in await page(anna)
    stranger = Visitor(anna.app)
    assert '<html lang="es"' in (await (await stranger.get("/sign-in")).get_data()).decode()


async def test_nobody_changes_another_tenant(anna: Visitor, given: Given) -> None:
    for key in (f"tenant-{given.acme.id}", f"group-{given.theirs.id}", f"group-{uuid4()}", "group-x", "nonsense"):
        assert await change(anna, key, "es") == 404
    theirs = await groups.get_group(COMMAND.scope, given.theirs.id)
    assert theirs is not None
    assert theirs.fields.language == ""


async def test_what_is_not_offered_is_refused_in_its_row(anna: Visitor, given: Given) -> None:
    key = f"group-{given.support.id}"
    form = {"csrf_token": await anna.token(PATH), "language": "de", "time_zone": ""}
    response = await anna.post(f"{PATH}?change={key}", form)
    assert response.status_code == 422
    assert "Please choose one of the list." in row((await response.get_data()).decode(), key)


async def test_groups_are_found_by_their_names(anna: Visitor, given: Given) -> None:
    assert f"group-{given.support.id}" in await page(anna, q="SUPP")
    assert f"group-{given.support.id}" not in await page(anna, q="sales")


async def test_supervisors_and_users_change_nothing_here(app: QuartTrio, given: Given) -> None:
    for login, role in (("sam", Role.SUPERVISOR), ("ute", Role.USER)):
        await add_account(login, role)
        visitor = Visitor(app)
        await visitor.sign_in(login)
        assert (await visitor.get(PATH)).status_code == 403
