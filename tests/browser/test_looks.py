"""Every page, light and dark, on a desk and on a phone: nothing sticks out, and every text can be read.

With SCREENSHOTS=docs/screenshots in the environment the pictures of the README are made anew.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, Window, until_page
from tests.browser.house import House, Ring, dialogue
from tests.end_to_end.recorder import PATIENCE_S

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
PHONE = {"width": 390, "height": 844}
SCREENSHOTS = os.environ.get("SCREENSHOTS")
FINISHED, RUNNING = "12333001107", "21311005002"
MORNING = (
    Ring(caller="12333001100", caller_name="Veta Pospisil", seconds=1),
    Ring(caller="300", caller_name="Ulla Skinner", callee="8303620297", callee_name="", seconds=2),
    Ring(caller="12333001102", caller_name="Manual Spoor", seconds=4),
    Ring(caller="5281360644", caller_name="", seconds=3),
    Ring(caller="300", caller_name="Ulla Skinner", callee="12333001104", callee_name="Wyn Skinner", seconds=3),
)
# What the README shows.
PICTURES = {
    "list-desk-light.png",
    "call-desk-light.png",
    "live-desk-dark.png",
    "paused-phone-light.png",
    "call-phone-dark.png",
}
PAGES = ("signin", "list", "active", "call", "live", "paused", "missing", "language", "administration", "languages")
# Where a page is that needs nothing but its address.
ADDRESSES = {
    "language": "/language",
    "administration": "/administration",
    "languages": "/administration/customization/language",
}


@pytest.fixture(scope="module")
def calls(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A morning's calls; the last but one has a pause in it, the last goes on."""
    says = dialogue(tmp_path_factory.mktemp("voices"), 30)
    ended = [house.ring(replace(call, says=says)) for call in MORNING]
    house.hold(
        Ring(caller=FINISHED, caller_name="Cedrick Irons", seconds=20, says=says, options=("--pause", "9.3-12.8"))
    )
    for program in ended:
        assert program.process.wait(PATIENCE_S) == 0, program.errors()
    running = house.ring(Ring(caller=RUNNING, caller_name="Sierra Bowyer", seconds=300, says=says))
    yield
    running.kill()


def show(page: Page, name: str) -> None:
    if name == "signin":
        return
    if name in ADDRESSES:
        page.goto(ADDRESSES[name])
        return
    page.goto("/calls?view=active" if name in ("active", "live", "paused") else "/calls")
    if name == "missing":
        page.goto("/calls/00000000-0000-0000-0000-000000000000")
    if name in ("call", "live", "paused"):
        page.locator("[data-row]", has_text=FINISHED if name == "call" else RUNNING).locator("[data-open]").click()
    if name in ("list", "active"):
        expect(page.locator("[data-row]", has_text=RUNNING).locator(".state-recording")).to_be_visible()
    if name == "call":
        expect(page.locator(".player-wave canvas").first).to_be_attached()
        page.locator("[data-player]").evaluate("(root) => { root.querySelector('audio').currentTime = 7; }")
    if name == "live":
        page.get_by_role("button", name="Listen").click()
        expect(page.locator("[data-part=delay]")).to_contain_text("Delay")
        until_page(page, "[...document.querySelectorAll('[data-meter]')].some((m) => m.ariaValueNow > -40)")
    if name == "paused":
        page.get_by_role("button", name="Pause recording").click()
        expect(page.locator("[data-live]")).to_have_attribute("data-recording", "paused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.usefixtures("calls")
def test_every_page_looks_right(window: Window, scheme: str, size: dict[str, int]) -> None:
    looks = {"color_scheme": scheme, "viewport": size, "reduced_motion": "reduce"}
    for name in PAGES:
        page = window(as_=None if name == "signin" else "anna", **looks)
        show(page, name)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate(CONTRAST) == [], name
        picture = f"{name}-{'phone' if size is PHONE else 'desk'}-{scheme}.png"
        if SCREENSHOTS and picture in PICTURES:
            page.screenshot(path=Path(SCREENSHOTS) / picture)
        if name == "paused":
            page.get_by_role("button", name="Resume recording").click()
            expect(page.locator("[data-live]")).to_have_attribute("data-recording", "recording")
