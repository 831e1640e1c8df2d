"""The archive process: tells the database of calls, and finishes those that ended, one after the other, oldest first.

    archive
     |- clerk        what the outbox tells of calls that run, into the database    \
     |- beacon       what the engine says of itself, into the database              |  each supervised, for ever
     |- lister       calls that are done with, into the database                   |
     |- postman      mails of the queue, to the mail server                         |
     |- sealer       entries of the audit trail, into its chain                    /
     |- watching     looks into spool/finished, hands calls to workers, waits
     |   `- workers  at most `threads`, each in a thread of low priority (nice NICE)
     `- stopping     waits for SIGTERM or SIGINT

A database that is away stops the first five, and nothing else: they go on where they were once it is back.

Retry policy: a failure of ours (a full disk, an encoder, another master key) leaves the call where it is; it is tried
again after FIRST_RETRY_S, doubled each time up to LAST_RETRY_S. Other calls go on meanwhile.

Shutdown: no further call is begun. SIGTERM gives those in hand the grace period, SIGINT (or a second signal) none; then
they are abandoned at their next chunk, and the next start makes them from the beginning.

Not here: what finishing is (`finish.py`), what the database is told (`clerk.py`, `listing.py`), how mails are sent
(`postman.py`), what is sealed (`sealer.py`), settings (they come as an `ArchiveConfig`).
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from actors.spool import JOURNAL, Lock, Spool
from actors.supervision import Policy, supervise
from archive import anchors
from archive.clerk import Access, Clerk
from archive.encode import AudioFormat, Encoding
from archive.finish import RECORDINGS, Abandoned, Recipe, Recording, Step, Stuck, finish
from archive.listing import Lister
from archive.postman import Postman
from archive.render import PausePolicy
from archive.sealer import Sealer
from archive.survey import damage
from engine.keys import KeyRefused
from engine.timeline import SECOND_NS
from schema.database import open_database

log = structlog.get_logger()

# A recording appears this much later at most; a look at an empty folder costs some 10 us.
LOOK_EVERY_S: Final = 1.0
FIRST_RETRY_S: Final = 5.0
LAST_RETRY_S: Final = 600.0
# Far beyond the last of them; a call may rest for weeks, and powers of two soon fit no float.
MOST_DOUBLINGS: Final = 10
# How often a backlog that does not shrink is told.
TELL_BACKLOG_EVERY_S: Final = 60.0
# Recording must not wait for finishing: the engine has nice 0.
NICE: Final = 15
# Whatever is wrong with the database's side, finishing goes on: it is tried for ever, half a minute apart at last.
FOR_EVER: Final = Policy(restarts=sys.maxsize, within_s=300.0, longest_pause_s=30.0)


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """What an archive must know. `private_key` opens the journals that its engine, `node`, seals; `audit_key` signs the
    ends of the audit trail's chain.
    """

    data_dir: Path
    private_key: X25519PrivateKey
    database_url: str
    database_key: bytes
    node: str
    audit_key: Ed25519PrivateKey
    audio_format: AudioFormat = "opus"
    opus_bitrate_kbit: int = 24
    opus_complexity: int = 5
    pause_policy: PausePolicy = "silence"
    threads: int = 1
    grace_s: float = 20.0


def run(config: ArchiveConfig, after_step: Callable[[Step], None] = lambda step: None) -> None:
    """Run an archive until it is told to stop. `after_step` is told each step of each call, in the call's thread.

    Errors: `SpoolHeld` and `SpoolUnusable`, before anything was touched.
    """
    spool = Spool.below(config.data_dir)
    lock = Lock(spool.root / "archive.lock", "the archive")
    try:
        trio.run(_Archive(config, spool, after_step).run)
    finally:
        lock.release()


def retry_after_s(failures: int) -> float:
    """How long a call rests after this many failures in a row (1 or more)."""
    return min(FIRST_RETRY_S * 2.0 ** min(failures - 1, MOST_DOUBLINGS), LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A call that rests: failures in a row, and when it is tried again on trio's clock."""

    count: int
    due_s: float


class _Archive:
    def __init__(self, config: ArchiveConfig, spool: Spool, after_step: Callable[[Step], None]) -> None:
        self._threads = config.threads
        self._grace_s = config.grace_s
        encoding = Encoding(config.audio_format, config.opus_bitrate_kbit, config.opus_complexity)
        recipe = Recipe(config.private_key, encoding, config.pause_policy)
        self._finish = partial(
            finish, spool, config.data_dir / RECORDINGS, recipe=recipe, go_on=self._go_on, after_step=after_step
        )
        self._spool = spool
        self._database_url = config.database_url
        self._database_key = config.database_key
        access = Access()
        self._clerk = Clerk(spool, config.private_key, config.node, access)
        self._lister = Lister(spool, config.node, access, self._clerk.forget)
        self._sealer = Sealer(anchors.path_below(config.data_dir), config.audit_key, access)
        self._in_hand: set[str] = set()
        self._resting: dict[str, _Failure] = {}
        self._waiting: dict[str, int] = {}  # when each was last written (realtime ns), oldest first
        self._look_due_s = -math.inf
        self._stopping = trio.Event()
        self._abandon = threading.Event()
        self._room = trio.Event()
        self._told_at_s = 0.0

    async def run(self) -> None:
        async with (
            open_database(self._database_url, key=self._database_key, migrate=True),
            trio.open_nursery() as nursery,
        ):
            await nursery.start(self._stop)
            for name, part in (
                ("clerk", self._clerk.run),
                ("beacon", self._clerk.run_beacon),
                ("lister", partial(self._lister.run, self._clerk.caught_up)),
                ("postman", Postman().run),
                ("sealer", self._sealer.run),
            ):
                nursery.start_soon(partial(supervise, part, name=name, policy=FOR_EVER))
            self._look(trio.current_time())
            log.info("archive_started", spool=str(self._spool.root), backlog=len(self._waiting), threads=self._threads)
            async with trio.open_nursery() as workers:
                while not self._stopping.is_set():
                    self._hand_out(workers)
                    await self._pause()
            nursery.cancel_scope.cancel()
        log.info("archive_stopped", backlog=len(self._waiting))

    async def _stop(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                self._stopping.set()
                self._room.set()
                log.info("archive_stopping", in_hand=len(self._in_hand))
                if number == signal.SIGTERM:
                    with trio.move_on_after(self._grace_s):
                        await anext(signals)
                self._abandon.set()
                log.info("archive_abandoning", in_hand=len(self._in_hand))

    async def _pause(self) -> None:
        """Until a worker is free, or a look is due."""
        with trio.move_on_after(LOOK_EVERY_S):
            await self._room.wait()
        self._room = trio.Event()

    def _look(self, now_s: float) -> None:
        """See which calls are to be finished, oldest first: not more often than LOOK_EVERY_S, for they may be many."""
        if now_s < self._look_due_s:
            return
        self._look_due_s = now_s + LOOK_EVERY_S
        waiting = []
        for folder in self._spool.finished.iterdir():
            try:
                waiting.append(((folder / JOURNAL).stat().st_mtime_ns, folder.name))
            except OSError:
                waiting.append((0, folder.name))
        self._waiting = {name: written_ns for written_ns, name in sorted(waiting)}
        self._resting = {name: failure for name, failure in self._resting.items() if name in self._waiting}

    def _hand_out(self, workers: trio.Nursery) -> None:
        now_s = trio.current_time()
        self._look(now_s)
        for name in self._waiting:
            if len(self._in_hand) >= self._threads:
                break
            resting = self._resting.get(name)
            if name not in self._in_hand and (resting is None or resting.due_s <= now_s):
                self._in_hand.add(name)
                workers.start_soon(self._work, name)
        if self._waiting and now_s - self._told_at_s >= TELL_BACKLOG_EVERY_S:
            self._told_at_s = now_s
            log.info("archive_backlog", **self._backlog())

    def _backlog(self) -> dict[str, float]:
        oldest_ns = next((written_ns for written_ns in self._waiting.values() if written_ns), None)
        oldest_s = 0.0 if oldest_ns is None else round((time.time_ns() - oldest_ns) / SECOND_NS, 1)
        return {"backlog": len(self._waiting), "oldest_s": oldest_s}

    async def _work(self, name: str) -> None:
        begun_s = trio.current_time()
        try:
            outcome = await trio.to_thread.run_sync(self._at_low_priority, name)
        except Abandoned:
            log.info("call_abandoned", call=name)
        except KeyRefused as error:
            log.error("call_failed", call=name, reason=str(error), **self._rest(name))
        except Exception as error:  # whatever is wrong with one call, the others must be finished
            log.error("call_failed", call=name, **self._rest(name), exc_info=error)
        else:
            self._resting.pop(name, None)
            self._waiting.pop(name, None)
            self._lister.look()
            self._tell(name, outcome, trio.current_time() - begun_s)
        finally:
            self._in_hand.discard(name)
            self._room.set()

    def _rest(self, name: str) -> dict[str, float]:
        """Put a call that failed aside for a while; gives what the log tells of that."""
        count = self._resting[name].count + 1 if name in self._resting else 1
        again_s = retry_after_s(count)
        self._resting[name] = _Failure(count, trio.current_time() + again_s)
        return {"failures": count, "again_s": again_s}

    def _tell(self, name: str, outcome: Recording | Stuck | None, took_s: float) -> None:
        if isinstance(outcome, Stuck):
            log.error("call_stuck", call=name, folder=str(outcome.folder), reason=outcome.reason)
        elif outcome is not None:
            manifest = outcome.manifest
            journal = manifest.journal
            for sentence in damage(journal.torn_bytes, journal.damaged_blocks):
                log.warning("journal_damaged", call=name, reason=sentence)
            log.info(
                "call_finished",
                call=name,
                end=manifest.end,
                seconds=manifest.duration_s,
                took_s=round(took_s, 3),
                times_real_time=round(manifest.duration_s / max(took_s, 1e-6), 1),
                warnings=len(manifest.warnings),
                **self._backlog(),
            )

    def _at_low_priority(self, name: str) -> Recording | Stuck | None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        return self._finish(name)

    def _go_on(self) -> None:
        if self._abandon.is_set():
            raise Abandoned
