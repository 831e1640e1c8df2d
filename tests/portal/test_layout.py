"""The page around every page: whose it is, how it looks, and where it leads."""

import re

import pytest
from quart_trio import QuartTrio

from portal import layout
from portal.accent import accent
from schema import tenants
from schema.profiles import TenantFields
from schema.roles import Role
from schema.values import DEFAULT_TENANT
from tests.people import COMMAND
from tests.portal.test_language import account
from tests.portal.visitor import Visitor, add_account

# One pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf00000301010018dd8d"
    "b40000000049454e44ae426082"
)


async def signed_in(app: QuartTrio, login: str, role: Role, **options: object) -> Visitor:
    await add_account(login, role, **options)
    visitor = Visitor(app)
    await visitor.sign_in(login)
    return visitor


async def page(visitor: Visitor, path: str = "/language", **headers: str) -> str:
    return (await (await visitor.get(path, headers=headers)).get_data()).decode()


def brand(text: str) -> str:
    found = re.search(r'<span class="brand-name">(.*?)</span>', text)
    assert found is not None
    return found[1]


async def test_a_system_that_was_never_divided_goes_by_the_name_of_the_product(app: QuartTrio) -> None:
    visitor = await signed_in(app, "anna", Role.ADMINISTRATOR)
    text = await page(visitor)
    assert brand(text) == "Earshot"
    assert f"--accent: {accent('').light};" in text
    assert "earshot.svg" in text


async def test_a_page_bears_the_name_the_colour_and_the_logo_of_the_tenant(app: QuartTrio) -> None:
    acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme & Sons", colour="#aa0055"))
    await tenants.set_logo(COMMAND, acme.id, PNG, "image/png")
    visitor = await signed_in(app, "anna", Role.USER, tenant="Acme & Sons")
    text = await page(visitor)
    assert brand(text) == "Acme &amp; Sons"
    assert "<title>Language · Acme &amp; Sons</title>" in text
    assert f"--accent: {accent('#aa0055').light};" in text
    logo = re.search(r'<img class="brand-logo[^>]* src="([^"]+)"', text)
    assert logo is not None
    assert (await visitor.get(logo[1])).content_type == "image/png"


async def test_the_sign_in_page_bears_that_of_the_host_name(app: QuartTrio) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="Acme", hosts=("acme.example",), colour="#aa0055"))
    visitor = Visitor(app)
    assert f"--accent: {accent('#aa0055').light};" in await page(visitor, "/sign-in", Host="acme.example")
    assert f"--accent: {accent('').light};" in await page(visitor, "/sign-in", Host="other.example")


async def test_colours_are_in_the_one_style_element_that_the_policy_allows(app: QuartTrio) -> None:
    response = await Visitor(app).get("/sign-in")
    nonce = re.search(r"'nonce-([^']+)'", response.headers["Content-Security-Policy"])
    assert nonce is not None
    text = (await response.get_data()).decode()
    assert text.count("<style") == text.count(f'<style nonce="{nonce[1]}">') == 1
    assert not re.search(r"<[^>]* style=", text)
    assert "<style" not in await page(Visitor(app), "/sign-in", **{"X-Requested-With": "fetch"})


async def test_who_asks_for_what_is_not_there_still_sees_his_own_page_around_that(app: QuartTrio) -> None:
    visitor = await signed_in(app, "anna", Role.USER)
    text = await page(visitor, "/nowhere")
    assert "Not found" in text
    assert 'href="/calls"' in text
    assert "To the start" in text
    assert "To the sign-in" in await page(Visitor(app), "/nowhere")


async def test_the_menu_below_the_login_leads_to_what_is_ones_own(app: QuartTrio) -> None:
    text = await page(await signed_in(app, "anna", Role.USER))
    menu = text[text.index('class="dropdown-menu') : text.index("</header>")]
    assert re.findall(r'class="dropdown-item" href="([^"]+)"', menu) == ["/change-password", "/language", "/security"]
    assert 'action="/sign-out"' in menu
    assert ">anna</span>" in text


async def test_operators_switch_between_all_tenants_and_one(app: QuartTrio) -> None:
    acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
    visitor = await signed_in(app, "olga", Role.OPERATOR)
    text = await page(visitor)
    assert "All tenants</span>" in text
    assert re.findall(r'name="tenant" value="([^"]*)"', text) == [str(acme.id), str(DEFAULT_TENANT)]
    form = {"csrf_token": await visitor.token("/language"), "tenant": str(acme.id)}
    assert (await visitor.post("/tenant", form)).status_code == 303
    text = await page(visitor)
    assert '<span class="switch-name">Acme</span>' in text
    assert re.findall(r'name="tenant" value="([^"]*)"', text) == ["", str(DEFAULT_TENANT)]
    await visitor.post("/tenant", {**form, "tenant": ""})
    assert "All tenants</span>" in await page(visitor)


async def test_there_is_nothing_to_switch_where_there_is_one_tenant(app: QuartTrio) -> None:
    assert 'action="/tenant"' not in await page(await signed_in(app, "olga", Role.OPERATOR))


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.SUPERVISOR, Role.USER])
async def test_nobody_else_has_that_switch(app: QuartTrio, role: Role) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
    text = await page(await signed_in(app, "anna", role))
    assert "Acme" not in text
    assert 'action="/tenant"' not in text


@pytest.mark.parametrize(
    ("name", "login", "shown"),
    [("Anna Maria Berg", "x", "AB"), ("", "anna", "A"), ("  ", "ü", "Ü"), ("李 雷", "x", "李雷")],
)
def test_initials(name: str, login: str, shown: str) -> None:
    assert layout.initials(account(name=name.strip(), login=login)) == shown
