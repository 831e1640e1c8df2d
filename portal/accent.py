"""One accent colour in two themes: a tenant chooses any, and texts in it can be read all the same.

The colour is made darker until it stands out on light surfaces, and lighter until it does on dark ones: WCAG 2.2,
1.4.3, contrast (minimum). What is written on a button in the accent is white or almost black, whichever can be read.

Not here: where the colour comes from (the tenant), and the other colours (`earshot.css`).
"""

import colorsys
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DEFAULT: Final = "#066fd1"
COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# The darkest surface of the light theme and the lightest of the dark one that an accent is written on: a row under the
# pointer. Both are Tabler's.
LIGHT_SURFACE: Final = (0.945, 0.945, 0.945)
DARK_SURFACE: Final = (0.2, 0.2, 0.2)
# A little above the 4.5 that is asked for: browsers round.
ENOUGH: Final = 4.6
STEPS: Final = 100
WHITE: Final = (1.0, 1.0, 1.0)
INK: Final = (0.07, 0.07, 0.07)

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Accent:
    """Colours as CSS writes them. `on_`: what is written on it; `_strong`: the accent under the pointer."""

    light: str
    on_light: str
    light_strong: str
    dark: str
    on_dark: str
    dark_strong: str


@lru_cache(maxsize=256)
def accent(colour: str) -> Accent:
    """The accent for `#rrggbb`; for anything else the default's."""
    red, green, blue = _parse(colour if COLOUR.fullmatch(colour) else DEFAULT)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = _until_readable(hue, lightness, saturation, LIGHT_SURFACE, darker=True)
    dark = _until_readable(hue, lightness, saturation, DARK_SURFACE, darker=False)
    stronger_light = _moved(light, -0.06)
    stronger_dark = _moved(dark, 0.06)
    return Accent(_css(light), _css(_on(light)), _css(stronger_light), _css(dark), _css(_on(dark)), _css(stronger_dark))


def contrast(one: Rgb, other: Rgb) -> float:
    """How well one can be read on the other, 1 to 21 (WCAG 2.2, contrast ratio)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _until_readable(hue: float, lightness: float, saturation: float, surface: Rgb, *, darker: bool) -> Rgb:
    """The colour of this hue that is nearest to `lightness` and can be read on `surface`."""
    end = 0.0 if darker else 1.0
    colours = (
        colorsys.hls_to_rgb(hue, lightness + (end - lightness) * step / STEPS, saturation) for step in range(STEPS + 1)
    )
    return next(colour for colour in colours if contrast(colour, surface) >= ENOUGH)


def _moved(colour: Rgb, by: float) -> Rgb:
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    return colorsys.hls_to_rgb(hue, min(1.0, max(0.0, lightness + by)), saturation)


def _on(colour: Rgb) -> Rgb:
    return max((WHITE, INK), key=lambda ink: contrast(ink, colour))


def _luminance(colour: Rgb) -> float:
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parse(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour[1:])
    return red / 255, green / 255, blue / 255


def _css(colour: Rgb) -> str:
    return "#" + bytes(round(v * 255) for v in colour).hex()
