"""The page of one call: live while it runs, then a player, and all that is known of it.

Not here: audio, peaks and downloads (`portal/audio.py`), listening (`portal/listening.py`), pausing (the API).
"""

from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import trio
from quart import render_template, request, url_for
from quart_babel import gettext

from portal import gate
from portal.finding import find_running
from portal.memory import KNOWN_WITHIN_S
from portal.pages import presentation, texts, trail
from portal.pages.calls import blueprint, with_pages
from portal.pages.deeds import done
from schema.confidential import set_call_confidential
from schema.database import DatabaseError
from schema.roles import Permission
from schema.values import CallView

__all__ = ["blueprint", "show"]

SPEEDS: Final = (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3)
# As people know them; the one a call was recorded in comes without a wait.
FORMATS: Final = (("opus", "Opus"), ("mp3", "MP3"), ("wav", "WAV"), ("flac", "FLAC"))


@blueprint.get("/calls/<uuid:call_id>")
async def show(call_id: UUID) -> str:
    """The page."""
    call = await find_running(call_id)
    record, words = call.record, texts.of_call()
    pause = presentation.open_pause(record)
    return await render_template(
        "calls/call.html",
        call=call,
        record=record,
        state=presentation.state(call),
        caller=presentation.party(call, "caller"),
        callee=presentation.party(call, "callee"),
        began=presentation.began(record),
        bands=presentation.bands(record),
        timeline=presentation.timeline(record),
        pause=pause,
        paused_since=""
        if pause is None
        else words["paused_since"].format(position=presentation.duration(pause.start_s), by=who_pauses(pause.by)),
        may_play=gate.may(Permission.PLAY),
        may_download=gate.may(Permission.DOWNLOAD),
        may_listen=gate.may(Permission.LIVE_MONITOR),
        may_pause=gate.may(Permission.PAUSE),
        may_mark=gate.may_call("calls.confidential"),
        formats=FORMATS,
        format_name=dict(FORMATS).get(record.recording_file.format) if record.recording_file else "",
        speeds=SPEEDS,
        texts=words,
        linked=await _linked(call),
        **await _about(call_id),
    )


async def _about(call_id: UUID) -> dict[str, Any]:
    """The trail's entries. A call that runs has its page while the database is away; the trail has to wait then."""
    with trio.move_on_after(KNOWN_WITHIN_S), suppress(DatabaseError):
        return await trail.about(call_id)
    return {"entries": None, "about_id": call_id}


async def _linked(call: CallView) -> frozenset[UUID]:
    """The users of the call whose pages may be opened; none while the database is away, as the trail."""
    with trio.move_on_after(KNOWN_WITHIN_S), suppress(DatabaseError):
        return await with_pages([call])
    return frozenset()


@blueprint.post("/calls/<uuid:call_id>/confidential")
async def confidential(call_id: UUID) -> Any:
    """Marks the call, or takes the mark away."""
    marks = (await request.form).get("confidential") == "yes"
    told = (
        gettext("Only those who were on this call see it now, and who may see what is confidential.")
        if marks
        else gettext("The call is seen again by everybody who sees the others.")
    )
    deed = set_call_confidential(gate.by(), call_id, marks)
    return await done(deed, told, url_for("calls.show", call_id=call_id))


@blueprint.app_template_filter("duration")
def duration(seconds: float) -> str:
    return presentation.duration(seconds)


@blueprint.app_template_filter("who_pauses")
def who_pauses(by: str) -> str:
    """Who paused, in words."""
    if by == presentation.PHONE_SYSTEM:
        return gettext("the phone system")
    return by or gettext("somebody")
