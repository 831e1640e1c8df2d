"""Looks whether anybody touched the audit trail: entry by entry, against the chain, the signed ends and what was kept
of these outside of the database.

An entry that was changed does not prove true any more. One that was added has no proof. One that was removed leaves its
number, or, where all after it were renumbered, an end that was signed otherwise. One that was moved does not fit the
entry before it, nor does the one after it, as the case may be. Where the end was cut off, an end was signed that is not
there.

Not here: how entries are proved (`proofs.py`), how they are sealed (`chain.py`), what is said of a finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schema.chain import BEGINNING, Head, heads_between, is_genuine, is_proved, told
from schema.columns import as_id, as_moment
from schema.database import audit_key, reading, rows
from schema.entries import Action, Resource
from schema.proofs import NOTHING, content_hash, data_hash, initiator_key, link, searched

# Read at once: some 10 ms of work.
_BATCH: Final = 500
# Of so many findings each is told; of more the number.
_MOST_FINDINGS: Final = 1_000


class Fault(StrEnum):
    """What was found."""

    CHANGED = "changed"  # an entry does not say any more what it said
    ADDED = "added"  # an entry was not written by Earshot
    REMOVED = "removed"  # entries are not there any more
    MOVED = "moved"  # entries, or the first or last of them, are not in their places in the chain
    ERASED = "erased"  # the data of an entry was taken out, and no entry says by whom
    REWRITTEN = "rewritten"  # between two signed ends, entries were removed or added and the chain made anew
    CUT_OFF = "cut off"  # the chain was longer once
    UNSIGNED = "unsigned"  # entries were sealed, and the signed end of it is gone
    FORGED = "forged"  # an end was not signed by this system
    UNANCHORED = "unanchored"  # ends were signed, and nothing is kept of them outside of the database


@dataclass(frozen=True, slots=True)
class Named:
    """The entry that a finding is about, as it stands there now."""

    id: str
    at: datetime | None
    who: str
    resource: str
    action: str
    name: str


@dataclass(frozen=True, slots=True)
class Finding:
    """`first` to `last`: numbers in the chain; None for an entry that has none. `entry`: the first of them, `before`:
    the one before them, where these are there. `anchored`: it is told by what was kept outside of the database.
    """

    fault: Fault
    first: int | None = None
    last: int | None = None
    entry: Named | None = None
    before: Named | None = None
    anchored: bool = False


@dataclass(slots=True)
class Report:
    """What a look at the whole trail came to: entries that are sealed and not sealed yet, those of which the data was
    erased, signed ends in the database, and those kept outside of it. `findings`: the first of all `found`.
    """

    sealed: int = 0
    unsealed: int = 0
    erased: int = 0
    heads: int = 0
    anchors: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.found += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(finding)


async def verify(key: Ed25519PublicKey, anchors: Iterator[Head | None]) -> Report:
    """Reads the whole trail in batches. `anchors`: the ends that were kept outside of the database, in order, as they
    were when this began; None for one that cannot be read.

    Errors: as of a unit that reads.
    """
    look = _Look(await _proving_key(), key, anchors)
    after: tuple[Any, Any] | None = None
    while batch := await _unsealed(after):
        for row in batch:
            look.unsealed(row)
        after = (batch[-1]["at"], batch[-1]["id"])
    until, signed = await _ends()
    look.signed_until(signed)
    number = 0
    while True:
        batch, heads = await _sealed(number, until)
        upto = batch[-1]["number"] if len(batch) == _BATCH else until
        look.ends(heads, upto)
        for row in batch:
            look.sealed(row)
        if len(batch) < _BATCH:
            break
        number = upto
    for head in await _heads(until, signed):
        look.beyond(head, anchored=False)
    look.finish(until)
    return look.report


class _Look:
    """One walk along the chain."""

    def __init__(self, proving: bytes, key: Ed25519PublicKey, anchors: Iterator[Head | None]) -> None:
        self.report = Report()
        self._proving = proving
        self._key = key
        self._anchors = anchors
        self._next_anchor: Head | None = None
        self._ends: dict[int, str] = {}  # by number: the chain as it was signed
        self._signed_until = 0  # the last number of which the database says that the chain ended there
        self._signed = 0  # the last number that was found to be a signed end
        self._unsigned: list[int] = []  # the first and the last of which only the outside knows
        self._fitting = 0  # the last number at which the chain was as it was signed
        self._rewritten = False
        self._number = 0
        self._chain: str | None = BEGINNING  # None: the entry before is not there
        self._moved: Finding | None = None  # up to the entry before
        self._last: Named | None = None
        self._farthest: tuple[int, bool] = (0, False)
        self._erased: dict[str, tuple[int | None, Named]] = {}
        self._purged: set[str] = set()
        self._waiting: set[str] = set()

    def signed_until(self, number: int) -> None:
        self._signed_until = number

    def unsealed(self, row: dict[str, Any]) -> None:
        self.report.unsealed += 1
        named = _named(row)
        self._waiting.add(named.id)
        if row["chain"]:
            self.report.add(Finding(Fault.MOVED, entry=named))
        elif not is_proved(self._proving, row):
            self.report.add(Finding(Fault.ADDED, entry=named))
        else:
            self._look_inside(row, None, named)

    def ends(self, heads: list[Head], upto: int) -> None:
        """The signed ends of the entries that come next, up to a number."""
        self._ends.clear()
        for head in heads:
            self.report.heads += 1
            if is_genuine(head, self._key):
                self._ends[head.number] = head.chain
                self._signed = head.number
            else:
                self.report.add(Finding(Fault.FORGED, head.number, head.number))
        while (anchor := self._anchor()) is not None and anchor.number <= upto:
            self._next_anchor = None
            known = self._ends.get(anchor.number)
            if known is None:
                self._unsigned = [*self._unsigned[:1], anchor.number]
            # Where they differ, both are genuine: what is outside of the database counts.
            self._ends[anchor.number] = anchor.chain

    def sealed(self, row: dict[str, Any]) -> None:
        number, named = int(row["number"]), _named(row)
        self.report.sealed += 1
        if named.id in self._waiting:  # it was sealed meanwhile
            self.report.unsealed -= 1
        if number > self._number + 1:
            self.report.add(Finding(Fault.REMOVED, self._number + 1, number - 1, before=self._last))
            self._move_ends()
            self._chain = None
        proved = is_proved(self._proving, row)
        linked = self._linked(row, number)
        if linked is False and proved and self._ends.get(number) != row["chain"]:
            first, entry = (number, named) if self._moved is None else (self._moved.first, self._moved.entry)
            self._moved = Finding(Fault.MOVED, first, number, entry)
        else:
            self._move_ends()
        if not proved:
            fault = Fault.ADDED if linked or number > self._signed_until else Fault.CHANGED
            self.report.add(Finding(fault, number, number, named))
        else:
            self._look_inside(row, number, named)
        self._compare(number, row["chain"])
        self._number, self._chain, self._last = number, row["chain"], named

    def beyond(self, head: Head, *, anchored: bool) -> None:
        """An end that was signed after the last entry that is there."""
        if anchored or is_genuine(head, self._key):
            self._farthest = max(self._farthest, (head.number, anchored))
        else:
            self.report.add(Finding(Fault.FORGED, head.number, head.number))

    def finish(self, until: int) -> None:
        self._move_ends()
        if self._rewritten:
            self.report.add(Finding(Fault.REWRITTEN, self._fitting + 1, self._number, before=self._last))
        while (anchor := self._anchor()) is not None:
            self._next_anchor = None
            self.beyond(anchor, anchored=True)
        farthest, anchored = self._farthest
        if farthest > until:
            self.report.add(Finding(Fault.CUT_OFF, until + 1, farthest, before=self._last, anchored=anchored))
        elif self._signed < until:
            self.report.add(Finding(Fault.UNSIGNED, self._signed + 1, until, entry=self._last))
        if self._unsigned:
            self.report.add(Finding(Fault.UNSIGNED, self._unsigned[0], self._unsigned[-1], anchored=True))
        if self.report.heads and not self.report.anchors:
            self.report.add(Finding(Fault.UNANCHORED, 1, self._signed))
        for entry_id, (number, named) in self._erased.items():
            if entry_id not in self._purged:
                self.report.add(Finding(Fault.ERASED, number, number, named))

    def _linked(self, row: dict[str, Any], number: int) -> bool | None:
        """Whether an entry fits the one before it; None where that is not there."""
        if self._chain is None:
            return None
        try:
            return bool(link(self._chain, number, content_hash(told(row))) == row["chain"])
        except (ValueError, TypeError, AttributeError):
            return False

    def _move_ends(self) -> None:
        if self._moved is not None:
            self.report.add(self._moved)
            self._moved = None

    def _compare(self, number: int, chain: str) -> None:
        signed = self._ends.get(number)
        if signed is None:
            return
        if signed != chain:
            self._rewritten = True
            return
        if self._rewritten:
            self.report.add(Finding(Fault.REWRITTEN, self._fitting + 1, number, before=self._last))
        self._fitting, self._rewritten = number, False

    def _look_inside(self, row: dict[str, Any], number: int | None, named: Named) -> None:
        """At what the proof does not cover: the data, of which it covers the hash, and what is searched in."""
        if row["data"] is None and row["data_hash"] != NOTHING:
            self.report.erased += 1
            self._erased[named.id] = (number, named)
        elif data_hash(row["data"]) != row["data_hash"]:
            self.report.add(Finding(Fault.CHANGED, number, number, named))
            return
        found_by = (searched(row), initiator_key(row["initiator_name"], row["initiator_login"]))
        if found_by != (row["search"], row["initiator_key"]):
            self.report.add(Finding(Fault.CHANGED, number, number, named))
        if (row["resource"], row["action"]) == (Resource.AUDIT, Action.PURGE):
            self._purged.add(row["related_id"])

    def _anchor(self) -> Head | None:
        """The next end that was kept outside and that this system signed."""
        while self._next_anchor is None:
            try:
                anchor = next(self._anchors)
            except StopIteration:
                return None
            if anchor is not None and is_genuine(anchor, self._key):
                self.report.anchors += 1
                self._next_anchor = anchor
            else:
                number = None if anchor is None else anchor.number
                self.report.add(Finding(Fault.FORGED, number, number, anchored=True))
        return self._next_anchor


def _named(row: dict[str, Any]) -> Named:
    who = f"{row['initiator_name']} ({row['initiator_login']})" if row["initiator_login"] else row["application"]
    try:
        entry_id, at = str(as_id(row["id"])), as_moment(row["at"])
    except (ValueError, TypeError, AttributeError, OverflowError):
        entry_id, at = str(row["id"]), None
    return Named(entry_id, at, str(who), str(row["resource"]), str(row["action"]), str(row["related_name"]))


@reading
async def _proving_key() -> bytes:
    return audit_key()


@reading
async def _unsealed(after: tuple[Any, Any] | None) -> list[dict[str, Any]]:
    newer, values = ("", []) if after is None else ("AND (at, id) > ($1, $2)", list(after))
    query = f"SELECT * FROM audit_entry WHERE number IS NULL {newer} ORDER BY at, id LIMIT {_BATCH}"  # noqa: S608  # ours
    return await rows(query, *values)


@reading
async def _ends() -> tuple[int, int]:
    """The last number of an entry, and of a head, at one moment."""
    query = (
        "SELECT (SELECT max(number) FROM audit_entry WHERE number <= $1) AS entry, "
        "(SELECT max(number) FROM audit_head WHERE number <= $1) AS head"
    )
    [found] = await rows(query, 1 << 62)
    return found["entry"] or 0, found["head"] or 0


@reading
async def _sealed(after: int, until: int) -> tuple[list[dict[str, Any]], list[Head]]:
    """Entries after a number, in order, and the heads of these."""
    query = "SELECT * FROM audit_entry WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3"
    found = await rows(query, after, until, _BATCH)
    upto = found[-1]["number"] if len(found) == _BATCH else until
    return found, await heads_between(after, upto, upto - after)


@reading
async def _heads(after: int, until: int) -> list[Head]:
    """The last head after a number, if there is one."""
    return await heads_between(max(after, until - 1), until, 1)
