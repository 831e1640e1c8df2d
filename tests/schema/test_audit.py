"""The audit trail as people read it: what they find, in which order, and what they do not see."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schema import audit, clerk
from schema.audit import Filters, _Entries
from schema.columns import new_id
from schema.database import is_sqlite, open_database, rows, transaction, unit
from schema.entries import About, Action, Application, By, Resource
from schema.roles import EVERYTHING, Reach, Role
from schema.values import DEFAULT_TENANT, NOBODY, Offset, PartyRecord, Scope
from tests.databases import KEY
from tests.schema.given import a_call, a_user

EVERYWHERE = Scope(DEFAULT_TENANT, NOBODY, Reach.PLATFORM, confidential=True)


async def test_a_note_is_an_entry(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        who, call = new_id(), new_id()
        by = By(EVERYWHERE, EVERYTHING, Application.WEB, who, "amy", "Amy Archer", "192.0.2.7")
        before = datetime.now(UTC) - timedelta(seconds=1)
        about = About(call, "100 → 200")
        for _ in range(2):
            await audit.note(
                by,
                Resource.CALLS,
                Action.PLAYBACK,
                about,
                tenant_id=DEFAULT_TENANT,
                details={"file": "a.opus"},
                origin="once",
            )
        [entry] = await audit.entries_about(EVERYWHERE, call)
        assert before < entry.at <= datetime.now(UTC)
        assert (entry.initiator_id, entry.initiator_login, entry.initiator_name) == (who, "amy", "Amy Archer")
        assert (entry.address, entry.application) == ("192.0.2.7", Application.WEB)
        assert (entry.resource, entry.action, entry.tenant_id) == (Resource.CALLS, Action.PLAYBACK, DEFAULT_TENANT)
        assert entry.about == About(str(call), "100 → 200", "")
        assert (entry.details, entry.fields, entry.unchanged) == ({"file": "a.opus"}, {}, {})
        assert (entry.number, entry.erased) == (None, False)
        assert await audit.get_entry(EVERYWHERE, entry.id) == entry
        assert await audit.entries_about(EVERYWHERE, who) == (entry,)
        found = await audit.list_entries(
            EVERYWHERE, Filters(user_id=who, about_id=call, text="A.OPUS", initiator="ARCH")
        )
        assert found.items == (entry,)


async def by_of(login: str, **more: object) -> By:
    made = await a_user(login, **more)
    scope = Scope(made.tenant_id, made.id, made.grant.reach)
    return By(scope, EVERYTHING, Application.WEB, made.id, made.login, made.name, "192.0.2.7")


async def names(scope: Scope, **filters: object) -> set[str]:
    """What is found of what was played."""
    found = await audit.list_entries(scope, Filters(action=Action.PLAYBACK, **filters))
    return {entry.about.name for entry in found.items}


async def test_a_scope_reads_its_own(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await by_of("amy", group="Sales"), await by_of("bob")
        sue = await by_of("sue", role=Role.SUPERVISOR, manages=("Sales",))
        eve = await by_of("eve", tenant="Elsewhere")
        for by, name in ((amy, "amy's"), (bob, "bob's"), (eve, "eve's")):
            about = About(by.account_id, name)
            await audit.note(by, Resource.USERS, Action.PLAYBACK, about, tenant_id=by.scope.tenant_id)
        await audit.note(amy, Resource.PLATFORM, Action.PLAYBACK, About("", "everybody's"), tenant_id=None)
        tenant = replace(bob.scope, reach=Reach.TENANT)
        assert await names(tenant) == {"amy's", "bob's"}
        assert await names(replace(eve.scope, reach=Reach.TENANT)) == {"eve's"}
        assert await names(EVERYWHERE) == {"amy's", "bob's", "eve's", "everybody's"}
        # Who reaches less than a tenant reads what those did whom he reaches.
        assert await names(bob.scope) == {"bob's"}
        assert await names(replace(sue.scope, reach=Reach.MANAGED)) == {"amy's"}
        entry, *_ = await audit.entries_about(EVERYWHERE, eve.account_id)
        assert await audit.entries_about(tenant, eve.account_id) == ()
        assert await audit.get_entry(tenant, entry.id) is None
        batches = [batch async for batch in audit.export_entries(tenant, Filters(action=Action.PLAYBACK))]
        assert [entry.about.name for batch in batches for entry in batch] == ["bob's", "amy's"]


async def test_what_is_confidential_is_not_told_of(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await by_of("amy", confidential=True), await by_of("bob")
        parties = {"caller": PartyRecord("1", user_id=amy.account_id), "callee": PartyRecord("2")}
        hidden, open_one = a_call(**parties), a_call(callee=PartyRecord("2", user_id=bob.account_id))
        await clerk.apply("one", Offset(), [], [hidden, open_one])
        for call, name in ((hidden, "hidden"), (open_one, "open")):
            await audit.note(bob, Resource.CALLS, Action.PLAYBACK, About(call.id, name), tenant_id=DEFAULT_TENANT)
        await audit.note(amy, Resource.CALLS, Action.PLAYBACK, About(open_one.id, "hers"), tenant_id=DEFAULT_TENANT)
        tenant = Scope(DEFAULT_TENANT, bob.account_id, Reach.TENANT)
        assert await names(tenant) == {"open"}
        assert await names(replace(tenant, confidential=True)) == {"hidden", "open", "hers"}
        assert await audit.entries_about(tenant, hidden.id) == ()


@unit
async def plan(filters: Filters, scope: Scope) -> str:
    query = _Entries(scope, filters, (datetime.now(UTC), new_id()))
    text = query.newest(51)
    async with transaction():
        if is_sqlite():
            return "\n".join(str(row["detail"]) for row in await rows(f"EXPLAIN QUERY PLAN {text}", *query.values))
        # As where there are many: of an empty table, reading all is as cheap as reading none.
        for other in ("seqscan", "bitmapscan", "sort"):
            await rows(f"SET LOCAL enable_{other} = off")
        return "\n".join(str(row["QUERY PLAN"]) for row in await rows(f"EXPLAIN {text}", *query.values))


@pytest.mark.parametrize("reach", [Reach.TENANT, Reach.PLATFORM])
async def test_lists_are_walked_along_their_indexes(database_url: str, reach: Reach) -> None:
    async with open_database(database_url, key=KEY):
        scope = Scope(DEFAULT_TENANT, NOBODY, reach, confidential=True)
        newest = "audit_newest" if reach is Reach.TENANT else "audit_newest_of_all"
        walked = await plan(Filters(), scope)
        assert re.search(rf"{newest}\b", walked), walked
        of_user = await plan(Filters(user_id=new_id()), scope)
        assert all(index in of_user for index in ("audit_initiator", "audit_related", "audit_parent"))
        of_call = await plan(Filters(about_id=new_id(), text="x"), scope)
        assert all(index in of_call for index in ("audit_related", "audit_parent"))
        for told in (of_user, of_call):
            assert "SCAN audit_entry" not in told
            assert "Seq Scan" not in told
