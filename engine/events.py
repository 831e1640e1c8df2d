"""The events of a call: what a journal and the outbox hold beside packets, as JSON.

Past tense, frozen, each with the moment it was decided. An event is never changed once a release has written it: fields
may be added with a default.

Not here: which event follows from what (`call.py`), or how blocks are sealed (`journal.py`).
"""

from typing import Literal

import msgspec

Side = Literal["caller", "callee", "both"]
# Who holds a recording paused. Each holder resumes his own pause only: a phone system that takes a call off hold
# must not end the pause in which an agent takes a card number.
Holder = Literal["phone-system", "person"]
End = Literal["normal", "interrupted", "lost", "incomplete"]


class Instant(msgspec.Struct, frozen=True, array_like=True):
    """One moment on both clocks, in ns. Durations come from the monotonic one; the realtime one may step."""

    realtime_ns: int
    monotonic_ns: int


class Party(msgspec.Struct, frozen=True):
    """One side of a call as the phone system named it; what is not known is empty."""

    number: str = ""
    name: str = ""
    aor: str = ""


class Participant(msgspec.Struct, frozen=True):
    """Somebody on the call, by the id of the SIPREC metadata. `labels` are those of the streams he sends."""

    id: str
    number: str = ""
    name: str = ""
    aor: str = ""
    labels: tuple[str, ...] = ()


class Origin(msgspec.Struct, frozen=True):
    """The SIP dialog that brought (a part of) the call. Addresses are `host:port`."""

    sip_call_id: str
    from_uri: str = ""
    to_uri: str = ""
    source: str = ""
    transport: str = ""
    user_agent: str = ""


class Codec(msgspec.Struct, frozen=True):
    """One payload format that was agreed for a stream (RFC 8866 section 6.6)."""

    payload_type: int
    name: str
    rate_hz: int
    channels: int = 1
    fmtp: str = ""


class Stream(msgspec.Struct, frozen=True):
    """One media stream. `index` is its number in the call: rows name it, and it is never given to another stream."""

    index: int
    dialog: int
    label: str
    side: Side
    port: int
    address: str = ""
    remote_address: str = ""
    remote_port: int = 0
    state: Literal["active", "inactive", "rejected"] = "active"
    codecs: tuple[Codec, ...] = ()
    ptime_ms: int | None = None


class Identity(msgspec.Struct, frozen=True):
    """The ids by which a phone system ties sessions together."""

    session_id: str = ""
    group_id: str = ""
    tracking_id: str = ""
    sip_session_id: str = ""


class Event(msgspec.Struct, frozen=True, tag_field="event", kw_only=True):
    """What all events share."""

    at: Instant


class Started(Event, frozen=True, tag="started"):
    """The first event of every journal."""

    call_id: str
    node: str
    origin: Origin


class DialogJoined(Event, frozen=True, tag="dialog-joined"):
    """A further dialog carries this call too. `dialog` numbers from 1; the one that began the call is 0."""

    dialog: int
    origin: Origin


class StreamsAgreed(Event, frozen=True, tag="streams-agreed"):
    """All streams of one dialog, as the last offer and answer left them."""

    dialog: int
    streams: tuple[Stream, ...]


class MetadataReceived(Event, frozen=True, tag="metadata-received"):
    """The metadata document word for word. `problem` says why it could not be read, where it could not."""

    content_type: str
    document: bytes
    problem: str = ""


class Identified(Event, frozen=True, tag="identified"):
    """Who talks with whom, as far as is known now."""

    caller: Party
    callee: Party
    direction: str = ""
    identity: Identity = Identity()


class ParticipantJoined(Event, frozen=True, tag="participant-joined"):
    """Somebody joined, or what is known of him changed."""

    participant: Participant


class ParticipantLeft(Event, frozen=True, tag="participant-left"):
    """Somebody left."""

    id: str


class Paused(Event, frozen=True, tag="paused"):
    """From here on nothing is kept until every holder has resumed. `sign` is how it was told, `who` by whom."""

    holder: Holder
    sign: str = ""
    who: str = ""


class Resumed(Event, frozen=True, tag="resumed"):
    """This holder keeps the recording paused no longer."""

    holder: Holder
    sign: str = ""
    who: str = ""


class Gap(Event, frozen=True, tag="gap"):
    """Packets that came and could not be kept, since `since`."""

    since: Instant
    packets: int
    cause: str


class Restarted(Event, frozen=True, tag="restarted"):
    """The code that ran this call failed and was started again; nothing was lost."""

    problem: str


class Ended(Event, frozen=True, tag="ended"):
    """The last event. A journal without it was interrupted."""

    end: End
    by: str = ""


AnyEvent = (
    Started
    | DialogJoined
    | StreamsAgreed
    | MetadataReceived
    | Identified
    | ParticipantJoined
    | ParticipantLeft
    | Paused
    | Resumed
    | Gap
    | Restarted
    | Ended
)


def event_name(event: AnyEvent) -> str:
    """The event's name in JSON: `streams-agreed`."""
    return str(event.__struct_config__.tag)


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: AnyEvent) -> bytes:
    """An event as JSON."""
    return _encoder.encode(event)


def decode(data: bytes) -> AnyEvent:
    """The event again. Raises `msgspec.ValidationError` or `msgspec.DecodeError` for anything else."""
    return _decoder.decode(data)
