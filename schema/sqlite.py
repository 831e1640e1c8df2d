"""Tortoise's engine for SQLite as Earshot needs it: `{"engine": "schema.sqlite"}`.

It differs from Tortoise's own in four things. A transaction takes the write lock at once (BEGIN IMMEDIATE): a plain
BEGIN that reads and then writes fails with "database is locked" as soon as another process wrote in between, however
long one would wait. A start that fails gives its lock back. The file is its owner's alone. A connection for reading
refuses writes, and stops a query that takes too long or that nobody waits for any more.

Not here: what a query asks.
"""

import asyncio
import contextlib
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from tortoise.backends.base.client import ConnectionWrapper, NestedTransactionContext
from tortoise.backends.sqlite import client as base
from tortoise.connection import get_connections

from schema.columns import microseconds

Answer = TypeVar("Answer")

# How long a writer waits for another one, in another process: transactions take milliseconds, a migration seconds.
_LOCK_WAIT_MS: Final = 10_000
# The write-ahead log is cut back to this after a checkpoint; a backlog of thousands of calls may have made it longer.
_LOG_BYTES: Final = 4 << 20
_PRAGMAS: Final = {
    # First, since the next one wants the lock where the file is new.
    "busy_timeout": _LOCK_WAIT_MS,
    "journal_mode": "WAL",
    "journal_size_limit": _LOG_BYTES,
    # A unit that returned is on the disk. NORMAL would do for the clerk's offset: a power loss cuts the log at a
    # commit, so it is never there without its events. But that could undo the commit upon which a journal was deleted.
    "synchronous": "FULL",
}
_DOLLAR: Final = re.compile(r"\$(\d+)")


class Interrupted(Exception):
    """A query was stopped: it took longer than its connection allows, or nobody waits for it any more."""


class Interest:
    """Somebody waits for a read. Once he does not, the query that runs for him is stopped, and none is started."""

    __slots__ = ("connection", "over")

    def __init__(self) -> None:
        self.over = False
        self.connection: ReadingClient | None = None

    def end(self) -> None:
        """In the thread of the loop only."""
        self.over = True
        if self.connection is not None:
            self.connection.interrupt()


interest: Final[ContextVar[Interest | None]] = ContextVar("interest", default=None)


def get_client_class(info: dict[str, Any]) -> type[base.SqliteClient]:
    """Tortoise's question which kind of connection these credentials are for: a time limit is for reading."""
    return ReadingClient if "query_limit_s" in info["credentials"] else WritingClient


def numbered(query: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """PostgreSQL's `$1` as SQLite's `?`: a value that is named twice is given twice."""
    order = [int(found) - 1 for found in _DOLLAR.findall(query)]
    return _DOLLAR.sub("?", query), [values[place] for place in order]


class _Client(base.SqliteClient):
    """Ids and moments go in as `columns.py` reads them back."""

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        return int(await super().execute_insert(query, _plain(values)))

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        await super().execute_many(query, [_plain(row) for row in values])

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[dict[str, Any]]]:
        count, found = await super().execute_query(query, _plain(values))
        return count, found

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        return list(await super().execute_query_dict(query, _plain(values)))


def _plain(values: Sequence[Any] | None) -> list[Any]:
    return [
        value.bytes if isinstance(value, UUID) else microseconds(value) if isinstance(value, datetime) else value
        for value in values or ()
    ]


class WritingClient(_Client, base.SqliteClientWithRegexpSupport):
    """One connection, one transaction at a time. Without `foreign_keys`, a table can be made anew without its children
    noticing.
    """

    def __init__(self, file_path: str, *, foreign_keys: bool = True, **kwargs: Any) -> None:
        super().__init__(file_path, **kwargs)
        self.pragmas = {**_PRAGMAS, "foreign_keys": "ON" if foreign_keys else "OFF"}

    async def create_connection(self, with_db: bool) -> None:
        if self._connection:
            return
        _make(Path(self.filename))
        try:
            await super().create_connection(with_db)
        except BaseException:
            # It may be open with half of its pragmas: without foreign keys, say.
            await self.close()
            raise

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        return _Turn(self._lock, self)

    def _in_transaction(self) -> base.SqliteTransactionContext:
        return _Start(_Transaction(self), self._lock)


class ReadingClient(WritingClient):
    """A connection that writes nothing. A query that takes longer than `query_limit_s` raises Interrupted."""

    def __init__(self, file_path: str, *, query_limit_s: float, **kwargs: Any) -> None:
        super().__init__(file_path, **kwargs)
        self.pragmas["query_only"] = "ON"
        self._query_limit_s = query_limit_s
        self._turn = asyncio.Lock()

    def interrupt(self) -> None:
        if self._connection:
            self._connection._conn.interrupt()

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[dict[str, Any]]]:
        return await self._watched(super().execute_query, query, values)

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        return await self._watched(super().execute_query_dict, query, values)

    async def _watched(
        self, execute: Callable[[str, list[Any] | None], Awaitable[Answer]], query: str, values: list[Any] | None
    ) -> Answer:
        who = interest.get() or Interest()
        # An interruption hits whatever runs on the connection: by turns, that is the query it was meant for.
        async with self._turn:
            if who.over:
                raise Interrupted
            who.connection = self
            limit = asyncio.get_running_loop().call_later(self._query_limit_s, self.interrupt)
            try:
                return await execute(query, values)
            except Exception as error:
                if str(error) == "interrupted":
                    raise Interrupted from error
                raise
            finally:
                limit.cancel()
                who.connection = None


class _Transaction(_Client, base.SqliteTransactionWrapper):
    def _in_transaction(self) -> NestedTransactionContext:
        return NestedTransactionContext(_Transaction(self))

    async def begin(self) -> None:
        # A commit that failed (a full disk) leaves its transaction open.
        if self._connection.in_transaction:
            await self._connection.rollback()
        await self._connection.execute("BEGIN IMMEDIATE")

    async def execute_script(self, query: str) -> None:
        """As statements of this transaction: sqlite3's own way would commit it first."""
        statement = ""
        for piece in query.split(";"):
            statement += piece + ";"
            if sqlite3.complete_statement(statement):
                await self.execute_query(statement)
                statement = ""


class _Turn(ConnectionWrapper[Any]):
    """Tortoise's own keeps its lock for ever where the connection cannot be opened."""

    async def __aenter__(self) -> Any:
        await self._lock.acquire()
        try:
            await self.ensure_connection()
        except BaseException:
            self._lock.release()
            raise
        return self.connection


class _Start(base.SqliteTransactionContext):
    async def __aenter__(self) -> Any:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self.connection.begin()
        except BaseException:
            self._trxlock.release()
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        return self.connection


def _make(path: Path) -> None:
    """A file that nobody but its owner reads; SQLite gives its log the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only where there is none: closing a second descriptor of a file takes away all locks that this process has on
    # it (fcntl(2)). The next process to leave would believe itself the last, and delete the log that others write to.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
