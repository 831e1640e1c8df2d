"""A phone system (SRC) that does just what a test says, byte by byte: SIP as text, RTP packets one at a time.

It shares no code with the recorder, so that a mistake of ours cannot cancel itself out. What users dial with
(`earshot dial`) and what the world dials with (sipp) have tests of their own.
"""

import itertools
import re
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from tests.end_to_end.recorder import PATIENCE_S, until, waiting_bytes

Transport = Literal["udp", "tcp"]
Form = Literal["inactive", "zero-address", "active"]

PACKET_S: Final = 0.02
PACKET_SAMPLES: Final = 160

METADATA: Final = """<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <session session_id="cs"><start-time>2026-11-02T09:00:01Z</start-time></session>
  <participant participant_id="pa"><nameID aor="sip:+12025550101@a.example"><name>Ann</name></nameID></participant>
  <participant participant_id="pb"><nameID aor="sip:+12025550102@b.example"><name>Bob</name></nameID></participant>
  <stream stream_id="sa" session_id="cs"><label>1</label></stream>
  <stream stream_id="sb" session_id="cs"><label>2</label></stream>
  <participantstreamassoc participant_id="pa"><send>sa</send><recv>sb</recv></participantstreamassoc>
  <participantstreamassoc participant_id="pb"><send>sb</send><recv>sa</recv></participantstreamassoc>
</recording>
""".replace("\n", "\r\n")
# By form: the connection address (empty: ours) and the lines of each stream.
FORMS: Final[dict[Form, tuple[str, str]]] = {
    "active": ("", "a=sendonly\r\n"),
    "inactive": ("", "a=inactive\r\n"),
    "zero-address": ("0.0.0.0", ""),
}
BOUNDARY: Final = "one-of-our-boundaries"


@dataclass(frozen=True, slots=True)
class Message:
    """What the recorder sent: a response (`status`) or a request of its own (`method`)."""

    text: str

    @property
    def status(self) -> int:
        return int(self.text.split()[1]) if self.text.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.text.split()[0]

    @property
    def body(self) -> str:
        return self.text.partition("\r\n\r\n")[2]

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}:[ ]*(.*?)\r$", self.text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    @property
    def to_tag(self) -> str:
        return self.header("To").partition(";tag=")[2].partition(";")[0]

    @property
    def ports(self) -> list[int]:
        """The ports of the m-lines."""
        return [int(port) for port in re.findall(r"^m=audio (\d+)", self.body, re.MULTILINE)]


class PhoneSystem:
    """One signalling socket, for any number of calls."""

    def __init__(self, sip: tuple[str, int], transport: Transport = "udp") -> None:
        self.transport = transport
        self.sip = sip
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._sock = socket.socket(socket.AF_INET, kind)
        self._sock.settimeout(PATIENCE_S)
        self._sock.connect(sip)
        self.address: tuple[str, int] = self._sock.getsockname()
        self._read = b""
        self._calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
        for call in self._calls:
            call.close()

    def call(self, streams: int = 2) -> "Call":
        """A call that is answered."""
        call = self.prepare(streams)
        answer = call.offer("active", METADATA)
        assert answer.status == 200, answer.text
        return call

    def prepare(self, streams: int = 2) -> "Call":
        """A call that is not offered yet."""
        call = Call(self, streams)
        self._calls.append(call)
        return call

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def receive(self) -> Message:
        """The next message but for provisional responses. Fails when none comes."""
        while True:
            message = Message(self._next().decode())
            if not 100 <= message.status < 200:
                return message

    def answer(self, call_id: str, number: int) -> Message:
        """The final response to one request; others, sent again, are passed over."""
        while True:
            message = self.receive()
            if message.header("Call-ID") == call_id and message.header("CSeq").startswith(f"{number} "):
                return message

    def request(
        self, method: str, call_id: str, number: int, *, to: str = "", headers: str = "", body: str = "", kind: str = ""
    ) -> bytes:
        """The bytes of a request."""
        transport = self.transport.upper()
        here = f"{self.address[0]}:{self.address[1]}"
        return (
            f"{method} sip:recorder@{self.sip[0]}:{self.sip[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {here};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:sbc@phones.example>;tag=src\r\nTo: <sip:recorder@phones.example>{to}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
            f"Contact: <sip:sbc@{here};transport={self.transport}>;+sip.src\r\n{headers}"
            + (f"Content-Type: {kind}\r\n" if kind else "")
            + f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()

    def agree(self, request: Message) -> None:
        """Answers a request of the recorder's with 200."""
        names = ("Via", "From", "To", "Call-ID", "CSeq")
        lines = "".join(f"{name}: {request.header(name)}\r\n" for name in names)
        self.send(f"SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode())

    def options(self) -> None:
        """Waits until the recorder has done what it had begun when this was asked."""
        call_id = secrets.token_hex(8)
        self.send(self.request("OPTIONS", call_id, 1))
        assert self.answer(call_id, 1).status == 200

    def _next(self) -> bytes:
        if self.transport == "udp":
            return self._sock.recv(65_535)
        while (head := self._read.partition(b"\r\n\r\n"))[1] == b"" or len(head[2]) < _length(head[0]):
            got = self._sock.recv(65_536)
            if not got:
                raise ConnectionError("The recorder closed the connection.")
            self._read += got
        size = len(head[0]) + 4 + _length(head[0])
        message, self._read = self._read[:size], self._read[size:]
        return message


@dataclass(slots=True)
class Sent:
    """One RTP packet that went out: its stream, its number, and when (monotonic s)."""

    stream: int
    sequence: int
    payload: bytes
    at: float


@dataclass(slots=True)
class Call:
    """A dialog and its media: what each stream sent is kept in `sent`."""

    phones: PhoneSystem
    streams: int
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    sent: list[Sent] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    _number: int = 0
    _to_tag: str = ""
    _media: list[socket.socket] = field(default_factory=list)
    _packets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._packets = [0] * self.streams
        for _ in range(self.streams):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._media.append(sock)
            sock.bind(("127.0.0.1", 0))

    def close(self) -> None:
        for sock in self._media:
            sock.close()

    def description(self, form: Form) -> str:
        """Our SDP."""
        address, lines = FORMS[form]
        media = "".join(
            f"m=audio {sock.getsockname()[1]} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=label:{label}\r\n{lines}"
            for label, sock in enumerate(self._media, 1)
        )
        head = f"v=0\r\no=- 1 {self._number} IN IP4 127.0.0.1\r\ns=-\r\n"
        return f"{head}c=IN IP4 {address or '127.0.0.1'}\r\nt=0 0\r\n{media}"

    def ask(self, method: str, *, headers: str = "", body: str = "", kind: str = "") -> None:
        """Sends a request and does not wait."""
        self._number += 1
        to = f";tag={self._to_tag}" if self._to_tag else ""
        data = self.phones.request(method, self.call_id, self._number, to=to, headers=headers, body=body, kind=kind)
        self.phones.send(data)

    def answered(self) -> Message:
        """The final response to the last request; an INVITE's is acknowledged."""
        message = self.phones.answer(self.call_id, self._number)
        if message.header("CSeq").endswith(" INVITE") and message.status == 200:
            self._to_tag = message.to_tag
            self.phones.send(self.phones.request("ACK", self.call_id, self._number, to=f";tag={self._to_tag}"))
            self.ports = message.ports
        return message

    def ask_offer(self, form: Form, metadata: str = "") -> None:
        """Sends an INVITE with an offer: the first, or one that pauses and resumes."""
        body, kind = self.description(form), "application/sdp"
        if metadata:
            parts = ((kind, body), ("application/rs-metadata+xml\r\nContent-Disposition: recording-session", metadata))
            body = "".join(f"--{BOUNDARY}\r\nContent-Type: {type_}\r\n\r\n{part}\r\n" for type_, part in parts)
            body, kind = f"{body}--{BOUNDARY}--\r\n", f"multipart/mixed;boundary={BOUNDARY}"
        self.ask("INVITE", headers="Require: siprec\r\n" if metadata else "", body=body, kind=kind)

    def offer(self, form: Form, metadata: str = "") -> Message:
        self.ask_offer(form, metadata)
        return self.answered()

    def bye(self) -> None:
        self.ask("BYE")
        answer = self.answered()
        assert answer.status == 200, answer.text

    def say(self, payload: bytes, packets: int = 1) -> None:
        """Sends packets with this payload on each stream, at once."""
        for _, stream in itertools.product(range(packets), range(self.streams)):
            self.say_on(stream, payload)

    def say_on(self, stream: int, payload: bytes) -> None:
        """One packet on one stream."""
        number = self._packets[stream]
        self._packets[stream] += 1
        header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * PACKET_SAMPLES, 0x1000 + stream)
        self.say_raw(stream, header + payload)
        self.sent.append(Sent(stream, number, payload, time.monotonic()))

    def say_raw(self, stream: int, datagram: bytes) -> None:
        """Any bytes, from the stream's port to the recorder's."""
        self._media[stream].sendto(datagram, ("127.0.0.1", self.ports[stream]))

    def talk(self, payload: bytes, seconds: float) -> None:
        """Sends packets on each stream by the clock."""
        start = time.monotonic()
        for number in range(round(seconds / PACKET_S)):
            time.sleep(max(0.0, start + number * PACKET_S - time.monotonic()))
            self.say(payload)

    def settle(self) -> None:
        """Waits until all that was said is read, and the visit that read it is over."""
        until(lambda: not waiting_bytes(set(self.ports)), "the sockets to be read")
        self.phones.options()

    def numbers(self, stream: int, payload: bytes) -> list[int]:
        """The sequence numbers that went out with this payload."""
        return [each.sequence for each in self.sent if each.stream == stream and each.payload == payload]


def _length(head: bytes) -> int:
    found = re.search(rb"^Content-Length:\s*(\d+)", head, re.MULTILINE | re.IGNORECASE)
    return int(found[1]) if found else 0
