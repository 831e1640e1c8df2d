"""What a SIPREC request carries, whom it speaks of, and which side of the conversation each stream is (RFC 7866).

It puts together SIP, SDP and metadata, and is the only module that knows all three. It keeps no state: what is known
of a call from before is merged by the caller. Nothing here answers a request or chooses a port.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine import metadata as rs
from engine import multipart
from engine.errors import RemoteProtocolError
from engine.multipart import Part
from engine.sdp import Codec, SessionDescription, is_acceptable, is_g711
from engine.sdp import parse as parse_sdp
from engine.sip.message import Request, parse_name_addr

Side = Literal["caller", "callee", "both"]

SDP_TYPE = "application/sdp"
METADATA_TYPES = ("application/rs-metadata", "application/rs-metadata+xml", "application/+xml")
"""What metadata is called: by RFC 7866, by RFC 7865 and the drafts, and where the subtype was lost on the way."""

METADATA_DISPOSITION = "recording-session"
"""The Content-Disposition of metadata (RFC 7866, section 9.1), in case the type tells nothing."""

ACCEPT = f"{SDP_TYPE}, application/rs-metadata, application/rs-metadata+xml, multipart/mixed"
"""The Accept header of a 415 and of the answer to OPTIONS (RFC 3261, section 21.4.13)."""

SRS_FEATURE = "+sip.srs"
"""The feature tag in our Contact that says: this is a recording server (RFC 7866, section 6.1.2)."""

SHORTEST_SUFFIX = 3
"""How many digits an extension must have to be recognised as the end of a longer number."""

_TELEPHONE = re.compile(r"\+?[0-9*#]+")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a request carries.

    `metadata_document` and `metadata_content_type` are the metadata as it came. Where it could not be read, `metadata`
    is None and `metadata_error` says why in a sentence: the call is recorded all the same. `is_siprec` is true where
    anything marks a recording session: metadata, `Require: siprec`, or the feature tag of a recording client.
    """

    is_siprec: bool
    sdp: SessionDescription | None = None
    metadata: rs.Metadata | None = None
    metadata_document: bytes | None = None
    metadata_content_type: str | None = None
    metadata_error: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """One side of the conversation; each field is "" where it is not known."""

    number: str = ""
    name: str = ""
    aor: str = ""
    participant_id: str = ""


@dataclass(frozen=True, slots=True)
class Parties:
    """Caller and callee, and for each stream, in the order of the m-lines, whom it carries."""

    caller: Party
    callee: Party
    sides: tuple[Side, ...]


def read_offer(request: Request, *, needs_sdp: bool = False, codecs: Callable[[Codec], bool] = is_g711) -> Offer:
    """Read the body of a request: an SDP, metadata, or a multipart of them in any order, with foreign parts between.

    `needs_sdp` says that the request makes no sense without an offer that we can take. Without it a request may carry
    no description (an UPDATE with metadata only), or one whose streams are all disabled.

    Errors: RemoteProtocolError with status 400 where the description is needed and missing, or where it or the
    multipart cannot be read; 415 where the body is nothing of ours; 488 where no stream is acceptable to `codecs`.
    """
    parts = _parts(request)
    sdp_part = next((part for part in parts if multipart.media_type(part.content_type) == SDP_TYPE), None)
    metadata_part = next((part for part in parts if _is_metadata(part)), None)
    if parts and sdp_part is None and metadata_part is None:
        raise RemoteProtocolError(f"The body is neither SDP nor metadata: {parts[0].content_type[:80]!r}.", status=415)
    if sdp_part is None and needs_sdp:
        raise RemoteProtocolError("The request carries no session description.")
    description = None if sdp_part is None else parse_sdp(sdp_part.body)
    if description is not None:
        acceptable = any(is_acceptable(media, codecs) for media in description.media)
        if not acceptable and (needs_sdp or any(media.port for media in description.media)):
            raise RemoteProtocolError("The offer has no stream that can be recorded.", status=488)
    if metadata_part is None:
        return Offer(_is_marked(request), description)
    known, error = None, None
    try:
        known = rs.read(metadata_part.body)
    except RemoteProtocolError as cause:
        error = str(cause)
    return Offer(True, description, known, metadata_part.body, metadata_part.content_type, error)


def write_body(
    description: SessionDescription | None, metadata: rs.Metadata | None, boundary: str
) -> tuple[str, bytes]:
    """Return content type and body of a recording client's request: SDP, metadata, or both as a multipart.

    Errors: LocalProtocolError where something cannot be written, or there is nothing to write.
    """
    parts = []
    if description is not None:
        parts.append(Part(SDP_TYPE, (), description.serialize()))
    if metadata is not None:
        disposition = (("Content-Disposition", METADATA_DISPOSITION),)
        name = METADATA_TYPES[1] if metadata.generation == "draft" else METADATA_TYPES[0]
        parts.append(Part(name, disposition, rs.write(metadata)))
    if len(parts) == 1:
        return parts[0].content_type, parts[0].body
    return multipart.join(tuple(parts), boundary)


def parties(
    metadata: rs.Metadata | None, labels: Sequence[str | None], from_header: str | None, to_header: str | None
) -> Parties:
    """Decide who is caller and callee, and whom each stream carries. `labels` are the streams' in m-line order.

    Who: BroadWorks says the calling and the called number, and the participant with that number (or an extension that
    ends it) is the one; the other one is his counterpart, whatever id he has. Without that, or where no number fits,
    the order of the document decides: the first participant is the caller, the second the callee. Without metadata,
    or when everybody has left, From and To say it. What a party lacks is filled in from From and To: the name where
    the number is the same, and, with BroadWorks data, From's number and name for the one whose id is no telephone
    number (Webex).

    Whom: a stream carries those who send it. The caller alone makes it the caller's; the caller with somebody else, or
    a stream marked as mixed, makes it both's; anybody else makes it the callee's. Streams are found by their label,
    and by their order where no label fits and their number is the same. A stream of which nothing is said is both's
    when it is the only one; otherwise it is the caller's when no stream is yet, or else the callee's.
    """
    from_party, to_party = _party_of(from_header), _party_of(to_header)
    broadworks = rs.read_broadworks(metadata) if metadata else None
    calling = broadworks.calling_party_number if broadworks else ""
    called = broadworks.called_party_number if broadworks else ""
    if metadata is None or not (metadata.participants or calling or called):
        return Parties(from_party, to_party, _sides(metadata, labels, None))
    first, second = _in_roles(metadata.participants, calling, called)
    caller, callee = _party(first, calling), _party(second, called)
    if broadworks and _has_internal_id(caller) and not _is_same(from_party.number, callee.number):
        caller = _filled(caller, from_party)
    elif broadworks and _has_internal_id(callee) and not _is_same(from_party.number, caller.number):
        callee = _filled(callee, from_party)
    caller, callee = (_named(party, (from_party, to_party)) for party in (caller, callee))
    return Parties(caller, callee, _sides(metadata, labels, first.id if first else None))


def _parts(request: Request) -> tuple[Part, ...]:
    if not request.body.strip():
        return ()
    content_type = request.content_type
    if content_type is None and request.body.startswith(b"v="):
        content_type = SDP_TYPE
    if multipart.media_type(content_type or "").startswith("multipart/"):
        return multipart.split(content_type or "", request.body)
    disposition = request.headers.get("Content-Disposition")
    headers = () if disposition is None else (("Content-Disposition", disposition),)
    return (Part(content_type or "", headers, request.body),)


def _is_metadata(part: Part) -> bool:
    name = multipart.media_type(part.content_type)
    disposition = next((value for key, value in part.headers if key.lower() == "content-disposition"), "")
    is_named = multipart.media_type(disposition) == METADATA_DISPOSITION and name != SDP_TYPE
    return name in METADATA_TYPES or is_named


def _is_marked(request: Request) -> bool:
    """Tell whether the headers alone mark a recording session; some clients write `src` without its `+sip.`."""
    if any(tag.lower() == "siprec" for tag in request.headers.all("Require", split=True)):
        return True
    with contextlib.suppress(RemoteProtocolError):
        contact = request.contact
        return contact is not None and (contact.has_feature("+sip.src") or contact.has_feature("src"))
    return False


def _party_of(header: str | None) -> Party:
    try:
        address = parse_name_addr(header or "")
    except RemoteProtocolError:
        return Party()
    return Party(rs.number_of(address.uri), address.display, address.uri)


def _party(participant: rs.Participant | None, number: str) -> Party:
    """Make a party of a participant; `number` is what BroadWorks calls him, and wins over an id that is no such."""
    if participant is None:
        return Party(number)
    own = participant.number
    known = own if not number or _is_same(own, number) else number
    return Party(known, participant.name, participant.aor, participant.id)


def _has_internal_id(party: Party) -> bool:
    return bool(party.participant_id) and not _TELEPHONE.fullmatch(party.number)


def _filled(party: Party, from_party: Party) -> Party:
    """Give a party what From says of it, where From holds a telephone number."""
    if not _TELEPHONE.fullmatch(from_party.number):
        return party
    return replace(party, number=from_party.number, name=party.name or from_party.name)


def _named(party: Party, others: Iterable[Party]) -> Party:
    if party.name:
        return party
    own = [number for number in (party.number, rs.number_of(party.aor)) if number]
    name = next((other.name for other in others if other.name and any(_is_same(other.number, n) for n in own)), "")
    return replace(party, name=name)


def _in_roles(
    participants: Sequence[rs.Participant], calling: str, called: str
) -> tuple[rs.Participant | None, rs.Participant | None]:
    """Return the caller and the callee among the participants."""
    caller, callee = _with_number(participants, calling), _with_number(participants, called)
    if caller is None and callee is None:
        first, second, *_ = (*participants, None, None)
        return first, second
    if caller is callee:
        callee = None
    other = next((each for each in participants if each is not caller and each is not callee), None)
    return caller or other, callee or other


def _with_number(participants: Sequence[rs.Participant], number: str) -> rs.Participant | None:
    """Return the one participant who has this number, or else the one whose number ends with it; None for several."""
    exact = [participant for participant in participants if number and participant.number == number]
    found = exact or [participant for participant in participants if _is_same(participant.number, number)]
    return found[0] if len(found) == 1 else None


def _is_same(one: str, other: str) -> bool:
    """Tell whether two numbers are the same, or one an extension that ends the other."""
    if not one or one == other:
        return bool(one)
    if not (_TELEPHONE.fullmatch(one) and _TELEPHONE.fullmatch(other)):
        return False
    short, long = sorted((one.lstrip("+"), other.lstrip("+")), key=len)
    return short == long or (len(short) >= SHORTEST_SUFFIX and long.endswith(short))


def _sides(metadata: rs.Metadata | None, labels: Sequence[str | None], caller_id: str | None) -> tuple[Side, ...]:
    said = _said_sides(metadata, labels, caller_id) if metadata else [None] * len(labels)
    if len(said) == 1:
        return (said[0] or "both",)
    sides: list[Side] = []
    has_caller = "caller" in said
    for side in said:
        sides.append(side or ("callee" if has_caller else "caller"))
        has_caller = has_caller or sides[-1] == "caller"
    return tuple(sides)


def _said_sides(metadata: rs.Metadata, labels: Sequence[str | None], caller_id: str | None) -> list[Side | None]:
    """Return what the metadata says of each stream, None where it says nothing."""
    senders: dict[str, set[str]] = {}
    for association in metadata.participant_streams:
        for stream_id in association.send if association.disassociated is None else ():
            senders.setdefault(stream_id, set()).add(association.participant_id)
    by_label = {stream.label: stream for stream in reversed(metadata.streams) if stream.label is not None}
    streams = [by_label.get(label) if label is not None else None for label in labels]
    if not any(streams) and len(metadata.streams) == len(labels):
        streams = list(metadata.streams)
    said: list[Side | None] = []
    for stream in streams:
        who = senders.get(stream.id, set()) if stream else set()
        if (stream and stream.mode == "mixed") or (caller_id in who and len(who) > 1):
            said.append("both")
        elif who:
            said.append("caller" if caller_id in who else "callee")
        else:
            said.append(None)
    return said
