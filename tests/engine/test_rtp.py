"""RTP: the pair, the numpy pass, and their agreement on any bytes."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import rtp
from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.journal import ROW, ROW_CUT, ROW_RTCP, Rows

PAYLOAD_TYPES = st.integers(0, 127).filter(lambda pt: not rtp.RTCP_FIRST <= pt <= rtp.RTCP_LAST)
PACKETS = st.builds(
    rtp.Packet,
    payload_type=PAYLOAD_TYPES,
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 2**32 - 1), max_size=15).map(tuple),
    extension=st.none()
    | st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=5).map(lambda word: word.ljust(8, b"\0")[:4] * len(word))),
    padding=st.integers(0, 255),
)
# Bytes that begin as RTP does get further into the parser than any bytes would.
ALMOST_RTP = st.tuples(st.integers(0x80, 0xBF), st.binary(max_size=60)).map(lambda t: bytes([t[0]]) + t[1])


def rows_of(datagrams: list[bytes], flags: int = 0) -> Rows:
    headers = np.zeros(len(datagrams), ROW)
    headers["length"] = [len(d) for d in datagrams]
    headers["flags"] = flags
    ends = np.cumsum(headers["length"], dtype=np.int64)
    return Rows(headers, ends - headers["length"], np.frombuffer(b"".join(datagrams), np.uint8))


@given(PACKETS)
def test_a_packet_comes_back(packet):
    assert rtp.parse(rtp.serialize(packet)) == packet


@given(st.binary(max_size=80) | ALMOST_RTP)
def test_any_bytes_are_a_packet_or_the_peers_error(data):
    try:
        packet = rtp.parse(data)
    except RemoteProtocolError:
        return
    assert len(packet.payload) <= len(data) - rtp.HEADER_BYTES


@given(st.lists(st.binary(max_size=60) | ALMOST_RTP | PACKETS.map(rtp.serialize), max_size=8))
@example([b""])
@example([b"\x90\x00" + bytes(10)])  # an extension that lies past the last packet's end
def test_the_pass_over_rows_agrees_with_parse(datagrams):
    rows = rows_of(datagrams)
    headers = rtp.read_headers(rows)
    assert len(headers.valid) == len(datagrams)
    for i, datagram in enumerate(datagrams):
        try:
            packet = rtp.parse(datagram)
        except RemoteProtocolError:
            assert not headers.valid[i]
            continue
        assert headers.valid[i]
        start, length = headers.payload_start[i], headers.payload_bytes[i]
        assert packet.payload == rows.data[start : start + length].tobytes()
        assert (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc, packet.marker) == (
            headers.payload_type[i],
            headers.sequence[i],
            headers.timestamp[i],
            headers.ssrc[i],
            headers.marker[i],
        )


def test_rows_of_the_rtcp_port_are_no_rtp():
    rows = rows_of([rtp.serialize(rtp.Packet(0, 1, 2, 3, b"x"))], ROW_RTCP)
    assert not rtp.read_headers(rows).valid.any()


def test_the_padding_of_a_cut_row_is_unknown():
    whole = rtp.serialize(rtp.Packet(0, 1, 2, 3, b"x" * 160, padding=4))
    headers = rtp.read_headers(rows_of([whole[:100]], ROW_CUT))
    assert headers.valid.all()
    assert headers.payload_bytes.tolist() == [88]


@pytest.mark.parametrize("packet_type", [200, 201, 202, 203, 204, 205, 206, 207])
def test_rtcp_on_the_same_port_is_told_apart(packet_type):
    report = bytes([0x80, packet_type]) + bytes(26)
    assert rtp.is_rtcp(report)
    with pytest.raises(RemoteProtocolError, match="RTCP"):
        rtp.parse(report)


@pytest.mark.parametrize("payload_type", [0, 8, 13, 63, 96, 101, 127])
@pytest.mark.parametrize("marker", [False, True])
def test_rtp_is_not_taken_for_rtcp(payload_type, marker):
    assert not rtp.is_rtcp(rtp.serialize(rtp.Packet(payload_type, 1, 2, 3, marker=marker)))


@pytest.mark.parametrize(
    "packet",
    [
        rtp.Packet(0, 1, 2, 3, csrcs=(1,) * 16),
        rtp.Packet(128, 1, 2, 3),
        rtp.Packet(72, 1, 2, 3),
        rtp.Packet(0, 1, 2, 3, extension=(1, b"abc")),
    ],
)
def test_what_cannot_be_written_is_our_error(packet):
    with pytest.raises(LocalProtocolError):
        rtp.serialize(packet)


@given(
    st.builds(
        rtp.TelephoneEvent,
        event=st.integers(0, 255),
        duration=st.integers(0, 0xFFFF),
        end=st.booleans(),
        volume=st.integers(0, 63),
    )
)
def test_a_telephone_event_comes_back(event):
    assert rtp.parse_event(rtp.serialize_event(event)) == event


@given(st.binary(max_size=8))
def test_any_bytes_are_an_event_or_the_peers_error(data):
    if len(data) < 4:
        with pytest.raises(RemoteProtocolError):
            rtp.parse_event(data)
    else:
        assert rtp.parse_event(data).event == data[0]


def test_digits_have_names():
    events = [rtp.parse_event(bytes([event, 0x8A, 0, 160])) for event in (0, 9, 10, 11, 15, 16)]
    assert [event.digit for event in events] == ["0", "9", "*", "#", "D", ""]
    assert all(event.end and event.volume == 10 for event in events)
