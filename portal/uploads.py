"""Files that somebody uploaded to look at before they count: kept for a while, in the memory of this process.

One for each person: a newer one takes the place of the one before. When the portal starts anew they are gone, and have
to be uploaded again; nothing was changed by then. When there are too many, what gives way is of the tenant whose
people keep the most: nobody's file goes because another tenant uploads.

Not here: what is in them (`csv_files.py`), what they would change (`schema/importing.py`).
"""

import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

import trio

Content = TypeVar("Content")

# Long enough to put right on the telephone what the preview showed.
KEPT_S: Final = 3600.0
# Beyond them files give way, however few their bytes are.
MOST: Final = 50
# In memory; four of the largest files with all that is known of their lines.
MOST_BYTES: Final = 200 * 1000 * 1000
NAME_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Content]):
    name: str
    content: Content
    at_s: float
    tenant_id: UUID
    size: int


class Uploads(Generic[Content]):
    """Uploads by their names, which only their owners can use."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, _Kept[Content]] = OrderedDict()

    def keep(self, owner: UUID, content: Content, *, tenant_id: UUID, size: int) -> str:
        """Keeps it and gives its name. `tenant_id`: the owner's; `size`: in memory, in bytes, about."""
        name, now_s = secrets.token_urlsafe(NAME_BYTES), trio.current_time()
        self.drop(owner)
        for one in [one for one, kept in self._kept.items() if now_s - kept.at_s > KEPT_S]:
            self.drop(one)
        self._kept[owner] = _Kept(name, content, now_s, tenant_id, size)
        while len(self._kept) > 1 and (len(self._kept) > MOST or self._bytes() > MOST_BYTES):
            self._give_way()
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

    def _bytes(self) -> int:
        return sum(kept.size for kept in self._kept.values())

    def _give_way(self) -> None:
        """The oldest file goes, of the tenant that has the most of what there is too much of."""
        by_bytes = self._bytes() > MOST_BYTES
        used = Counter[UUID]()
        for kept in self._kept.values():
            used[kept.tenant_id] += kept.size if by_bytes else 1
        ((most, _),) = used.most_common(1)
        self.drop(next(owner for owner, kept in self._kept.items() if kept.tenant_id == most))
