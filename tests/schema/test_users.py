"""Users: making them, changing them, taking their access away, and what nobody may do to whom."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import trio

from schema import access, audit, people, roles_kept, tenants, users
from schema.audit import Filters
from schema.columns import new_id
from schema.database import open_database
from schema.entries import Action, Entry, Resource
from schema.groups import create_group, disable_group
from schema.profiles import GroupFields, RecordingMode, RoleFields, TenantFields, UserFields
from schema.refusals import NotThere, Refusal
from schema.roles import Grant, Permission, Reach, Role
from schema.values import DEFAULT_TENANT
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by

HASH = "$argon2id$"
EVERYTHING_OF_A_USER = UserFields(
    login="müller",
    name="Jörg Müller",
    email="joerg@example.com",
    role=Role.SUPERVISOR,
    authentication="oidc",
    external_id="0042",
    broadworks_user_id="jm@bw",
    broadworks_group_id="bw-group",
    broadworks_sp_id="bw-sp",
    may_sign_in=True,
    must_change_password=True,
    confidential=True,
    recording_mode=RecordingMode.ON_DEMAND,
    language="pt_BR",
    time_zone="Europe/Berlin",
    phones=("200", "sip:jm@example.com"),
)


async def entries(about: UUID) -> list[Entry]:
    """What the trail tells of something, the oldest first."""
    found = await audit.list_entries(COMMAND.scope, Filters(about_id=about))
    return list(reversed(found.items))


async def signed_in(user_id: UUID, session: bytes) -> None:
    account = await people.account(user_id)
    assert account is not None
    await access.open_session(by(account), session, soon(), "")


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


async def test_all_fields_are_kept_and_changed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        support = await create_group(COMMAND, GroupFields(name="Support", language="fr"))
        bob = await a_user("bob")
        fields = replace(
            EVERYTHING_OF_A_USER, group_id=support.id, manages_groups=(support.id,), manages_users=(bob.id,)
        )
        made = await users.create_user(COMMAND, fields, password_hash=HASH)
        assert made.fields == fields
        assert (made.group and made.group.name, made.role_name, made.has_password) == ("Support", "", True)
        assert [one.name for one in made.manages] == ["Support", "Bob"]
        assert made.managed_logins == ("bob",)
        assert [phone.fields.line for phone in made.phones] == list(fields.phones)
        assert (made.inherited_language.value, made.inherited_language.name) == ("fr", "Support")
        account = await people.account(made.id)
        assert account is not None
        assert account.password_hash == HASH
        emptied = UserFields(login="mueller")
        changed = await users.update_user(COMMAND, made.id, emptied)
        assert changed.fields == emptied
        assert await users.get_user(COMMAND.scope, made.id) == changed
        assert (await people.accounts_by_login("MUELLER"))[0].id == made.id


async def test_texts_are_trimmed_and_what_cannot_be_meant_is_refused(database_url: str) -> None:
    wrong = [
        ({"login": " "}, "text_needed", "login"),
        ({"login": "a/b"}, "login_slash", "login"),
        ({"name": "a\nb"}, "text_refused", "name"),
        ({"name": "x" * 255}, "text_refused", "name"),
        ({"email": "amy"}, "email_refused", "email"),
        ({"group_id": new_id()}, "group_unknown", "group_id"),
        ({"role": new_id()}, "role_unknown", "role"),
        ({"authentication": "magic"}, "authentication_unknown", "authentication"),
        ({"recording_mode": "sometimes"}, "mode_unknown", "recording_mode"),
        ({"language": "xx"}, "language_unknown", "language"),
        ({"time_zone": "Mars/Base"}, "zone_unknown", "time_zone"),
        ({"phones": ("\0",)}, "text_refused", "phones"),
        ({"manages_users": (new_id(),), "role": Role.SUPERVISOR}, "user_unknown", "manages_users"),
        ({"manages_groups": (new_id(),), "role": Role.SUPERVISOR}, "group_unknown", "manages_groups"),
        ({"manages_users": (new_id(),)}, "manages_nobody", "manages_users"),
    ]
    async with open_database(database_url, key=KEY):
        for given, code, field in wrong:
            with pytest.raises(Refusal) as refused:
                await users.create_user(COMMAND, replace(UserFields(login="amy"), **given))
            assert (refused.value.code, refused.value.field) == (code, field)
        assert await users.count_users(COMMAND.scope) == 0
        made = await users.create_user(COMMAND, UserFields(login=" amy ", name=" Amy ", phones=(" 1 ", "1")))
        assert made.fields == UserFields(login="amy", name="Amy", phones=("1",))


async def test_a_login_and_a_phone_are_one_users_in_each_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme"))
        amy = await users.create_user(COMMAND, UserFields(login="Ämy", phones=("1",)))
        for fields, code in (
            (UserFields(login="äMY"), "login_taken"),
            (UserFields(login="A\u0308\uff2d\uff39"), "login_taken"),  # written otherwise, it looks the same
            (UserFields(login="amy\uff0fx"), "login_slash"),
            (UserFields(login="b", phones=("1",)), "phone_taken"),
        ):
            with pytest.raises(Refusal) as refused:
                await users.create_user(COMMAND, fields)
            assert refused.value.code == code
        there = await users.create_user(COMMAND, UserFields(login="ämy", phones=("1",)), tenant_id=acme.id)
        assert there.tenant.name == "Acme"
        renamed = await users.update_user(COMMAND, amy.id, replace(amy.fields, login="ÄMY"))
        assert (renamed.fields.login, renamed.fields.phones) == ("ÄMY", ("1",))


async def test_of_many_who_choose_the_same_login_at_once_one_has_it(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        outcomes: list[str] = []

        async def make(login: str) -> None:
            try:
                await users.create_user(COMMAND, UserFields(login=login))
                outcomes.append("made")
            except Refusal as refused:
                outcomes.append(refused.code)

        async with trio.open_nursery() as nursery:
            for login in ("amy", "AMY", "Amy", "aMY"):
                nursery.start_soon(make, login)
        assert sorted(outcomes) == ["login_taken"] * 3 + ["made"]


async def test_a_change_is_one_transaction_with_an_entry_for_each_thing(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        support = await create_group(COMMAND, GroupFields(name="Support"))
        anna = await a_user("anna", Role.ADMINISTRATOR)
        sam = await users.create_user(
            by(anna), UserFields(login="sam", name="Sam Reed", role=Role.SUPERVISOR, phones=("1",))
        )
        with pytest.raises(Refusal):
            await users.update_user(by(anna), sam.id, replace(sam.fields, name="Other", phones=(), email="none"))
        assert len(await entries(sam.id)) == 2
        await users.update_user(
            by(anna), sam.id, replace(sam.fields, name="Sam", phones=("2",), manages_groups=(support.id,))
        )
        found = [(one.resource, one.action, one.about.name) for one in (await entries(sam.id))[2:]]
        assert found == [
            (Resource.PHONES, Action.DELETE, "1"),
            (Resource.USERS, Action.UPDATE, "Sam"),
            (Resource.PHONES, Action.CREATE, "2"),
            (Resource.MANAGEMENT, Action.ASSIGN, "Support"),
        ]
        update, assign = (await entries(sam.id))[3], (await entries(sam.id))[5]
        assert update.fields == {"name": ("Sam Reed", "Sam")}
        assert (update.initiator_id, update.initiator_login) == (anna.id, "anna")
        assert assign.details == {"manager": "Sam", "managed": "Support"}
        await users.update_user(by(anna), sam.id, replace(sam.fields, name="Sam", phones=("2",)))
        last = (await entries(sam.id))[-1]
        assert (last.action, last.details) == (Action.DEASSIGN, {"manager": "Sam", "managed": "Support"})
        before = len(await entries(sam.id))
        await users.update_user(by(anna), sam.id, replace(sam.fields, name="Sam", phones=("2",)))
        assert len(await entries(sam.id)) == before  # nothing was changed


async def test_what_somebody_else_changed_meanwhile_is_not_undone(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await users.create_user(COMMAND, UserFields(login="amy"))
        await users.update_user(COMMAND, amy.id, replace(amy.fields, name="Amy"), was=amy.fields)
        with pytest.raises(Refusal, match="Somebody else"):
            await users.update_user(COMMAND, amy.id, replace(amy.fields, email="a@b.example"), was=amy.fields)
        found = await users.get_user(COMMAND.scope, amy.id)
        assert found is not None
        assert found.fields == replace(amy.fields, name="Amy")


async def test_web_access_that_is_taken_away_ends_sessions_and_links_at_once(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        given = UserFields(login="amy", may_sign_in=True)
        amy = await users.create_user(COMMAND, given, password_hash=HASH)
        bob = await a_user("bob")
        await signed_in(amy.id, b"amy")
        await signed_in(bob.id, b"bob")
        await access.make_link(COMMAND, amy.id, b"link", invitation=False, expires_at=soon())
        for owner, token in ((amy.id, b"program"), (bob.id, b"other")):
            await access.add_token(COMMAND, owner, token, "Program")
        await users.update_user(COMMAND, amy.id, replace(given, may_sign_in=False))
        # Given back, it does not bring back what was ended.
        await users.update_user(COMMAND, amy.id, given)
        assert await access.account_of_token(b"program") is None
        assert await access.account_of_token(b"other") is not None
        found = (await audit.list_entries(COMMAND.scope)).items
        assert [one.action for one in found if one.resource is Resource.TOKENS] == [
            Action.DELETE,
            Action.CREATE,
            Action.CREATE,
        ]
        assert await access.session(b"amy") is None
        assert await access.link(b"link") is None
        assert await access.session(b"bob") is not None


async def test_a_disabled_user_is_kept_and_signs_in_no_more(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        await signed_in(amy.id, b"amy")
        await access.add_token(COMMAND, amy.id, b"program", "Program")
        disabled = await users.disable_user(COMMAND, amy.id)
        assert disabled.disabled_at is not None
        assert await access.session(b"amy") is None
        account = await people.account(amy.id)
        assert account is not None
        assert not account.may_sign_in
        assert await access.account_of_token(b"program") is None
        assert await users.count_users(COMMAND.scope) == 0
        assert (await users.disable_user(COMMAND, amy.id)).disabled_at == disabled.disabled_at
        assert (await users.enable_user(COMMAND, amy.id)).disabled_at is None
        assert await access.session(b"amy") is None
        assert await access.account_of_token(b"program") is not None
        assert [one.action for one in await entries(amy.id) if one.resource is Resource.USERS] == [
            Action.CREATE,
            Action.UPDATE,
            Action.UPDATE,
        ]


async def test_nobody_gives_or_takes_what_is_beyond_his_own_rights(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        boss = await a_user("boss", Role.OPERATOR)
        eve = await users.create_user(by(anna), UserFields(login="eve"))
        archiving = Grant(Reach.OWN, frozenset({Permission.MANAGE_ARCHIVING}))
        copy = await roles_kept.copy_role(COMMAND, Role.USER, RoleFields(name="Archivist", grant=archiving))
        for role in (Role.OPERATOR, copy.id):
            for attempt in (
                users.create_user(by(anna), UserFields(login="new", role=role)),
                users.update_user(by(anna), eve.id, replace(eve.fields, role=role)),
            ):
                with pytest.raises(Refusal) as refused:
                    await attempt
                assert (refused.value.code, refused.value.field) == ("beyond_you", "role")
        operator = await users.get_user(COMMAND.scope, boss.id)
        assert operator is not None
        for attempt in (
            users.update_user(by(anna), boss.id, replace(operator.fields, email="anna@example.com")),
            users.disable_user(by(anna), boss.id),
        ):
            with pytest.raises(Refusal) as refused:
                await attempt
            assert refused.value.code == "above_you"
        assert await users.get_user(COMMAND.scope, boss.id) == operator
        await users.disable_user(COMMAND, boss.id)
        with pytest.raises(Refusal, match="rights"):
            await users.enable_user(by(anna), boss.id)


async def test_nobody_makes_users_whom_he_would_not_see(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        blind = Grant(Reach.TENANT, frozenset(Permission) - {Permission.VIEW_CONFIDENTIAL})
        team_lead = Grant(Reach.MANAGED, frozenset(Permission))
        for grant, field in ((blind, "confidential"), (team_lead, "")):
            kept = await roles_kept.copy_role(COMMAND, Role.SUPERVISOR, RoleFields(name=f"Role {field}", grant=grant))
            who = await users.create_user(COMMAND, UserFields(login=f"who {field}", role=kept.id))
            account = await people.account(who.id)
            assert account is not None
            with pytest.raises(Refusal) as refused:
                await users.create_user(by(account), UserFields(login="new", confidential=True))
            assert (refused.value.code, refused.value.field) == ("beyond_you", field)


async def test_how_somebody_gets_in_is_for_who_has_the_whole_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        ulla = await users.create_user(COMMAND, UserFields(login="ulla", email="ulla@example.com"))
        grant = Grant(Reach.MANAGED, frozenset(Permission))
        kept = await roles_kept.copy_role(COMMAND, Role.SUPERVISOR, RoleFields(name="Lead", grant=grant))
        made = await users.create_user(COMMAND, UserFields(login="lead", role=kept.id, manages_users=(ulla.id,)))
        lead = await people.account(made.id)
        assert lead is not None
        for changes in (
            {"login": "lead2"},
            {"email": "lead@example.com"},
            {"authentication": "oidc"},
            {"external_id": "https://evil.example#1"},
            {"may_sign_in": True},
            {"must_change_password": True},
        ):
            with pytest.raises(Refusal) as refused:
                await users.update_user(by(lead), ulla.id, replace(ulla.fields, **changes))
            assert (refused.value.code, refused.value.field) == ("access_beyond_you", next(iter(changes)))
            assert await users.get_user(COMMAND.scope, ulla.id) == ulla
        renamed = await users.update_user(by(lead), ulla.id, replace(ulla.fields, name="Ulla"))
        assert renamed.fields.name == "Ulla"


async def test_administrators_do_not_lock_themselves_out(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        found = await users.get_user(by(anna).scope, anna.id)
        assert found is not None
        for change, field in (({"may_sign_in": False}, "may_sign_in"), ({"role": Role.USER}, "role")):
            with pytest.raises(Refusal) as refused:
                await users.update_user(by(anna), anna.id, replace(found.fields, **change))
            assert (refused.value.code, refused.value.field) == ("yourself", field)
        with pytest.raises(Refusal, match="take your own access away"):
            await users.disable_user(by(anna), anna.id)
        renamed = await users.update_user(by(anna), anna.id, replace(found.fields, name="Anna B"))
        assert renamed.fields.name == "Anna B"


async def test_the_limit_of_users_holds_at_making_and_enabling(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, TenantFields(name="Acme", max_users=1))
        amy = await users.create_user(COMMAND, UserFields(login="amy"), tenant_id=acme.id)
        for attempt in (
            users.create_user(COMMAND, UserFields(login="bob"), tenant_id=acme.id),
            users.add_user(COMMAND, "bob", role=Role.USER, tenant="acme", name="", password_hash="", may_sign_in=False),
        ):
            with pytest.raises(Refusal, match="Acme may have 1 users"):
                await attempt
        await users.disable_user(COMMAND, amy.id)
        await users.create_user(COMMAND, UserFields(login="bob"), tenant_id=acme.id)
        with pytest.raises(Refusal, match="Acme may have 1 users"):
            await users.enable_user(COMMAND, amy.id)
        await tenants.update_tenant(COMMAND, acme.id, replace(acme.fields, max_users=None))
        assert (await users.enable_user(COMMAND, amy.id)).disabled_at is None


async def test_a_disabled_group_takes_nobody_in_and_keeps_who_is_in_it(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        support = await create_group(COMMAND, GroupFields(name="Support"))
        amy = await users.create_user(COMMAND, UserFields(login="amy", group_id=support.id))
        await disable_group(COMMAND, support.id)
        assert (await users.update_user(COMMAND, amy.id, replace(amy.fields, name="Amy"))).group == amy.group
        with pytest.raises(Refusal, match="Support is disabled"):
            await users.create_user(COMMAND, UserFields(login="bob", group_id=support.id))


async def test_what_is_out_of_scope_is_not_there(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        eve = await a_user("eve", tenant="Acme")
        found = await users.get_user(COMMAND.scope, eve.id)
        assert found is not None
        for attempt in (
            users.update_user(by(anna), eve.id, replace(found.fields, name="x")),
            users.disable_user(by(anna), eve.id),
            users.enable_user(by(anna), eve.id),
            users.set_language(by(anna), eve.id, "fr", ""),
            users.create_user(by(anna), UserFields(login="new"), tenant_id=eve.tenant_id),
            users.create_user(COMMAND, UserFields(login="new"), tenant_id=new_id()),
        ):
            with pytest.raises(NotThere):
                await attempt
        assert await users.get_user(COMMAND.scope, eve.id) == found
        assert await users.get_user(by(anna).scope, eve.id) is None


async def test_language_is_set_by_oneself_by_supervisors_and_by_administrators(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, bob = await a_user("amy", group="Support"), await a_user("bob")
        sam = await a_user("sam", Role.SUPERVISOR, manages=["Support"])
        boss = await a_user("boss", Role.OPERATOR, tenant="Acme")
        for who, zone in ((amy, "Europe/Paris"), (sam, "Asia/Tokyo"), (boss, "UTC")):
            changed = await users.set_language(by(who), amy.id, "fr", zone)
            assert (changed.fields.language, changed.fields.time_zone) == ("fr", zone)
        for who in (sam, amy):
            with pytest.raises(NotThere):
                await users.set_language(by(who), bob.id, "fr", "")
        with pytest.raises(Refusal, match="no language"):
            await users.set_language(by(amy), amy.id, "tlh", "")
        # An operator who looks at another tenant still has his own.
        elsewhere = replace(by(boss), scope=replace(by(boss).scope, tenant_id=DEFAULT_TENANT, reach=Reach.TENANT))
        assert (await users.set_language(elsewhere, boss.id, "ru", "")).fields.language == "ru"


async def test_whom_one_does_not_see_one_does_not_unassign(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        secret = await users.create_user(COMMAND, UserFields(login="secret", confidential=True))
        amy = await a_user("amy")
        sam = await users.create_user(
            COMMAND, UserFields(login="sam", role=Role.SUPERVISOR, manages_users=(amy.id, secret.id))
        )
        blind = replace(COMMAND, scope=replace(COMMAND.scope, confidential=False))
        seen = await users.get_user(blind.scope, sam.id)
        assert seen is not None
        assert seen.fields.manages_users == (amy.id,)
        await users.update_user(blind, sam.id, replace(seen.fields, manages_users=()))
        left = await users.get_user(COMMAND.scope, sam.id)
        assert left is not None
        assert left.fields.manages_users == (secret.id,)
