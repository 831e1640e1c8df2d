"""Groups: who sees them, who changes them, and what goes with them."""

import pytest

from schema import audit, groups, tenants, users
from schema.columns import new_id
from schema.database import open_database
from schema.entries import Action, Resource
from schema.profiles import GroupFields, TenantFields, UserFields
from schema.refusals import NotThere, Refusal
from schema.roles import Role
from schema.values import Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by

SUPPORT = GroupFields(name="Support", language="fr", time_zone="Europe/Paris")


async def names(scope: Scope, **asked: str) -> list[str]:
    return [group.fields.name for group in (await groups.list_groups(scope, **asked)).items]  # type: ignore[arg-type]


async def test_a_group_is_kept_with_its_users_and_managers(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        made = await groups.create_group(COMMAND, SUPPORT)
        assert (made.fields, made.users, made.managers, made.tenant.name) == (SUPPORT, 0, (), "Default")
        await users.create_user(COMMAND, UserFields(login="amy", group_id=made.id))
        hidden = await users.create_user(COMMAND, UserFields(login="x", group_id=made.id, confidential=True))
        sam = await a_user("sam", Role.SUPERVISOR, name="Sam Reed", manages=["SUPPORT"])
        found = await groups.get_group(COMMAND.scope, made.id)
        assert found is not None
        assert (found.users, [one.name for one in found.managers]) == (2, ["Sam Reed"])
        seen = await groups.get_group(by(sam).scope, made.id)
        assert seen is not None
        assert seen.users == 1
        await users.disable_user(COMMAND, hidden.id)
        changed = await groups.update_group(COMMAND, made.id, GroupFields(name="support", language="ru"))
        assert changed.fields == GroupFields(name="support", language="ru")
        changed = await groups.set_group_language(COMMAND, made.id, "", "Asia/Tokyo")
        assert changed.fields == GroupFields(name="support", time_zone="Asia/Tokyo")


async def test_letter_case_makes_no_other_group_but_a_tenant_does(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
        made = await groups.create_group(COMMAND, GroupFields(name="Straße"))
        other = await groups.create_group(COMMAND, GroupFields(name="Sales"))
        for attempt in (
            groups.create_group(COMMAND, GroupFields(name=" STRASSE ")),
            groups.update_group(COMMAND, other.id, GroupFields(name="strasse")),
        ):
            with pytest.raises(Refusal, match="a group Straße in Default already"):
                await attempt
        assert (await groups.create_group(COMMAND, GroupFields(name="straße"), acme.id)).tenant.name == "Acme"
        assert await names(COMMAND.scope, text="strass") == ["Straße", "straße"]
        assert made.id != other.id


async def test_supervisors_see_their_groups_and_change_none(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        sam = await a_user("sam", Role.SUPERVISOR, group="Sales")
        support = await groups.create_group(COMMAND, SUPPORT)
        await groups.create_group(COMMAND, GroupFields(name="Hidden"))
        sam = await a_user("sue", Role.SUPERVISOR, group="Sales", manages=["Support"])
        anna = await a_user("anna", Role.ADMINISTRATOR)
        await a_user("eve", tenant="Acme", group="Elsewhere")
        assert await names(by(sam).scope) == ["Sales", "Support"]
        assert await names(by(anna).scope) == ["Hidden", "Sales", "Support"]
        assert await names(COMMAND.scope) == ["Elsewhere", "Hidden", "Sales", "Support"]
        for attempt in (
            groups.update_group(by(sam), support.id, GroupFields(name="Mine")),
            groups.set_group_language(by(sam), support.id, "ru", ""),
            groups.create_group(by(sam), GroupFields(name="New")),
            groups.delete_group(by(sam), support.id),
            groups.disable_group(by(sam), support.id),
        ):
            with pytest.raises(Refusal, match="rights"):
                await attempt
        assert (await groups.get_group(COMMAND.scope, support.id)) is not None


async def test_what_is_out_of_scope_is_not_there(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
        theirs = await groups.create_group(COMMAND, SUPPORT, acme.id)
        assert await groups.get_group(by(anna).scope, theirs.id) is None
        for attempt in (
            groups.create_group(by(anna), SUPPORT, acme.id),
            groups.update_group(by(anna), theirs.id, GroupFields(name="x")),
            groups.disable_group(by(anna), theirs.id),
            groups.enable_group(by(anna), theirs.id),
            groups.set_group_language(by(anna), theirs.id, "fr", ""),
            groups.delete_group(by(anna), theirs.id),
            groups.delete_group(by(anna), new_id()),
        ):
            with pytest.raises(NotThere):
                await attempt
        assert await groups.get_group(COMMAND.scope, theirs.id) == theirs


async def test_a_group_with_users_stays_and_one_that_goes_is_managed_by_nobody(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        made = await groups.create_group(COMMAND, SUPPORT)
        amy = await users.create_user(COMMAND, UserFields(login="amy", group_id=made.id))
        sam = await a_user("sam", Role.SUPERVISOR, manages=["Support"])
        with pytest.raises(Refusal, match="Support has users"):
            await groups.delete_group(COMMAND, made.id)
        await users.update_user(COMMAND, amy.id, UserFields(login="amy"))
        await groups.delete_group(COMMAND, made.id)
        assert await groups.get_group(COMMAND.scope, made.id) is None
        found = await users.get_user(COMMAND.scope, sam.id)
        assert found is not None
        assert found.manages == ()
        told = [(one.resource, one.action) for one in (await audit.list_entries(COMMAND.scope)).items[:2]]
        assert told == [(Resource.GROUPS, Action.DELETE), (Resource.MANAGEMENT, Action.DEASSIGN)]


async def test_a_disabled_group_is_in_another_list(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        made = await groups.create_group(COMMAND, SUPPORT)
        await groups.create_group(COMMAND, GroupFields(name="Sales"))
        disabled = await groups.disable_group(COMMAND, made.id)
        assert disabled.disabled_at is not None
        assert (await groups.disable_group(COMMAND, made.id)).disabled_at == disabled.disabled_at
        lists = [await names(COMMAND.scope, status=status) for status in ("active", "disabled", "all")]
        assert lists == [["Sales"], ["Support"], ["Sales", "Support"]]
        assert (await groups.enable_group(COMMAND, made.id)).disabled_at is None


async def test_pages_follow_each_other(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for name in ("b", "C", "a", "ä"):
            await groups.create_group(COMMAND, GroupFields(name=name))
        page = await groups.list_groups(COMMAND.scope, limit=2)
        found = [group.fields.name for group in page.items]
        page = await groups.list_groups(COMMAND.scope, limit=2, cursor=page.next)
        found += [group.fields.name for group in page.items]
        assert sorted(found) == sorted(["a", "b", "C", "ä"])
        assert page.next is None
        with pytest.raises(ValueError, match="Begin again"):
            await groups.list_groups(COMMAND.scope, cursor="x")


async def test_texts_that_cannot_be_meant_are_refused(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for fields, code in (
            (GroupFields(name=""), "text_needed"),
            (GroupFields(name="a\0"), "text_refused"),
            (GroupFields(name="a", language="xx"), "language_unknown"),
            (GroupFields(name="a", time_zone="Mars/Base"), "zone_unknown"),
        ):
            with pytest.raises(Refusal) as refused:
                await groups.create_group(COMMAND, fields)
            assert refused.value.code == code
        assert await names(COMMAND.scope) == []
