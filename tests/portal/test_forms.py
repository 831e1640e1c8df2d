"""What is filled in: values kept, sentences at their fields, and a page that shows both again."""

import pytest
from quart import render_template_string
from quart_trio import QuartTrio

from portal.app import create_app
from portal.config import PortalConfig
from portal.forms import Form, filled, submitted
from schema.refusals import Refusal


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


def form(**values: str | list[str]) -> Form:
    return Form({name: [value] if isinstance(value, str) else value for name, value in values.items()})


@pytest.mark.parametrize(
    ("given", "options", "read", "wrong"),
    [
        ("  Anna ", {"most": 10}, "Anna", ""),
        ("", {"most": 10}, "", ""),
        (" ", {"most": 10, "required": True}, "", "Please fill in this field."),
        ("x" * 11, {"most": 10}, "x" * 11, "This is too long: at most 10 characters fit."),
        ("An\x00na", {"most": 10}, "An\x00na", "This has characters in it that cannot be shown."),
        ("a\nb", {"most": 10}, "a\nb", "This has characters in it that cannot be shown."),
        ("a\r\nb", {"most": 10, "lines": True}, "a\nb", ""),
        ("a\x07b", {"most": 10, "lines": True}, "a\x07b", "This has characters in it that cannot be shown."),
    ],
)
async def test_a_text(app: QuartTrio, given: str, options: dict[str, object], read: str, wrong: str) -> None:
    async with app.test_request_context("/"):
        f = form(name=given)
        assert f.text("name", **options) == read
        assert f.errors == ({"name": wrong} if wrong else {})
        assert f.ok is not bool(wrong)


@pytest.mark.parametrize(
    ("given", "read", "fits"),
    [
        ("5", 5, True),
        (" 5 ", 5, True),
        ("", None, True),
        ("0", None, False),
        ("11", None, False),
        ("-5", None, False),
        ("5.5", None, False),
        ("\u0665", None, False),
        ("9" * 5000, None, False),
    ],
)
async def test_a_number(app: QuartTrio, given: str, read: int | None, fits: bool) -> None:
    async with app.test_request_context("/"):
        f = form(count=given)
        assert f.number("count", least=1, most=10) == read
        assert f.errors == ({} if fits else {"count": "This must be a whole number from 1 to 10."})


async def test_only_what_a_page_offers_can_be_chosen(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        f = form(one="a", some=["a", "b", "a"], other="z", others=["a", "z"])
        assert f.choice("one", ["", "a"]) == "a"
        assert f.choices("some", ["a", "b"]) == ["a", "b"]
        assert f.ok
        f.choice("other", ["a"])
        f.choices("others", ["a"])
        f.choice("missing", ["a"])
        assert f.errors.keys() == {"other", "others", "missing"}


async def test_a_secret_comes_as_it_is_and_is_never_shown_again(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        f = form(**{"password": "  correct horse "})
        assert f.secret("password", most=100) == "  correct horse "
        assert "password" not in f.values
        f.secret("password", most=100)
        assert f.ok


async def test_a_refusal_stands_at_the_field_that_it_is_about(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        f = form(name="Support")
        f.refuse(Refusal("group_taken", "name", group="Support", tenant="Acme"))
        assert f.errors == {"name": "There is a group Support in Acme already."}
        assert f.first_wrong == "name"


async def test_the_first_sentence_about_a_field_stays(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        f = form(name="")
        f.text("name", most=3, required=True)
        f.wrong("Something else.", "name")
        assert f.errors == {"name": "Please fill in this field."}


def test_a_form_shows_what_is_stored() -> None:
    f = filled(name="Anna", count=3, ticked=True, unticked=False, nothing=None, many=["a", "b"])
    assert f.values == {"name": ["Anna"], "count": ["3"], "ticked": ["on"], "many": ["a", "b"]}
    assert f.checked("ticked")
    assert not f.checked("unticked")


async def test_what_is_submitted_is_read_field_by_field(app: QuartTrio) -> None:
    async with app.test_request_context("/", method="POST", form={"kind": "users", "q": " x "}):
        f = await submitted()
        assert f.get("kind") == "users"
        assert f.text("q", most=5) == "x"
        assert f.get("missing") == ""
        assert not f.files


PAGE = """{% from "forms.html" import form, field, select, checkbox, checkboxes, textarea, post_button %}
{% call form(f, "/groups") %}
{{ field(f, "name", "Name", required=true, maxlength=20, hint="Short.") }}
{{ field(f, "secret", "Secret", type="password") }}
{{ select(f, "language", "Language", [("", "Inherited"), ("fr", "Francais")]) }}
{{ textarea(f, "note", "Note") }}{{ checkbox(f, "on", "On") }}
{{ checkboxes(f, "many", "Many", [("a", "A"), ("b", "B")]) }}
{% endcall %}{{ post_button("/delete", "Delete", question="Delete <this>?", confirm="Yes") }}"""


async def show(app: QuartTrio, f: Form) -> str:
    async with app.test_request_context("/"):
        return await render_template_string(PAGE, f=f)


async def test_a_form_that_was_wrong_shows_its_values_its_sentences_and_has_the_cursor_in_the_first(
    app: QuartTrio,
) -> None:
    given = {"name": "<Anna>", "secret": "hush", "language": "fr", "note": "a\nb", "many": ["b"], "on": "on"}
    f = form(**given)
    f.wrong("Too bad.", "language")
    f.wrong("Worse.", "many")
    page = await show(app, f)
    assert 'value="&lt;Anna&gt;"' in page
    assert "hush" not in page
    assert 'name="language" aria-invalid="true" autofocus="" aria-describedby="error-language"' in page
    assert page.count("autofocus") == 1
    assert '<a class="alert-link" href="#field-language">Too bad.</a>' in page
    assert '<div class="invalid-feedback d-block" id="error-many">Worse.</div>' in page
    assert '<option value="fr" selected>' in page
    assert "a\nb</textarea>" in page
    assert 'value="b" checked' in page
    assert 'name="on" type="checkbox" checked' in page


async def test_a_form_without_faults_says_nothing_of_them(app: QuartTrio) -> None:
    page = await show(app, filled(name="Anna"))
    assert 'role="alert"' not in page
    assert "aria-invalid" not in page
    assert 'name="name" type="text" value="Anna" required="" aria-describedby="hint-name" maxlength="20"' in page


async def test_a_button_that_cannot_be_undone_asks_first_and_every_form_bears_the_token(app: QuartTrio) -> None:
    page = await show(app, Form())
    assert 'data-confirm="Delete &lt;this&gt;?" data-confirm-button="Yes"' in page
    assert page.count('name="csrf_token"') == page.count("<form") == 2
