"""Links that are mailed and let somebody set a password: their secrets, how long they hold, and where they lead.

Whoever asks for a mail to somebody else writes the `Host` of his request himself. So a link leads to a tenant's host
name as it is kept, to `public_url`, or, on the machine itself, to the loopback, and to no port but the portal's; to
another host only where someone signed in asks.

Not here: what is kept of them (`schema/access.py`), what the mails say (`mails.py`).
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from quart import request

from portal import doorway, gate
from portal.config import portal

RESET_FOR: Final = timedelta(hours=1)
INVITED_FOR: Final = timedelta(days=7)
SECRET_BYTES: Final = 32
PATH: Final = "/set-password/"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# Which browsers leave out (RFC 9110 sections 4.2.1 and 4.2.2).
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> bytes:
    """By what a link is known."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def origin() -> str:
    """Scheme and host to which links lead; empty where no host is known that belongs to this portal."""
    config, door = portal().config, doorway.at_hand()
    if door is not None and door.host:
        return _at(door.host)
    if config.public_url:
        return config.public_url
    if gate.visitor() is not None:
        return f"{'https' if config.encrypted else 'http'}://{request.host}"
    host = _asked_for()
    return _at(f"[{host}]" if ":" in host else host) if host in LOOPBACK else ""


def _at(host: str) -> str:
    """This portal at one of its hosts: as everybody reaches it, or by its own port."""
    config = portal().config
    if config.public_url:
        public = urlsplit(config.public_url)
        scheme, port = public.scheme, public.port
    else:
        scheme, port = "https" if config.encrypted else "http", config.bind[1]
    return f"{scheme}://{host}" if port in (None, DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _asked_for() -> str:
    """The host that the visitor says he is at, without its port; empty where it is none."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""
