"""The mechanism of the audit trail: what changes a row is told, in its transaction; nothing changes it otherwise."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

import schema
from schema import access, audit, platform
from schema.audit import Filters
from schema.audited import HIDDEN, Audited, changing
from schema.columns import new_id
from schema.database import open_database, rows, unit
from schema.entries import About, Action, Application, By, Entry, Resource
from schema.models import Account, ApiToken, Phone, Team, Tenant
from schema.profiles import MailFields
from schema.refusals import NotThere
from schema.roles import EVERYTHING
from schema.values import DEFAULT_TENANT
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user

SECRETS = ("$argon2id$secret", "smtp secret", "client secret", "JBSWY3DPEHPK3PXP")


async def entries(**filters: object) -> list[Entry]:
    """The trail, the oldest first."""
    found = await audit.list_entries(COMMAND.scope, Filters(**filters), limit=100)
    return list(found.items[::-1])


@unit
async def sql(query: str, *values: object) -> list[dict[str, object]]:
    return await rows(query, *values)


@unit
async def make(name: str, by: By = COMMAND, *, fail: bool = False) -> Team:
    async with changing(by):
        team = await Team.create(tenant_id=DEFAULT_TENANT, name=name, name_key=name.casefold())
        if fail:
            raise ZeroDivisionError
    return team


@unit
async def rename(team: Team, name: str, by: By = COMMAND) -> None:
    async with changing(by):
        team.name = name
        await team.save()


async def test_what_is_made_changed_and_deleted_is_told(database_url: str) -> None:
    @unit
    async def delete(team: Team) -> None:
        async with changing(COMMAND):
            await team.delete()

    async with open_database(database_url, key=KEY):
        team = await make("Sales")
        await rename(team, "Verkauf")
        await rename(team, "Verkauf")
        await delete(team)
        made, changed, deleted = await entries(about_id=team.id)
        assert [made.action, changed.action, deleted.action] == [Action.CREATE, Action.UPDATE, Action.DELETE]
        assert {entry.tenant_id for entry in (made, changed, deleted)} == {DEFAULT_TENANT}
        assert (made.resource, made.about) == (Resource.GROUPS, About(str(team.id), "Sales", ""))
        assert (made.fields["name"], made.unchanged["language"]) == (("", "Sales"), "")
        assert (changed.fields, changed.unchanged["tenant_id"]) == (
            {"name": ("Sales", "Verkauf")},
            f"Default ({DEFAULT_TENANT})",
        )
        assert deleted.fields["name"] == ("Verkauf", "")


async def test_the_old_value_is_what_was_there_and_not_what_somebody_believed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        team = await make("Sales")
        await sql("UPDATE team SET name = 'Meanwhile' WHERE id = $1", team.id)
        await rename(team, "Verkauf")
        assert (await entries(about_id=team.id))[-1].fields == {"name": ("Meanwhile", "Verkauf")}


async def test_two_changes_at_once_do_not_tell_the_same_old_value(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        team = await make("0")
        async with trio.open_nursery() as nursery:
            for number in range(1, 9):
                another = Team(id=team.id, tenant_id=DEFAULT_TENANT, name="", name_key="", language="", time_zone="")
                another._saved_in_db = True
                nursery.start_soon(rename, another, str(number))
        told = [entry.fields["name"] for entry in await entries(about_id=team.id, action=Action.UPDATE)]
        assert len(told) == 8
        # Whatever the order: each began where another one ended.
        assert {old for old, _ in told} ^ {new for _, new in told} == {
            "0",
            (await sql("SELECT name FROM team"))[0]["name"],
        }


async def test_a_change_that_fails_leaves_neither_row_nor_entry(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        with pytest.raises(ZeroDivisionError):
            await make("Sales", fail=True)
        assert (await entries(), await sql("SELECT * FROM team")) == ([], [])


async def test_a_part_keeps_who_did_it_and_what_it_was(database_url: str) -> None:
    amy = By(COMMAND.scope, EVERYTHING, Application.WEB, new_id(), "amy", "Amy", "192.0.2.1")

    @unit
    async def both() -> None:
        async with changing(COMMAND, details={"why": "import"}):
            await make("one")
            async with changing(amy, action=Action.CHANGE_PASSWORD, details={"how": "part"}):
                team = await make("two", amy)
                team.name = "three"
                await team.save()

    async with open_database(database_url, key=KEY):
        await both()
        told = [(one.initiator_login, one.action, one.details) for one in await entries()]
        assert told == [
            ("", Action.CREATE, {"why": "import"}),
            ("amy", Action.CREATE, {"why": "import", "how": "part"}),
            ("amy", Action.CHANGE_PASSWORD, {"why": "import", "how": "part"}),
        ]


async def test_rows_are_written_in_no_other_way(database_url: str) -> None:
    @unit
    async def refused(work: object) -> None:
        with pytest.raises(RuntimeError):
            await work()  # type: ignore[operator]

    async def save() -> None:
        await Team(id=new_id(), tenant_id=DEFAULT_TENANT, name="x").save()

    async def create() -> None:
        await Team.create(tenant_id=DEFAULT_TENANT, name="x")

    async def update() -> None:
        async with changing(COMMAND):
            await Team.filter(name="Sales").update(name="x")

    async def delete() -> None:
        async with changing(COMMAND):
            await Team.filter(name="Sales").exclude(name="x").delete()

    async def locked() -> None:
        async with changing(COMMAND):
            await Team.select_for_update().filter(name="Sales").update(name="x")

    async def bulk() -> None:
        async with changing(COMMAND):
            await Team.bulk_create([Team(tenant_id=DEFAULT_TENANT, name="x")])

    async def bulk_of_query() -> None:
        async with changing(COMMAND):
            await Team.all().bulk_create([Team(tenant_id=DEFAULT_TENANT, name="x")])

    async def bulk_update() -> None:
        async with changing(COMMAND):
            await Team.all().bulk_update(await Team.all(), ["name"])

    async with open_database(database_url, key=KEY):
        team = await make("Sales")
        for work in (save, create, update, delete, locked, bulk, bulk_of_query, bulk_update):
            await refused(work)
        assert [row["name"] for row in await sql("SELECT name FROM team")] == ["Sales"]
        assert len(await entries(about_id=team.id)) == 1


def test_no_text_of_a_query_writes_such_a_table_but_for_what_is_passing() -> None:
    """Every UPDATE, INSERT and DELETE in the house's sources, by table and columns."""
    audited = {model._meta.db_table: model for model in Audited.__subclasses__()}
    # The same password under a newer hash; tested where it is done.
    allowed = {("account", "password_hash"), ("account", "name_key"), ("account", "search"), ("phone", "search")}
    assert set(audited) == {
        *("platform", "tenant", "role", "team", "account", "phone", "management", "identity_provider", "api_token")
    }
    for path in Path(schema.__file__).parent.glob("*.py"):
        text = path.read_text("utf-8")
        for word, table, rest in re.findall(r'(?i)\b(INSERT INTO|DELETE FROM|UPDATE) \\?"?(\w+)\\?"?([^"]*)', text):
            if table not in audited:
                continue
            assert word == "UPDATE", (path.name, word, table)
            columns = set(re.findall(r"(\w+) =", rest.partition(" WHERE ")[0].removeprefix(" SET")))
            passing = set(audited[table].audit.passing) | {column for one, column in allowed if one == table}
            assert columns, (path.name, table, rest)
            assert columns <= passing, (path.name, table, columns)


async def test_nothing_goes_with_a_deleted_row_unseen(database_url: str) -> None:
    @unit
    async def delete(user: Account) -> None:
        async with changing(COMMAND):
            row = await Account.get(id=user.id)
            with pytest.raises(RuntimeError, match="rows of phone go with this one"):
                await row.delete()
            for phone in await Phone.filter(account_id=user.id):
                await phone.delete()
            await row.delete()

    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", phones=["200"])
        await delete(amy)
        deleted = [entry.resource for entry in await entries(action=Action.DELETE)]
        assert deleted == [Resource.PHONES, Resource.USERS]


async def test_what_was_deleted_meanwhile_is_not_there(database_url: str) -> None:
    @unit
    async def delete(team: Team) -> None:
        async with changing(COMMAND):
            await team.delete()

    async with open_database(database_url, key=KEY):
        team = await make("Sales")
        await sql("DELETE FROM team")
        for work in (rename(team, "x"), delete(team)):
            with pytest.raises(NotThere):
                await work
        assert len(await entries()) == 1


async def test_another_picture_of_the_same_size_is_a_change(database_url: str) -> None:
    @unit
    async def show(logo: bytes) -> None:
        async with changing(COMMAND):
            tenant = await Tenant.get(id=DEFAULT_TENANT)
            tenant.logo = logo
            await tenant.save()

    async with open_database(database_url, key=KEY):
        for logo in (b"one", b"two", b"two"):
            await show(logo)
        first, second = [entry.fields["logo"] for entry in await entries(resource=Resource.TENANTS)]
        assert (first[0], second[0]) == ("", first[1])
        assert second[1].startswith("3 bytes, SHA-256 ")


async def test_secrets_and_hashes_never_appear(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", password_hash="")
        owner = access.by_owner(amy, "192.0.2.1")
        token, link = bytes(range(32)), bytes(range(32, 64))
        await access.set_password(COMMAND, amy.id, SECRETS[0])
        await access.set_totp(owner, SECRETS[3], 1, [b"\x01" * 32, b"\x02" * 32])
        await access.add_token(owner, amy.id, token, "mine", None, None)
        await access.make_link(
            COMMAND, amy.id, link, invitation=True, expires_at=datetime.now(UTC) + timedelta(hours=1)
        )
        await access.use_link(link, SECRETS[0] + "new", "192.0.2.1")
        await access.open_session(owner, bytes(range(64, 96)), datetime.now(UTC) + timedelta(hours=1), "Firefox")
        await platform.set_mail(COMMAND, MailFields(host="mail.example", password=SECRETS[1], sender="a@example.com"))
        sealed = [
            *(str(row["smtp_password"]) for row in await sql("SELECT smtp_password FROM platform")),
            *(str(row["totp_secret"]) for row in await sql("SELECT totp_secret FROM account")),
        ]
        assert all(sealed)
        everything = json.dumps([{k: str(v) for k, v in row.items()} for row in await sql("SELECT * FROM audit_entry")])
        hashes = [one.hex() for one in (token, link, bytes(range(64, 96)), b"\x01" * 32)]
        for secret in (*SECRETS[:2], SECRETS[3], *sealed, *hashes):
            assert secret.casefold() not in everything.casefold()
        passwords = [entry for entry in await entries(action=Action.CHANGE_PASSWORD)]
        assert passwords[0].fields["password_hash"] == ("", HIDDEN)
        assert passwords[-1].fields["password_hash"] == (HIDDEN, HIDDEN)
        [made] = await entries(resource=Resource.TOKENS)
        assert (made.about.id, made.about.name, made.about.parent_id) == ("", "mine", str(amy.id))
        assert {"password_hash", "totp_secret", "recovery_codes"} <= set(Account.audit.secret)
        assert ApiToken.audit.unnamed


async def test_what_databases_refuse_in_a_text_is_no_hindrance(database_url: str) -> None:
    odd = By(COMMAND.scope, EVERYTHING, Application.WEB, None, "a\0b\ud800", "N", "192.0.2.1")
    async with open_database(database_url, key=KEY):
        await audit.note(
            odd, Resource.CALLS, Action.PLAYBACK, About("x", "\0\udfff"), tenant_id=None, details={"a": "\0"}
        )
        [entry] = await entries()
        assert (entry.initiator_login, entry.about.name) == ("ab?", "?")
