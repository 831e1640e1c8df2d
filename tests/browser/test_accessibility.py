"""axe-core on every page that can be reached, light and dark: no serious violation, none that is critical.

Pages are found as people find them: from link to link, beginning at the first page after the sign-in. Of pages that
differ in nothing but the object that they show one is enough.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window
from tests.browser.house import House, Ring

AXE: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
GRAVE: Final = {"serious", "critical"}
# The rules of WCAG 2.2, levels A and AA.
RULES: Final = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
# What the theme makes a difference to.
COLOURS: Final = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
RUN: Final = "(rules) => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
# Axe writes styles into elements while it looks, which the policy of our pages forbids.
AXE_WORKS: Final = {"bypass_csp": True}
# An object's name in an address.
OBJECT: Final = re.compile(r"/(?:[0-9a-f]{8}-[0-9a-f-]{27}|operator|administrator|supervisor|user)(?=/|$)")
# Files, and what leads out of the portal.
NO_PAGES: Final = re.compile(r"^/(?:static|logo|api|sign-in/oidc)|/download|/export|template\.csv")
# Pages that no link leads to.
WITHOUT_LINKS: Final = ("/nowhere", "/set-password/nonsense")


@pytest.fixture(scope="module", autouse=True)
def some_things(house: House) -> Iterator[None]:
    """A finished call and one that runs; an operator beside those whom each house has."""
    house.add_user("olga", "operator", "--name", "Olga Pappa")
    house.hold(Ring(seconds=1))
    running = house.ring(Ring(caller="21311005002", seconds=300))
    yield
    running.kill()


def links(page: Page) -> list[str]:
    """The addresses of this portal that the page leads to."""
    found = page.eval_on_selector_all("a[href]", "(all) => all.filter((a) => !a.download).map((a) => a.href)")
    here = urlsplit(page.url)
    parts = [urlsplit(address) for address in found]
    return [f"{part.path}?{part.query}".rstrip("?") for part in parts if part.netloc == here.netloc]


def kind(address: str) -> str:
    """What pages that differ in their object alone have in common. Of filters and cursors one example is enough."""
    path, _, query = address.partition("?")
    names = sorted({pair.partition("=")[0] for pair in query.split("&") if pair})
    return OBJECT.sub("/*", path) + "?" + ",".join(names)


def violations(page: Page) -> list[str]:
    """What axe finds that is serious, in both themes: the rule, and the first elements that break it."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for scheme, rules in (("light", RULES), ("dark", COLOURS)):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        result: dict[str, Any] = page.evaluate(RUN, rules)
        found += [
            f"{page.url} ({scheme}): {one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in result["violations"]
            if one["impact"] in GRAVE
        ]
    return found


def crawl(page: Page, begin: list[str]) -> tuple[list[str], list[str]]:
    """The pages that can be reached, and what is wrong with them."""
    wait, seen, found = list(begin), set(), []
    visited = []
    while wait:
        address = wait.pop(0)
        if kind(address) in seen or NO_PAGES.search(address):
            continue
        seen.add(kind(address))
        page.goto(address)
        visited.append(address)
        found += violations(page)
        wait += links(page)
    return visited, found


@pytest.mark.parametrize(("login", "least"), [("olga", 25), ("ulla", 5)])
def test_every_page_can_be_used_by_everybody(window: Window, login: str, least: int) -> None:
    page = window(as_=login, reduced_motion="reduce", **AXE_WORKS)
    visited, found = crawl(page, ["/calls", *WITHOUT_LINKS])
    assert found == [], "\n".join(found)
    assert len(visited) >= least, visited


def test_strangers_can_sign_in(window: Window) -> None:
    visited, found = crawl(window(reduced_motion="reduce", **AXE_WORKS), ["/sign-in"])
    assert found == [], "\n".join(found)
    assert len(visited) >= 2, visited


def test_the_search_finds_what_is_wrong(window: Window) -> None:
    page = window(**AXE_WORKS)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\"><button></button>')")
    assert any("image-alt" in one for one in violations(page))
    assert any("button-name" in one for one in violations(page))
