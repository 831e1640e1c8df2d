"""Users and imports in a real browser: finding, making, asking first; with the keyboard alone, or without a script."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Window

USERS = "/administration/users"
FILE = "login,name,group,phones\nnina,Nina Stern,Support,7701;7702\nulla,Ulla Berg,Support,300\n"


def there(window: Window, address: str, **options: object) -> Page:
    page = window(as_="anna", **options)
    page.goto(address)
    return page


def test_the_list_is_searched_while_one_types(window: Window) -> None:
    page = there(window, USERS)
    page.keyboard.press("/")
    box = page.get_by_role("searchbox")
    expect(box).to_be_focused()
    page.keyboard.type("ULL")
    expect(page.get_by_role("link", name="Ulla")).to_be_visible()
    expect(page.get_by_role("link", name="Anna Berg")).to_have_count(0)
    expect(box).to_be_focused()
    expect(page).to_have_url(re.compile(r"\?q=ULL$"))
    page.reload()
    expect(page.get_by_role("link", name="Anna Berg")).to_have_count(0)
    page.get_by_label("Status").select_option("disabled")
    expect(page.get_by_text("No user is like this")).to_be_visible()


def test_a_supervisor_is_made_with_the_keyboard_alone(window: Window) -> None:
    page = there(window, f"{USERS}/new")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("Max Meyer")
    page.keyboard.press("Tab")
    page.keyboard.type("max")
    expect(page.get_by_role("group", name="Users whom this user manages")).to_be_hidden()
    page.get_by_label("Role").focus()
    page.keyboard.type("Super")
    managed = page.get_by_role("group", name="Users whom this user manages")
    expect(managed).to_be_visible()
    managed.get_by_role("textbox").or_(managed.get_by_role("combobox")).first.focus()
    page.keyboard.type("ull")
    expect(page.locator("#logins option")).to_have_count(1)
    assert page.locator("#logins option").get_attribute("value") == "ulla"
    page.keyboard.type("a")
    page.keyboard.press("Escape")
    managed.get_by_role("button", name="Add a user").focus()
    page.keyboard.press("Enter")
    expect(managed.locator("input")).to_have_count(2)
    expect(managed.locator("input").last).to_be_focused()
    page.get_by_role("button", name="Create the user").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Max Meyer")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Ulla"))).to_be_visible()


def test_only_what_the_choices_call_for_is_asked(window: Window) -> None:
    page = there(window, f"{USERS}/new")
    password = page.get_by_label("Password", exact=True).and_(page.locator("[type=password]"))
    expect(password).to_be_hidden()
    page.get_by_label("Set one now").check()
    expect(password).to_be_visible()
    page.get_by_label("Single sign-on").check()
    expect(password).to_be_hidden()
    expect(page.get_by_text("First password")).to_be_hidden()


def test_what_takes_access_away_asks_first(window: Window) -> None:
    page = there(window, USERS)
    page.get_by_role("link", name="Sam Reed").click()
    page.get_by_role("button", name="Disable").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("Disable Sam Reed? Web access ends at once")
    asked.get_by_role("button", name="Cancel").click()
    expect(asked).to_be_hidden()
    page.get_by_role("button", name="Disable").click()
    asked.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Sam Reed is disabled and signed out.")).to_be_visible()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("Sam Reed is enabled.")).to_be_visible()


def test_a_file_is_looked_at_and_applied(window: Window) -> None:
    page = there(window, f"{USERS}/import")
    page.get_by_label("CSV file").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
    )
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_text("Nothing has been written yet.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Changed ulla"))).to_contain_text("→ Ulla Berg")
    page.get_by_role("link", name=re.compile("^New")).click()
    expect(page.get_by_role("row", name=re.compile("New nina"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("ulla"))).to_have_count(0)
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(page.get_by_text("All of it was written: 1 new, 1 changed, 0 unchanged.")).to_be_visible()
    page.goto(USERS)
    expect(page.get_by_role("link", name="Nina Stern")).to_be_visible()


def test_without_a_script_a_user_is_found_and_changed(window: Window) -> None:
    window(as_="anna").close()
    page = there(window, USERS, java_script_enabled=False)
    page.get_by_role("searchbox").fill("reed")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Sam Reed").click()
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_role("group", name="Users whom this user manages").locator("input").last.fill("anna")
    page.get_by_role("group", name="Phones").locator("input").last.fill("8801")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_role("link", name="8801", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Anna Berg", exact=True)).to_be_visible()
