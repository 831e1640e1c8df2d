"""Tenants, for operators: the list, what each uses of its limits, its form, and looking at one alone."""

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from quart_trio import QuartTrio

from portal.pages.tenants import Use
from schema import groups, tenants, users
from schema.profiles import Tenant, TenantFields
from schema.roles import Role
from schema.values import DEFAULT_TENANT, CallRecord
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

INDEX = "/administration/tenants"

Keep = Callable[..., Awaitable[CallRecord]]


@pytest.fixture
async def otto(app: QuartTrio) -> Desk:
    return await desk_of(app, "otto", Role.OPERATOR, name="Otto Lang")


async def made(name: str = "Flexus", **more: object) -> Tenant:
    return await tenants.create_tenant(COMMAND, TenantFields(name=name, **more))


async def kept(tenant: Tenant) -> TenantFields:
    found = await tenants.get_tenant(COMMAND.scope, tenant.id)
    assert found is not None
    return found.fields


def page_of(tenant: Tenant) -> str:
    return f"{INDEX}/{tenant.id}"


async def test_the_list_says_what_each_uses_of_its_limits(otto: Desk, keep: Keep, people: People) -> None:
    await made(hosts=("calls.flexus.example",), max_users=10, max_storage_mb=2000, max_calls=1)
    await keep(running=True)
    await keep()
    told = await otto.words(INDEX)
    assert "Default 4 183 kB 1 Active Enter" in told.replace("182.7", "183")
    assert "Flexus calls.flexus.example 0 of 10 0 bytes of 2 GB 0 of 1 Active Enter" in told


async def test_the_list_is_searched_by_name_and_host(otto: Desk) -> None:
    await made(hosts=("calls.flexus.example",))
    assert "Flexus" in await otto.words(f"{INDEX}?q=FLEX")
    assert "Flexus" in await otto.words(f"{INDEX}?q=calls.flexus")
    assert "No tenant is like this" in await otto.words(f"{INDEX}?q=nothing")


@pytest.mark.parametrize(
    ("used", "most", "state", "percent"),
    [(0, None, "", 0), (89, 100, "", 89), (90, 100, "near", 90), (100, 100, "over", 100), (250, 100, "over", 100)],
)
def test_a_limit_warns_from_ninety_percent_on(used: int, most: int | None, state: str, percent: int) -> None:
    use = Use(used, most, "", "")
    assert (use.state, use.percent) == (state, percent)


async def test_a_tenant_near_its_limits_says_so(otto: Desk, keep: Keep, people: People) -> None:
    await tenants.update_tenant(COMMAND, DEFAULT_TENANT, TenantFields(name="Default", max_users=4, max_calls=100))
    assert "4 of 4 Limit reached" in await otto.words(INDEX)
    told = await otto.words(f"{INDEX}/{DEFAULT_TENANT}")
    assert "Users Limit reached 4 of 4 Nobody can be added beyond this limit." in told
    assert "Storage 0 bytes No limit" in told
    assert "nothing is refused yet" in told


async def test_a_tenant_is_made_with_all_its_fields(otto: Desk) -> None:
    answer = await otto.fill(
        f"{INDEX}/new",
        name="Flexus",
        hosts="Calls.Flexus.example,\r\nrec.flexus.example\r\n",
        colour="#B3261E",
        language="fr",
        time_zone="Europe/Paris",
        max_users="25",
        max_storage_mb="3",
        storage_unit="TB",
        max_calls="12",
    )
    assert answer.status == 303
    found = await tenants.get_tenant(COMMAND.scope, UUID(answer.location.rpartition("/")[2]))
    assert found is not None
    assert found.fields == TenantFields(
        name="Flexus",
        hosts=("calls.flexus.example", "rec.flexus.example"),
        colour="#b3261e",
        language="fr",
        time_zone="Europe/Paris",
        max_users=25,
        max_storage_mb=3_000_000,
        max_calls=12,
    )
    told = await otto.words(answer.location)
    assert "Nobody is in this tenant, or all its users are disabled. Create an administrator" in told
    page = await otto.page(answer.location)
    assert f"/administration/users/new?tenant={found.id}&amp;role=administrator" in page


async def test_limits_are_none_unless_they_are_filled_in(otto: Desk) -> None:
    answer = await otto.fill(f"{INDEX}/new", name="Flexus")
    told = await otto.words(answer.location)
    assert told.count("No limit") == 3
    found = await tenants.get_tenant(COMMAND.scope, UUID(answer.location.rpartition("/")[2]))
    assert found is not None
    assert found.fields == TenantFields(name="Flexus")


@pytest.mark.parametrize(
    ("megabytes", "unit", "number"), [(1, "MB", "1"), (1500, "MB", "1500"), (2000, "GB", "2"), (3_000_000, "TB", "3")]
)
async def test_a_limit_of_storage_is_shown_in_its_largest_unit(
    otto: Desk, megabytes: int, unit: str, number: str
) -> None:
    tenant = await made(max_storage_mb=megabytes)
    form = await otto.form(f"{page_of(tenant)}/edit")
    assert (form["storage_unit"], form["max_storage_mb"]) == ([unit], [number])
    # Saved as it is, nothing changes.
    assert (await otto.fill(f"{page_of(tenant)}/edit")).status == 303
    assert (await kept(tenant)).max_storage_mb == megabytes


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": ""}, "Please fill in this field."),
        ({"name": "DEFAULT"}, "There is a tenant Default already."),
        ({"hosts": "no host name"}, None),
        ({"hosts": "-x-"}, "-x- is no host name."),
        ({"hosts": "calls.taken.example"}, "The host name calls.taken.example belongs to another tenant."),
        ({"colour": "red"}, "red is no colour. Write it as #rrggbb."),
        ({"max_users": "0"}, "This must be a whole number from 1 to 2147483647."),
        ({"max_calls": "many"}, "This must be a whole number from 1 to 2147483647."),
        ({"max_storage_mb": "99999", "storage_unit": "TB"}, "This must be a whole number from 1 to 2147."),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_kept(otto: Desk, given: dict[str, str], told: str | None) -> None:
    await made("Taken", hosts=("calls.taken.example",))
    answer = await otto.fill(f"{INDEX}/new", **{"name": "Flexus", "language": "ru", **given})
    if told is None:  # each word is a host name of its own
        assert answer.status == 303
        return
    assert answer.status == 422
    assert told in answer.words
    assert 'aria-invalid="true"' in answer.text
    assert '<option value="ru" selected>' in answer.text


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(otto: Desk) -> None:
    tenant = await made()
    address = f"{page_of(tenant)}/edit"
    opened = await otto.form(address)
    now = TenantFields(name="Flexus", max_users=5)
    await tenants.update_tenant(COMMAND, tenant.id, now)
    answer = await otto.send(address, opened, max_storage_mb="1")
    assert answer.status == 409
    assert "Users 5 Unlimited" in answer.words
    assert "Storage Unlimited 1 GB" in answer.words
    assert await kept(tenant) == now


async def test_disabling_a_tenant_ends_its_sessions_at_once(app: QuartTrio, otto: Desk) -> None:
    eve = await add_account("eve", tenant="Flexus")
    desk = await signed_in(app, "Flexus/eve")
    assert (await desk.get("/calls")).status == 200
    page = f"{INDEX}/{eve.tenant_id}"
    assert "Everybody of it is signed out at once" in await otto.page(page)
    assert (await otto.press(f"{page}/disable")).location == page
    assert (await desk.get("/calls")).status == 303
    assert "This tenant is disabled: nobody of it can sign in." in await otto.words(page)
    await otto.press(f"{page}/enable")
    await signed_in(app, "Flexus/eve")


async def test_the_tenant_that_is_needed_stays(otto: Desk) -> None:
    page = f"{INDEX}/{DEFAULT_TENANT}"
    assert (await otto.press(f"{page}/disable")).location == page
    assert "The default tenant stays" in await otto.words(page)
    assert "Status Active" in await otto.words(page)


async def test_what_is_not_there_is_not_found(otto: Desk) -> None:
    there = f"{INDEX}/{uuid4()}"
    assert (await otto.get(there)).status == 404
    for deed in ("edit", "disable", "enable"):
        assert (await otto.press(f"{there}/{deed}", name="x")).status == 404
    assert (await otto.press("/tenant", tenant=str(uuid4()))).status == 404
    assert (await otto.press("/tenant", tenant="x")).status == 404


async def test_an_operator_looks_at_one_tenant_and_at_all_again(otto: Desk, people: People) -> None:
    eve = await add_account("eve", tenant="Flexus")
    assert "Support Default" in await otto.words("/administration/groups")
    assert (await otto.press("/tenant", tenant=str(eve.tenant_id))).location == "/"
    alone = await otto.words("/administration/groups")
    assert "You look at Flexus alone now." in alone
    assert "Support" not in alone
    # The pages of the platform are those of all tenants all the same.
    assert "Default" in await otto.words(INDEX)
    assert "Enter it first" not in await otto.words(f"{INDEX}/{eve.tenant_id}")
    await otto.press("/tenant", tenant="")
    assert "Support Default" in await otto.words("/administration/groups")


async def test_a_form_changes_nothing_in_a_tenant_it_was_not_opened_for(otto: Desk, people: People) -> None:
    acme, globex = await made("Acme"), await made("Globex")
    await otto.press("/tenant", tenant=str(acme.id))
    form = await otto.form("/administration/users/new")
    await otto.press("/tenant", tenant=str(globex.id))
    for path, name in (("/administration/users/new", "login"), ("/administration/groups/new", "name")):
        refused = await otto.send(path, form, **{name: "astray"})
        assert refused.status == 409
        assert "another tenant than the one that you look at now" in refused.words
    everybody = await users.list_users(COMMAND.scope, text="astray")
    assert everybody.items == ()
    assert (await groups.list_groups(COMMAND.scope, text="astray")).items == ()
    # What is his own, and what is the platform's, is the same whichever he looks at; and so is the way back.
    own = await otto.press("/language", looked_at=str(acme.id), language="fr", time_zone="")
    assert own.status == 303, own.words
    platforms = await otto.form(f"{page_of(acme)}/edit")
    await otto.press("/tenant", tenant="", looked_at=str(acme.id))
    assert (await otto.send("/administration/users/new", form, login="astray", first_access="none")).status == 409
    assert (await otto.send(f"{page_of(acme)}/edit", platforms, name="Acme 2")).status == 303
    await otto.press("/tenant", tenant=str(acme.id))
    sent = await otto.send("/administration/users/new", form, login="astray", first_access="none")
    assert sent.status == 303, sent.words
    (made_there,) = (await users.list_users(COMMAND.scope, text="astray")).items
    assert made_there.tenant.id == acme.id


async def test_who_has_one_tenant_is_asked_nothing_about_it(app: QuartTrio, otto: Desk, people: People) -> None:
    anna = await signed_in(app, "anna")
    assert "looked_at" not in await anna.form("/administration/groups/new")
    assert (await otto.form("/administration/groups/new"))["looked_at"] == ["all"]


async def test_only_operators_come_here(app: QuartTrio, people: People) -> None:
    anna = await signed_in(app, "anna")
    assert (await anna.get(INDEX)).status == 403
    assert (await anna.press("/tenant", tenant=str(DEFAULT_TENANT))).status == 403
    assert (await anna.fill("/administration/customization/appearance", name="Default")).status == 303
