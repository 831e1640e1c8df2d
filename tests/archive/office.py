"""The archive's side of the database in a test's own process: clerk and lister at work on a spool, and what is seen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import msgspec
import trio

from actors.spool import Spool
from archive.clerk import Access, Clerk
from archive.listing import Lister
from archive.project import Owners, fold, record_of
from engine.events import AnyEvent, MetadataReceived, decode
from schema import calls as portal
from schema import clerk as database
from schema.database import open_database
from schema.values import CallRecord, CallStage, CallView, Scope
from tests.archive.calls import PRIVATE_KEY
from tests.archive.outboxes import NODE
from tests.databases import KEY

# Generous: a busy machine stands still for a while. Nothing waits this long unless it failed.
PATIENCE_S = 60.0
POLL_S = 0.02
NOBODY = UUID(int=0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Office:
    """What works on a spool."""

    clerk: Clerk
    lister: Lister
    nursery: trio.Nursery


@asynccontextmanager
async def at_work(
    spool: Spool, url: str, *, clerk: bool = True, lister: bool = True, migrate: bool = False
) -> AsyncIterator[Office]:
    """Clerk and lister, until the block is left."""
    async with open_database(url, migrate=migrate, key=KEY), trio.open_nursery() as nursery:
        access = Access()
        office = Office(Clerk(spool, PRIVATE_KEY, NODE, access), Lister(spool, NODE, access, lambda _: None), nursery)
        if clerk:
            nursery.start_soon(office.clerk.run)
        if lister:
            if not clerk:
                office.clerk.caught_up.set()
            nursery.start_soon(office.lister.run, office.clerk.caught_up)
        yield office
        nursery.cancel_scope.cancel()


async def until(look: Callable[[], Awaitable[T]]) -> T:
    """Looks again and again until it sees something (anything true), and gives it."""
    with trio.fail_after(PATIENCE_S):
        while True:
            seen = await look()
            if seen:
                return seen
            await trio.sleep(POLL_S)


async def view(call_id: UUID, tenant_id: UUID | None = None) -> CallView | None:
    """A call as its tenant's administrator sees it."""
    scope = Scope(tenant_id or await database.default_tenant(), NOBODY, "tenant")
    return await portal.get_call(scope, call_id, silent_nodes=())


async def at_event(call_id: UUID, number: int) -> CallView:
    """Waits until the database tells of this event of the call."""

    async def look() -> CallView | None:
        seen = await view(call_id)
        return seen if seen is not None and seen.record.events >= number else None

    return await until(look)


async def at_stage(call_id: UUID, stage: CallStage) -> CallView:
    """Waits until the call is at this stage."""

    async def look() -> CallView | None:
        seen = await view(call_id)
        return seen if seen is not None and seen.stage == stage else None

    return await until(look)


async def told(call_id: UUID) -> list[tuple[int, AnyEvent]]:
    """The events that the database has of a call which is not finished."""
    return [(event.number, decode(event.data)) for event in await database.events_of(call_id)]


def projected(events: list[AnyEvent], tenant_id: UUID) -> CallRecord:
    """What the database should hold of a call that told these events and belongs to no user."""
    call = fold(events)
    assert call is not None
    return record_of(call, Owners(tenant_id))


def lean(events: list[AnyEvent]) -> list[tuple[int, AnyEvent]]:
    """The events as the database keeps them: numbered, without the documents of the metadata."""
    return [
        (number, msgspec.structs.replace(event, document=b"") if isinstance(event, MetadataReceived) else event)
        for number, event in enumerate(events, 1)
    ]
