"""A user signs in and out, looks after his own security, and is told in words that help nobody else what went wrong."""

import re

import pyotp
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window, sign_in
from tests.browser.house import PASSWORD, House

NEW = "another horse, another staple"


def give(page: Page, login: str, password: str) -> None:
    """Types login and password, whatever follows."""
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


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


def test_a_login_of_two_tenants_leads_to_the_chosen_one(window: Window, house: House) -> None:
    for tenant in ("Northwind", "Contoso"):
        house.add_user("kim", "user", "--tenant", tenant, "--name", f"Kim of {tenant}")
    page = window()
    page.goto("/calls?view=active")
    give(page, "kim", PASSWORD)
    page.get_by_role("button", name="Contoso").click()
    expect(page).to_have_url(re.compile(r"/calls\?view=active$"))
    page.get_by_role("button", name="Your account").click()
    expect(page.get_by_text("Kim of Contoso")).to_be_visible()


def test_a_second_factor_is_set_up_asked_for_and_turned_off(window: Window, house: House) -> None:
    house.add_user("max", "user", "--name", "Max Weber")
    page = window()
    sign_in(page, "max")
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("link", name="Security").click()
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_role("img", name="A QR code that holds the key")).to_be_visible()
    app = pyotp.TOTP(page.locator(".access-key").inner_text().replace(" ", ""))
    page.get_by_label("Code").fill("000000" if app.now() != "000000" else "111111")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_label("Code")).to_be_focused()
    page.get_by_label("Code").fill(app.now())
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn on").click()
    expect(page.locator(".access-codes code")).to_have_count(10)
    recovery = page.locator(".access-codes code").first.inner_text()
    page.get_by_role("link", name="I have kept them").click()

    other = window()
    give(other, "max", PASSWORD)
    expect(other.get_by_label("Code")).to_be_focused()
    other.get_by_label("Code").fill(recovery)
    other.keyboard.press("Enter")
    expect(other).to_have_url(re.compile("/calls$"))
    expect(other.get_by_text("9 are left.")).to_be_visible()

    page.get_by_role("link", name="Turn off").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Two-factor sign-in is off.")).to_be_visible()


def test_who_changes_his_password_is_out_in_all_other_browsers(window: Window, house: House) -> None:
    house.add_user("eva", "user", "--name", "Eva Lind")
    page, other = window(), window()
    for one in (page, other):
        sign_in(one, "eva")
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("link", name="Change password").click()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("eva's own password")
    page.get_by_label("The same again").fill("eva's own password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("This holds the login.").first).to_be_visible()
    expect(page.get_by_label("New password")).to_be_focused()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW)
    page.get_by_label("The same again").fill(NEW)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password was changed.")).to_be_visible()
    other.reload()
    expect(other).to_have_url(re.compile("/sign-in"))
    give(other, "eva", NEW)
    expect(other).to_have_url(re.compile("/calls$"))


def test_a_browser_that_one_does_not_know_is_signed_out(window: Window, house: House) -> None:
    house.add_user("lea", "user", "--name", "Lea Moro")
    page, other = window(), window(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    for one in (page, other):
        sign_in(one, "lea")
    page.goto("/security")
    expect(page.get_by_text("This browser")).to_be_visible()
    expect(page.get_by_text("Firefox on Linux")).to_be_visible()
    page.get_by_role("button", name="Sign out everywhere else").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Sign out in all other browsers?")
    dialog.get_by_role("button", name="Sign out everywhere else").click()
    expect(page.get_by_text("1 session in another browser was ended.")).to_be_visible()
    expect(page.get_by_text("Firefox on Linux")).to_have_count(0)
    other.reload()
    expect(other).to_have_url(re.compile("/sign-in"))


def test_a_token_is_made_shown_once_and_revoked(window: Window, house: House) -> None:
    house.add_user("tom", "user", "--name", "Tom Hale")
    page = window()
    sign_in(page, "tom")
    page.goto("/security")
    page.get_by_text("New token").click()
    page.get_by_label("Name").fill("Wallboard")
    expect(page.get_by_label("View calls")).to_be_hidden()
    page.get_by_label("Only these").check()
    page.get_by_label("View calls").check()
    page.get_by_role("button", name="Make the token").click()
    token = page.locator(".access-key").inner_text()
    bearer = {"Authorization": f"Bearer {token}"}
    assert page.request.get("/api/v1/calls", headers=bearer).status == 200
    page.get_by_role("link", name="I have kept it").click()
    expect(page.get_by_text("Wallboard")).to_be_visible()
    expect(page.get_by_text(token)).to_have_count(0)
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token Wallboard opens nothing any more.")).to_be_visible()
    assert page.request.get("/api/v1/calls", headers=bearer).status == 401


def test_who_forgot_his_password_is_told_what_happens_next(window: Window) -> None:
    page = window()
    page.get_by_role("link", name="Forgot your password?").click()
    expect(page.get_by_label("Login or mail address")).to_be_focused()
    page.get_by_label("Login or mail address").fill("anna")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("If there is an account with a mail address")
    expect(page).to_have_url(re.compile("/sign-in$"))
