"""Calls in the database, and who may see which: made by the queries that the archive makes them with."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from quart_trio import QuartTrio

from schema import clerk
from schema.roles import Role
from schema.values import (
    Account,
    CallRecord,
    NodeRecord,
    Offset,
    PartyRecord,
    RecordingRecord,
)
from tests.portal.visitor import Visitor, add_account

NODE = "recorder-1"
START = datetime(2026, 3, 5, 14, 3, 22, tzinfo=UTC)
FILE = RecordingRecord("2026/03/05/x", "audio.opus", "opus", 182_733, "ab" * 32, 97.4, 8000, "peaks.dat")

Keep = Callable[..., Awaitable[CallRecord]]


@dataclass(frozen=True, slots=True)
class People:
    """An administrator, a supervisor of the user's group, and the user."""

    anna: Account
    sam: Account
    ulla: Account


@pytest.fixture
async def people(app: QuartTrio) -> People:
    ulla = await add_account("ulla", Role.USER, name="Ulla Skinner", phones=("300",), group="Support")
    sam = await add_account("sam", Role.SUPERVISOR, name="Sam Reed", manages=("Support",))
    return People(await add_account("anna", name="Anna Berg"), sam, ulla)


@pytest.fixture
async def keep(people: People) -> Keep:
    """Puts a call of Ulla's into the database: one that has ended and can be played, unless told otherwise."""
    tenant = await clerk.default_tenant()
    await clerk.heartbeat(NodeRecord(NODE, "", "1", datetime.now(UTC)))

    async def make(*, running: bool = False, **given: Any) -> CallRecord:
        ended: dict[str, Any] = {
            "ended_at": START + timedelta(seconds=97),
            "duration_s": 97.4,
            "end": "normal",
            "finished": True,
            "recording": "off",
            "kept": True,
            "recording_file": FILE,
        }
        record = CallRecord(
            **{
                "id": uuid4(),
                "tenant_id": tenant,
                "node": NODE,
                "events": 3,
                "started_at": START,
                "caller": PartyRecord("12333001100", "Michael Harvell"),
                "callee": PartyRecord("300", "Ulla Skinner", user_id=people.ulla.id),
                **({} if running else ended),
                **given,
            }
        )
        if record.finished:
            await clerk.finish(record)
        else:
            await clerk.apply(NODE, Offset(), [], [record])
        return record

    return make


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who is signed in, and reads pages as text."""

    visitor: Visitor

    async def page(self, path: str, **options: Any) -> str:
        response = await self.visitor.get(path, **options)
        assert response.status_code == 200, response.status_code
        return str(await response.get_data(as_text=True))

    async def status(self, path: str) -> int:
        return (await self.visitor.get(path)).status_code


@pytest.fixture
def reader(app: QuartTrio, people: People) -> Callable[[str], Awaitable[Reader]]:
    async def sign_in(login: str) -> Reader:
        visitor = Visitor(app)
        assert (await visitor.sign_in(login)).status_code == 303
        return Reader(visitor)

    return sign_in


def rows_of(page: str) -> list[UUID]:
    """The calls of a list, in order."""
    return [UUID(found) for found in re.findall(r'data-row="([0-9a-f-]+)"', page)]
