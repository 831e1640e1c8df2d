"""Tokens: for one node, one key and half a minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.token import LIFE_S, SKEW_S, TokenRefused, check_token, make_token

KEY = b"k" * 32
NOW = 1_795_000_000.0


def test_a_token_lives_for_half_a_minute() -> None:
    token = make_token(KEY, "recorder-1", NOW)
    for now in (NOW - SKEW_S, NOW, NOW + LIFE_S - 1):
        check_token(KEY, "recorder-1", token, now)
    for now in (NOW - SKEW_S - 2, NOW + LIFE_S + 1):
        with pytest.raises(TokenRefused, match="expired"):
            check_token(KEY, "recorder-1", token, now)


def test_it_opens_one_node_under_one_key() -> None:
    token = make_token(KEY, "recorder-1", NOW)
    with pytest.raises(TokenRefused, match="for node recorder-1; this is recorder-2"):
        check_token(KEY, "recorder-2", token, NOW)
    with pytest.raises(TokenRefused, match="another master key"):
        check_token(b"x" * 32, "recorder-1", token, NOW)


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)))
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        check_token(KEY, "recorder-1", token, NOW)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_token_is_refused(place: int, character: str) -> None:
    token = make_token(KEY, "recorder-1", NOW)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    # Both alphabets of base64 are read, and the last character has bits that say nothing.
    if changed.translate({43: "-", 47: "_"}) == token or place in (token.index(".") - 1, len(token) - 1):
        return
    with pytest.raises(TokenRefused):
        check_token(KEY, "recorder-1", changed, NOW)
