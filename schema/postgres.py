"""Tortoise's engine for PostgreSQL as Earshot needs it: `{"engine": "schema.postgres"}`.

It differs from Tortoise's own in three things: it takes the whole URL, as PostgreSQL's own tools do; it opens no
connection before one is needed; and a transaction that cannot begin gives its connection back to the pool (after as
many failures as the pool has connections, every later query would wait for ever).

Not here: what a query asks.
"""

from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it has no types
from tortoise.backends.asyncpg import client as base
from tortoise.backends.base.client import TransactionContextPooled
from tortoise.connection import get_connections

_CONNECT_LIMIT_S: Final = 5
# A server that takes a query and never answers: a machine that is gone, a network that is cut.
_SILENCE_S: Final = 15


class client_class(base.AsyncpgDBClient):  # Tortoise looks for this name.
    """`most`: connections at once. With a `query_limit_s` they only read, and a query that takes longer is stopped.
    `silence_s`: how long to wait for an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int,
        query_limit_s: float | None = None,
        silence_s: float | None = _SILENCE_S,
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
            await pool.release(self.client._connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client
