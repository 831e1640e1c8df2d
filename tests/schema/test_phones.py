"""Phones: whose they are, and whose calls come over them."""

from dataclasses import replace

import pytest

from schema import audit, importing, people, phones, roles_kept, users
from schema.clerk import users_of_lines
from schema.columns import new_id
from schema.database import open_database
from schema.entries import Action, Resource
from schema.profiles import PhoneFields, RoleFields, UserFields
from schema.refusals import NotThere, Refusal
from schema.roles import Grant, Permission, Reach, Role
from schema.values import Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by


async def lines(scope: Scope, **asked: str) -> list[str]:
    return [phone.fields.line for phone in (await phones.list_phones(scope, **asked)).items]  # type: ignore[arg-type]


async def test_a_phone_is_kept_moved_and_deleted(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy"), await a_user("bob")
        made = await phones.create_phone(COMMAND, PhoneFields(line=" 200 ", user_id=amy.id, name="Desk"))
        assert made.fields == PhoneFields(line="200", user_id=amy.id, name="Desk")
        assert (made.user.name, made.tenant.name) == ("Amy", "Default")
        moved = await phones.update_phone(COMMAND, made.id, PhoneFields(line="201", user_id=bob.id))
        assert moved.fields == PhoneFields(line="201", user_id=bob.id)
        assert await users_of_lines(["200", "201"]) == {"201": (bob.tenant_id, bob.id)}
        await phones.delete_phone(COMMAND, made.id)
        assert await phones.get_phone(COMMAND.scope, made.id) is None
        found = [one for one in (await audit.list_entries(COMMAND.scope)).items if one.resource is Resource.PHONES]
        assert [one.action for one in found] == [Action.DELETE, Action.UPDATE, Action.CREATE]
        assert found[1].fields["account_id"] == (f"Amy ({amy.id})", f"Bob ({bob.id})")


async def test_new_calls_of_a_disabled_phone_are_nobodys(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", phones=["200"])
        phone = (await phones.list_phones(COMMAND.scope)).items[0]
        disabled = await phones.disable_phone(COMMAND, phone.id)
        assert disabled.disabled_at is not None
        assert (await phones.disable_phone(COMMAND, phone.id)).disabled_at == disabled.disabled_at
        assert await users_of_lines(["200"]) == {}
        # What two tenants have is the other one's as long as it is disabled here.
        eve = await a_user("eve", tenant="Acme", phones=["200"])
        assert await users_of_lines(["200"]) == {"200": (eve.tenant_id, eve.id)}
        await phones.enable_phone(COMMAND, phone.id)
        assert await users_of_lines(["200"]) == {}
        found = await users.get_user(COMMAND.scope, amy.id)
        assert found is not None
        assert found.phones[0].disabled_at is None


async def test_a_line_is_there_once_in_a_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", phones=["200", "201"])
        eve = await a_user("eve", tenant="Acme")
        with pytest.raises(Refusal, match="a phone 200 in Default already"):
            await phones.create_phone(COMMAND, PhoneFields(line="200", user_id=amy.id))
        second = (await phones.list_phones(COMMAND.scope, text="201")).items[0]
        with pytest.raises(Refusal, match="a phone 200 in Default already"):
            await phones.update_phone(COMMAND, second.id, replace(second.fields, line="200"))
        theirs = await phones.create_phone(COMMAND, PhoneFields(line="200", user_id=eve.id), eve.tenant_id)
        assert theirs.tenant.name == "Acme"
        for line, code in (("", "text_needed"), ("a\0", "text_refused")):
            with pytest.raises(Refusal) as refused:
                await phones.create_phone(COMMAND, PhoneFields(line=line, user_id=amy.id))
            assert refused.value.code == code


async def test_a_phone_is_given_to_those_of_its_tenant_whom_one_sees(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        eve = await a_user("eve", tenant="Acme", phones=["1"])
        for user_id in (eve.id, new_id()):
            with pytest.raises(Refusal) as refused:
                await phones.create_phone(by(anna), PhoneFields(line="200", user_id=user_id))
            assert (refused.value.code, refused.value.field) == ("user_unknown", "user_id")
        theirs = (await phones.list_phones(COMMAND.scope)).items[0]
        assert await phones.get_phone(by(anna).scope, theirs.id) is None
        for attempt in (
            phones.create_phone(by(anna), PhoneFields(line="2", user_id=eve.id), eve.tenant_id),
            phones.update_phone(by(anna), theirs.id, PhoneFields(line="2", user_id=anna.id)),
            phones.disable_phone(by(anna), theirs.id),
            phones.enable_phone(by(anna), theirs.id),
            phones.delete_phone(by(anna), theirs.id),
        ):
            with pytest.raises(NotThere):
                await attempt
        assert (await phones.list_phones(COMMAND.scope)).items == (theirs,)


async def test_lists_show_what_the_scope_reaches_and_the_search_finds(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy", name="Jörg", group="Support", phones=["300", "100"])
        await a_user("bob", phones=["200"])
        await users.create_user(
            COMMAND, UserFields(login="x", confidential=True, phones=("400",), group_id=await group_of(amy.id))
        )
        sam = await a_user("sam", Role.SUPERVISOR, manages=["Support"])
        await a_user("eve", tenant="Acme", phones=["150"])
        assert await lines(COMMAND.scope) == ["100", "150", "200", "300", "400"]
        assert await lines(by(sam).scope) == ["100", "300"]
        assert await lines(by(amy).scope, text="JÖRG") == ["100", "300"]
        desk = (await phones.list_phones(COMMAND.scope, text="200")).items[0]
        await phones.update_phone(COMMAND, desk.id, replace(desk.fields, name="Empfang Süd"))
        assert await lines(COMMAND.scope, text="SÜD") == ["200"]
        await phones.disable_phone(COMMAND, desk.id)
        found = [await lines(COMMAND.scope, text="süd", status=status) for status in ("active", "disabled", "all")]
        assert found == [[], ["200"], ["200"]]
        page = await phones.list_phones(COMMAND.scope, limit=3)
        rest = await phones.list_phones(COMMAND.scope, limit=3, cursor=page.next)
        assert [phone.fields.line for phone in (*page.items, *rest.items)] == ["100", "150", "300", "400"]
        with pytest.raises(ValueError, match="Begin again"):
            await phones.list_phones(COMMAND.scope, cursor="x")


async def test_a_line_that_is_nobodys_whom_one_manages_is_assigned_by_administrators(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy", group="Support", phones=["1"]), await a_user("bob", group="Support")
        await a_user("out", phones=["2"])
        lead = RoleFields(name="Lead", grant=Grant(Reach.MANAGED, frozenset(Permission)))
        kept = await roles_kept.copy_role(COMMAND, Role.SUPERVISOR, lead)
        made = await a_user("lead", Role.SUPERVISOR, manages=["Support"])
        found = await users.get_user(COMMAND.scope, made.id)
        assert found is not None
        await users.update_user(COMMAND, made.id, replace(found.fields, role=kept.id))
        account = await people.account(made.id)
        assert account is not None
        leading = by(account)
        own = (await phones.list_phones(leading.scope)).items[0]
        managed = await users.get_user(leading.scope, amy.id)
        assert managed is not None
        for line in ("2", "9999"):
            for attempt in (
                phones.create_phone(leading, PhoneFields(line=line, user_id=bob.id)),
                phones.update_phone(leading, own.id, replace(own.fields, line=line)),
                users.update_user(leading, amy.id, replace(managed.fields, phones=("1", line))),
            ):
                with pytest.raises(Refusal) as refused:
                    await attempt
                assert refused.value.code == "line_beyond_you"
            for kind, cells in (("phones", {"line": line, "user": "bob"}), ("users", {"login": "bob", "phones": line})):
                (planned,) = (await importing.plan(leading, kind, [cells])).lines  # type: ignore[arg-type]
                assert planned.refusal is not None
                assert planned.refusal.code == "line_beyond_you"
        handed = [{"login": "amy", "phones": ""}, {"login": "bob", "phones": "1"}]
        assert (await importing.apply(leading, "users", handed)).possible
        moved = await phones.update_phone(leading, (await phones.list_phones(leading.scope)).items[0].id, own.fields)
        assert (moved.fields.line, moved.user.name) == ("1", "Amy")


async def group_of(user_id: object) -> object:
    found = await users.get_user(COMMAND.scope, user_id)  # type: ignore[arg-type]
    assert found is not None
    return found.fields.group_id
