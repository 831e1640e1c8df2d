"""What goes wrong with a database, in words for those who use Earshot.

Not here: what is done about it.
"""

import re
import sqlite3
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it has no types
from tortoise.exceptions import DBConnectionError, OperationalError

from schema.sqlite import Interrupted

# SQLite's errors that come from outside: another process, the disk, the rights on a file.
_SQLITE_OUTSIDE: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
)
# The lower byte of SQLite's extended result codes is the code.
_SQLITE_CODE: Final = 0xFF
_POSTGRES_OUTSIDE: Final = (
    asyncpg.ClientConfigurationError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
)


class DatabaseError(Exception):
    """The database did not do what was asked. Its text is a sentence for users; `what` says only what is wrong."""

    def __init__(self, what: str, more: str = "") -> None:
        super().__init__(f"{what} {more}".strip())
        self.what = what


class DatabaseAway(DatabaseError):
    """The database does not answer, or cannot take anything now. The same may work in a moment."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The database does not answer ({reason}).",
            "Calls are recorded all the same; they appear here once it answers again.",
        )


class DatabaseUnreadable(DatabaseAway):
    """The file of the database is none, or is damaged. Until somebody puts another one in its place, it is away."""

    def __init__(self, reason: str) -> None:
        DatabaseError.__init__(
            self,
            f"The file of the database cannot be read ({reason}): it is damaged, or is no database. Put a backup in "
            "its place, or move it away and run `earshot reindex`.",
            "Calls are recorded all the same.",
        )


class SchemaOutdated(DatabaseError):
    """The tables are older than this version of Earshot."""

    def __init__(self) -> None:
        super().__init__(
            "The database was made for an older version of Earshot. Run `earshot migrate` once to bring it up to date.",
            "Calls are recorded all the same.",
        )


class QueryTooSlow(DatabaseError):
    """A query took longer than a reader is kept waiting."""

    def __init__(self) -> None:
        super().__init__("The search took too long and was stopped. Ask for less: a shorter time, fewer conditions.")


def explained(error: Exception) -> DatabaseError | None:
    """The same error for users; None where it is a fault of the program."""
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, OperationalError) and error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    if isinstance(error, Interrupted | asyncpg.QueryCanceledError):
        return QueryTooSlow()
    if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError):
        code = getattr(error, "sqlite_errorcode", 0) & _SQLITE_CODE
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return DatabaseUnreadable(str(error))
        return DatabaseAway(str(error)) if code in _SQLITE_OUTSIDE else None
    if isinstance(error, TimeoutError):
        return DatabaseAway("it is silent")
    if isinstance(error, (OSError, DBConnectionError, *_POSTGRES_OUTSIDE)):
        return DatabaseAway(_one_line(error))
    # What asyncpg says of a connection that was lost between two statements, according to when it noticed. Any other
    # misuse of it would be our fault.
    lost = isinstance(error, asyncpg.InterfaceError) and re.search("clos|released back to the pool", str(error))
    if lost or isinstance(error, asyncpg.InternalClientError):
        return DatabaseAway("the connection was closed")
    return None


def _one_line(error: BaseException) -> str:
    """An error's text without what a user is not to see: the address and the login are the administrator's."""
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return (str(error).splitlines() or [type(error).__name__])[0]
