"""Forms that were open while somebody else changed the same thing: found out, so that nothing is undone unseen.

A form carries the version of the values that it was filled with. When they are no longer the stored ones, nothing is
saved: the page shows what is stored now beside what was filled in, and saving again is a decision.

    {{ version_field(version) }}                 in the form (`stale.html`)
    if not stale.check(form, user.fields): 409

Not here: which fields differ and how they are called (each page knows).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from quart_babel import gettext

from portal.forms import Form

FIELD: Final = "version"
CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is stored otherwise than it was filled in, in words. An empty text is told as such."""

    label: str
    stored: str
    filled: str


def version(values: Any) -> str:
    """What tells these values from all others. `values`: a dataclass, such as `schema.profiles.UserFields`.

    The order within a set does not count; that of a tuple does.
    """
    told = json.dumps(asdict(values), sort_keys=True, default=_plain, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def check(form: Form, stored: Any) -> bool:
    """Whether the form was filled with `stored`. If not, the form says so, and bears the version of now."""
    if form.get(FIELD) == version(stored):
        return True
    form.values[FIELD] = [version(stored)]
    form.wrong(
        gettext(
            "Somebody else changed this while the form was open, so nothing was saved. Compare below what is stored "
            "now with what you filled in; Save writes your values."
        )
    )
    return False


def differences(fields: Iterable[tuple[str, str, str]]) -> list[Difference]:
    """Those of (label, stored, filled in) that are not the same."""
    return [Difference(label, stored, filled) for label, stored, filled in fields if stored != filled]


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
