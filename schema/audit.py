# ruff: noqa: S608  # The texts are made of this module's own words; every value is a parameter.
"""The audit trail as people read it: newest first, filtered, page by page; and entries of what changes no field.

A list is walked along an index and goes on where the last page ended, so that it costs the same in the millionth entry.
Whoever may not see what is confidential reads nothing of it here either.

Not here: entries of changes, which `audited.py` makes by itself; the proof that nobody touched them (`chain.py`);
sentences (the portal).
"""

import base64
import binascii
import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schema.audited import changing
from schema.columns import as_id, as_moment, microseconds, moment
from schema.database import is_sqlite, reading, rows, unit
from schema.entries import About, Action, Application, By, Entry, Resource
from schema.profiles import Listed
from schema.proofs import NOTHING
from schema.roles import Reach
from schema.scoped import ScopedCalls
from schema.sight import Sight
from schema.sql import rows_in
from schema.values import Scope

# At most so many entries are read at once.
_BATCH: Final = 200
# Of batches that hold nothing but what may not be seen, so many are looked through for one page.
_BATCHES: Final = 25
# The moment (microseconds since 1970) and the id of a page's last entry.
_CURSOR: Final = struct.Struct(">q16s")

_Position = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries are wanted; what is empty does not matter.

    From `since` on, before `until`. `user_id`: done by this user, or to him. `initiator`: in the name or the login of
    who did it; `text`: in the data, the details and the name of what it was done to; both in any letter case.
    `about_id`: the object that an entry is about, or that that belongs to.
    """

    since: datetime | None = None
    until: datetime | None = None
    user_id: UUID | None = None
    initiator: str = ""
    resource: Resource | None = None
    action: Action | None = None
    text: str = ""
    about_id: UUID | None = None


@unit
async def note(
    by: By,
    resource: Resource,
    action: Action,
    about: About | None = None,
    *,
    tenant_id: UUID | None,
    details: Mapping[str, str] | None = None,
    origin: str | None = None,
    at: datetime | None = None,
) -> None:
    """Writes an entry of what changes no field: somebody signed in, listened, paused.

    With an `origin`, it is told once, however often it is noted. `at`: when it was, if not now.
    """
    async with changing(by) as changes:
        changes.note(resource, action, about or About(), tenant_id=tenant_id, details=details, origin=origin, at=at)


@reading
async def list_entries(
    scope: Scope, filters: Filters | None = None, *, limit: int = 50, cursor: str | None = None
) -> Listed[Entry]:
    """The newest entries that the scope reaches, after the cursor.

    Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    after = None if cursor is None else _position(cursor)
    found, last = await _some(scope, filters or Filters(), limit, after)
    return Listed(tuple(found), None if last is None else _cursor(*last))


@reading
async def entries_about(scope: Scope, object_id: UUID, limit: int = 10) -> tuple[Entry, ...]:
    """The newest entries about an object and what belongs to it; about a user also what he did."""
    found, _ = await _some(scope, Filters(user_id=object_id), limit, None)
    return tuple(found)


@reading
async def get_entry(scope: Scope, entry_id: UUID) -> Entry | None:
    """An entry; None where there is none, or where the scope does not reach it."""
    row = await reached(scope, entry_id)
    visible = [] if row is None else await _visible(scope, await _with_tenants([_entry(row)]))
    return visible[0] if visible else None


async def reached(scope: Scope, entry_id: UUID) -> dict[str, Any] | None:
    """Inside a unit: the row of an entry, if there is one and the scope reaches it."""
    query = _Entries(scope, Filters())
    found = await rows(query.one(entry_id), *query.values)
    return found[0] if found else None


async def export_entries(scope: Scope, filters: Filters) -> AsyncIterator[Sequence[Entry]]:
    """All that `list_entries` would list, newest first, in batches. Errors, at each: a `@reading`'s."""
    after: _Position | None = None
    while True:
        found, after = await _batch(scope, filters, after)
        if found:
            yield found
        if after is None:
            return


@reading
async def _batch(scope: Scope, filters: Filters, after: _Position | None) -> tuple[list[Entry], _Position | None]:
    return await _some(scope, filters, _BATCH, after)


async def _some(
    scope: Scope, filters: Filters, limit: int, after: _Position | None
) -> tuple[list[Entry], _Position | None]:
    """So many entries, and after which one the next begin; None where there are no more."""
    found: list[Entry] = []
    for _ in range(_BATCHES):
        wanted = limit - len(found) + 1
        query = _Entries(scope, filters, after)
        ids = [as_id(row["id"]) for row in await rows(query.newest(wanted), *query.values)]
        read = {as_id(row["id"]): row for row in await rows_in("SELECT * FROM audit_entry WHERE id IN", ids)}
        entries = await _with_tenants([_entry(read[entry_id]) for entry_id in ids if entry_id in read])
        found += await _visible(scope, entries)
        if len(found) > limit:
            return found[:limit], (found[limit - 1].at, found[limit - 1].id)
        if len(ids) < wanted:
            return found, None
        after = (entries[-1].at, entries[-1].id)
    return found, after


class _Entries:
    """A query and its parameters: `values` grows with the text."""

    def __init__(self, scope: Scope, filters: Filters, after: _Position | None = None) -> None:
        self._scope = scope
        self._filters = filters
        self._after = after
        self._sight = Sight(scope)
        self.values = self._sight.values

    def newest(self, limit: int) -> str:
        """The ids of the newest. Each branch gives its own newest, from one index."""
        end = f"ORDER BY at DESC, id DESC LIMIT {int(limit)}"
        branches = [
            f"SELECT id, at FROM audit_entry WHERE {' AND '.join([*branch, *self._conditions(bool(branch))])} {end}"
            for branch in self._branches()
        ]
        union = " UNION ".join(f"SELECT * FROM ({branch}) AS branch_{place}" for place, branch in enumerate(branches))
        return f"SELECT id, at FROM ({union}) AS found {end}"

    def one(self, entry_id: UUID) -> str:
        where = " AND ".join([f"id = {self._sight.value(entry_id)}", *self._conditions(True)])
        return f"SELECT * FROM audit_entry WHERE {where}"

    def _branches(self) -> list[list[str]]:
        """Conditions of which an entry fulfils one or more, each with an index of its own."""
        filters = self._filters
        if filters.about_id is not None:
            return self._about(filters.about_id)
        if filters.user_id is not None:
            return [[f"initiator_id = {self._sight.value(filters.user_id)}"], *self._about(filters.user_id)]
        return [[]]

    def _about(self, object_id: UUID) -> list[list[str]]:
        # With the words of the indexes: a partial one serves a query only where the query says the same.
        return [
            [f"{column} = {self._sight.value(str(object_id))}", f"{column} <> ''"]
            for column in ("related_id", "parent_id")
        ]

    def _conditions(self, indexed: bool) -> list[str]:
        """What holds in each branch. `indexed`: the branch has its index already."""
        filters, scope, value = self._filters, self._scope, self._sight.value
        conditions = []
        if scope.reach is not Reach.PLATFORM:
            # SQLite takes the index of this column for the best one unless the column is hidden from it.
            column = "+tenant_id" if indexed and is_sqlite() else "tenant_id"
            conditions.append(f"{column} = {value(scope.tenant_id)}")
        if scope.reach in (Reach.OWN, Reach.MANAGED):
            conditions.append(f"initiator_id IN (SELECT id FROM account WHERE {self._sight.users()})")
        if filters.about_id is not None and filters.user_id is not None:
            user, told = value(filters.user_id), value(str(filters.user_id))
            conditions.append(f"(initiator_id = {user} OR related_id = {told} OR parent_id = {told})")
        for column, wanted in (("resource", filters.resource), ("action", filters.action)):
            if wanted is not None:
                conditions.append(f"{column} = {value(str(wanted))}")
        for column, text in (("initiator_key", filters.initiator), ("search", filters.text)):
            if text.strip():
                conditions.append(self._sight.holds(column, text))
        if filters.since is not None:
            conditions.append(f"at >= {value(filters.since)}")
        if filters.until is not None:
            conditions.append(f"at < {value(filters.until)}")
        if self._after is not None:
            conditions.append(f"(at, id) < ({value(self._after[0])}, {value(self._after[1])})")
        return conditions or ["TRUE"]


async def _with_tenants(entries: Sequence[Entry]) -> list[Entry]:
    """The same with the names that their tenants have now."""
    ids = {entry.tenant_id for entry in entries if entry.tenant_id is not None}
    found = await rows_in("SELECT id, name FROM tenant WHERE id IN", sorted(ids))
    names = {as_id(row["id"]): row["name"] for row in found}
    return [replace(entry, tenant=names.get(entry.tenant_id, "")) if entry.tenant_id else entry for entry in entries]


async def _visible(scope: Scope, entries: Sequence[Entry]) -> list[Entry]:
    """Those that tell nothing of confidential calls and users to who may not see these."""
    if scope.confidential or not entries:
        return list(entries)
    called = [UUID(str(entry.about.id)) for entry in entries if entry.resource == Resource.CALLS and entry.about.id]
    seen: set[UUID] = set()
    if called:
        query = ScopedCalls(scope)
        seen = {as_id(row["id"]) for row in await rows(query.these(called), *query.values)}
    people = {entry.initiator_id for entry in entries if entry.initiator_id}
    people |= {found for entry in entries for found in map(_maybe_id, (entry.about.id, entry.about.parent_id)) if found}
    people.discard(scope.user_id)
    confidential = await rows_in("SELECT id FROM account WHERE confidential AND id IN", sorted(people))
    hidden = {as_id(row["id"]) for row in confidential}
    return [
        entry
        for entry in entries
        if (entry.resource != Resource.CALLS or not entry.about.id or _maybe_id(entry.about.id) in seen)
        and not {entry.initiator_id, _maybe_id(entry.about.id), _maybe_id(entry.about.parent_id)} & hidden
    ]


def _maybe_id(value: UUID | str) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _entry(row: Mapping[str, Any]) -> Entry:
    data = _read(row["data"])
    return Entry(
        id=as_id(row["id"]),
        tenant_id=None if row["tenant_id"] is None else as_id(row["tenant_id"]),
        at=as_moment(row["at"]),
        initiator_id=None if row["initiator_id"] is None else as_id(row["initiator_id"]),
        initiator_login=row["initiator_login"],
        initiator_name=row["initiator_name"],
        address=row["address"],
        application=Application(row["application"]),
        resource=Resource(row["resource"]),
        action=Action(row["action"]),
        about=About(row["related_id"], row["related_name"], row["parent_id"]),
        details=_read(row["details"]),
        fields={name: (old, new) for name, (old, new) in data.get("fields", {}).items()},
        unchanged=data.get("unchanged", {}),
        number=row["number"],
        erased=row["data"] is None and row["data_hash"] != NOTHING,
    )


def _read(text: str | None) -> dict[str, Any]:
    """What an entry tells; nothing where somebody spoilt it, which `earshot audit verify` tells."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cursor(at: datetime, entry_id: UUID) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(microseconds(at), entry_id.bytes)).rstrip(b"=").decode("ascii")


def _position(cursor: str) -> _Position:
    try:
        at_us, entry_id = _CURSOR.unpack(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return moment(at_us), UUID(bytes=entry_id)
    except (ValueError, binascii.Error, struct.error, OverflowError) as error:
        raise ValueError("The cursor is not one that this list gave. Begin again without one.") from error
