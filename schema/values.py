"""What goes into the database and comes out of it, as values: nobody outside this house holds a row of the ORM.

Times are timezone-aware and in UTC; positions (`*_s`) are seconds on the call's clock, which starts at `started_at`.

Not here: queries (`calls.py`, `clerk.py`, `people.py`), models (`models.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from schema.roles import READY_MADE, Grant, Reach, Role

# Made by the migrations, with the same id everywhere: the tenant of what belongs to nobody else's.
DEFAULT_TENANT: Final = UUID("00000000-0000-7000-8000-000000000001")
# In a scope: nobody's own calls.
NOBODY: Final = UUID(int=0)

Side = Literal["caller", "callee", "both"]
RecordingState = Literal["recording", "paused", "off"]


class CallStage(StrEnum):
    """Where a call is on its way: `unreachable` is one that runs on a node of which nothing is heard."""

    ACTIVE = "active"
    UNREACHABLE = "unreachable"
    FINISHING = "finishing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class PartyRecord:
    """One side of a call. `phone_id` is the phone system's id of the line, `address` the `host:port` of its audio."""

    number: str = ""
    name: str = ""
    phone_id: str = ""
    address: str = ""
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ParticipantRecord:
    """Somebody on the call, in the order of arrival. `left_s` is None while he is on it, or where nobody knows."""

    name: str
    number: str
    aor: str
    joined_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One media stream. The figures of reception are None until the recording is made."""

    index: int
    label: str
    side: Side
    codec: str
    packets: int | None = None
    lost: int | None = None
    jitter_ms: float | None = None


@dataclass(frozen=True, slots=True)
class PauseRecord:
    """Time withheld. `by` is who paused: a login, or `phone-system`. `file_s`: where it lies in the audio file."""

    start_s: float
    end_s: float | None
    by: str
    file_s: float | None = None


@dataclass(frozen=True, slots=True)
class RecordingRecord:
    """The files of a finished call. `folder` is relative to the shelf; `peaks` is empty where there is none."""

    folder: str
    file: str
    format: Literal["opus", "wav", "flac", "mp3"]
    bytes: int
    sha256: str
    duration_s: float
    rate_hz: int
    peaks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """All that the database holds of a call. `events` is the number of the last event that it tells of.

    `finished`: the recording was made (or found impossible); nothing of this call changes by itself any more.
    """

    id: UUID
    tenant_id: UUID
    node: str
    events: int
    started_at: datetime
    connected_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    end: Literal["normal", "interrupted", "lost", "incomplete"] | None = None
    finished: bool = False
    direction: str = ""
    caller: PartyRecord = PartyRecord()
    callee: PartyRecord = PartyRecord()
    mode: str = ""
    recording: RecordingState = "recording"
    kept: bool | None = None
    session_id: str = ""
    group_id: str = ""
    tracking_id: str = ""
    sip_session_id: str = ""
    sip_call_id: str = ""
    warnings: tuple[str, ...] = ()
    participants: tuple[ParticipantRecord, ...] = ()
    streams: tuple[StreamRecord, ...] = ()
    pauses: tuple[PauseRecord, ...] = ()
    recording_file: RecordingRecord | None = None


@dataclass(frozen=True, slots=True)
class CallView:
    """A call as it is read: the record, what stage it is at, its interaction, and the users' names by id.

    `confidential`: it was marked so; it may be hidden for its users' sake, too.
    """

    record: CallRecord
    stage: CallStage
    interaction_id: UUID
    user_names: dict[UUID, str]
    confidential: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Event `number` of a call as the outbox told it, JSON."""

    call_id: UUID
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, order=True)
class Offset:
    """How far a node's outbox was read: everything before block `block` of segment `segment`."""

    segment: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """An engine, and when something was last heard of it. `gateway` is the URL of its live gateway (ws, wss)."""

    name: str
    gateway: str
    version: str
    seen_at: datetime
    gateway_certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in, or whose calls are recorded, as each request needs to know him.

    `grant`: what his role gives; `role` is the ready-made one, or the one at the root of `role_name`. `language` and
    `time_zone` are what holds for him: his own, else his group's, his tenant's, the platform's, else empty.
    `password_hash` is empty where there is none. `may_sign_in`: he has web access, and neither he nor his tenant is
    disabled. `colour`, `has_logo`: how his tenant looks.
    """

    id: UUID
    tenant_id: UUID
    tenant: str
    login: str
    name: str
    role: Role
    may_sign_in: bool
    grant: Grant = READY_MADE[Role.USER]
    role_name: str = ""
    password_hash: str = ""
    language: str = ""
    time_zone: str = ""
    email: str = ""
    authentication: Literal["password", "oidc"] = "password"
    must_change_password: bool = False
    confidential: bool = False
    two_factor: bool = False
    colour: str = ""
    has_logo: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks. No query for a tenant's data is made without one.

    `platform`: everything; `tenant`: everything of the tenant; `managed`: own calls and those of managed groups and
    users; `own`: own calls. Without `confidential`, what is confidential is hidden, but for one's own.
    """

    tenant_id: UUID
    user_id: UUID
    reach: Reach
    confidential: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some calls, newest first, and the cursor of the next page (None: this is the last)."""

    calls: tuple[CallView, ...]
    next: str | None


def lines_of_party(number: str, aor: str) -> tuple[str, ...]:
    """By what a party's phone may be known, the surest first: its number, its AOR, the AOR's user part."""
    address = aor.removeprefix("sips:").removeprefix("sip:")
    user = address.partition("@")[0]
    return tuple(dict.fromkeys(filter(None, (number, aor, address, user))))
