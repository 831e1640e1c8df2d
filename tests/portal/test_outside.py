"""What is on the inside of a network is not connected to, however it is written."""

import ssl
from collections.abc import Iterator

import httpx2
import pytest
import trio

from portal.outside import InsideError, OutsideTransport, is_outside
from tests.portal.provider import Provider, provider


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"])
def test_what_the_internet_leads_to_is_outside(address: str) -> None:
    assert is_outside(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00::1",
        "fe80::1",
        "fe80::1%lo",
        "ff02::1",
    ],
)
def test_what_it_does_not_lead_to_is_inside(address: str) -> None:
    assert not is_outside(address)


@pytest.mark.parametrize("host", ["127.0.0.2", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"])
async def test_nothing_is_connected_to_on_the_inside(idp: Provider, host: str) -> None:
    port = idp.issuer.rpartition(":")[2]
    async with httpx2.AsyncClient(transport=OutsideTransport(ssl.create_default_context()), trust_env=False) as client:
        with pytest.raises(InsideError):
            await client.get(f"http://{host}:{port}/.well-known/openid-configuration")


async def test_what_is_connected_to_is_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the second look the name would lead to the inside; there is none."""
    looks: list[str] = []

    async def resolved(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        looks.append(host)
        return [(None, None, None, "", ("9.9.9.9" if len(looks) == 1 else "127.0.0.1", 0))]

    asked: list[httpx2.Request] = []

    async def connected(_: object, request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200)

    monkeypatch.setattr(trio.socket, "getaddrinfo", resolved)
    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", connected)
    async with httpx2.AsyncClient(transport=OutsideTransport(ssl.create_default_context()), trust_env=False) as client:
        await client.get("https://login.example.com/x")
    (request,) = asked
    assert looks == ["login.example.com"]
    assert request.url.host == "9.9.9.9"
    assert request.headers["Host"] == "login.example.com"
    assert request.extensions["sni_hostname"] == "login.example.com"
