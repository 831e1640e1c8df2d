"""Languages and time zones, and that no text for people stands in a template unmarked."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from jinja2 import nodes
from quart import g
from quart_babel import gettext
from quart_trio import QuartTrio

from portal import language
from portal.app import create_app
from portal.config import PortalConfig
from schema.roles import Role
from schema.values import Account
from tests.portal.visitor import Visitor

TEMPLATES = Path(language.__file__).with_name("templates")
NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
# Attributes whose values people see or hear.
SHOWN = {"title", "aria-label", "placeholder", "alt", "aria-description", "aria-roledescription", "label", "data-label"}
MARKS = {"_", "gettext", "ngettext", "pgettext", "npgettext"}
# A name is the same in every language.
NAMES = {"Earshot"}


class Unmarked(HTMLParser):
    """Collects what a page shows though nobody marked it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        self.found += [value or "" for name, value in attrs if name in SHOWN and _words(value or "")]

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in not in ("script", "style") and _words(data):
            self.found.append(data.strip())


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]{2,}", text) if word not in NAMES]


def unmarked(app: QuartTrio, source: str) -> list[str]:
    """Texts of a template that are shown as they stand there; what is computed counts as nothing."""
    parsed = app.jinja_env.parse(source)
    pieces = []
    for output in parsed.find_all(nodes.Output):
        pieces += [node.data if isinstance(node, nodes.TemplateData) else "" for node in output.nodes]
    calls = [call for call in parsed.find_all(nodes.Call) if getattr(call.node, "name", "") in MARKS]
    marked = {id(given) for call in calls for given in call.args}
    # In expressions there are names and classes as well; what begins with a capital letter is meant for people.
    written = [const.value for const in parsed.find_all(nodes.Const) if id(const) not in marked]
    capital = [text for text in written if isinstance(text, str) and re.match(r"[A-Z][a-z]", text) and _words(text)]
    return Unmarked("".join(pieces)).found + capital


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


def account(**values: str) -> Account:
    given = {"language": "", "time_zone": "", **values}
    return Account(UUID(int=1), UUID(int=2), "Default", "anna", "Anna", Role.USER, True, **given)


# Texts


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_every_text_of_a_template_is_marked(app: QuartTrio, path: Path) -> None:
    assert unmarked(app, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<p>{{ _("Hello") }}</p>', []),
        ("{% trans %}Hello{% endtrans %}", []),
        ('<img alt="A dog">', ["A dog"]),
        ('<p class="mb-3 text">{{ name }} · 12 / {{ x }}</p>', []),
        ("{% if a %}<b>{{ b }} calls</b>{% endif %}", ["calls"]),
        ('{{ fact("Started", _("Begun"), "text-secondary me-2") }}', ["Started"]),
        ("<script>let text = 1;</script>Earshot", []),
    ],
)
def test_the_search_for_unmarked_texts_finds_them(app: QuartTrio, source: str, found: list[str]) -> None:
    assert unmarked(app, source) == found


def test_marked_texts_of_templates_and_code_can_be_extracted() -> None:
    """As `pybabel extract` does it for whoever translates."""
    found = extract_from_file("jinja2", TEMPLATES / "signin.html", options={"newstyle_gettext": "true"})
    assert "Password" in {message for _, message, *_ in found}
    found = extract_from_file("python", TEMPLATES.parent / "signin.py")
    assert any(str(message).startswith("Login and password do not fit") for _, message, *_ in found)


async def test_a_catalogue_is_all_that_a_translation_needs(
    config: PortalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalog(locale="de")
    catalogue.add("Sign in", "Anmelden")
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "messages.mo").open("wb") as file:
        write_mo(file, catalogue)
    monkeypatch.setattr(language, "TRANSLATIONS", tmp_path)
    visitor = Visitor(create_app(config, None))
    german = (await (await visitor.get("/sign-in", headers={"Accept-Language": "fr, de-AT;q=0.8"})).get_data()).decode()
    assert 'lang="de"' in german
    assert "Anmelden" in german
    assert "Password" in german  # what is not translated yet stays as it is
    english = (await (await visitor.get("/sign-in", headers={"Accept-Language": "fr"})).get_data()).decode()
    assert 'lang="en"' in english
    assert "Sign in" in english


# Zones


@pytest.mark.parametrize(
    ("of_account", "of_browser", "shown"),
    [
        ("", "", "12:00"),
        ("", "Europe/Berlin", "2:00"),
        ("America/New_York", "Europe/Berlin", "8:00"),
        ("Mars/Olympus", "Europe/Berlin", "2:00"),
        ("", "../../etc/passwd", "12:00"),
    ],
)
async def test_times_are_in_the_viewers_zone(app: QuartTrio, of_account: str, of_browser: str, shown: str) -> None:
    async with app.test_request_context("/", headers={"Cookie": f"earshot_zone={of_browser}"}):
        g.account = account(time_zone=of_account)
        for filtered in (language.clock(NOON), language.moment(NOON)):
            assert f"{shown}:00" in filtered
            assert 'title="2026-07-01T12:00:00.250Z"' in filtered


async def test_a_date_is_the_viewers(app: QuartTrio) -> None:
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    async with app.test_request_context("/", headers={"Cookie": "earshot_zone=Europe/Berlin"}):
        assert "Jul 2, 2026" in language.day(late)


async def test_the_accounts_language_comes_first(
    app: QuartTrio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("de", "fr"):
        (tmp_path / name / "LC_MESSAGES").mkdir(parents=True)
        (tmp_path / name / "LC_MESSAGES" / "messages.mo").touch()
    monkeypatch.setattr(language, "TRANSLATIONS", tmp_path)
    async with app.test_request_context("/", headers={"Accept-Language": "de"}):
        assert language.language() == "de"
        g.account = account(language="fr")
        assert language.language() == "fr"
        g.account = account(language="nonsense")
        assert language.language() == "de"


async def test_texts_outside_of_a_request_stay_as_they_are() -> None:
    assert gettext("Sign in") == "Sign in"
