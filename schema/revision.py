"""How far the tables are behind the models, and bringing them up to date: Tortoise's migrations, under a lock.

All that are missing are applied in one transaction, each with the note that it was: a process that is killed in between
leaves nothing half done, and of two that start at once the second finds nothing left to do.

Not here: the migrations (`migrations/`).
"""

import importlib
import pkgutil
from typing import Final

from tortoise.connection import get_connection
from tortoise.exceptions import OperationalError
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

APP: Final = "earshot"
PACKAGE: Final = "schema.migrations"

# Any number, the same in every version: who holds it changes the tables.
_LOCK: Final = 0x45415253484F54
_NO_TABLE: Final = ('relation "tortoise_migrations" does not exist', "no such table: tortoise_migrations")


async def missing(name: str) -> list[str]:
    """The migrations that were not applied yet, in order, as connection `name` sees it."""
    query = "SELECT name FROM tortoise_migrations WHERE app = 'earshot'"
    try:
        found = await get_connection(name).execute_query_dict(query)
    except OperationalError as error:
        if str(error) not in _NO_TABLE:
            raise
        found = []
    applied = {row["name"] for row in found}
    package = importlib.import_module(PACKAGE)
    return [name for _, name, _ in pkgutil.iter_modules(package.__path__) if name not in applied]


async def migrate(name: str) -> list[str]:
    """Applies what is missing over connection `name`, which has no time limits, and returns the names."""
    apps = {APP: {"models": ["schema.models"], "migrations": PACKAGE, "default_connection": name}}
    applied: list[str] = []
    connection = get_connection(name)
    try:
        async with in_transaction(name) as held:
            executor = MigrationExecutor(held, apps)
            if held.capabilities.dialect == "postgres":
                await held.execute_query(f"SELECT pg_advisory_xact_lock({_LOCK})")
            # Tortoise asks this table before it makes it, and on PostgreSQL a question that fails ends the transaction.
            await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
            await executor.migrate(
                progress=lambda event, _, migration: applied.append(migration) if event == "apply_done" else None
            )
    finally:
        await connection.close()
    return applied
