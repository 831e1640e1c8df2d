"""The bridge: the only module that knows that the ORM runs on an asyncio loop in a thread of its own.

A function marked `@unit`, `@reading` or `@lookup` is one unit of work: plain Tortoise inside, awaited from trio
outside; units may call units. A unit runs to its end, even when whoever awaits it is cancelled: a transaction that is
cut short leaks its connection or its lock, and after some of these nothing goes on. The answer of a `@reading` or a
`@lookup` may be abandoned.

A database that is away is no reason to fail at the start: units raise `DatabaseAway`, and work once it is back.

Not here: queries (`clerk.py`, `calls.py`, `people.py`), tables (`models.py`), what the errors mean (`errors.py`).
"""

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, ParamSpec, TypeVar

import trio
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tortoise.connection import get_connection, get_connections
from tortoise.context import TortoiseContext, _current_context
from tortoise.transactions import in_transaction

from schema import revision, sqlite
from schema.errors import DatabaseAway, DatabaseError, QueryTooSlow, SchemaOutdated, explained

__all__ = [
    "Database",
    "DatabaseAway",
    "DatabaseError",
    "QueryTooSlow",
    "SchemaOutdated",
    "audit_key",
    "later",
    "lookup",
    "migrate",
    "open_database",
    "reading",
    "rows",
    "sealing_key",
    "transaction",
    "unit",
]

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

# A page that takes longer is no page. It is also the longest that an abandoned query keeps its connection.
_READING_LIMIT_S: Final = 5.0
# A server that takes a query and never answers: its machine is gone, or the network. Longer than any write takes.
_SILENCE_S: Final = 10.0
# There is one loop thread and pages are short: more connections would not make it faster.
_READING_CONNECTIONS: Final = 5
_WRITING_CONNECTIONS: Final = 3
_LOOKUP_CONNECTIONS: Final = 2
# So many wait only for a database that is silent, and who waits with them has nothing of it.
_MOST_WAITING: Final = 200

_AUDIT_PURPOSE: Final = b"earshot audit trail, version 1"
_SEALING_PURPOSE: Final = b"earshot database secrets, version 1"

_current: Final[contextvars.ContextVar["Database"]] = contextvars.ContextVar("database")


@asynccontextmanager
async def open_database(url: str, *, key: bytes, migrate: bool = False) -> AsyncIterator["Database"]:
    """The database that units use inside: `sqlite:///path` or `postgresql://user:password@host:port/name`.

    It opens also while the database is away. `key`: 32 bytes, the same for all processes of one system; under keys made
    from it entries of the audit trail are proved, and secrets sealed. `migrate`: brings the tables up to date at the
    first contact.
    Resources: a thread, and the connections; at the end it waits for the units that still run (time-outs bound them).
    Only one kind of database may be open in a process at a time.
    """
    database = Database(url, key=key, migrate=migrate)
    async with database._opened():
        yield database


async def migrate(url: str) -> list[str]:
    """Brings the tables up to date and returns the names of the migrations that this took.

    Errors: DatabaseAway.
    """
    async with open_database(url, key=b"") as database:
        work = functools.partial(revision.migrate, f"{database._name}-migrating")
        return await database._call(work, prepared=False)


class Database:
    """An open database: see `open_database`."""

    def __init__(self, url: str, *, key: bytes, migrate: bool) -> None:
        self._migrate = migrate
        self._key = key
        self._name, self._connections = _connections(url)
        self._tortoise = TortoiseContext()
        self._open = 0
        self._later: dict[str, asyncio.Task[Any]] = {}
        self._context: contextvars.Context
        self._idle: trio.Event | None = None
        self._up_to_date = False
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._checking: asyncio.Lock
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, name="database", daemon=True)

    async def ready(self) -> None:
        """Returns where the database answers and its tables are those of this version.

        Errors: DatabaseAway, SchemaOutdated.
        """
        await self._call(functools.partial(rows, "SELECT 1"))

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._stop = asyncio.Event()
            self._checking = asyncio.Lock()
            self._started.set()
            runner.run(self._stop.wait())

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        self._thread.start()
        self._started.wait()
        token = _current.set(self)
        self._context = contextvars.copy_context()
        self._context.run(_current_context.set, self._tortoise)
        try:
            await self._call(functools.partial(self._tortoise.init, self._config()), prepared=False)
            yield
        finally:
            with trio.CancelScope(shield=True):
                if self._open:
                    self._idle = trio.Event()
                    await self._idle.wait()
                await self._call(self._close, prepared=False)
                self._loop.call_soon_threadsafe(self._stop.set)
                await trio.to_thread.run_sync(self._thread.join)
            _current.reset(token)

    async def _close(self) -> None:
        while self._later:
            await asyncio.wait(self._later.values())
        await self._tortoise.close_connections()

    def _config(self) -> dict[str, Any]:
        app = {"models": ["schema.models"], "migrations": revision.PACKAGE, "default_connection": self._name}
        return {"connections": self._connections, "apps": {revision.APP: app}}

    async def _call(
        self,
        function: Callable[[], Coroutine[Any, Any, Answer]],
        *,
        prepared: bool = True,
        interest: sqlite.Interest | None = None,
        apart: str = "",
    ) -> Answer:
        """Runs a coroutine function to its end in the loop's thread. With an `interest`, the caller may leave.

        `apart`: on connections of this kind, where a query that nobody waits for any more is stopped.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if interest is not None and self._open >= _MOST_WAITING:
            raise DatabaseAway("too much waits for it")
        token, task = trio.lowlevel.current_trio_token(), trio.lowlevel.current_task()
        context = contextvars.copy_context()
        context.run(_current_context.set, self._tortoise)
        results: list[asyncio.Task[Answer]] = []
        waiting = True

        def deliver() -> None:  # in trio's thread
            self._open -= 1
            if self._idle is not None and not self._open:
                self._idle.set()
            if waiting:
                trio.lowlevel.reschedule(task)

        def done(finished: asyncio.Task[Answer]) -> None:  # in the loop's thread
            finished.exception()  # seen: an abandoned one is not worth a warning
            results.append(finished)
            token.run_sync_soon(deliver)

        def start() -> None:  # in the loop's thread
            work = self._work(function, prepared, interest, apart)
            self._loop.create_task(work, context=context).add_done_callback(done)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal waiting
            if interest is None:
                return trio.lowlevel.Abort.FAILED
            waiting = False
            self._loop.call_soon_threadsafe(interest.end)
            return trio.lowlevel.Abort.SUCCEEDED

        self._open += 1
        self._loop.call_soon_threadsafe(start)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return results[0].result()

    async def _work(
        self,
        function: Callable[[], Coroutine[Any, Any, Answer]],
        prepared: bool,
        interest: sqlite.Interest | None,
        apart: str,
    ) -> Answer:
        try:
            if prepared and not self._up_to_date:
                await self._prepare()
            if apart:
                sqlite.interest.set(interest)
                get_connections().set(self._name, get_connection(f"{self._name}-{apart}"))
            return await function()
        except Exception as error:
            known = explained(error)
            if isinstance(known, DatabaseAway):
                self._up_to_date = False  # what comes back may be another one
            if known is None or known is error:
                raise
            raise known from error

    async def _prepare(self) -> None:
        async with self._checking:
            if self._up_to_date:
                return
            if await revision.missing(self._name):
                if not self._migrate:
                    raise SchemaOutdated
                await revision.migrate(f"{self._name}-migrating")
            self._up_to_date = True


def unit(function: Callable[Asked, Coroutine[Any, Any, Answer]]) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """Marks a unit of work that may write. Errors of each: DatabaseAway, SchemaOutdated."""

    @functools.wraps(function)
    async def call(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        database = _current.get()
        if threading.current_thread() is database._thread:
            return await function(*args, **kwargs)
        return await database._call(functools.partial(function, *args, **kwargs))

    return call


def reading(function: Callable[Asked, Coroutine[Any, Any, Answer]]) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """Marks a unit that only reads, maybe for long: on connections of its own, so that no writer waits for it.

    Errors of each: DatabaseAway, SchemaOutdated, QueryTooSlow.
    """

    @functools.wraps(function)
    async def call(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        database = _current.get()
        if threading.current_thread() is database._thread:
            return await function(*args, **kwargs)
        return await database._call(
            functools.partial(function, *args, **kwargs), interest=sqlite.Interest(), apart="reading"
        )

    return call


def lookup(function: Callable[Asked, Coroutine[Any, Any, Answer]]) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """Marks a unit that only reads, and only a row or a few: neither a long reading nor a long writing, such as an
    import, is in front of it, and one may leave.

    Errors of each: DatabaseAway, SchemaOutdated.
    """

    @functools.wraps(function)
    async def call(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        database = _current.get()
        if threading.current_thread() is database._thread:
            return await function(*args, **kwargs)
        return await database._call(
            functools.partial(function, *args, **kwargs), interest=sqlite.Interest(), apart="lookup"
        )

    return call


def later(what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Inside a lookup: something small is written after it. Nobody waits for it, and its failure is nobody's.

    What is to be written already, by its name `what`, is written once.
    """
    database = _current.get()
    if what in database._later:
        return

    def done(finished: asyncio.Task[object]) -> None:
        del database._later[what]
        finished.exception()

    context = database._context.copy()
    database._later[what] = task = database._loop.create_task(database._work(work, True, None, ""), context=context)
    task.add_done_callback(done)


def transaction() -> AbstractAsyncContextManager[Any]:
    """Inside a unit: what is done in it is done together or not at all."""
    return in_transaction(_current.get()._name)


async def rows(query: str, *values: Any) -> list[dict[str, Any]]:
    """Inside a unit: the rows of a query in the SQL that both databases read, its parameters written `$1`, `$2` ..."""
    connection = get_connection(_current.get()._name)
    if is_sqlite():
        query, given = sqlite.numbered(query, values)
        return await connection.execute_query_dict(query, given)
    return await connection.execute_query_dict(query, list(values))


def audit_key() -> bytes:
    """Inside a unit: the 32 bytes under which entries of the audit trail are proved."""
    return _derived(_AUDIT_PURPOSE)


def sealing_key() -> bytes:
    """Inside a unit: the 32 bytes under which secrets are sealed."""
    return _derived(_SEALING_PURPOSE)


def _derived(purpose: bytes) -> bytes:
    key = _current.get()._key
    if not key:
        raise RuntimeError("this database was opened without a key")
    return HKDF(algorithm=SHA256(), length=len(key), salt=None, info=purpose).derive(key)


def is_sqlite() -> bool:
    """Inside a unit: whether a query must do without what only PostgreSQL has."""
    return _current.get()._name == "sqlite"


def _connections(url: str) -> tuple[str, dict[str, Any]]:
    """The name of the connection for writing, and all connections as Tortoise wants them; each opens when it is used.

    Tortoise keeps prepared statements by the connection's name: it must differ between kinds of databases.
    """
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite":
        name, engine = "sqlite", "schema.sqlite"
        writing: dict[str, Any] = {"file_path": path}
        reading: dict[str, Any] = {"file_path": path, "query_limit_s": _READING_LIMIT_S}
        migrating: dict[str, Any] = {"file_path": path, "foreign_keys": False}
        lookup = dict(reading)
    else:
        name, engine = "postgres", "schema.postgres"
        writing = {"url": url, "most": _WRITING_CONNECTIONS, "silence_s": _SILENCE_S}
        reading = {"url": url, "most": _READING_CONNECTIONS, "silence_s": _SILENCE_S, "query_limit_s": _READING_LIMIT_S}
        migrating = {"url": url, "most": 1, "silence_s": None}
        lookup = {**reading, "most": _LOOKUP_CONNECTIONS}
    kinds = {name: writing, f"{name}-reading": reading, f"{name}-lookup": lookup, f"{name}-migrating": migrating}
    return name, {alias: {"engine": engine, "credentials": credentials} for alias, credentials in kinds.items()}
