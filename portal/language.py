"""Languages and time zones: texts by gettext, dates and numbers by Babel, in the viewer's own.

The zone is the account's; else the browser's, which `js/zone.js` tells in a cookie; else UTC. English is what the
sources hold; a translation is a catalogue below portal/translations.

Not here: texts.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import available_timezones

from babel.core import Locale
from babel.dates import get_timezone, get_timezone_name
from markupsafe import Markup
from quart import Quart
from quart_babel import Babel, format_date, format_datetime, format_time, get_locale

from portal import gate
from portal.proxy import at_hand

TRANSLATIONS: Final = Path(__file__).with_name("translations")
DEFAULT_LANGUAGE: Final = "en"
DEFAULT_ZONE: Final = "UTC"
ZONE_COOKIE: Final = "earshot_zone"
ZONES: Final = frozenset(available_timezones())


def register(app: Quart) -> None:
    """Makes templates translatable (`_`, `gettext`, `ngettext`, `trans`) and gives them dates.

    Filters: `moment`, `day`, `clock` show a datetime as date and time, date, or time, with the exact moment on hover.
    """
    Babel(
        app,
        default_locale=DEFAULT_LANGUAGE,
        default_timezone=DEFAULT_ZONE,
        default_translation_directories=str(TRANSLATIONS),
        locale_selector=language,
        timezone_selector=zone,
    )
    app.jinja_env.filters.update(moment=moment, day=day, clock=clock)
    app.add_template_global(lambda: str(get_locale() or DEFAULT_LANGUAGE).replace("_", "-"), "html_language")
    app.add_template_global(zone, "zone")
    app.add_template_global(zone_name, "zone_name")


def languages() -> list[str]:
    """English, and every language that has a catalogue."""
    return [DEFAULT_LANGUAGE, *sorted(path.parent.parent.name for path in TRANSLATIONS.glob("*/LC_MESSAGES/*.mo"))]


def language() -> str:
    """The language of the current request: the account's, else the best of the browser's, else English."""
    known = languages()
    visitor = gate.visitor()
    if visitor is not None and visitor.language in known:
        return visitor.language
    best = Locale.negotiate([tag.replace("-", "_") for tag in at_hand().accept_languages.values()], known)
    return str(best) if best is not None else DEFAULT_LANGUAGE


def zone() -> str:
    """The time zone of the current request, as its name in the IANA database."""
    visitor = gate.visitor()
    wanted = [visitor.time_zone if visitor is not None else "", at_hand().cookies.get(ZONE_COOKIE, "")]
    return next((name for name in wanted if name in ZONES), DEFAULT_ZONE)


def zone_name(name: str = "") -> str:
    """A time zone as people call it: `Europe/Berlin` -> `Central European Time (Europe/Berlin)`."""
    known = name or zone()
    return (
        f"{get_timezone_name(get_timezone(known), locale=get_locale())} ({known})" if known != DEFAULT_ZONE else known
    )


def moment(at: datetime) -> Markup:
    """Date and time of day, in the viewer's zone."""
    return _time(at, format_datetime(at, "medium"))


def day(at: datetime) -> Markup:
    """The date, in the viewer's zone."""
    return _time(at, format_date(at, "medium"))


def clock(at: datetime) -> Markup:
    """The time of day, in the viewer's zone."""
    return _time(at, format_time(at, "medium"))


def _time(at: datetime, shown: str) -> Markup:
    exact = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)
