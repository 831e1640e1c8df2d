"""What `earshot user add` and `earshot token add` take and say. As commands: tests/test_accounts.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from portal.accounts import MOST_CHARACTERS, NewUser, Refused, add_token, add_user
from schema import people
from schema.clerk import finish
from schema.database import open_database
from schema.roles import Role
from schema.values import PartyRecord
from tests.databases import KEY
from tests.portal.visitor import PASSWORD
from tests.schema.given import a_full_call

ANNA = NewUser(login="anna", role=Role.USER, password=None)
NO_NAMES = ("", " ", "\t", "a\0b", "a\nb", "an\udcffna", "\u200b", "x" * (MOST_CHARACTERS + 1), "x" * 5000)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'earshot.sqlite'}"


@pytest.mark.parametrize("text", NO_NAMES)
async def test_what_is_no_name_is_refused_with_a_sentence_and_makes_nothing(url: str, text: str) -> None:
    supervisor = replace(ANNA, role=Role.SUPERVISOR)
    users = [replace(ANNA, login=text), replace(ANNA, tenant=text), replace(ANNA, group=text)]
    users += [replace(ANNA, phones=["1", text]), replace(supervisor, manages=[text])]
    for user in [*users, replace(ANNA, name=text)] if text else users:
        with pytest.raises(Refused, match=r"characters, all of them printable\. No account was made\."):
            await add_user(url, user)
    for words in ((text,), ("anna", text), ("anna", None, text)):
        if words[-1] != "" or len(words) < 3:
            with pytest.raises(Refused, match=r"characters, all of them printable\. No token was made\."):
                await add_token(url, *words)
    async with open_database(url, migrate=True, key=KEY):
        assert await people.accounts_by_login("anna") == []


async def test_texts_are_trimmed(url: str) -> None:
    told = await add_user(url, replace(ANNA, login=" anna ", tenant=" Acme ", group=" Sales ", phones=[" 200 "]))
    assert told == (
        "anna (user) of tenant Acme was added and has no web access (none without --password-stdin). "
        "The group Sales is new."
    )
    with pytest.raises(Refused, match="The phone 200 belongs to another user of Acme"):
        await add_user(url, replace(ANNA, login="berta", tenant="ACME", phones=["200"]))
    assert "is new" not in await add_user(url, replace(ANNA, login="berta", tenant="ACME", group="sales"))


async def test_earlier_calls_of_a_new_users_phones_are_his(url: str) -> None:
    async with open_database(url, migrate=True, key=KEY):
        await finish(a_full_call(callee=PartyRecord("200")))
    told = await add_user(url, replace(ANNA, phones=["200"]))
    assert told.endswith("Earlier calls of these phones that were nobody's, and are this user's now: 1.")
    assert "Earlier" not in await add_user(url, replace(ANNA, login="ben", phones=["201"]))


@pytest.mark.parametrize("role", [Role.USER, Role.ADMINISTRATOR])
async def test_only_a_supervisor_manages(url: str, role: Role) -> None:
    await add_user(url, ANNA)
    with pytest.raises(Refused, match=rf"Only a supervisor manages others; sam is to be {role}\. No account was made"):
        await add_user(url, NewUser(login="sam", role=role, password=None, manages=["anna"]))


async def test_whom_nobody_knows_cannot_be_managed(url: str) -> None:
    with pytest.raises(Refused, match=r"There is neither a group nor a login Suport in Default.* No account was made"):
        await add_user(url, NewUser(login="sam", role=Role.SUPERVISOR, password=None, manages=["Suport"]))


async def test_a_slash_parts_tenant_and_login_and_is_in_no_login(url: str) -> None:
    with pytest.raises(Refused, match="A login has no slash"):
        await add_user(url, replace(ANNA, login="acme/anna"))


@pytest.mark.parametrize("password", ["correct\udcffhorse battery", " " * 12, "\t \u3000" * 4, "x" * 12])
async def test_a_password_is_text_and_more_than_blanks(url: str, password: str) -> None:
    with pytest.raises(Refused, match=r"^The password is .* No account was made\.$"):
        await add_user(url, replace(ANNA, password=password))
    assert "may sign in" in await add_user(url, replace(ANNA, password=PASSWORD))


async def test_a_file_that_is_no_database_is_not_said_to_be_away(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Sir or Madam, " * 1000)
    url = f"sqlite:///{tmp_path / 'letter'}"
    with pytest.raises(Refused, match=r"^The file of the database cannot be read .* No account was made\.$"):
        await add_user(url, ANNA)
    with pytest.raises(Refused, match=r"is no database\..* No token was made\.$"):
        await add_token(url, "anna")


async def test_without_a_database_nothing_was_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/x.sqlite"
    with pytest.raises(Refused, match=r"^The database does not answer \([^)]*\)\. No account was made\.$"):
        await add_user(url, ANNA)
    with pytest.raises(Refused, match=r"^The database does not answer \([^)]*\)\. No token was made\.$"):
        await add_token(url, "anna")
