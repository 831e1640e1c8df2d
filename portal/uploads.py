"""Files that somebody uploaded to look at before they count: kept for a while, in the memory of this process.

One for each person: a newer one takes the place of the one before. When the portal starts anew they are gone, and have
to be uploaded again; nothing was changed by then.

Not here: what is in them (`csv_files.py`), what they would change (`schema/importing.py`).
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

import trio

Content = TypeVar("Content")

# Long enough to put right on the telephone what the preview showed.
KEPT_S: Final = 3600.0
# Some 10 MB each.
MOST: Final = 10
NAME_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Content]):
    name: str
    content: Content
    at_s: float


class Uploads(Generic[Content]):
    """Uploads by their names, which only their owners can use."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, _Kept[Content]] = OrderedDict()

    def keep(self, owner: UUID, content: Content) -> str:
        """Keeps it and gives its name. What was kept the longest gives way when there are too many."""
        name = secrets.token_urlsafe(NAME_BYTES)
        self.drop(owner)
        self._kept[owner] = _Kept(name, content, trio.current_time())
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return name

    def get(self, owner: UUID, name: str) -> Content | None:
        """What the owner uploaded under this name, if it is still there."""
        kept = self._kept.get(owner)
        if kept is None or kept.name != name or trio.current_time() - kept.at_s > KEPT_S:
            return None
        return kept.content

    def drop(self, owner: UUID) -> None:
        """Forgets what the owner uploaded."""
        self._kept.pop(owner, None)
