"""The sealer: what was done is sealed within moments, and its ends are in a file besides, whatever was killed when."""

import json
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from archive import anchors
from archive.clerk import Access
from archive.sealer import Sealer
from engine.keys import audit_signing_key
from schema import audit, chain
from schema.database import open_database, rows, unit
from schema.entries import Action, Resource
from schema.values import DEFAULT_TENANT
from schema.verification import Fault, verify
from tests.databases import KEY
from tests.people import COMMAND

SIGNING = audit_signing_key(bytes(32))
PATIENCE_S = 30


@unit
async def sql(query: str, *values: object) -> list[dict[str, object]]:
    return await rows(query, *values)


async def told(number: int) -> None:
    for _ in range(number):
        await audit.note(COMMAND, Resource.CALLS, Action.PLAYBACK, tenant_id=DEFAULT_TENANT)


async def seal(path: Path) -> None:
    """What an archive does that starts, and once."""
    await Sealer(path, SIGNING, Access()).seal()


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


async def test_what_was_done_is_sealed_and_kept(database_url: str, tmp_path: Path) -> None:
    path = anchors.path_below(tmp_path)
    async with open_database(database_url, key=KEY):
        await told(3)
        await seal(path)
        await told(2)
        await seal(path)
        assert numbers(path) == [3, 5]
        assert path.stat().st_mode & 0o777 == 0o600
        report = await verify(SIGNING.public_key(), anchors.read(path))
        assert (report.found, report.sealed, report.unsealed, report.anchors) == (0, 5, 0, 2)


async def test_ends_that_a_kill_left_out_are_written(database_url: str, tmp_path: Path) -> None:
    path = anchors.path_below(tmp_path)
    async with open_database(database_url, key=KEY):
        await told(2)
        await seal(path)
        # Sealed, and killed before the file was written; sealed again by the archive of another host.
        for _ in range(2):
            await told(1)
            await chain.seal(SIGNING, None)
        # And killed while a line was written.
        with path.open("a") as file:
            file.write('{"number": 3, "cha')
        await seal(path)
        assert numbers(path) == [2, 3, 4]
        assert (await verify(SIGNING.public_key(), anchors.read(path))).found == 0


async def test_two_archives_seal_by_turns(database_url: str, tmp_path: Path) -> None:
    paths = [anchors.path_below(tmp_path / name) for name in ("one", "two")]
    async with open_database(database_url, key=KEY):
        for _ in range(5):
            await told(10)
            async with trio.open_nursery() as nursery:
                for path in paths:
                    nursery.start_soon(seal, path)
                nursery.start_soon(told, 3)
        for path in (*paths, paths[0]):
            await seal(path)
        assert numbers(paths[0]) == numbers(paths[1])
        assert numbers(paths[0])[-1] == 65
        for path in paths:
            assert (await verify(SIGNING.public_key(), anchors.read(path))).found == 0


async def test_it_goes_on_by_itself(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = anchors.path_below(tmp_path)
    sealer, passes, again = Sealer(path, SIGNING, Access()), [1, 2], trio.Event()
    once = sealer.seal

    async def seal_and_tell() -> None:
        await once()
        await told(1)
        passes.pop()
        if not passes:
            again.set()

    monkeypatch.setattr(sealer, "seal", seal_and_tell)
    async with open_database(database_url, key=KEY), trio.open_nursery() as nursery:
        await told(1)
        nursery.start_soon(sealer.run)
        with trio.fail_after(PATIENCE_S):
            await again.wait()
        nursery.cancel_scope.cancel()
    assert numbers(path) == [1, 2]


async def test_nothing_is_sealed_that_cannot_be_kept(database_url: str, tmp_path: Path) -> None:
    path = anchors.path_below(tmp_path)
    path.mkdir(parents=True)
    async with open_database(database_url, key=KEY):
        await told(1)
        with pytest.raises(IsADirectoryError):
            await Sealer(path, SIGNING, Access()).run()


async def test_what_is_not_ours_is_told_once(database_url: str, tmp_path: Path) -> None:
    path = anchors.path_below(tmp_path)
    async with open_database(database_url, key=KEY):
        await told(2)
        [row] = await sql("SELECT id FROM audit_entry ORDER BY at LIMIT 1")
        await sql("UPDATE audit_entry SET address = 'elsewhere' WHERE id = $1", row["id"])
        sealer = Sealer(path, SIGNING, Access())
        with capture_logs() as logs:
            await sealer.seal()
            await told(1)
            await sealer.seal()
        told_of = [entry for entry in logs if entry["event"] == "audit_entry_not_ours"]
        assert [entry["entry"] for entry in told_of] == [str(chain.as_id(row["id"]))]


async def test_numbers_are_not_given_again_after_the_end_was_cut_off(database_url: str, tmp_path: Path) -> None:
    path = anchors.path_below(tmp_path)
    async with open_database(database_url, key=KEY):
        await told(3)
        await seal(path)
        await sql("DELETE FROM audit_entry")
        await sql("DELETE FROM audit_head")
        await told(1)
        with capture_logs() as logs:
            await seal(path)
        assert [entry["event"] for entry in logs] == ["audit_trail_cut_off"]
        report = await verify(SIGNING.public_key(), anchors.read(path))
        assert [(one.fault, one.first, one.last) for one in report.findings] == [
            (Fault.REMOVED, 1, 3),
            (Fault.UNSIGNED, 3, 3),
        ]
