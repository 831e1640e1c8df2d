"""The manifest: all that is known of a call comes back from it."""

import io

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.callfile import CallFile
from archive.encode import Encoding
from archive.manifest import VERSION, Manifest, Peaks, audio_of, describe, read_manifest, write_manifest
from archive.render import Renderer
from archive.survey import survey
from engine import rtp
from engine.events import (
    Gap,
    Identified,
    Identity,
    MetadataReceived,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Party,
    Paused,
    Resumed,
)
from tests.archive.calls import MS, PRIVATE_KEY, SECOND, Script, Sent, instant, packetize, tone, two_tones

DOCUMENT = '<recording xmlns="urn:ietf:params:xml:ns:recording:1"><!-- Zoë -->\r\n</recording>'.encode()


def told() -> Script:
    script = two_tones(6)
    script.sent = [s for s in script.sent if not 2 * SECOND < s.arrival_ns <= 3 * SECOND]
    key = rtp.serialize_event(rtp.TelephoneEvent(11, 800))
    script.sent.append(Sent(4 * SECOND, 1, rtp.Packet(101, 9, 28_000, 0x1001, key)))
    script.told = [
        Identified(
            at=instant(10),
            caller=Party("100", "Ann", "sip:100@a"),
            callee=Party("200"),
            direction="inbound",
            identity=Identity(group_id="g"),
        ),
        MetadataReceived(at=instant(20), content_type="application/rs-metadata+xml", document=DOCUMENT),
        MetadataReceived(at=instant(30), content_type="x", document=b"\xff\xfe", problem="no XML"),
        ParticipantJoined(at=instant(SECOND), participant=Participant("p1", "100", labels=("0",))),
        Paused(at=instant(2 * SECOND), holder="phone-system", sign="inactive"),
        Paused(at=instant(2500 * MS), holder="person", who="ann"),
        Resumed(at=instant(2600 * MS), holder="phone-system"),
        Resumed(at=instant(3 * SECOND), holder="person", who="ann"),
        Gap(at=instant(5 * SECOND), since=instant(4900 * MS), packets=7, cause="the disk was full"),
        ParticipantLeft(at=instant(5500 * MS), id="p1"),
    ]
    return script


def described(script: Script, tmp_path, policy="silence") -> Manifest:
    path = tmp_path / "journal"
    script.journal(path)
    call = CallFile(io.BytesIO(path.read_bytes()), PRIVATE_KEY)
    surveyed = survey(call)
    renderer = Renderer(surveyed, policy)
    audio = audio_of(Encoding("flac"), 1234, "ab" * 32, 6.01, 8000, policy)
    return describe(surveyed, renderer.pauses, audio, Peaks("peaks.dat", 20, 99), path.stat().st_size, late=3)


def test_all_that_is_known_is_there(tmp_path):
    manifest = described(told(), tmp_path)
    assert (manifest.version, manifest.node, manifest.end) == (VERSION, "node-1", "normal")
    assert manifest.started_at == "2026-03-05T00:00:00Z"
    assert manifest.ended_at == "2026-03-05T00:00:06.010000Z"
    assert manifest.duration_s == 6.01
    assert (manifest.caller.name, manifest.callee.number, manifest.direction) == ("Ann", "200", "inbound")
    assert manifest.identity.group_id == "g"
    assert manifest.origins[0].sip_call_id == "dialog-0@sbc"
    assert [(d.encoding, d.problem) for d in manifest.metadata] == [("utf-8", ""), ("base64", "no XML")]
    assert manifest.metadata[0].document.encode() == DOCUMENT
    (pause,) = manifest.pauses
    assert (pause.start_s, pause.end_s, pause.sign, pause.by) == (2, 3, "inactive", ("phone-system", "person"))
    (gap,) = manifest.gaps
    assert (gap.start_s, gap.end_s, gap.packets, gap.cause) == (4.9, 5, 7, "the disk was full")
    (presence,) = manifest.participants
    assert (presence.joined_s, presence.left_s, presence.participant.number) == (1, 5.5, "100")
    (digit,) = manifest.digits
    assert (digit.digit, digit.side, digit.duration_ms, digit.stream) == ("#", "callee", 100, 1)
    assert [stream.side for stream in manifest.streams] == ["caller", "callee"]
    caller = manifest.streams[0].sources[0]
    assert (caller.packets, caller.lost, caller.skew_ppm) == (250, 0, None)
    assert "Packets that came too late to be heard: 3." in manifest.warnings
    assert any("no XML" in warning for warning in manifest.warnings)
    assert len(manifest.events) == len(told().told) + 3


def test_it_comes_back(tmp_path):
    manifest = described(told(), tmp_path)
    assert read_manifest(write_manifest(manifest)) == manifest


def test_positions_move_in_the_file_where_a_pause_is_skipped(tmp_path):
    manifest = described(told(), tmp_path, "skip")
    assert manifest.pauses[0].file_s == 2
    assert manifest.digits[0].position_s - manifest.digits[0].file_s == pytest.approx(1, abs=1e-3)
    (tmp_path / "journal").unlink()
    manifest = described(told(), tmp_path, "silence")
    assert manifest.digits[0].position_s == pytest.approx(manifest.digits[0].file_s, abs=1e-3)


@pytest.mark.parametrize("off_ns", [-62_499, -1, 0, 1, 62_499, 62_501, 124_999])
def test_a_pause_lies_in_the_manifest_where_it_lies_in_the_file(tmp_path, off_ns):
    """At 8 kHz a sample is 125,000 ns long: positions between two belong to the nearest, in both."""
    script = Script(packetize(np.full(3 * 8000, 10_000, np.int16), 0), ended_ns=3 * SECOND)
    script.told = [
        Paused(at=instant(SECOND + off_ns), holder="person"),
        Resumed(at=instant(2 * SECOND), holder="person"),
    ]
    manifest = described(script, tmp_path)
    call = CallFile(io.BytesIO((tmp_path / "journal").read_bytes()), PRIVATE_KEY)
    caller = np.concatenate(list(Renderer(survey(call), "silence").chunks(call)))[:, 0]
    silent_from = np.flatnonzero(caller[:12_000])[-1] + 1
    assert manifest.pauses[0].file_s * 8000 == pytest.approx(silent_from, abs=1e-6)


def test_a_call_without_end_was_interrupted(tmp_path):
    script = told()
    script.ended_ns = None
    assert described(script, tmp_path).end == "interrupted"


def test_a_long_call_tells_its_skew(tmp_path):
    script = Script(packetize(tone(440, 90), 0, ppm=250), ended_ns=91 * SECOND)
    manifest = described(script, tmp_path)
    assert manifest.streams[0].sources[0].skew_ppm == pytest.approx(250, abs=1)


@given(st.binary(max_size=50))
def test_any_bytes_are_a_manifest_or_an_error(data):
    with pytest.raises(ValueError, match="not a manifest"):
        read_manifest(data)


def test_a_manifest_of_a_later_version_is_refused(tmp_path):
    later = msgspec.structs.replace(described(told(), tmp_path), version=VERSION + 1)
    with pytest.raises(ValueError, match="version"):
        read_manifest(write_manifest(later))
