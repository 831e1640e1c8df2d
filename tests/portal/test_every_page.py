"""Every page in every language: nothing on it is English but what people and machines are called.

Each text that goes through gettext comes back in ⟦brackets⟧, and all that tests store is Greek: so whatever Latin
letters are shown outside of brackets were never marked. The pages are made for a Greek browser, so that dates, numbers
and names of places that Babel writes have no Latin letters, either. Then each page is made in each language of the
portal, where a text that the catalogue does not have is noted.

The pages are found by walking the routes: one whose objects are not given here fails.
"""

import json
import re
from html.parser import HTMLParser
from typing import Any, Final

import pytest
from babel.support import NullTranslations, Translations
from quart_trio import QuartTrio
from werkzeug.routing import Rule

from portal import language
from tests.portal.house import House, furnish

GREEK: Final = "el"
OPEN, CLOSE = "⟦", "⟧"
SHOWN: Final = {"title", "placeholder", "aria-label", "alt", "label", "data-confirm", "data-confirm-button"}
# Names of people's things, and what is written alike everywhere.
NAMES: Final = {
    *("Earshot", "UTC", "SHA", "SIP", "kB", "MB", "GB"),
    *("Opus", "MP", "WAV", "FLAC", "PCMU", "PCMA"),
    *("digital", "byte"),  # Babel has no Greek for them
    "csv",
    "Default",  # the tenant's name before this house gave it another: the audit trail tells
    *re.findall(r"[A-Za-z]+", " ".join(language.LANGUAGES.values())),
}
EMPTY: Final = {"input", "img", "link", "meta", "br", "hr", "use", "col", "source", "wbr"}
# Elements, and menus by their names, whose content is data: values as a file has them, places as Babel calls them.
DATA: Final = {"script", "style", "code", "kbd", "samp", "ins", "del", "time_zone"}
# Ids, addresses and the like.
MACHINE: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27,}|\b[0-9a-f]{16,}\b|\S+@\S+|\b(?:sips?|https?|mailto|otpauth)[:/]\S*|\b\w+\.example\S*|#\w{6}\b|\bpreferred_username\b"
)


class Marking(NullTranslations):
    """Texts in brackets. `missing` collects what the catalogue does not have; without one, nothing is translated."""

    def __init__(self, catalogue: Translations | None = None) -> None:
        super().__init__()
        self.catalogue = catalogue
        self.missing: set[str] = set()

    def ugettext(self, message: str) -> str:
        return self._mark(message, message)

    def ungettext(self, singular: str, plural: str, number: int) -> str:
        if self.catalogue is not None and (singular, self.catalogue.plural(number)) in self.catalogue._catalog:
            return f"{OPEN}{self.catalogue.ungettext(singular, plural, number)}{CLOSE}"
        return self._mark(singular, singular if number == 1 else plural)

    def upgettext(self, context: str, message: str) -> str:
        key = f"{context}\x04{message}"
        if self.catalogue is not None and key in self.catalogue._catalog:
            return f"{OPEN}{self.catalogue.upgettext(context, message)}{CLOSE}"
        return self._mark(key, message)

    def _mark(self, key: str, text: str) -> str:
        if self.catalogue is not None:
            if not self.catalogue._catalog.get(key):
                self.missing.add(key)
            text = self.catalogue.ugettext(text)
        return f"{OPEN}{text}{CLOSE}"


class Seen(HTMLParser):
    """What a page shows outside of brackets: by its elements, which may stand within a text, and its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self._depth = 0
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "time":  # its title is the exact moment
            self.outside += [_outside(value or "")[0] for name, value in attrs if name in SHOWN]
        if tag == "input" and given.get("type") in ("submit", "button"):
            self.outside.append(_outside(given.get("value") or "")[0])
        if tag not in EMPTY:
            texts = (given.get("id") or "").startswith("texts")
            self._inside.append("texts" if texts else given.get("name") or tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if "texts" in self._inside:
            self.outside += [_outside(text)[0] for text in json.loads(data).values()]
        elif not DATA & set(self._inside):
            text, self._depth = _outside(data, self._depth)
            self.outside.append(text)


def _outside(text: str, depth: int = 0) -> tuple[str, int]:
    """What of a text is in no brackets, and in how many its end is."""
    kept = []
    for character in text:
        depth += (character == OPEN) - (character == CLOSE)
        kept.append(character if depth == 0 and character != CLOSE else " ")
    return " ".join("".join(kept).split()), depth


def unmarked(page: str) -> list[str]:
    """What a page shows in Latin letters outside of brackets."""
    words = ((text, re.findall(r"[A-Za-z]{2,}", MACHINE.sub(" ", text))) for text in Seen(page).outside)
    return [text for text, found in words if not NAMES.issuperset(found)]


def pages(app: QuartTrio) -> list[Rule]:
    """The routes that answer with a page."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and not rule.websocket
        and rule.endpoint not in NO_PAGES
        and not rule.endpoint.startswith("api.")
    ]


# Files, and what leads on to a page.
NO_PAGES: Final = {
    *("static", "health", "home", "audio.play", "audio.download", "audio.peaks", "tenants.logo"),
    *("audit.export_csv", "audit.export_jsonl", "imports.template", "users.template", "users.export"),
    *("users.complete", "customization.colours", "oidc.start", "oidc.callback"),
}


@pytest.fixture
async def house(app: QuartTrio) -> House:
    return await furnish(app)


async def each_page(app: QuartTrio, house: House, spoken: str) -> dict[str, str]:
    """What every page shows, by its address."""
    shown = {}
    found = [(visitor, address, 200) for rule in pages(app) for visitor, address in house.addresses(rule)]
    for visitor, address, status in [*found, *house.refusals()]:
        response = await visitor.get(address, headers={"Accept-Language": spoken.replace("_", "-")})
        assert response.status_code == status, address
        shown[address] = (await response.get_data()).decode()
    return shown


def speak(app: QuartTrio, code: str, texts: Any) -> None:
    catalogues: language.Catalogues = app.extensions["babel"].instance.domain_instance
    catalogues.known = {**catalogues.known, code: texts}


async def test_no_page_shows_a_text_that_nobody_marked(
    app: QuartTrio, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(language.LANGUAGES, GREEK, "Ελληνικά")
    speak(app, GREEK, Marking())
    found = {}
    for address, page in (await each_page(app, house, GREEK)).items():
        assert f'<html lang="{GREEK}"' in page, address
        assert page.count(OPEN) > 3, address
        if left := unmarked(page):
            found[address] = left
    assert found == {}, json.dumps(found, ensure_ascii=False, indent=1)


@pytest.mark.parametrize("code", [code for code in language.LANGUAGES if code != language.DEFAULT_LANGUAGE])
async def test_every_page_comes_in_every_language(app: QuartTrio, house: House, code: str) -> None:
    marking = Marking(language.load()[code])
    speak(app, code, marking)
    for address, page in (await each_page(app, house, code)).items():
        assert f'<html lang="{code.replace("_", "-")}"' in page, address
        assert page.count(OPEN) > 3, address
    assert marking.missing == set()


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<p>⟦Hello⟧</p>", []),
        ("<p>Hello</p>", ["Hello"]),
        ("<p>⟦Hello ⟦the⟧ world⟧ there</p>", ["there"]),
        ('<p title="Hello">άννα</p>', ["Hello"]),
        ('<time title="2026-07-01T12:00:00Z">1 Ιουλ</time>', []),
        ('<script>let x = "Hello"</script><style>p { color: red }</style>', []),
        ('<script id="texts" type="application/json">{"a": "⟦A⟧", "b": "Bad"}</script>', ["Bad"]),
        ("<p>01890a5d-ac96-774b-bcce-b302099a8057 sip:300@pbx.example 12 kB</p>", []),
        ('<form data-confirm="Sure?"><input type="submit" value="Save"></form>', ["Sure?", "Save"]),
    ],
)
def test_the_search_for_unmarked_texts_finds_them(page: str, found: list[str]) -> None:
    assert unmarked(page) == found
