"""The administration by hand: what scripts add to its lists and forms; its pages on a phone and in the dark."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, Window, until_page
from tests.browser.house import House
from tests.browser.test_looks import CONTRAST, PHONE

PAGES = (
    "/administration/groups",
    "/administration/groups/new",
    "/administration/phones",
    "/administration/phones/new",
    "/administration/roles",
    "/administration/roles/supervisor",
    "/administration/roles/administrator/copy",
    "/administration/customization/appearance",
    "/administration/tenants",
    "/administration/tenants/new",
    "/administration/tenants/00000000-0000-7000-8000-000000000001",
    "/administration/platform",
)


@pytest.fixture(scope="module", autouse=True)
def operator(house: House) -> None:
    """Otto, who has everything in hand."""
    house.add_user("otto", "operator", "--name", "Otto Lang")


def make_group(page: Page, name: str) -> None:
    page.goto("/administration/groups/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create the group").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_a_list_is_searched_while_one_types(window: Window) -> None:
    page = window(as_="anna")
    make_group(page, "Sales")
    page.goto("/administration/groups")
    page.keyboard.press("/")
    page.keyboard.type("SAL")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("Sales")
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page).to_have_url(re.compile(r"\?q=SAL$"))
    page.keyboard.type("x")
    expect(page.get_by_text("No group is like this")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_deleting_asks_first(window: Window) -> None:
    page = window(as_="anna")
    make_group(page, "For a day")
    group = page.url
    page.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Delete the group For a day? This cannot be undone.")
    # Enter twice deletes nothing: Cancel has the focus.
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(page).to_have_url(group)
    page.get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("The group For a day was deleted.")
    expect(page).to_have_url(re.compile("/administration/groups$"))


def test_a_phones_user_is_proposed_while_one_types(window: Window) -> None:
    page = window(as_="anna")
    page.goto("/administration/phones/new")
    page.get_by_label("Line").fill("377")
    user = page.get_by_label("User")
    user.press_sequentially("skin")
    until_page(page, "document.querySelector('#users option')?.value === 'ulla'")
    assert page.evaluate("document.querySelector('#users option').label") == "Ulla Skinner"
    user.fill("ulla")
    page.get_by_role("button", name="Create the phone").click()
    expect(page.get_by_role("status")).to_have_text("The phone 377 was created.")
    expect(page.locator(".datagrid")).to_contain_text("Ulla Skinner")


def test_a_wrong_field_gets_the_cursor(window: Window) -> None:
    page = window(as_="anna")
    page.goto("/administration/phones/new")
    page.get_by_label("Line").fill("378")
    page.get_by_label("User").fill("nobody")
    page.get_by_role("button", name="Create the phone").click()
    expect(page.get_by_label("User")).to_be_focused()
    expect(page.get_by_label("User")).to_have_value("nobody")
    expect(page.get_by_role("alert")).to_contain_text("There is no user with the login nobody.")


def test_a_colour_shows_at_once_how_it_looks(window: Window) -> None:
    page = window(as_="anna")
    page.goto("/administration/customization/appearance")
    page.get_by_label("Colour", exact=True).fill("#ffe066")
    expect(page.get_by_role("status").filter(has_text="could hardly be read on light pages")).to_be_visible()
    expect(page.get_by_label("Choose a colour")).to_have_value("#ffe066")
    dark = page.locator("[data-part=dark] .colour-button")
    expect(dark).to_have_css("background-color", "rgb(255, 224, 102)")
    # The light one is darkened until it can be read, and so are both of them in the dark.
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("Choose a colour").fill("#b3261e")
    expect(page.get_by_label("Colour", exact=True)).to_have_value("#b3261e")
    expect(page.locator("[data-part=light] .colour-button")).to_have_css("background-color", "rgb(179, 38, 30)")
    page.get_by_role("button", name="Use the portal's own").click()
    expect(page.get_by_label("Colour", exact=True)).to_have_value("")
    expect(page.get_by_role("status").filter(has_text="the portal's own blue")).to_be_visible()


def test_platforms_are_added_and_removed_row_by_row(window: Window) -> None:
    page = window(as_="otto")
    page.goto("/administration/platform")
    names, addresses = page.get_by_label("Name of the platform"), page.get_by_label("Address of the platform")
    expect(names).to_have_count(1)
    names.fill("Europe")
    addresses.fill("https://eu.example.com")
    page.get_by_role("button", name="Add another").click()
    expect(names.nth(1)).to_be_focused()
    names.nth(1).fill("Asia")
    addresses.nth(1).fill("https://asia.example.com")
    page.get_by_role("button", name="Remove this row").first.click()
    expect(names).to_have_count(1)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert [names.nth(row).input_value() for row in range(2)] == ["Asia", ""]
    page.get_by_role("button", name="Remove this row").first.click()
    page.get_by_role("button", name="Save").click()
    expect(names).to_have_count(1)
    expect(names).to_have_value("")


def test_a_role_is_copied_with_fewer_rights(window: Window) -> None:
    page = window(as_="anna")
    page.goto("/administration/roles")
    page.get_by_role("link", name="Copy the role Supervisor").click()
    expect(page.get_by_label("Manage platform")).to_be_disabled()
    page.get_by_label("Name").fill("Listener")
    page.get_by_label("Download").uncheck()
    page.get_by_role("radio", name=re.compile("^Own calls")).check()
    page.get_by_role("button", name="Create the role").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Listener")
    expect(page.locator(".datagrid")).to_contain_text("Only calls that one was on.")
    expect(page.locator(".roles-lacks", has_text="Download")).to_be_visible()


def test_an_operator_enters_a_tenant_and_comes_back(window: Window) -> None:
    page = window(as_="otto")
    page.goto("/administration/tenants/new")
    page.get_by_role("textbox", name=re.compile("^Name")).fill("Flexus")
    page.get_by_role("button", name="Create the tenant").click()
    expect(page.get_by_role("link", name="Create the administrator")).to_be_visible()
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("status")).to_have_text("You look at Flexus alone now.")
    page.goto("/administration/groups")
    expect(page.get_by_text("No groups yet")).to_be_visible()
    page.get_by_role("button", name=re.compile("Flexus")).click()
    page.get_by_role("button", name="All tenants again").click()
    page.goto("/administration/groups")
    expect(page.get_by_role("columnheader", name="Tenant")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_every_page_looks_right(window: Window, scheme: str, size: dict[str, int]) -> None:
    page = window(as_="otto", color_scheme=scheme, viewport=size, reduced_motion="reduce")
    for path in PAGES:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert page.evaluate(CONTRAST) == [], path
