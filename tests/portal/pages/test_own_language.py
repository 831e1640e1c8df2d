"""Choosing one's own language and time zone."""

import re

import pytest
from quart_trio import QuartTrio

from schema import groups, roster, users
from schema.profiles import GroupFields
from schema.roles import Role
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account


@pytest.fixture
async def ulla(app: QuartTrio) -> Visitor:
    await add_account("ulla", Role.USER, name="Ulla Skinner", group="Support")
    visitor = Visitor(app)
    await visitor.sign_in("ulla")
    return visitor


async def page(visitor: Visitor, **headers: str) -> str:
    text = (await (await visitor.get("/language", headers=headers)).get_data()).decode()
    return re.sub("[\xa0\u202f]", " ", text)


async def save(visitor: Visitor, **form: str) -> object:
    return await visitor.post("/language", {"csrf_token": await visitor.token("/language"), **form})


def chosen(text: str, name: str) -> str:
    found = re.search(rf'<select[^>]* name="{name}".*?</select>', text, re.DOTALL)
    assert found is not None
    selected = re.search(r'<option value="([^"]*)" selected>', found[0])
    return selected[1] if selected else ""


async def test_what_is_chosen_holds_at_once_and_is_told_in_that_language(ulla: Visitor) -> None:
    response = await save(ulla, language="pt_BR", time_zone="America/Sao_Paulo")
    assert response.status_code == 303
    text = await page(ulla)
    assert '<html lang="pt-BR"' in text
    assert "Salvo." in text
    assert "Idioma" in text
    assert 'data-zone="America/Sao_Paulo"' in text
    assert (chosen(text, "language"), chosen(text, "time_zone")) == ("pt_BR", "America/Sao_Paulo")
    assert "Salvo." not in await page(ulla)


async def test_each_language_is_offered_by_its_own_name(ulla: Visitor) -> None:
    text = await page(ulla)
    for name in ("English", "Français", "Português (Brasil)", "Русский", "Español"):
        assert f">{name}</option>" in text


async def test_without_a_choice_the_browsers_holds_where_nothing_is_set(ulla: Visitor) -> None:
    text = await page(ulla, **{"Accept-Language": "es-MX", "Cookie": ""})
    assert '<html lang="es"' in text
    assert "Español" in text
    assert chosen(text, "language") == ""


async def test_without_a_choice_the_groups_holds_and_is_named(ulla: Visitor) -> None:
    (group,) = (await groups.list_groups(COMMAND.scope)).items
    await groups.update_group(COMMAND, group.id, GroupFields(name="Support", language="fr", time_zone="Europe/Paris"))
    text = await page(ulla)
    assert '<html lang="fr"' in text
    assert "Hérité du groupe Support : Français" in text
    assert re.search(r"Hérité du groupe Support : Paris \(UTC\+0[12]:00\)", text)
    await save(ulla, language="ru", time_zone="")
    assert '<html lang="ru"' in await page(ulla)
    await save(ulla, language="", time_zone="")
    assert '<html lang="fr"' in await page(ulla)


@pytest.mark.parametrize(("field", "value"), [("language", "de"), ("time_zone", "Mars/Olympus")])
async def test_what_is_not_offered_is_refused_and_nothing_changes(ulla: Visitor, field: str, value: str) -> None:
    response = await save(ulla, **{"language": "", "time_zone": "", field: value})
    assert response.status_code == 422
    text = (await response.get_data()).decode()
    assert "Please choose one of the list." in text
    assert f'id="field-{field}" name="{field}" aria-invalid="true" autofocus' in text
    assert '<html lang="en"' in await page(ulla)


async def test_a_zone_that_the_menu_does_not_offer_is_not_lost_by_saving(ulla: Visitor, app: QuartTrio) -> None:
    (found,) = (await roster.list_users(COMMAND.scope, text="ulla")).items
    await users.set_language(COMMAND, found.id, "", "US/Eastern")
    assert chosen(await page(ulla), "time_zone") == "US/Eastern"
