"""Users and their phones."""

import pytest

from schema import calls, people, users
from schema.clerk import apply, default_tenant, users_of_lines
from schema.columns import new_id
from schema.database import open_database
from schema.refusals import Refusal
from schema.roles import Role
from schema.values import Offset, PartyRecord, Scope
from tests.databases import KEY
from tests.schema.given import a_call, a_user

HASH = "$argon2id$"


async def test_a_user_is_found_by_login_and_by_id(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("Amy", Role.SUPERVISOR, name="Amy Archer", password_hash=HASH)
        assert (amy.tenant_id, amy.tenant) == (await default_tenant(), "Default")
        assert (amy.login, amy.name, amy.role, amy.password_hash) == ("Amy", "Amy Archer", Role.SUPERVISOR, HASH)
        assert await people.accounts_by_login("aMY") == [amy]
        assert await people.account(amy.id) == amy
        assert await people.accounts_by_login("bob") == []
        assert await people.account(new_id()) is None


async def test_a_login_is_one_users_in_each_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        first = await a_user("müller")
        with pytest.raises(Refusal, match="MÜLLER in Default"):
            await a_user("MÜLLER")
        second = await a_user("MÜLLER", tenant="Acme")
        assert await people.accounts_by_login("Müller") == [second, first]


async def test_phones_belong_to_one_user_of_a_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", phones=["200", "sip:amy@example.com", "200"])
        with pytest.raises(Refusal, match="The phone 200"):
            await a_user("bob", phones=["201", "200"])
        assert await people.accounts_by_login("bob") == []
        lines = ["200", "201", "sip:amy@example.com", "200\0"]
        owner = (amy.tenant_id, amy.id)
        assert await users_of_lines(lines) == {"200": owner, "sip:amy@example.com": owner}


async def test_a_line_of_two_tenants_is_nobodys(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", phones=["200", "201"])
        await a_user("amy", tenant="Acme", phones=["200"])
        assert await users_of_lines(["200", "201"]) == {"201": (amy.tenant_id, amy.id)}


async def test_letter_case_makes_no_other_tenant_or_group(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", tenant="DEFAULT", group="Sales")
        assert amy.tenant_id == await default_tenant()
        bob = await a_user("bob", tenant="Straße", group="sales")
        cat = await a_user("cat", tenant="STRASSE", group="SALES")
        assert bob.tenant_id == cat.tenant_id != amy.tenant_id
        sue = await a_user("sue", Role.SUPERVISOR, tenant="straße", manages=["sALES"])
        mine = [a_call(tenant_id=one.tenant_id, caller=PartyRecord("1", user_id=one.id)) for one in (bob, cat)]
        await apply("one", Offset(), [], [*mine, a_call(caller=PartyRecord("1", user_id=amy.id))])
        page = await calls.list_calls(Scope(sue.tenant_id, sue.id, "managed"), silent_nodes=())
        assert {view.record.id for view in page.calls} == {call.id for call in mine}
        assert [await users.are_there(*names) for names in ((None, "SALES"), ("strasse", "Sales"), ("Acme", "x"))] == [
            True,
            True,
            False,
        ]


async def test_a_supervisor_manages_a_user_by_his_login_and_sees_his_calls_alone(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy"), await a_user("bob")
        await a_user("eve", tenant="Acme")
        sue = await a_user("sue", Role.SUPERVISOR, manages=["AMY", "amy"])
        mine, his = (a_call(callee=PartyRecord("1", user_id=one.id)) for one in (amy, bob))
        await apply("one", Offset(), [], [mine, his, a_call()])
        scope = Scope(sue.tenant_id, sue.id, "managed")
        page = await calls.list_calls(scope, silent_nodes=())
        assert [view.record.id for view in page.calls] == [mine.id]
        assert await calls.get_call(scope, his.id, silent_nodes=()) is None


async def test_whom_to_manage_must_be_a_group_or_a_login_of_the_tenant_and_not_both(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("sales", group="Sales")
        await a_user("eve", tenant="Acme", group="Support")
        for name, sentence in (("Sails", "neither"), ("eve", "neither"), ("support", "neither"), ("sales", "a login")):
            with pytest.raises(Refusal, match=sentence):
                await a_user("sue", Role.SUPERVISOR, manages=[name])
        assert await people.accounts_by_login("sue") == []
        assert not await users.are_there(None, "Sails")


async def test_a_login_that_no_database_takes_is_nobodys(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy")
        for login in ("amy\0", "\0", "am\ud800y", "\udcff", "a\x01", "a" * 100_000):
            assert await people.accounts_by_login(login) == []
