"""Lists of users: whom a scope reaches, what a search finds, and pages that lose nobody."""

import pytest

from schema import users
from schema.columns import new_id
from schema.database import open_database
from schema.groups import create_group
from schema.profiles import GroupFields, RoleFields, UserFields
from schema.roles import READY_MADE, Reach, Role
from schema.roles_kept import copy_role
from schema.values import DEFAULT_TENANT, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by


async def logins(scope: Scope, **asked: object) -> list[str]:
    found = await users.list_users(scope, **asked)  # type: ignore[arg-type]  # any of its options
    return [user.fields.login for user in found.items]


async def test_each_reach_sees_its_own(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", group="Support")
        await a_user("bob", group="Sales")
        cat = await a_user("cat")
        hidden = await users.create_user(
            COMMAND, UserFields(login="hidden", name="Hidden", confidential=True, group_id=await group_of(amy.id))
        )
        sam = await a_user("sam", Role.SUPERVISOR, group="Sales", manages=["Support", "cat"])
        anna = await a_user("anna", Role.ADMINISTRATOR)
        await a_user("eve", tenant="Acme", group="Support")
        await a_user("ed", Role.SUPERVISOR, tenant="Acme", manages=["Support"])
        everybody = ["amy", "anna", "bob", "cat", "ed", "eve", "hidden", "sam"]
        assert await logins(COMMAND.scope) == everybody
        assert await logins(by(anna).scope) == ["amy", "anna", "bob", "cat", "hidden", "sam"]
        assert await logins(by(sam).scope) == ["amy", "cat", "sam"]
        assert await logins(by(cat).scope) == ["cat"]
        assert await users.count_users(by(sam).scope) == 3
        for who, sees in ((anna, True), (sam, False), (cat, False)):
            assert (await users.get_user(by(who).scope, hidden.id) is not None) == sees
        # A confidential user sees himself, and a role that is for the confidential sees those it manages.
        assert await logins(Scope(DEFAULT_TENANT, hidden.id, Reach.OWN)) == ["hidden"]
        assert await logins(Scope(DEFAULT_TENANT, sam.id, Reach.MANAGED, confidential=True)) == [
            "amy",
            "cat",
            "hidden",
            "sam",
        ]
        assert await logins(Scope(DEFAULT_TENANT, new_id(), Reach.MANAGED)) == []


async def group_of(user_id: object) -> object:
    found = await users.get_user(COMMAND.scope, user_id)  # type: ignore[arg-type]
    assert found is not None
    return found.fields.group_id


async def test_a_search_looks_at_logins_names_addresses_and_phones_in_any_letter_case(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await users.create_user(
            COMMAND,
            UserFields(login="jm", name="Jörg MÜLLER", email="boss@example.com", phones=("+4930123", "sip:Jörg@x")),
        )
        await a_user("strauß", name="100% _Strauß_")
        assert [
            await logins(COMMAND.scope, text=text) for text in ("müller", "JÖRG M", "BOSS@", "930", "SIP:JÖRG")
        ] == [["jm"]] * 5
        assert await logins(COMMAND.scope, text="Mu\u0308ller") == ["jm"]  # its accent written apart
        assert [await logins(COMMAND.scope, text=text) for text in ("STRAUSS", "0%", "_s", " strauß ")] == [
            ["strauß"]
        ] * 4
        # No pattern, nothing from one field into the next, and nothing that a database refuses.
        for text in ("%", "_m", "jm\njörg", "jmjörg", "'", "\0\ud800x"):
            assert await logins(COMMAND.scope, text=text) in ([], ["strauß"] if text == "%" else [])


async def test_filters_narrow_the_list(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        support = await create_group(COMMAND, GroupFields(name="Support"))
        copy = await copy_role(COMMAND, Role.USER, RoleFields(name="Junior", grant=READY_MADE[Role.USER]))
        await users.create_user(COMMAND, UserFields(login="amy", group_id=support.id))
        await users.create_user(COMMAND, UserFields(login="bob", role=copy.id))
        gone = await users.create_user(COMMAND, UserFields(login="gone", role=Role.SUPERVISOR))
        await users.disable_user(COMMAND, gone.id)
        assert await logins(COMMAND.scope) == ["amy", "bob"]
        assert await logins(COMMAND.scope, status="disabled") == ["gone"]
        assert await logins(COMMAND.scope, status="all") == ["amy", "bob", "gone"]
        assert await logins(COMMAND.scope, group_id=support.id) == ["amy"]
        assert await logins(COMMAND.scope, role=Role.USER) == ["amy"]
        assert await logins(COMMAND.scope, role=copy.id) == ["bob"]
        assert await logins(COMMAND.scope, role=Role.SUPERVISOR, status="all") == ["gone"]


async def test_pages_follow_each_other_by_name_whatever_is_added_meanwhile(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for login in ("d", "b", "f", "a2", "c", "e"):
            await a_user(login, name="same" if login in "cd" else login)
        await a_user("a1", name="")
        page = await users.list_users(COMMAND.scope, limit=3)
        found = [user.fields.login for user in page.items]
        await a_user("a0")  # before what was read
        while page.next is not None:
            page = await users.list_users(COMMAND.scope, limit=3, cursor=page.next)
            found += [user.fields.login for user in page.items]
        assert found == ["a1", "a2", "b", "e", "f", "d", "c"]
        assert page.items
        for cursor in ("", "x", "AAAA", "WyJhIl0", "bnVsbA"):
            with pytest.raises(ValueError, match="Begin again"):
                await users.list_users(COMMAND.scope, cursor=cursor)


async def test_what_is_typed_is_completed_with_those_that_begin_so_first(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("zsam", name="Adam Samson")
        await a_user("sam", name="Sam Reed")
        await a_user("samira", name="")
        gone = await a_user("samuel")
        await users.disable_user(COMMAND, gone.id)
        found = await users.find_users(COMMAND.scope, "SAM")
        assert [one.name for one in found] == ["Sam Reed (sam)", "samira", "Adam Samson (zsam)"]
        assert [one.name for one in await users.find_users(COMMAND.scope, "", limit=1)] == ["Adam Samson (zsam)"]
        assert await users.find_users(Scope(DEFAULT_TENANT, new_id(), Reach.OWN), "sam") == ()


async def test_language_and_zone_say_from_whom_they_are_inherited(database_url: str) -> None:
    from schema.platform import set_platform_language
    from schema.tenants import set_tenant_language

    async with open_database(database_url, key=KEY):
        support = await create_group(COMMAND, GroupFields(name="Support"))
        amy = await users.create_user(COMMAND, UserFields(login="amy", group_id=support.id))

        async def inherited() -> tuple[str, str, str]:
            found = await users.get_user(COMMAND.scope, amy.id)
            assert found is not None
            one = found.inherited_language
            return one.value, one.source, one.name

        assert await inherited() == ("", "default", "")
        await set_platform_language(COMMAND, "es", "")
        assert await inherited() == ("es", "platform", "")
        await set_tenant_language(COMMAND, DEFAULT_TENANT, "fr", "Europe/Paris")
        assert await inherited() == ("fr", "tenant", "Default")
        from schema.groups import set_group_language

        await set_group_language(COMMAND, support.id, "ru", "")
        assert await inherited() == ("ru", "group", "Support")
        found = await users.get_user(COMMAND.scope, amy.id)
        assert found is not None
        assert found.inherited_time_zone.value == "Europe/Paris"
