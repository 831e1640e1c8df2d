"""Live sound and levels for browsers and API clients, over websockets (docs/live.md).

    /calls/<id>/listen            a page of the portal, by its session and from its own origin
    /api/v1/calls/<id>/listen     a program, by its bearer token
    /live/levels                  the meters of a page's calls

Every few seconds it is asked again whether whoever listens may: a session that ended, a role that changed or a call
that moved out of reach closes the websocket, or leaves the meters.

A browser that stops reading blocks its send, which hypercorn does not let anybody cancel; the kernel ends such a
connection (`server.py`). Meanwhile its queue is a second long (`relay.py`), and nobody waits for it.

Not here: who may (`gate.py`), sound (`relay.py`).
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
import trio
from quart import Blueprint, current_app, websocket
from quart_babel import gettext

from live.client import GatewayError, NoSuchCall
from portal import gate
from portal.config import portal
from portal.finding import RUNNING, look_for_running, look_for_these
from portal.gate import CLOSED_SIGN_IN
from portal.gateways import Levels
from portal.notes import note_soon
from portal.relay import CALL_ENDED, NO_ANSWER, NO_SUCH_CALL, Listener
from schema.database import DatabaseError
from schema.entries import Action
from schema.values import CallView

log = structlog.get_logger()
blueprint = Blueprint("listening", __name__)

# A sign-out, or a right that was withdrawn, is heard after this at most.
LOOK_EVERY_S: Final = 1.0
# And that the call moved out of his reach, which asks the database for more: at each third look.
LOOKS_A_CALL: Final = 3
LEVELS_EVERY_S: Final = 0.1
# A page shows no more rows.
MOST_METERS: Final = 50
NOT_UNDERSTOOD: Final = 4400
# RFC 6455 section 7.4.1: a condition that is not the client's fault; it may come again later.
TRY_LATER: Final = 1013
FAULT_OF_OURS: Final = 1011
# One account's websockets in this process: some tabs, each with its meters and maybe a call's sound.
MOST_OPEN: Final = 30
OPENED: Final = "earshot.websockets"
NOTHING: Final[Levels] = (None, None)


class _Wanted(msgspec.Struct):
    calls: list[UUID]


def _accepted(serve: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Accepts the websocket first; what goes wrong after that is told by the code that it is closed with."""

    @wraps(serve)
    async def handle(**given: Any) -> None:
        await websocket.accept()
        opened: Counter[UUID] = current_app.extensions.setdefault(OPENED, Counter())
        who = gate.account().id
        if opened[who] >= MOST_OPEN:
            log.warning("too many websockets of one account", account=str(who))
            await websocket.close(TRY_LATER)
            return
        opened[who] += 1
        try:
            await serve(**given)
        except* DatabaseError:
            await websocket.close(TRY_LATER)
        except* Exception:
            log.exception("websocket failed", path=websocket.path)
            await websocket.close(FAULT_OF_OURS)
        finally:
            opened[who] -= 1

    return handle


@blueprint.websocket("/calls/<uuid:call_id>/listen")
@blueprint.websocket("/api/v1/calls/<uuid:call_id>/listen", endpoint="listen_by_token")
@_accepted
async def listen(call_id: UUID) -> None:
    """One listener of one call."""
    call = await look_for_running(call_id)
    if call is None:
        await _refuse(NO_SUCH_CALL, gettext("No such call"), gettext("There is no such call, or none you may see."))
        return
    if call.stage not in RUNNING:
        await _refuse(CALL_ENDED, gettext("Call ended"), gettext("This call has ended: there is nothing to listen to."))
        return
    try:
        async with portal().gateways.listen(call) as listener:
            with _noted(call):
                await _guarded(lambda: _pass_on(listener), lambda: look_for_running(call_id))
    except* NoSuchCall:
        await _refuse(CALL_ENDED, gettext("Call ended"), gettext("This call has ended: there is nothing to listen to."))
    except* GatewayError:
        await _refuse(NO_ANSWER, gettext("No answer"), _lost())


@blueprint.websocket("/live/levels")
@_accepted
async def levels() -> None:
    """The levels of the calls that the page asked for last, ten times a second."""
    asked: list[UUID] = []
    wanted: dict[UUID, bool] = {}  # whether each of them that is in reach runs
    running: list[CallView] = []
    changed = trio.Event()

    async def look_again() -> object:
        """A call that moved out of reach is shown no longer, one that has ended is asked for no longer."""
        nonlocal wanted, running
        looked_for = asked
        found = await look_for_these(looked_for)
        there = {call_id: found[call_id].stage in RUNNING for call_id in looked_for if call_id in found}
        if looked_for is asked and there != wanted:  # else it was asked for others meanwhile
            wanted, running = there, [call for call_id, call in found.items() if there[call_id]]
            changed.set()
        return there

    async def receive() -> None:
        nonlocal asked
        while True:
            understood = _wanted(await websocket.receive())
            if understood is None:
                await websocket.close(NOT_UNDERSTOOD)
                return
            asked = understood
            await look_again()

    async def send() -> None:
        nonlocal changed
        while True:
            await changed.wait()
            changed = trio.Event()
            async with portal().gateways.watch(running) as look:
                await _send_levels(list(wanted), look, changed)

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await receive()
            nursery.cancel_scope.cancel()

    await _guarded(both, look_again)


@contextmanager
def _noted(call: CallView) -> Iterator[None]:
    """The audit trail tells of the listening inside: when it began, and when it ended."""
    note_soon(call, Action.LIVE_MONITOR_START)
    began_s = trio.current_time()
    try:
        yield
    finally:
        lasted_s = trio.current_time() - began_s
        note_soon(call, Action.LIVE_MONITOR_END, {"duration": f"{lasted_s:.1f}"})


async def _send_levels(
    call_ids: list[UUID], look: Callable[[], dict[UUID, Levels | None]], changed: trio.Event
) -> None:
    """Until other calls are asked for."""
    due = trio.current_time()
    while not changed.is_set():
        found = look()
        told = {str(call_id): found.get(call_id) or NOTHING for call_id in call_ids}
        await websocket.send(json.dumps({"levels": told}))
        due = max(due + LEVELS_EVERY_S, trio.current_time())
        with trio.move_on_at(due):
            await changed.wait()


async def _pass_on(listener: Listener) -> None:
    """All that a listener is given, in order, and the close at its end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_overhear)
        async for message in listener:
            await websocket.send(message if isinstance(message, bytes) else json.dumps(_worded(message)))
        await websocket.close(listener.close_code)
        nursery.cancel_scope.cancel()


async def _overhear() -> None:
    """A listener has nothing to say; unread, what he says would keep his going from being noticed."""
    while True:
        await websocket.receive()


async def _guarded(serve: Callable[[], Awaitable[None]], find: Callable[[], Awaitable[object]]) -> None:
    """Serve until that ends, or until whoever listens may not any more: signed out, or `find` gives None."""
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            code, looks = None, 0
            while code is None:
                await trio.sleep(LOOK_EVERY_S)
                looks += 1
                try:
                    if not await gate.still_admitted():
                        code = CLOSED_SIGN_IN
                    elif looks % LOOKS_A_CALL == 0 and await find() is None:
                        code = NO_SUCH_CALL
                except DatabaseError:
                    pass  # nobody can have been signed out
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await websocket.close(code)

        nursery.start_soon(look)
        await serve()
        nursery.cancel_scope.cancel()


async def _refuse(code: int, title: str, detail: str) -> None:
    await websocket.send(json.dumps({"type": "error", "title": title, "detail": detail}))
    await websocket.close(code)


def _wanted(text: str | bytes) -> list[UUID] | None:
    """The calls that a page asks for; None for what makes no sense."""
    try:
        asked = msgspec.json.decode(text, type=_Wanted).calls
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return asked if len(asked) <= MOST_METERS else None


def _worded(message: dict[str, Any]) -> dict[str, Any]:
    """A message of the relay's in the reader's language."""
    if message["type"] != "error":
        return message
    detail = _lost() if message["trouble"] == "lost" else gettext("The recorder of this call did not come back.")
    return {"type": "error", "title": gettext("Line lost"), "detail": detail}


def _lost() -> str:
    return gettext(
        "The recorder of this call cannot be reached now. What it recorded so far is kept; "
        "you will hear the call again as soon as it answers."
    )
