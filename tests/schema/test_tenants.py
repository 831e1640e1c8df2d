"""Tenants: their names, hosts, limits and looks, and who may change which."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schema import access, calls, clerk, people, platform, tenants, users
from schema.audit import list_entries
from schema.columns import new_id
from schema.database import open_database, reading, rows
from schema.profiles import PlatformFields, TenantFields, UserFields
from schema.refusals import NotThere, Refusal
from schema.roles import Reach, Role
from schema.values import DEFAULT_TENANT, Offset, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_full_call, a_user, by

ACME = TenantFields(
    name="Acme",
    hosts=("calls.acme.example", "xn--bcher-kva.example"),
    colour="#aabbcc",
    language="fr",
    time_zone="Europe/Paris",
    max_users=10,
    max_storage_mb=1000,
    max_calls=5,
)
PNG = b"\x89PNG\r\n\x1a\n and the rest"


async def names(scope: Scope, **asked: str) -> list[str]:
    return [tenant.fields.name for tenant in (await tenants.list_tenants(scope, **asked)).items]  # type: ignore[arg-type]


async def test_all_fields_are_kept_and_changed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        written = replace(
            ACME, hosts=("Calls.ACME.example.", "bücher.example", "calls.acme.example"), colour=" #AABBCC"
        )
        made = await tenants.create_tenant(COMMAND, written)
        assert made.fields == ACME
        assert (made.users, made.stored_bytes, made.has_logo, made.disabled_at) == (0, 0, False, None)
        plain = TenantFields(name="Acme Ltd")
        assert (await tenants.update_tenant(COMMAND, made.id, plain)).fields == plain
        found = await tenants.get_tenant(COMMAND.scope, made.id)
        assert found is not None
        assert (found.fields, found.inherited_language.source) == (plain, "default")
        await platform.set_platform_language(COMMAND, "es", "")
        found = await tenants.get_tenant(COMMAND.scope, made.id)
        assert found is not None
        assert (found.inherited_language.value, found.inherited_language.source) == ("es", "platform")


async def test_what_cannot_be_meant_is_refused(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await tenants.create_tenant(COMMAND, ACME)
        for given, code, field in (
            ({"name": " "}, "text_needed", "name"),
            ({"name": "a/b"}, "tenant_slash", "name"),
            ({"name": "ACME"}, "tenant_taken", "name"),
            ({"hosts": ("calls.acme.example",)}, "host_taken", "hosts"),
            ({"hosts": ("https://x",)}, "host_refused", "hosts"),
            ({"hosts": ("a..b",)}, "host_refused", "hosts"),
            ({"hosts": ("-a.example",)}, "host_refused", "hosts"),
            ({"hosts": ("ü" * 80,)}, "host_refused", "hosts"),
            ({"colour": "red"}, "colour_refused", "colour"),
            ({"language": "xx"}, "language_unknown", "language"),
            ({"time_zone": "Mars/Base"}, "zone_unknown", "time_zone"),
            ({"max_users": 0}, "limit_refused", "max_users"),
            ({"max_storage_mb": -1}, "limit_refused", "max_storage_mb"),
            ({"max_calls": 1 << 31}, "limit_refused", "max_calls"),
        ):
            with pytest.raises(Refusal) as refused:
                await tenants.create_tenant(COMMAND, replace(TenantFields(name="New"), **given))
            assert (refused.value.code, refused.value.field) == (code, field)
        assert await names(COMMAND.scope) == ["Acme", "Default"]


async def test_a_host_name_leads_to_its_tenant(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, ACME)
        for host in ("calls.acme.example", "CALLS.acme.example.", "calls.acme.example:8443", "bücher.example"):
            found = await tenants.tenant_of_host(host)
            assert found is not None
            assert (found.id, found.name) == (acme.id, "Acme")
        for host in ("acme.example", "calls", "%", "_alls.acme.example", '"', "", "[::1]:443", "a\0b"):
            assert await tenants.tenant_of_host(host) is None
        await tenants.update_tenant(COMMAND, acme.id, replace(ACME, hosts=()))
        assert await tenants.tenant_of_host("calls.acme.example") is None


async def test_the_doorway_shows_the_tenant_of_the_host_and_the_platform_everywhere(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        acme = await tenants.create_tenant(COMMAND, ACME)
        sisters = (("Statistics", "https://stats.example"),)
        await platform.set_platform(
            COMMAND, PlatformFields(support_contact="Call 123", sister_platforms=sisters, language="ru")
        )
        door = await tenants.doorway("calls.acme.example")
        assert door.tenant is not None
        assert (door.tenant.name, door.colour, door.has_logo, door.language) == ("Acme", "#aabbcc", False, "fr")
        assert (door.support_contact, door.sister_platforms) == ("Call 123", sisters)
        stranger = await tenants.doorway("other.example")
        assert (stranger.tenant, stranger.colour, stranger.language) == (None, "", "ru")
        assert stranger.sister_platforms == sisters
        await tenants.set_logo(COMMAND, acme.id, PNG, "image/png")
        assert (await tenants.doorway("calls.acme.example")).has_logo


async def test_only_operators_make_and_change_tenants(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR, tenant="Acme")
        for attempt in (
            tenants.create_tenant(by(anna), TenantFields(name="Mine")),
            tenants.update_tenant(by(anna), anna.tenant_id, TenantFields(name="Mine")),
            tenants.disable_tenant(by(anna), anna.tenant_id),
            tenants.enable_tenant(by(anna), anna.tenant_id),
        ):
            with pytest.raises(NotThere):
                await attempt
        assert await names(COMMAND.scope) == ["Acme", "Default"]
        assert await names(by(anna).scope) == ["Acme"]
        assert await tenants.get_tenant(by(anna).scope, DEFAULT_TENANT) is None
        # An operator who looks at one tenant is an operator still.
        boss = await a_user("boss", Role.OPERATOR)
        within = replace(by(boss), scope=replace(by(boss).scope, reach=Reach.TENANT))
        assert (
            await tenants.update_tenant(within, anna.tenant_id, TenantFields(name="Acme 2"))
        ).fields.name == "Acme 2"
        with pytest.raises(NotThere):
            await tenants.update_tenant(COMMAND, new_id(), ACME)


async def test_a_disabled_tenant_lets_nobody_in_and_puts_everybody_out(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        eve, amy = await a_user("eve", tenant="Acme"), await a_user("amy")
        soon = datetime.now(UTC) + timedelta(hours=1)
        for who in (eve, amy):
            await access.open_session(by(who), who.login.encode(), soon, "")
        disabled = await tenants.disable_tenant(COMMAND, eve.tenant_id)
        assert disabled.disabled_at is not None
        found = await people.account(eve.id)
        assert found is not None
        assert not found.may_sign_in
        assert (await tenants.disable_tenant(COMMAND, eve.tenant_id)).disabled_at == disabled.disabled_at
        await tenants.enable_tenant(COMMAND, eve.tenant_id)
        found = await people.account(eve.id)
        assert found is not None
        assert found.may_sign_in
        assert [await access.session(name) is not None for name in (b"eve", b"amy")] == [False, True]


async def test_the_default_tenant_and_ones_own_stay(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        boss = await a_user("boss", Role.OPERATOR, tenant="Acme")
        for tenant_id, code in ((DEFAULT_TENANT, "tenant_needed"), (boss.tenant_id, "yourself")):
            with pytest.raises(Refusal) as refused:
                await tenants.disable_tenant(by(boss), tenant_id)
            assert refused.value.code == code


async def test_administrators_set_how_their_own_looks_and_speaks(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna, sam = await a_user("anna", Role.ADMINISTRATOR), await a_user("sam", Role.SUPERVISOR)
        eve = await a_user("eve", tenant="Acme")
        await tenants.set_appearance(by(anna), anna.tenant_id, "Home", "#112233")
        await tenants.set_tenant_language(by(anna), anna.tenant_id, "fr", "Europe/Paris")
        await tenants.set_logo(by(anna), anna.tenant_id, PNG, "image/png")
        found = await tenants.get_tenant(by(anna).scope, anna.tenant_id)
        assert found is not None
        assert found.fields == TenantFields(name="Home", colour="#112233", language="fr", time_zone="Europe/Paris")
        assert await tenants.logo(anna.tenant_id) == (PNG, "image/png")
        told = (await list_entries(COMMAND.scope)).items[0]
        assert PNG.decode("latin-1") not in str(told)
        assert "logo" in told.fields
        await tenants.set_logo(by(anna), anna.tenant_id, None)
        assert await tenants.logo(anna.tenant_id) is None
        for who, tenant_id, error in ((anna, eve.tenant_id, NotThere), (sam, sam.tenant_id, Refusal)):
            for attempt in (
                tenants.set_appearance(by(who), tenant_id, "Stolen", ""),
                tenants.set_tenant_language(by(who), tenant_id, "ru", ""),
                tenants.set_logo(by(who), tenant_id, None),
            ):
                with pytest.raises(error):
                    await attempt
        assert await names(COMMAND.scope) == ["Acme", "Home"]


@pytest.mark.parametrize(
    ("picture", "media_type"),
    [
        (b"<svg/>", "image/svg+xml"),
        (b"GIF89a", "image/png"),
        (PNG, "image/jpeg"),
        (PNG, ""),
        (PNG + bytes(256 * 1024), "image/png"),
    ],
)
async def test_a_logo_is_a_picture_that_is_not_too_large(database_url: str, picture: bytes, media_type: str) -> None:
    async with open_database(database_url, key=KEY):
        with pytest.raises(Refusal, match="at most 256 kB"):
            await tenants.set_logo(COMMAND, DEFAULT_TENANT, picture, media_type)
        assert await tenants.logo(DEFAULT_TENANT) is None


async def test_a_tenant_tells_how_much_of_its_limits_is_used(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        eve = await a_user("eve", tenant="Acme")
        gone = await users.create_user(COMMAND, UserFields(login="gone"), tenant_id=eve.tenant_id)
        await users.disable_user(COMMAND, gone.id)
        for _ in range(2):
            await clerk.finish(a_full_call(tenant_id=eve.tenant_id))
        await clerk.finish(a_full_call())
        await clerk.apply("one", Offset(), [], [])
        found = await tenants.get_tenant(COMMAND.scope, eve.tenant_id)
        assert found is not None
        assert (found.users, found.stored_bytes) == (1, 2 * 123456)
        listed = {one.fields.name: one.stored_bytes for one in (await tenants.list_tenants(COMMAND.scope)).items}
        assert listed == {"Acme": 2 * 123456, "Default": 123456}
        everything = Scope(eve.tenant_id, eve.id, Reach.TENANT)
        assert await calls.count_calls(everything, silent_nodes=()) == 2


async def test_tenants_are_listed_page_by_page_and_searched(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for name in ("b", "C", "a"):
            await tenants.create_tenant(COMMAND, TenantFields(name=name, hosts=(f"{name}.calls.example",)))
        page = await tenants.list_tenants(COMMAND.scope, limit=3)
        rest = await tenants.list_tenants(COMMAND.scope, limit=3, cursor=page.next)
        assert [one.fields.name for one in (*page.items, *rest.items)] == ["a", "b", "C", "Default"]
        assert await names(COMMAND.scope, text="c.CALLS") == ["C"]
        assert await names(COMMAND.scope, text="DEF") == ["Default"]
        await tenants.disable_tenant(COMMAND, page.items[0].id)
        assert await names(COMMAND.scope, status="disabled") == ["a"]
        assert await names(COMMAND.scope) == ["b", "C", "Default"]
        with pytest.raises(ValueError, match="Begin again"):
            await tenants.list_tenants(COMMAND.scope, cursor="x")


async def test_what_is_stored_is_summed_without_reading_recordings(tmp_path: Path) -> None:
    """SQLite says how it will find it; PostgreSQL would read a table as small as a test's from end to end."""

    @reading
    async def plan() -> list[str]:
        query = "SELECT tenant_id, sum(bytes) AS sum FROM recording WHERE tenant_id IN ($1, $2) GROUP BY tenant_id"
        return [row["detail"] for row in await rows(f"EXPLAIN QUERY PLAN {query}", DEFAULT_TENANT, new_id())]

    async with open_database(f"sqlite:///{tmp_path / 'earshot.sqlite'}", migrate=True, key=KEY):
        assert [step for step in await plan() if "recording" in step] == [
            "SEARCH recording USING COVERING INDEX recording_bytes (tenant_id=?)"
        ]
