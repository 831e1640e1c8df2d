"""The chain of the audit trail: each entry gets a number and the hash of all up to it, and its end is signed.

An entry is written without its place (`audited.py`): places are given here, by one sealer at a time, in batches. The
signed ends, heads, are kept beside the database too (the archive does that): who can write to the database can neither
sign nor reach those. What was never sealed, for the second that it takes, only its proof protects.

Not here: looking whether anybody touched it (`verification.py`), when to seal, and where heads are kept besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schema.audit import reached
from schema.audited import changing
from schema.columns import as_id, as_moment
from schema.database import audit_key, is_sqlite, reading, rows, transaction, unit
from schema.entries import About, Action, By, Resource
from schema.proofs import content_hash, link, proof, searched
from schema.refusals import NotThere

# The chain before the first entry.
BEGINNING: Final = "00" * 32
# A batch takes the database some 30 ms, in which nobody else writes to SQLite.
BATCH: Final = 200
# Any number: the lock that one sealer at a time has.
_LOCK: Final = 0x41554449
_PURPOSE: Final = b"earshot audit head, version 1\n"

# An end that is farther off is none: no trail has so many entries.
_FARTHEST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain as it was at a moment, signed with Ed25519. `chain` is in hexadecimal."""

    number: int
    chain: str
    at: datetime
    signature: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one batch came to. `after`: where the next one begins, to be given back; None where nothing is left to seal.

    `unproved`: ids of entries that Earshot did not write, and that stay outside of the chain. `behind`: the database
    ended at this number although more was sealed before: what came after is lost.
    """

    entries: int = 0
    after: tuple[Any, Any] | None = None
    unproved: tuple[str, ...] = ()
    behind: int | None = None


def sign(key: Ed25519PrivateKey, number: int, chain: str, at: datetime) -> Head:
    return Head(number, chain, at, key.sign(_signed(number, chain, at)))


def is_genuine(head: Head, key: Ed25519PublicKey) -> bool:
    """Whether this system signed a head."""
    try:
        key.verify(head.signature, _signed(head.number, head.chain, head.at))
    except InvalidSignature:
        return False
    return True


def told(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the trail as an entry that can be proved. Errors: ValueError, TypeError, AttributeError."""
    ids = {name: None if row[name] is None else as_id(row[name]) for name in ("id", "tenant_id", "initiator_id")}
    return {**row, **ids, "at": as_moment(row["at"])}


def is_proved(key: bytes, row: dict[str, Any]) -> bool:
    """Whether Earshot wrote a row of the trail as it stands there."""
    try:
        return compare_digest(proof(key, told(row)), row["proof"])
    except (ValueError, TypeError, AttributeError):
        return False


@unit
async def seal(key: Ed25519PrivateKey, known: Head | None, after: tuple[Any, Any] | None = None) -> Sealed:
    """Gives the next entries their places, BATCH at most, and signs the new end.

    `known`: the farthest end that is known from outside of the database. Numbers go on after it in any case: one that
    was given is never given to another entry.
    """
    if not await _unsealed(after, 1):
        return Sealed()
    async with transaction():
        if not is_sqlite():  # which has one writer at a time
            taken = await rows("SELECT pg_try_advisory_xact_lock($1) AS taken", _LOCK)
            if not taken[0]["taken"]:
                return Sealed()
        found = await _unsealed(after, BATCH)
        unproved, proving = [], audit_key()
        number, chain, behind = await _end(key.public_key(), known)
        before = number
        for row in found:
            if row["chain"] or not is_proved(proving, row):
                unproved.append(_name(row))
                continue
            number += 1
            chain = link(chain, number, content_hash(told(row)))
            await rows("UPDATE audit_entry SET number = $1, chain = $2 WHERE id = $3", number, chain, row["id"])
        if number > before:
            head = sign(key, number, chain, datetime.now(UTC))
            await rows(
                "INSERT INTO audit_head (number, chain, at, signature) VALUES ($1, $2, $3, $4)",
                *(head.number, head.chain, head.at, head.signature),
            )
    last = (found[-1]["at"], found[-1]["id"]) if len(found) == BATCH else None
    return Sealed(number - before, last, tuple(unproved), behind)


@reading
async def heads_after(number: int, most: int) -> Sequence[Head]:
    """The signed ends after this number, in order."""
    return await heads_between(number, None, most)


async def heads_between(number: int, until: int | None, most: int) -> list[Head]:
    """Inside a unit: heads in order, after `number` and up to `until`."""
    found = await rows(
        "SELECT * FROM audit_head WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3",
        *(number, _FARTHEST if until is None else until, most),
    )
    return [Head(row["number"], row["chain"], as_moment(row["at"]), bytes(row["signature"])) for row in found]


@unit
async def erase_data(by: By, entry_id: UUID) -> None:
    """Takes the data out of an entry for good, because it must not be kept; its hash stays, so the chain does.

    This is an entry in itself, without which the chain does not prove true. Errors: NotThere.
    """
    async with changing(by) as changes:
        found = await reached(by.scope, entry_id)
        if found is None:
            raise NotThere
        if found["data"] is None:
            return
        left = searched({**found, "data": None})
        await rows("UPDATE audit_entry SET data = NULL, search = $1 WHERE id = $2", left, entry_id)
        tenant = None if found["tenant_id"] is None else as_id(found["tenant_id"])
        about = About(entry_id, found["related_name"])
        what = {"resource": found["resource"], "action": found["action"]}
        changes.note(Resource.AUDIT, Action.PURGE, about, tenant_id=tenant, details=what)


def _name(row: dict[str, Any]) -> str:
    return str(as_id(row["id"])) if isinstance(row["id"], bytes) else str(row["id"])


def _signed(number: int, chain: str, at: datetime) -> bytes:
    return _PURPOSE + f"{number}\n{chain}\n{at.astimezone(UTC).isoformat(timespec='microseconds')}\n".encode()


async def _unsealed(after: tuple[Any, Any] | None, most: int) -> list[dict[str, Any]]:
    newer, values = ("", []) if after is None else ("AND (at, id) > ($1, $2)", list(after))
    query = f"SELECT * FROM audit_entry WHERE number IS NULL {newer} ORDER BY at, id LIMIT {int(most)}"  # noqa: S608  # ours
    return await rows(query, *values)


async def _end(key: Ed25519PublicKey, known: Head | None) -> tuple[int, str, int | None]:
    """Where the chain goes on, and where the database ended if that is not there."""
    ends = [(0, BEGINNING)]
    for row in await rows("SELECT * FROM audit_head ORDER BY number DESC LIMIT 1"):
        head = Head(row["number"], row["chain"], as_moment(row["at"]), bytes(row["signature"]))
        if is_genuine(head, key):
            ends.append((head.number, head.chain))
    query = "SELECT number, chain FROM audit_entry WHERE number <= $1 ORDER BY number DESC LIMIT 1"
    ends += [(row["number"], row["chain"]) for row in await rows(query, _FARTHEST)]
    number, chain = max(ends, key=lambda end: end[0])
    if known is not None and known.number > number:
        return known.number, known.chain, number
    return number, chain, None
