"""Whatever colour a tenant chooses, what is written in it and on it can be read in both themes (WCAG 2.2, 1.4.3)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.accent import DARK_SURFACE, DEFAULT, INK, LIGHT_SURFACE, WHITE, Rgb, accent, contrast

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
AA = 4.5
DARK_PAGE = (0x17 / 255,) * 3


def rgb(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour[1:])
    return red / 255, green / 255, blue / 255


@pytest.mark.parametrize(("one", "other", "ratio"), [(WHITE, (0, 0, 0), 21), (WHITE, WHITE, 1), ((0, 0, 0), WHITE, 21)])
def test_contrast_is_that_of_the_guidelines(one: Rgb, other: Rgb, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio)


@given(COLOURS)
def test_texts_in_the_accent_can_be_read(colour: str) -> None:
    made = accent(colour)
    for shade in (made.light, made.light_strong):
        assert contrast(rgb(shade), LIGHT_SURFACE) >= AA
        assert contrast(rgb(shade), WHITE) >= AA
    for shade in (made.dark, made.dark_strong):
        assert contrast(rgb(shade), DARK_SURFACE) >= AA
        assert contrast(rgb(shade), DARK_PAGE) >= AA


@given(COLOURS)
def test_texts_on_the_accent_can_be_read(colour: str) -> None:
    made = accent(colour)
    for ink, shades in (
        (made.on_light, (made.light, made.light_strong)),
        (made.on_dark, (made.dark, made.dark_strong)),
    ):
        assert all(contrast(rgb(ink), rgb(shade)) >= AA for shade in shades)


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert accent("#0a5c36").light == "#0a5c36"
    assert accent("#9ec5fe").dark == "#9ec5fe"


@pytest.mark.parametrize("colour", ["", "red", "#12345", "#1234567", "#12345g", "#123456;}body{display:none"])
def test_what_is_no_colour_is_never_written_into_a_page(colour: str) -> None:
    assert accent(colour) == accent(DEFAULT)


@given(COLOURS)
def test_colours_are_written_as_style_sheets_have_them(colour: str) -> None:
    made = accent(colour)
    for shade in (made.light, made.on_light, made.light_strong, made.dark, made.on_dark, made.dark_strong):
        assert re.fullmatch(r"#[0-9a-f]{6}", shade)


def test_ink_is_dark() -> None:
    assert contrast(INK, WHITE) > 15
