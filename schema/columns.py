"""Column types and indexes that both databases keep small and sort right, and the ids of rows.

PostgreSQL has types of its own for ids and moments. SQLite has none: an id is a blob of 16 bytes there, a moment an
integer of microseconds since 1970. As texts, Tortoise's default, the two would take 68 bytes instead of 24 in each row
and again in each index. The clients (`sqlite.py`, asyncpg) take `UUID` and `datetime` as parameters; this module
reads them back.

Not here: models, queries.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.fields import DatetimeField, UUIDField
from tortoise.indexes import Index

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def new_id() -> UUID:
    """A UUID version 7 (RFC 9562 section 5.7): rows that are made later sort later."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def microseconds(moment: datetime) -> int:
    """A timezone-aware moment as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Microseconds since 1970 as a moment in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def as_id(value: Any) -> UUID:
    """An id as either database returns it."""
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(str(value))


def as_moment(value: Any) -> datetime:
    """A moment as either database returns it."""
    return moment(value) if isinstance(value, int) else value.astimezone(UTC)


class KeyField(UUIDField[Any]):
    """An id: UUID on PostgreSQL, a blob of 16 bytes on SQLite."""

    class _db_sqlite:
        SQL_TYPE = "BLOB"

    def to_db_value(self, value: Any, instance: Any) -> Any:
        return value if value is None or isinstance(value, UUID) else as_id(value)

    def to_python_value(self, value: Any) -> UUID | None:
        return None if value is None else value if isinstance(value, UUID) else as_id(value)


class MomentField(DatetimeField[Any]):
    """A moment in UTC: TIMESTAMPTZ on PostgreSQL, an integer of microseconds on SQLite."""

    class _db_sqlite:
        SQL_TYPE = "BIGINT"

    def to_python_value(self, value: Any) -> datetime | None:
        return None if value is None else as_moment(value)


class FilteredIndex(Index):
    """An index of the rows for which `where` (SQL that both databases read) holds."""

    def __init__(self, *, fields: tuple[str, ...] | list[str], name: str, where: str) -> None:
        super().__init__(fields=fields, name=name)
        self.where = where
        self.extra = f" WHERE {where}"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "where": self.where}
