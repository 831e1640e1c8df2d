"""Who somebody is behind a web proxy: only known proxies are believed, and only what they saw themselves."""

from ipaddress import ip_network

import pytest
from quart import request
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from portal.proxy import client_address
from tests.portal.visitor import Visitor


async def test_only_proxies_that_are_known_say_who_somebody_is(app: QuartTrio, visitor: Visitor) -> None:
    config, counted = app.extensions["earshot"].config, app.extensions["earshot"].attempts
    object.__setattr__(config, "public_url", "https://calls.example.com")
    object.__setattr__(config, "trusted_proxies", (ip_network("192.0.2.8"),))
    await visitor.sign_in("nobody", headers={"X-Forwarded-For": "198.51.100.9"})
    assert ("login", "address", "192.0.2.7") in counted._counts
    assert ("login", "address", "198.51.100.9") not in counted._counts


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["203.0.113.1, 198.51.100.9"], "198.51.100.9"),
        (["203.0.113.1", "198.51.100.9"], "198.51.100.9"),
        (["198.51.100.9, "], "192.0.2.7"),
        (["198.51.100.9, unknown"], "192.0.2.7"),
        (["198.51.100.9:4711"], "192.0.2.7"),
        (["::ffff:198.51.100.9"], "198.51.100.9"),
        ([], "192.0.2.7"),
    ],
)
async def test_of_what_a_proxy_says_the_last_address_counts(app: QuartTrio, lines: list[str], expected: str) -> None:
    object.__setattr__(app.extensions["earshot"].config, "trusted_proxies", (ip_network("192.0.2.0/24"),))
    headers = Headers([("X-Forwarded-For", line) for line in lines])
    async with app.test_request_context("/", headers=headers):
        request.remote_addr = "192.0.2.7"
        assert client_address() == expected


async def test_a_socket_for_both_families_knows_its_proxies_too(app: QuartTrio) -> None:
    object.__setattr__(app.extensions["earshot"].config, "trusted_proxies", (ip_network("127.0.0.0/8"),))
    headers = {"X-Forwarded-For": "2001:db8::9"}
    async with app.test_request_context("/", headers=headers):
        request.remote_addr = "::ffff:127.0.0.1"
        assert client_address() == "2001:db8::9"
