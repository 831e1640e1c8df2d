"""Fixtures for tests in a real browser: a house for each file, a window of its own for each test.

Rules: nothing waits for a time, everything for what it shows; an error on a page's console fails its test.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    StorageState,
    expect,
    sync_playwright,
)

from tests.browser.house import PASSWORD, House
from tests.end_to_end.recorder import PATIENCE_S, until

CHROMIUM = "/usr/bin/chromium"
# No sandbox, since tests run as root in containers; sound without a press, since nobody is there to press.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
DESKTOP = {"width": 1280, "height": 800}
# What Chromium itself writes about an answer that a test asks for on purpose.
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of (401|403|404|409|422|429|504)")

# Between two looks at a page.
LOOK_S = 0.05

Window = Callable[..., Page]


def until_page(page: Page, what: str) -> None:
    """Waits for an expression to be true on a page. Playwright's own way is an eval, which the policy forbids."""
    until(lambda: page.evaluate(what), what, poll_s=LOOK_S)


def sign_in(page: Page, login: str) -> None:
    """What a person does at the form."""
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/calls$"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="module")
def sessions() -> dict[str, StorageState]:
    """The cookies of those who have signed in."""
    return {}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def window(house: House, browser: Browser, sessions: dict[str, StorageState]) -> Iterator[Window]:
    """Opens a window: `window()` at the sign-in, `window(as_="anna")` at the list. Options are a browser context's."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def complain(said: ConsoleMessage) -> None:
        if said.type == "error" and not EXPECTED.match(said.text):
            complaints.append(f"{said.text} ({said.location.get('url')})")

    def open_window(as_: str | None = None, **options: object) -> Page:
        known = {"storage_state": sessions[as_]} if as_ in sessions else {}
        context = browser.new_context(base_url=house.url, **{"viewport": DESKTOP, **known, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", complain)
        page.goto("/calls" if known else "/sign-in")
        if as_ is not None and not known:
            sign_in(page, as_)
            sessions[as_] = context.storage_state()
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []
