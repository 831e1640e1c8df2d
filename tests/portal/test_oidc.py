"""Signing in with an identity provider: who comes in, by which browser, as whose account. The provider is real."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from quart import Response
from quart_trio import QuartTrio

from portal import limits, oidc, openid
from portal.pages import providers as pages
from schema import providers, tenants, users
from schema.database import Database
from schema.entries import Action, Resource
from schema.profiles import Named, TenantFields
from schema.providers import LoginClaim
from schema.roles import READY_MADE, Role
from tests.people import COMMAND
from tests.portal.provider import CLIENT_ID, Provider, elliptic_key, provider
from tests.portal.visitor import Visitor, add_account
from tests.portal.vouching import anna, came_back, change, external_id, is_in, logins, registered, signed_in, told


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


# Coming in


@pytest.mark.parametrize("claim", list(LoginClaim))
async def test_whoever_the_provider_vouches_for_is_in(
    database: Database, visitor: Visitor, idp: Provider, claim: LoginClaim
) -> None:
    account = await anna()
    if claim is LoginClaim.SUBJECT:
        idp.claims["sub"] = "ANNA"
    answer = await signed_in(visitor, await registered(idp, login_claim=claim) + "?next=/calls%3Fq%3Dx")
    assert answer.status_code == 303
    assert (await visitor.get(answer.headers["Location"])).headers["Location"] == "/calls?q=x"
    assert await is_in(visitor)
    (entry,) = await logins(Action.LOGIN)
    assert (entry.resource, entry.initiator_id, entry.details["provider"]) == (Resource.SESSIONS, account.id, "Acme")


async def test_an_address_of_another_site_is_not_gone_to(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    answer = await signed_in(visitor, await registered(idp) + "?next=https://evil.example/")
    assert (await visitor.get(answer.headers["Location"])).headers["Location"] == "/"


async def test_from_the_first_sign_in_on_the_subject_counts(
    database: Database, visitor: Visitor, app: QuartTrio, idp: Provider
) -> None:
    account = await anna()
    start = await registered(idp)
    await signed_in(visitor, start)
    assert await external_id(account) == f"{idp.issuer}#subject-1"
    idp.claims["preferred_username"] = "anna.berg"
    other = Visitor(app)
    await signed_in(other, start)
    assert await is_in(other)


async def test_elliptic_curves_and_a_secret_in_the_form(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    idp.key, idp.algorithm, idp.methods = elliptic_key(), "ES256", ("client_secret_post",)
    await signed_in(visitor, await registered(idp))
    assert await is_in(visitor)


async def test_what_the_token_leaves_out_the_user_info_tells(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await anna()
    idp.claims["preferred_username"] = None
    idp.userinfo = {"sub": "subject-1", "preferred_username": "anna"}
    await signed_in(visitor, await registered(idp))
    assert await is_in(visitor)


async def test_the_user_info_of_somebody_else_counts_for_nothing(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await anna()
    idp.claims["preferred_username"] = None
    idp.userinfo = {"sub": "subject-2", "preferred_username": "anna"}
    await signed_in(visitor, await registered(idp))
    assert not await is_in(visitor)


async def test_a_key_that_is_new_is_looked_for(
    database: Database, visitor: Visitor, app: QuartTrio, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anna()
    start = await registered(idp)
    await signed_in(visitor, start)
    idp.key = RSAKey.generate_key(2048, {"kid": "new"})
    other = Visitor(app)
    assert (await signed_in(other, start)).status_code == 401  # it was looked for a moment ago
    monkeypatch.setattr(openid, "LOOK_AGAIN_AFTER_S", -1.0)
    await signed_in(other, start)
    assert await is_in(other)


async def test_what_a_provider_says_of_itself_is_not_asked_each_time(
    database: Database, visitor: Visitor, app: QuartTrio, idp: Provider
) -> None:
    await anna()
    start = await registered(idp)
    await signed_in(visitor, start)
    await signed_in(Visitor(app), start)
    assert idp.asked.count("/.well-known/openid-configuration") == 1
    assert idp.asked.count("/jwks") == 1


async def test_the_session_is_a_new_one(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    await visitor.get("/sign-in")
    before = visitor.cookie()
    await signed_in(visitor, await registered(idp))
    assert visitor.cookie() != before
    assert (await visitor.get("/")).headers["Location"] == "/calls"


# Browsers


async def test_who_did_not_begin_here_does_not_come_back_here(
    database: Database, visitor: Visitor, app: QuartTrio, idp: Provider
) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    victim = Visitor(app)
    answer = await victim.get(path)
    assert answer.status_code == 400
    assert "not begun in this browser" in await told(answer)
    assert not await is_in(victim)
    assert "/token" not in idp.asked


async def test_one_comes_back_once(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    assert (await visitor.get(path)).status_code == 303
    assert (await visitor.get(path)).status_code == 400


async def test_with_another_state_one_does_not_come_back(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    assert (await visitor.get(re.sub("state=[^&]*", "state=%C3%BC", path))).status_code == 400


async def test_one_has_ten_minutes(
    database: Database, visitor: Visitor, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    monkeypatch.setattr(oidc, "LONGEST_S", -1.0)
    answer = await visitor.get(path)
    assert answer.status_code == 400
    assert "took too long" in await told(answer)


async def test_a_code_of_another_provider_is_not_shown_to_this_one(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    answer = await visitor.get(re.sub("iss=[^&]*", "iss=https%3A%2F%2Fevil.example", path))
    assert answer.status_code == 502
    assert "/token" not in idp.asked


async def test_a_refusal_of_the_provider_is_told(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    path = await came_back(visitor, await registered(idp))
    answer = await visitor.get(re.sub("code=[^&]*", "error=access_denied", path))
    assert answer.status_code == 401
    assert await told(answer) == "Acme did not sign you in. Please try again, or ask its administrator."


async def test_whoever_tries_too_often_waits(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    idp.claims["nonce"] = "wrong"
    start = await registered(idp)
    for _ in range(limits.ADDRESS.free):
        assert (await signed_in(visitor, start)).status_code == 401
    asked = len(idp.asked)
    answer = await signed_in(visitor, start)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert idp.asked[asked:] == ["/authorize"]


# Accounts


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"login_key": "other"}, "knows you as anna, but there is no such user here"),
        ({"authentication": "password"}, "signs in with a password"),
        ({"may_sign_in": False}, "has no web access"),
        ({"external_id": "https://elsewhere.example#subject-1"}, "belongs to somebody else"),
    ],
)
async def test_who_is_known_there_and_not_let_in_here(
    database: Database, visitor: Visitor, idp: Provider, values: dict[str, Any], sentence: str
) -> None:
    account = await anna(**values)
    before = await external_id(account)
    answer = await signed_in(visitor, await registered(idp))
    assert answer.status_code == 403
    assert sentence in await told(answer)
    assert not await is_in(visitor)
    assert await external_id(account) == before
    (entry,) = await logins(Action.FAILED_LOGIN)
    assert entry.details["provider"] == "Acme"


async def test_a_disabled_user_is_not_let_in(database: Database, visitor: Visitor, idp: Provider) -> None:
    account = await anna()
    await users.disable_user(COMMAND, account.id)
    answer = await signed_in(visitor, await registered(idp))
    assert (answer.status_code, await is_in(visitor)) == (403, False)


async def test_an_address_that_nobody_verified_names_nobody(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await anna()
    idp.claims["email_verified"] = False
    answer = await signed_in(visitor, await registered(idp, login_claim=LoginClaim.EMAIL))
    assert answer.status_code == 403
    assert "no mail address of yours that it has verified" in await told(answer)


async def test_an_address_that_several_have_names_nobody(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    other = await add_account("berta")
    await change(other, email="anna@example.com", authentication="oidc")
    answer = await signed_in(visitor, await registered(idp, login_claim=LoginClaim.EMAIL))
    assert "several users here" in await told(answer)


async def test_the_same_login_of_another_tenant_is_somebody_else(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    account = await add_account("anna", tenant="Beta", password_hash="")
    await change(account, authentication="oidc")
    assert (await signed_in(visitor, await registered(idp))).status_code == 403


# The button


async def test_a_provider_that_is_off_or_nobodys_is_not_there(
    database: Database, visitor: Visitor, app: QuartTrio, idp: Provider
) -> None:
    assert (await visitor.get("/sign-in/oidc/01890a5d-ac96-774b-bcce-b302099a8057")).status_code == 404
    assert (await visitor.get(await registered(idp, enabled=False))).status_code == 404
    async with app.test_request_context("/"):
        assert await oidc.buttons(None, "/calls") == []


async def test_the_buttons_are_those_of_the_tenant(database: Database, app: QuartTrio, idp: Provider) -> None:
    start = await registered(idp)
    async with app.test_request_context("/"):
        (button,) = await oidc.buttons(None, "/calls?a=b")
        assert (button.name, button.url) == ("Acme", f"{start}?next=/calls?a%3Db")
        assert await oidc.buttons(COMMAND.scope.tenant_id, "/") != []
        assert await oidc.buttons(COMMAND.scope.user_id, "/") == []


async def test_of_several_tenants_nobody_reads_who_is_here(database: Database, visitor: Visitor, idp: Provider) -> None:
    async def text(response: Response) -> str:
        return (await response.get_data()).decode()

    start = await registered(idp)
    assert start in await text(await visitor.get("/sign-in"))
    await tenants.create_tenant(COMMAND, TenantFields(name="Beta"))
    page = await text(await visitor.get("/sign-in?next=/calls"))
    assert "/sign-in/oidc" not in page
    assert 'href="/sign-in?tenant=&amp;next=/calls"' in page
    asked = await text(await visitor.get("/sign-in?tenant=&next=/calls"))
    assert 'name="tenant"' in asked
    assert "/sign-in/oidc" not in asked
    assert f'href="{start}?next=/calls"' in await text(await visitor.get("/sign-in?tenant=default&next=/calls"))
    refused = [await visitor.get(f"/sign-in?tenant={name}") for name in ("Beta", "Gamma")]
    assert [answer.status_code for answer in refused] == [404, 404]
    one, other = [await told(answer) for answer in refused]
    assert one.replace("Beta", "Gamma") == other
    assert "no sign-in with an account of Gamma" in other
    for _ in range(limits.ADDRESS.free - len(refused)):
        await visitor.get("/sign-in?tenant=Gamma")
    held = await visitor.get("/sign-in?tenant=default")
    assert held.status_code == 429
    assert int(held.headers["Retry-After"]) >= 1


async def test_at_a_tenants_host_name_only_its_own_provider_is_there(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    start = await registered(idp)
    beta = await tenants.create_tenant(COMMAND, TenantFields(name="Beta", hosts=("beta.example.com",)))
    assert (await visitor.get(start, headers={"Host": "beta.example.com"})).status_code == 404
    made = await providers.create_provider(
        COMMAND, providers.ProviderFields(name="Beta", issuer=idp.issuer, client_id="b"), beta.id
    )
    answer = await visitor.get(f"/sign-in/oidc/{made.id}", headers={"Host": "beta.example.com"})
    assert "redirect_uri=http%3A%2F%2Fbeta.example.com%2Fsign-in%2Foidc%2Fcallback" in answer.headers["Location"]


async def by_administrator(**fields: Any) -> str:
    """The address at which one begins to sign in with a provider that an administrator added."""
    administrator = replace(COMMAND, grant=READY_MADE[Role.ADMINISTRATOR])
    made = await providers.create_provider(
        administrator, providers.ProviderFields(name="Acme", client_id=CLIENT_ID, **fields)
    )
    return f"/sign-in/oidc/{made.id}"


async def test_a_provider_on_the_inside_that_no_operator_added_is_not_asked(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    start = await by_administrator(issuer=f"https://127.0.0.2:{idp.issuer.rpartition(':')[2]}")
    answer = await visitor.get(start)
    assert answer.status_code == 502
    assert "leads to the inside of this network" in await told(answer)


async def test_all_that_keeps_somebody_out_is_said(app: QuartTrio) -> None:
    given = providers.Client(
        id=COMMAND.scope.tenant_id,
        tenant=Named(COMMAND.scope.tenant_id, "Default"),
        name="Acme",
        issuer="https://login.example.com",
        client_id=CLIENT_ID,
        client_secret="",
        login_claim=LoginClaim.USERNAME,
        platform=False,
    )
    async with app.test_request_context("/"):
        said = [oidc.UNMATCHED[why](given, "anna") for why in providers.Unmatched]
        said += [oidc.SENTENCES[trouble]("Acme") for trouble in openid.Trouble]
        assert len(set(said)) == len(said)
        assert "more rights than Acme may sign in" in oidc.UNMATCHED[providers.Unmatched.BEYOND](given, "op")
        assert {trouble: sentence() for trouble, sentence in pages.SENTENCES.items()}.keys() == set(openid.Trouble)
