"""A spool as an engine fills it, for tests of the clerk: calls told event by event, to journal and outbox.

A test may leave an event out of either, as a kill or a full disk does. No packets, no audio.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

from actors.outbox import Outbox
from actors.spool import JOURNAL, Spool
from engine import events
from engine.events import AnyEvent, Codec, Ended, Identified, Identity, Origin, Party, Paused, Resumed, Started
from engine.journal import JournalWriter
from engine.keys import public_bytes
from engine.uuid7 import uuid7
from tests.archive.calls import PRIVATE_KEY, REALTIME_NS, SECOND, instant

NODE = "node-1"
PUBLIC = public_bytes(PRIVATE_KEY)
STREAMS = tuple(
    events.Stream(
        index,
        0,
        str(index + 1),
        side,
        10_000 + 2 * index,
        remote_address="192.0.2.9",
        remote_port=4000 + 2 * index,
        codecs=(Codec(0, "PCMU", 8000),),
    )
    for index, side in enumerate(("caller", "callee"))
)


@dataclass
class Call:
    """One call of an `Engine`. Each event is a second later than the one before."""

    engine: "Engine"
    id: UUID
    told: list[AnyEvent] = field(default_factory=list)
    journal: JournalWriter | None = None

    def tell(self, event: AnyEvent, *, journal: bool = True, outbox: bool = True) -> Self:
        """The next event, into the journal and the outbox or one of them."""
        self.told.append(event)
        if journal:
            self.write(len(self.told), event)
        if outbox:
            self.engine.outbox.append(self.id, len(self.told), events.encode(event), event.at)
        return self

    def write(self, number: int, event: AnyEvent) -> None:
        """An event into the journal alone."""
        assert self.journal is not None
        self.journal.append_event(number, events.encode(event), event.at.realtime_ns, event.at.monotonic_ns)

    def start(self, *, call_id: str = "", **where: bool) -> Self:
        return self.tell(
            Started(at=self.now, call_id=call_id or str(self.id), node=NODE, origin=Origin(f"{self.id}@sbc")), **where
        )

    def agree(self, **where: bool) -> Self:
        return self.tell(events.StreamsAgreed(at=self.now, dialog=0, streams=STREAMS), **where)

    def identify(self, caller: str = "100", callee: str = "200", group: str = "", **where: bool) -> Self:
        identity = Identity(group_id=group)
        return self.tell(
            Identified(at=self.now, caller=Party(caller, "Ann"), callee=Party(callee, "Bob"), identity=identity),
            **where,
        )

    def pause(self, who: str = "ann", **where: bool) -> Self:
        return self.tell(Paused(at=self.now, holder="person", who=who), **where)

    def resume(self, who: str = "ann", **where: bool) -> Self:
        return self.tell(Resumed(at=self.now, holder="person", who=who), **where)

    def end(self, **where: bool) -> Self:
        return self.tell(Ended(at=self.now, end="normal"), **where)

    def close(self) -> None:
        """As the engine does, or the next one for it: the call is the archive's."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None
        self.engine.spool.finish(self.id)

    @property
    def now(self) -> events.Instant:
        return instant((self.engine.calls.index(self) * 60 + len(self.told)) * SECOND)


class Engine:
    """The writing side of a spool."""

    def __init__(self, data_dir: Path) -> None:
        self.spool = Spool.below(data_dir)
        self.outbox = Outbox(self.spool.outbox, PUBLIC)
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.outbox.close()
        for call in self.calls:
            if call.journal is not None:
                call.journal.close()

    def call(self) -> Call:
        """A new call that has told nothing yet."""
        number = len(self.calls)
        call = Call(self, uuid7(REALTIME_NS + number * 60 * SECOND, number.to_bytes(10, "big")))
        self.calls.append(call)
        call.journal = JournalWriter(str(self.spool.open_call(call.id)), call.id, PUBLIC)
        return call

    def restart(self) -> None:
        """The outbox of the next engine: a new segment."""
        self.outbox.close()
        self.outbox = Outbox(self.spool.outbox, PUBLIC)


__all__ = ["JOURNAL", "NODE", "STREAMS", "Call", "Engine"]
