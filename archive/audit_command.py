"""`earshot audit verify`: whether anybody touched the audit trail, in words.

It is given a function that tells where the trail is as its context's object. Status 0: it is as Earshot wrote it; 1: it
is not; 2: nobody could look.

Not here: what is looked at (`schema/verification.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import trio
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive import anchors
from schema.database import DatabaseError, open_database
from schema.verification import Fault, Finding, Named, Report, verify

TOUCHED: Final = 1
NOT_LOOKED: Final = 2

audit = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Trail:
    """Where the audit trail is. `key` is the public one of who signs the ends of its chain."""

    database_url: str
    database_key: bytes
    key: Ed25519PublicKey
    data_dir: Path


@audit.callback()
def _audit() -> None:
    """The audit trail."""


@audit.command("verify")
def _verify(
    context: typer.Context,
    anchored: Annotated[
        Path | None,
        typer.Option("--anchors", metavar="FILE", help="The signed ends; by default audit/heads.jsonl of the data."),
    ] = None,
) -> None:
    """Look whether an entry of the audit trail was changed, removed, added, moved or cut off."""
    where: Callable[[], Trail] = context.obj
    trail = where()
    path = anchored or anchors.path_below(trail.data_dir)
    if anchored is not None and not path.is_file():
        _fail(f"There is no file {path}.")
    try:
        report = trio.run(_look, trail, path)
    except DatabaseError as error:
        _fail(f"{error.what} Nobody looked at the audit trail.")
    except OSError as error:
        _fail(f"{path} cannot be read: {error.strerror}. Nobody looked at the audit trail.")
    for finding in report.findings:
        typer.echo(sentence(finding, path))
    if report.found > len(report.findings):
        typer.echo(f"... and {report.found - len(report.findings)} more.")
    typer.echo(summary(report))
    if report.found:
        typer.echo(_verdict(report), err=True)
        raise typer.Exit(TOUCHED)
    typer.echo("The audit trail is as Earshot wrote it.")


def sentence(finding: Finding, path: Path) -> str:
    """What was found, in a sentence that names the entry. `path`: the file of the ends."""
    several, before = _several(finding), _before(finding)
    match finding.fault:
        case Fault.CHANGED:
            return f"{_entry(finding)} was changed after it was written."
        case Fault.ADDED:
            return f"{_entry(finding)} was not written by Earshot: it was added, or its proof was changed."
        case Fault.REMOVED:
            return f"{several} removed.{before}"
        case Fault.MOVED if finding.first is None:
            return f"{_entry(finding)} was taken out of the chain."
        case Fault.MOVED if finding.first == finding.last:
            return f"{_entry(finding)} is not in its place in the chain."
        case Fault.MOVED:
            return f"{_entry(finding)} and what follows up to number {finding.last} changed places."
        case Fault.ERASED:
            return f"{_entry(finding)} has lost its data, and no entry tells who erased it."
        case Fault.REWRITTEN:
            return f"{several} not what was sealed: some were removed or added, and the chain was made anew.{before}"
        case Fault.CUT_OFF if finding.anchored:
            return f"{several} cut off at the end of the trail: {path} tells that they were there.{before}"
        case Fault.CUT_OFF:
            return f"{several} cut off at the end of the trail: the database still has their signed end.{before}"
        case Fault.UNSIGNED if finding.anchored:
            return f"Signed ends from number {finding.first} to {finding.last} were removed from the database."
        case Fault.UNSIGNED:
            last = "" if finding.entry is None else f" The last one is of {_what(finding.entry)}."
            return f"{several} without a signed end: that was removed, or they were added.{last}"
        case Fault.FORGED if finding.first is None:
            return f"A line of {path} cannot be read."
        case Fault.FORGED:
            where = str(path) if finding.anchored else "the database"
            return f"The end at number {finding.first} in {where} was not signed by this system."
        case Fault.UNANCHORED:
            return f"{path} has no signed end, although there are some up to number {finding.last}: it was removed."


def summary(report: Report) -> str:
    """How much was looked at."""
    return (
        f"Sealed entries: {report.sealed}. Not sealed yet: {report.unsealed}. Of which the data was erased: "
        f"{report.erased}. Signed ends: {report.heads}, and outside of the database {report.anchors}."
    )


def _entry(finding: Finding) -> str:
    if finding.entry is None:
        return f"Entry {finding.first}"
    return (
        f"The entry without a number ({_what(finding.entry)})"
        if finding.first is None
        else (f"Entry {finding.first} ({_what(finding.entry)})")
    )


def _several(finding: Finding) -> str:
    """The beginning of a sentence about entries that may not be there."""
    one = finding.first == finding.last
    return f"Entry {finding.first} is" if one else f"Entries {finding.first} to {finding.last} are"


def _before(finding: Finding) -> str:
    return "" if finding.before is None else f" The one before is of {_what(finding.before)}."


def _what(entry: Named) -> str:
    at = "an unreadable time" if entry.at is None else f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"
    about = f' "{entry.name}"' if entry.name else ""
    return f"{at}, {entry.who}: {entry.action}, {entry.resource}{about}, id {entry.id}"


def _verdict(report: Report) -> str:
    if report.sealed and report.found >= report.sealed + report.unsealed:
        return "Nothing proves true under this master key. Was the trail written under another one?"
    return f"Somebody touched the audit trail: {report.found} findings. Compare it with a backup of the database."


async def _look(trail: Trail, path: Path) -> Report:
    async with open_database(trail.database_url, key=trail.database_key) as database:
        await database.ready()
        return await verify(trail.key, anchors.read(path))


def _fail(told: str) -> NoReturn:
    typer.echo(told, err=True)
    raise typer.Exit(NOT_LOOKED)
