"""Recordings for browsers: played, downloaded, drawn. The API sends audio from here, too.

    /calls/<id>/audio?format=        to play; parts of it by Range
    /calls/<id>/download?format=     the same as a file with a name that speaks
    /calls/<id>/peaks                JSON: what the waveform is drawn from

Without a format, the stored one is sent as it lies on the shelf; others are converted once and kept for a while.

Not here: Range and ETag (`ranges.py`), the player, who may hear which call (`gate.py`, and the queries' scope).
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID

import msgspec
import numpy as np
import structlog
import trio
from numpy.typing import NDArray
from quart import Blueprint, Response, current_app, request
from quart_babel import gettext
from quart_trio.wrappers import TrioResponse

from archive.encode import AudioFormat
from archive.peaks import Peaks
from archive.shelf import NotOnShelf, Shelf, StoredFile
from archive.transcode import NoRoom, TooManyOrdered, TranscodeFailed, Transcoder
from portal import gate, ranges
from portal.config import portal
from portal.errors import Problem
from portal.finding import find_call
from portal.notes import note_heard
from schema.entries import Action
from schema.values import CallRecord, CallStage, CallView, PartyRecord, RecordingRecord

log = structlog.get_logger()

CONTENT_TYPES: Final[dict[AudioFormat, str]] = {
    "opus": "audio/ogg; codecs=opus",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
}
NOT_FINISHED: Final = "urn:earshot:problem:not-finished"
# A waveform as wide as a large screen has no more; an hour is 150 kB instead of 1.4 MB.
MOST_POINTS: Final = 4000
# Part of the ETag of peaks: another number when they look different.
PEAKS_VERSION: Final = 1
FULL_SCALE: Final = 128
EXTENSION: Final = "earshot.audio"
LONGEST_PARTY: Final = 40
# A full disk does not empty itself in less.
RETRY_AFTER_S: Final = "60"

blueprint = Blueprint("audio", __name__)


@dataclass(frozen=True, slots=True)
class _Sources:
    shelf: Shelf
    transcoder: Transcoder


def _sources() -> _Sources:
    """Where audio comes from: as long-lived as the app, in whose nursery conversions run."""
    extensions: dict[str, Any] = current_app.extensions
    if EXTENSION not in extensions:
        data_dir = portal().config.data_dir
        extensions[EXTENSION] = _Sources(Shelf(data_dir), Transcoder(data_dir, current_app.add_background_task))
    return cast(_Sources, extensions[EXTENSION])


@blueprint.get("/calls/<uuid:call_id>/audio")
async def play(call_id: UUID) -> Response:
    return await send(await find_call(call_id), wanted_format())


@blueprint.get("/calls/<uuid:call_id>/download")
async def download(call_id: UUID) -> Response:
    return await send(await find_call(call_id), wanted_format(), named=True)


@blueprint.get("/calls/<uuid:call_id>/peaks")
async def peaks(call_id: UUID) -> Response:
    recording = _recording(await find_call(call_id))
    etag = f"{recording.sha256}-{PEAKS_VERSION}"
    headers = {"ETag": f'"{etag}"', "Cache-Control": ranges.CACHE_CONTROL}
    if request.if_none_match.contains_weak(etag):
        return TrioResponse(status=304, headers=headers)
    try:
        found = await trio.to_thread.run_sync(_sources().shelf.peaks, recording)
    except NotOnShelf as error:
        raise _missing(call_id, error) from error
    return TrioResponse(msgspec.json.encode(_drawn(found, recording.duration_s)), 200, headers, "application/json")


def wanted_format() -> AudioFormat | None:
    """The format that the request at hand asks for. Raises `Problem` (400)."""
    given = request.args.get("format")
    if given is None or given in CONTENT_TYPES:
        return given
    raise Problem(
        400,
        gettext("Not understood"),
        gettext("The format must be one of: %(formats)s.", formats=", ".join(CONTENT_TYPES)),
    )


async def send(call: CallView, form: AudioFormat | None, *, named: bool = False) -> Response:
    """The answer to the request at hand for a call's audio; `named`: as a file to keep. The audit trail tells of it.

    Raises `Problem`: 404 without audio, 409 before the call is finished, 416, 503 where it cannot be converted.
    """
    recording = _recording(call)
    form = form or recording.format
    sources = _sources()
    try:
        stored = await trio.to_thread.run_sync(sources.shelf.open_audio, recording)
    except NotOnShelf as error:
        raise _missing(call.record.id, error) from error
    etag = recording.sha256
    if form != recording.format:
        stored = await _converted(sources.transcoder, stored, call.record.id, recording, form)
        etag = f"{recording.sha256}-{form}-{stored.size:x}-{stored.modified_ns:x}"
    disposition = content_disposition(call.record, form) if named else ""
    try:
        await note_heard(call, Action.DOWNLOAD if named else Action.PLAYBACK, {"format": form})
    except BaseException:
        stored.close()
        raise
    sent = ranges.Representation(stored, CONTENT_TYPES[form], etag, disposition)
    return ranges.answer(sent, request.method, request.headers)


async def _converted(
    transcoder: Transcoder, stored: StoredFile, call_id: UUID, recording: RecordingRecord, form: AudioFormat
) -> StoredFile:
    try:
        return await transcoder.open(
            stored,
            str(call_id),
            recording.sha256,
            form,
            recording.rate_hz,
            recording.duration_s,
            owner=str(gate.account().id),
        )
    except TranscodeFailed as failure:
        if isinstance(failure, NoRoom):
            told = gettext(
                "The server's disk is nearly full and what is left is kept for recording, so nothing is converted. "
                "The recording is safe: %(stored)s is the format in which it can be had.",
                stored=recording.format,
            )
        elif isinstance(failure, TooManyOrdered):
            told = gettext(
                "You wait for several conversions already. Ask again when one of them is done; %(stored)s is the "
                "format in which this recording can be had at once.",
                stored=recording.format,
            )
        else:
            told = gettext(
                "The recording could not be converted. It is safe: %(stored)s is the format in which it can be had. "
                "The log says what went wrong.",
                stored=recording.format,
            )
        raise Problem(503, gettext("Not converted"), told, headers={"Retry-After": RETRY_AFTER_S}) from failure
    finally:
        stored.close()


def _recording(call: CallView) -> RecordingRecord:
    """The recording of a call. Raises `Problem`."""
    if call.record.recording_file is not None:
        return call.record.recording_file
    if call.stage is CallStage.FINISHED:
        told = gettext("There is no audio of this call. Its warnings say why.")
        raise Problem(404, gettext("No audio"), told)
    if call.stage is CallStage.FINISHING:
        told = gettext("The call has ended and its recording is being made. Ask again in a moment.")
    else:
        told = gettext("The call is still running. Its recording can be had once it has ended.")
    raise Problem(409, gettext("Not finished"), told, kind=NOT_FINISHED)


def _missing(call_id: UUID, error: NotOnShelf) -> Problem:
    log.error("recording_missing", call=str(call_id), reason=str(error))
    told = gettext(
        "The recording of this call is not where it was kept. Tell your administrator: the log says which file it is."
    )
    return Problem(404, gettext("Recording missing"), told)


class _Drawn(msgspec.Struct, frozen=True):
    """Lowest and highest sample of each point in turn, from -1 to 1."""

    points_per_s: float
    duration_s: float
    caller: list[float]
    callee: list[float]


def _drawn(found: Peaks, duration_s: float) -> _Drawn:
    points = found.points
    together = max(1, -(-len(points) // MOST_POINTS))
    if together > 1:
        starts = np.arange(0, len(points), together)
        lowest = np.minimum.reduceat(points[:, :, 0], starts)
        highest = np.maximum.reduceat(points[:, :, 1], starts)
        points = np.stack((lowest, highest), axis=-1)
    per_point = found.samples_per_point * together
    return _Drawn(round(found.rate_hz / per_point, 6), duration_s, _side(points[:, 0]), _side(points[:, 1]))


def _side(pairs: NDArray[np.int8]) -> list[float]:
    return cast(list[float], np.round(pairs.reshape(-1) / FULL_SCALE, 3).tolist())


def content_disposition(record: CallRecord, form: AudioFormat) -> str:
    """A Content-Disposition with a name that speaks: when, who, with whom, which call (RFC 6266)."""
    begin = f"{record.started_at.astimezone(UTC):%Y%m%d-%H%M%SZ}"
    name = f"{begin}-{_party(record.caller)}-{_party(record.callee)}-{record.id}.{form}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    disposition = f'attachment; filename="{plain}"'
    return disposition if plain == name else f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


def _party(party: PartyRecord) -> str:
    """A party in the name of a file: letters and digits of any script, and what telephone numbers have."""
    said = re.sub(r"[^\w+.@]+", "_", party.number or party.name).strip("_.")
    return said[:LONGEST_PARTY] or "unknown"
