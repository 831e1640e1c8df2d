"""Phone systems with defects, and strangers: each is answered and logged, and the calls of others go on."""

import re
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.end_to_end.audio import BEFORE_HZ, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import METADATA, PhoneSystem, Transport
from tests.end_to_end.recorder import Program, Recorder, until

VOICE = marker(BEFORE_HZ, 0.5)


@dataclass(frozen=True, slots=True)
class Defect:
    """An INVITE that is wrong: `old` in a good one becomes `new`.

    `statuses` are the answers that are right. `breaks_stream`: over TCP nobody knows where the next message begins, so
    the connection ends behind the answer.
    """

    name: str
    old: str
    new: str
    statuses: tuple[int, ...] = (400,)
    breaks_stream: bool = False


DEFECTS = (
    Defect("no Call-ID", "Call-ID:", "X-Call-ID:"),
    Defect("no CSeq", "CSeq:", "X-CSeq:"),
    Defect("no From", "From:", "X-From:"),
    Defect("a CSeq of another method", "1 INVITE\r\n", "1 BYE\r\n"),
    Defect("a Content-Length that is no number", "Content-Length: ", "Content-Length: x", breaks_stream=True),
    Defect("a Content-Length below zero", "Content-Length: ", "Content-Length: -", breaks_stream=True),
    Defect("a Content-Length beyond its end", "Content-Length: ", "Content-Length: 99", (400, 513), breaks_stream=True),
    Defect("SDP that is none", "v=0\r\n", "\0\x01garbage\r\n"),
    Defect("SDP without streams", "m=audio", "x=audio", (488,)),
    Defect("a port beyond all ports", "m=audio ", "m=audio 9"),
    Defect("codecs that nobody knows", "RTP/AVP 0\r\na=rtpmap:0 PCMU", "RTP/AVP 99\r\na=rtpmap:99 X-NEW", (488,)),
    Defect("a multipart without delimiters", "\r\n--one-of-our-boundaries", "\r\none-of-our-boundaries"),
    Defect("a part that is neither SDP nor metadata", "Content-Type: application/sdp", "Content-Type: a/b", (415, 488)),
    Defect("a version that is not ours", "SIP/2.0\r\nVia", "SIP/7.0\r\nVia", (505,)),
)


def warnings(engine: Program, before: int) -> list[dict[str, Any]]:
    """What the log warns of beyond its first lines."""
    return [line for line in engine.log()[before:] if line["level"] == "warning"]


def invite(phones: PhoneSystem, defect: Defect) -> bytes:
    """An INVITE with a defect; its Content-Length is true unless that is the defect."""
    call = phones.prepare()
    parts = (("application/sdp", call.description("active")), ("application/rs-metadata+xml", METADATA))
    body = "".join(f"\r\n--one-of-our-boundaries\r\nContent-Type: {kind}\r\n\r\n{part}" for kind, part in parts)
    body += "\r\n--one-of-our-boundaries--\r\n"
    boundary = 'multipart/mixed;boundary="one-of-our-boundaries"'
    in_body = defect.old in body
    good = phones.request(
        "INVITE",
        call.call_id,
        1,
        headers="Require: siprec\r\n",
        body=body.replace(defect.old, defect.new),
        kind=boundary,
    ).decode()
    bad = good if in_body else good.replace(defect.old, defect.new, 1)
    assert in_body or bad != good
    return bad.encode()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_malformed_invites_are_answered_and_logged(recorder: Recorder, transport: Transport) -> None:
    engine = recorder.engine()
    for defect in DEFECTS:
        with PhoneSystem(engine.sip, transport) as phones:
            before = len(engine.log())
            phones.send(invite(phones, defect))
            answer = phones.receive()
            assert answer.status in defect.statuses, f"{defect.name}: {answer.text}"
            if defect.breaks_stream and transport == "tcp":
                with pytest.raises(ConnectionError):
                    phones.receive()
            said = until(partial(warnings, engine, before), f"a log line about {defect.name}")
            assert len(said) == 1
            assert said[0]["peer"] == "127.0.0.1"
            assert said[0]["reason"].endswith((".", "'"))
    assert not any(recorder.live.iterdir())
    with PhoneSystem(engine.sip, transport) as phones:
        call = phones.call()
        call.say(VOICE, 5)
        call.bye()
    journal = read_journal(recorder.journals(1)[0])
    assert [journal.numbers(stream, VOICE) for stream in range(2)] == [list(range(5))] * 2


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_bytes_that_are_no_sip_harm_nobody(recorder: Recorder, transport: Transport) -> None:
    engine = recorder.engine()
    with PhoneSystem(engine.sip, transport) as phones:
        call = phones.call()
        for garbage in (b"\0\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", secrets.token_bytes(1200) + b"\r\n\r\n"):
            with PhoneSystem(engine.sip, transport) as stranger:
                stranger.send(garbage)
        call.say(VOICE, 5)
        call.bye()
        engine.line("malformed message")
    journal = read_journal(recorder.journals(1)[0])
    assert [journal.numbers(stream, VOICE) for stream in range(2)] == [list(range(5))] * 2
    assert engine.stop() == 0


def test_packets_that_are_no_rtp_are_counted_and_harm_no_call(recorder: Recorder) -> None:
    garbage = (b"", b"\x80", b"\x80" * 11, bytes(172), b"\xff" * 172, b"\x8f\0" + bytes(20), b"\x90\0" + bytes(10))
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        call = phones.call()
        for each in garbage:
            for stream in range(2):
                call.say_raw(stream, each)
            call.talk(VOICE, 0.2)
        call.settle()
        call.bye()
    recorder.archive()
    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "normal"
    assert [stream["packets"] for stream in manifest["streams"]] == [10 * len(garbage)] * 2
    assert [stream["lost"] for stream in manifest["streams"]] == [0, 0]
    counted = [warning for warning in manifest["warnings"] if "no RTP" in warning]
    assert [re.findall(r"\d+", warning) for warning in counted] == [[str(2 * len(garbage))]]
    assert engine.stop() == 0


def test_a_stranger_is_refused_and_the_log_says_how_to_let_him_in(recorder: Recorder) -> None:
    engine = recorder.engine(SIP_ALLOW="192.0.2.0/24")
    for transport in ("udp", "tcp"):
        with PhoneSystem(engine.sip, transport) as phones:
            assert phones.prepare().offer("active", METADATA).status == 403
    line = engine.line("refused a stranger")
    assert line["peer"] == "127.0.0.1"
    assert "EARSHOT_SIP_ALLOW" in line["advice"]
    assert not any(recorder.live.iterdir())
    assert engine.stop() == 0
