"""Many lines at once: what each would do is told before, and all are done or none."""

from dataclasses import replace
from typing import Any

import pytest

from schema import audit, groups, importing, phones, tenants, users
from schema.calls import count_calls
from schema.clerk import finish
from schema.database import open_database
from schema.entries import Resource
from schema.importing import Kind, Plan
from schema.profiles import GroupFields, TenantFields, UserFields
from schema.refusals import Refusal
from schema.roles import Reach, Role
from schema.roles_kept import copy_role
from schema.values import DEFAULT_TENANT, NOBODY, PartyRecord, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_full_call, a_user, by
from tests.schema.test_roles_kept import LISTENER
from tests.schema.test_users import EVERYTHING_OF_A_USER

FULL = {
    "login": "müller",
    "name": "Jörg Müller",
    "email": "joerg@example.com",
    "group": "SUPPORT",
    "role": "Supervisor",
    "authentication": "oidc",
    "broadworks_user_id": "jm@bw",
    "broadworks_group_id": "bw-group",
    "broadworks_sp_id": "bw-sp",
    "may_sign_in": "Yes",
    "must_change_password": "TRUE",
    "confidential": "1",
    "recording_mode": "on_demand",
    "language": "pt_BR",
    "time_zone": "Europe/Berlin",
    "phones": " 200 ; sip:jm@example.com;; ",
    "manages": "support; AMY",
}


async def planned(kind: Kind, *lines: dict[str, str]) -> Plan:
    return await importing.plan(COMMAND, kind, lines)


async def refused(kind: Kind, *lines: dict[str, str]) -> list[str]:
    """Why each line is none that can be taken; empty where it is."""
    plan = await planned(kind, *lines)
    assert await importing.apply(COMMAND, kind, lines) == plan or not plan.possible
    return [line.refusal.code if line.refusal else "" for line in plan.lines]


async def everything() -> list[Any]:
    """All that an import may change."""
    return [
        (await users.list_users(COMMAND.scope, status="all")).items,
        (await phones.list_phones(COMMAND.scope, status="all")).items,
        (await groups.list_groups(COMMAND.scope, status="all")).items,
        (await audit.list_entries(COMMAND.scope)).items,
    ]


async def user(login: str) -> UserFields:
    found = await users.get_by_login(COMMAND.scope, login)
    assert found is not None
    return found.fields


async def test_a_line_has_all_fields_of_a_user(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        support = await groups.create_group(COMMAND, GroupFields(name="Support"))
        amy = await a_user("amy")
        done = await importing.apply(COMMAND, "users", [FULL])
        assert [line.action for line in done.lines] == ["create"]
        assert done.lines[0].changes["manages"] == ("", "Support;AMY")
        assert await user("müller") == replace(
            EVERYTHING_OF_A_USER,
            external_id="",
            group_id=support.id,
            manages_groups=(support.id,),
            manages_users=(amy.id,),
        )


async def test_what_is_exported_changes_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await groups.create_group(COMMAND, GroupFields(name="amy"))  # a group that is called as a login is
        copy = await copy_role(COMMAND, Role.SUPERVISOR, replace(LISTENER, name="Team lead"))
        amy = await a_user("amy")
        await importing.apply(COMMAND, "users", [FULL | {"group": "amy", "manages": ""}])
        await users.create_user(COMMAND, UserFields(login="lead", role=copy.id))
        found = await users.get_by_login(COMMAND.scope, "müller")
        assert found is not None
        await users.update_user(COMMAND, found.id, replace(found.fields, manages_users=(amy.id,)))
        rows = [importing.row_of(one) for one in (await users.list_users(COMMAND.scope)).items]
        assert [list(row) for row in rows] == [list(importing.COLUMNS["users"])] * 3
        assert [row["role"] for row in rows] == ["user", "supervisor", "Team lead"]
        before = await everything()
        plan = await planned("users", *rows)
        assert [(line.action, dict(line.changes)) for line in plan.lines] == [("unchanged", {})] * 3
        await importing.apply(COMMAND, "users", rows, expected=plan)
        assert await everything() == before


async def test_what_a_line_does_not_say_stays(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await groups.create_group(COMMAND, GroupFields(name="Support"))
        await a_user("amy")
        await importing.apply(COMMAND, "users", [FULL])
        before = await user("müller")
        done = await importing.apply(
            COMMAND, "users", [{"login": "MÜLLER", "name": "Jörg", "may_sign_in": "", "authentication": "", "role": ""}]
        )
        assert dict(done.lines[0].changes) == {"name": ("Jörg Müller", "Jörg")}
        assert await user("müller") == replace(before, name="Jörg")
        emptied = {"login": "müller", "group": "", "phones": "", "manages": "", "recording_mode": "", "email": ""}
        await importing.apply(COMMAND, "users", [emptied])
        assert await user("müller") == replace(
            before,
            name="Jörg",
            group_id=None,
            phones=(),
            manages_groups=(),
            manages_users=(),
            recording_mode=None,
            email="",
        )


async def test_planning_writes_nothing_and_a_line_that_cannot_be_taken_stops_all(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy", phones=["1"])
        before = await everything()
        lines = [{"login": "new", "phones": "2"}, {"login": "amy", "name": "Other"}, {"login": "bad", "group": "None"}]
        plan = await planned("users", *lines)
        assert [line.action for line in plan.lines] == ["create", "update", "error"]
        assert [(line.number, line.name) for line in plan.lines] == [(1, "new"), (2, "amy"), (3, "bad")]
        assert await everything() == before
        done = await importing.apply(COMMAND, "users", lines)
        assert not done.possible
        assert await everything() == before


async def test_each_line_says_what_is_wrong_with_it(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy", phones=["1"])
        await a_user("sales", group="Sales")
        wrong = {
            "text_needed": {"login": " "},
            "login_slash": {"login": "a/b"},
            "twice_in_file": {"login": "AMY"},
            "column_needed": {"name": "x"},
            "column_unknown": {"login": "a", "shoe size": "44"},
            "group_unknown": {"login": "b", "group": "Sails"},
            "role_unknown": {"login": "c", "role": "king"},
            "value_unclear": {"login": "d", "confidential": "maybe"},
            "mode_unknown": {"login": "e", "recording_mode": "sometimes"},
            "authentication_unknown": {"login": "f", "authentication": "magic"},
            "language_unknown": {"login": "g", "language": "tlh"},
            "zone_unknown": {"login": "h", "time_zone": "Mars/Base"},
            "email_refused": {"login": "i", "email": "none"},
            "phone_taken": {"login": "j", "phones": "1"},
            "text_refused": {"login": "k", "phones": "a\nb"},
            "managed_unknown": {"login": "l", "role": "supervisor", "manages": "nobody"},
            "managed_unclear": {"login": "m", "role": "supervisor", "manages": "sales"},
            "manages_nobody": {"login": "n", "manages": "amy"},
        }
        assert await refused("users", {"login": "amy"}, *wrong.values()) == ["", *wrong]
        assert len((await users.list_users(COMMAND.scope)).items) == 2
        # What no database takes does not stand in the way.
        assert await refused("users", {"login": "new\0", "name": "a\ud800b", "phones": "9\0"}) == [""]
        assert (await user("new")).phones == ("9",)


async def test_phones_change_hands_whichever_line_is_first(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy", phones=["1", "2"])
        await a_user("bob", phones=["3"])
        lines = [{"login": "bob", "phones": "1;3"}, {"login": "amy", "phones": "2"}, {"login": "new", "phones": "4"}]
        assert await refused("users", *lines) == ["", "", ""]
        assert [(await user(login)).phones for login in ("amy", "bob", "new")] == [("2",), ("3", "1"), ("4",)]
        both = [{"login": "amy", "phones": "5"}, {"login": "bob", "phones": "5"}]
        assert await refused("users", *both) == ["", "phone_taken"]
        assert (await planned("users", {"login": "bob", "phones": "1;3"})).lines[0].action == "unchanged"


async def test_a_supervisor_manages_whom_a_later_line_makes(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        lines = [{"login": "sam", "role": "supervisor", "manages": "Amy; bob; sam"}, {"login": "amy"}, {"login": "bob"}]
        assert await refused("users", *lines) == ["", "", ""]
        sam = await users.get_by_login(COMMAND.scope, "sam")
        assert sam is not None
        assert sam.managed_logins == ("amy", "bob")
        assert await refused("users", {"login": "sam", "manages": "bob"}) == [""]
        found = await users.get_by_login(COMMAND.scope, "sam")
        assert found is not None
        assert found.managed_logins == ("bob",)


async def test_limits_and_rights_hold_for_every_line(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme", max_users=3))
        anna = await a_user("anna", Role.ADMINISTRATOR, tenant="Acme")
        await a_user("boss", Role.OPERATOR, tenant="Acme")
        await a_user("eve", phones=["1"])  # of another tenant
        lines = [
            {"login": "one"},
            {"login": "two"},
            {"login": "boss", "email": "anna@example.com"},
            {"login": "anna", "may_sign_in": "no"},
            {"login": "anna2", "role": "operator"},
            {"login": "sam", "role": "supervisor", "manages": "eve"},
        ]
        plan = await importing.plan(by(anna), "users", lines)
        found = [line.refusal.code if line.refusal else "" for line in plan.lines]
        assert found == ["", "limit_of_users", "above_you", "yourself", "beyond_you", "managed_unknown"]
        assert not (await importing.apply(by(anna), "users", lines)).possible
        done = await importing.apply(by(anna), "users", [{"login": "eve", "phones": "1"}])
        assert done.possible
        made = await users.get_by_login(by(anna).scope, "eve")
        assert made is not None
        assert made.tenant.id == acme.id


async def test_nobody_imports_over_whom_he_does_not_see(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await users.create_user(COMMAND, UserFields(login="secret", name="S", confidential=True, phones=("1",)))
        sue = await a_user("sue", Role.SUPERVISOR)
        blind = replace(COMMAND, scope=Scope(DEFAULT_TENANT, NOBODY, Reach.TENANT))
        lines = [{"login": "secret", "name": "x"}, {"login": "sam", "role": "supervisor", "manages": "secret"}]
        plan = await importing.plan(blind, "users", lines)
        assert [line.refusal and line.refusal.code for line in plan.lines] == ["login_taken", "managed_unknown"]
        line = (await importing.plan(blind, "phones", [{"line": "1", "user": "sue"}])).lines[0]
        assert line.refusal is not None
        assert line.refusal.code == "phone_there"
        for kind, given in (("users", {"login": "new"}), ("groups", {"name": "New"})):
            assert not (await importing.apply(by(sue), kind, [given])).possible


async def test_phones_are_imported_by_line_and_login(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy", phones=["1"])
        await a_user("bob")
        lines = [
            {"line": "1", "user": "BOB", "name": "Desk"},
            {"line": " 2 ", "user": "amy"},
            {"line": "3"},
            {"line": "4", "user": "nobody"},
            {"line": "2", "user": "bob"},
            {"line": "5", "user": ""},
        ]
        codes = ["", "", "column_needed", "user_unknown", "twice_in_file", "text_needed"]
        assert await refused("phones", *lines) == codes
        plan = await planned("phones", *lines[:2])
        assert [(line.action, dict(line.changes)) for line in plan.lines] == [
            ("update", {"user": ("amy", "bob"), "name": ("", "Desk")}),
            ("create", {"line": ("", "2"), "user": ("", "amy")}),
        ]
        await importing.apply(COMMAND, "phones", lines[:2], expected=plan)
        found = {
            one.fields.line: (one.fields.name, one.user.name) for one in (await phones.list_phones(COMMAND.scope)).items
        }
        assert found == {"1": ("Desk", "Bob"), "2": ("", "Amy")}
        assert [line.action for line in (await planned("phones", *lines[:2], {"line": "2"})).lines] == [
            "unchanged",
            "unchanged",
            "error",
        ]


async def test_groups_are_imported_by_name(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await groups.create_group(COMMAND, GroupFields(name="Support", language="fr", time_zone="UTC"))
        lines = [
            {"name": "SUPPORT", "language": "ru"},
            {"name": "Sales", "time_zone": "Asia/Tokyo"},
            {"name": "support"},
            {"name": "x", "language": "xx"},
        ]
        assert await refused("groups", *lines) == ["", "", "twice_in_file", "language_unknown"]
        assert await refused("groups", *lines[:2]) == ["", ""]
        assert [one.fields for one in (await groups.list_groups(COMMAND.scope)).items] == [
            GroupFields(name="Sales", time_zone="Asia/Tokyo"),
            GroupFields(name="Support", language="ru", time_zone="UTC"),
        ]
        assert [line.action for line in (await planned("groups", *lines[:2])).lines] == ["unchanged", "unchanged"]


async def test_what_is_applied_is_what_was_shown(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy")
        lines = [{"login": "amy", "name": "Amelia"}, {"login": "new"}]
        plan = await planned("users", *lines)
        await users.create_user(COMMAND, UserFields(login="new"))
        before = await everything()
        with pytest.raises(Refusal, match="Somebody else"):
            await importing.apply(COMMAND, "users", lines, expected=plan)
        assert await everything() == before
        plan = await planned("users", *lines)
        assert await importing.apply(COMMAND, "users", lines, expected=plan) == plan


async def test_every_change_stands_in_the_audit_trail(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR, tenant="Acme")
        await importing.apply(by(anna), "groups", [{"name": "Support"}])
        await importing.apply(by(anna), "users", [{"login": "amy", "group": "Support", "phones": "1"}])
        found = (await audit.list_entries(by(anna).scope)).items[:3]
        assert [(one.resource, one.about.name, one.initiator_login) for one in found] == [
            (Resource.PHONES, "1", "anna"),
            (Resource.USERS, "amy", "anna"),
            (Resource.GROUPS, "Support", "anna"),
        ]


async def test_earlier_calls_of_new_phones_become_their_users(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("old", phones=["9"])
        for caller, callee in (("1", "2"), ("3", "4"), ("5", "6"), ("9", "7")):
            await finish(a_full_call(caller=PartyRecord(caller), callee=PartyRecord(callee)))
        lines = [{"login": "amy", "phones": "1"}, {"login": "bob", "phones": "2;4"}, {"login": "old", "phones": "9"}]
        done = await importing.apply(COMMAND, "users", lines)
        assert await importing.claim(COMMAND, done) == 2
        for login, calls in (("amy", 1), ("bob", 2), ("old", 0)):
            found = await users.get_by_login(COMMAND.scope, login)
            assert found is not None
            assert await count_calls(Scope(DEFAULT_TENANT, found.id, Reach.OWN), silent_nodes=()) == calls
        moved = await importing.apply(COMMAND, "phones", [{"line": "5", "user": "amy"}, {"line": "9", "name": "Desk"}])
        assert await importing.claim(COMMAND, moved) == 1
        assert await importing.claim(COMMAND, Plan()) == 0
