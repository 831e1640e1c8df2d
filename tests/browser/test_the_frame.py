"""The frame in a real browser: the question before what cannot be undone, the search box, where the keyboard gets."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window


@pytest.fixture
def index(window: Window) -> Page:
    page = window(as_="anna")
    page.get_by_role("link", name="Administration").click()
    return page


def shown(page: Page) -> list[str]:
    return page.locator(".settings-name:visible").all_inner_texts()


def test_the_index_of_the_administration_is_searched_while_one_types(index: Page) -> None:
    everything = shown(index)
    assert len(everything) >= 6
    index.keyboard.press("/")
    expect(index.get_by_role("searchbox", name="Search the settings")).to_be_focused()
    index.keyboard.type("TIME zone")
    expect(index.locator(".settings-name:visible")).to_have_text(["Language"])
    expect(index.get_by_role("heading", name="People")).to_be_hidden()
    index.keyboard.press("Escape")
    assert shown(index) == everything
    index.keyboard.type("no such setting")
    expect(index.get_by_text("No setting has these words in it.")).to_be_visible()
    index.keyboard.press("Escape")
    index.keyboard.type("teams of users")
    index.keyboard.press("Enter")
    expect(index).to_have_url(re.compile("/administration/groups$"))


def make_group(page: Page, name: str) -> None:
    page.goto("/administration/groups/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create the group").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)


def test_what_cannot_be_undone_is_asked_first_and_cancel_comes_first(index: Page) -> None:
    make_group(index, "Short-lived")
    button = index.get_by_role("button", name="Delete")
    button.press("Enter")
    dialog = index.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete the group Short-lived?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    index.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    button.press("Enter")
    index.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()

    button.click()
    dialog.get_by_role("button", name="Delete").click()
    expect(index).to_have_url(re.compile("/administration/groups$"))
    expect(index.get_by_role("status")).to_contain_text("Short-lived")
    expect(index.get_by_role("link", name="Short-lived")).to_have_count(0)


def test_the_keyboard_reaches_the_content_first_and_shows_where_it_is(index: Page) -> None:
    index.goto("/language")
    index.keyboard.press("Tab")
    skip = index.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    index.keyboard.press("Enter")
    index.keyboard.press("Tab")
    expect(index.get_by_label("Language", exact=True)).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert index.evaluate(outline) != "none"


def test_language_is_chosen_below_the_login(window: Window) -> None:
    page = window(as_="sam")
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("link", name="Language").click()
    page.get_by_label("Language", exact=True).select_option("Русский")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.get_by_role("status")).to_contain_text("Сохранено.")
    expect(page.locator("footer")).to_contain_text("Токио (UTC+09:00)")
    page.get_by_label(re.compile("^Язык")).select_option("")
    page.locator("main button[type=submit]").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_menu_folds_on_a_phone(window: Window) -> None:
    page = window(as_="anna", viewport={"width": 390, "height": 844})
    link = page.get_by_role("link", name="Administration")
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    link.click()
    expect(page.get_by_role("heading", level=1, name="Administration")).to_be_visible()
