"""What a recorder's database holds, for assertions: read from a process of its own, beside the recorder's."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import trio

from archive.listing import manifest_in
from archive.project import Owners, fold, record_of, record_of_manifest
from engine.events import AnyEvent, MetadataReceived, decode
from schema import calls as portal
from schema import clerk
from schema.database import open_database, rows, unit
from schema.values import CallRecord, CallView, Scope
from tests.databases import KEY
from tests.end_to_end.journals import read_journal
from tests.end_to_end.recorder import Recorder

TABLES: Final = (
    "call",
    "participant",
    "media_stream",
    "pause_span",
    "recording",
    "interaction",
    "part",
    "call_event",
)
NOBODY: Final = UUID(int=0)

T = TypeVar("T")


def ask(url: str, question: Callable[[], Awaitable[T]]) -> T:
    """The answer of a unit of the schema."""

    async def asked() -> T:
        async with open_database(url, migrate=True, key=KEY):
            return await question()

    return trio.run(asked)


def views(url: str) -> dict[UUID, CallView]:
    """All calls of the default tenant, by id."""

    async def question() -> dict[UUID, CallView]:
        scope = Scope(await clerk.default_tenant(), NOBODY, "tenant")
        found: dict[UUID, CallView] = {}
        cursor: str | None = None
        while True:
            page = await portal.list_calls(scope, limit=100, cursor=cursor, silent_nodes=())
            listed = [view.record.id for view in page.calls]  # lists leave out some of what there is
            found |= await portal.get_calls(scope, listed, silent_nodes=())
            cursor = page.next
            if cursor is None:
                return found

    return ask(url, question)


def dump(url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of calls and what belongs to them, but for numbers that tell the order of writing."""

    @unit
    async def question() -> dict[str, list[dict[str, Any]]]:
        tables = {}
        for table in TABLES:
            found = await rows(f'SELECT * FROM "{table}"')  # noqa: S608 - names of ours
            kept = [{name: value for name, value in row.items() if not _counted(name, value)} for row in found]
            tables[table] = sorted(kept, key=repr)
        return tables

    return ask(url, question)


def _counted(name: str, value: object) -> bool:
    """Whether this is a number that the database gave, in the order of writing."""
    return name == "id" and isinstance(value, int)


def events(url: str, call_id: UUID) -> list[tuple[int, AnyEvent]]:
    """The events of a call that is not finished."""

    async def question() -> list[tuple[int, AnyEvent]]:
        return [(event.number, decode(event.data)) for event in await clerk.events_of(call_id)]

    return ask(url, question)


def in_journal(path: Path) -> list[tuple[int, AnyEvent]]:
    """The events of a call as its journal tells them, in the form of `events`."""
    return [
        (number, msgspec.structs.replace(event, document=b"") if isinstance(event, MetadataReceived) else event)
        for number, event in enumerate(read_journal(path).events, 1)
    ]


def projected(url: str, path: Path) -> CallRecord:
    """The record that follows from a journal."""
    call = fold(read_journal(path).events)
    assert call is not None
    return record_of(call, Owners(ask(url, clerk.default_tenant)))


def recorded(url: str, recorder: Recorder) -> dict[UUID, CallRecord]:
    """The records that follow from all manifests, by id."""
    whose = Owners(ask(url, clerk.default_tenant))
    folders = [path.parent for path in recorder.data.glob("recordings/*/*/*/*/manifest.json")]
    return {
        UUID(folder.name): record_of_manifest(
            manifest_in(folder), str(folder.relative_to(recorder.data / "recordings")), whose
        )
        for folder in folders
    }
