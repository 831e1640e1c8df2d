"""Sessions, tokens, links, passwords and second factors, and whom of others one may touch."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio

from schema import access, people
from schema.access import by_owner
from schema.columns import new_id
from schema.database import open_database, rows, unit
from schema.entries import Application, By
from schema.refusals import NotThere, Refusal
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.sealing import NotReadable
from schema.values import Account, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user

HASH = "$argon2id$"
FIRST, SECOND, THIRD = b"first", b"second", b"third"
CODES = (b"code 1", b"code 2")
SECRET = "JBSWY3DPEHPK3PXP"  # noqa: S105 (of a user who lives as long as a test)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def himself(owner: Account) -> By:
    return by_owner(owner, "192.0.2.1")


async def enter(owner: Account, *keys: bytes) -> None:
    for key in keys:
        await access.open_session(himself(owner), key, soon(), "Browser")


async def live(*keys: bytes) -> list[bool]:
    return [await access.session(key) is not None for key in keys]


@unit
async def sql(query: str, *values: Any) -> list[dict[str, Any]]:
    return await rows(query, *values)


async def trail() -> list[tuple[str, str, str, str]]:
    """Resource, action, whom it is about and who did it, in the order in which things were done."""
    found = await sql("SELECT resource, action, related_name, initiator_login FROM audit_entry ORDER BY id")
    return [tuple(row.values()) for row in found]


async def everything() -> str:
    """All that the audit trail holds, as one text."""
    return json.dumps(await sql("SELECT * FROM audit_entry"), default=str)


# Sessions


async def test_a_session_lasts_until_it_is_closed_or_over(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        end = soon()
        await access.open_session(himself(amy), FIRST, end, "Browser")
        assert await access.session(FIRST) == (amy, end)
        assert await access.session(b"another") is None
        await access.close_session(FIRST, "192.0.2.1")
        assert await access.session(FIRST) is None
        await access.open_session(himself(amy), FIRST, datetime.now(UTC), "")
        assert await access.session(FIRST) is None
        # It is over: the next sign-in takes it away, and so the same hash is free again.
        await enter(amy, FIRST, SECOND)
        assert await live(FIRST, SECOND) == [True, True]


async def test_signing_in_and_out_stand_in_the_audit_trail(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", name="Amy Archer")
        await access.open_session(himself(amy), FIRST, soon(), "Browser", {"provider": "Acme"})
        await access.close_session(FIRST, "192.0.2.9")
        await access.close_session(FIRST, "192.0.2.9")  # nobody's any more
        assert (await trail())[-2:] == [
            ("sessions", "login", "Amy Archer", "amy"),
            ("sessions", "logout", "Amy Archer", "amy"),
        ]
        signed_in, out = (await sql("SELECT address, details FROM audit_entry ORDER BY id"))[-2:]
        assert (signed_in["address"], json.loads(signed_in["details"])) == ("192.0.2.1", {"provider": "Acme"})
        assert out["address"] == "192.0.2.9"


@pytest.mark.parametrize(
    "ends",
    [
        "UPDATE account SET may_sign_in = FALSE",
        "UPDATE account SET disabled_at = $1",
        "UPDATE tenant SET disabled_at = $1",
    ],
)
async def test_whose_access_is_taken_is_out_at_once_and_stays_out(database_url: str, ends: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", password_hash=HASH)
        await enter(amy, FIRST)
        await access.add_token(COMMAND, amy.id, b"token", "script")
        await access.make_link(COMMAND, amy.id, b"link", invitation=True, expires_at=soon())
        await sql(ends, *[datetime.now(UTC)] * ends.count("$1"))
        assert await live(FIRST) == [False]
        assert await access.account_of_token(b"token") is None
        assert await access.link(b"link") is None
        with pytest.raises(NotThere):
            await enter(amy, SECOND)


async def test_the_use_of_a_session_is_noted_once_in_a_while(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await enter(amy, FIRST)
        (before,) = await access.list_sessions(himself(amy).scope, amy.id)
        await access.session(FIRST)
        assert await access.list_sessions(himself(amy).scope, amy.id) == (before,)
        ago = datetime.now(UTC) - timedelta(minutes=3)
        await sql("UPDATE web_session SET created_at = $1, seen_at = $1", ago)
        await access.session(FIRST)
        with trio.fail_after(60):
            while (after := (await access.list_sessions(himself(amy).scope, amy.id))[0]).seen_at == ago:
                await trio.lowlevel.checkpoint()
        assert after.created_at == ago
        assert after.seen_at >= before.seen_at
        assert (after.id_hash, after.address, after.user_agent) == (FIRST, "192.0.2.1", "Browser")


async def test_sessions_are_ended_one_by_one_or_all_but_ones_own(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy"), await a_user("bob")
        await enter(amy, FIRST, SECOND, THIRD)
        await enter(bob, b"bob's")
        assert await access.close_sessions(himself(amy), amy.id, only=SECOND) == (SECOND,)
        assert await access.close_sessions(himself(amy), amy.id, only=b"bob's") == ()
        assert await access.close_sessions(himself(amy), amy.id, but=THIRD) == (FIRST,)
        assert await live(FIRST, SECOND, THIRD, b"bob's") == [False, False, True, True]
        assert await access.close_sessions(COMMAND, amy.id) == (THIRD,)
        assert (await trail())[-1][:3] == ("sessions", "logout", "Amy")


async def test_what_a_browser_says_of_itself_is_kept_as_far_as_it_can_be(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.open_session(by_owner(amy, "192.0.2.1\0"), FIRST, soon(), "\0Browser\ud800")
        (kept,) = await access.list_sessions(himself(amy).scope, amy.id)
        assert kept.address == "192.0.2.1"
        assert "Browser" in kept.user_agent


# Tokens


async def test_a_token_gives_no_more_than_was_chosen_nor_than_its_owner_has(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", Role.SUPERVISOR)
        few = frozenset({Permission.PLAY, Permission.VIEW_CALLS})
        await access.add_token(himself(amy), amy.id, FIRST, "all")
        await access.add_token(himself(amy), amy.id, SECOND, "few", few)
        assert await access.account_of_token(FIRST) == amy
        assert await access.account_of_token(SECOND) == replace(amy, grant=Grant(Reach.MANAGED, few))
        with pytest.raises(Refusal) as refused:
            await access.add_token(himself(amy), amy.id, THIRD, "more", frozenset({Permission.MANAGE_USERS}))
        assert (refused.value.code, refused.value.field) == ("beyond_you", "permissions")
        await sql("UPDATE account SET role = 'user'")
        found = await access.account_of_token(FIRST)
        assert found is not None
        assert found.grant == READY_MADE[Role.USER]
        await sql("UPDATE api_token SET permissions = $1 WHERE name = 'few'", '["play", "levitate"]')
        found = await access.account_of_token(SECOND)
        assert found is not None
        assert found.grant.permissions == {Permission.PLAY}


async def test_a_token_ends_when_it_is_over_or_revoked(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy"), await a_user("bob")
        await access.add_token(himself(amy), amy.id, FIRST, "over", None, datetime.now(UTC))
        await access.add_token(himself(amy), amy.id, SECOND, "lasting", None, soon())
        assert [await access.account_of_token(key) for key in (FIRST, SECOND, THIRD)] == [None, amy, None]
        with pytest.raises(NotThere):
            await access.revoke_token(himself(bob), bob.id, SECOND)
        await access.revoke_token(himself(amy), amy.id, SECOND)
        assert await access.account_of_token(SECOND) is None
        assert [token.name for token in await access.list_tokens(himself(amy).scope, amy.id)] == ["over"]
        assert (await trail())[-1][:3] == ("api tokens", "delete", "lasting")


async def test_the_last_use_of_a_token_is_known(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.add_token(himself(amy), amy.id, FIRST, "one")
        (before,) = await access.list_tokens(himself(amy).scope, amy.id)
        assert before.used_at is None
        entries = len(await trail())
        await access.account_of_token(FIRST)
        with trio.fail_after(60):
            while (used := (await access.list_tokens(himself(amy).scope, amy.id))[0]).used_at is None:
                await trio.lowlevel.checkpoint()
        await access.account_of_token(FIRST)
        assert await access.list_tokens(himself(amy).scope, amy.id) == (used,)
        assert len(await trail()) == entries  # no change that anybody would look for


# Passwords and links


async def test_a_new_password_ends_all_other_sessions_and_every_link(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy", password_hash=HASH), await a_user("bob", password_hash=HASH)
        await enter(amy, FIRST, SECOND)
        await enter(bob, b"bob's")
        await access.make_link(None, amy.id, b"link", invitation=False, expires_at=soon())
        assert await access.set_password(himself(amy), amy.id, "new hash", keep=SECOND) == (FIRST,)
        assert await live(FIRST, SECOND, b"bob's") == [False, True, True]
        assert await access.link(b"link") is None
        assert [(await people.accounts_by_login(name))[0].password_hash for name in ("amy", "bob")] == [
            "new hash",
            HASH,
        ]
        assert (await trail())[-1] == ("users", "change password", "Amy", "amy")
        assert "hash" not in (await everything()).replace("password_hash", "").replace("data_hash", "")


async def test_a_password_that_an_administrator_sets_is_to_be_changed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.set_password(COMMAND, amy.id, "new", must_change=True)
        changed = await people.account(amy.id)
        assert changed is not None
        assert changed.must_change_password
        await access.set_password(himself(amy), amy.id, HASH)
        assert await people.account(amy.id) == replace(amy, password_hash=HASH)


async def test_a_better_hash_of_the_same_password_is_no_change(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", password_hash=HASH)
        before = await trail()
        await access.rehash(amy.id, "of before", "worse")
        await access.rehash(amy.id, HASH, better := f"{HASH}better")
        assert (await people.accounts_by_login("amy"))[0].password_hash == better
        assert await trail() == before


async def test_a_link_sets_a_password_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", name="Amy Archer")
        await enter(amy, FIRST)
        await access.make_link(None, amy.id, b"reset", invitation=False, expires_at=soon())
        await access.make_link(COMMAND, amy.id, b"invitation", invitation=True, expires_at=soon())
        assert await access.link(b"reset") == (amy, False)
        assert await access.link(b"invitation") == (amy, True)
        assert await access.use_link(b"reset", HASH, "192.0.2.1") == (FIRST,)
        assert await access.use_link(b"reset", "another", "192.0.2.1") is None
        assert await access.use_link(b"invitation", "another", "192.0.2.1") is None
        assert (await people.accounts_by_login("amy"))[0].password_hash == HASH
        assert (await trail())[-1] == ("users", "change password", "Amy Archer", "amy")


async def test_of_two_who_use_a_link_at_the_same_time_one_does(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.make_link(None, amy.id, b"reset", invitation=False, expires_at=soon())
        done = []

        async def use(password_hash: str) -> None:
            if await access.use_link(b"reset", password_hash, "") is not None:
                done.append(password_hash)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(use, f"hash {number}")
        assert len(done) == 1
        assert (await people.accounts_by_login("amy"))[0].password_hash == done[0]


async def test_a_link_that_is_over_or_was_replaced_opens_nothing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        make = partial(access.make_link, None, amy.id, invitation=False)
        await make(b"over", expires_at=datetime.now(UTC))
        assert await access.link(b"over") is None
        await make(b"old", expires_at=soon())
        await make(b"new", expires_at=soon())
        assert [await access.link(key) is not None for key in (b"over", b"old", b"new")] == [False, False, True]
        assert len(await sql("SELECT link_hash FROM access_link")) == 1


async def test_who_signs_in_elsewhere_has_no_password_to_set(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.make_link(None, amy.id, b"reset", invitation=False, expires_at=soon())
        await sql("UPDATE account SET authentication = 'oidc'")
        assert await access.link(b"reset") is None


async def test_users_are_found_by_their_mail_address_in_any_letter_case(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, ann = await a_user("amy"), await a_user("ann", tenant="Acme")
        await a_user("bob")
        await sql("UPDATE account SET email = 'Team@Example.com' WHERE login <> 'bob'")
        found = await access.accounts_by_email("team@EXAMPLE.com")
        assert {one.id for one in found} == {amy.id, ann.id}
        assert [await access.accounts_by_email(text) for text in ("", "nobody@example.com", "a\0")] == [[], [], []]


# Second factors


async def test_a_second_factor_is_sealed_and_its_steps_count_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        assert await access.totp_secret(amy.id) == ""
        await access.set_totp(himself(amy), SECRET, 100, CODES)
        changed = await people.account(amy.id)
        assert changed is not None
        assert changed.two_factor
        assert await access.totp_secret(amy.id) == SECRET
        assert [await access.use_totp_step(amy.id, step) for step in (100, 101, 101, 99, 103)] == [
            False,
            True,
            False,
            False,
            True,
        ]
        (kept,) = await sql("SELECT totp_secret FROM account")
        assert SECRET not in kept["totp_secret"]
        assert SECRET not in await everything()
        # A sealed secret opens in its own row only.
        bob = await a_user("bob")
        await sql("UPDATE account SET totp_secret = $1 WHERE id = $2", kept["totp_secret"], bob.id)
        with pytest.raises(NotReadable):
            await access.totp_secret(bob.id)


async def test_each_recovery_code_counts_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.set_totp(himself(amy), SECRET, 1, CODES)
        used = [await access.use_recovery_code(himself(amy), code) for code in (b"none", CODES[0], CODES[0], CODES[1])]
        assert used == [None, 1, None, 0]
        await access.set_recovery_codes(himself(amy), [THIRD])
        assert await access.recovery_codes_left(amy.id) == 1
        assert [await access.use_recovery_code(himself(amy), code) for code in (CODES[0], THIRD)] == [None, 0]
        assert CODES[0].hex() not in await everything()


async def test_a_code_that_two_use_at_the_same_time_lets_one_in(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.set_totp(himself(amy), SECRET, 1, CODES)
        let_in = []

        async def try_it(attempt: Callable[[], Awaitable[object]]) -> None:
            if await attempt() not in (None, False):
                let_in.append(attempt)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(try_it, partial(access.use_recovery_code, himself(amy), CODES[0]))
                nursery.start_soon(try_it, partial(access.use_totp_step, amy.id, 7))
        assert len(let_in) == 2


async def test_without_a_second_factor_its_codes_are_gone_too(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await access.set_totp(himself(amy), SECRET, 1, CODES)
        await access.clear_totp(COMMAND, amy.id)
        assert await people.account(amy.id) == amy
        assert await access.recovery_codes_left(amy.id) == 0
        assert (await trail())[-1][:3] == ("users", "update", "Amy")


# Whom one may touch

WRITES: list[Callable[[By, Account], Awaitable[object]]] = [
    lambda by, whose: access.close_sessions(by, whose.id),
    lambda by, whose: access.add_token(by, whose.id, b"another" + whose.id.bytes, ""),
    lambda by, whose: access.revoke_token(by, whose.id, b"token"),
    lambda by, whose: access.set_password(by, whose.id, "stolen"),
    lambda by, whose: access.make_link(by, whose.id, whose.id.bytes, invitation=True, expires_at=soon()),
    lambda by, whose: access.clear_totp(by, whose.id),
]


@pytest.mark.parametrize("write", range(len(WRITES)))
async def test_nobody_changes_the_access_of_whom_he_does_not_reach_or_who_may_more(
    database_url: str, write: int
) -> None:
    async with open_database(database_url, key=KEY):
        boss = await a_user("boss", Role.ADMINISTRATOR)
        supervisor = await a_user("sue", Role.SUPERVISOR, group="Sales", manages=["Sales"])
        managed = await a_user("max", group="Sales")
        operator = await a_user("op", Role.OPERATOR)
        stranger = await a_user("eve", tenant="Acme")
        hidden = await a_user("hal")
        await sql("UPDATE account SET confidential = TRUE WHERE login = 'hal'")
        without = himself(boss)
        without = replace(without, scope=replace(without.scope, confidential=False))
        refused: list[tuple[By, Account, type[Exception]]] = [
            (himself(boss), stranger, NotThere),
            (himself(boss), operator, Refusal),
            (without, hidden, NotThere),
            (himself(supervisor), managed, NotThere),
            (himself(managed), boss, NotThere),
        ]
        for _, whose, _ in refused:
            await enter(whose, whose.id.bytes)
            await access.set_totp(himself(whose), SECRET, 1, ())
            await access.add_token(himself(whose), whose.id, b"token", "") if whose is stranger else None
        before = await sql("SELECT * FROM account ORDER BY id"), len(await trail())
        for by, whose, error in refused:
            with pytest.raises(error):
                await WRITES[write](by, whose)
            assert await live(whose.id.bytes) == [True]
            assert await access.account_of_token(b"another" + whose.id.bytes) is None
            assert await access.link(whose.id.bytes) is None
        assert (await sql("SELECT * FROM account ORDER BY id"), len(await trail())) == before
        await access.add_token(COMMAND, managed.id, b"token 2", "")
        if write != 2:
            await WRITES[write](himself(boss), managed)
            await WRITES[write](COMMAND, operator)


async def test_nobody_sees_the_sessions_and_tokens_of_others_without_reaching_them(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        boss, amy = await a_user("boss", Role.ADMINISTRATOR), await a_user("amy", group="Sales")
        sue = await a_user("sue", Role.SUPERVISOR, manages=["Sales"])
        eve = await a_user("eve", Role.ADMINISTRATOR, tenant="Acme")
        await enter(amy, FIRST)
        await access.add_token(himself(amy), amy.id, SECOND, "")
        seen = {}
        for one in (boss, amy, sue, eve):
            scope = Scope(one.tenant_id, one.id, one.grant.reach)
            both = (await access.list_sessions(scope, amy.id), await access.list_tokens(scope, amy.id))
            seen[one.login] = [len(each) for each in both]
        assert seen == {"boss": [1, 1], "amy": [1, 1], "sue": [0, 0], "eve": [0, 0]}
        assert await access.list_sessions(COMMAND.scope, new_id()) == ()


async def test_who_is_not_a_person_has_no_second_factor(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        assert COMMAND.application is Application.COMMAND
        for work in (
            access.set_totp(COMMAND, SECRET, 1, CODES),
            access.set_recovery_codes(COMMAND, CODES),
            access.use_recovery_code(COMMAND, CODES[0]),
            access.open_session(COMMAND, FIRST, soon(), ""),
        ):
            with pytest.raises(NotThere):
                await work
