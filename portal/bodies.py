"""How long a request's body may be, and how long it may take: a form's, except where files are uploaded.

What is longer is refused (413) without being read: Quart looks at the length that is announced, and stops reading once
more came than that.

Not here: what is in an upload (the pages that take it).
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from quart_trio.wrappers import TrioRequest


@dataclass(frozen=True, slots=True)
class Bound:
    """The longest body, and how many seconds it may take to come."""

    bytes: int
    within_s: int


# Every form, and every document that the API takes, is shorter.
FORM: Final = Bound(64 * 1024, 10)
# A line of an import has some hundred bytes: these are all users of a large tenant, over a slow line.
IMPORT: Final = Bound(10 * 1024 * 1024, 120)
# A logo, and the form around it.
LOGO: Final = Bound(512 * 1024 + FORM.bytes, 60)
UPLOADS: Final = (
    (re.compile(r"/administration/(users|phones|groups)/import"), IMPORT),
    (re.compile(r"/administration/customization/appearance"), LOGO),
)


class Request(TrioRequest):
    """A request whose body is bounded by where it goes."""

    def __init__(self, method: str, scheme: str, path: str, *rest: Any, **more: Any) -> None:
        bound = bound_of(path)
        super().__init__(
            method, scheme, path, *rest, **more | {"max_content_length": bound.bytes, "body_timeout": bound.within_s}
        )
        self.max_content_length = bound.bytes


def bound_of(path: str) -> Bound:
    """The bound of bodies that are sent to this path."""
    return next((bound for address, bound in UPLOADS if address.fullmatch(path)), FORM)
