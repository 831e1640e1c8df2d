"""What people type: trimmed, refused where it cannot be meant, and compared whichever way it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema import checked
from schema.refusals import Refusal


@pytest.mark.parametrize(
    ("one", "other"),
    [("MÜLLER", "müller"), ("Strauß", "STRAUSS"), ("Mu\u0308ller", "Müller"), ("\uff21\uff22", "ab"), ("İ", "i\u0307")],
)
def test_names_are_one_however_they_are_written(one: str, other: str) -> None:
    assert checked.folded(one) == checked.folded(other)


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert checked.folded(checked.folded(text)) == checked.folded(text)


@pytest.mark.parametrize("good", ["a@b.example", "a+b@localhost", "jörg@bücher.example", " a@b.example "])
def test_an_address_is_taken(good: str) -> None:
    assert checked.email(good) == good.strip()


@pytest.mark.parametrize(
    "bad",
    [
        "amy",
        "@b.example",
        "a@",
        "a@b@c",
        "a b@c.example",
        "a@b..example",
        "a@b.example\r\nBcc: c@d.example",
        "Amy <a@b.example>",
        "a@b.example, c@d.example",
        "a@b.example\0",
        "a" * 250 + "@b.example",
    ],
)
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked.email(bad)
    assert refused.value.code == "email_refused"


@pytest.mark.parametrize(
    ("given_host", "kept"),
    [
        ("Calls.Example.COM", "calls.example.com"),
        ("calls.example.com.", "calls.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_name_is_kept_as_browsers_send_it(given_host: str, kept: str) -> None:
    assert checked.host(given_host) == kept


@pytest.mark.parametrize(
    "bad", ["", "a b", "a_b", "a:443", "a/b", "a..b", "-a", "a-", "a" * 64, "a." * 127 + "ab", "%", '"']
)
def test_what_is_no_host_name_is_refused(bad: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked.host(bad)
    assert refused.value.code == "host_refused"


@given(st.text())
def test_whatever_is_typed_is_taken_or_refused(text: str) -> None:
    for check in (checked.login, checked.email, checked.host, checked.colour, checked.language, checked.tenant_name):
        try:
            kept = check(text)
        except Refusal:
            continue
        assert kept.isprintable()
        assert check(kept) == kept
