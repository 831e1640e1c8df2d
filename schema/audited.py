"""The one mechanism of the audit trail: what changes a row of an `Audited` table leaves an entry, in its transaction.

    async with changing(by):
        team.name = "Sales"
        await team.save()

The old and the new values are read from the database before and after, so that the entry tells what was there and not
what somebody believed. Outside `changing`, and by a query over many rows, such a table cannot be written.

Not here: how entries are read (`audit.py`), chained and proved (`chain.py`).
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn
from uuid import UUID

from tortoise import Model
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.manager import Manager
from tortoise.queryset import QuerySet

from schema.columns import new_id
from schema.database import audit_key, rows, transaction
from schema.entries import About, Action, By, Resource
from schema.records import clean
from schema.sql import marks

# What stands in an entry for a value that nobody may read there.
HIDDEN: Final = "••••••"
# A logo, say: its size tells enough.
_BYTES: Final = "{} bytes"


@dataclass(frozen=True, slots=True)
class Audit:
    """How rows of a table are told of: which column names one (`otherwise`, where that is empty), and which other row
    each belongs to, by the column with its id.

    `secret`: columns whose values never appear; `passing`: columns that are no change. `assigns`: a row says that one
    thing is assigned to another. `unnamed`: its own key is a secret.
    """

    resource: Resource
    name: str = ""
    otherwise: str = ""
    parent: str = ""
    secret: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    assigns: bool = False
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One entry to be: `data` is what it tells of the fields."""

    resource: Resource
    action: Action
    about: About
    tenant_id: UUID | None
    details: Mapping[str, str]
    fields: Mapping[str, tuple[str, str]]
    unchanged: Mapping[str, str]
    origin: str | None = None


class Changes:
    """The changes of one transaction."""

    def __init__(self, by: By, action: Action | None, details: Mapping[str, str]) -> None:
        self._by = by
        self._action = action
        self._details = details
        self._made: list[Change] = []

    def note(
        self,
        resource: Resource,
        action: Action,
        about: About,
        *,
        tenant_id: UUID | None,
        details: Mapping[str, str] | None = None,
        origin: str | None = None,
    ) -> None:
        """Something was done that changes no field. With an `origin`, it is told once, however often it is noted."""
        self._made.append(Change(resource, action, about, tenant_id, details or {}, {}, {}, origin))

    def made(self, row: "Audited", old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> None:
        """A row was created (no `old`), deleted (no `new`) or changed."""
        audit, before, after = row.audit, old or {}, new or {}
        names = list(after or before)
        fields = {name: (before.get(name, ""), after.get(name, "")) for name in names}
        # Of two secrets both are hidden: `_values` marks one that changed.
        modified = {name: pair for name, pair in fields.items() if pair[0] != pair[1]}
        if old is not None and new is not None and not modified:
            return
        told = {name: (_shown(pair[0]), _shown(pair[1])) for name, pair in modified.items()}
        same = {name: _shown(pair[0]) for name, pair in fields.items() if name not in modified}
        if old is None:
            action = Action.ASSIGN if audit.assigns else Action.CREATE
        elif new is None:
            action = Action.DEASSIGN if audit.assigns else Action.DELETE
        else:
            action = self._action or Action.UPDATE
        details = {**self._details, **row.details()}
        self._made.append(Change(audit.resource, action, row.about(), row.tenant_of(), details, told, same))

    async def write(self) -> None:
        """Inside the transaction: the entries, in the order in which things were done."""
        for change in self._made:
            await _insert(self._by, change)
        self._made.clear()


_current: ContextVar[Changes | None] = ContextVar("changes", default=None)


@asynccontextmanager
async def changing(
    by: By, *, action: Action | None = None, details: Mapping[str, str] | None = None
) -> AsyncIterator[Changes]:
    """Inside a unit: one transaction, and an entry for each change in it. One inside another is part of that one.

    `action`: what a change of fields is called where it is more than an update. `details`: more about each of them.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    async with transaction():
        changes = Changes(by, action, details or {})
        token = _current.set(changes)
        try:
            yield changes
        finally:
            _current.reset(token)
        await changes.write()


class _OneByOne(QuerySet[Any]):
    def update(self, **_: Any) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are changed by save(), which the audit trail sees")

    def delete(self) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are deleted by delete(), which the audit trail sees")


class _OneByOneManager(Manager):
    def get_queryset(self) -> QuerySet[Any]:
        return _OneByOne(self._model)


class Audited(Model):
    """A table whose changes stand in the audit trail."""

    audit: ClassVar[Audit]

    class Meta:
        abstract = True
        manager = _OneByOneManager()

    def about(self) -> About:
        """What an entry about this row refers to."""
        audit = self.audit
        name = str(getattr(self, audit.name, "") or getattr(self, audit.otherwise, "")) if audit.name else ""
        parent = getattr(self, audit.parent) if audit.parent else ""
        return About("" if audit.unnamed else self.pk, name, parent or "")

    def details(self) -> Mapping[str, str]:
        """More about a change of this row than its fields say."""
        return {}

    def tenant_of(self) -> UUID | None:
        """The tenant whose trail tells of this row."""
        found: UUID | None = getattr(self, "tenant_id", None) or (self.pk if self._meta.db_table == "tenant" else None)
        return found

    async def save(self, *args: Any, **kwargs: Any) -> None:
        changes = _changes(self)
        old = await _values(self) if self._saved_in_db else None
        await super().save(*args, **kwargs)
        changes.made(self, old, await _values(self, old))

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        changes = _changes(self)
        old = await _values(self)
        await super().delete(*args, **kwargs)
        changes.made(self, old, None)

    @classmethod
    def bulk_create(cls, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {cls.__name__} are made one by one, which the audit trail sees")

    @classmethod
    def bulk_update(cls, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {cls.__name__} are changed one by one, which the audit trail sees")


async def note_in(by: By, changes: Iterable[Change]) -> None:
    """Inside a transaction: entries about what others than people did, such as a phone system that pauses."""
    for change in changes:
        await _insert(by, change)


def _changes(row: Model) -> Changes:
    changes = _current.get()
    if changes is None:
        raise RuntimeError(f"{type(row).__name__} is written outside of schema.audited.changing")
    return changes


async def _values(row: Audited, old: Mapping[str, str] | None = None) -> dict[str, str]:
    """The row as the database has it, as texts: by column, the secret ones by whether they are as in `old`."""
    meta, audit = row._meta, row.audit
    key = meta.db_pk_column
    found = await rows(f'SELECT * FROM "{meta.db_table}" WHERE {key} = $1', row.pk)  # noqa: S608  # names of ours
    values: dict[str, str] = {}
    for name, field in meta.fields_map.items():
        if isinstance(field, ForeignKeyFieldInstance):
            continue
        column = field.source_field or name
        if column in audit.passing:
            continue
        value = field.to_python_value(found[0][column])
        values[column] = _Secret(value) if column in audit.secret else await _text(row, column, value)
    return values


class _Secret(str):
    """A secret, to be compared and never to be shown."""

    __slots__ = ()

    def __new__(cls, value: object) -> "_Secret":
        return super().__new__(cls, "" if value is None else str(value))


def _shown(value: str) -> str:
    return (HIDDEN if value else "") if isinstance(value, _Secret) else value


async def _text(row: Audited, column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return _BYTES.format(len(value))
    if isinstance(value, UUID) and column != row._meta.db_pk_column:
        return await _named(row, column, value)
    return str(value)


async def _named(row: Audited, column: str, key: UUID) -> str:
    """`Support (0192…)`: whom an id stands for, as long as one can tell."""
    for field in row._meta.fields_map.values():
        if isinstance(field, ForeignKeyFieldInstance) and field.source_field == column:
            model = field.related_model
            if issubclass(model, Audited):
                names = [name for name in (model.audit.name, model.audit.otherwise) if name]
                table = model._meta.db_table
                found = await rows(f'SELECT {", ".join(names)} FROM "{table}" WHERE id = $1', key)  # noqa: S608  # ours
                name = next((str(found[0][one]) for one in names if found[0][one]), "") if found else ""
                return f"{name} ({key})" if name else str(key)
    return str(key)


async def _insert(by: By, change: Change) -> None:
    data = None
    if change.fields or change.unchanged:
        data = json.dumps({"fields": change.fields, "unchanged": change.unchanged}, ensure_ascii=False)
    about = change.about
    entry: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": change.tenant_id,
        "at": datetime.now(UTC),
        "initiator_id": by.account_id,
        "initiator_login": by.login,
        "initiator_name": by.name,
        "initiator_key": f"{by.name} ({by.login})".casefold(),
        "address": by.address,
        "application": str(by.application),
        "resource": str(change.resource),
        "action": str(change.action),
        "related_id": str(about.id),
        "related_name": about.name,
        "parent_id": str(about.parent_id),
        "details": json.dumps(dict(change.details), ensure_ascii=False),
        "data": data,
    }
    entry = {column: clean(value) for column, value in entry.items()}
    entry["data_hash"] = data_hash(entry["data"])
    entry["search"] = searched(entry)
    entry["origin"] = change.origin
    entry["proof"] = proof(audit_key(), entry)
    entry["chain"] = ""
    await rows(
        f"INSERT INTO audit_entry ({', '.join(entry)}) VALUES ({marks(1, len(entry))}) ON CONFLICT (origin) DO NOTHING",  # noqa: S608  # names of ours
        *entry.values(),
    )


def content_hash(entry: Mapping[str, Any]) -> bytes:
    """SHA-256 of all that an entry says; of its data the hash, so that data can be erased and the rest still proved.

    `entry`: by column, ids as UUID and the moment as datetime.
    """
    at: datetime = entry["at"]
    told = [
        str(entry["id"]),
        str(entry["tenant_id"] or ""),
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        str(entry["initiator_id"] or ""),
        *(str(entry[column]) for column in _TOLD),
        str(entry["data_hash"]),
        str(entry["origin"] or ""),
    ]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()).digest()


_TOLD: Final = (
    "initiator_login",
    "initiator_name",
    "address",
    "application",
    "resource",
    "action",
    "related_id",
    "related_name",
    "parent_id",
    "details",
)
# The hash of no data: what an entry has of which no field was changed.
NOTHING: Final = hashlib.sha256(b"").hexdigest()


def data_hash(data: str | None) -> str:
    return hashlib.sha256((data or "").encode()).hexdigest()


def proof(key: bytes, entry: Mapping[str, Any]) -> str:
    """What shows that Earshot wrote an entry: an HMAC-SHA256 of its content, in hexadecimal."""
    return hmac.digest(key, content_hash(entry), "sha256").hex()


def searched(entry: Mapping[str, Any]) -> str:
    """What a search for text looks at, in lower case: an entry's data, its details and the name of what it is about."""
    data = json.loads(entry["data"]) if entry["data"] else {"fields": {}, "unchanged": {}}
    fields, unchanged = data["fields"], data["unchanged"]
    words = [entry["related_name"], *json.loads(entry["details"]).values(), *fields, *unchanged, *unchanged.values()]
    words += [value for pair in fields.values() for value in pair]
    return "\n".join(filter(None, words)).casefold()
