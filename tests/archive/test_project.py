"""The projection: what a call's events tell, and what its manifest adds, as the record of the database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from actors.spool import Spool
from archive.encode import Encoding
from archive.finish import Recipe, Recording, finish
from archive.project import (
    CallSoFar,
    Owners,
    fold,
    lines_of,
    nothing_but,
    owners,
    record_of,
    record_of_manifest,
    record_without_recording,
    skip,
    tell,
)
from engine.events import (
    AnyEvent,
    Codec,
    DialogJoined,
    Ended,
    Gap,
    Identified,
    Identity,
    Origin,
    Participant,
    ParticipantJoined,
    ParticipantLeft,
    Party,
    Paused,
    Restarted,
    Resumed,
    Started,
    Stream,
    StreamsAgreed,
)
from schema.values import ParticipantRecord, PauseRecord, StreamRecord
from tests.archive.calls import CALL_ID, PRIVATE_KEY, REALTIME_NS, SECOND, instant, two_tones

TENANT, OTHER_TENANT = UUID(int=1), UUID(int=2)
ANN, BOB = UUID(int=11), UUID(int=12)
WHOSE = Owners(TENANT)
START = datetime.fromtimestamp(REALTIME_NS // SECOND, UTC)
ORIGIN = Origin("dialog-0@sbc")
STARTED = Started(at=instant(0), call_id=str(CALL_ID), node="node-1", origin=ORIGIN)
EVENTS = Codec(101, "telephone-event", 8000)


def agreed_stream(index: int, side: str, address: str = "192.0.2.9", port: int = 4000, **more) -> Stream:
    codecs = (EVENTS, Codec(8, "PCMA", 8000))
    return Stream(
        index,
        0,
        str(index + 1),
        side,
        10_000 + 2 * index,
        remote_address=address,
        remote_port=port,
        codecs=codecs,
        **more,
    )


AGREED = StreamsAgreed(
    at=instant(SECOND // 10),
    dialog=0,
    streams=(agreed_stream(0, "caller"), agreed_stream(1, "callee", "2001:db8::9", 4002)),
)
IDENTIFIED = Identified(
    at=instant(SECOND // 5),
    caller=Party("+12025550101", "Ann", "sip:ann@example.org"),
    callee=Party("200", "Bob", "bob@example.org"),
    direction="inbound",
    identity=Identity("session", "group", "tracking", "sip-session"),
)


def after(*events: AnyEvent) -> CallSoFar:
    call = fold([STARTED, *events])
    assert call is not None
    return call


def test_a_call_that_runs():
    record = record_of(after(AGREED, IDENTIFIED), Owners(TENANT, ANN, BOB))
    assert (record.id, record.tenant_id, record.node, record.events) == (CALL_ID, TENANT, "node-1", 3)
    assert (record.started_at, record.connected_at) == (START, START + timedelta(seconds=0.1))
    assert (record.ended_at, record.duration_s, record.end, record.kept, record.finished) == (None,) * 4 + (False,)
    assert (record.recording, record.mode, record.direction) == ("recording", "always-pause", "inbound")
    assert (record.caller.number, record.caller.name, record.caller.phone_id) == (
        "+12025550101",
        "Ann",
        "sip:ann@example.org",
    )
    assert (record.caller.address, record.callee.address) == ("192.0.2.9:4000", "[2001:db8::9]:4002")
    assert (record.caller.user_id, record.callee.user_id) == (ANN, BOB)
    assert (record.session_id, record.group_id, record.tracking_id, record.sip_session_id, record.sip_call_id) == (
        "session",
        "group",
        "tracking",
        "sip-session",
        "dialog-0@sbc",
    )
    assert record.streams == (StreamRecord(0, "1", "caller", "PCMA"), StreamRecord(1, "2", "callee", "PCMA"))
    assert record.recording_file is None


def test_pauses_name_the_person_or_the_phone_system():
    call = after(
        AGREED,
        Paused(at=instant(SECOND), holder="person", who="ann"),
        Resumed(at=instant(2 * SECOND), holder="person", who="ann"),
        Paused(at=instant(3 * SECOND), holder="phone-system", sign="inactive"),
    )
    record = record_of(call, WHOSE)
    assert record.recording == "paused"
    assert record.pauses == (PauseRecord(1.0, 2.0, "ann"), PauseRecord(3.0, None, "phone-system"))


def test_a_pause_that_takes_the_address_back_leaves_the_last_one():
    held = StreamsAgreed(
        at=instant(SECOND),
        dialog=0,
        streams=(agreed_stream(0, "caller", "", 0), agreed_stream(1, "callee", "192.0.2.7", 1)),
    )
    record = record_of(after(AGREED, held), WHOSE)
    assert (record.caller.address, record.callee.address) == ("192.0.2.9:4000", "192.0.2.7:1")
    assert record.connected_at == START + timedelta(seconds=0.1)


def test_a_rejected_stream_is_none_and_a_mixed_one_has_no_address():
    streams = (agreed_stream(0, "both"), agreed_stream(1, "callee", state="rejected"))
    record = record_of(after(StreamsAgreed(at=instant(0), dialog=0, streams=streams)), WHOSE)
    assert [stream.index for stream in record.streams] == [0]
    assert record.caller.address == ""


def test_a_call_that_ended():
    joined = Participant("p1", "200", "Bob", "bob@example.org")
    call = after(
        AGREED,
        ParticipantJoined(at=instant(SECOND), participant=joined),
        ParticipantLeft(at=instant(2 * SECOND), id="p1"),
        ParticipantJoined(at=instant(2 * SECOND), participant=replace_name(joined)),
        Gap(at=instant(2 * SECOND), since=instant(SECOND), packets=5, cause="the disk could not be written"),
        Restarted(at=instant(2 * SECOND), problem="boom"),
        DialogJoined(at=instant(2 * SECOND), dialog=1, origin=Origin("dialog-1@sbc")),
        Ended(at=instant(3 * SECOND), end="lost", by="It no longer answers."),
    )
    record = record_of(call, WHOSE)
    assert (record.end, record.duration_s, record.ended_at) == ("lost", 3.0, START + timedelta(seconds=3))
    assert (record.recording, record.finished, record.kept) == ("off", False, None)
    assert record.participants == (
        ParticipantRecord("Bob", "200", "bob@example.org", 1.0, 2.0),
        ParticipantRecord("Robert", "200", "bob@example.org", 2.0, 3.0),
    )
    assert record.warnings == (
        "5 packets lost: the disk could not be written",
        "Restarted after a fault: boom",
        "It no longer answers.",
    )


def replace_name(participant: Participant) -> Participant:
    return Participant(participant.id, participant.number, "Robert", participant.aor)


def test_an_event_that_cannot_be_read_counts_and_changes_nothing_else():
    call = after(AGREED)
    passed = skip(call, 3)
    assert record_of(passed, WHOSE) == replace(record_of(call, WHOSE), events=3)
    assert tell(passed, 4, IDENTIFIED).state.events == 4


def test_a_call_begins_with_started():
    with pytest.raises(ValueError, match="begins with 'started'"):
        fold([AGREED])


def test_users_are_found_by_number_aor_and_its_user_part_in_this_order():
    ann, bob = Party("+12025550101", aor="sip:ann@example.org"), Party("200", aor="bob@example.org")
    assert lines_of(ann, bob) == {
        "+12025550101",
        "sip:ann@example.org",
        "ann@example.org",
        "ann",
        "200",
        "bob@example.org",
        "bob",
    }
    assert owners(ann, bob, {}, TENANT) == Owners(TENANT)
    assert owners(ann, bob, {"ann": (OTHER_TENANT, ANN)}, TENANT) == Owners(OTHER_TENANT, ANN)
    assert owners(ann, bob, {"bob@example.org": (TENANT, BOB), "bob": (TENANT, ANN)}, TENANT).callee == BOB
    both = {"+12025550101": (OTHER_TENANT, ANN), "200": (TENANT, BOB)}
    assert owners(ann, bob, both, TENANT) == Owners(OTHER_TENANT, ANN)
    assert owners(Party(), bob, both, OTHER_TENANT) == Owners(TENANT, None, BOB)


def finished(tmp_path: Path, pauses: bool = True, seconds: float = 4.0) -> Recording:
    script = two_tones(seconds)
    script.told = [IDENTIFIED]
    if pauses:
        script.told += [
            Paused(at=instant(SECOND), holder="person", who="ann"),
            Resumed(at=instant(2 * SECOND), holder="person", who="ann"),
        ]
    script.finished(tmp_path)
    spool = Spool.below(tmp_path)
    recording = finish(spool, tmp_path / "recordings", str(CALL_ID), Recipe(PRIVATE_KEY, Encoding("flac"), "skip"))
    assert isinstance(recording, Recording)
    return recording


def test_a_finished_call_is_its_events_and_what_the_recording_tells(tmp_path):
    manifest = finished(tmp_path).manifest
    record = record_of_manifest(manifest, "2026/03/05/x", Owners(TENANT, ANN))
    events = record_of(fold(manifest.events), Owners(TENANT, ANN))
    told_by_the_recording = {
        name: getattr(record, name)
        for name in ("ended_at", "duration_s", "finished", "kept", "streams", "pauses", "recording_file")
    }
    assert record == replace(events, **told_by_the_recording)
    assert (record.finished, record.kept, record.end, record.recording) == (True, True, "normal", "off")
    assert record.ended_at == START + timedelta(seconds=record.duration_s)
    assert record.pauses == (PauseRecord(1.0, 2.0, "ann", 1.0),)
    assert [(s.index, s.label, s.side, s.codec, s.lost) for s in record.streams] == [
        (0, "0", "caller", "PCMU", 0),
        (1, "1", "callee", "PCMU", 0),
    ]
    assert all(stream.packets and stream.jitter_ms is not None for stream in record.streams)
    file = record.recording_file
    assert (file.folder, file.file, file.format, file.peaks) == ("2026/03/05/x", "audio.flac", "flac", "peaks.dat")
    assert (file.bytes, file.sha256) == (manifest.audio.bytes, manifest.audio.sha256)
    assert file.duration_s == pytest.approx(record.duration_s - 1.0, abs=0.001)


def test_a_call_without_audio_keeps_nothing(tmp_path):
    script = two_tones(1)
    script.sent = []
    script.finished(tmp_path)
    recording = finish(
        Spool.below(tmp_path), tmp_path / "recordings", str(CALL_ID), Recipe(PRIVATE_KEY, Encoding("flac"), "silence")
    )
    assert isinstance(recording, Recording)
    record = record_of_manifest(recording.manifest, "x", WHOSE)
    assert (record.finished, record.kept, record.recording_file) == (True, False, None)
    assert "No audio came, so there is no audio file." in record.warnings


def test_a_call_of_which_no_recording_can_be_made():
    call = after(AGREED, IDENTIFIED, Paused(at=instant(SECOND), holder="person", who="ann"))
    record = record_without_recording(call, WHOSE, "incomplete", "The journal holds no call.")
    assert (record.end, record.finished, record.kept, record.recording) == ("incomplete", True, False, "off")
    assert record.warnings == ("The journal holds no call.",)
    assert record.caller.name == "Ann"
    bare = record_without_recording(nothing_but(CALL_ID, "node-1", REALTIME_NS), WHOSE, "lost", "Nothing is left.")
    assert (bare.started_at, bare.events, bare.end) == (START, 0, "lost")
