"""Calls of the past: a database as it looks after months, for the benches that read it.

Not here: audio (the rows say that there is some), and reading.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import trio

from schema import clerk
from schema.database import open_database
from schema.values import CallRecord, Offset, ParticipantRecord, PartyRecord, RecordingRecord, Side, StreamRecord

NODE: Final = "history"
BATCH: Final = 500
MEAN_S: Final = 180.0
SIDES: Final[tuple[Side, ...]] = ("caller", "callee")
# Some twenty calls a minute, the newest one now.
APART_S: Final = 3.0
NAMES: Final = ("Ada Byrd", "Bela Novak", "Chi Okafor", "Dana Ruiz", "Emil Kraus", "Fatima Said", "Greta Holm", "")


def fill(url: str, count: int, seed: int = 1) -> None:
    """Make so many finished calls in the database of `url`, which is brought up to date first."""
    trio.run(_fill, url, count, seed)


async def _fill(url: str, count: int, seed: int) -> None:
    async with open_database(url, migrate=True, key=bytes(32)):
        tenant = await clerk.default_tenant()
        records = _records(tenant, count, random.Random(seed))
        batch: list[CallRecord] = []
        for done, record in enumerate(records, 1):
            batch.append(record)
            if len(batch) == BATCH or done == count:
                await clerk.apply(NODE, Offset(1, done), (), batch)
                batch = []


def _records(tenant: UUID, count: int, dice: random.Random) -> Iterator[CallRecord]:
    newest = datetime.now(UTC)
    for i in range(count):
        started = newest - timedelta(seconds=(count - i) * APART_S + dice.random())
        seconds = round(dice.expovariate(1 / MEAN_S), 3)
        caller = PartyRecord(f"+1202{dice.randrange(10**7):07d}", dice.choice(NAMES), address="192.0.2.1:40000")
        callee = PartyRecord(f"{dice.randrange(1000, 1500)}", dice.choice(NAMES), address="192.0.2.1:40002")
        call_id = _id(started, dice)
        yield CallRecord(
            id=call_id,
            tenant_id=tenant,
            node=NODE,
            events=6,
            started_at=started,
            connected_at=started,
            ended_at=started + timedelta(seconds=seconds),
            duration_s=seconds,
            end="normal",
            finished=True,
            direction="inbound",
            caller=caller,
            callee=callee,
            mode="always-pause",
            recording="off",
            kept=True,
            participants=tuple(ParticipantRecord(p.name, p.number, "", 0.0, seconds) for p in (caller, callee)),
            streams=tuple(StreamRecord(n, str(n), side, "PCMU", 9000, 0, 0.3) for n, side in enumerate(SIDES)),
            recording_file=RecordingRecord(
                f"{started:%Y/%m/%d}/{call_id}",
                "audio.opus",
                "opus",
                round(seconds * 3000),
                "0" * 64,
                seconds,
                8000,
                "peaks.dat",
            ),
        )


def _id(at: datetime, dice: random.Random) -> UUID:
    """A UUID of version 7 for that moment (RFC 9562 section 5.7)."""
    value = int(at.timestamp() * 1000) << 80 | dice.getrandbits(80)
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
