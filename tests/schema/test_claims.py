"""Calls that were recorded before their phones had a user."""

from dataclasses import replace

import pytest

from schema import calls, claims, clerk
from schema.columns import new_id
from schema.database import open_database, rows, unit
from schema.values import Account, CallRecord, Offset, PartyRecord, Scope
from tests.databases import KEY
from tests.schema.given import DEFAULT_TENANT, a_call, a_full_call, a_user

TABLES = ("call", "participant", "media_stream", "pause_span", "recording", "interaction", "part")


async def seen(user: Account) -> dict[object, CallRecord]:
    scope = Scope(user.tenant_id, user.id, "own")
    page = await calls.list_calls(scope, limit=200, silent_nodes=())
    found = await calls.get_calls(scope, [view.record.id for view in page.calls], silent_nodes=())
    return {view.record.id: view.record for view in found.values()}


@unit
async def tenants() -> set[object]:
    """Whose the rows of calls are."""
    return {row["tenant_id"] for table in TABLES for row in await rows(f'SELECT tenant_id FROM "{table}"')}  # noqa: S608  # ours


@pytest.mark.parametrize("tenant", [None, "Acme"])
async def test_a_new_user_gets_the_calls_of_his_phones_that_are_nobodys(
    database_url: str, tenant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As few as make several rounds of so few calls.
    monkeypatch.setattr(claims, "_ROWS_AT_A_TIME", 3)
    monkeypatch.setattr(claims, "_CALLS_AT_A_TIME", 1)
    async with open_database(database_url, key=KEY):
        parties = (PartyRecord("200"), PartyRecord("x", phone_id="sip:200@pbx"), PartyRecord("x", phone_id="sips:200"))
        his = [a_full_call(callee=one) for one in parties] + [a_full_call(caller=parties[0], callee=parties[1])]
        for call in his:
            await clerk.finish(call)
        amy = await a_user("amy", tenant=tenant, phones=["200", "201"])
        assert await seen(amy) == {}
        assert await claims.claim_calls(amy.tenant_id, amy.id) == len(his)
        found = await seen(amy)
        assert found.keys() == {call.id for call in his}
        assert found[his[0].id] == replace(
            his[0], tenant_id=amy.tenant_id, callee=replace(his[0].callee, user_id=amy.id)
        )
        assert found[his[3].id].caller.user_id == found[his[3].id].callee.user_id == amy.id
        assert len(await tenants()) == 1
        assert await claims.claim_calls(amy.tenant_id, amy.id) == 0


async def test_nothing_else_is_claimed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        ben = await a_user("ben")
        eve = await a_user("eve", tenant="Acme", phones=["201"])
        bens = a_full_call(caller=PartyRecord("1", user_id=ben.id), callee=PartyRecord("200"))
        acmes = a_full_call(tenant_id=eve.tenant_id, callee=PartyRecord("200"))
        others, shared = a_full_call(callee=PartyRecord("2000")), a_full_call(callee=PartyRecord("201"))
        for call in (bens, acmes, others, shared):
            await clerk.finish(call)
        running = a_call(callee=PartyRecord("200"))
        await clerk.apply("one", Offset(), [], [running])
        amy = await a_user("amy", phones=["200", "201"])
        assert await claims.claim_calls(amy.tenant_id, amy.id) == 0
        assert await seen(amy) == {}
        everything = await calls.list_calls(Scope(DEFAULT_TENANT, new_id(), "tenant"), silent_nodes=())
        assert {view.record.id for view in everything.calls} == {bens.id, others.id, shared.id, running.id}


async def test_many_users_get_theirs_at_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        between = a_full_call(caller=PartyRecord("1"), callee=PartyRecord("2"))
        across = a_full_call(caller=PartyRecord("1"), callee=PartyRecord("3"))
        nobodys = a_full_call(caller=PartyRecord("4"), callee=PartyRecord("5"))
        for call in (between, across, nobodys):
            await clerk.finish(call)
        amy, bob = await a_user("amy", phones=["1"]), await a_user("bob", phones=["2"])
        eve = await a_user("eve", tenant="Acme", phones=["3"])
        given = [(one.tenant_id, one.id) for one in (amy, bob, eve)]
        assert await claims.claim_calls_of(given) == 2
        assert [set(await seen(one)) for one in (amy, bob)] == [{between.id, across.id}, {between.id}]
        # A call of two tenants is the caller's: nobody of the other one learns of it.
        assert await seen(eve) == {}
        assert await claims.claim_calls_of(given) == 0
