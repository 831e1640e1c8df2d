"""The commands that people use on the database: `earshot migrate` and `earshot reindex`, in words.

Not here: migrations (`schema/`), what reindexing is (`reindex.py`), settings.
"""

import math
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

import trio
import typer
from rich.console import Console
from rich.progress import Progress

from actors.spool import Spool, SpoolUnusable
from archive.reindex import Reindexed, reindex
from schema.database import DatabaseError, migrate, open_database

FAILED: Final = 1
# What takes longer than this shows how far it is.
PATIENCE_S: Final = 2.0
AGAIN: Final = "What was done until then stays. Run this again once the database is there: nothing is done twice."


def bring_up_to_date(database_url: str) -> None:
    """Apply the migrations that are missing, and say which. Exits with 1 where the database is away."""
    try:
        applied = trio.run(migrate, database_url)
    except DatabaseError as error:
        _fail(f"{error.what} {AGAIN}")
    for name in applied:
        typer.echo(f"Applied {name}.")
    typer.echo("The database is up to date." if applied else "The database was up to date already.")


def rebuild(data_dir: Path, database_url: str, database_key: bytes, node: str) -> None:
    """Tell the database of every recording below `data_dir`. Exits with 1 where not all could be told."""
    try:
        spool = Spool.below(data_dir)
        outcome = trio.run(_reindex, spool, database_url, database_key, node)
    except DatabaseError as error:
        _fail(f"{error.what} {AGAIN}")
    except SpoolUnusable as error:
        _fail(str(error))
    for path, reason in outcome.unreadable:
        typer.echo(f"{path} cannot be read: {reason}", err=True)
    typer.echo(f"Recordings in the database: {outcome.recordings}. Calls without one: {outcome.stuck}.")
    if outcome.unreadable:
        typer.echo(f"Manifests that cannot be read: {len(outcome.unreadable)}. Their audio is untouched.", err=True)
        raise typer.Exit(FAILED)


async def _reindex(spool: Spool, database_url: str, database_key: bytes, node: str) -> Reindexed:
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("Reading manifests", total=None)
    shown_from_s = time.monotonic() + PATIENCE_S if sys.stderr.isatty() else math.inf

    def show(done: int, of: int) -> None:
        if time.monotonic() > shown_from_s:
            bar.start()
            bar.update(task, completed=done, total=of)

    try:
        async with open_database(database_url, key=database_key, migrate=True) as database:
            await database.ready()
            return await reindex(spool, node, show)
    finally:
        if bar.live.is_started:
            bar.stop()


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(FAILED)
