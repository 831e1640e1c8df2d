"""What a button does: it is done and said, or refused and said; then a page follows.

Not here: forms with fields, which show a refusal at its field (`portal/forms.py`).
"""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from quart import flash, redirect

from portal.refused import of_data
from schema.refusals import Refusal


async def done(deed: Awaitable[object], told: str, then: str, *, otherwise: str = "") -> Any:
    """Does it and leads to `then`, with the sentence `told`; where it is refused, to `otherwise` with the reason."""
    try:
        await deed
    except Refusal as refusal:
        await flash(of_data(refusal), "danger")
        return redirect(otherwise or then, HTTPStatus.SEE_OTHER)
    await flash(told)
    return redirect(then, HTTPStatus.SEE_OTHER)
