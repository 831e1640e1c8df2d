"""Who is at the other end, and under which address this portal is known: directly, or behind a web proxy.

`X-Forwarded-For` counts only where `public_url` says that there is a proxy, and then only its last address: the one
that the proxy itself saw. Such a portal must not be reachable but through its proxy. No other forwarded header counts:
scheme and host come from `public_url`.

Not here: what follows from an address (`limits.py`, `gate.py`).
"""

from quart import has_request_context, request, websocket
from quart.wrappers import Request, Websocket

from portal.config import portal


def at_hand() -> Request | Websocket:
    """The request or the websocket that is being answered."""
    return request._get_current_object() if has_request_context() else websocket._get_current_object()  # type: ignore


def client_address() -> str:
    """The address of the browser or client, as text."""
    headers = at_hand().headers
    forwarded = headers.get("X-Forwarded-For") if portal().config.public_url else None
    if forwarded:
        return str(forwarded.rsplit(",", 1)[-1].strip())
    return str(at_hand().remote_addr or "")


def origins() -> frozenset[str]:
    """What browsers send as `Origin` from pages of this portal."""
    config = portal().config
    scheme = "https" if config.tls_cert is not None else "http"
    own = f"{scheme}://{at_hand().headers.get('Host', '')}"
    return frozenset({own, config.public_url} - {""})
