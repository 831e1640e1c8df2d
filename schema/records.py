"""A call's record as rows, and rows as a record.

Text comes from the wire. What a database refuses in a text (a NUL, half a surrogate pair) is taken out here: a call
that cannot be stored would stand in the way of all after it.

Not here: queries.
"""

import json
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from schema.columns import as_id, as_moment
from schema.values import (
    CallRecord,
    ParticipantRecord,
    PartyRecord,
    PauseRecord,
    RecordingRecord,
    StreamRecord,
)

RUNNING: Final = "running"
FINISHING: Final = "finishing"
FINISHED: Final = "finished"

# The tables of what belongs to a call, with their columns besides the call, its tenant and the place in its order.
CHILDREN: Final = {
    "participant": ("name", "phone_number", "aor", "joined_s", "left_s"),
    "media_stream": ("stream", "label", "side", "codec", "packets", "lost", "jitter_ms"),
    "pause_span": ("start_s", "end_s", "paused_by", "file_s"),
    "recording": ("folder", "file", "format", "bytes", "sha256", "duration_s", "rate_hz", "peaks"),
}


def call_row(record: CallRecord) -> dict[str, Any]:
    """The row of table `call`, by column."""
    phase = FINISHED if record.finished else FINISHING if record.ended_at is not None else RUNNING
    row: dict[str, Any] = {
        "id": record.id,
        "tenant_id": record.tenant_id,
        "node": record.node,
        "phase": phase,
        "events": record.events,
        "started_at": record.started_at,
        "connected_at": record.connected_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "end_kind": record.end,
        "direction": record.direction,
        "mode": record.mode,
        "recording": record.recording,
        "kept": record.kept,
        "session_id": record.session_id,
        "group_id": record.group_id,
        "tracking_id": record.tracking_id,
        "sip_session_id": record.sip_session_id,
        "sip_call_id": record.sip_call_id,
        "warnings": json.dumps(record.warnings),
    }
    for side, party in (("caller", record.caller), ("callee", record.callee)):
        row[f"{side}_number"] = party.number
        row[f"{side}_name"] = party.name
        row[f"{side}_phone_id"] = party.phone_id
        row[f"{side}_address"] = party.address
        row[f"{side}_user_id"] = party.user_id
    return {column: clean(value) for column, value in row.items()}


def child_rows(record: CallRecord) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of what belongs to a call, by table, with the columns of `CHILDREN`."""
    files = () if record.recording_file is None else (record.recording_file,)
    children: dict[str, Iterable[tuple[Any, ...]]] = {
        "participant": ((one.name, one.number, one.aor, one.joined_s, one.left_s) for one in record.participants),
        "media_stream": (
            (one.index, one.label, one.side, one.codec, one.packets, one.lost, one.jitter_ms) for one in record.streams
        ),
        "pause_span": ((one.start_s, one.end_s, one.by, one.file_s) for one in record.pauses),
        "recording": (
            (one.folder, one.file, one.format, one.bytes, one.sha256, one.duration_s, one.rate_hz, one.peaks)
            for one in files
        ),
    }
    return {table: [tuple(map(clean, row)) for row in found] for table, found in children.items()}


def call_record(row: dict[str, Any], children: dict[str, list[dict[str, Any]]]) -> CallRecord:
    """The record of a call from its row and the rows that belong to it, by table, in order."""
    recording = [_recording(one) for one in children["recording"]]
    return CallRecord(
        id=as_id(row["id"]),
        tenant_id=as_id(row["tenant_id"]),
        node=row["node"],
        events=row["events"],
        started_at=as_moment(row["started_at"]),
        connected_at=_maybe(as_moment, row["connected_at"]),
        ended_at=_maybe(as_moment, row["ended_at"]),
        duration_s=row["duration_s"],
        end=row["end_kind"],
        finished=row["phase"] == FINISHED,
        direction=row["direction"],
        caller=_party(row, "caller"),
        callee=_party(row, "callee"),
        mode=row["mode"],
        recording=row["recording"],
        kept=_maybe(bool, row["kept"]),
        session_id=row["session_id"],
        group_id=row["group_id"],
        tracking_id=row["tracking_id"],
        sip_session_id=row["sip_session_id"],
        sip_call_id=row["sip_call_id"],
        warnings=tuple(json.loads(row["warnings"])),
        participants=tuple(
            ParticipantRecord(one["name"], one["phone_number"], one["aor"], one["joined_s"], one["left_s"])
            for one in children["participant"]
        ),
        streams=tuple(
            StreamRecord(
                one["stream"],
                one["label"],
                one["side"],
                one["codec"],
                one["packets"],
                one["lost"],
                one["jitter_ms"],
            )
            for one in children["media_stream"]
        ),
        pauses=tuple(
            PauseRecord(one["start_s"], one["end_s"], one["paused_by"], one["file_s"]) for one in children["pause_span"]
        ),
        recording_file=recording[0] if recording else None,
    )


def clean(value: Any) -> Any:
    """A text without what a database refuses in one; anything else as it is."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _party(row: dict[str, Any], side: str) -> PartyRecord:
    return PartyRecord(
        number=row[f"{side}_number"],
        name=row[f"{side}_name"],
        phone_id=row[f"{side}_phone_id"],
        address=row[f"{side}_address"],
        user_id=user_id(row, side),
    )


def user_id(row: dict[str, Any], side: str) -> UUID | None:
    found = row[f"{side}_user_id"]
    return None if found is None else as_id(found)


def _recording(row: dict[str, Any]) -> RecordingRecord:
    return RecordingRecord(**{column: row[column] for column in CHILDREN["recording"]})


def _maybe(convert: Any, value: Any) -> Any:
    return None if value is None else convert(value)
