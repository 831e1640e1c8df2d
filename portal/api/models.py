"""What the API takes and gives, as values; their descriptions stand in the OpenAPI document as they stand here.

Times are RFC 3339 in UTC; positions and lengths (`*_s`) are seconds on the call's clock, which starts at `started_at`.
What is not known is null. Fields are only ever added: clients ignore those that they do not know.

Not here: routes, and the document around these (`openapi.py`).
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.values import CallStage, CallView, PartyRecord

# Of a page of the list.
DEFAULT_LIMIT: Final = 20
MOST_CALLS: Final = 200

Format = Literal["opus", "wav", "flac", "mp3"]
Seconds = Annotated[float, Meta(description="Seconds since the start of the call.", examples=[12.34])]
Time = Annotated[
    str,
    Meta(
        description="Moment in UTC, RFC 3339.",
        examples=["2026-03-05T14:03:22.120Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Id = Annotated[UUID, Meta(examples=["019ccf3a-7c1e-7b7e-9a61-0a1b2c3d4e5f"])]


class Party(msgspec.Struct, frozen=True):
    """One side of a call."""

    number: Annotated[str | None, Meta(description="Number or user part of the address.", examples=["12333001100"])]
    name: Annotated[str | None, Meta(description="Display name.", examples=["Ann Smith"])]
    phone_id: Annotated[str | None, Meta(description="The phone system's id of the line.")]
    address: Annotated[str | None, Meta(description="`host:port` that the audio of this side came from.")]
    user_id: Annotated[UUID | None, Meta(description="The user whose line it is.")]


class Pause(msgspec.Struct, frozen=True):
    """Time that was not recorded. `end_s` is null while it lasts."""

    start_s: Seconds
    end_s: Seconds | None
    by: Annotated[str, Meta(description="Login of whoever paused, or `phone-system`.", examples=["ann"])]


class Audio(msgspec.Struct, frozen=True):
    """The stored recording. Channel 0 is the caller, channel 1 the callee."""

    url: Annotated[str, Meta(description="Where to get it, relative to this server.")]
    format: Annotated[Format, Meta(description="The stored format; others are made on demand.")]
    bytes: int
    sha256: Annotated[str, Meta(description="Of the stored file, in hexadecimal.")]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call."""

    id: Id
    state: Annotated[
        Literal["active", "finishing", "finished", "unreachable"],
        Meta(
            description="`active`: it runs. `finishing`: it ended and its recording is being made. `finished`: nothing "
            "changes any more. `unreachable`: it ran when its recorder was last heard of."
        ),
    ]
    end: Annotated[
        Literal["normal", "interrupted", "lost", "incomplete"] | None,
        Meta(
            description="How it ended. `interrupted`: the recorder stopped. `lost`: the phone system went silent. "
            "`incomplete`: a part could not be recorded."
        ),
    ]
    direction: Annotated[str | None, Meta(description="As the phone system says it.", examples=["inbound"])]
    started_at: Time
    connected_at: Time | None
    ended_at: Time | None
    duration_s: Annotated[float | None, Meta(description="Length of the call in seconds.", examples=[55.1])]
    from_: Annotated[Party, Meta(description="The caller.")] = msgspec.field(name="from")
    to: Annotated[Party, Meta(description="The callee.")]
    mode: Annotated[str | None, Meta(description="Recording mode.", examples=["always-pause"])]
    recording: Annotated[Literal["recording", "paused", "off"], Meta(description="`off` once the call has ended.")]
    kept: Annotated[
        bool | None, Meta(description="Whether there is a recording to hear; null while that is not decided.")
    ]
    pauses: tuple[Pause, ...]
    interaction_id: Annotated[UUID, Meta(description="Calls that belong together have the same one.")]
    confidential: Annotated[
        bool, Meta(description="Marked so: only its parties see it, and who may see what is confidential.")
    ]
    warnings: Annotated[tuple[str, ...], Meta(description="What went wrong, in sentences.")]
    audio: Audio | None


class CallList(msgspec.Struct, frozen=True):
    """Calls, newest first."""

    calls: tuple[Call, ...]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null on the last one.")]


class RecordingChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the recording of a running call shall do."""

    state: Literal["paused", "recording"]


class RecordingState(msgspec.Struct, frozen=True):
    """What the recording does now, and since which position on the call's clock: there lies the cut."""

    state: Literal["recording", "paused", "off"]
    position_s: Seconds


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457). Further members may stand beside these."""

    type: Annotated[str, Meta(description="`about:blank`: the status says which kind of problem it is.")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What happened and what to do, in a sentence or two.")]
    instance: Annotated[str, Meta(description="Path of the request.")]


def call_of(view: CallView) -> Call:
    """A call as the API shows it."""
    record, file = view.record, view.record.recording_file
    return Call(
        id=record.id,
        state=view.stage.value,
        end=record.end,
        direction=record.direction or None,
        started_at=_time(record.started_at),
        connected_at=None if record.connected_at is None else _time(record.connected_at),
        ended_at=None if record.ended_at is None else _time(record.ended_at),
        duration_s=record.duration_s,
        from_=_party(record.caller),
        to=_party(record.callee),
        mode=record.mode or None,
        recording=record.recording if view.stage in {CallStage.ACTIVE, CallStage.UNREACHABLE} else "off",
        kept=record.kept,
        pauses=tuple(Pause(pause.start_s, pause.end_s, pause.by) for pause in record.pauses),
        interaction_id=view.interaction_id,
        confidential=view.confidential,
        warnings=record.warnings,
        audio=None if file is None else Audio(f"/api/v1/calls/{record.id}/audio", file.format, file.bytes, file.sha256),
    )


def _party(party: PartyRecord) -> Party:
    return Party(party.number or None, party.name or None, party.phone_id or None, party.address or None, party.user_id)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
