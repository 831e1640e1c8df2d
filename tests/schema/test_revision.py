"""The tables are what the models say, whichever way they came to be."""

from datetime import UTC, datetime
from functools import partial

import pytest
import trio
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.transactions import in_transaction

from schema import revision, users
from schema.columns import new_id
from schema.database import SchemaOutdated, migrate, open_database, rows, unit
from schema.groups import list_groups
from schema.tenants import list_tenants
from schema.values import DEFAULT_TENANT
from tests.databases import KEY
from tests.people import COMMAND

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


async def _tables_of_old(name: str) -> None:
    """The tables as they were before there were roles and groups in full, with what was in them."""
    apps = {revision.APP: {"models": ["schema.models"], "migrations": revision.PACKAGE, "default_connection": name}}
    async with in_transaction(name) as held:
        executor = MigrationExecutor(held, apps)
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        await executor.migrate([MigrationTarget(revision.APP, NAMES[1])])
    await get_connection(name).close()
    team, account = new_id(), new_id()
    await rows("INSERT INTO team (id, tenant_id, name) VALUES ($1, $2, 'Straße')", team, DEFAULT_TENANT)
    await rows(
        "INSERT INTO account (id, tenant_id, team_id, login, login_key, name, role, may_sign_in, password_hash, "
        "language, time_zone, created_at) VALUES ($1, $2, $3, 'Amy', 'amy', 'Ämy Müller', 'user', $4, '', '', '', $5)",
        *(account, DEFAULT_TENANT, team, True, datetime.now(UTC)),
    )
    await rows(
        "INSERT INTO phone (id, tenant_id, account_id, line) VALUES ($1, $2, $3, 'SIP:Ämy@x')",
        *(new_id(), DEFAULT_TENANT, account),
    )


async def test_people_of_an_older_version_are_found_by_what_lists_are_searched_in(empty_database_url: str) -> None:
    async with open_database(empty_database_url, key=KEY) as database:
        await database._call(partial(_tables_of_old, f"{database._name}-migrating"), prepared=False)
    assert await migrate(empty_database_url) == NAMES[2:]
    async with open_database(empty_database_url, key=KEY):
        for text in ("ÄMY", "müller", "sip:ämy"):
            found = (await users.list_users(COMMAND.scope, text=text)).items
            assert [(user.fields.login, user.fields.phones) for user in found] == [("Amy", ("SIP:Ämy@x",))]
        assert [group.fields.name for group in (await list_groups(COMMAND.scope, text="STRASSE")).items] == ["Straße"]
        assert [one.fields.name for one in (await list_tenants(COMMAND.scope)).items] == ["Default"]


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
