"""Every page, light and dark, on a desk and on a phone: nothing sticks out, and every text can be read.

With SCREENSHOTS=docs/screenshots in the environment the pictures of the README are made anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, Window, until_page
from tests.browser.house import House, Ring, dialogue
from tests.end_to_end.recorder import Program

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
PHONE = {"width": 390, "height": 844}
SCREENSHOTS = os.environ.get("SCREENSHOTS")
FINISHED, RUNNING = "12333001107", "21311005002"
PAGES = ("signin", "list", "active", "call", "live", "paused", "missing")


@pytest.fixture(scope="module")
def calls(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One that has ended, with a pause in it, and one that goes on."""
    says = dialogue(tmp_path_factory.mktemp("voices"), 30)
    house.hold(
        Ring(caller=FINISHED, caller_name="Cedrick Irons", seconds=20, says=says, options=("--pause", "9.3-12.8"))
    )
    running = house.ring(Ring(caller=RUNNING, caller_name="Sierra Bowyer", seconds=300, says=says))
    yield running
    running.kill()


def show(page: Page, name: str) -> None:
    if name == "signin":
        return
    page.goto("/calls?view=active" if name in ("active", "live", "paused") else "/calls")
    if name == "missing":
        page.goto("/calls/00000000-0000-0000-0000-000000000000")
    if name in ("call", "live", "paused"):
        page.locator("[data-row]", has_text=FINISHED if name == "call" else RUNNING).locator("[data-open]").click()
    if name == "call":
        expect(page.locator(".player-wave canvas").first).to_be_attached()
        page.locator("[data-player]").evaluate("(root) => { root.querySelector('audio').currentTime = 7; }")
    if name == "live":
        page.get_by_role("button", name="Listen").click()
        expect(page.locator("[data-live]")).to_have_attribute("data-listening", "playing")
        until_page(page, "[...document.querySelectorAll('[data-meter]')].some((m) => m.ariaValueNow > -40)")
    if name == "paused":
        page.get_by_role("button", name="Pause recording").click()
        expect(page.locator("[data-live]")).to_have_attribute("data-recording", "paused")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_a_page_looks_right(
    calls: Program, window: Window, name: str, scheme: str, size: dict[str, int], request: pytest.FixtureRequest
) -> None:
    page = window(as_=None if name == "signin" else "anna", color_scheme=scheme, viewport=size, reduced_motion="reduce")
    show(page, name)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(CONTRAST) == []
    if SCREENSHOTS:
        device = "phone" if size is PHONE else "desk"
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{device}-{scheme}.png")
    if name == "paused":
        page.get_by_role("button", name="Resume recording").click()
        expect(page.locator("[data-live]")).to_have_attribute("data-recording", "recording")
