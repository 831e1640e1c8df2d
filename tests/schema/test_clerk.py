"""What the archive writes: in order, once, and all or nothing."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import trio

from schema import calls, clerk
from schema.columns import new_id
from schema.database import open_database, rows, unit
from schema.values import CallRecord, CallStage, CallView, Event, NodeRecord, Offset, PartyRecord, Scope
from tests.databases import KEY
from tests.schema.given import DEFAULT_TENANT, NOON, a_call, a_full_call, a_user

TABLES = ("call", "participant", "media_stream", "pause_span", "recording", "interaction", "part", "call_event")
SCOPE = Scope(DEFAULT_TENANT, new_id(), "tenant")


@unit
async def everything() -> dict[str, list[dict[str, object]]]:
    """All rows of calls, without the numbers that a database gives them."""
    found = {table: await rows(f'SELECT * FROM "{table}" ORDER BY 1') for table in TABLES}  # noqa: S608  # our names
    return {table: [{**row, "id": None} for row in rows_of] for table, rows_of in found.items()}


@unit
async def delete_account(user: UUID) -> None:
    await rows("DELETE FROM account WHERE id = $1", user)


async def view(call_id: UUID) -> CallView:
    found = await calls.get_call(SCOPE, call_id, silent_nodes=())
    assert found is not None
    return found


async def store(*given: CallRecord) -> None:
    await clerk.apply("one", Offset(1, 1), [], given)


async def test_a_record_comes_back_as_it_was(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        full = a_full_call(callee=PartyRecord("200", "Agent", "phone-2", "192.0.2.2:4002", amy.id))
        bare = a_call()
        await clerk.finish(full)
        await store(bare)
        assert (await view(full.id)).record == full
        assert (await view(full.id)).user_names == {amy.id: "Amy"}
        assert (await view(bare.id)).record == bare


async def test_what_no_database_takes_in_a_text_does_not_keep_a_call_out(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        hostile = a_full_call(
            caller=PartyRecord("1\0", "a\ud800b" + "x" * 100_000), group_id="g\0" * 5000, warnings=("\0",)
        )
        await clerk.finish(hostile)
        kept = (await view(hostile.id)).record
        assert kept.caller == PartyRecord("1", "a?b" + "x" * 100_000)
        assert kept.participants == hostile.participants


async def test_events_are_there_once_and_in_order(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        call = a_call()
        events = [Event(call.id, number, b'{"n":%d}' % number) for number in range(1, 6)]
        assert await clerk.offset("one") == Offset(0, 0)
        await clerk.apply("one", Offset(1, 2), events[:3], [call])
        await clerk.apply("one", Offset(1, 5), [events[4], events[2], events[1], events[3]], [replace(call, events=5)])
        await clerk.apply("two", Offset(7, 0), [], [])
        assert await clerk.events_of(call.id) == events
        assert [await clerk.offset(node) for node in ("one", "two")] == [Offset(1, 5), Offset(7, 0)]


async def test_a_unit_that_is_repeated_changes_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        running, full = a_call(), a_full_call()
        events = [Event(running.id, 1, b"1"), Event(running.id, 2, b"2")]
        for unit_of_work in (
            lambda: clerk.apply("one", Offset(1, 1), events, [running, replace(full, finished=False)]),
            lambda: clerk.finish(full),
        ):
            await unit_of_work()
            once = await everything()
            await unit_of_work()
            assert await everything() == once


async def test_a_unit_that_fails_leaves_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        before = await everything()
        with pytest.raises(Exception, match=r"(?i)not.null"):
            await clerk.apply("one", Offset(3, 3), [Event(new_id(), 1, None)], [a_call()])  # type: ignore[arg-type]
        assert await everything() == before
        assert await clerk.offset("one") == Offset()


async def test_a_finished_call_is_not_undone_by_what_comes_late(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        full = a_full_call(events=9)
        late = a_call(id=full.id, events=8)
        await clerk.apply("one", Offset(1, 1), [Event(full.id, 1, b"1")], [late])
        await clerk.finish(full)
        assert await clerk.events_of(full.id) == []
        await clerk.apply("one", Offset(1, 2), [Event(full.id, 8, b"8")], [late, replace(late, events=50)])
        await clerk.mark_ended([full.id])
        assert (await view(full.id)).record == full
        assert await clerk.events_of(full.id) == []


async def test_an_older_record_does_not_replace_a_newer_one(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        call = a_call(events=5, direction="inbound")
        await store(replace(call, events=3, direction="old"), call, replace(call, events=4, direction="old"))
        await store(replace(call, events=4, direction="old"))
        assert (await view(call.id)).record == call


async def test_the_finisher_may_know_less_than_the_outbox(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        call = a_full_call(events=3)
        await store(a_call(id=call.id, events=5))
        assert not await clerk.is_finished(call.id)
        await clerk.finish(call)
        assert await clerk.is_finished(call.id)
        assert (await view(call.id)).record == call


async def test_a_call_that_was_seen_to_end_does_not_run_again(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        gone, running, told = a_call(), a_call(), a_call(ended_at=NOON + timedelta(minutes=5))
        await store(gone, running, told)
        assert await clerk.unended("one") == sorted([gone.id, running.id])
        await clerk.mark_ended([gone.id])
        await store(replace(gone, events=9))
        stages = [(await view(call.id)).stage for call in (gone, running, told)]
        assert stages == [CallStage.FINISHING, CallStage.ACTIVE, CallStage.FINISHING]
        assert await clerk.unended("one") == [running.id]
        assert await clerk.unfinished("one") == sorted([gone.id, running.id, told.id])
        assert await clerk.unended("two") == []


async def test_a_user_who_is_gone_or_anothers_does_not_keep_a_call_out(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, eve = await a_user("amy"), await a_user("eve", tenant="Acme")
        call = a_call(caller=PartyRecord("1", user_id=amy.id), callee=PartyRecord("2", user_id=eve.id))
        lost = a_call(tenant_id=new_id())
        await store(call, lost)
        assert (await view(call.id)).record == replace(call, callee=PartyRecord("2"))
        assert (await view(lost.id)).record == replace(lost, tenant_id=DEFAULT_TENANT)
        await delete_account(amy.id)
        assert (await view(call.id)).record.caller == PartyRecord("1")
        await store(replace(call, events=3))
        assert (await view(call.id)).record.events == 3


async def test_calls_of_a_group_are_one_interaction(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        other = await a_user("eve", tenant="Acme")
        first, second = a_call(0, group_id="g"), a_call(1, group_id="g")
        alone, stranger = a_call(2), a_call(3, group_id="g", tenant_id=other.tenant_id)
        await store(second, first)
        await store(alone, stranger)
        assert {(await view(call.id)).interaction_id for call in (first, second)} == {first.id}
        assert (await view(alone.id)).interaction_id == alone.id
        theirs = await calls.get_call(Scope(other.tenant_id, other.id, "tenant"), stranger.id, silent_nodes=())
        assert theirs is not None
        assert theirs.interaction_id == stranger.id
        # Its group comes with later metadata.
        await store(replace(alone, events=3, group_id="g"))
        assert (await view(alone.id)).interaction_id == first.id
        assert len((await everything())["interaction"]) == 2


async def test_a_call_moves_to_its_users_tenant_with_all_that_belongs_to_it(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        eve = await a_user("eve", tenant="Acme")
        call = replace(a_full_call(), finished=False)
        await store(call)
        moved = replace(call, tenant_id=eve.tenant_id, events=3, caller=PartyRecord("1", user_id=eve.id))
        await store(moved)
        found = await calls.get_call(Scope(eve.tenant_id, eve.id, "own"), call.id, silent_nodes=())
        assert found is not None
        assert found.record == moved
        assert await calls.get_call(SCOPE, call.id, silent_nodes=()) is None
        tenants = {
            str(row["tenant_id"]) for found in (await everything()).values() for row in found if "tenant_id" in row
        }
        assert len(tenants) == 1


async def test_a_call_stays_whose_it_was_when_its_line_goes_to_another(database_url: str) -> None:
    """A late finish and `earshot reindex` look owners up in today's phones."""
    async with open_database(database_url, key=KEY):
        amy, ben, eve = await a_user("amy"), await a_user("ben"), await a_user("eve", tenant="Acme")
        running = a_call(callee=PartyRecord("200", user_id=amy.id), group_id="g")
        full = a_full_call(callee=PartyRecord("200", user_id=amy.id), group_id="g")
        await store(running)
        await clerk.finish(full)
        for thief in (ben, eve):
            theirs = {"tenant_id": thief.tenant_id, "callee": PartyRecord("200", user_id=thief.id)}
            await store(replace(running, events=3, **theirs))
            await clerk.finish(replace(full, **theirs))
            assert (await view(full.id)).record == full
            assert (await view(running.id)).record == replace(running, events=3)
        await clerk.finish(replace(running, callee=PartyRecord("200", user_id=eve.id), tenant_id=eve.tenant_id))
        assert (await view(running.id)).record == replace(running, finished=True)
        found = await everything()
        assert {
            str(UUID(bytes=row["tenant_id"]) if isinstance(row["tenant_id"], bytes) else row["tenant_id"])
            for table in found.values()
            for row in table
            if "tenant_id" in row
        } == {str(DEFAULT_TENANT)}
        assert len(found["interaction"]) == 1


async def test_a_call_that_is_nobodys_is_claimed_once_and_not_from_another_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, eve = await a_user("amy"), await a_user("eve", tenant="Acme")
        call = a_full_call()
        await clerk.finish(call)
        claimed = replace(call, tenant_id=eve.tenant_id, caller=replace(call.caller, user_id=eve.id))
        await clerk.finish(claimed)
        await clerk.finish(replace(call, callee=replace(call.callee, user_id=amy.id)))
        theirs = await calls.get_call(Scope(eve.tenant_id, eve.id, "own"), call.id, silent_nodes=())
        assert theirs is not None
        assert theirs.record == claimed
        # Her account is gone; the call is her tenant's all the same.
        await delete_account(eve.id)
        await clerk.finish(replace(call, callee=replace(call.callee, user_id=amy.id)))
        assert await calls.get_call(SCOPE, call.id, silent_nodes=()) is None
        # The other side's user, of the same tenant, may be found later.
        second = a_full_call(group_id="")
        await clerk.finish(replace(second, callee=replace(second.callee, user_id=amy.id)))
        both = replace(second, caller=replace(second.caller, user_id=amy.id))
        await clerk.finish(both)
        kept = (await view(second.id)).record
        assert (kept.caller.user_id, kept.callee.user_id) == (amy.id, amy.id)


async def test_many_records_at_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        many = [replace(a_full_call(group_id=""), finished=False) for _ in range(1100)]
        events = [Event(call.id, number, b"{}") for call in many for number in range(6)]
        await clerk.apply("one", Offset(1, 1), events, many)
        assert await calls.count_calls(SCOPE, silent_nodes=(), cap=5000) == 1100
        assert (await view(many[-1].id)).record == many[-1]
        assert len(await clerk.events_of(many[0].id)) == 6


async def test_two_clerks_agree_on_a_group(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        group = [a_call(minute, group_id="g", node=str(minute)) for minute in range(8)]
        async with trio.open_nursery() as nursery:
            for call in group:
                nursery.start_soon(clerk.apply, call.node, Offset(), [], [call])
        assert len({(await view(call.id)).interaction_id for call in group}) == 1


async def test_nodes_are_heard_of(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        node = NodeRecord("one", "ws://127.0.0.1:8090", "0.1", NOON)
        await clerk.heartbeat(node)
        later = replace(node, seen_at=NOON + timedelta(seconds=5), gateway_certificate="PEM")
        await clerk.heartbeat(later)
        assert await clerk.nodes() == [later]
        assert (await calls.node_of("one"), await calls.node_of("two")) == (later, None)
        await clerk.apply("two", Offset(), [], [a_call(node="two"), a_full_call(node="three")])
        assert await calls.silent_nodes(NOON + timedelta(seconds=15), after_s=20) == {"two"}
        assert await calls.silent_nodes(NOON + timedelta(seconds=26), after_s=20) == {"one", "two"}
