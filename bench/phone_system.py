"""A phone system (SRC) of the least kind: it sets up many calls over UDP and ends them. Media are the sender's.

Requests wait for their answers in turn, `AT_ONCE` of them at the same time, and are sent again after T1 (RFC 3261
section 17.1.1.2). Each INVITE carries SDP and metadata (RFC 7865), for what a recorder keeps of both is part of what a
call costs.

Not here: all that a phone system does in the middle of a call (`earshot dial` can).
"""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.machine import BenchError
from bench.programs import LOOPBACK
from engine import multipart, sdp
from engine.metadata import (
    Group,
    Metadata,
    Moment,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Session,
    SessionRecording,
    write,
)
from engine.metadata import Stream as MetadataStream
from engine.sip.message import Response
from engine.sip.parser import parse

AT_ONCE: Final = 16
RESEND_S: Final = 0.5
GIVE_UP_S: Final = 16.0
MOST_BYTES: Final = 65_535
METADATA_TYPE: Final = "application/rs-metadata"


@dataclass(frozen=True, slots=True)
class Call:
    """An answered call: `number` counts up from 0; the recorder's two RTP ports, caller's first."""

    number: int
    ports: tuple[int, ...]
    to_header: str


@dataclass(slots=True)
class _Waiting:
    data: bytes
    sent_at: float
    send_again_at: float


class PhoneSystem:
    """One UDP socket towards a recorder. `sources` are the ports that streams come from, in turn."""

    def __init__(self, recorder_port: int, sources: Sequence[int]) -> None:
        self._recorder = (LOOPBACK, recorder_port)
        self._sources = sources
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((LOOPBACK, 0))
        self._sock.setblocking(False)
        self._host = f"{LOOPBACK}:{self._sock.getsockname()[1]}"
        self._waiting: dict[str, _Waiting] = {}
        self._begun = 0

    @property
    def unanswered(self) -> int:
        """Requests that wait for their answer."""
        return len(self._waiting)

    def source_of(self, call: int, line: int) -> int:
        """Which source sends this call's m-line 0 or 1."""
        return (2 * call + line) % len(self._sources)

    def begin(self, ptime_ms: int = 20) -> None:
        """Send the INVITE of one more call."""
        number, self._begun = self._begun, self._begun + 1
        content_type, body = self._offer(number, ptime_ms)
        self._ask("INVITE", number, "<sip:recorder@earshot.example>", body, content_type)

    def end(self, call: Call) -> None:
        """Send a call's BYE."""
        self._ask("BYE", call.number, call.to_header)

    def poll(self, timeout_s: float) -> list[Call]:
        """Read answers for up to `timeout_s`, until there are some: the calls that were answered.

        Errors: `BenchError` for a call that was refused, or not answered at all.
        """
        self._send_again(time.monotonic())
        answered = []
        if select.select([self._sock], [], [], timeout_s)[0]:
            while True:
                try:
                    data = self._sock.recv(MOST_BYTES)
                except BlockingIOError:
                    break
                call = self._read(data)
                if call is not None:
                    answered.append(call)
        return answered

    def set_up(self, count: int, ptimes_ms: Sequence[int] = (20,)) -> list[Call]:
        """Begin `count` calls and wait until all are answered; packet times go round."""
        calls: list[Call] = []
        begun = 0
        while len(calls) < count:
            while begun < count and self.unanswered < AT_ONCE:
                self.begin(ptimes_ms[begun % len(ptimes_ms)])
                begun += 1
            calls += self.poll(RESEND_S)
        return sorted(calls, key=lambda call: call.number)

    def end_all(self, calls: Sequence[Call]) -> None:
        """End calls and wait until every BYE is answered."""
        left = list(reversed(calls))
        while left or self.unanswered:
            while left and self.unanswered < AT_ONCE:
                self.end(left.pop())
            self.poll(RESEND_S)

    def close(self) -> None:
        """Close the socket; requests that wait are forgotten."""
        self._sock.close()

    def _ask(self, method: str, number: int, to_header: str, body: bytes = b"", content_type: str = "") -> None:
        branch = f"z9hG4bK{method}{number}"
        data = self._request(method, number, to_header, branch, 1 if method == "INVITE" else 2, body, content_type)
        now = time.monotonic()
        self._waiting[branch] = _Waiting(data, now, now + RESEND_S)
        self._send(data)

    def _request(
        self,
        method: str,
        number: int,
        to_header: str,
        branch: str,
        cseq: int,
        body: bytes = b"",
        content_type: str = "",
    ) -> bytes:
        lines = [
            f"{method} sip:recorder@{self._recorder[0]}:{self._recorder[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._host};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:sbc@{self._host}>;tag=bench{number}",
            f"To: {to_header}",
            f"Call-ID: {number}@{self._host}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:sbc@{self._host}>;+sip.src",
        ]
        if body:
            lines += ["Require: siprec", f"Content-Type: {content_type}"]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    def _read(self, data: bytes) -> Call | None:
        message = parse(data)
        if not isinstance(message, Response):
            raise BenchError("The recorder ended a call by itself.")
        if message.is_provisional:
            return None
        number = int(message.call_id.partition("@")[0])
        to_header = message.required("To")
        if message.cseq.method == "INVITE":
            self._send(self._request("ACK", number, to_header, f"z9hG4bKACK{number}", 1))
        if self._waiting.pop(message.via_branch or "", None) is None:
            return None
        if not message.is_success:
            raise BenchError(
                f"The recorder refused a {message.cseq.method}: {message.status} {message.headers.get('Warning')}"
            )
        if message.cseq.method != "INVITE":
            return None
        ports = tuple(media.port for media in sdp.parse(message.body).media)
        return Call(number, ports, to_header)

    def _send_again(self, now: float) -> None:
        for waiting in self._waiting.values():
            if now >= waiting.sent_at + GIVE_UP_S:
                raise BenchError("The recorder does not answer.")
            if now >= waiting.send_again_at:
                waiting.send_again_at = now + RESEND_S
                self._send(waiting.data)

    def _send(self, data: bytes) -> None:
        self._sock.sendto(data, self._recorder)

    def _offer(self, number: int, ptime_ms: int) -> tuple[str, bytes]:
        lines = ["v=0", f"o=- {number} 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0"]
        for line in (0, 1):
            lines += [
                f"m=audio {self._sources[self.source_of(number, line)]} RTP/AVP 0 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                f"a=ptime:{ptime_ms}",
                f"a=label:{line + 1}",
                "a=sendonly",
            ]
        description = "".join(f"{line}\r\n" for line in lines).encode()
        parts = (
            multipart.Part("application/sdp", (), description),
            multipart.Part(METADATA_TYPE, (("Content-Disposition", "recording-session"),), write(_metadata(number))),
        )
        return multipart.join(parts, "earshot-bench")


def _metadata(number: int) -> Metadata:
    session, streams = f"s{number}", ("str1", "str2")
    people = (
        Participant("p1", (NameId(f"sip:+1202555{number % 10000:04d}@pbx.example", "A. Caller"),)),
        Participant("p2", (NameId(f"sip:{1000 + number % 9000}@pbx.example", "B. Callee"),)),
    )
    now = Moment("2026-01-05T09:00:00Z")
    return Metadata(
        groups=(Group("g1", associated=now),),
        sessions=(Session(session, group_id="g1", start=now),),
        participants=people,
        streams=tuple(MetadataStream(id, session, label) for id, label in zip(streams, ("1", "2"), strict=True)),
        session_recordings=(SessionRecording(session, associated=now),),
        participant_sessions=tuple(ParticipantSession(who.id, session, associated=now) for who in people),
        participant_streams=tuple(
            ParticipantStream(who.id, send=(mine,), recv=(theirs,))
            for who, mine, theirs in zip(people, streams, reversed(streams), strict=True)
        ),
    )
