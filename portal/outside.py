"""Connections to the outside alone: for addresses that somebody entered who is not to reach the inside of the network.

A name is resolved here, and what is connected to is the address that was looked at: a name that leads elsewhere a
moment later gains nothing. The certificate is still that of the name.

Not here: what is asked (`openid.py`), whom the inside is open to (`schema/providers.py`).
"""

import ssl
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx2
import trio

# RFC 6052 section 2.1: the last four bytes are the IPv4 address that is meant.
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")


class InsideError(httpx2.TransportError):
    """The address is this machine's, or one of a network that the internet does not lead to. Nothing was sent."""


class OutsideTransport(httpx2.AsyncBaseTransport):
    """Connects to no address but those that the whole internet has."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=trust)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Errors: InsideError, httpx2.TransportError."""
        host = request.url.host
        addresses = await _addresses(host)
        if not all(map(is_outside, addresses)):
            raise InsideError(f"{host} is on the inside of this network")
        # The header Host was set when the request was made; this is whose certificate is asked for.
        request.extensions = {**request.extensions, "sni_hostname": host}
        url = request.url
        for address in addresses[:-1]:
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        request.url = url.copy_with(host=addresses[-1])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def is_outside(address: str) -> bool:
    """Whether the internet leads to this IP address: not to loopback, private, link-local or unspecified ones."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        inner: IPv4Address | None = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            inner = IPv4Address(found.packed[-4:])
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


async def _addresses(host: str) -> list[str]:
    """The IP addresses of a name, in the order in which to try them. Errors: httpx2.ConnectError."""
    try:
        found = await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx2.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
