"""The keys at rest: a master key, the archive's key pair made from it, and data keys wrapped to the archive.

The engine holds the archive's public key alone: it can seal a journal and cannot read one back. Wrapping is HPKE
(RFC 9180, base mode: X25519, HKDF-SHA256, AES-256-GCM).

Not here: where the keys lie on disk (`actors/spool.py`), and the sealing of blocks (`journal.py`).
"""

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
# Bound to each derivation and each wrapping, so that a key made for one purpose opens nothing else.
_ARCHIVE_PURPOSE = b"earshot archive key, version 1"
_JOURNAL_PURPOSE = b"earshot journal, version 1: "
_SESSION_PURPOSE = b"earshot portal sessions, version 1"
_GATEWAY_PURPOSE = b"earshot live gateway, version 1"
_DATABASE_PURPOSE = b"earshot database, version 1"
_HEADS_PURPOSE = b"earshot audit heads, version 1"


class KeyRefused(Exception):
    """A key that is not one, or not the one that a journal was sealed for. The text says what to do."""


def encode_key(key: bytes) -> str:
    """A 32-byte key as the one line of text that its file holds."""
    return base64.b64encode(key).decode("ascii")


def decode_key(text: str) -> bytes:
    """The key in a line of base64. Raises `KeyRefused` unless it is 32 bytes."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRefused("A key is 32 bytes in base64 (44 characters); this is not base64.") from error
    if len(key) != KEY_BYTES:
        raise KeyRefused(f"A key is 32 bytes in base64 (44 characters); this one has {len(key)} bytes.")
    return key


def archive_private_key(master_key: bytes) -> X25519PrivateKey:
    """The archive's private key, the same each time for one master key."""
    secret = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_ARCHIVE_PURPOSE).derive(master_key)
    return X25519PrivateKey.from_private_bytes(secret)


def session_key(master_key: bytes) -> bytes:
    """The 32 bytes under which portals sign their cookies: every portal of one system takes every other's."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_SESSION_PURPOSE).derive(master_key)


def gateway_key(master_key: bytes) -> bytes:
    """The 32 bytes under which portals prove to an engine's gateway that they are portals of the same system."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_GATEWAY_PURPOSE).derive(master_key)


def database_key(master_key: bytes) -> bytes:
    """The 32 bytes under which what the database holds is proved, and its secrets are sealed."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_DATABASE_PURPOSE).derive(master_key)


def audit_signing_key(master_key: bytes) -> Ed25519PrivateKey:
    """The key that signs the heads of the audit trail's chain."""
    secret = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_HEADS_PURPOSE).derive(master_key)
    return Ed25519PrivateKey.from_private_bytes(secret)


def public_bytes(private_key: X25519PrivateKey) -> bytes:
    """The 32 public bytes of a private key: all that an engine needs."""
    return private_key.public_key().public_bytes_raw()


def wrap(data_key: bytes, public_key: bytes, context: bytes) -> bytes:
    """`data_key` sealed to the archive and bound to `context` (a call id's 16 bytes)."""
    return _SUITE.encrypt(data_key, X25519PublicKey.from_public_bytes(public_key), info=_JOURNAL_PURPOSE + context)


def unwrap(wrapped: bytes, private_key: X25519PrivateKey, context: bytes) -> bytes:
    """The data key again. Raises `KeyRefused` when it was wrapped for another master key or another call."""
    try:
        return _SUITE.decrypt(wrapped, private_key, info=_JOURNAL_PURPOSE + context)
    except (InvalidTag, ValueError) as error:
        raise KeyRefused(
            "This file was sealed for another master key. "
            "Set EARSHOT_MASTER_KEY_FILE to the key of the system that recorded it."
        ) from error
