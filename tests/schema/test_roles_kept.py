"""Roles: copies, and that nobody makes himself more than he is."""

import pytest

from schema import people, roles_kept, users
from schema.columns import new_id
from schema.database import open_database
from schema.profiles import KeptRole, RoleFields, UserFields
from schema.refusals import NotThere, Refusal
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by

LISTENER = RoleFields(name="Listener", grant=Grant(Reach.TENANT, frozenset({Permission.VIEW_CALLS, Permission.PLAY})))


def names(roles: tuple[KeptRole, ...]) -> list[str]:
    return [role.fields.name for role in roles]


async def test_a_copy_gives_what_it_says_at_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        made = await roles_kept.copy_role(by(anna), Role.SUPERVISOR, LISTENER)
        assert (made.base, made.fields, made.users) == (Role.SUPERVISOR, LISTENER, 0)
        amy = await users.create_user(by(anna), UserFields(login="amy", role=made.id))
        assert (amy.fields.role, amy.role, amy.role_name, amy.grant) == (
            made.id,
            Role.SUPERVISOR,
            "Listener",
            LISTENER.grant,
        )
        narrowed = RoleFields(name="Viewer", grant=Grant(Reach.OWN, frozenset({Permission.VIEW_CALLS})))
        changed = await roles_kept.update_role(by(anna), made.id, narrowed)
        assert (changed.fields, changed.users) == (narrowed, 1)
        account = await people.account(amy.id)
        assert account is not None
        assert (account.grant, account.role_name) == (narrowed.grant, "Viewer")
        second = await roles_kept.copy_role(by(anna), made.id, LISTENER)
        assert second.base is Role.SUPERVISOR


async def test_a_role_in_use_stays(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        made = await roles_kept.copy_role(COMMAND, Role.USER, LISTENER)
        amy = await users.create_user(COMMAND, UserFields(login="amy", role=made.id))
        with pytest.raises(Refusal, match="Somebody has the role Listener"):
            await roles_kept.delete_role(COMMAND, made.id)
        await users.update_user(COMMAND, amy.id, UserFields(login="amy"))
        await roles_kept.delete_role(COMMAND, made.id)
        assert await roles_kept.get_role(COMMAND.scope, made.id) is None


async def test_nobody_gives_what_he_does_not_have(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        operators = RoleFields(name="All", grant=READY_MADE[Role.OPERATOR])
        archiving = RoleFields(name="Archive", grant=Grant(Reach.OWN, frozenset({Permission.MANAGE_ARCHIVING})))
        made = await roles_kept.copy_role(by(anna), Role.USER, LISTENER)
        above = await roles_kept.copy_role(COMMAND, Role.USER, archiving)
        for attempt in (
            roles_kept.copy_role(by(anna), Role.OPERATOR, operators),
            roles_kept.copy_role(by(anna), Role.USER, archiving),
            roles_kept.update_role(by(anna), made.id, archiving),
            roles_kept.update_role(by(anna), above.id, LISTENER),
        ):
            with pytest.raises(Refusal) as refused:
                await attempt
            assert refused.value.code == "beyond_you"
        lead = Grant(Reach.MANAGED, frozenset(Permission))
        own = await roles_kept.copy_role(COMMAND, Role.SUPERVISOR, RoleFields(name="Lead", grant=lead))
        who = await users.create_user(COMMAND, UserFields(login="lead", role=own.id))
        account = await people.account(who.id)
        assert account is not None
        with pytest.raises(Refusal, match="rights"):
            await roles_kept.copy_role(
                by(account), Role.USER, RoleFields(name="x", grant=Grant(Reach.OWN, frozenset()))
            )


async def test_nobody_takes_from_himself(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        chief = RoleFields(name="Chief", grant=READY_MADE[Role.ADMINISTRATOR])
        made = await roles_kept.copy_role(COMMAND, Role.ADMINISTRATOR, chief)
        assert made.id is not None
        await users.create_user(COMMAND, UserFields(login="anna", role=made.id))
        account = (await people.accounts_by_login("anna"))[0]
        with pytest.raises(Refusal, match="your own access"):
            await roles_kept.update_role(by(account), made.id, LISTENER)
        renamed = RoleFields(name="Boss", grant=chief.grant)
        assert (await roles_kept.update_role(by(account), made.id, renamed)).fields == renamed


async def test_names_are_one_in_each_tenant_and_not_those_of_ready_made_roles(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna, eve = await a_user("anna", Role.ADMINISTRATOR), await a_user("eve", Role.ADMINISTRATOR, tenant="Acme")
        made = await roles_kept.copy_role(by(anna), Role.USER, LISTENER)
        for name in ("LISTENER", "Administrator"):
            with pytest.raises(Refusal) as refused:
                await roles_kept.copy_role(by(anna), Role.USER, RoleFields(name=name, grant=LISTENER.grant))
            assert (refused.value.code, refused.value.field) == ("role_taken", "name")
        theirs = await roles_kept.copy_role(by(eve), Role.USER, LISTENER)
        ready = ["administrator", "supervisor", "user"]
        assert names(await roles_kept.list_roles(by(anna).scope)) == [*ready, "Listener"]
        assert names(await roles_kept.list_roles(COMMAND.scope)) == ["operator", *ready, "Listener", "Listener"]
        assert await roles_kept.get_role(by(anna).scope, theirs.id or new_id()) is None
        for attempt in (
            roles_kept.copy_role(by(anna), theirs.id or new_id(), LISTENER),
            roles_kept.update_role(by(anna), theirs.id or new_id(), LISTENER),
            roles_kept.delete_role(by(anna), theirs.id or new_id()),
        ):
            with pytest.raises(NotThere):
                await attempt
        with pytest.raises(Refusal, match="no role"):
            await users.create_user(by(anna), UserFields(login="amy", role=theirs.id or new_id()))
        assert made.id != theirs.id
