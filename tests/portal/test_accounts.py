"""What `earshot user`, `earshot token` and `earshot tenant` take and say. As commands: tests/test_accounts.py."""

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portal.accounts import NewUser, add_user, disable_user, enable_user, list_users, second_factor_off, set_password
from portal.commanded import MOST_CHARACTERS, Refused
from portal.passwords import Passwords
from portal.tenancies import add_tenant, list_tenants
from portal.tokens import MOST_DAYS, add_token, list_tokens, revoke_token
from schema import access, people
from schema.audit import entries_about
from schema.clerk import finish
from schema.database import open_database
from schema.entries import Action, Application
from schema.roles import Permission, Role
from schema.values import PartyRecord
from tests.databases import KEY
from tests.people import COMMAND
from tests.portal.visitor import PASSWORD
from tests.schema.given import a_full_call

ANNA = NewUser(login="anna", role=Role.USER, password=None)
NO_NAMES = ("", " ", "\t", "a\0b", "a\nb", "an\udcffna", "\u200b", "x" * (MOST_CHARACTERS + 1), "x" * 5000)


@pytest.fixture
def url(tmp_path: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "earshot.sqlite")
    return f"sqlite:///{tmp_path / 'earshot.sqlite'}"


@pytest.mark.parametrize("text", NO_NAMES)
async def test_what_is_no_name_is_refused_with_a_sentence_and_makes_nothing(url: str, text: str) -> None:
    supervisor = replace(ANNA, role=Role.SUPERVISOR)
    users = [replace(ANNA, login=text), replace(ANNA, tenant=text), replace(ANNA, group=text)]
    users += [replace(ANNA, phones=["1", text]), replace(supervisor, manages=[text])]
    for user in [*users, replace(ANNA, name=text)] if text else users:
        with pytest.raises(Refused, match=r"characters, all of them printable\. No account was made\."):
            await add_user(url, KEY, user)
    for words in ((text,), ("anna", text), ("anna", None, text)):
        if words[-1] != "" or len(words) < 3:
            with pytest.raises(Refused, match=r"characters, all of them printable\. No token was made\."):
                await add_token(url, KEY, *words)
    async with open_database(url, migrate=True, key=KEY):
        assert await people.accounts_by_login("anna") == []


async def test_texts_are_trimmed(url: str) -> None:
    told = await add_user(url, KEY, replace(ANNA, login=" anna ", tenant=" Acme ", group=" Sales ", phones=[" 200 "]))
    assert told == (
        "anna (user) of tenant Acme was added and has no web access (none without --password-stdin). "
        "The group Sales is new."
    )
    with pytest.raises(Refused, match="The phone 200 belongs to another user of Acme"):
        await add_user(url, KEY, replace(ANNA, login="berta", tenant="ACME", phones=["200"]))
    assert "is new" not in await add_user(url, KEY, replace(ANNA, login="berta", tenant="ACME", group="sales"))


async def test_earlier_calls_of_a_new_users_phones_are_his(url: str) -> None:
    async with open_database(url, migrate=True, key=KEY):
        await finish(a_full_call(callee=PartyRecord("200")))
    told = await add_user(url, KEY, replace(ANNA, phones=["200"]))
    assert told.endswith("Earlier calls of these phones that were nobody's, and are this user's now: 1.")
    assert "Earlier" not in await add_user(url, KEY, replace(ANNA, login="ben", phones=["201"]))


@pytest.mark.parametrize("role", [Role.USER, Role.ADMINISTRATOR])
async def test_only_a_supervisor_manages(url: str, role: Role) -> None:
    await add_user(url, KEY, ANNA)
    with pytest.raises(Refused, match=rf"Only a supervisor manages others; sam is to be {role}\. No account was made"):
        await add_user(url, KEY, NewUser(login="sam", role=role, password=None, manages=["anna"]))


async def test_whom_nobody_knows_cannot_be_managed(url: str) -> None:
    with pytest.raises(Refused, match=r"There is neither a group nor a login Suport in Default.* No account was made"):
        await add_user(url, KEY, NewUser(login="sam", role=Role.SUPERVISOR, password=None, manages=["Suport"]))


async def test_a_slash_parts_tenant_and_login_and_is_in_no_login(url: str) -> None:
    with pytest.raises(Refused, match="A login has no slash"):
        await add_user(url, KEY, replace(ANNA, login="acme/anna"))


@pytest.mark.parametrize("password", ["correct\udcffhorse battery", " " * 12, " \u3000" * 6, "x" * 12])
async def test_a_password_is_text_and_more_than_blanks(url: str, password: str) -> None:
    with pytest.raises(Refused, match=r"^The password is .* No account was made\.$"):
        await add_user(url, KEY, replace(ANNA, password=password))
    assert "may sign in" in await add_user(url, KEY, replace(ANNA, password=PASSWORD))


async def test_a_file_that_is_no_database_is_not_said_to_be_away(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Sir or Madam, " * 1000)
    url = f"sqlite:///{tmp_path / 'letter'}"
    with pytest.raises(Refused, match=r"^The file of the database cannot be read .* No account was made\.$"):
        await add_user(url, KEY, ANNA)
    with pytest.raises(Refused, match=r"is no database\..* No token was made\.$"):
        await add_token(url, KEY, "anna")


async def test_without_a_database_nothing_was_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/x.sqlite"
    with pytest.raises(Refused, match=r"^The database does not answer \([^)]*\)\. No account was made\.$"):
        await add_user(url, KEY, ANNA)
    with pytest.raises(Refused, match=r"^The database does not answer \([^)]*\)\. No token was made\.$"):
        await add_token(url, KEY, "anna")


# Who there is, and letting in


async def test_a_new_user_has_what_was_said(url: str) -> None:
    new = NewUser(
        login="olga",
        role=Role.OPERATOR,
        password=PASSWORD,
        email="olga@example.com",
        confidential=True,
        must_change=True,
    )
    assert (await add_user(url, KEY, new)).startswith("olga (operator) of tenant Default was added and may sign in.")
    async with open_database(url, key=KEY):
        (made,) = await people.accounts_by_login("olga")
        (entry,) = [one for one in await entries_about(COMMAND.scope, made.id, 10) if one.action == Action.CREATE]
    assert (made.email, made.confidential, made.must_change_password) == ("olga@example.com", True, True)
    assert (entry.application, entry.initiator_id) == (Application.COMMAND, None)
    assert entry.initiator_name


async def test_a_list_tells_who_there_is(url: str) -> None:
    assert await list_users(url, KEY, None, False) == "There are no such users."
    await add_user(url, KEY, replace(ANNA, name="Anna Berg", group="Sales", password=PASSWORD))
    await add_user(url, KEY, replace(ANNA, login="ben", tenant="Acme"))
    await disable_user(url, KEY, "ben", None)
    head = "LOGIN  NAME       TENANT   GROUP  ROLE  WEB ACCESS"
    anna, ben = "anna   Anna Berg  Default  Sales  user  yes", "ben               Acme            user  disabled"
    assert (await list_users(url, KEY, None, False)).splitlines() == [head, anna]
    assert set((await list_users(url, KEY, None, True)).splitlines()) == {head, anna, ben}
    assert "ben" not in await list_users(url, KEY, "default", True)


async def test_who_is_disabled_is_kept_out_until_he_is_enabled(url: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    async with open_database(url, key=KEY):
        (anna,) = await people.accounts_by_login("anna")
        soon = datetime.now(UTC) + timedelta(hours=1)
        await access.open_session(access.by_owner(anna, ""), b"\1" * 32, soon, "")
    assert (await disable_user(url, KEY, "ANNA", None)).startswith("anna of tenant Default is disabled and signed out.")
    async with open_database(url, key=KEY):
        (anna,) = await people.accounts_by_login("anna")
        assert not anna.may_sign_in
        assert await access.list_sessions(COMMAND.scope, anna.id) == ()
    assert await enable_user(url, KEY, "anna", None) == "anna of tenant Default is enabled and may sign in."
    for command in (disable_user, enable_user):
        with pytest.raises(Refused, match=r"There is no user eve\..* Nothing was changed\."):
            await command(url, KEY, "eve", None)


async def test_a_new_password_ends_what_the_old_one_opened(url: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    with pytest.raises(Refused, match=r"The password has 5 characters; 12 or more are needed\. Nothing was changed\."):
        await set_password(url, KEY, "anna", None, "short", False)
    told = await set_password(url, KEY, "anna", None, "an entirely new one", True)
    assert told == "anna of tenant Default has a new password, and is signed out everywhere."
    async with open_database(url, key=KEY):
        (anna,) = await people.accounts_by_login("anna")
        assert await Passwords().matches("an entirely new one", anna.password_hash)
        assert anna.must_change_password
    await disable_user(url, KEY, "anna", None)
    assert (await set_password(url, KEY, "anna", None, PASSWORD, False)).endswith("that did not change.")


async def test_who_lost_his_second_factor_signs_in_without(url: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    with pytest.raises(Refused, match=r"anna signs in without a second factor\. Nothing was changed\."):
        await second_factor_off(url, KEY, "anna", None)
    async with open_database(url, key=KEY):
        (anna,) = await people.accounts_by_login("anna")
        await access.set_totp(access.by_owner(anna, ""), "SECRET", 1, [])
    assert await second_factor_off(url, KEY, "anna", None) == (
        "anna of tenant Default signs in without a second factor now."
    )
    async with open_database(url, key=KEY):
        assert not (await people.accounts_by_login("anna"))[0].two_factor


# Tokens


async def test_a_token_gives_what_was_said_for_as_long_as_was_said(url: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    token = await add_token(url, KEY, "anna", None, "CRM", "view_calls, play", 30)
    async with open_database(url, key=KEY):
        owner = await access.account_of_token(hashlib.sha256(token.encode()).digest())
        assert owner is not None
        assert owner.grant.permissions == {Permission.VIEW_CALLS, Permission.PLAY}
        (kept,) = await access.list_tokens(COMMAND.scope, owner.id)
    assert kept.expires_at is not None
    assert timedelta(days=29) < kept.expires_at - datetime.now(UTC) <= timedelta(days=30)
    listed = await list_tokens(url, KEY, "anna")
    assert listed.splitlines()[1].split()[-2:] == ["play,", "view_calls"]
    assert f"{kept.expires_at:%Y-%m-%d}" in listed
    assert token not in listed


@pytest.mark.parametrize(
    ("permissions", "days", "sentence"),
    [
        ("view_calls,fly", 0, r"There is no permission fly\. There are: view_calls, play, .* No token was made\."),
        ("pause", 0, r"anna has not all of these permissions: pause\. No token was made\."),
        ("", -1, r"A token lasts for 1 to \d+ days, or with 0 for ever\. No token was made\."),
        ("", MOST_DAYS + 1, r"A token lasts for 1 to \d+ days"),
    ],
)
async def test_a_token_that_cannot_be_is_refused(url: str, permissions: str, days: int, sentence: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    with pytest.raises(Refused, match=sentence):
        await add_token(url, KEY, "anna", None, "", permissions, days)
    assert await list_tokens(url, KEY, "anna") == "anna has no tokens."


async def test_a_token_that_is_revoked_opens_nothing(url: str) -> None:
    await add_user(url, KEY, replace(ANNA, password=PASSWORD))
    token = await add_token(url, KEY, "anna", None, "CRM")
    key = hashlib.sha256(token.encode()).digest()
    listed = await list_tokens(url, KEY, "anna")
    assert key.hex()[:12] in listed
    with pytest.raises(Refused, match=r"anna has no token 0123.*No token was revoked\."):
        await revoke_token(url, KEY, "anna", None, "0123")
    told = await revoke_token(url, KEY, "anna", None, key.hex()[:12])
    assert told == f"The token {key.hex()[:12]} (CRM) of anna was revoked."
    async with open_database(url, key=KEY):
        assert await access.account_of_token(key) is None


# Tenants


async def test_tenants_are_added_and_listed(url: str) -> None:
    told = await add_tenant(url, KEY, " Acme ", ["calls.acme.example"], "fr", "Europe/Paris")
    assert told.startswith("The tenant Acme was added. Nobody can sign in to it yet: earshot user add LOGIN")
    with pytest.raises(Refused, match=r"There is a tenant Acme already\. No tenant was made\."):
        await add_tenant(url, KEY, "ACME", [], "", "")
    with pytest.raises(Refused, match=r"There is no language tlh\. No tenant was made\."):
        await add_tenant(url, KEY, "Qo'noS", [], "tlh", "")
    await add_user(url, KEY, replace(ANNA, tenant="Acme"))
    lines = (await list_tenants(url, KEY)).splitlines()
    assert [line.split() for line in lines] == [
        ["NAME", "USERS", "HOST", "NAMES", "STATE"],
        ["Acme", "1", "calls.acme.example", "active"],
        ["Default", "0", "active"],
    ]
