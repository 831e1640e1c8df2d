"""The one mechanism of the audit trail: what changes a row of an `Audited` table leaves an entry, in its transaction.

    async with changing(by):
        team.name = "Sales"
        await team.save()

The old and the new values are read from the database before and after, so that the entry tells what was there and not
what somebody believed. Outside `changing`, and by a query over many rows, such a table cannot be written; nor is a row
deleted upon which the database would delete or empty others by itself.

Not here: how entries are read (`audit.py`), proved (`proofs.py`) and chained (`chain.py`).
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn
from uuid import UUID

from tortoise import Model
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.fields.base import OnDelete
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.manager import Manager
from tortoise.queryset import QuerySet

from schema.columns import new_id
from schema.database import audit_key, is_sqlite, rows, transaction
from schema.entries import About, Action, By, Resource
from schema.proofs import data_hash, initiator_key, proof, searched
from schema.records import clean
from schema.refusals import NotThere
from schema.sql import batches, insert

# What stands in an entry for a value that nobody may read there.
HIDDEN: Final = "••••••"
# A logo, say: whether it is another one is all that one must be able to tell.
_BYTES: Final = "{size} bytes, SHA-256 {hash}…"
_HASH_CHARACTERS: Final = 16
# Both databases limit the parameters of a statement to some 32,000; an entry has 22.
_ENTRIES_PER_STATEMENT: Final = 500
_ROWS_PER_STATEMENT: Final = 500
# A list of secrets, as JSON, that holds none.
_NO_CODES: Final = "[]"


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
    """One entry to be: who changed what, old and new value of each field that was modified, all others.

    `at`: when, if that was before it is told.
    """

    by: By
    resource: Resource
    action: Action
    about: About
    tenant_id: UUID | None
    details: Mapping[str, str]
    fields: Mapping[str, tuple[str, str]]
    unchanged: Mapping[str, str]
    origin: str | None = None
    at: datetime | None = None


class Changes:
    """The changes of one transaction, or those that were made by somebody in a part of it."""

    def __init__(
        self, by: By, action: Action | None, details: Mapping[str, str], whole: "Changes | None" = None
    ) -> None:
        self._by = by
        self._action = action
        self._details = details
        self._made: list[Change] = [] if whole is None else whole._made
        self._names: dict[tuple[str, UUID], str] = {} if whole is None else whole._names

    def part(self, by: By, action: Action | None, details: Mapping[str, str]) -> "Changes":
        """What is done in it is written with all else."""
        return Changes(by, action or self._action, {**self._details, **details}, self)

    async def named(self, table: str, columns: Sequence[str], key: UUID) -> str:
        """What a row that is referred to is called, by the first of these columns that says so; else empty."""
        if (table, key) not in self._names:
            found = await rows(f'SELECT {", ".join(columns)} FROM "{table}" WHERE id = $1', key)  # noqa: S608  # ours
            self._names[table, key] = (
                next((str(found[0][one]) for one in columns if found[0][one]), "") if found else ""
            )
        return self._names[table, key]

    def note(
        self,
        resource: Resource,
        action: Action,
        about: About,
        *,
        tenant_id: UUID | None,
        details: Mapping[str, str] | None = None,
        fields: Mapping[str, tuple[str, str]] | None = None,
        origin: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Something was done that changes no field, or those `fields` of a table that tells nothing by itself.

        With an `origin`, it is told once, however often it is noted. `at`: when it was, if not now.
        """
        told = (details or {}, fields or {})
        self._made.append(Change(self._by, resource, action, about, tenant_id, *told, {}, origin, at))

    def made(self, row: "Audited", old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> None:
        """A row was created (no `old`), deleted (no `new`) or changed."""
        audit, before, after = row.audit, old or {}, new or {}
        self._names[row._meta.db_table, row.pk] = row.about().name  # it may be called something else from now on
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
        self._made.append(Change(self._by, audit.resource, action, row.about(), row.tenant_of(), details, told, same))

    async def write(self) -> None:
        """Inside the transaction: the entries, in the order in which things were done."""
        await note_in(self._made)
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
        with _made_in(outer.part(by, action, details or {})) as changes:
            yield changes
        return
    async with transaction():
        with _made_in(Changes(by, action, details or {})) as changes:
            yield changes
        await changes.write()


@contextmanager
def _made_in(changes: Changes) -> Iterator[Changes]:
    token = _current.set(changes)
    try:
        yield changes
    finally:
        _current.reset(token)


class _OneByOne(QuerySet[Any]):
    def update(self, **_: Any) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are changed by save(), which the audit trail sees")

    def delete(self) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are deleted by delete(), which the audit trail sees")

    def bulk_create(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are made one by one, which the audit trail sees")

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {self.model.__name__} are changed one by one, which the audit trail sees")


class _OneByOneManager(Manager):
    def get_queryset(self) -> QuerySet[Any]:
        return _OneByOne(self._model)


class Audited(Model):
    """A table whose changes stand in the audit trail."""

    audit: ClassVar[Audit]

    class Meta:
        abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Tortoise's own way to say so is not inherited by a table that has a Meta of its own, and each has.
        cls._meta.manager = _OneByOneManager()

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

    async def save(
        self,
        using_db: BaseDBAsyncClient | None = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Errors: NotThere, when the row was deleted meanwhile."""
        changes = _changes(type(self))
        there = not force_create and (self._saved_in_db or force_update or update_fields is not None)
        old = await _values(self, changes) if there else None
        if there and old is None:
            raise NotThere
        await super().save(using_db, update_fields, force_create, force_update)
        changes.made(self, old, await _values(self, changes))

    async def delete(self, using_db: BaseDBAsyncClient | None = None) -> None:
        """Errors: NotThere, when it was deleted already; RuntimeError, when rows of such tables hang on it."""
        changes = _changes(type(self))
        old = await _values(self, changes)
        if old is None:
            raise NotThere
        await _alone(self)
        await super().delete(using_db)
        changes.made(self, old, None)

    @classmethod
    def bulk_create(cls, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {cls.__name__} are made one by one, which the audit trail sees")

    @classmethod
    def bulk_update(cls, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(f"rows of {cls.__name__} are changed one by one, which the audit trail sees")


async def create_all(model: type[Audited], given: Sequence[Mapping[str, Any]]) -> None:
    """Inside `changing`: many rows at once, each with the same columns and its key, and an entry for each."""
    changes = _changes(model)
    for some in batches(given, _ROWS_PER_STATEMENT):
        values = [list(columns.values()) for columns in some]
        for kept in await insert(model._meta.db_table, list(some[0]), values, "RETURNING *"):
            row = model._init_from_db(**kept)
            changes.made(row, None, await _told(row, kept, changes))


async def note_in(changes: Sequence[Change]) -> None:
    """Inside a transaction: the entries of these changes, people's or such as of a phone system that pauses."""
    key = audit_key()
    for some in batches(changes, _ENTRIES_PER_STATEMENT):
        entries = [_entry(change, key) for change in some]
        given = [list(entry.values()) for entry in entries]
        await insert("audit_entry", list(entries[0]), given, "ON CONFLICT (origin) DO NOTHING")


def _changes(model: type[Model]) -> Changes:
    changes = _current.get()
    if changes is None:
        raise RuntimeError(f"{model.__name__} is written outside of schema.audited.changing")
    return changes


async def _values(row: Audited, changes: Changes) -> dict[str, str] | None:
    """The row as the database has it, as texts by column; None where it is not there. Nobody else changes it until the
    transaction ends: what is old to one change is what the one before it made.
    """
    meta = row._meta
    lock = "" if is_sqlite() else " FOR UPDATE"
    found = await rows(f'SELECT * FROM "{meta.db_table}" WHERE {meta.db_pk_column} = $1{lock}', row.pk)  # noqa: S608  # names of ours
    if not found:
        return None
    return await _told(row, found[0], changes)


async def _told(row: Audited, kept: Mapping[str, Any], changes: Changes) -> dict[str, str]:
    audit, values = row.audit, dict[str, str]()
    for name, field in row._meta.fields_map.items():
        if isinstance(field, ForeignKeyFieldInstance):
            continue
        column = field.source_field or name
        if column in audit.passing:
            continue
        value = field.to_python_value(kept[column])
        values[column] = _Secret(value) if column in audit.secret else await _text(row, column, value, changes)
    return values


async def _alone(row: Audited) -> None:
    for model in Audited.__subclasses__():
        for column, field in _references(model):
            if field.related_model is not type(row) or field.on_delete not in (OnDelete.CASCADE, OnDelete.SET_NULL):
                continue
            table = model._meta.db_table
            if await rows(f'SELECT 1 AS one FROM "{table}" WHERE {column} = $1 LIMIT 1', row.pk):  # noqa: S608  # ours
                raise RuntimeError(f"rows of {table} go with this one: change or delete them first, one by one")


def _references(model: type[Audited]) -> Iterator[tuple[str, ForeignKeyFieldInstance[Any]]]:
    for field in model._meta.fields_map.values():
        if isinstance(field, ForeignKeyFieldInstance) and field.source_field is not None:
            yield field.source_field, field


class _Secret(str):
    """A secret, to be compared and never to be shown."""

    __slots__ = ()

    def __new__(cls, value: object) -> "_Secret":
        return super().__new__(cls, "" if value in (None, _NO_CODES) else str(value))


def _shown(value: str) -> str:
    return (HIDDEN if value else "") if isinstance(value, _Secret) else value


async def _text(row: Audited, column: str, value: Any, changes: Changes) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return _BYTES.format(size=len(value), hash=hashlib.sha256(value).hexdigest()[:_HASH_CHARACTERS])
    if isinstance(value, UUID):
        return await _named(row, column, value, changes)
    return str(value)


async def _named(row: Audited, column: str, key: UUID, changes: Changes) -> str:
    """`Support (0192…)`: whom an id stands for, as long as one can tell."""
    field = dict(_references(type(row))).get(column)
    if field is None or not issubclass(field.related_model, Audited):
        return str(key)
    audit = field.related_model.audit
    names = [name for name in (audit.name, audit.otherwise) if name]
    name = await changes.named(field.related_model._meta.db_table, names, key)
    return f"{name} ({key})" if name else str(key)


def _entry(change: Change, key: bytes) -> dict[str, Any]:
    """The row of a change, by column."""
    by, data = change.by, None
    if change.fields or change.unchanged:
        data = json.dumps({"fields": change.fields, "unchanged": change.unchanged}, ensure_ascii=False)
    about = change.about
    entry: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": change.tenant_id,
        "at": change.at or datetime.now(UTC),
        "initiator_id": by.account_id,
        "initiator_login": by.login,
        "initiator_name": by.name,
        "address": by.address,
        "application": str(by.application),
        "resource": str(change.resource),
        "action": str(change.action),
        "related_id": str(about.id),
        "related_name": about.name,
        "parent_id": str(about.parent_id),
        "details": json.dumps({name: clean(value) for name, value in change.details.items()}, ensure_ascii=False),
        "data": data,
        "origin": change.origin,
    }
    entry = {column: clean(value) for column, value in entry.items()}
    entry["initiator_key"] = initiator_key(entry["initiator_name"], entry["initiator_login"])
    entry["data_hash"] = data_hash(entry["data"])
    entry["search"] = searched(entry)
    entry["proof"] = proof(key, entry)
    entry["chain"] = ""
    return entry
