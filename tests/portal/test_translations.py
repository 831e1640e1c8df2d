"""No text for people stands in the portal unmarked, and each one that is marked has a translation in every language.

`test_every_page.py` looks at the pages themselves.
"""

import ast
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from jinja2 import Environment, nodes

from portal import catalogues, language

PORTAL = Path(language.__file__).parent
TEMPLATES = PORTAL / "templates"
SCRIPTS = PORTAL / "static" / "js"
# Only parses.
TEMPLATING = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
# Attributes whose values people see or hear.
SHOWN = {"title", "aria-label", "placeholder", "alt", "aria-description", "aria-roledescription", "label", "data-label"}
MARKS = {"_", "gettext", "ngettext", "pgettext", "npgettext"}
# A name is the same in every language.
NAMES = {"Earshot"}
# What these say is read in a terminal or a log, by whoever runs the machine; or it documents the API.
PROGRAMS = {
    *("accounts.py", "accounts_command.py", "assets.py", "catalogues.py", "server.py", "gateways.py"),
    *("commanded.py", "tenancies.py", "tokens.py", "password_rules.py"),
    *("api/models.py", "api/openapi.py"),
}
# Errors that only we can make, why a websocket was closed (pages go by the code), and the log.
OURS = {"RuntimeError", "AssertionError", "ValueError", "TypeError", "LookupError", "KeyError", "OSError", "_close"}
LOGS = {"debug", "info", "warning", "error", "exception"}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|\{(\w+)\}")
# What has one name in the whole world, and words that are written alike in another language.
EVERYWHERE = {"#rrggbb", "API", "BroadWorks", "SIP Call-ID", "SIP Session-ID", "STARTTLS", "TLS", "Web"}
ALIKE = {
    "es": {"%(ms)s ms", "MB", "GB", "TB", "Error", "No", "Roles", "Supervisor", "Token", "Tokens"},
    "fr": {
        *("Action", "Actions", "Administration", "Application", "Archive", "Code", "Codec", "Date", "Format"),
        *("Interaction", "Invitation", "Logo", "Maintenance", "Menu", "Message", "Messages", "Participants", "Pause"),
        *("Port", "Purge", "Sessions", "Supervision"),
    },
    "pt_BR": {
        *("%(ms)s ms", "MB", "GB", "TB", "Codec", "Download", "Jitter", "Link", "Login", "Logout", "Menu", "Status"),
        *("Supervisor", "Token", "Tokens"),
    },
    "ru": set(),
}


# Marked


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


def unmarked(source: str) -> list[str]:
    """Texts of a template that are shown as they stand there; what is computed counts as nothing."""
    parsed = TEMPLATING.parse(source)
    pieces = []
    for output in parsed.find_all(nodes.Output):
        pieces += [node.data if isinstance(node, nodes.TemplateData) else "" for node in output.nodes]
    calls = [call for call in parsed.find_all(nodes.Call) if getattr(call.node, "name", "") in MARKS]
    marked = {id(given) for call in calls for given in call.args}
    # In expressions there are names and classes as well; what begins with a capital letter is meant for people.
    written = [const.value for const in parsed.find_all(nodes.Const) if id(const) not in marked]
    capital = [text for text in written if isinstance(text, str) and re.match(r"[A-Z][a-z]", text) and _words(text)]
    return Unmarked("".join(pieces)).found + capital


def sentences(source: str) -> list[str]:
    """Texts of a module that look as if people were to read them, and that nothing marks."""
    tree = ast.parse(source)
    aside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            aside |= {id(given) for given in ast.walk(node.body[0])} if ast.get_docstring(node) else set()
        elif isinstance(node, ast.Call) and _called(node) in MARKS | OURS | LOGS:
            aside |= {id(given) for given in ast.walk(node)}
        elif isinstance(node, ast.Assert) and node.msg is not None:
            aside |= {id(given) for given in ast.walk(node.msg)}
    texts = [each for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return [text.value for text in texts if id(text) not in aside and _for_people(text.value)]


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _for_people(text: str) -> bool:
    """Two words or more, as a sentence begins or ends; or one that begins like a label."""
    if re.search(r"[<>{}=;\\_/]|::", text):
        return False
    return bool(re.match(r"[A-Z][a-z]+(,? [A-Za-z]+)+[.!?…]?", text) or re.search(r"[a-z]+ [a-z]+[.!?]$", text))


def said_by_script(source: str) -> list[str]:
    """Texts in a script that people would read: they belong into `pages/texts.py`."""
    source = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*|new Error\([^)]*\)|\bkey [!=]== \"\w+\"", "", source, flags=re.DOTALL)
    found = re.findall(r"\"([^\"\n]*)\"|'([^'\n]*)'|`([^`]*)`", source)
    return [text for texts in found for text in texts if re.search(r"^[A-Z][a-z]+( |$)|[a-z] [a-z]+.*[.!?…]$", text)]


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_every_text_of_a_template_is_marked(path: Path) -> None:
    assert unmarked(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PORTAL.rglob("*.py") if str(path.relative_to(PORTAL)) not in PROGRAMS),
    ids=lambda path: str(path.relative_to(PORTAL)),
)
def test_every_text_of_a_module_is_marked(path: Path) -> None:
    assert sentences(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.js")), ids=lambda path: path.name)
def test_no_script_says_anything_by_itself(path: Path) -> None:
    assert said_by_script(path.read_text("utf-8")) == []


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
def test_the_search_for_unmarked_texts_finds_them(source: str, found: list[str]) -> None:
    assert unmarked(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('flash("The user was saved.")', ["The user was saved."]),
        ('flash(gettext("The user was saved."))', []),
        ('x = {"title": "Phone number"}', ["Phone number"]),
        ('raise Problem(409, "Not now", detail)', ["Not now"]),
        ('raise RuntimeError("This cannot be.")', []),
        ('def f():\n    """Says what it is."""\n    log.warning("it is so")', []),
        ('x = f"{n} calls were deleted."', [" calls were deleted."]),
    ],
)
def test_the_search_for_sentences_finds_them(source: str, found: list[str]) -> None:
    assert sentences(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('alert("Not saved.")', ["Not saved."]),
        ("b.textContent = `Calls: ${n}`; c = 'Save'", ["Save"]),
        ('/* It is "So". */ text("not_saved")', []),
    ],
)
def test_the_search_in_scripts_finds_texts(source: str, found: list[str]) -> None:
    assert said_by_script(source) == found


# Translated


@pytest.fixture(scope="module")
def texts() -> Catalog:
    return catalogues.extract()


@cache
def messages(code: str) -> tuple[Message, ...]:
    return tuple(message for message in catalogues.read(code) if message.id)


@pytest.fixture(params=catalogues.TRANSLATED)
def code(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_catalogue_has_the_texts_of_the_portal_and_no_others(code: str, texts: Catalog) -> None:
    """Where this fails, `python -m portal.catalogues` brings the catalogues up to date."""
    said, known = {message.id for message in texts if message.id}, {message.id for message in messages(code)}
    assert (said - known, known - said) == (set(), set())
    path = language.TRANSLATIONS / code / language.CATALOGUE
    assert path.read_bytes() == catalogues.updated(catalogues.read(code), texts), "it is written otherwise"


def test_every_text_is_translated(code: str) -> None:
    assert [message.id for message in catalogues.waiting(catalogues.read(code))] == []


def test_no_translation_is_a_guess(code: str) -> None:
    assert [message.id for message in messages(code) if message.fuzzy] == []


def test_a_translation_has_a_form_for_each_number(code: str) -> None:
    forms = catalogues.read(code).num_plurals
    assert [message.id for message in messages(code) if message.pluralizable and len(message.string) != forms] == []


def test_a_translation_holds_the_words_that_are_filled_in(code: str) -> None:
    def words(text: str) -> set[str]:
        return {one or other for one, other in PLACEHOLDER.findall(text)}

    wrong = []
    for message in messages(code):
        said = message.id[1] if message.pluralizable else message.id
        told = message.string if message.pluralizable else (message.string,)
        wrong += [text for text in told if words(text) != words(said) or bad_percent(text)]
    assert wrong == []


def bad_percent(text: str) -> bool:
    """A per cent sign in a text with placeholders that would be taken for one of them."""
    return "%" in re.sub(r"%%|%\(\w+\)[sd]", "", text) and "%(" in text


def _said(message: Message) -> list[str]:
    """The words of a text, without those that are filled in."""
    return _words(PLACEHOLDER.sub("", str(message.id)))


def test_a_translation_is_no_copy(code: str) -> None:
    copies = [message.id for message in messages(code) if message.string == message.id and _said(message)]
    assert set(copies) - ALIKE[code] - EVERYWHERE == set()


def test_russian_is_written_in_its_own_letters() -> None:
    latin = [message for message in messages("ru") if not re.search(r"[\u0410-\u044f]", str(message.string))]
    assert {message.id for message in latin if _said(message)} - EVERYWHERE == set()


def test_a_translation_ends_as_the_text_does(code: str) -> None:
    """A sentence stays a sentence, and a label a label."""
    ends = ".?…:"
    wrong = []
    for message in messages(code):
        said = message.id[1] if message.pluralizable else message.id
        told = message.string if message.pluralizable else (message.string,)
        wrong += [text for text in told if (text[-1:] in ends) != (said[-1:] in ends)]
    assert wrong == []


# Catalogues


def test_bringing_a_catalogue_up_to_date_keeps_its_translations_and_guesses_none() -> None:
    old = Catalog(locale="fr")
    old.add("Kept", "Gardé")
    old.add("Gone", "Parti")
    new = Catalog()
    new.add("Kept")
    new.add("Kept too")
    written = catalogues.updated(old, new).decode()
    assert 'msgid "Kept"\nmsgstr "Gardé"' in written
    assert 'msgid "Kept too"\nmsgstr ""' in written
    assert "Gone" not in written
    assert "Plural-Forms: nplurals=2; plural=(n > 1);" in written
    assert not re.search(r"Date|#:", written)


def test_texts_of_templates_modules_and_plurals_are_found(texts: Catalog) -> None:
    assert texts.get("Password") is not None
    assert texts.get("Login and password do not fit together, or this account has no web access.") is not None
    assert any(message.pluralizable for message in texts)
