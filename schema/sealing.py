"""Secrets in the database: sealed with AES-256-GCM, under a key that the database does not hold, bound to their place.

Not here: passwords and tokens, of which only hashes are kept.
"""

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schema.database import sealing_key

_NONCE_BYTES: Final = 12
_VERSION: Final = "1:"


class NotReadable(Exception):
    """A secret was sealed under another master key, or in another place."""


def seal(secret: str, place: str) -> str:
    """Inside a unit: `secret` as a text that can be kept; an empty one stays empty. `place`: table, column and row."""
    if not secret:
        return ""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(sealing_key()).encrypt(nonce, secret.encode(), place.encode())
    return _VERSION + base64.b64encode(sealed).decode("ascii")


def unseal(sealed: str, place: str) -> str:
    """Inside a unit: the secret again. Errors: NotReadable."""
    if not sealed:
        return ""
    try:
        raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
        plain = AESGCM(sealing_key()).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
    except (InvalidTag, ValueError) as error:
        raise NotReadable("This secret was sealed under another master key. Enter it again.") from error
    return plain.decode()
