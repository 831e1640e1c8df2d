"""Links that are mailed and let somebody set a password: their secrets, how long they hold, and where they lead.

Whoever asks for a mail to somebody else writes the `Host` of his request himself. So a link leads to a tenant's host
name, to `public_url`, or, on the machine itself, to the loopback; to another host only where someone signed in asks.

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


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> bytes:
    """By what a link is known."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def origin() -> str:
    """Scheme and host to which links lead; empty where no host is known that belongs to this portal."""
    config, door = portal().config, doorway.at_hand()
    asked = f"{'https' if config.encrypted else 'http'}://{request.host}"
    if door is not None and door.tenant is not None:
        return asked
    if config.public_url:
        return config.public_url.rstrip("/")
    return asked if gate.visitor() is not None or _is_loopback(asked) else ""


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False
