"""Tortoise's engine for PostgreSQL as Earshot needs it: `{"engine": "schema.postgres"}`.

It differs from Tortoise's own in three things: it takes the whole URL, as PostgreSQL's own tools do; it opens no
connection before one is needed; and a transaction whose connection is lost gives its place in the pool back (after as
many losses as there are places, every later query would wait for ever).

Not here: what a query asks.
"""

import contextlib
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it has no types
from tortoise.backends.asyncpg import client as base
from tortoise.backends.base.client import TransactionContextPooled
from tortoise.connection import get_connections

_CONNECT_LIMIT_S: Final = 5


class client_class(base.AsyncpgDBClient):  # Tortoise looks for this name.
    """`most`: connections at once. With a `query_limit_s` they only read, and a query that takes longer is stopped.
    `silence_s`: how long to wait for an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int,
        silence_s: float | None,
        query_limit_s: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._url = url
        self._most = most
        self._silence_s = silence_s
        self._settings = {"application_name": "earshot"}
        if query_limit_s is not None:
            self._settings["default_transaction_read_only"] = "on"
            self._settings["statement_timeout"] = str(round(query_limit_s * 1000))
            # Compiling a plan takes longer than a page of a list.
            self._settings["jit"] = "off"

    async def create_pool(self, **_: Any) -> Any:
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._most,
            timeout=_CONNECT_LIMIT_S,
            command_timeout=self._silence_s,
            server_settings=self._settings,
        )

    def _in_transaction(self) -> TransactionContextPooled:
        return _Start(base.TransactionWrapper(self), self._pool_init_lock)


class _Start(TransactionContextPooled):
    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        pool = self.client._parent._pool
        self.client._connection = await pool.acquire()
        try:
            await self.client.begin()
        except BaseException:
            _drop(self.client._connection)
            await pool.release(self.client._connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        if exc_type is None:
            await super().__aexit__(None, None, None)
            return
        if issubclass(exc_type, TimeoutError | asyncpg.InternalClientError):
            # Who does not answer will not answer to a rollback either. PostgreSQL rolls back when it finds us gone.
            _drop(self.client._connection)
        # A rollback fails where the connection is lost, and what lost it is what the caller must hear.
        with contextlib.suppress(asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError, OSError):
            await super().__aexit__(exc_type, exc_val, exc_tb)


def _drop(connection: Any) -> None:
    # One that was lost has gone back to its pool by itself, and says so.
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()
