"""The chain of the audit trail: whoever touches an entry in the database is found out, and which one it was is told."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schema import audit, chain
from schema.audit import Filters
from schema.chain import Head
from schema.columns import new_id
from schema.database import audit_key, open_database, rows, unit
from schema.entries import About, Action, Resource
from schema.proofs import content_hash, link, proof
from schema.refusals import NotThere
from schema.roles import EVERYTHING, Reach
from schema.values import DEFAULT_TENANT, NOBODY, Scope
from schema.verification import Fault, Report, verify
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user

SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@unit
async def sql(query: str, *values: object) -> list[dict[str, object]]:
    """What somebody does who can write to the database."""
    return await rows(query, *values)


async def told(number: int) -> None:
    """So many entries, one after the other: call 1, call 2 ..."""
    for one in range(1, number + 1):
        await audit.note(
            COMMAND, Resource.CALLS, Action.PLAYBACK, About(UUID(int=one), f"call {one}"), tenant_id=DEFAULT_TENANT
        )


async def sealed() -> Sequence[Head]:
    """Seals all; gives what would be kept outside of the database."""
    while (await chain.seal(SIGNING, None)).after is not None:
        pass
    return await chain.heads_after(0, 1000)


async def a_trail(number: int = 6, *, at_once: int = 2) -> Sequence[Head]:
    """Entries, sealed a few at a time."""
    heads: Sequence[Head] = []
    for _ in range(0, number, at_once):
        await told(at_once)
        heads = await sealed()
    return heads


async def looked(anchors: Sequence[Head | None] = ()) -> Report:
    def kept() -> Iterator[Head | None]:
        yield from anchors

    return await verify(SIGNING.public_key(), kept())


def found(report: Report) -> list[tuple[Fault, int | None, int | None]]:
    assert report.found == len(report.findings)
    return [(one.fault, one.first, one.last) for one in report.findings]


# What is well


async def test_an_untouched_trail_is_well(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        assert found(await looked()) == []
        heads = await a_trail(6)
        await a_user("amy")
        report = await looked(heads)
        assert found(report) == []
        assert (report.sealed, report.unsealed, report.heads, report.anchors) == (6, 1, 3, 3)
        entries = await sql("SELECT number FROM audit_entry ORDER BY number")
        assert [row["number"] for row in entries if row["number"]] == [1, 2, 3, 4, 5, 6]


async def test_batches_go_on_where_the_last_one_ended(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "BATCH", 3)
    async with open_database(database_url, key=KEY):
        await told(7)
        first = await chain.seal(SIGNING, None)
        second = await chain.seal(SIGNING, None, first.after)
        third = await chain.seal(SIGNING, None, second.after)
        assert [first.entries, second.entries, third.entries] == [3, 3, 1]
        assert third.after is None
        assert await chain.seal(SIGNING, None) == chain.Sealed()
        assert [head.number for head in await chain.heads_after(3, 10)] == [6, 7]
        assert found(await looked(await chain.heads_after(0, 10))) == []


async def test_an_end_that_is_known_from_outside_is_never_given_again(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        known = chain.sign(SIGNING, 40, "ab" * 32, datetime.now(UTC))
        await told(1)
        assert await chain.seal(SIGNING, known) == chain.Sealed(entries=1, behind=0)
        [head] = await chain.heads_after(0, 10)
        assert head.number == 41
        report = await looked([known, head])
        assert found(report) == [(Fault.REMOVED, 1, 40), (Fault.UNSIGNED, 40, 40)]


# Who can write to the database


CHANGES = {
    "tenant_id": new_id(),
    "at": datetime(2020, 1, 1, tzinfo=UTC),
    "initiator_id": new_id(),
    "initiator_login": "eve",
    "initiator_name": "Eve",
    "initiator_key": "eve",
    "address": "203.0.113.9",
    "application": "web",
    "resource": "users",
    "action": "download",
    "related_id": str(new_id()),
    "related_name": "another",
    "parent_id": str(new_id()),
    "details": '{"a": "b"}',
    "data": '{"fields": {}, "unchanged": {}}',
    "data_hash": "00" * 32,
    "search": "nothing",
    "origin": "elsewhere",
}


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "unsealed"])
async def test_a_changed_entry_is_named(database_url: str, column: str, is_sealed: bool) -> None:
    async with open_database(database_url, key=KEY):
        await told(3)
        heads = await sealed() if is_sealed else ()
        [row] = await sql("SELECT id FROM audit_entry WHERE related_name = 'call 2'")
        query = f"UPDATE audit_entry SET {column} = $1 WHERE id = $2"  # noqa: S608  # of the list above
        await sql(query, CHANGES[column], row["id"])
        report = await looked(heads)
        [finding] = report.findings
        assert (finding.first, finding.last) == ((2, 2) if is_sealed else (None, None))
        assert finding.fault in ((Fault.CHANGED,) if is_sealed else (Fault.CHANGED, Fault.ADDED))
        assert finding.entry is not None
        assert finding.entry.id == str(chain.as_id(row["id"]))


async def test_a_changed_value_is_found_in_the_data(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy = await a_user("amy")
        heads = await sealed()
        [entry] = (await audit.list_entries(COMMAND.scope, Filters(resource=Resource.USERS))).items
        assert entry.fields["login"] == ("", "amy")
        await sql("UPDATE audit_entry SET data = replace(data, 'amy', 'eve') WHERE resource = 'users'")
        [finding] = (await looked(heads)).findings
        assert finding.fault == Fault.CHANGED
        assert finding.entry is not None
        assert (finding.entry.id, finding.entry.name) == (str(entry.id), amy.name)


@pytest.mark.parametrize("gone", [[1], [3], [2, 3], [1, 4]])
async def test_removed_entries_leave_their_numbers(database_url: str, gone: list[int]) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(6)
        for number in gone:
            await sql("DELETE FROM audit_entry WHERE number = $1", number)
        expected = [(Fault.REMOVED, one, one) for one in gone] if gone != [2, 3] else [(Fault.REMOVED, 2, 3)]
        assert found(await looked(heads)) == expected


async def rechained(start: int, *, resign: bool = False) -> None:
    """The chain made anew from a number on, as somebody can who has no key."""
    last = "00" * 32
    for place, row in enumerate(await sql("SELECT * FROM audit_entry ORDER BY number"), 1):
        if place >= start:
            last = link(last, place, content_hash(chain.told(row)))
            await sql("UPDATE audit_entry SET number = $1, chain = $2 WHERE id = $3", place, last, row["id"])
        last = str((await sql("SELECT chain FROM audit_entry WHERE id = $1", row["id"]))[0]["chain"])
    if resign:
        for row in await sql("SELECT * FROM audit_head WHERE number >= $1", start):
            [entry] = await sql("SELECT chain FROM audit_entry WHERE number = $1", row["number"])
            forged = chain.sign(STRANGER, int(str(row["number"])), str(entry["chain"]), datetime.now(UTC))
            await sql(
                "UPDATE audit_head SET chain = $1, at = $2, signature = $3 WHERE number = $4",
                *(forged.chain, forged.at, forged.signature, forged.number),
            )


async def test_a_removal_that_is_covered_up_contradicts_the_signed_ends(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(8)
        await sql("DELETE FROM audit_entry WHERE number = 3")
        await rechained(3)
        report = await looked(heads)
        assert found(report) == [(Fault.REWRITTEN, 3, 7), (Fault.CUT_OFF, 8, 8)]


async def test_forged_ends_do_not_cover_it_up(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(8)
        await sql("DELETE FROM audit_entry WHERE number = 3")
        await sql("DELETE FROM audit_head WHERE number = 8")
        await rechained(3, resign=True)
        assert {fault for fault, *_ in found(await looked(heads))} >= {Fault.FORGED, Fault.REWRITTEN, Fault.CUT_OFF}
        await sql("DELETE FROM audit_head WHERE number >= 4")
        report = await looked(heads)
        assert (Fault.CUT_OFF, 8, 8) in found(report)
        assert (Fault.REWRITTEN, 3, 7) in found(report)


async def test_an_entry_of_somebody_elses_is_named(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(4)
        [row] = await sql("SELECT * FROM audit_entry WHERE number = 4")
        forged = {**row, "id": new_id(), "initiator_login": "eve", "number": None, "chain": ""}
        await sql(_insert(forged), *forged.values())
        report = await looked(heads)
        assert found(report) == [(Fault.ADDED, None, None)]
        assert report.findings[0].entry is not None
        assert report.findings[0].entry.id == str(forged["id"])
        # It is never sealed, and stands in nobody's way.
        await told(1)
        outcome = await chain.seal(SIGNING, None)
        assert (outcome.entries, outcome.unproved) == (1, (str(forged["id"]),))
        await sql("DELETE FROM audit_entry WHERE id = $1", forged["id"])
        sealed_one = {**forged, "number": 6, "chain": "ab" * 32}
        await sql(_insert(sealed_one), *sealed_one.values())
        assert found(await looked(await chain.heads_after(0, 9))) == [(Fault.ADDED, 6, 6), (Fault.UNSIGNED, 6, 6)]


async def test_an_entry_that_is_put_in_between_is_named(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(4)
        [row] = await sql("SELECT * FROM audit_entry WHERE number = 2")
        for number in (4, 3):
            await sql("UPDATE audit_entry SET number = $1 WHERE number = $2", number + 1, number)
        forged = {**row, "id": new_id(), "initiator_login": "eve", "number": 3, "chain": "ab" * 32}
        await sql(_insert(forged), *forged.values())
        await rechained(3)
        report = await looked(heads)
        assert (Fault.ADDED, 3, 3) in found(report)
        assert {fault for fault, *_ in found(report)} == {Fault.ADDED, Fault.REWRITTEN, Fault.UNSIGNED}


def _insert(row: dict[str, object]) -> str:
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    return f"INSERT INTO audit_entry ({', '.join(row)}) VALUES ({places})"  # noqa: S608  # columns of ours


# By the two that changed places, and whether what the chain was went with them: what is told of.
PLACES = {
    (2, 3, True): [(2, 4)],
    (2, 3, False): [(2, 3)],
    (2, 5, True): [(2, 3), (5, 6)],
    (2, 5, False): [(2, 2), (5, 5)],
    # The end was signed: its place is known.
    (1, 6, True): [(1, 2), (6, 6)],
    (1, 6, False): [(1, 1), (6, 6)],
}


@pytest.mark.parametrize(("one", "other", "with_chain"), PLACES)
async def test_entries_that_changed_places_are_named(database_url: str, one: int, other: int, with_chain: bool) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(7, at_once=7)
        chains = {row["number"]: row["chain"] for row in await sql("SELECT number, chain FROM audit_entry")}
        for before, after in ((one, 99), (other, one), (99, other)):
            await sql("UPDATE audit_entry SET number = $1 WHERE number = $2", after, before)
        if not with_chain:
            for number in (one, other):
                await sql("UPDATE audit_entry SET chain = $1 WHERE number = $2", chains[number], number)
        report = await looked(heads)
        assert found(report) == [(Fault.MOVED, *places) for places in PLACES[one, other, with_chain]]
        named = report.findings[0].entry
        assert named is not None
        assert named.name == f"call {other}"


async def test_an_entry_that_lost_its_place_is_named(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(4)
        await sql("UPDATE audit_entry SET number = NULL WHERE number = 2")
        report = await looked(heads)
        assert found(report) == [(Fault.MOVED, None, None), (Fault.REMOVED, 2, 2)]
        # Nor is it sealed again somewhere else.
        assert (await chain.seal(SIGNING, None)).entries == 0


@pytest.mark.parametrize("heads_too", [False, True], ids=["entries", "heads as well"])
async def test_a_trail_that_was_cut_off_is_found(database_url: str, heads_too: bool) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(6)
        await sql("DELETE FROM audit_entry WHERE number > 3")
        if heads_too:
            await sql("DELETE FROM audit_head WHERE number > 3")
        report = await looked(heads)
        assert found(report)[0] == (Fault.CUT_OFF, 4, 6)
        before = report.findings[0].before
        assert before is not None
        assert before.name == "call 1"
        # All of it, and what came after.
        await sql("DELETE FROM audit_entry")
        await sql("DELETE FROM audit_head")
        assert found(await looked(heads)) == [(Fault.CUT_OFF, 1, 6)]


async def test_ends_that_are_gone_are_missed(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(6)
        assert found(await looked()) == [(Fault.UNANCHORED, 1, 6)]
        assert found(await looked([*heads[:2], None, heads[2]])) == [(Fault.FORGED, None, None)]
        assert found(await looked([chain.sign(STRANGER, 2, heads[0].chain, heads[0].at), *heads[1:]])) == [
            (Fault.FORGED, 2, 2)
        ]
        await sql("DELETE FROM audit_head WHERE number > 3")
        assert found(await looked(heads)) == [(Fault.UNSIGNED, 3, 6), (Fault.UNSIGNED, 4, 6)]


async def test_a_proof_is_made_under_the_systems_key(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        heads = await a_trail(2)

        @unit
        async def key() -> bytes:
            return audit_key()

        [row] = await sql("SELECT * FROM audit_entry WHERE number = 1")
        assert row["proof"] == proof(await key(), chain.told(row))
    async with open_database(database_url, key=bytes(32)):
        assert [one.fault for one in (await looked(heads)).findings] == [Fault.ADDED, Fault.ADDED]


# Data that must not be kept


async def test_data_can_be_erased_and_that_is_told(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy", name="Amy Archer")
        heads = await sealed()
        [entry] = (await audit.list_entries(COMMAND.scope, Filters(resource=Resource.USERS, text="amy"))).items
        for _ in range(2):
            await chain.erase_data(COMMAND, entry.id)
        left = await audit.get_entry(COMMAND.scope, entry.id)
        assert left is not None
        assert (left.fields, left.unchanged, left.erased) == ({}, {}, True)
        [purge] = (await audit.list_entries(COMMAND.scope, Filters(resource=Resource.AUDIT))).items
        assert (purge.action, purge.about.id) == (Action.PURGE, str(entry.id))
        report = await looked(heads)
        assert (found(report), report.erased, report.unsealed) == ([], 1, 1)
        assert (found(await looked(await sealed())), report.erased) == ([], 1)
        assert (await audit.list_entries(COMMAND.scope, Filters(text="confidential"))).items == ()


async def test_data_that_was_erased_by_nobody_is_found(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy")
        heads = await sealed()
        [row] = await sql("SELECT * FROM audit_entry WHERE resource = 'users'")
        left = chain.searched({**row, "data": None})
        await sql("UPDATE audit_entry SET data = NULL, search = $1 WHERE id = $2", left, row["id"])
        assert found(await looked(heads)) == [(Fault.ERASED, row["number"], row["number"])]


async def test_nobody_erases_what_he_does_not_see(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await a_user("amy")
        [entry] = (await audit.list_entries(COMMAND.scope, Filters(resource=Resource.USERS))).items
        elsewhere = Scope(new_id(), NOBODY, Reach.TENANT, confidential=True)
        with pytest.raises(NotThere):
            await chain.erase_data(type(COMMAND)(elsewhere, EVERYTHING, COMMAND.application), entry.id)
        assert await audit.get_entry(COMMAND.scope, entry.id) == entry
