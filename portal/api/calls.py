"""The routes of `/api/v1`: calls, their audio, and the recording of those that run.

Parameters that are not known are refused: a list that ignores a misspelt filter looks right and is wrong.

Not here: what goes in and out (`models.py`), its description (`openapi.py`).
"""

from typing import Any, Final
from uuid import UUID

import msgspec
import trio
from quart import Blueprint, Response, request
from quart_babel import gettext
from quart_trio.wrappers import TrioResponse

from live.errors import GatewayError, NoSuchCall, Refused
from live.messages import Answer
from portal import gate, refused
from portal.api.models import DEFAULT_LIMIT, MOST_CALLS, CallList, RecordingChange, RecordingState, call_of
from portal.api.openapi import document
from portal.audio import send, wanted_format
from portal.config import portal
from portal.errors import Problem
from portal.finding import RUNNING, find_call, find_running, note_running, silent_nodes
from portal.notes import note_soon
from schema import calls
from schema.entries import Action
from schema.pauses import pause_origin, position, resume_origin
from schema.values import CallStage, CallView

JSON: Final = "application/json"
# Finding the recorder and its answer together: who pressed a button waits no longer.
ANSWER_S: Final = 2.0
CALL_ENDED: Final = "urn:earshot:problem:call-ended"
REFUSED: Final = "urn:earshot:problem:refused"


blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/openapi.json")
async def openapi() -> Response:
    return _json(document())


@blueprint.get("/calls")
async def list_calls() -> Response:
    given = _parameters("state", "limit", "cursor")
    stages, limit = _stages(given.get("state")), _limit(given.get("limit"))
    try:
        page = await calls.list_calls(
            gate.scope(),
            stages=stages,
            limit=limit,
            cursor=given.get("cursor"),
            silent_nodes=await silent_nodes(),
        )
    except ValueError as error:
        raise _not_understood(gettext("The cursor must be `next` of the page before.")) from error
    note_running(page.calls)
    return _json(CallList(tuple(call_of(view) for view in page.calls), page.next))


@blueprint.get("/calls/<uuid:call_id>")
async def get_call(call_id: UUID) -> Response:
    _parameters()
    return _json(call_of(await find_call(call_id)))


@blueprint.get("/calls/<uuid:call_id>/audio")
async def audio(call_id: UUID) -> Response:
    _parameters("format")
    form = wanted_format()
    return await send(await find_call(call_id), form, named=True)


@blueprint.put("/calls/<uuid:call_id>/recording")
async def change_recording(call_id: UUID) -> Response:
    _parameters()
    change = await _change()
    view = await find_running(call_id)
    # One whose engine was not heard of for a while may run all the same: the engine knows.
    if view.stage not in RUNNING:
        raise _ended()
    gateways = portal().gateways
    act = gateways.pause if change.state == "paused" else gateways.resume
    try:
        with trio.fail_after(ANSWER_S):
            done = await act(view, gate.account().login, "api" if gate.by_token() else "portal")
    except Refused as refusal:
        raise Problem(409, gettext("Not possible now"), refused.of_call(refusal), kind=REFUSED) from refusal
    except NoSuchCall as error:
        raise _ended() from error
    except (GatewayError, trio.TooSlowError) as error:
        told = gettext(
            "The recorder of this call does not answer, so nobody knows whether this was done. "
            "Ask again: doing it twice changes nothing."
        )
        raise Problem(504, gettext("No answer"), told) from error
    _note(view, change, done)
    return _json(RecordingState(done.state, done.position_s))


def _note(view: CallView, change: RecordingChange, done: Answer) -> None:
    """Told by what it is known by in the journal: there the archive finds it, too."""
    call_id, login, at_s = view.record.id, gate.account().login, done.position_s
    if change.state == "paused":
        note_soon(view, Action.PAUSE, position(at_s), pause_origin(call_id, at_s, login))
    elif done.state == "recording" and at_s:  # at 0 it had never been paused
        note_soon(view, Action.RESUME, position(at_s), resume_origin(call_id, at_s))


def _ended() -> Problem:
    told = gettext("The call has ended: nothing of it is recorded any more.")
    return Problem(409, gettext("Call ended"), told, kind=CALL_ENDED)


def _json(value: Any) -> Response:
    return TrioResponse(msgspec.json.encode(value), 200, {"Cache-Control": "no-store"}, content_type=JSON)


def _not_understood(detail: str) -> Problem:
    return Problem(400, gettext("Not understood"), detail)


def _parameters(*known: str) -> dict[str, str]:
    """The query's parameters. Raises `Problem` (400) for one that is not known, or is given twice."""
    for name, values in request.args.lists():
        if name not in known:
            there = ", ".join(known) or gettext("none")
            told = gettext("There is no parameter %(name)s here. There are: %(known)s.", name=name, known=there)
            raise _not_understood(told)
        if len(values) > 1:
            raise _not_understood(gettext("The parameter %(name)s is given more than once.", name=name))
    return dict(request.args)


def _stages(given: str | None) -> tuple[CallStage, ...]:
    if given is None:
        return ()
    try:
        return (CallStage(given),)
    except ValueError:
        told = gettext("The state must be one of: %(states)s.", states=", ".join(CallStage))
        raise _not_understood(told) from None


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if len(given) <= len(str(MOST_CALLS)) and given.isascii() and given.isdigit() and 1 <= int(given) <= MOST_CALLS:
        return int(given)
    raise _not_understood(gettext("The limit must be a whole number from 1 to %(most)s.", most=MOST_CALLS))


async def _change() -> RecordingChange:
    """The body of the request at hand. Raises `Problem`: 400 is no JSON, 415 another type, 422 another content."""
    told = gettext('The body must be {"state": "paused"} or {"state": "recording"}, as application/json.')
    if request.mimetype != JSON:
        raise Problem(415, gettext("Not JSON"), told, headers={"Accept": JSON})
    try:
        return msgspec.json.decode(await request.get_data(), type=RecordingChange)
    except msgspec.ValidationError:
        raise Problem(422, gettext("Not accepted"), told) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_understood(told) from None
