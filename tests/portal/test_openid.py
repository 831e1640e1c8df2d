"""What a provider says is believed where it is its own and for this sign-in; and providers that are in trouble."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from portal import openid
from schema.database import Database
from tests.portal.provider import CLIENT_ID, Provider, provider
from tests.portal.visitor import Visitor
from tests.portal.vouching import anna, came_back, is_in, registered, signed_in, told


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


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
