"""What waits for a listener while nobody reads: sound is lost and counted, words are kept, the end comes through."""

from dataclasses import replace
from uuid import UUID

import msgspec
import trio

from engine.events import Instant
from live.client import MOST_UNREAD, Feed, Heard
from live.messages import Dropped, Status, Visit

CALL = UUID(int=99)
HEARD = Heard(1, (Visit(1, 1, 2, b"", b""),))
PAUSED = Status(call=CALL, started=Instant(1, 1), recording="paused", position_s=1.0, by="anna", streams=())
ENDED = msgspec.structs.replace(PAUSED, recording="off", end="normal")


async def test_a_feed_that_nobody_reads_loses_packets_and_no_words() -> None:
    feed = Feed(CALL)
    for _ in range(MOST_UNREAD + 50):
        feed.put(HEARD)
    feed.put(PAUSED)
    read = [await anext(feed) for _ in range(MOST_UNREAD)]
    assert read == MOST_UNREAD * [HEARD]
    last = replace(HEARD, now_ns=150)
    feed.put(last)
    assert [await anext(feed) for _ in range(3)] == [Dropped(call=CALL, packets=100), PAUSED, last]


async def test_the_end_comes_through_to_who_reads_late() -> None:
    feed = Feed(CALL)
    for _ in range(MOST_UNREAD + 2):
        feed.put(HEARD)
    feed.put(ENDED)
    with trio.fail_after(5):
        read = [what async for what in feed]
    assert read == [*(MOST_UNREAD * [HEARD]), Dropped(call=CALL, packets=4), ENDED]
