"""A user signs in and out; a wrong password is refused in words that help nobody else."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Window, sign_in
from tests.browser.house import PASSWORD


def test_a_wrong_password_is_refused_and_the_right_one_leads_to_where_one_wanted(window: Window) -> None:
    page = window()
    page.goto("/calls?view=active")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Login").fill("anna")
    page.get_by_label("Password").fill("not her password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Login")).to_have_value("anna")
    expect(page.get_by_label("Password")).to_have_value("")

    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/calls\?view=active$"))
    expect(page.get_by_role("link", name="Active calls")).to_have_attribute("aria-current", "page")


def test_who_signs_out_sees_nothing_any_more(window: Window) -> None:
    page = window()
    sign_in(page, "anna")
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto("/calls")
    expect(page).to_have_url(re.compile("/sign-in"))


def test_a_chosen_theme_is_remembered(window: Window) -> None:
    page = window(as_="anna", color_scheme="light")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Light or dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "dark")
