"""A recording session: one SIP dialog of a call, with what was offered, answered and told about it.

It turns requests into commands for the call actor, and the actor's answer into SDP. It survives the actor's crashes:
the dialog is answered as long as the phone system keeps it.

Not here: transactions and methods (`switchboard.py`), what a command does to the call (`engine/call.py`).
"""

import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from actors.call import STEADY_CODECS, Call, Done
from actors.media import MediaPorts
from actors.sip_ports import Flow
from engine import events, sdp
from engine.call import UNKNOWN, AgreeStreams, AssignSides, Command, Identify, ReadMetadata
from engine.errors import RemoteProtocolError
from engine.metadata import Metadata, merge, read_broadworks
from engine.sip.dialog import Dialog
from engine.sip.message import Request
from engine.siprec import Offer, Parties, Party, parties

SDP_TYPE: Final = "application/sdp"
# What BroadWorks' call types mean for the recorded user.
DIRECTIONS: Final = {"origCall": "outbound", "termCall": "inbound"}


@dataclass(slots=True)
class Session:
    """One dialog. `number` is its place in the call.

    `lines` is the stream index of each m-line that we took in the last offer, `ports` our RTP port there. A stream is
    known by its label, wherever its m-line stands. `expires_s` is when the phone system must have refreshed the session
    (None: it need not), `heard_s` when it last asked for anything; both on trio's clock.
    """

    call: Call
    dialog: Dialog
    flow: Flow
    number: int
    address: str
    lines: dict[int, int] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    sdp_id: int = field(default_factory=lambda: secrets.randbits(31))
    sdp_version: int = 0
    answer: bytes = b""
    metadata: Metadata | None = None
    cancelled: bool = False
    over: bool = False
    expires_s: float | None = None
    heard_s: float = 0.0
    probing: bool = False
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)
    _streams: tuple[events.Stream, ...] = ()
    _parties: Parties | None = None
    _labels: dict[int, str] = field(default_factory=dict)
    _sides: dict[int, events.Side] = field(default_factory=dict)

    def open_lines(self, offer: sdp.SessionDescription, ports: MediaPorts, first_index: int) -> None:
        """Open sockets for the m-lines that are new and acceptable.

        Errors: `RemoteProtocolError` (488) where nothing in the offer can be recorded, `NoPorts`.
        """
        wanted = [line for line, media in enumerate(offer.media) if sdp.is_acceptable(media, sdp.is_g711)]
        if not wanted and not (self._known and all(media.port == 0 for media in offer.media)):
            raise RemoteProtocolError("Nothing in this offer can be recorded: PCMU or PCMA over RTP/AVP.", status=488)
        labels = {line: _label(media, line) for line, media in enumerate(offer.media)}
        fresh = [line for line in wanted if labels[line] not in self._known]
        if fresh:
            pairs = ports.open(range(first_index, first_index + len(fresh)))
            for line, pair in zip(fresh, pairs, strict=True):
                self._known[labels[line]] = (pair.media.index, pair.port)
                self.call.open_stream(pair)
        self._labels = labels
        self.lines = {line: self._known[label][0] for line, label in labels.items() if label in self._known}
        self.ports = {line: self._known[label][1] for line, label in labels.items() if label in self._known}

    def read(self, request: Request, offer: Offer) -> tuple[Command, ...]:
        """The commands that follow from a request's bodies: metadata first, then the streams."""
        commands: list[Command] = []
        if offer.metadata is not None:
            self.metadata = merge(self.metadata, offer.metadata)
        if offer.metadata_document is not None:
            participants = self._participants(self.metadata) if offer.metadata and self.metadata else None
            commands.append(
                ReadMetadata(
                    offer.metadata_content_type or "",
                    offer.metadata_document,
                    offer.metadata_error or "",
                    participants,
                )
            )
        if offer.metadata is not None or any(index not in self._sides for index in self.lines.values()):
            self._find_parties(request)
            commands.append(self._identify(request))
        if offer.sdp is not None:
            commands.append(self._agree(offer.sdp))
        elif offer.metadata is not None:
            commands.append(AssignSides(tuple(self._sides.items())))
        return tuple(commands)

    def _find_parties(self, request: Request) -> None:
        """Who talks with whom, and on which side each stream is.

        A call keeps the parties and the sides that its first metadata gave it, whoever is transferred later: a channel
        never changes its side in the middle. What the headers alone told gives way to metadata, and placeholders do
        once others are there instead; metadata in which everybody has left says nothing about who it was.
        """
        lines = sorted(self.lines)
        indexes = [self.lines[line] for line in lines]
        labels = [self._labels.get(line) for line in lines]
        headers = request.headers
        found = parties(self.metadata, labels, headers.get("From"), headers.get("To"))
        known = self._parties
        here = {participant.id for participant in self.metadata.participants} if self.metadata is not None else set()
        before = {party.participant_id for party in (known.caller, known.callee)} - {""} if known is not None else set()
        if known is None or not before or (here and not before & here):
            self._parties = found
            self._sides = dict(zip(indexes, found.sides, strict=True))
            return
        caller = known.caller if known.caller.participant_id else found.caller
        callee = known.callee if known.callee.participant_id else found.callee
        self._parties = Parties(caller, callee, found.sides)
        for index, side in zip(indexes, found.sides, strict=True):
            self._sides.setdefault(index, side)

    def settle(self, done: Done) -> None:
        """After the actor agreed: learn the sources again where the streams changed."""
        streams = tuple(stream for stream in done.state.streams if stream.dialog == self.number)
        if streams == self._streams:
            return
        before = {stream.index: stream for stream in self._streams}
        if any(_source(before.get(stream.index)) != _source(stream) for stream in streams):
            sources = {
                stream.index: (stream.remote_address, stream.remote_port) if stream.remote_port else None
                for stream in streams
            }
            names = {codec.name.upper() for stream in streams for codec in stream.codecs}
            self.call.expect(sources, steady=names <= STEADY_CODECS)
        self._streams = streams

    def answer_to(self, offer: sdp.SessionDescription) -> bytes:
        """Our SDP for an offer; its version rises when it differs from the last."""
        answer = self._answer(offer).serialize()
        if self.answer and answer != self.answer:
            self.sdp_version += 1
            answer = self._answer(offer).serialize()
        self.answer = answer
        return answer

    def offer_all(self) -> bytes:
        """Our offer in the 200 to an INVITE that has none: every stream that we have, ready to receive again."""
        described = self.answer.replace(b"\r\na=inactive\r\n", b"\r\na=recvonly\r\n")
        if described != self.answer:
            old, self.sdp_version = self.sdp_version, self.sdp_version + 1
            described = described.replace(b" %d %d IN " % (self.sdp_id, old), b" %d %d IN " % (self.sdp_id, old + 1), 1)
        self.answer = described
        return described

    def _answer(self, offer: sdp.SessionDescription) -> sdp.SessionDescription:
        return sdp.answer(
            offer, session_id=self.sdp_id, version=self.sdp_version, address=self.address, ports=self.ports
        )

    def _agree(self, offer: sdp.SessionDescription) -> AgreeStreams:
        answer = self._answer(offer)
        line_of = {index: line for line, index in self.lines.items()}
        streams: list[events.Stream] = []
        signs: list[str | None] = []
        for label, (index, port) in self._known.items():
            side = self._sides.get(index, "both")
            line = line_of.get(index)
            if line is None or answer.media[line].port == 0:
                streams.append(events.Stream(index, self.number, label, side, port, state="rejected"))
                continue
            media = offer.media[line]
            sign = sdp.suspension(media)
            signs.append(sign)
            named = bool(media.address) and "zero-address" not in (sign or "")
            streams.append(
                events.Stream(
                    index=index,
                    dialog=self.number,
                    label=label,
                    side=side,
                    port=port,
                    address=self.address,
                    remote_address=(media.address or "") if named else "",
                    remote_port=media.port if named else 0,
                    state="active" if sign is None else "inactive",
                    codecs=_codecs(answer.media[line].codecs),
                    ptime_ms=media.ptime_ms,
                )
            )
        suspended = signs[0] or "" if signs and all(signs) else ""
        return AgreeStreams(self.number, tuple(streams), suspended)

    def _participants(self, metadata: Metadata) -> tuple[events.Participant, ...]:
        label_of = {stream.id: stream.label for stream in metadata.streams}
        sends: dict[str, list[str]] = {}
        for association in metadata.participant_streams:
            labels = (label_of.get(stream_id) for stream_id in association.send)
            sends.setdefault(association.participant_id, []).extend(label for label in labels if label is not None)
        return tuple(
            events.Participant(who.id, who.number, who.name, who.aor, tuple(sends.get(who.id, ())))
            for who in metadata.participants
        )

    def _identify(self, request: Request) -> Identify:
        found, metadata = self._parties, self.metadata
        session = metadata.session if metadata is not None else None
        broadworks = read_broadworks(metadata) if metadata is not None else None
        return Identify(
            _party(found.caller) if found is not None else UNKNOWN,
            _party(found.callee) if found is not None else UNKNOWN,
            DIRECTIONS.get(broadworks.call_type or "", "") if broadworks is not None else "",
            events.Identity(
                session_id=session.id if session is not None else "",
                group_id=metadata.group_id if metadata is not None else "",
                tracking_id=broadworks.ext_tracking_id if broadworks is not None else "",
                sip_session_id=request.headers.get("Session-ID") or "",
            ),
        )


def _party(party: Party) -> events.Party:
    return events.Party(party.number, party.name, party.aor)


def _source(stream: events.Stream | None) -> tuple[object, ...] | None:
    return None if stream is None else (stream.remote_address, stream.remote_port, stream.codecs, stream.ptime_ms)


def _label(media: sdp.Media | None, line: int) -> str:
    """A stream's label; one without is known by its place, in a form that no SDP token can have."""
    return media.label if media is not None and media.label is not None else f"#{line}"


@lru_cache(maxsize=256)
def _codecs(codecs: tuple[sdp.Codec, ...]) -> tuple[events.Codec, ...]:
    """As events hold them. Calls share these values: most offers are alike."""
    return tuple(
        events.Codec(codec.payload_type, codec.name, codec.rate_hz, codec.channels, codec.fmtp or "")
        for codec in codecs
    )
