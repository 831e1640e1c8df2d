"""Identity providers: who may change them, what they may be, and whose account somebody is for whom one vouches."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from schema import audit, providers, roles_kept, tenants, users
from schema.audited import HIDDEN
from schema.columns import new_id
from schema.database import Database, open_database, rows, unit
from schema.entries import By, Resource
from schema.profiles import RoleFields, TenantFields, UserFields
from schema.providers import Client, LoginClaim, ProviderFields
from schema.refusals import NotThere, Refusal
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.values import DEFAULT_TENANT, NOBODY, Scope
from tests.databases import KEY
from tests.people import COMMAND

ISSUER = "https://login.example.com/tenant"
SECRET, OTHER = "s3cret", "an0ther"  # of providers that live as long as a test


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, key=KEY) as opened:
        yield opened


def fields(**changes: Any) -> ProviderFields:
    given: dict[str, Any] = {"name": "Acme", "issuer": ISSUER, "client_id": "earshot", "client_secret": SECRET}
    return ProviderFields(**given | changes)


def administrator(tenant_id: UUID = DEFAULT_TENANT) -> By:
    return replace(
        COMMAND, scope=Scope(tenant_id, NOBODY, Reach.TENANT), grant=READY_MADE[Role.ADMINISTRATOR], login="admin"
    )


async def a_tenant(name: str = "Beta", **changes: Any) -> UUID:
    return (await tenants.create_tenant(COMMAND, TenantFields(name=name, **changes))).id


async def client(provider_id: UUID) -> Client:
    found = await providers.client_of(provider_id)
    assert found is not None
    return found


async def test_a_provider_is_there_as_it_was_given_but_for_its_secret(database: Database) -> None:
    made = await providers.create_provider(administrator(), fields())
    assert made == await providers.get_provider(COMMAND.scope, made.id)
    assert made.fields == fields(client_secret=None)
    assert made.has_secret
    assert (await client(made.id)).client_secret == SECRET


async def test_the_secret_is_sealed_and_stands_in_no_trail(database: Database) -> None:
    made = await providers.create_provider(administrator(), fields())

    @unit
    async def stored() -> str:
        return str((await rows("SELECT client_secret FROM identity_provider"))[0]["client_secret"])

    assert SECRET not in await stored()
    await providers.update_provider(administrator(), made.id, fields(client_secret=OTHER))
    entries = (await audit.list_entries(COMMAND.scope, audit.Filters(resource=Resource.PROVIDERS))).items
    assert len(entries) == 2
    assert entries[0].fields["client_secret"] == (HIDDEN, HIDDEN)
    assert SECRET not in repr(entries)
    assert OTHER not in repr(entries)


async def test_a_secret_is_kept_changed_or_removed(database: Database) -> None:
    made = await providers.create_provider(administrator(), fields())
    await providers.update_provider(administrator(), made.id, fields(name="Acme 2", client_secret=None))
    assert (await client(made.id)).client_secret == SECRET
    await providers.update_provider(administrator(), made.id, fields(client_secret=OTHER))
    assert (await client(made.id)).client_secret == OTHER
    await providers.update_provider(administrator(), made.id, fields(client_secret=""))
    assert (await client(made.id)).client_secret == ""


@pytest.mark.parametrize("changes", [{"issuer": "https://evil.example"}, {"client_id": "another"}])
async def test_a_secret_is_sent_to_nobody_else(database: Database, changes: dict[str, str]) -> None:
    made = await providers.create_provider(administrator(), fields())
    with pytest.raises(Refusal) as refused:
        await providers.update_provider(administrator(), made.id, fields(client_secret=None, **changes))
    assert (refused.value.code, refused.value.field) == ("secret_of_another", "client_secret")
    await providers.update_provider(administrator(), made.id, fields(client_secret=OTHER, **changes))
    assert (await client(made.id)).client_secret == OTHER


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example.com",
        "ftp://login.example.com",
        "login.example.com",
        "https://",
        "https://x.example/?a=b",
        "https://x.example/#a",
        "https://u:p@x.example",
        "https://x.example:99999",
        "https://x .example",
        "https://[::1",
        "https://localhost/",
        "http://127.0.0.1:8080",
    ],
)
async def test_an_issuer_is_an_address_out_there(database: Database, issuer: str) -> None:
    with pytest.raises(Refusal) as refused:
        await providers.create_provider(administrator(), fields(issuer=issuer))
    assert (refused.value.code, refused.value.field) == ("issuer_refused", "issuer")


async def test_what_runs_on_this_machine_is_the_operators(database: Database) -> None:
    made = await providers.create_provider(COMMAND, fields(issuer="http://127.0.0.1:8080"))
    assert made.fields.issuer == "http://127.0.0.1:8080"


async def test_a_name_is_there_once_in_a_tenant(database: Database) -> None:
    await providers.create_provider(administrator(), fields())
    with pytest.raises(Refusal) as refused:
        await providers.create_provider(administrator(), fields(name="ACME"))
    assert refused.value.code == "provider_taken"
    await providers.create_provider(administrator(await a_tenant()), fields())


async def test_of_another_tenant_nothing_is_seen_or_changed(database: Database) -> None:
    made = await providers.create_provider(administrator(), fields())
    other = administrator(await a_tenant())
    assert await providers.list_providers(other.scope) == ()
    assert await providers.get_provider(other.scope, made.id) is None
    with pytest.raises(NotThere):
        await providers.update_provider(other, made.id, fields())
    with pytest.raises(NotThere):
        await providers.delete_provider(other, made.id)
    with pytest.raises(NotThere):
        await providers.create_provider(other, fields(name="Mine"), DEFAULT_TENANT)
    for reach in (Reach.OWN, Reach.MANAGED):
        assert await providers.list_providers(Scope(DEFAULT_TENANT, NOBODY, reach)) == ()
    assert await providers.list_providers(COMMAND.scope) == (made,)


@pytest.mark.parametrize("lacking", [Permission.MANAGE_USERS, Permission.VIEW_CONFIDENTIAL, Permission.PLAY])
async def test_who_has_fewer_rights_than_an_administrator_arranges_no_provider(
    database: Database, lacking: Permission
) -> None:
    made = await providers.create_provider(administrator(), fields())
    grant = READY_MADE[Role.ADMINISTRATOR]
    less = replace(administrator(), grant=grant.narrowed(grant.permissions - {lacking}))
    assert not providers.may_change(less)
    for deed in (
        lambda: providers.create_provider(less, fields(name="Mine")),
        lambda: providers.update_provider(less, made.id, fields(login_claim=LoginClaim.EMAIL)),
        lambda: providers.delete_provider(less, made.id),
    ):
        with pytest.raises(Refusal) as refused:
            await deed()
        assert refused.value.code == "provider_beyond_you"
    assert await providers.list_providers(COMMAND.scope) == (made,)


async def test_what_an_operator_added_only_an_operator_changes(database: Database) -> None:
    made = await providers.create_provider(COMMAND, fields())
    assert made.platform
    for deed in (
        lambda: providers.update_provider(administrator(), made.id, fields(login_claim=LoginClaim.EMAIL)),
        lambda: providers.delete_provider(administrator(), made.id),
    ):
        with pytest.raises(Refusal) as refused:
            await deed()
        assert refused.value.code == "operators_provider"
    assert await providers.get_provider(COMMAND.scope, made.id) == made


async def test_saving_an_administrators_provider_as_an_operator_does_not_make_it_an_operators(
    database: Database,
) -> None:
    made = await providers.create_provider(administrator(), fields())
    assert not made.platform
    changed = await providers.update_provider(COMMAND, made.id, fields(name="Renamed"))
    assert (changed.fields.name, changed.platform) == ("Renamed", False)
    with pytest.raises(Refusal) as refused:
        await providers.update_provider(COMMAND, made.id, fields(issuer="http://127.0.0.1:8080"))
    assert refused.value.code == "issuer_refused"


BEYOND_ADMINISTRATORS = Grant(Reach.TENANT, frozenset({Permission.MANAGE_ARCHIVING}))


@pytest.mark.parametrize("role", [Role.OPERATOR, BEYOND_ADMINISTRATORS])
async def test_nobody_becomes_by_a_provider_what_its_maker_is_not(database: Database, role: Role | Grant) -> None:
    if isinstance(role, Grant):
        role = (await roles_kept.copy_role(COMMAND, Role.ADMINISTRATOR, RoleFields(name="More", grant=role))).id
    theirs = await client((await providers.create_provider(administrator(), fields())).id)
    ours = await client((await providers.create_provider(COMMAND, fields(name="Ours"))).id)
    given = {"role": Role.USER, "may_sign_in": True, "authentication": "oidc"}
    kept = await users.create_user(COMMAND, UserFields(login="op", **given))
    assert (await providers.account_of(theirs, "1", "op", "")).id == kept.id
    await users.update_user(COMMAND, kept.id, replace((await users.get_user(COMMAND.scope, kept.id)).fields, role=role))
    # Not only at the first sign-in: the account was tied to this person before it got its rights.
    assert await providers.account_of(theirs, "1", "op", "") is providers.Unmatched.BEYOND
    assert (await providers.account_of(ours, "1", "op", "")).id == kept.id
    await users.create_user(COMMAND, UserFields(login="other", **given | {"role": role}))
    assert await providers.account_of(theirs, "2", "other", "") is providers.Unmatched.BEYOND
    assert (await users.get_by_login(COMMAND.scope, "other")).fields.external_id == ""


async def test_administrators_come_in_by_their_own_provider(database: Database) -> None:
    theirs = await client((await providers.create_provider(administrator(), fields())).id)
    given = UserFields(login="adm", role=Role.ADMINISTRATOR, may_sign_in=True, authentication="oidc")
    made = await users.create_user(COMMAND, given)
    assert (await providers.account_of(theirs, "1", "adm", "")).id == made.id


async def test_what_was_deleted_lets_nobody_in(database: Database) -> None:
    made = await providers.create_provider(administrator(), fields())
    await providers.delete_provider(administrator(), made.id)
    assert await providers.client_of(made.id) is None
    assert await providers.list_providers(COMMAND.scope) == ()


async def test_doors_are_those_that_are_in_use_where_the_browser_is(database: Database) -> None:
    beta = await a_tenant(hosts=("beta.example.com",))
    ours = await providers.create_provider(administrator(), fields())
    theirs = await providers.create_provider(administrator(beta), fields(name="Beta"))
    off = await providers.create_provider(administrator(), fields(name="Off", enabled=False))
    assert await providers.doors(None) == ()  # of several tenants
    assert [door.id for door in await providers.doors(None, " DEFAULT ")] == [ours.id]
    assert await providers.doors(None, "Beta") == ()  # which has its own host name
    assert await providers.doors(None, "nobody\x00") == ()
    assert await providers.has_doors()
    assert [door.id for door in await providers.doors(DEFAULT_TENANT)] == [ours.id]
    assert [door.id for door in await providers.doors(beta)] == [theirs.id]
    assert await providers.client_of(off.id) is None
    await tenants.disable_tenant(COMMAND, beta)
    assert await providers.doors(beta) == ()
    assert [door.id for door in await providers.doors(None)] == [ours.id]  # of the only one
    await providers.delete_provider(COMMAND, ours.id)
    assert not await providers.has_doors()
    assert await providers.client_of(theirs.id) is None


async def test_whoever_is_nobody_is_told_so(database: Database) -> None:
    made = await client((await providers.create_provider(administrator(), fields())).id)
    for login in ("", "nobody", "no\x00body"):
        assert await providers.account_of(made, "subject", login, "") is providers.Unmatched.UNKNOWN
    assert await providers.account_of(made, "sub\x00ject", "nobody", "") is providers.Unmatched.UNKNOWN
    assert made.login_claim is LoginClaim.USERNAME
    assert await providers.client_of(new_id()) is None
