"""Pages of identity providers: they are added, tested, changed and deleted, and their secrets are never shown."""

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest

from schema import providers, roles_kept, users
from schema.database import Database, reading, rows
from schema.profiles import RoleFields
from schema.roles import Grant, Permission, Reach, Role
from tests.people import COMMAND
from tests.portal.provider import CLIENT_ID, CLIENT_SECRET, Provider, provider
from tests.portal.visitor import Visitor, add_account

PATH = "/administration/sign-in"
FIELDS = {"name": "Acme", "client_id": CLIENT_ID, "login_claim": "preferred_username", "enabled": "on"}
OUT_THERE = {"issuer": "https://login.example.com"}


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


async def sign_in(visitor: Visitor, role: Role = Role.ADMINISTRATOR) -> None:
    await add_account("olga", role)
    await visitor.sign_in("olga")


async def send(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    answer = await visitor.post(path, {"csrf_token": await visitor.token(PATH), **fields})
    return answer.status_code, (await answer.get_data()).decode()


async def page(visitor: Visitor, path: str = PATH) -> str:
    answer = await visitor.get(path)
    assert answer.status_code == 200
    return (await answer.get_data()).decode()


async def only() -> providers.Provider:
    (found,) = await providers.list_providers(COMMAND.scope)
    return found


async def test_a_provider_is_added_changed_and_deleted(database: Database, visitor: Visitor) -> None:
    await sign_in(visitor)
    assert "No identity provider yet" in await page(visitor)
    assert (await send(visitor, f"{PATH}/new", **FIELDS, **OUT_THERE, client_secret=CLIENT_SECRET))[0] == 303
    made = await only()
    for path in (PATH, f"{PATH}/{made.id}"):
        shown = await page(visitor, path)
        assert "https://login.example.com" in shown
        assert CLIENT_SECRET not in shown
    changed = {**FIELDS, **OUT_THERE, "name": "Acme Berlin"}
    assert (await send(visitor, f"{PATH}/{made.id}", **changed))[0] == 303
    client = await providers.client_of(made.id)
    assert (client.name, client.client_secret) == ("Acme Berlin", CLIENT_SECRET)
    assert (await send(visitor, f"{PATH}/{made.id}", **changed, **{"no_secret": "on"}))[0] == 303
    assert not (await only()).has_secret
    del changed["enabled"]
    await send(visitor, f"{PATH}/{made.id}", **changed)
    assert not (await only()).fields.enabled
    assert (await send(visitor, f"{PATH}/{made.id}/delete"))[0] == 303
    assert await providers.list_providers(COMMAND.scope) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("issuer", "http://login.example.com"), ("issuer", ""), ("client_id", ""), ("login_claim", "x")],
)
async def test_what_is_wrong_is_told_at_its_field(database: Database, visitor: Visitor, field: str, value: str) -> None:
    await sign_in(visitor)
    status, shown = await send(visitor, f"{PATH}/new", **{**FIELDS, **OUT_THERE, field: value})
    assert status == 422
    assert f'id="error-{field}"' in shown
    assert await providers.list_providers(COMMAND.scope) == ()


async def test_another_issuer_wants_its_own_secret(database: Database, visitor: Visitor) -> None:
    await sign_in(visitor)
    await send(visitor, f"{PATH}/new", **FIELDS, **OUT_THERE, client_secret=CLIENT_SECRET)
    elsewhere = {**FIELDS, "issuer": "https://elsewhere.example"}
    status, shown = await send(visitor, f"{PATH}/{(await only()).id}", **elsewhere)
    assert status == 422
    assert 'id="error-client_secret"' in shown


async def test_a_test_tells_what_the_provider_says_of_itself(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await sign_in(visitor, Role.OPERATOR)
    tenant = {"tenant": str(COMMAND.scope.tenant_id)}
    assert (await send(visitor, f"{PATH}/new", **FIELDS, **tenant, issuer=idp.issuer))[0] == 303
    path = f"{PATH}/{(await only()).id}/test"
    status, shown = await send(visitor, path)
    assert status == 200
    assert f"{idp.issuer}/authorize" in shown
    assert "what it says of itself fits" in shown
    idp.document["issuer"] = f"{idp.issuer}/"
    status, shown = await send(visitor, path)
    assert "to the last slash" in shown
    assert f">{idp.issuer}/<" in shown
    idp.answers["/.well-known/openid-configuration"] = 404, b""
    assert "no OpenID Connect provider at this address" in (await send(visitor, path))[1]


async def test_the_address_to_come_back_to_is_shown(database: Database, visitor: Visitor) -> None:
    await sign_in(visitor)
    assert "http://localhost/sign-in/oidc/callback" in await page(visitor)


async def test_it_is_offered_on_the_sign_in_page(database: Database, visitor: Visitor) -> None:
    await providers.create_provider(
        COMMAND, providers.ProviderFields(name="Acme & Co", issuer=OUT_THERE["issuer"], client_id=CLIENT_ID)
    )
    shown = await page(visitor, "/sign-in?next=/calls")
    assert "Acme &amp; Co" in shown
    assert f"/sign-in/oidc/{(await only()).id}?next=/calls" in shown


async def test_no_secret_of_a_provider_stands_in_the_audit_trail(database: Database, visitor: Visitor) -> None:
    first, second = "first-secret-of-a-client", "second-secret-of-a-client"
    await sign_in(visitor)
    assert (await send(visitor, f"{PATH}/new", **FIELDS, **OUT_THERE, client_secret=first))[0] == 303
    path = f"{PATH}/{(await only()).id}"
    assert (await send(visitor, path, **FIELDS, **OUT_THERE, client_secret=second))[0] == 303
    assert (await send(visitor, f"{path}/delete"))[0] == 303
    kept = await trail()
    assert sum("login.example.com" in one for one in kept) >= 2  # made and deleted, with what is no secret
    for secret in (first, second):
        for form in (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode()):
            assert not any(form in one for one in kept)


@reading
async def trail() -> list[str]:
    """Each entry of the audit trail, all columns of it."""
    found = await rows("SELECT * FROM audit_entry")
    return [
        " ".join(one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in row.values()) for row in found
    ]


async def test_what_an_operator_added_an_administrator_only_looks_at(database: Database, visitor: Visitor) -> None:
    fields = providers.ProviderFields(name="Acme", issuer=OUT_THERE["issuer"], client_id=CLIENT_ID)
    made = await providers.create_provider(COMMAND, fields)
    await sign_in(visitor)
    shown = await page(visitor, f"{PATH}/{made.id}")
    assert "only an operator can change or delete it" in shown
    assert "/delete" not in shown
    assert ">Save<" not in shown
    status, shown = await send(visitor, f"{PATH}/{made.id}", **FIELDS, issuer="https://evil.example")
    assert (status, "only an operator can change or delete it" in shown) == (422, True)
    assert (await send(visitor, f"{PATH}/{made.id}/delete"))[0] == 303
    assert await only() == made


async def test_settings_alone_arrange_no_provider(database: Database, visitor: Visitor) -> None:
    grant = Grant(Reach.TENANT, frozenset({Permission.MANAGE_SETTINGS}))
    role = (await roles_kept.copy_role(COMMAND, Role.ADMINISTRATOR, RoleFields(name="Settings", grant=grant))).id
    account = await add_account("olga")
    found = await users.get_user(COMMAND.scope, account.id)
    await users.update_user(COMMAND, account.id, replace(found.fields, role=role))
    await visitor.sign_in("olga")
    assert (await visitor.get(PATH)).status_code == 403
    token = {"csrf_token": await visitor.token("/administration")}
    assert (await visitor.post(f"{PATH}/new", {**FIELDS, **OUT_THERE, **token})).status_code == 403
    assert await providers.list_providers(COMMAND.scope) == ()


async def test_a_test_does_not_look_at_the_inside_of_the_network_for_an_administrator(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await sign_in(visitor)
    inside = f"https://127.0.0.2:{idp.issuer.rpartition(':')[2]}"
    assert (await send(visitor, f"{PATH}/new", **FIELDS, issuer=inside))[0] == 303
    status, shown = await send(visitor, f"{PATH}/{(await only()).id}/test")
    assert (status, "is on the inside of this network" in shown) == (200, True)
    assert "does not answer" not in shown
