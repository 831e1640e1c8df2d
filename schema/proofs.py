"""What shows that an entry of the audit trail is as it was written, and what it is searched by: pure functions.

An entry is a mapping by column, its ids as UUID and its moment as datetime.

Not here: how entries are written (`audited.py`), what is found where one does not prove true (`chain.py`).
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from schema.checked import folded
from schema.checked import searched as joined

# The hash of no data: what an entry has of which no field was changed.
NOTHING: Final = hashlib.sha256(b"").hexdigest()
_TEXTS: Final = (
    "initiator_login",
    "initiator_name",
    "address",
    "application",
    "resource",
    "action",
    "related_id",
    "related_name",
    "parent_id",
    "details",
    "data_hash",
)


def data_hash(data: str | None) -> str:
    """SHA-256 of an entry's data, in hexadecimal."""
    return hashlib.sha256((data or "").encode()).hexdigest()


def content_hash(entry: Mapping[str, Any]) -> bytes:
    """SHA-256 of all that an entry says; of its data the hash, so that data can be erased and the rest still proved."""
    at: datetime = entry["at"]
    told = [
        str(entry["id"]),
        str(entry["tenant_id"] or ""),
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        str(entry["initiator_id"] or ""),
        str(entry["origin"] or ""),
        *(str(entry[column]) for column in _TEXTS),
    ]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def proof(key: bytes, entry: Mapping[str, Any]) -> str:
    """What shows that Earshot wrote an entry: an HMAC-SHA256 of its content, in hexadecimal."""
    return hmac.digest(key, content_hash(entry), "sha256").hex()


def link(before: str, number: int, content: bytes) -> str:
    """The chain up to an entry: SHA-256 of the chain before it (as its text), its number and its content hash."""
    return hashlib.sha256(before.encode() + number.to_bytes(8, "big") + content).hexdigest()


def initiator_key(name: str, login: str) -> str:
    """What a search for who did something looks at."""
    return folded(f"{name} ({login})")


def searched(entry: Mapping[str, Any]) -> str:
    """What a search for text looks at: an entry's data, its details and the name of what it is about."""
    data = json.loads(entry["data"]) if entry["data"] else {"fields": {}, "unchanged": {}}
    fields, unchanged = data["fields"], data["unchanged"]
    pairs = (value for pair in fields.values() for value in pair)
    details = json.loads(entry["details"]).values()
    return joined([entry["related_name"], *details, *fields, *pairs, *unchanged, *unchanged.values()])
