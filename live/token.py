"""Tokens: how a portal proves to a gateway that both know the gateway's key.

    token = base64url(JSON {"node", "expires"}) "." base64url(HMAC-SHA256 under the key, over PURPOSE and the JSON)

A token names one node and lives for seconds, so that one that was overheard opens nothing later or elsewhere. (Off
loopback the gateway speaks TLS.) It tells nothing about who sits at the portal: that is the portal's to know.

Not here: the key (`engine/keys.py`), HTTP.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

import msgspec

# Long enough for clocks that are a little apart, short enough that a token in a log is worthless when it is read.
LIFE_S: Final = 30
# What another machine's clock may be ahead; a token that claims more was not made by `make_token`.
SKEW_S: Final = 30
# A token is some 120 characters.
MOST_CHARACTERS: Final = 1024
_PURPOSE: Final = b"earshot gateway token, version 1\n"


class TokenRefused(Exception):
    """A token that opens nothing. The text says why, and is for the log."""


class _Claims(msgspec.Struct, frozen=True):
    node: str
    expires: int


def make_token(key: bytes, node: str, now_s: float) -> str:
    """A token for `node`. `now_s` is realtime."""
    claims = msgspec.json.encode(_Claims(node, int(now_s) + LIFE_S))
    return f"{_text(claims)}.{_text(_sign(key, claims))}"


def check_token(key: bytes, node: str, token: str, now_s: float) -> None:
    """Errors: `TokenRefused` for a token that is malformed, of another key or node, or expired."""
    try:
        claimed, signature = (_bytes(part) for part in token[:MOST_CHARACTERS].split("."))
    except (binascii.Error, ValueError) as error:
        raise TokenRefused("it is no token") from error
    if not hmac.compare_digest(signature, _sign(key, claimed)):
        raise TokenRefused("it was made under another master key")
    claims = msgspec.json.decode(claimed, type=_Claims)
    if claims.node != node:
        raise TokenRefused(f"it is for node {claims.node}; this is {node}")
    if not now_s <= claims.expires <= now_s + LIFE_S + SKEW_S:
        raise TokenRefused("it has expired, or the clocks of the two machines differ by more than half a minute")


def _sign(key: bytes, claims: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + claims, hashlib.sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
