"""A supervisor works in the list: it tells what happens by itself, and can be walked without the mouse."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window
from tests.browser.house import House, Ring


def row(page: Page, caller: str) -> object:
    return page.locator("[data-row]", has_text=caller)


@pytest.fixture(scope="module", autouse=True)
def three_calls(house: House) -> None:
    for number in ("15550000001", "15550000002", "15550000003"):
        house.hold(Ring(caller=number, caller_name="Walked Over", seconds=1))


def test_a_call_appears_by_itself_ticks_and_is_finished_without_a_reload(house: House, window: Window) -> None:
    page = window(as_="anna")
    page.evaluate("window.same = true")
    running = house.ring(Ring(caller="15551112222", caller_name="Just Now", seconds=12))
    call = row(page, "15551112222")
    expect(call.locator(".state-recording")).to_have_text("Recording")
    expect(call).to_contain_text("15551112222 (Just Now)")
    expect(call.locator(".calls-user")).to_have_text("Ulla Skinner")
    shown = call.locator(".calls-duration").inner_text()
    expect(call.locator(".calls-duration")).not_to_have_text(shown)

    assert running.process.wait(30) == 0
    expect(call.locator(".state")).to_have_count(0)
    expect(call.locator(".calls-duration")).to_have_text(re.compile("^0:1[1-4]$"))
    assert page.evaluate("window.same")


def test_active_calls_are_a_view_of_their_own(house: House, window: Window) -> None:
    running = house.ring(Ring(caller="15553334444", seconds=8))
    page = window(as_="sam")
    page.get_by_role("link", name="Active calls").click()
    expect(row(page, "15553334444").locator(".state-recording")).to_be_visible()
    expect(row(page, "15550000001")).to_have_count(0)
    assert running.process.wait(30) == 0
    expect(row(page, "15553334444")).to_have_count(0)


def test_j_and_k_walk_and_enter_opens(window: Window) -> None:
    page = window(as_="anna")
    rows = page.locator("[data-row]")
    focused = page.locator("[data-row]:focus-within")
    ids = [each.get_attribute("data-row") for each in rows.all()]
    page.keyboard.press("j")
    expect(focused).to_have_attribute("data-row", ids[0])
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(focused).to_have_attribute("data-row", ids[1])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/calls/{ids[1]}$"))


def test_a_press_anywhere_on_a_row_opens_its_call(window: Window) -> None:
    page = window(as_="anna")
    call = row(page, "15550000002")
    call.locator(".calls-to").click()
    expect(page).to_have_url(re.compile(f"/calls/{page.url.rpartition('/')[2]}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Walked Over")


def test_everybody_sees_what_his_role_lets_him_see(house: House, window: Window) -> None:
    house.hold(Ring(caller="15555556666", callee="999", callee_name="Somebody Else", seconds=1))
    everything = window(as_="anna")
    expect(row(everything, "15555556666")).to_be_visible()
    for login in ("ulla", "sam"):
        page = window(as_=login)
        expect(row(page, "15550000001")).to_be_visible()
        expect(row(page, "15555556666")).to_have_count(0)


def test_pages_of_the_list_go_back_and_forth(house: House, window: Window) -> None:
    page = window(as_="anna")
    house.hold(Ring(caller="15557778888", seconds=1, options=("--calls", "21", "--rate", "30")))
    expect(page.get_by_role("link", name="Older")).to_be_visible()
    first = page.locator("[data-row]").first.get_attribute("data-row")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text(re.compile(r"^21 to \d+ of \d+$"))).to_be_visible()
    assert first not in [each.get_attribute("data-row") for each in page.locator("[data-row]").all()]
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_text(re.compile(r"^1 to 20 of \d+$"))).to_be_visible()
    expect(page.locator("[data-row]").first).to_have_attribute("data-row", str(first))
