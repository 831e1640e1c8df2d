"""Which calls somebody finds: his own, those of whom he manages, those of his tenant; newest first, page by page."""

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from schema import calls, clerk, users
from schema.audited import changing
from schema.columns import new_id
from schema.confidential import set_call_confidential
from schema.database import open_database, reading, rows, unit
from schema.models import Account as AccountRow
from schema.models import Management
from schema.roles import Reach, Role
from schema.scoped import ScopedCalls
from schema.values import Account, CallRecord, CallStage, Offset, Page, PartyRecord, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import NOON, a_call, a_full_call, a_user


@dataclass
class House:
    """Two tenants that look alike, and a call of each kind."""

    people: dict[str, Account]
    calls: dict[str, CallRecord]

    def scope(self, login: str, reach: str) -> Scope:
        return scope_of(self.people[login], reach)


def scope_of(user: Account | None, reach: str) -> Scope:
    """A plus: who may see what is confidential, too."""
    tenant_id, user_id = (new_id(), new_id()) if user is None else (user.tenant_id, user.id)
    return Scope(tenant_id, user_id, Reach(reach.removesuffix("+")), confidential=reach.endswith("+"))


@unit
async def manage(supervisor: Account, user: Account) -> None:
    async with changing(COMMAND):
        manager, account = [await AccountRow.get(id=one.id) for one in (supervisor, user)]
        await Management.create(tenant_id=supervisor.tenant_id, manager=manager, account=account, team=None)


@unit
async def hide(user: Account) -> None:
    async with changing(COMMAND):
        row = await AccountRow.get(id=user.id)
        row.confidential = True
        await row.save()


OPEN = {"amy calls", "amy is called", "amy to bob", "bob running", "bob finished", "sue's", "cat ended", "nobody's"}
# Zoe is confidential and in the group Sales; a call of Amy's was marked as confidential.
HIDDEN = {"zoe's", "zoe to amy", "zoe to sue", "amy's secret"}
THEIRS = {"theirs", "their nobody's"}
REACHES = ("own", "managed", "managed+", "tenant", "tenant+", "platform", "platform+")
# Who finds what.
SEEN = {
    ("amy", "own"): {"amy calls", "amy is called", "amy to bob", "zoe to amy", "amy's secret"},
    ("bob", "own"): {"amy to bob", "bob running", "bob finished"},
    ("cat", "own"): {"cat ended"},
    ("zoe", "own"): {"zoe's", "zoe to amy", "zoe to sue"},
    # Sue manages the group Sales, in which Amy, Bob and Zoe are, and has calls of her own.
    ("sue", "managed"): (OPEN | {"zoe to sue"}) - {"cat ended", "nobody's"},
    ("sue", "managed+"): (OPEN | HIDDEN) - {"cat ended", "nobody's"},
    ("sue", "own"): {"sue's", "zoe to sue"},
    # Max manages nobody.
    ("max", "managed"): set(),
    ("max", "managed+"): set(),
    ("max", "tenant"): OPEN,
    ("max", "tenant+"): OPEN | HIDDEN,
    ("zoe", "tenant"): OPEN | {"zoe's", "zoe to amy", "zoe to sue"},
    ("max", "platform"): OPEN | THEIRS,
    ("max", "platform+"): OPEN | HIDDEN | THEIRS,
    ("their amy", "own"): {"theirs"},
    ("their sue", "managed"): {"theirs"},
    ("their sue", "tenant"): THEIRS,
    ("their sue", "tenant+"): THEIRS,
}


async def a_house() -> House:
    people = {}
    for prefix, tenant in (("", None), ("their ", "Acme")):
        people[f"{prefix}amy"] = await a_user("amy", tenant=tenant, group="Sales")
        people[f"{prefix}bob"] = await a_user("bob", tenant=tenant, group="Sales")
        people[f"{prefix}cat"] = await a_user("cat", tenant=tenant, group="Support")
        people[f"{prefix}sue"] = await a_user("sue", Role.SUPERVISOR, tenant, manages=["Sales"])
        people[f"{prefix}max"] = await a_user("max", Role.SUPERVISOR, tenant)
    people["zoe"] = await a_user("zoe", group="Sales")
    await hide(people["zoe"])
    minute = itertools.count()

    def call(caller: str | None, callee: str | None, owner: str = "amy", **changes: object) -> CallRecord:
        sides = {
            side: PartyRecord("1", user_id=people[login].id if login else None)
            for side, login in (("caller", caller), ("callee", callee))
        }
        return a_call(next(minute), tenant_id=people[owner].tenant_id, **sides, **changes)

    found = {
        "amy calls": call("amy", None),
        "amy is called": call(None, "amy"),
        "amy to bob": call("amy", "bob"),
        "bob running": call("bob", "bob", node="silent"),
        "bob finished": call(None, "bob", finished=True),
        "sue's": call("sue", None),
        "cat ended": call("cat", None, ended_at=NOON),
        "nobody's": call(None, None, finished=True),
        "zoe's": call("zoe", None, finished=True),
        "zoe to amy": call("zoe", "amy"),
        "zoe to sue": call("zoe", "sue", ended_at=NOON),
        "amy's secret": call("amy", None),
        "theirs": call("their amy", None, "their amy"),
        "their nobody's": call(None, None, "their amy", finished=True),
    }
    await clerk.apply("one", Offset(), [], list(found.values()))
    await set_call_confidential(COMMAND, found["amy's secret"].id, True)
    return House(people, found)


@pytest.mark.parametrize(("login", "reach"), SEEN, ids=" ".join)
async def test_nobody_finds_more_or_less_than_his_scope_reaches(database_url: str, login: str, reach: str) -> None:
    async with open_database(database_url, key=KEY):
        house = await a_house()
        scope, expected = house.scope(login, reach), SEEN[login, reach]
        page = await calls.list_calls(scope, silent_nodes=())
        newest_first = sorted(expected, key=lambda name: house.calls[name].started_at, reverse=True)
        assert [view.record.id for view in page.calls] == [house.calls[name].id for name in newest_first]
        assert page.next is None
        assert await calls.count_calls(scope, silent_nodes=()) == len(expected)
        opened = {name for name, call in house.calls.items() if await calls.get_call(scope, call.id, silent_nodes=())}
        at_once = await calls.get_calls(scope, [call.id for call in house.calls.values()], silent_nodes=())
        assert {name for name, call in house.calls.items() if call.id in at_once} == opened
        assert opened == expected
        assert await calls.get_call(scope, new_id(), silent_nodes=()) is None


async def test_a_scope_of_another_tenants_user_finds_nothing(database_url: str) -> None:
    """Scopes are made by the portal; one that is wrong must not open a door."""
    async with open_database(database_url, key=KEY):
        house = await a_house()
        amy, eve = house.people["amy"], house.people["their sue"]
        for scope in (
            Scope(eve.tenant_id, amy.id, Reach.OWN),
            Scope(amy.tenant_id, eve.id, Reach.MANAGED),
            Scope(new_id(), amy.id, Reach.OWN),
            Scope(new_id(), amy.id, Reach.MANAGED),
            Scope(new_id(), amy.id, Reach.TENANT),
        ):
            assert (await calls.list_calls(scope, silent_nodes=())).calls == ()
            assert await calls.count_calls(scope, silent_nodes=()) == 0
            for call in house.calls.values():
                assert await calls.get_call(scope, call.id, silent_nodes=()) is None


@pytest.mark.parametrize("reach", REACHES)
async def test_each_call_is_at_one_stage(database_url: str, reach: str) -> None:
    async with open_database(database_url, key=KEY):
        house = await a_house()
        scope, silent = house.scope("bob" if reach == "own" else "sue", reach), ["silent", "dead"]
        bob = PartyRecord("1", user_id=house.people["bob"].id)
        await clerk.apply("one", Offset(), [], [a_call(99, caller=bob, ended_at=NOON)])
        everything = (await calls.list_calls(scope, silent_nodes=silent)).calls
        assert {view.stage for view in everything} == set(CallStage)
        for stages in (some for size in range(1, 5) for some in itertools.combinations(CallStage, size)):
            expected = [view for view in everything if view.stage in stages]
            assert list((await calls.list_calls(scope, stages=stages, silent_nodes=silent)).calls) == expected
            assert await calls.count_calls(scope, stages=stages, silent_nodes=silent) == len(expected)


async def test_without_silent_nodes_none_is_unreachable(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        scope = (await a_house()).scope("bob", "own")
        unreachable = await calls.list_calls(scope, stages=[CallStage.UNREACHABLE], silent_nodes=())
        active = await calls.list_calls(scope, stages=[CallStage.ACTIVE], silent_nodes=())
        assert (len(unreachable.calls), len(active.calls)) == (0, 2)


@pytest.mark.parametrize("reach", REACHES)
async def test_pages_are_complete_and_stable_while_calls_come(database_url: str, reach: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", group="Sales")
        sue = await a_user("sue", Role.SUPERVISOR, manages=["Sales"])
        user = amy if reach == "own" else sue
        # Several at the same moment: the id decides.
        given = [a_call(number // 4, caller=PartyRecord("1", user_id=amy.id)) for number in range(50)]
        await clerk.apply("one", Offset(), [], given)
        scope, cursor, seen = scope_of(user, reach), None, []
        for number in itertools.count():
            page = await calls.list_calls(scope, limit=7, cursor=cursor, silent_nodes=())
            seen += [view.record for view in page.calls]
            late = [a_call(1000 + number, caller=PartyRecord("1", user_id=amy.id))]
            await clerk.apply("one", Offset(), [], late)
            if (cursor := page.next) is None:
                break
        assert seen == sorted(given, key=lambda call: (call.started_at, call.id), reverse=True)
        assert number == 7


async def test_a_full_last_page_has_no_next(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        scope = Scope(amy.tenant_id, amy.id, Reach.TENANT)
        assert await calls.list_calls(scope, silent_nodes=()) == Page(calls=(), next=None)
        await clerk.apply("one", Offset(), [], [a_call(minute) for minute in range(4)])
        first = await calls.list_calls(scope, limit=2, silent_nodes=())
        last = await calls.list_calls(scope, limit=2, cursor=first.next, silent_nodes=())
        assert (len(first.calls), len(last.calls), last.next) == (2, 2, None)
        assert await calls.count_calls(scope, silent_nodes=(), cap=3) == 3


@pytest.mark.parametrize("cursor", ["", "x", "ä", "AAAA", "A" * 33, "f" + "_" * 31, "A" * 4000])
async def test_a_cursor_that_is_none_is_refused(database_url: str, cursor: str) -> None:
    async with open_database(database_url, key=KEY):
        scope = Scope(new_id(), new_id(), "tenant")
        with pytest.raises(ValueError, match="The cursor is not one that this list gave"):
            await calls.list_calls(scope, cursor=cursor, silent_nodes=())


async def test_a_supervisor_may_manage_single_users(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        house = await a_house()
        sue, cat = house.people["sue"], house.people["cat"]
        await manage(sue, cat)
        page = await calls.list_calls(Scope(sue.tenant_id, sue.id, Reach.MANAGED), silent_nodes=())
        assert house.calls["cat ended"].id in {view.record.id for view in page.calls}


async def test_a_list_tells_what_it_shows_and_leaves_the_rest(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy", name="Amy Ames"), await a_user("bob", name="Bob Bell")
        call = a_full_call(caller=PartyRecord("1", user_id=amy.id), callee=PartyRecord("2", user_id=bob.id))
        first, strangers = a_call(-5, group_id=call.group_id), a_call(-9)
        await clerk.apply("one", Offset(), [], [first, strangers])
        await clerk.finish(call)
        scope = Scope(call.tenant_id, amy.id, Reach.TENANT)
        listed = (await calls.list_calls(scope, silent_nodes=())).calls
        opened = await calls.get_call(scope, call.id, silent_nodes=())
        assert opened is not None
        assert opened.record == call
        assert opened.interaction_id == first.id
        assert opened.user_names == {amy.id: "Amy Ames", bob.id: "Bob Bell"}
        assert listed[0] == replace(opened, record=replace(call, participants=(), streams=()))
        assert [(view.interaction_id, view.user_names) for view in listed[1:]] == [
            (first.id, {}),
            (strangers.id, {}),
        ]


async def test_calls_of_one_user_are_those_that_the_scope_reaches(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        house = await a_house()
        for (asking, reach), wanted in itertools.product(SEEN, ("amy", "cat", "zoe")):
            scope, user_id = house.scope(asking, reach), house.people[wanted].id
            all_calls = (await calls.list_calls(scope, limit=100, silent_nodes=())).calls
            page = await calls.list_calls(scope, user_id=user_id, limit=100, silent_nodes=())
            theirs = [view for view in all_calls if user_id in (view.record.caller.user_id, view.record.callee.user_id)]
            # Of a user whom one does not reach nothing is found, not even the calls with oneself.
            expected = theirs if await users.get_user(scope, user_id) is not None else []
            assert [view.record.id for view in page.calls] == [view.record.id for view in expected], (asking, reach)
            assert await calls.count_calls(scope, user_id=user_id, silent_nodes=()) == len(expected)


@reading
async def plan(query: ScopedCalls) -> list[str]:
    text = query.newest(21)
    return [row["detail"] for row in await rows(f"EXPLAIN QUERY PLAN {text}", *query.values)]


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize(
    "stages", [(), *((stage,) for stage in CallStage)], ids=lambda stages: "-".join(stages) or "all"
)
async def test_no_list_reads_all_calls(tmp_path: Path, reach: str, stages: tuple[CallStage, ...]) -> None:
    """SQLite says how it will find them; PostgreSQL would read a table as small as a test's from end to end."""
    async with open_database(f"sqlite:///{tmp_path / 'earshot.sqlite'}", migrate=True, key=KEY):
        query = ScopedCalls(scope_of(None, reach), frozenset(stages), ["silent"], (NOON, new_id()))
        steps = [step for step in await plan(query) if re.search(r"\b(call|of_one)\b", step)]
    assert steps
    assert [step for step in steps if not re.match(r"SEARCH (call|of_one) USING (COVERING )?INDEX", step)] == []
    assert any("(started_at,id)<(?,?)" in step for step in steps)
