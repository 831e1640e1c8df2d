"""Signing in with an identity provider: a real one, which a browser is sent to and comes back from."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
import trio
from joserfc.jwk import RSAKey
from quart import Response
from quart_trio import QuartTrio

from portal import limits, oidc, openid
from schema import audit, providers, users
from schema.audited import changing
from schema.database import Database, unit
from schema.entries import Action, Resource
from schema.models import Account as AccountRow
from schema.providers import LoginClaim, ProviderFields
from schema.values import Account
from tests.people import COMMAND
from tests.portal.provider import CLIENT_ID, CLIENT_SECRET, Provider, elliptic_key, provider
from tests.portal.visitor import Visitor, add_account


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


@unit
async def change(account: Account, **values: object) -> None:
    async with changing(COMMAND):
        row = await AccountRow.get(id=account.id)
        row.update_from_dict(values)
        await row.save()


@unit
async def external_id(account: Account) -> str:
    return (await AccountRow.get(id=account.id)).external_id


async def anna(**values: object) -> Account:
    """Somebody who signs in with the provider."""
    account = await add_account("anna", password_hash="")
    await change(account, **{"authentication": "oidc", "email": "Anna@Example.com"} | values)
    return account


async def registered(idp: Provider, **changes: Any) -> str:
    """The address at which a browser begins to sign in with the provider."""
    given: dict[str, Any] = {
        "name": "Acme",
        "issuer": idp.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    made = await providers.create_provider(COMMAND, ProviderFields(**given | changes))
    return f"/sign-in/oidc/{made.id}"


async def at_provider(address: str) -> str:
    """What the provider answers to a browser: where it sends it."""
    opener = build_opener(_Stay)

    def ask() -> str:
        try:
            opener.open(Request(address))  # noqa: S310 (of this test)
        except HTTPError as answer:
            with answer:
                return str(answer.headers["Location"])
        raise AssertionError("the provider sends nobody back")

    return await trio.to_thread.run_sync(ask)


async def came_back(visitor: Visitor, start: str) -> str:
    """The path of ours at which the browser arrives from the provider."""
    answer = await visitor.get(start)
    assert answer.status_code == 303, (await answer.get_data()).decode()
    back = urlsplit(await at_provider(answer.headers["Location"]))
    return f"{back.path}?{back.query}"


async def signed_in(visitor: Visitor, start: str) -> Response:
    return await visitor.get(await came_back(visitor, start))


async def is_in(visitor: Visitor) -> bool:
    return (await visitor.get("/")).headers["Location"] == "/calls"


async def told(response: Response) -> str:
    text = (await response.get_data()).decode()
    found = re.search(r'alert-danger" role="alert">.*?<div>(.*?)</div>', text, re.S)
    assert found is not None, text
    return found[1]


async def logins(action: Action) -> list[Any]:
    return list((await audit.list_entries(COMMAND.scope, audit.Filters(action=action))).items)


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


# Forgeries

NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": NOW - 120},
        {"exp": None},
        {"iat": NOW + 900},
        {"iat": None},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"aud": None},
    ],
)
async def test_a_token_that_is_not_for_this_sign_in(
    database: Database, visitor: Visitor, idp: Provider, claims: dict[str, Any]
) -> None:
    await anna()
    idp.claims |= claims
    answer = await signed_in(visitor, await registered(idp))
    assert answer.status_code == 401
    assert "could not be verified" in await told(answer)
    assert not await is_in(visitor)


async def test_several_audiences_where_we_are_the_one_meant(
    database: Database, visitor: Visitor, idp: Provider
) -> None:
    await anna()
    idp.claims |= {"aud": ["another", CLIENT_ID], "azp": CLIENT_ID}
    await signed_in(visitor, await registered(idp))
    assert await is_in(visitor)


async def test_a_signature_of_another_key(database: Database, visitor: Visitor, idp: Provider) -> None:
    await anna()
    idp.published, idp.key = [idp.key], RSAKey.generate_key(2048, {"kid": "one"})
    assert (await signed_in(visitor, await registered(idp))).status_code == 401
    assert not await is_in(visitor)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384"])
async def test_an_algorithm_that_is_not_ours(
    database: Database, visitor: Visitor, idp: Provider, algorithm: str
) -> None:
    await anna()
    idp.published, idp.algorithm = [idp.key], algorithm
    assert (await signed_in(visitor, await registered(idp))).status_code == 401
    assert not await is_in(visitor)


@pytest.mark.parametrize("token", [b"{}", b'{"id_token": 7}', b'{"id_token": "a.b.c"}', b'{"id_token": ""}'])
async def test_no_token_at_all(database: Database, visitor: Visitor, idp: Provider, token: bytes) -> None:
    await anna()
    idp.answers["/token"] = 200, token
    assert (await signed_in(visitor, await registered(idp))).status_code == 401
    assert not await is_in(visitor)


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


# Providers in trouble


async def test_one_that_is_away(database: Database, visitor: Visitor) -> None:
    with provider() as gone:
        start = await registered(gone)
    answer = await visitor.get(start)
    assert answer.status_code == 502
    assert await told(answer) == "Acme does not answer. Please try again in a moment."


async def test_one_that_goes_away_in_between(database: Database, visitor: Visitor) -> None:
    await anna()
    with provider() as gone:
        path = await came_back(visitor, await registered(gone))
    assert (await visitor.get(path)).status_code == 502
    assert not await is_in(visitor)


@pytest.mark.parametrize(
    "answer",
    [
        (404, b""),
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"\xff"),
        (200, b'{"issuer": "https://evil.example"}'),
        (200, b'{"x": "' + b"x" * 300_000 + b'"}'),
    ],
)
async def test_one_that_answers_something_else(
    database: Database, visitor: Visitor, idp: Provider, answer: tuple[int, bytes]
) -> None:
    idp.answers["/.well-known/openid-configuration"] = answer
    assert (await visitor.get(await registered(idp))).status_code == 502


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["", None, "http://192.0.2.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "//x/y"])
async def test_one_that_sends_us_where_we_do_not_go(
    database: Database, visitor: Visitor, idp: Provider, name: str, url: str | None
) -> None:
    idp.document[name] = url
    assert (await visitor.get(await registered(idp))).status_code == 502


async def test_only_a_provider_of_this_machine_names_addresses_of_this_machine() -> None:
    assert openid._may_be_asked("http://127.0.0.1:1/token", "http://localhost:2")
    assert not openid._may_be_asked("http://127.0.0.1:1/token", "https://login.example.com")
    assert not openid._may_be_asked("https://localhost/token", "https://login.example.com")
    assert openid._may_be_asked("https://keys.example.net/jwks", "https://login.example.com")


@pytest.mark.parametrize("answer", [(400, b'{"error": "invalid_grant"}'), (401, b'{"error": "invalid_client"}')])
async def test_a_token_endpoint_that_refuses(
    database: Database, visitor: Visitor, idp: Provider, answer: tuple[int, bytes]
) -> None:
    idp.answers["/token"] = answer
    response = await signed_in(visitor, await registered(idp))
    assert response.status_code == 401
    assert "did not sign you in" in await told(response)


@pytest.mark.parametrize("answer", [(500, b""), (200, b"<html>"), (200, b"[]"), (302, b""), (200, b"x" * 300_000)])
async def test_a_token_endpoint_that_is_broken(
    database: Database, visitor: Visitor, idp: Provider, answer: tuple[int, bytes]
) -> None:
    idp.answers["/token"] = answer
    assert (await signed_in(visitor, await registered(idp))).status_code in (401, 502)
    assert not await is_in(visitor)


@pytest.mark.parametrize("keys", [b"{}", b'{"keys": 7}', b'{"keys": [7, {}, {"kty": "RSA", "kid": "one"}]}'])
async def test_keys_that_are_none(database: Database, visitor: Visitor, idp: Provider, keys: bytes) -> None:
    idp.answers["/jwks"] = 200, keys
    assert (await signed_in(visitor, await registered(idp))).status_code in (401, 502)


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
