"""The tables are what the models say, whichever way they came to be."""

import pytest
import trio
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from schema import revision
from schema.database import SchemaOutdated, migrate, open_database, unit
from tests.databases import KEY

NAMES = ["0001_initial", "0002_default_tenant", "0003_people", "0004_platform"]


@unit
async def pending_changes() -> list[str]:
    """What Tortoise would write into the next migration."""
    context = TortoiseContext()
    apps = {revision.APP: {"models": ["schema.models"], "migrations": revision.PACKAGE, "default_connection": "one"}}
    connections = {"one": {"engine": "schema.sqlite", "credentials": {"file_path": ":memory:"}}}
    with context:
        await context.init({"connections": connections, "apps": apps}, init_connections=False)
        assert context.apps is not None
        return [writer.as_string() for writer in await MigrationAutodetector(context.apps, apps).changes()]


async def test_migrations_lead_to_the_models(empty_database_url: str) -> None:
    assert await migrate(empty_database_url) == NAMES
    async with open_database(empty_database_url, key=KEY):
        assert await pending_changes() == []
    assert await migrate(empty_database_url) == []


async def test_units_refuse_tables_of_an_older_version(empty_database_url: str) -> None:
    async with open_database(empty_database_url, key=KEY) as database:
        with pytest.raises(SchemaOutdated, match="Run `earshot migrate`"):
            await database.ready()
        await migrate(empty_database_url)
        await database.ready()


async def test_the_first_contact_may_bring_them_up_to_date(empty_database_url: str) -> None:
    async with open_database(empty_database_url, migrate=True, key=KEY) as database, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(database.ready)
    assert await migrate(empty_database_url) == []
