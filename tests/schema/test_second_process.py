"""A second process that opens the embedded database and leaves takes nothing away from the first."""

import subprocess
import sys
from pathlib import Path

import trio

from schema import clerk
from schema.database import open_database
from tests.databases import KEY

VISIT = """
import sys, trio
from schema import clerk
from schema.database import open_database

async def visit():
    async with open_database(sys.argv[1], key=bytes(range(32))):
        await clerk.nodes()

trio.run(visit)
"""


async def test_the_log_of_a_database_that_is_open_survives_another_process(tmp_path: Path) -> None:
    path = tmp_path / "earshot.sqlite"
    url = f"sqlite:///{path}"
    async with open_database(url, migrate=True, key=KEY):
        await clerk.nodes()
        log = path.with_name(f"{path.name}-wal")
        before = log.stat().st_ino
        visit = [sys.executable, "-c", VISIT, url]
        await trio.to_thread.run_sync(lambda: subprocess.run(visit, check=True, timeout=60))
        assert log.stat().st_ino == before
        await clerk.nodes()
