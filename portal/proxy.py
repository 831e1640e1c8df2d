"""Who is at the other end, and under which address this portal is known: directly, or behind a web proxy.

`X-Forwarded-For` counts only from a proxy that the settings name, and then only its last address: the one that the
proxy itself saw. Everybody may write what stands before it. No other forwarded header counts: scheme and host come
from `public_url`.

Not here: what follows from an address (`limits.py`, `gate.py`).
"""

import ipaddress

from quart import has_request_context, request, websocket
from quart.wrappers import Request, Websocket

from portal.config import portal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def at_hand() -> Request | Websocket:
    """The request or the websocket that is being answered."""
    return request if has_request_context() else websocket


def client_address() -> str:
    """The address of the browser or client, as text; empty where it has none."""
    told = str(at_hand().remote_addr or "")
    peer = _address(told)
    if peer is None or not any(peer in network for network in portal().config.trusted_proxies):
        return told
    forwarded = ",".join(at_hand().headers.getlist("X-Forwarded-For"))
    return str(_address(forwarded.rpartition(",")[2].strip()) or peer)


def origins() -> frozenset[str]:
    """What browsers send as `Origin` from pages of this portal."""
    config = portal().config
    scheme = "https" if config.tls_cert is not None else "http"
    own = f"{scheme}://{at_hand().headers.get('Host', '')}"
    return frozenset({own, config.public_url} - {""})


def _address(text: str) -> Address | None:
    """An address; None for what is none. A socket for both families writes those of IPv4 as ones of IPv6."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
