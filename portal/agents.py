"""What browser and system a `User-Agent` header speaks of, in words that people know their own devices by.

It is a guess: browsers claim to be each other. Nothing but a list for their owner depends on it.
"""

import re
from typing import Final

from quart_babel import gettext

# The first that fits: each of them claims to be those that follow.
BROWSERS: Final = (
    (re.compile(r"Edg(e|A|iOS)?/"), "Edge"),
    (re.compile(r"OPR/|Opera"), "Opera"),
    (re.compile(r"SamsungBrowser/"), "Samsung"),
    (re.compile(r"Vivaldi/"), "Vivaldi"),
    (re.compile(r"Firefox/|FxiOS/"), "Firefox"),
    (re.compile(r"CriOS/|Chrome/|Chromium/"), "Chrome"),
    (re.compile(r"Safari/"), "Safari"),
    (re.compile(r"curl/"), "curl"),
)
SYSTEMS: Final = (
    (re.compile(r"iPhone"), "iPhone"),
    (re.compile(r"iPad"), "iPad"),
    (re.compile(r"Android"), "Android"),
    (re.compile(r"Windows"), "Windows"),
    (re.compile(r"CrOS"), "ChromeOS"),
    (re.compile(r"Macintosh"), "macOS"),
    (re.compile(r"Linux|X11"), "Linux"),
)
HANDHELD: Final = re.compile(r"iPhone|Android.*Mobile")


def browser(user_agent: str) -> str:
    """`Firefox on Windows`."""
    known = next((name for pattern, name in BROWSERS if pattern.search(user_agent)), "")
    system = next((name for pattern, name in SYSTEMS if pattern.search(user_agent)), "")
    if known and system:
        return gettext("%(browser)s on %(system)s", browser=known, system=system)
    return known or system or gettext("Unknown browser")


def is_handheld(user_agent: str) -> bool:
    """Whether it is a telephone's."""
    return HANDHELD.search(user_agent) is not None
