"""The audit trail by hand: somebody listens, and an administrator finds who it was; on a phone and in the dark."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, Window
from tests.browser.house import House, Ring
from tests.browser.test_looks import CONTRAST, PHONE

TRAIL = "/administration/maintenance/audit-trail"


def test_who_looked_at_a_call_is_not_told_and_who_played_it_is(house: House, window: Window) -> None:
    house.ring(Ring(seconds=2))
    page = window(as_="anna")
    page.locator("[data-row]", has_text="Michael Harvell").locator("[data-open]").click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    expect(page.get_by_text("Nothing was written down about this yet.")).to_be_visible()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("[data-player]")).to_have_attribute("data-first-sound-ms", re.compile(r"\d+"))
    page.goto(f"{TRAIL}?action=playback")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("Anna Berg (anna)")
    page.get_by_role("link", name=re.compile("View the entry")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Playback")
    page.get_by_role("link", name="View", exact=True).click()
    expect(page.get_by_text("was listened to.")).to_be_visible()


def test_the_trail_is_searched_while_one_types(window: Window) -> None:
    page = window(as_="anna")
    page.goto(f"{TRAIL}?resource=users")
    page.keyboard.press("/")
    page.keyboard.type("ulla skinner")
    expect(page.locator("tbody")).to_contain_text("The user Ulla Skinner was created")
    expect(page.locator("tbody")).not_to_contain_text("Sam Reed")
    expect(page).to_have_url(re.compile(r"q=ulla"))


def test_it_can_be_read_on_a_phone_and_in_the_dark(window: Window) -> None:
    for viewport, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
        page = window(as_="anna", viewport=viewport, color_scheme=scheme)
        for path in (TRAIL, f"{TRAIL}?resource=users"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate(CONTRAST) == []
        page.get_by_role("link", name=re.compile("View the entry")).first.click()
        page.get_by_role("link", name="All fields").click()
        expect(page.get_by_text("Old value")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(CONTRAST) == []


def test_on_a_phone_an_entry_fits_and_leads_to_its_page(window: Window) -> None:
    page = window(as_="anna", viewport=PHONE)
    page.goto(f"{TRAIL}?resource=users")
    expect(page.locator(".trail tbody tr").first).to_be_visible()
    fits = "one => one.scrollWidth <= one.clientWidth"
    assert page.locator(".table-responsive", has=page.locator(".trail")).evaluate(fits)
    # The link lies over all of the row: what is clicked is it.
    page.locator(".trail .trail-what").first.click(force=True)
    expect(page.get_by_text("Old value")).to_be_visible()
