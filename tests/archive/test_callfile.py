"""Reading a call's journal: batches, events in their order, and what is wrong with a file."""

import io

import numpy as np
import pytest

from archive.callfile import Batch, CallFile, NoCall, Sorter, Unreadable
from archive.codecs import CODECS as KNOWN
from archive.codecs import Formats
from archive.survey import survey
from engine import events, rtp
from engine.events import Codec, Identified, ParticipantJoined, Party, Started, StreamsAgreed
from engine.journal import ROW, ROW_RTCP, JournalError, JournalWriter
from engine.keys import KeyRefused, archive_private_key, public_bytes
from tests.archive.calls import (
    CALL_ID,
    MONOTONIC_NS,
    PCMA,
    PCMU,
    PRIVATE_KEY,
    REALTIME_NS,
    SECOND,
    Script,
    Sent,
    instant,
    packetize,
    stream,
    tone,
    two_tones,
)


def written(script: Script, tmp_path) -> bytes:
    path = tmp_path / "journal"
    script.journal(path)
    return path.read_bytes()


def opened(data: bytes) -> CallFile:
    return CallFile(io.BytesIO(data), PRIVATE_KEY)


def started() -> bytes:
    return events.encode(Started(at=instant(0), call_id=str(CALL_ID), node="n", origin=events.Origin("a@b")))


def test_both_passes_see_the_same(tmp_path):
    call = opened(written(two_tones(100), tmp_path))
    first, second = list(call.items()), list(call.items())
    assert [type(item) for item in first] == [type(item) for item in second]
    batches = [item for item in first if isinstance(item, Batch)]
    assert 3 <= len(batches) <= 5  # 100 s in batches of 30
    assert sum(len(batch.arrival_ns) for batch in batches) == 10_000


def test_an_event_lies_between_the_packets_before_and_after_it(tmp_path):
    script = two_tones(3)
    script.told = [Identified(at=instant(1500 * 1_000_000), caller=Party("1"), callee=Party("2"))]
    items = list(opened(written(script, tmp_path)).items())
    at = next(i for i, item in enumerate(items) if isinstance(item, Identified))
    assert items[at - 1].arrival_ns.max() <= 1.5 * SECOND < items[at + 1].arrival_ns.min()


def test_a_torn_tail_is_cut_and_told(tmp_path):
    data = written(two_tones(3), tmp_path)
    surveyed = survey(opened(data[:-40]))
    assert surveyed.torn_bytes > 0
    assert surveyed.state.ended is None
    assert surveyed.length_ns == 3 * SECOND
    assert surveyed.warnings == ()  # what a kill leaves


def test_a_tail_that_no_kill_leaves_is_warned_of(tmp_path):
    data = bytearray(written(two_tones(3), tmp_path))
    whole = len(data)
    for at in range(whole - 10_000, whole):
        data[at] ^= 1
    surveyed = survey(opened(bytes(data)))
    assert 10_000 <= surveyed.torn_bytes < 15_000
    assert surveyed.warnings == (
        f"The journal's last {surveyed.torn_bytes} bytes could not be opened, more than a kill leaves behind: "
        "what they held is not in the recording.",
    )


def test_a_visit_cut_anywhere_is_what_a_kill_leaves(tmp_path):
    """Two streams of the shortest packets in use, in 200 ms: the longest block that a kill tears."""
    script = Script([one for i in (0, 1) for one in packetize(tone(440, 0.2), i, ptime_ms=5)])
    data = written(script, tmp_path)
    surveyed = survey(opened(data[:-1]))
    assert surveyed.torn_bytes > 5000
    assert surveyed.warnings == ()


def test_a_damaged_block_is_told(tmp_path):
    data = bytearray(written(two_tones(3), tmp_path))
    data[len(data) // 2] ^= 1
    surveyed = survey(opened(bytes(data)))
    assert surveyed.damaged_blocks == 1
    assert "Damaged blocks of the journal, which could not be opened: 1." in surveyed.warnings


@pytest.mark.parametrize("cut", [0, 5, 26, 60])
def test_a_file_without_a_whole_header_is_no_journal(tmp_path, cut):
    with pytest.raises(JournalError):
        opened(written(two_tones(0.1), tmp_path)[:cut])


def test_a_foreign_key_is_refused(tmp_path):
    data = written(two_tones(0.1), tmp_path)
    with pytest.raises(KeyRefused):
        CallFile(io.BytesIO(data), archive_private_key(bytes(32)))


def test_a_journal_without_a_start_holds_no_call(tmp_path):
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL_ID, public_bytes(PRIVATE_KEY))
    with path.open("rb") as file, pytest.raises(NoCall, match="no whole block"):
        CallFile(file, PRIVATE_KEY).started()
    writer.append_packets(0, b"", b"", REALTIME_NS, MONOTONIC_NS)
    writer.append_event(1, started(), REALTIME_NS, MONOTONIC_NS)
    writer.close()
    with path.open("rb") as file:
        call = CallFile(file, PRIVATE_KEY)
        with pytest.raises(NoCall, match="does not begin with"):
            call.started()
        with pytest.raises(NoCall, match="does not begin with"):
            survey(call)


def test_a_call_that_starts_twice_is_no_call(tmp_path):
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL_ID, public_bytes(PRIVATE_KEY))
    for number in (1, 2):
        writer.append_event(number, started(), REALTIME_NS, MONOTONIC_NS)
    writer.close()
    with path.open("rb") as file, pytest.raises(NoCall, match="once"):
        survey(CallFile(file, PRIVATE_KEY))


def test_blocks_that_make_no_sense_are_warned_of(tmp_path):
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL_ID, public_bytes(PRIVATE_KEY))
    writer.append_event(1, started(), REALTIME_NS, MONOTONIC_NS)
    writer.append_event(2, b'{"event":"from-the-future","at":[1,2]}', REALTIME_NS, MONOTONIC_NS)
    writer.append_packets(3, bytes(16), b"", REALTIME_NS, MONOTONIC_NS)  # three rows that are not there
    header = np.zeros(1, ROW)
    header["length"] = 100
    writer.append_packets(1, header.tobytes(), bytes(99), REALTIME_NS, MONOTONIC_NS)
    writer.close()
    with path.open("rb") as file:
        call = CallFile(file, PRIVATE_KEY)
        assert [item.number for item in call.items() if isinstance(item, Unreadable)] == [2, 3, 4]
        assert len(survey(call).warnings) == 3


def test_rtcp_is_left_aside_and_garbage_counted(tmp_path):
    path = tmp_path / "journal"
    writer = JournalWriter(str(path), CALL_ID, public_bytes(PRIVATE_KEY))
    writer.append_event(1, started(), REALTIME_NS, MONOTONIC_NS)
    report = bytes([0x80, 200]) + bytes(26)
    packets = [rtp.serialize(rtp.Packet(0, 1, 2, 3, bytes(160))), report, report, b"garbage that is no RTP"]
    headers = np.zeros(4, ROW)
    headers["length"] = [len(packet) for packet in packets]
    headers["flags"][1] = ROW_RTCP
    writer.append_packets(4, headers.tobytes(), b"".join(packets), REALTIME_NS, MONOTONIC_NS)
    writer.close()
    with path.open("rb") as file:
        call = CallFile(file, PRIVATE_KEY)
        sorter = Sorter()
        (batch,) = [item for item in call.items() if isinstance(item, Batch)]
        (packets_of_stream,) = sorter.sort(batch)
        assert len(packets_of_stream.payload_type) == 1
        assert sorter.malformed == 1


def test_packets_are_numbered_through_all_batches(tmp_path):
    call = opened(written(two_tones(100), tmp_path))
    sorter = Sorter()
    numbers = [
        packets.packets.number
        for item in call.items()
        if isinstance(item, Batch)
        for packets in sorter.sort(item)
        if packets.stream == 1
    ]
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(5000))


def test_formats_follow_the_agreement_in_force():
    formats = Formats()
    assert formats.get(0, 8).decoder is not None  # static types need no agreement
    assert formats.get(0, 96) is None
    formats.agree(StreamsAgreed(at=instant(0), dialog=0, streams=(stream(0, "caller", (Codec(96, "pcmu", 8000),)),)))
    before = formats.get(0, 96)
    formats.agree(StreamsAgreed(at=instant(1), dialog=0, streams=(stream(0, "caller", (PCMA,)),)))
    assert formats.get(0, 96) is before  # packets under way still carry it
    formats.agree(
        StreamsAgreed(at=instant(2), dialog=0, streams=(stream(0, "caller", (Codec(96, "telephone-event", 8000),)),))
    )
    assert formats.get(0, 96).kind == "event"
    assert formats.get(1, 96) is None
    assert "PCMU" in KNOWN
    assert PCMU.name == "PCMU"


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        (Codec(0, "PCMU", 8000), "audio"),
        (Codec(0, "PCMU", 8000, channels=2), "unknown"),
        (Codec(13, "cn", 8000), "noise"),
        (Codec(101, "Telephone-Event", 8000), "event"),
        (Codec(99, "SILK", 16000), "unknown"),
        (Codec(97, "PCMU", 16000), "unknown"),
        (Codec(101, "telephone-event", 0), "unknown"),
        (Codec(13, "CN", 10**30), "unknown"),
    ],
)
def test_the_kind_of_a_format(codec, kind):
    formats = Formats()
    formats.agree(StreamsAgreed(at=instant(0), dialog=0, streams=(stream(0, "caller", (codec,)),)))
    assert formats.get(0, codec.payload_type).kind == kind


@pytest.mark.parametrize("rate_hz", [0, -1, 10**30])
def test_a_clock_that_cannot_be_harms_nothing(tmp_path, rate_hz):
    script = two_tones(1)
    script.streams = [stream(0, "caller", (Codec(101, "telephone-event", rate_hz), Codec(0, "PCMU", rate_hz)))]
    script.sent.append(
        Sent(SECOND // 2, 0, rtp.Packet(101, 1, 2, 0x1000, rtp.serialize_event(rtp.TelephoneEvent(5, 80))))
    )
    surveyed = survey(opened(written(script, tmp_path)))
    assert surveyed.streams[0].rate_hz == 0
    assert surveyed.streams[1].rate_hz == 8000
    assert len(surveyed.warnings) == 2


def test_who_was_there_is_no_matter_of_packets(tmp_path):
    script = two_tones(1)
    script.told = [ParticipantJoined(at=instant(SECOND // 2), participant=events.Participant("p1", "100"))]
    surveyed = survey(opened(written(script, tmp_path)))
    assert [p.participant.number for p in surveyed.state.presences] == ["100"]
    assert len(surveyed.events) == 4
