"""A person pauses a recording: one press, an answer that cannot be mistaken, and the reason where there is none."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Window
from tests.browser.house import House, Ring


def test_a_recorder_that_does_not_answer_is_said_and_nothing_looks_paused(house: House, window: Window) -> None:
    house.ring(Ring(caller="15559990001", seconds=60))
    page = window(as_="anna")
    page.goto("/calls?view=active")
    page.locator("[data-row]", has_text="15559990001").locator("[data-open]").click()
    card = page.locator("[data-live]")
    expect(card).to_have_attribute("data-recording", "recording")
    house.node.freeze()
    try:
        page.get_by_role("button", name="Pause recording").click()
        expect(card.get_by_role("alert")).to_be_visible()
        expect(card).to_have_attribute("data-recording", "recording")
        expect(page.get_by_role("button", name="Pause recording")).to_be_enabled()
    finally:
        house.node.thaw()

    page.get_by_role("button", name="Pause recording").click()
    expect(card).to_have_attribute("data-recording", "paused")
    expect(card.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="Resume recording")).to_be_focused()

    expect(page.get_by_text("Recording paused by anna")).to_be_visible()
    page.reload()
    expect(card).to_have_attribute("data-recording", "paused")
    expect(card).to_contain_text(re.compile(r"Paused at \d+:\d\d by anna\."))
    page.get_by_role("button", name="Resume recording").click()
    expect(card).to_have_attribute("data-recording", "recording")
