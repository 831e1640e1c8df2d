"""Session descriptions: what phone systems write is understood, and what we answer is what they can live with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sdp import (
    MAX_MEDIA,
    PCMA,
    PCMU,
    TELEPHONE_EVENT,
    Codec,
    Direction,
    Media,
    Origin,
    SessionDescription,
    Suspension,
    answer,
    is_acceptable,
    offer,
    parse,
    suspension,
)

TWO_STREAMS = b"""v=0
o=SRC 0 7 IN IP4 192.0.2.9
s=-
c=IN IP4 192.0.2.10
t=0 0
a=sendonly
m=audio 12240 RTP/AVP 8 0 96 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=label:a_leg
a=ptime:30
m=audio 12242 RTP/AVP 0 101
c=IN IP6 2001:db8::7
a=rtpmap:101 telephone-event/8000
a=label:0123456789012345
""".replace(b"\n", b"\r\n")

BARE = b"v=0\nm=audio 4000/2 RTP/AVP 0\n"
"""No o=, s=, t=, c= or direction; bare LF."""

BROADWORKS_PAUSE = b"""v=0
o=BroadWorks 35 2 IN IP4 0.0.0.0
s=-
c=IN IP4 0.0.0.0
t=0 0
m=audio 20000 RTP/AVP 0
a=label:1
"""


def one_stream(*lines: str, media: str = "audio 4000 RTP/AVP 0") -> Media:
    return parse("\r\n".join(["v=0", "c=IN IP4 192.0.2.1", f"m={media}", *lines, ""]).encode()).media[0]


def test_two_streams_are_read_with_their_labels_codecs_and_addresses() -> None:
    description = parse(TWO_STREAMS)
    first, second = description.media
    assert description.origin == Origin("SRC", "0", "7", "192.0.2.9")
    assert (first.kind, first.port, first.port_count, first.protocol) == ("audio", 12240, 1, "RTP/AVP")
    assert first.formats == (8, 0, 96, 101)
    assert (first.address, second.address) == ("192.0.2.10", "2001:db8::7")
    assert (first.label, second.label) == ("a_leg", "0123456789012345")
    assert (first.direction, second.direction) == ("sendonly", "sendonly")
    assert (first.ptime_ms, second.ptime_ms) == (30, None)
    assert first.codecs == (PCMA, PCMU, Codec(96, "opus", 48000, 2, "useinbandfec=1"), TELEPHONE_EVENT)


def test_lines_that_phone_systems_leave_out_are_no_error() -> None:
    (media,) = parse(BARE).media
    assert (media.port, media.port_count, media.address, media.label) == (4000, 2, None, None)
    assert media.direction == "sendrecv"
    assert media.codecs == (PCMU,)


@pytest.mark.parametrize(
    ("payload_type", "name"), [(0, "PCMU"), (3, "GSM"), (4, "G723"), (8, "PCMA"), (9, "G722"), (13, "CN"), (18, "G729")]
)
def test_static_payload_types_need_no_rtpmap(payload_type: int, name: str) -> None:
    assert one_stream(media=f"audio 4000 RTP/AVP {payload_type}").codecs == (Codec(payload_type, name, 8000),)


def test_an_rtpmap_overrides_a_static_type_and_a_broken_one_does_not() -> None:
    assert one_stream("a=rtpmap:0 L16/16000").codecs == (Codec(0, "L16", 16000),)
    assert one_stream("a=rtpmap:0 nonsense", "a=rtpmap:", "a=rtpmap:0 X/0").codecs == (PCMU,)
    assert one_stream("a=rtpmap:97 nonsense", media="audio 4000 RTP/AVP 97").codecs == ()


@pytest.mark.parametrize("ptime", ["a=ptime:", "a=ptime:x", "a=ptime:0", "a=ptime"])
def test_a_senseless_ptime_is_none(ptime: str) -> None:
    assert one_stream(ptime).ptime_ms is None


def test_a_media_direction_goes_before_the_session_direction() -> None:
    description = parse(b"v=0\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\na=sendonly\r\n")
    assert [media.direction for media in description.media] == ["inactive", "sendonly"]


def test_attributes_of_recording_awareness_are_kept_word_for_word() -> None:
    assert one_stream("a=recordpref:nopreference", "a=record:on").attributes == (
        ("recordpref", "nopreference"),
        ("record", "on"),
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a=sendonly"], None),
        ([], None),
        (["a=inactive"], "inactive"),
        (["c=IN IP4 0.0.0.0"], "zero-address"),
        (["c=IN IP6 ::"], "zero-address"),
        (["c=IN IP6 0:0:0:0:0:0:0:0"], "zero-address"),
        (["c=IN IP4 0.0.0.0", "a=inactive"], "inactive+zero-address"),
        (["c=IN IP4 a.name.example"], None),
    ],
)
def test_each_form_of_suspension_is_told_by_its_name(lines: list[str], expected: Suspension | None) -> None:
    assert suspension(one_stream(*lines)) == expected


def test_the_pause_of_broadworks_is_a_zero_address_of_the_session() -> None:
    (media,) = parse(BROADWORKS_PAUSE).media
    assert (media.direction, suspension(media)) == ("sendrecv", "zero-address")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\r\n\r\n",
        b"hello",
        b"o=- 1 1 IN IP4 192.0.2.1\r\n",
        b"v=0\r\nno line of a description\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 4000/0 RTP/AVP 0\r\n",
        b"v=0\r\n" + b"m=audio 0 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
    ],
)
def test_garbage_is_refused(document: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(document)


def answer_to(document: bytes, ports: dict[int, int]) -> SessionDescription:
    return answer(parse(document), session_id=5, version=2, address="198.51.100.3", ports=ports)


def test_the_answer_has_the_offers_lines_payload_numbers_and_labels() -> None:
    assert answer_to(TWO_STREAMS, {0: 10000, 1: 10002}).serialize() == (
        b"v=0\r\no=earshot 5 2 IN IP4 198.51.100.3\r\ns=-\r\nc=IN IP4 198.51.100.3\r\nt=0 0\r\n"
        b"m=audio 10000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=recvonly\r\na=label:a_leg\r\n"
        b"m=audio 10002 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=recvonly\r\na=label:0123456789012345\r\n"
    )


def test_the_answer_over_ipv6_says_so() -> None:
    described = answer(parse(BARE), session_id=1, version=1, address="2001:db8::1", ports={0: 10000}).serialize()
    assert b"c=IN IP6 2001:db8::1\r\n" in described
    assert b"o=earshot 1 1 IN IP6 2001:db8::1\r\n" in described


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendonly", "recvonly"), ("sendrecv", "recvonly"), ("inactive", "inactive"), ("recvonly", "inactive")],
)
def test_we_never_offer_to_send(offered: str, answered: str) -> None:
    document = b"v=0\r\nm=audio 4000 RTP/AVP 0\r\na=" + offered.encode() + b"\r\n"
    assert answer_to(document, {0: 10000}).media[0].direction == answered


def test_a_pause_without_direction_is_still_answered_recvonly_with_our_port() -> None:
    (media,) = answer_to(BROADWORKS_PAUSE, {0: 10000}).media
    assert (media.direction, media.port, media.address) == ("recvonly", 10000, "198.51.100.3")


@pytest.mark.parametrize(
    "line",
    [
        "m=video 4000 RTP/AVP 0",
        "m=audio 4000 RTP/SAVP 0",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 0",
        "m=audio 4000 RTP/AVP 18",
        "m=audio 4000 RTP/AVP 101",
        "m=audio 4000 RTP/AVP",
        "m=audio 0 RTP/AVP 0",
        "m=message 4000 TCP/MSRP *",
    ],
)
def test_what_we_cannot_record_is_rejected_in_its_place(line: str) -> None:
    document = f"v=0\r\n{line}\r\na=rtpmap:101 telephone-event/8000\r\na=label:9\r\nm=audio 4002 RTP/AVPF 0\r\n"
    rejected, accepted = answer_to(document.encode(), {0: 10000, 1: 10002}).media
    offered = parse(document.encode()).media[0]
    assert (rejected.port, rejected.label) == (0, "9")
    assert (rejected.kind, rejected.protocol, rejected.formats) == (offered.kind, offered.protocol, offered.formats)
    assert (accepted.port, accepted.protocol) == (10002, "RTP/AVPF")


def test_a_line_for_which_we_have_no_port_is_rejected() -> None:
    assert [media.port for media in answer_to(TWO_STREAMS, {1: 10002}).media] == [0, 10002]


def test_the_caller_says_which_codecs_are_acceptable() -> None:
    media = parse(TWO_STREAMS).media[0]
    assert is_acceptable(media, lambda codec: codec.encoding == "opus")
    assert not is_acceptable(media, lambda codec: codec.encoding in ("g729", "telephone-event"))
    described = answer(
        parse(TWO_STREAMS), session_id=1, version=1, address="::1", ports={0: 10000}, codecs=lambda c: c.name == "opus"
    )
    assert described.media[0].codecs == (Codec(96, "opus", 48000, 2, "useinbandfec=1"),)


@pytest.mark.parametrize("suspended", [None, "inactive", "zero-address", "inactive+zero-address"])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::5"])
def test_what_the_client_offers_is_read_as_it_was_meant(suspended: Suspension | None, address: str) -> None:
    streams = [("caller", 30000), ("callee", 30002)]
    made = offer(streams, session_id=9, version=3, address=address, suspended=suspended, ptime_ms=40)
    heard = parse(made.serialize())
    assert [(media.label, media.port) for media in heard.media] == streams
    assert heard.origin.address == address
    for media in heard.media:
        assert suspension(media) == suspended
        assert media.codecs == (PCMU, PCMA, TELEPHONE_EVENT)
        assert media.ptime_ms == 40
        assert suspended is not None or (media.direction, media.address) == ("sendonly", address)


def test_a_line_break_is_never_written() -> None:
    with pytest.raises(LocalProtocolError):
        offer([("1\r\nm=audio", 4000)], session_id=1, version=1, address="192.0.2.1").serialize()


LINES = """
v=0
o=- 1 1 IN IP4 192.0.2.1
o=x
s=
s= a name
c=IN IP4 192.0.2.1/127
c=IN IP6 ::1
c=
t=0 0
b=AS:64
a=inactive
a=SendOnly
a=label:x
a=label
a=rtpmap:0 PCMU/8000
a=rtpmap:97 opus/48000/2
a=rtpmap:97
a=fmtp:97 a=b
a=:
a=
a=ptime:20
m=audio 4000 RTP/AVP 0 97 0
m=audio 0/2 RTP/SAVP
m=message 9 TCP/MSRP *
m=audio x RTP/AVP 0
m=
x

""".splitlines()
documents = st.one_of(
    st.binary(),
    st.binary().map(lambda tail: b"v=0\r\nm=audio 4000 RTP/AVP 0\r\na=" + tail),
    st.lists(st.sampled_from(LINES)).map(lambda lines: "\r\n".join(["v=0", *lines]).encode()),
    st.lists(st.text(max_size=20)).map(lambda lines: "\n".join(["v=0", *lines]).encode()),
)


@given(documents)
def test_any_bytes_give_a_description_or_a_protocol_error(document: bytes) -> None:
    try:
        description = parse(document)
    except RemoteProtocolError:
        return
    assert parse(description.serialize()) == description
    answered = answer(description, session_id=1, version=1, address="192.0.2.1", ports=dict.fromkeys(range(64), 10000))
    assert parse(answered.serialize()) == answered
    assert [media.kind for media in answered.media] == [media.kind for media in description.media]
    for offered, ours in zip(description.media, answered.media, strict=True):
        assert ours.label == offered.label
        assert set(ours.formats) <= set(offered.formats)
        assert ours.port == 0 or ours.direction in ("recvonly", "inactive")
        assert suspension(offered) in (None, "inactive", "zero-address", "inactive+zero-address")


token = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Z", "C")), min_size=1)
directions: st.SearchStrategy[Direction] = st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"])


@given(
    label=texts,
    direction=directions,
    port=st.integers(0, 65535),
    port_count=st.integers(1, 999),
    formats=st.lists(st.integers(0, 127)),
    value=st.one_of(st.none(), texts),
)
def test_what_is_written_is_read_back(
    label: str, direction: Direction, port: int, port_count: int, formats: list[int], value: str | None
) -> None:
    attributes = ((direction, None), ("label", label), ("x-own", value))
    media = Media("audio", port, "RTP/AVP", tuple(formats), port_count, "192.0.2.1", attributes, "inactive")
    description = SessionDescription((media, media), Origin(), "a name", "2001:db8::1", (("inactive", None),))
    heard = parse(description.serialize())
    assert heard == description
    assert (heard.media[0].label, heard.media[0].direction) == (label, direction)
