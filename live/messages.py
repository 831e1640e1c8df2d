"""What a portal and a gateway say to each other: JSON in text messages, packets in binary ones (docs/live.md).

    portal -> gateway    requests: calls, pause, resume, start, stop, listen, ignore, levels
    gateway -> portal    one reply to each request, by its id; unasked, clock, status, dropped, levels and batches

A batch holds visits to the sockets of calls that are listened to, as the journal has them: row headers (ROW), then the
packets as they came from the wire. So the engine looks into no packet, and one message carries all calls of a tick.

Not here: connections (`gateway.py`, `client.py`), samples.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import msgspec

from engine.call import CallState
from engine.events import Instant, Stream

Recording = Literal["recording", "paused", "off"]
Trouble = Literal["refused", "no-such-call", "unanswered", "malformed"]

# The path of the only resource.
PATH: Final = "/live"
# What a portal may say at once: levels of a thousand calls and more.
MOST_REQUEST_BYTES: Final = 64 * 1024
# What a gateway may say at once: all that may wait for a slow portal.
MOST_BATCH_BYTES: Final = 16 * 2**20
# kind (u8), 7 bytes of nothing, the engine's monotonic clock (i64, ns)
_BATCH: Final = struct.Struct("<B7xq")
_KIND: Final = 1
# call (16 bytes), realtime and monotonic ns of the visit (i64), rows and bytes of packets (u32)
_VISIT: Final = struct.Struct("<16sqqII")
_ROW_BYTES: Final = 16


class Request(msgspec.Struct, frozen=True, tag_field="op", kw_only=True):
    """What all requests share: `id` comes back in the reply."""

    id: int


class ListCalls(Request, frozen=True, tag="calls"):
    """Which calls run?"""


class Control(Request, frozen=True):
    """`who` wants it (a login), `sign` says by which way (`portal`, `api`).

    `before_ns`, on the engine's monotonic clock: nobody waits for the answer any more. An engine that stood still does
    nothing of what was asked before: a resumption would record what is said since somebody gave up on it, a pause
    would silence a recording that everybody takes for running.
    """

    call: UUID
    who: str
    sign: str
    before_ns: int


class Pause(Control, frozen=True, tag="pause"):
    """Keep nothing from here on."""


class Resume(Control, frozen=True, tag="resume"):
    """Go on."""


class Start(Control, frozen=True, tag="start"):
    """Record this call."""


class Stop(Control, frozen=True, tag="stop"):
    """Record this call no longer."""


class Listen(Request, frozen=True, tag="listen"):
    """Send this call's status and packets until told otherwise."""

    call: UUID


class Ignore(Request, frozen=True, tag="ignore"):
    """Send this call's packets no longer."""

    call: UUID


class WatchLevels(Request, frozen=True, tag="levels"):
    """Send the levels of these calls too, and of those no longer, ten times a second."""

    watch: tuple[UUID, ...] = ()
    ignore: tuple[UUID, ...] = ()


AnyRequest = ListCalls | Pause | Resume | Start | Stop | Listen | Ignore | WatchLevels


class Reply(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """What the gateway says."""


class Done(Reply, frozen=True, tag="done"):
    """A request was carried out that needs no words."""

    id: int


class Answer(Reply, frozen=True, tag="answer"):
    """A control request was carried out: the state after it, and where on the call's clock that began."""

    id: int
    state: Recording
    position_s: float


class Failed(Reply, frozen=True, tag="failed"):
    """A request was not carried out; `reason` is a sentence. `why` is a refusal's `engine.call.Why`, else empty."""

    id: int
    trouble: Trouble
    reason: str
    why: str = ""


class CallLine(msgspec.Struct, frozen=True):
    """A call that runs."""

    call: UUID
    recording: Recording
    position_s: float


class Calls(Reply, frozen=True, tag="calls"):
    """The calls that run."""

    id: int
    calls: tuple[CallLine, ...]


class Clock(Reply, frozen=True, tag="clock"):
    """The engine's monotonic clock: at first, and every few seconds."""

    now_ns: int


class Status(Reply, frozen=True, tag="status"):
    """How a call is that is listened to: at first, and after each change. `by` paused it; `end`: how it ended."""

    call: UUID
    started: Instant
    recording: Recording
    position_s: float
    by: str
    streams: tuple[Stream, ...]
    end: str = ""


class Dropped(Reply, frozen=True, tag="dropped"):
    """Packets of a call that were not sent, since the portal did not keep up."""

    call: UUID
    packets: int


class Levels(Reply, frozen=True, tag="levels"):
    """dBFS (RMS, -90 to 0) of caller and callee; None for a call that is paused or gone, or a side without G.711."""

    levels: dict[UUID, tuple[float | None, float | None] | None]


AnyReply = Done | Answer | Failed | Calls | Clock | Status | Dropped | Levels

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_replies: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)


def encode(message: Request | Reply) -> str:
    """A message as text."""
    return _encoder.encode(message).decode()


def decode_request(text: str | bytes) -> AnyRequest:
    """Errors: `msgspec.MsgspecError`."""
    return _requests.decode(text)


def decode_reply(text: str | bytes) -> AnyReply:
    """Errors: `msgspec.MsgspecError`."""
    return _replies.decode(text)


def status_of(call_id: UUID, state: CallState, now: Instant) -> Status:
    """What a listener must know of a call."""
    pause = state.pauses[-1] if state.paused and state.pauses else None
    return Status(
        call=call_id,
        started=state.started,
        recording=recording_of(state),
        position_s=seconds(state.position_ns(now)),
        by="" if pause is None else pause.who or (pause.holders[0] if pause.holders else ""),
        streams=state.streams,
        end="" if state.ended is None else state.ended.end,
    )


def seconds(position_ns: int) -> float:
    """A position as it is told everywhere: to the microsecond."""
    return round(position_ns / 1e9, 6)


def recording_of(state: CallState) -> Recording:
    """The state of a call's recording in a word."""
    if state.ended is not None:
        return "off"
    return "paused" if state.paused else "recording"


@dataclass(frozen=True, slots=True)
class Visit:
    """The RTP packets of one visit to a call's sockets: row headers (ROW) and packets, end to end."""

    realtime_ns: int
    monotonic_ns: int
    rows: int
    headers: bytes
    packets: bytes


def pack_visit(
    call_id: bytes,
    rows: int,
    headers: bytes | memoryview,
    packets: bytes | memoryview,
    realtime_ns: int,
    monotonic_ns: int,
) -> bytes:
    """A visit as it stands in a batch."""
    return b"".join((_VISIT.pack(call_id, realtime_ns, monotonic_ns, rows, len(packets)), headers, packets))


def pack_batch(now_ns: int, visits: list[bytes]) -> bytes:
    """A binary message. `now_ns`: the engine's monotonic clock; all that its sockets held until then is sent."""
    return b"".join((_BATCH.pack(_KIND, now_ns), *visits))


def unpack_batch(data: bytes) -> tuple[int, Iterator[tuple[bytes, Visit]]]:
    """The clock, and the visits with their call's 16 bytes. Errors: `ValueError` for what is no batch."""
    if len(data) < _BATCH.size or data[0] != _KIND:
        raise ValueError("The gateway sent something that is no batch.")
    return _BATCH.unpack_from(data)[1], _visits(data)


def _visits(data: bytes) -> Iterator[tuple[bytes, Visit]]:
    at = _BATCH.size
    while at < len(data):
        if at + _VISIT.size > len(data):
            raise ValueError("A batch ends within a visit.")
        call_id, realtime_ns, monotonic_ns, rows, size = _VISIT.unpack_from(data, at)
        headers = at + _VISIT.size
        packets = headers + rows * _ROW_BYTES
        at = packets + size
        if at > len(data):
            raise ValueError("A batch ends within a visit.")
        yield call_id, Visit(realtime_ns, monotonic_ns, rows, data[headers:packets], data[packets:at])
