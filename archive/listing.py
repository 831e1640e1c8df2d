"""The lister: what the archive is done with, into the database, a call as a whole.

A finished call is told from its manifest, which was made of the whole journal. So what a kill lost between journal and
outbox is there in the end, and nothing is there twice: telling it again changes nothing.

    lister
     |- calls in spool/unlisted              finished, in the order of their ids, LIST_EVERY_S behind at most
     |- calls in spool/finished              marked as ended: an engine that was killed told no end
     `- rows that nobody will tell more of   looked for at the start and every RECONCILE_EVERY_S: finished from their
                                             manifest, or as incomplete (stuck), or as lost

A call of which no recording can be made is finished as incomplete, with the reason as a warning and nothing kept.

Not here: events of calls that run (`clerk.py`), how a record is made (`project.py`).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
import trio

from actors.spool import Spool
from archive import unlisted
from archive.clerk import Access, after
from archive.finish import REASON_NAME, RECORDINGS
from archive.manifest import MANIFEST_NAME, Manifest, read_manifest
from archive.project import CallSoFar, nothing_but, record_of_manifest, record_without_recording
from archive.unlisted import as_call_id
from schema import clerk as database

log = structlog.get_logger()

LIST_EVERY_S: Final = 1.0
RECONCILE_EVERY_S: Final = 600.0
# A call that could not be told rests so long: the cause is in its files, or in us.
AGAIN_S: Final = 60.0
NOTHING_LEFT: Final = (
    "Nothing of this call is on the disk any more: neither its recording nor what it would be made of."
)


class Lister:
    """Tells the database of one spool's calls. `forget` is told the id of each call that is finished there."""

    def __init__(self, spool: Spool, node: str, access: Access, forget: Callable[[UUID], None]) -> None:
        self._spool = spool
        self._node = node
        self._access = access
        self._forget = forget
        self._resting: dict[UUID, float] = {}
        self._look = trio.Event()

    def look(self) -> None:
        """There is something to list."""
        self._look.set()

    async def run(self, caught_up: trio.Event) -> None:
        """List until cancelled. Rows are looked after once the clerk has `caught_up`: they are told of till then."""
        reconcile_at_s: float | None = None
        while True:
            self._look = trio.Event()
            await self._list_waiting()
            await self._mark_ended()
            if caught_up.is_set() and (reconcile_at_s is None or reconcile_at_s <= trio.current_time()):
                await self._reconcile()
                reconcile_at_s = trio.current_time() + RECONCILE_EVERY_S
            with trio.move_on_after(LIST_EVERY_S):
                await self._look.wait()

    async def _list_waiting(self) -> None:
        now_s = trio.current_time()
        waiting = unlisted.waiting(self._spool)
        there = set(waiting)
        self._resting = {call_id: due_s for call_id, due_s in self._resting.items() if call_id in there}
        for call_id in waiting:
            folder = unlisted.folder_of(self._spool, call_id)
            if folder is None or self._resting.get(call_id, now_s) > now_s:
                continue
            if not folder.is_dir() and (self._spool.finished / str(call_id)).is_dir():
                continue  # noted, and not moved yet
            try:
                await self._finish(call_id, folder)
            except Exception as error:  # the others must be listed
                log.error("call_not_listed", call=str(call_id), again_s=AGAIN_S, exc_info=error)
                self._resting[call_id] = now_s + AGAIN_S
            else:
                unlisted.forget(self._spool, call_id, folder)

    async def _mark_ended(self) -> None:
        ended = {call_id for path in self._spool.finished.iterdir() if (call_id := as_call_id(path.name)) is not None}
        if ended:
            rows = await self._access.ask(partial(database.unended, self._node))
            marked = [call_id for call_id in rows if call_id in ended]
            if marked:
                await self._access.ask(partial(database.mark_ended, marked))

    async def _reconcile(self) -> None:
        """Finish what nobody will tell more of. Places are looked at in the order in which a call passes through."""
        for call_id in await self._access.ask(partial(database.unfinished, self._node)):
            name = str(call_id)
            if any((place / name).exists() for place in (self._spool.live, self._spool.finished, self._spool.unlisted)):
                continue
            folder = await trio.to_thread.run_sync(self._where, name)
            log.warning("call_without_end", call=name, folder=None if folder is None else str(folder))
            try:
                await self._finish(call_id, folder)
            except Exception as error:
                log.error("call_not_listed", call=name, again_s=RECONCILE_EVERY_S, exc_info=error)

    def _where(self, name: str) -> Path | None:
        """The folder in which a call lies that is done with; None where it is nowhere."""
        recording = next((self._spool.root.parent / RECORDINGS).glob(f"*/*/*/{name}/{MANIFEST_NAME}"), None)
        if recording is not None:
            return recording.parent
        stuck = sorted(self._spool.stuck.glob(f"{name}*"))
        return stuck[-1] if stuck else None

    async def _finish(self, call_id: UUID, folder: Path | None) -> None:
        await tell_finished(self._spool, self._node, self._access, call_id, folder)
        self._forget(call_id)


async def tell_finished(spool: Spool, node: str, access: Access, call_id: UUID, folder: Path | None) -> None:
    """Tell the database all of a call that is done with; told again, nothing changes.

    `folder` is that of its recording, or of a stuck call; None where nothing is left of it.
    """
    if folder is not None and (folder / MANIFEST_NAME).is_file():
        try:
            manifest = await trio.to_thread.run_sync(manifest_in, folder)
            await tell_recording(spool, access, folder, manifest)
        except ValueError as error:
            await _tell_without(node, access, call_id, folder, f"The recording's manifest cannot be read: {error}")
    else:
        await _tell_without(node, access, call_id, folder, NOTHING_LEFT if folder is None else _reason(folder))


async def tell_recording(spool: Spool, access: Access, folder: Path, manifest: Manifest) -> None:
    """Tell the database of a recording. Raises `ValueError` where the manifest's events are no call's."""
    (whose,) = await access.owners([(manifest.caller, manifest.callee)])
    record = record_of_manifest(manifest, str(folder.relative_to(spool.root.parent / RECORDINGS)), whose)
    await access.ask(partial(database.finish, record))


def manifest_in(folder: Path) -> Manifest:
    """A recording's manifest. Raises `ValueError` where it cannot be read, `OSError` where the disk cannot."""
    return read_manifest((folder / MANIFEST_NAME).read_bytes())


async def _tell_without(node: str, access: Access, call_id: UUID, folder: Path | None, reason: str) -> None:
    """Finish a call of which there is no recording: from what was told of it while it ran, as far as that goes.

    That is gone once the call is finished: then it stays as it is.
    """
    if await access.ask(partial(database.is_finished, call_id)):
        return
    call: CallSoFar | None = None
    for event in await access.ask(partial(database.events_of, call_id)):
        call = after(call, event)
    if call is None:
        call = nothing_but(call_id, node, _began_ns(call_id, folder))
    (whose,) = await access.owners([(call.state.caller, call.state.callee)])
    record = record_without_recording(call, whose, "lost" if folder is None else "incomplete", reason)
    await access.ask(partial(database.finish, record))


def _reason(folder: Path) -> str:
    try:
        return (folder / REASON_NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return "No recording can be made of this call."


def _began_ns(call_id: UUID, folder: Path | None) -> int:
    """When a call began of which nothing can be read: our ids tell it to the millisecond (RFC 9562 section 5.7)."""
    if call_id.version == 7 or folder is None:
        return (call_id.int >> 80) * 1_000_000
    return folder.stat().st_mtime_ns
