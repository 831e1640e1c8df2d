"""Languages and time zones: texts by gettext, dates, numbers and sizes by Babel, in the reader's own.

English is what the sources hold; each other language is a catalogue below portal/translations, which is read as it is
when the portal starts (four languages of a thousand messages: a tenth of a second), so that nothing has to be
compiled. The language and zone of somebody who is signed in are his account's, which the database has resolved: his
own, else his group's, his tenant's, the platform's. Everybody else has the tenant's whose host name he asks, else the
best that his browser wants; his zone is the one that `js/theme.js` tells in a cookie.

Not here: texts, and making catalogues (`catalogues.py`).
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

import pytz
from babel.core import Locale, get_global
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from babel.units import format_unit
from markupsafe import Markup
from quart import Quart, current_app, g
from quart_babel import Babel, format_date, format_datetime, format_time, get_locale
from quart_babel.domain import Domain

from portal import doorway, gate
from portal.proxy import at_hand

TRANSLATIONS: Final = Path(__file__).with_name("translations")
CATALOGUE: Final = Path("LC_MESSAGES", "messages.po")
DEFAULT_LANGUAGE: Final = "en"
# What the portal speaks, each by its own name; the order is that of menus.
LANGUAGES: Final[Mapping[str, str]] = {
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "pt_BR": "Português (Brasil)",
    "ru": "Русский",
}
DEFAULT_ZONE: Final = "UTC"
ZONE_COOKIE: Final = "earshot_zone"
ZONES: Final = frozenset(available_timezones())
# Where quart-babel keeps the language and zone at hand.
_CONTEXT: Final = "_quart_babel"
_UNITS: Final = ("digital-byte", "digital-kilobyte", "digital-megabyte", "digital-gigabyte", "digital-terabyte")


class Catalogues(Domain):
    """The texts of each language that has a catalogue, and English."""

    def __init__(self, known: Mapping[str, NullTranslations]) -> None:
        super().__init__()
        self.known = known

    def get_translations(self) -> NullTranslations:
        """Those of the language at hand; outside of a request the sources' own."""
        return self.known.get(str(get_locale() or DEFAULT_LANGUAGE)) or self.known[DEFAULT_LANGUAGE]


class _Babel(Babel):
    domain_instance: Catalogues


def load(folder: Path = TRANSLATIONS) -> dict[str, NullTranslations]:
    """English, and what the catalogues below `folder` hold."""
    known: dict[str, NullTranslations] = {DEFAULT_LANGUAGE: NullTranslations()}
    for path in sorted(folder.glob(f"*/{CATALOGUE}")):
        compiled = io.BytesIO()
        language = path.relative_to(folder).parts[0]
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=language))
        compiled.seek(0)
        known[language] = Translations(compiled)
    return known


def register(app: Quart) -> None:
    """Makes templates translatable (`_`, `gettext`, `ngettext`, `trans`) and gives them dates, numbers and sizes.

    Filters: `moment`, `day`, `clock` show a datetime as date and time, date, or time, with the exact moment on hover;
    `size` shows bytes.
    """
    babel = _Babel(
        app,
        default_locale=DEFAULT_LANGUAGE,
        default_timezone=DEFAULT_ZONE,
        locale_selector=language,
        timezone_selector=zone,
    )
    babel.domain_instance = Catalogues(load())
    app.jinja_env.filters.update(moment=moment, day=day, clock=clock, size=size)
    app.add_template_global(html_language, "html_language")
    app.add_template_global(zone, "zone")
    app.add_template_global(zone_name, "zone_name")


def language() -> str:
    """The language of the current request: the account's, else the tenant's, else the best of the browser's."""
    visitor, door = gate.visitor(), doorway.at_hand()
    wanted = visitor.language if visitor is not None else door.language if door is not None else ""
    return best([wanted]) or of_browser()


def of_browser() -> str:
    """The language that the browser at hand wants most, of those that the portal speaks."""
    return best(at_hand().accept_languages.values()) or DEFAULT_LANGUAGE


def best(wanted: Iterable[str]) -> str:
    """The first of these that the portal speaks, as its code in `LANGUAGES`; empty where it speaks none.

    `fr-CA` is answered in French: what a country writes differently is less than what another language does.
    """
    spoken = {code.partition("_")[0]: code for code in catalogues().known}
    found = (spoken.get(tag.replace("-", "_").partition("_")[0].lower()) for tag in wanted)
    return next(filter(None, found), "")


def catalogues() -> Catalogues:
    """Those of the current application."""
    found: Catalogues = current_app.extensions["babel"].instance.domain_instance
    return found


@contextmanager
def speaking(language: str, time_zone: str = "") -> Iterator[None]:
    """Texts and dates inside are in this language and zone, whoever asks: mails are their reader's.

    Only within a request, or a context of the application (`async with app.app_context()`).
    """
    before = g.get(_CONTEXT)
    inside = SimpleNamespace(
        babel_locale=Locale.parse(best([language]) or DEFAULT_LANGUAGE),
        babel_tzinfo=pytz.timezone(time_zone if time_zone in ZONES else DEFAULT_ZONE),
    )
    setattr(g, _CONTEXT, inside)
    try:
        yield
    finally:
        setattr(g, _CONTEXT, before or SimpleNamespace())


def html_language() -> str:
    """The language of the page as HTML names it: `pt-BR`."""
    return str(get_locale() or DEFAULT_LANGUAGE).replace("_", "-")


def zone() -> str:
    """The time zone of the current request, as its name in the IANA database."""
    visitor = gate.visitor()
    return visitor.time_zone if visitor is not None and visitor.time_zone in ZONES else zone_of_browser()


def zone_of_browser() -> str:
    """The time zone that the browser at hand is in."""
    told = at_hand().cookies.get(ZONE_COOKIE, "")
    return told if told in ZONES else DEFAULT_ZONE


def zone_name(name: str = "") -> str:
    """A time zone by its city and its distance from UTC: `Berlin (UTC+01:00)`. Without a name the current request's."""
    known = name or zone()
    return _zone_name(known if known in ZONES else DEFAULT_ZONE, _locale(), datetime.now(UTC).date())


def zones() -> list[tuple[str, str]]:
    """What a menu of time zones offers: names in the IANA database, and how people call them; from west to east."""
    return list(_zones(_locale(), datetime.now(UTC).date()))


def moment(at: datetime) -> Markup:
    """Date and time of day, in the viewer's zone."""
    return _time(at, format_datetime(at, "medium"))


def day(at: datetime) -> Markup:
    """The date, in the viewer's zone."""
    return _time(at, format_date(at, "medium"))


def clock(at: datetime) -> Markup:
    """The time of day, in the viewer's zone."""
    return _time(at, format_time(at, "medium"))


def size(number_of_bytes: float) -> str:
    """Bytes in the unit that people read: `178.5 kB`."""
    power = min(int(math.log(number_of_bytes, 1000)), len(_UNITS) - 1) if number_of_bytes >= 1 else 0
    width: Literal["long", "short"] = "short" if power else "long"
    return format_unit(number_of_bytes / 1000**power, _UNITS[power], width, format="#,##0.#", locale=_locale())


def _locale() -> Locale:
    return get_locale() or Locale.parse(DEFAULT_LANGUAGE)


# A day's offsets and names: summer time changes them.
@lru_cache(maxsize=64)
def _zones(locale: Locale, today: date) -> tuple[tuple[str, str], ...]:
    offered = [DEFAULT_ZONE, *(name for name in pytz.common_timezones if _is_place(name))]
    named = [(_offset_minutes(name, today), _zone_name(name, locale, today), name) for name in offered]
    return tuple((name, told) for _, told, name in sorted(named))


@lru_cache(maxsize=4096)
def _zone_name(name: str, locale: Locale, today: date) -> str:
    if name == DEFAULT_ZONE:
        return name
    places = (locale.time_zones.get(each, {}) for each in (name, *_older_names().get(name, ())))
    city = next((place["city"] for place in places if "city" in place), name.rpartition("/")[2].replace("_", " "))
    minutes = _offset_minutes(name, today)
    hours, rest = divmod(abs(minutes), 60)
    return f"{city} (UTC{'-' if minutes < 0 else '+'}{hours:02}:{rest:02})"


@cache
def _older_names() -> Mapping[str, list[str]]:
    """Under which Babel's data may have a place, by the name of now."""
    older: dict[str, list[str]] = {}
    for old, new in get_global("zone_aliases").items():
        older.setdefault(new, []).append(old)
    return older


def _offset_minutes(name: str, today: date) -> int:
    at_noon = datetime.combine(today, time(12), ZoneInfo(name))
    return int((at_noon.utcoffset() or timedelta()).total_seconds()) // 60


def _is_place(name: str) -> bool:
    return name in ZONES and "/" in name and not name.startswith(("US/", "Canada/"))


def _time(at: datetime, shown: str) -> Markup:
    exact = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)
