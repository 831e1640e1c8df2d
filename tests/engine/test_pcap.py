"""Captures as tshark reads them, and the checksum against its definition."""

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import pcap
from engine.errors import LocalProtocolError

REALTIME_NS = 1_700_000_000_123_456_789


def dissect(file: Path, *records: bytes) -> list[dict[str, Any]]:
    """What tshark sees in a capture of `records`, one dict of layers a packet, checksums checked."""
    file.write_bytes(pcap.FILE_HEADER + b"".join(records))
    checks = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    found = subprocess.run(
        ["tshark", "-n", "-r", file, *checks, "-T", "json", "--no-duplicate-keys"], capture_output=True, check=True
    )
    return [packet["_source"]["layers"] for packet in json.loads(found.stdout)]


def test_tshark_reads_ipv4_with_nanoseconds_and_good_checksums(tmp_path: Path) -> None:
    record = pcap.record(REALTIME_NS, ("192.0.2.10", 40_000), ("198.51.100.7", 10_002), b"voice")
    (layers,) = dissect(tmp_path / "one.pcap", record)
    assert ".123456789" in layers["frame"]["frame.time_epoch"]
    assert (layers["ip"]["ip.src"], layers["ip"]["ip.dst"]) == ("192.0.2.10", "198.51.100.7")
    assert (layers["udp"]["udp.srcport"], layers["udp"]["udp.dstport"]) == ("40000", "10002")
    assert layers["udp"]["udp.checksum.status"] == "1"
    assert layers["ip"]["ip.checksum.status"] == "1"
    assert layers["data"]["data.data"] == "76:6f:69:63:65"


def test_tshark_reads_ipv6_with_a_good_checksum(tmp_path: Path) -> None:
    record = pcap.record(REALTIME_NS, ("2001:db8::1", 40_000), ("2001:db8::2", 10_002), b"odd")
    (layers,) = dissect(tmp_path / "six.pcap", record)
    assert (layers["ipv6"]["ipv6.src"], layers["ipv6"]["ipv6.dst"]) == ("2001:db8::1", "2001:db8::2")
    assert layers["udp"]["udp.checksum.status"] == "1"


def test_two_flows_in_one_capture_keep_their_order(tmp_path: Path) -> None:
    there, here, also_here = ("192.0.2.10", 40_000), ("192.0.2.20", 10_000), ("192.0.2.20", 10_002)
    flows = [here, also_here, here]
    packets = [pcap.record(REALTIME_NS + 20_000_000 * n, there, flow, bytes([n])) for n, flow in enumerate(flows)]
    layers = dissect(tmp_path / "two.pcap", *packets)
    assert [packet["udp"]["udp.dstport"] for packet in layers] == ["10000", "10002", "10000"]
    assert [packet["data"]["data.data"] for packet in layers] == ["00", "01", "02"]


def test_the_largest_payload_fits(tmp_path: Path) -> None:
    record = pcap.record(REALTIME_NS, ("192.0.2.10", 1), ("192.0.2.20", 2), bytes(pcap.MAX_PAYLOAD_BYTES))
    (layers,) = dissect(tmp_path / "large.pcap", record)
    assert layers["udp"]["udp.checksum.status"] == "1"
    assert layers["udp"]["udp.length"] == str(pcap.MAX_PAYLOAD_BYTES + 8)


def test_a_sum_of_zero_is_sent_as_all_ones() -> None:
    # 0.0.0.0 to 0.0.0.0 from port 0 to port 0: the sum is 17 + 10 + 10 + payload; this payload makes it 0xFFFF.
    payload = struct.pack("!H", 0xFFFF - 17 - 10 - 10)
    record = pcap.record(REALTIME_NS, ("0.0.0.0", 0), ("0.0.0.0", 0), payload)
    assert record[-4:-2] == b"\xff\xff"


@pytest.mark.parametrize(
    ("source", "payload", "sentence"),
    [
        ("2001:db8::1", b"", "the families differ"),
        ("recorder", b"", "'recorder' is no IP address"),
        ("192.0.2.10", bytes(pcap.MAX_PAYLOAD_BYTES + 1), "more than UDP carries"),
    ],
)
def test_what_cannot_be_a_packet_is_refused(source: str, payload: bytes, sentence: str) -> None:
    with pytest.raises(LocalProtocolError, match=sentence):
        pcap.record(REALTIME_NS, (source, 1), ("192.0.2.20", 2), payload)


def summed(data: bytes) -> int:
    """The checksum as RFC 1071 section 1 words it, digit by digit."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


@given(st.binary(max_size=200))
def test_the_checksum_is_the_one_of_rfc_1071(data: bytes) -> None:
    assert pcap.checksum(data) == summed(data)


@pytest.mark.parametrize("data", [b"", b"\x00\x00", b"\xff\xff", b"\xff\xfe\x00\x01"])
def test_the_checksum_of_zeroes_and_ones(data: bytes) -> None:
    assert pcap.checksum(data) == summed(data)
