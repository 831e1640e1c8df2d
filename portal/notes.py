"""Entries of the audit trail about calls. A recording is heard once it is written down; what is done with a call that
runs is not to wait for the database, and is written down as soon as that answers.

Listening to a recording is one entry, in however many parts a browser fetches it.

Not here: changes of the database, which are written down with them (`schema/audited.py`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
import trio
from quart import current_app, request

from portal import gate
from portal.proxy import client_address
from schema import audit
from schema.columns import new_id
from schema.confidential import called
from schema.database import DatabaseError
from schema.entries import About, Action, By, Resource
from schema.values import CallView

log = structlog.get_logger()

# Who has fetched nothing of a recording for so long listens anew.
LISTENING_S: Final = 600.0
AGAIN_S: Final = 2.0
# While the database is away; each is some kB.
MOST_WAITING: Final = 1_000
MOST_HEARD: Final = 10_000
WAITING: Final = "earshot.notes.waiting"
HEARD: Final = "earshot.notes.heard"

_Key = tuple[UUID, bool, str, UUID, Action]


async def note_heard(call: CallView, action: Action, details: Mapping[str, str] | None = None) -> None:
    """Whoever asks is given a recording now: to listen to (PLAYBACK), or to keep (DOWNLOAD).

    Returns once that is written down. Errors: as of a unit; then nobody is to hear it.
    """
    if request.method == "HEAD":
        return
    heard: dict[_Key, float] = current_app.extensions.setdefault(HEARD, {})
    key = (gate.account().id, gate.by_token(), client_address(), call.record.id, action)
    now_s = trio.current_time()
    last_s = heard.pop(key, None)
    heard[key] = now_s
    while len(heard) > MOST_HEARD:
        del heard[next(iter(heard))]
    if last_s is not None and now_s - last_s < LISTENING_S and not _begins(action):
        return
    try:
        await _write(gate.by(), action, call, details, None, datetime.now(UTC))
    except BaseException:
        heard.pop(key, None)
        raise


def note_soon(
    call: CallView, action: Action, details: Mapping[str, str] | None = None, origin: str | None = None
) -> None:
    """Whoever asks did something with a call that runs. It is written down in the background, once (`origin`)."""
    waiting: list[None] = current_app.extensions.setdefault(WAITING, [])
    if len(waiting) >= MOST_WAITING:
        log.error("audit_entry_lost", call=str(call.record.id), action=str(action), login=gate.account().login)
        return
    waiting.append(None)
    # It may have been written though nobody heard of it: told again, it is still one.
    once, at = origin or str(new_id()), datetime.now(UTC)
    current_app.add_background_task(_write_until_it_is, waiting, gate.by(), action, call, details, once, at)


def _begins(action: Action) -> bool:
    """Whether a file is fetched from its beginning: who does that twice has it twice."""
    wanted = request.headers.get("Range", "").replace(" ", "")
    return action is Action.DOWNLOAD and (not wanted.startswith("bytes=") or wanted.startswith("bytes=0-"))


async def _write_until_it_is(
    waiting: list[None],
    by: By,
    action: Action,
    call: CallView,
    details: Mapping[str, str] | None,
    origin: str,
    at: datetime,
) -> None:
    try:
        while True:
            try:
                await _write(by, action, call, details, origin, at)
            except DatabaseError as error:
                log.warning("audit_entry_waits", reason=str(error), login=by.login)
                await trio.sleep(AGAIN_S)
            else:
                return
    finally:
        waiting.pop()


async def _write(
    by: By, action: Action, call: CallView, details: Mapping[str, str] | None, origin: str | None, at: datetime
) -> None:
    record = call.record
    about = About(record.id, called(record.caller, record.callee))
    await audit.note(
        by, Resource.CALLS, action, about, tenant_id=record.tenant_id, details=details, origin=origin, at=at
    )
