"""What people are shown of a journal: lines, JSON, and a capture that tshark reads."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archive import inspection
from engine.journal import JournalReader
from engine.keys import archive_private_key
from tests.journals import CALL_ID, MASTER_KEY, START_NS, Pen, at, rtp, write_call


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Pen]:
    pen = Pen(tmp_path / "journal")
    yield pen
    pen.close()


@pytest.fixture
def call(tmp_path: Path) -> Path:
    write_call(tmp_path / "call")
    return tmp_path / "call"


@contextmanager
def opened(path: Path) -> Iterator[JournalReader]:
    with path.open("rb") as file:
        yield JournalReader(file, archive_private_key(MASTER_KEY))


def told(path: Path) -> list[str]:
    streams = inspection.Streams({})
    with opened(path) as reader:
        return [inspection.as_text(entry, streams).plain for entry in inspection.entries(reader)]


def objects(path: Path) -> list[dict[str, Any]]:
    with opened(path) as reader:
        return [json.loads(inspection.as_json(entry)) for entry in inspection.entries(reader)]


def test_events_are_told_in_words(call: Path) -> None:
    lines = told(call)
    assert lines[0].split() == [
        *("1", "0.000", "started", f"call_id={CALL_ID}", "node=recorder-1", "origin.sip_call_id=abc@example.org"),
        *("origin.from_uri=sip:sbc@example.org", "origin.transport=udp"),
    ]
    assert lines[1].splitlines()[1].strip() == (
        "stream 0 (caller, label 1): 192.0.2.10:40000 to 192.0.2.20:10000, active, 0 PCMU/8000"
    )
    assert lines[2].endswith("identified caller.number=+1 555 0100 caller.name=Ann callee.number=200")
    assert lines[3].endswith("metadata-received content_type=application/rs-metadata+xml document=12 bytes")
    assert lines[6].split() == ["7", "1.500", "ended", "end=normal", "by=BYE"]


def test_packets_are_summed_by_stream(call: Path) -> None:
    lines = told(call)
    assert lines[4].split(None, 2)[1:] == [
        "0.200",
        "stream 0 (caller, label 1): 2 RTP, 344 bytes, seq 65535-0; "
        "stream 1 (callee, label 2): 1 RTP, 172 bytes, seq 7-7",
    ]
    # A packet too short for a sequence number is counted all the same.
    assert lines[5].split(None, 2)[2] == (
        "stream 0 (caller, label 1): 1 RTCP, 28 bytes; stream 1 (callee, label 2): 2 RTP, 173 bytes, seq 8-8, 1 cut"
    )


def test_json_holds_the_same(call: Path) -> None:
    found = objects(call)
    assert [entry["block"] for entry in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[0]["event"]["event"] == "started"
    assert found[0]["event_number"] == 1
    assert found[0]["realtime"] == "2023-11-14T22:13:20.000+00:00"
    assert found[4]["since_start_s"] == 0.2
    assert found[4]["packets"][0] == {
        "stream": 0,
        "packets": 2,
        "bytes": 344,
        "first_sequence": 65_535,
        "last_sequence": 0,
    }
    end = at(1500)
    moment = [end.realtime_ns, end.monotonic_ns]
    assert found[6]["event"] == {"event": "ended", "at": moment, "end": "normal", "by": "BYE"}


def test_an_event_of_another_release_is_shown_as_it_is(pen: Pen) -> None:
    pen.writer.append_event(1, b'{"event":"sung","tune":"a"}', START_NS, 0)
    assert told(pen.path)[0].endswith('{"event":"sung","tune":"a"}')
    assert objects(pen.path)[0]["event"]["tune"] == "a"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data, ""),
        (lambda data: data[:-3], "bytes are no whole block"),
        (lambda data: data + b"\x01\x02", "The last 2 bytes are no whole block"),
    ],
)
def test_a_torn_tail_is_told(call: Path, damage: Callable[[bytes], bytes], sentence: str) -> None:
    call.write_bytes(damage(call.read_bytes()))
    with opened(call) as reader:
        blocks = len(list(inspection.entries(reader)))
        tail = inspection.tail(reader)
    assert blocks in (6, 7)
    assert sentence in tail
    assert bool(sentence) == bool(tail)


def test_a_damaged_block_is_told(call: Path) -> None:
    data = bytearray(call.read_bytes())
    data[len(data) // 2] ^= 1
    call.write_bytes(data)
    with opened(call) as reader:
        assert len(list(inspection.entries(reader))) == 6
        assert inspection.tail(reader) == "Damaged blocks, left out: 1."


def test_tshark_reads_the_capture(call: Path, tmp_path: Path) -> None:
    target = tmp_path / "call.pcap"
    with opened(call) as reader:
        target.write_bytes(b"".join(inspection.capture(reader)))
    fields = [
        "frame.time_relative",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "udp.srcport",
        "udp.dstport",
        "rtp.seq",
    ]
    decode_as = [word for port in (10_000, 10_002) for word in ("-d", f"udp.port=={port},rtp")]
    shown = [word for field in fields for word in ("-e", field)]
    found = subprocess.run(
        ["tshark", "-n", "-r", str(target), *decode_as, "-T", "fields", *shown],
        capture_output=True,
        check=True,
        text=True,
    )
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    there, here = ["192.0.2.10", "192.0.2.20", "", ""], ["", "", "::", "2001:db8::20"]
    assert [row[1:7] for row in rows] == [
        [*there, "40000", "10000"],
        [*here, "40002", "10002"],
        [*there, "40000", "10000"],
        [*there, "40001", "10001"],
        [*here, "40002", "10002"],
        [*here, "40002", "10002"],
    ]
    assert [row[7] for row in rows] == ["65535", "7", "0", "", "8", ""]
    assert [float(row[0]) for row in rows] == [0, 0.001, 0.002, 0.2, 0.201, 0.202]


def test_packets_of_a_stream_that_nobody_named_are_captured_too(pen: Pen) -> None:
    pen.packets(0, (3, rtp(1), 0))
    with opened(pen.path) as reader:
        assert len(b"".join(inspection.capture(reader))) == 24 + 16 + 14 + 20 + 8 + len(rtp(1))
    assert told(pen.path)[0].endswith("stream 3: 1 RTP, 172 bytes, seq 1-1")
