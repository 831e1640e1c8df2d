"""`earshot audit verify` as an operator meets it: what it prints, and how it ends."""

from fnmatch import fnmatchcase
from pathlib import Path
from uuid import UUID

import pytest
import trio
from typer.testing import CliRunner, Result

from archive import anchors
from archive.audit_command import Trail, audit
from engine.keys import audit_signing_key
from schema import chain
from schema.audit import note
from schema.database import open_database, rows, unit
from schema.entries import About, Action, Resource
from schema.values import DEFAULT_TENANT
from tests.databases import KEY
from tests.people import COMMAND

SIGNING = audit_signing_key(bytes(32))


@unit
async def sql(query: str, *values: object) -> list[dict[str, object]]:
    return await rows(query, *values)


@pytest.fixture
def trail(database_url: str, tmp_path: Path) -> Trail:
    """Six entries, sealed two at a time; the ends are in their file."""

    async def make() -> None:
        async with open_database(database_url, key=KEY):
            for number in range(1, 7):
                about = About(UUID(int=number), f"call {number}")
                await note(COMMAND, Resource.CALLS, Action.PLAYBACK, about, tenant_id=DEFAULT_TENANT)
                if number % 2 == 0:
                    await chain.seal(SIGNING, None)
            anchors.append(anchors.path_below(tmp_path), await chain.heads_after(0, 10))

    trio.run(make)
    return Trail(database_url, KEY, SIGNING.public_key(), tmp_path)


def touch(trail: Trail, *queries: str) -> None:
    async def run() -> None:
        async with open_database(trail.database_url, key=KEY):
            for query in queries:
                await sql(query)

    trio.run(run)


def verified(trail: Trail, *words: str) -> Result:
    return CliRunner().invoke(audit, ["verify", *words], obj=lambda: trail)


def test_an_untouched_trail_ends_well(trail: Trail) -> None:
    answer = verified(trail)
    assert answer.exit_code == 0
    assert answer.output == (
        "Sealed entries: 6. Not sealed yet: 0. Of which the data was erased: 0. Signed ends: 3, and outside of the "
        "database 3.\nThe audit trail is as Earshot wrote it.\n"
    )


TOUCHED = {
    "UPDATE audit_entry SET initiator_login = 'eve' WHERE number = 3": 'Entry 3 (20*eve): playback, calls "call 3"*'
    "was changed after it was written.",
    "DELETE FROM audit_entry WHERE number = 3": 'Entry 3 is removed. The one before is of 20*"call 2"*',
    "DELETE FROM audit_entry WHERE number > 4": 'Entries 5 to 6 are cut off at the end of the trail: *"call 4"*',
    "UPDATE audit_entry SET number = NULL, chain = '', proof = '00' WHERE number = 6": "The entry without a number "
    '(20*"call 6"*) was not written by Earshot*',
    "UPDATE audit_entry SET number = 7 WHERE number = 6": "Entry 7 is without a signed end*"
    'The last one is of 20*"call 6"*',
    "UPDATE audit_head SET chain = '00' WHERE number = 4": "The end at number 4 in the database was not signed*",
    "DELETE FROM audit_head WHERE number < 4": "Signed ends from number 2 to 2 were removed from the database.",
}


@pytest.mark.parametrize("query", TOUCHED)
def test_a_touched_one_names_what_was_touched(trail: Trail, query: str) -> None:
    touch(trail, query)
    answer = verified(trail)
    assert answer.exit_code == 1
    assert any(fnmatchcase(line, TOUCHED[query]) for line in answer.stdout.splitlines()), answer.output
    assert "Somebody touched the audit trail" in answer.stderr


def test_a_trail_that_was_cut_with_its_heads_is_known_by_the_file(trail: Trail) -> None:
    touch(trail, "DELETE FROM audit_entry WHERE number > 4", "DELETE FROM audit_head WHERE number > 4")
    answer = verified(trail)
    assert answer.exit_code == 1
    file = anchors.path_below(trail.data_dir)
    assert f"Entries 5 to 6 are cut off at the end of the trail: {file} tells that they were there." in answer.stdout


def test_a_missing_file_is_told(trail: Trail) -> None:
    file = anchors.path_below(trail.data_dir)
    copy = trail.data_dir / "copy.jsonl"
    file.rename(copy)
    answer = verified(trail)
    assert answer.exit_code == 1
    assert f"{file} has no signed end, although there are some up to number 6: it was removed." in answer.stdout
    assert verified(trail, "--anchors", str(copy)).exit_code == 0
    answer = verified(trail, "--anchors", str(file))
    assert (answer.exit_code, answer.stderr) == (2, f"There is no file {file}.\n")


def test_another_master_key_is_suspected(trail: Trail) -> None:
    answer = verified(Trail(trail.database_url, bytes(32), audit_signing_key(KEY).public_key(), trail.data_dir))
    assert answer.exit_code == 1
    assert "Nothing proves true under this master key." in answer.stderr


def test_a_database_that_is_away_is_no_finding(trail: Trail) -> None:
    away = "postgresql://postgres@127.0.0.1:1/none"
    answer = verified(Trail(away, KEY, trail.key, trail.data_dir))
    assert answer.exit_code == 2
    assert answer.stderr.startswith("The database does not answer")
    assert answer.stderr.endswith("Nobody looked at the audit trail.\n")
