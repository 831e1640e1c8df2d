"""A recording session: one SIP dialog of a call, with what was offered, answered and told about it.

It turns requests into commands for the call actor, and the actor's answer into SDP. It survives the actor's crashes:
the dialog is answered as long as the phone system keeps it.

Not here: transactions and methods (`switchboard.py`), what a command does to the call (`engine/call.py`).
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from actors.call import STEADY_CODECS, Call, Done
from actors.media import MediaPorts
from actors.sip_ports import Flow
from engine import events, sdp
from engine.call import AgreeStreams, Command, Identify, ReadMetadata
from engine.errors import RemoteProtocolError
from engine.metadata import Metadata, merge
from engine.sip.dialog import Dialog
from engine.sip.message import Request
from engine.siprec import Offer, Parties, parties

SDP_TYPE: Final = "application/sdp"


@dataclass(slots=True)
class Session:
    """One dialog. `number` is its place in the call, `lines` the stream index of each m-line that we took."""

    call: Call
    dialog: Dialog
    flow: Flow
    number: int
    address: str
    lines: dict[int, int] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    sdp_id: int = field(default_factory=lambda: secrets.randbits(31))
    sdp_version: int = 0
    answer: sdp.SessionDescription | None = None
    metadata: Metadata | None = None
    cancelled: bool = False
    over: bool = False
    _streams: tuple[events.Stream, ...] = ()
    _parties: Parties | None = None

    def open_lines(self, offer: sdp.SessionDescription, ports: MediaPorts, first_index: int) -> None:
        """Open sockets for the m-lines that are new and acceptable.

        Errors: `RemoteProtocolError` (488) where nothing in the offer can be recorded, `NoPorts`.
        """
        wanted = [line for line, media in enumerate(offer.media) if sdp.is_acceptable(media, sdp.is_g711)]
        if not wanted:
            raise RemoteProtocolError("Nothing in this offer can be recorded: PCMU or PCMA over RTP/AVP.", status=488)
        fresh = [line for line in wanted if line not in self.lines]
        if not fresh:
            return
        pairs = ports.open(range(first_index, first_index + len(fresh)))
        for line, pair in zip(fresh, pairs, strict=True):
            self.lines[line] = pair.media.index
            self.ports[line] = pair.port
            self.call.open_stream(pair)

    def read(self, request: Request, offer: Offer) -> tuple[Command, ...]:
        """The commands that follow from a request's bodies: metadata first, then the streams."""
        commands: list[Command] = []
        if offer.metadata is not None:
            self.metadata = merge(self.metadata, offer.metadata)
        if offer.metadata_document is not None:
            commands.append(
                ReadMetadata(
                    offer.metadata_content_type,
                    offer.metadata_document,
                    offer.metadata_error or "",
                    self._participants() if offer.metadata is not None else None,
                )
            )
        if self._parties is None or offer.metadata is not None:
            labels = self._labels(offer.sdp) if offer.sdp is not None else tuple(s.label for s in self._streams)
            self._parties = parties(self.metadata, labels, request.from_addr, request.to_addr)
            commands.append(self._identify(request, self._parties))
        if offer.sdp is not None:
            commands.append(self._agree(offer.sdp))
        elif offer.metadata is not None and self._streams:
            commands.append(self._agree_again())
        return tuple(commands)

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
        answer = self._answer(offer)
        if self.answer is not None and answer.media != self.answer.media:
            self.sdp_version += 1
            answer = self._answer(offer)
        self.answer = answer
        return answer.serialize()

    def _answer(self, offer: sdp.SessionDescription) -> sdp.SessionDescription:
        return sdp.answer(
            offer, session_id=self.sdp_id, version=self.sdp_version, address=self.address, ports=self.ports
        )

    def _labels(self, offer: sdp.SessionDescription) -> tuple[str, ...]:
        return tuple(_label(media, line) for line, media in enumerate(offer.media) if line in self.lines)

    def _agree(self, offer: sdp.SessionDescription) -> AgreeStreams:
        answer = self._answer(offer)
        sides = self._parties.sides if self._parties is not None else {}
        streams: list[events.Stream] = []
        signs: list[str | None] = []
        for line, index in self.lines.items():
            media = offer.media[line] if line < len(offer.media) else None
            label = _label(media, line)
            if media is None or answer.media[line].port == 0:
                streams.append(
                    events.Stream(
                        index, self.number, label, sides.get(label, "both"), self.ports[line], state="rejected"
                    )
                )
                continue
            sign = sdp.suspension(media)
            signs.append(sign)
            named = bool(media.address) and "zero-address" not in (sign or "")
            streams.append(
                events.Stream(
                    index=index,
                    dialog=self.number,
                    label=label,
                    side=sides.get(label, "both"),
                    port=self.ports[line],
                    address=self.address,
                    remote_address=(media.address or "") if named else "",
                    remote_port=media.port if named else 0,
                    state="active" if sign is None else "inactive",
                    codecs=tuple(_codecs(answer.media[line].codecs)),
                    ptime_ms=media.ptime_ms,
                )
            )
        suspended = signs[0] or "" if signs and all(signs) else ""
        return AgreeStreams(self.number, tuple(streams), suspended)

    def _agree_again(self) -> AgreeStreams:
        """The same streams with the sides that new metadata gives them."""
        sides = self._parties.sides if self._parties is not None else {}
        streams = tuple(_on_side(stream, sides.get(stream.label, stream.side)) for stream in self._streams)
        live = [stream for stream in streams if stream.state != "rejected"]
        suspended = "inactive" if live and all(stream.state == "inactive" for stream in live) else ""
        return AgreeStreams(self.number, streams, suspended)

    def _participants(self) -> tuple[events.Participant, ...]:
        if self.metadata is None:
            return ()
        label_of = {stream.id: stream.label for stream in self.metadata.streams}
        sends: dict[str, list[str]] = {}
        for association in self.metadata.participant_streams:
            labels = (label_of.get(stream_id) for stream_id in association.send)
            sends.setdefault(association.participant_id, []).extend(label for label in labels if label is not None)
        return tuple(
            events.Participant(
                participant.id,
                participant.number,
                participant.name,
                participant.aor,
                tuple(sends.get(participant.id, ())),
            )
            for participant in self.metadata.participants
        )

    def _identify(self, request: Request, found: Parties) -> Identify:
        session = self.metadata.session if self.metadata is not None else None
        return Identify(
            found.caller,
            found.callee,
            found.direction,
            events.Identity(
                session_id=session.id if session is not None else "",
                group_id=self.metadata.group_id if self.metadata is not None else "",
                tracking_id=found.tracking_id,
                sip_session_id=request.headers.get("Session-ID") or "",
            ),
        )


def _source(stream: events.Stream | None) -> tuple[object, ...] | None:
    return None if stream is None else (stream.remote_address, stream.remote_port, stream.codecs, stream.ptime_ms)


def _on_side(stream: events.Stream, side: events.Side) -> events.Stream:
    return stream if stream.side == side else msgspec.structs.replace(stream, side=side)


def _label(media: sdp.Media | None, line: int) -> str:
    """A stream's label; one without is known by its place, in a form that no SDP token can have."""
    return media.label if media is not None and media.label is not None else f"#{line}"


def _codecs(codecs: Iterable[sdp.Codec]) -> Iterable[events.Codec]:
    for codec in codecs:
        yield events.Codec(codec.payload_type, codec.name, codec.rate_hz, codec.channels, codec.fmtp or "")
