"""What people type, as it is kept: trimmed, and refused where it cannot be meant. And how names are compared.

Not here: what only the database can tell, such as whether a login is taken (`directory.py`).
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final
from zoneinfo import available_timezones

from schema.refusals import Refusal

# An index of PostgreSQL's takes some 2,700 bytes, and no name needs a tenth of that.
MOST_CHARACTERS: Final = 254
# Of which there are catalogues.
LANGUAGES: Final = frozenset({"en", "es", "fr", "pt_BR", "ru"})
ZONES: Final = frozenset(available_timezones())

# RFC 5321 allows more, such as quoted names; nobody has them, and what they let through are mistakes.
_EMAIL: Final = re.compile(r"[^\s@,;:<>()\[\]\\\"]+@[^\s@,;:<>()\[\]\\\".]+(\.[^\s@,;:<>()\[\]\\\".]+)*")
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
# RFC 1123 section 2.1, of names as browsers send them: international ones are in their ASCII form.
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def folded(text: str) -> str:
    """A name as it is compared, sorted and searched: neither letter case nor how an accent is written matters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def searched(parts: Iterable[str]) -> str:
    """What a search for text looks at: no search text reaches from one of the parts into the next."""
    return "\n".join(folded(part) for part in parts if part)


def text(given: str, field: str) -> str:
    """Errors: Refusal (text_needed, text_refused)."""
    trimmed = given.strip()
    if not trimmed:
        raise Refusal("text_needed", field)
    if not trimmed.isprintable() or len(trimmed) > MOST_CHARACTERS:
        raise Refusal("text_refused", field, most=MOST_CHARACTERS)
    return trimmed


def text_or_none(given: str, field: str) -> str:
    """The same, where it may be empty. Errors: Refusal (text_refused)."""
    return text(given, field) if given.strip() else ""


def login(given: str) -> str:
    """Errors: Refusal (text_needed, text_refused, login_slash)."""
    found = text(given, "login")
    if "/" in folded(found):
        raise Refusal("login_slash", "login")
    return found


def tenant_name(given: str) -> str:
    """Errors: Refusal (text_needed, text_refused, tenant_slash)."""
    found = text(given, "name")
    if "/" in folded(found):
        raise Refusal("tenant_slash", "name")
    return found


def email(given: str, field: str = "email") -> str:
    """An address, or nothing. Errors: Refusal (email_refused)."""
    trimmed = given.strip()
    if trimmed and not (trimmed.isprintable() and len(trimmed) <= MOST_CHARACTERS and _EMAIL.fullmatch(trimmed)):
        raise Refusal("email_refused", field, email=trimmed)
    return trimmed


def language(given: str) -> str:
    """One that there is, or nothing: it is inherited. Errors: Refusal (language_unknown)."""
    if given and given not in LANGUAGES:
        raise Refusal("language_unknown", "language", language=given)
    return given


def time_zone(given: str) -> str:
    """One of the IANA's by its name, or nothing: it is inherited. Errors: Refusal (zone_unknown)."""
    if given and given not in ZONES:
        raise Refusal("zone_unknown", "time_zone", zone=given)
    return given


def colour(given: str) -> str:
    """`#rrggbb`, or nothing. Errors: Refusal (colour_refused)."""
    found = given.strip().lower()
    if found and not _COLOUR.fullmatch(found):
        raise Refusal("colour_refused", "colour", colour=given)
    return found


def host(given: str, field: str = "hosts") -> str:
    """A host name as browsers send it, without a port. Errors: Refusal (host_refused)."""
    found = given.strip().lower().rstrip(".")
    if not found.isascii():
        try:
            found = found.encode("idna").decode("ascii")
        except UnicodeError:
            raise Refusal("host_refused", field, host=given) from None
    if not _HOST.fullmatch(found):
        raise Refusal("host_refused", field, host=given)
    return found


def limit(given: int | None, field: str) -> int | None:
    """Errors: Refusal (limit_refused)."""
    if given is not None and not 1 <= given < 1 << 31:
        raise Refusal("limit_refused", field)
    return given
