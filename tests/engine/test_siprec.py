"""SIPREC requests as phone systems send them: what they carry, who speaks, and in which stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import siprec
from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.metadata import (
    Metadata,
    Moment,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Stream,
    merge,
    read,
)
from engine.multipart import Part, join
from engine.sdp import SessionDescription, offer
from engine.sip.message import Headers, Request
from engine.siprec import Party, Side, parties, read_offer, write_body
from tests.engine import dialects

SDP = offer([("96", 4000), ("97", 4002)], session_id=1, version=1, address="192.0.2.1")
VIDEO = b"v=0\r\nm=video 4000 RTP/AVP 31\r\n"
GTD = Part("application/gtd", (("Content-Disposition", "signal;handling=optional"),), b"IAM,\r\nGCI,1\r\n")
FROM = '"Ann" <sip:+12025550101@src.example>;tag=1'
TO = "<sip:record@srs.example>"


def request(content_type: str | None, body: bytes, *headers: tuple[str, str]) -> Request:
    typed = () if content_type is None else (("Content-Type", content_type),)
    common = (("From", FROM), ("To", TO), ("Call-ID", "c1"), ("CSeq", "1 INVITE"))
    return Request("INVITE", "sip:record@srs.example", Headers((*common, *typed, *headers)), body)


def both(metadata: bytes = dialects.RFC7865, *, name: str = "application/rs-metadata+xml") -> Request:
    parts = (Part(name, (), metadata), GTD, Part("application/sdp", (), SDP.serialize()))
    return request(*join(parts, "b1"))


# --- what a request carries ---


@pytest.mark.parametrize("name", ["application/rs-metadata", "Application/RS-Metadata+XML", "application/ +xml"])
def test_sdp_and_metadata_are_found_in_any_order_with_foreign_parts_between(name: str) -> None:
    found = read_offer(both(name=name), needs_sdp=True)
    assert found.is_siprec
    assert found.sdp is not None
    assert [media.label for media in found.sdp.media] == ["96", "97"]
    assert found.metadata == read(dialects.RFC7865)
    assert (found.metadata_document, found.metadata_content_type) == (dialects.RFC7865, name)
    assert found.metadata_error is None


def test_metadata_of_an_unknown_type_is_known_by_its_disposition() -> None:
    part = Part("text/plain", (("content-disposition", "recording-session"),), dialects.RFC7865)
    assert read_offer(request(*join((part,), "b1"))).metadata == read(dialects.RFC7865)


def test_a_single_sdp_and_a_bare_document_of_metadata_are_bodies_too() -> None:
    plain = read_offer(request("application/sdp", SDP.serialize()), needs_sdp=True)
    assert (plain.is_siprec, plain.metadata, plain.metadata_document) == (False, None, None)
    assert plain.sdp is not None
    untyped = read_offer(request(None, SDP.serialize()))
    assert untyped.sdp == plain.sdp
    update = read_offer(request("application/rs-metadata", dialects.AVAYA))
    assert (update.is_siprec, update.sdp, update.metadata) == (True, None, read(dialects.AVAYA))


def test_broken_metadata_does_not_keep_a_call_from_being_recorded() -> None:
    found = read_offer(both(b"<recording><oops></recording>"), needs_sdp=True)
    assert found.sdp is not None
    assert (found.is_siprec, found.metadata) == (True, None)
    assert found.metadata_document == b"<recording><oops></recording>"
    assert found.metadata_error is not None
    assert "cannot be read" in found.metadata_error


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Require", "100rel, siprec")], True),
        ([("Contact", "<sip:src@192.0.2.1>;+sip.src")], True),
        ([("Contact", "<sip:src@192.0.2.1;+sip.src>")], True),
        ([("Contact", "<sip:src@192.0.2.1>;src")], True),
        ([("Contact", "<sip:src@192.0.2.1>"), ("Require", "timer")], False),
        ([("Contact", "<<<")], False),
        ([], False),
    ],
)
def test_each_mark_of_a_recording_session_is_enough(headers: list[tuple[str, str]], expected: bool) -> None:
    assert read_offer(request("application/sdp", SDP.serialize(), *headers)).is_siprec is expected


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        (None, b"hello", 415),
        ("multipart/mixed;boundary=b1", b"--b1\r\nContent-Type: application/gtd\r\n\r\nIAM\r\n--b1--", 415),
        ("multipart/mixed;boundary=b1", b"no boundary at all", 400),
        ("application/sdp", b"hello", 400),
        ("application/rs-metadata", dialects.RFC7865, 400),
        (None, b"", 400),
        ("application/sdp", VIDEO, 488),
        ("application/sdp", b"v=0\r\nm=audio 4000 RTP/SAVP 0\r\n", 488),
        ("application/sdp", b"v=0\r\nm=audio 0 RTP/AVP 0\r\n", 488),
        ("application/sdp", b"v=0\r\n", 488),
    ],
)
def test_a_first_request_that_cannot_be_recorded_is_refused_with_its_status(
    content_type: str | None, body: bytes, status: int
) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        read_offer(request(content_type, body), needs_sdp=True)
    assert refused.value.status == status


def test_a_later_request_may_carry_nothing_or_disable_every_stream() -> None:
    assert read_offer(request(None, b"")) == siprec.Offer(is_siprec=False)
    disabled = read_offer(request("application/sdp", b"v=0\r\nm=audio 0 RTP/AVP 0\r\n")).sdp
    assert disabled is not None
    assert disabled.media[0].port == 0
    with pytest.raises(RemoteProtocolError) as refused:
        read_offer(request("application/sdp", VIDEO))
    assert refused.value.status == 488


def test_the_caller_says_which_codecs_will_do() -> None:
    with pytest.raises(RemoteProtocolError):
        read_offer(both(), codecs=lambda codec: codec.encoding == "opus")


@pytest.mark.parametrize("document", [dialects.RFC7865, dialects.DRAFT])
@pytest.mark.parametrize("description", [SDP, None])
def test_what_a_client_writes_is_read_as_it_was_meant(description: SessionDescription | None, document: bytes) -> None:
    metadata = read(document)
    found = read_offer(request(*write_body(description, metadata, "b1")))
    assert (found.sdp is None) == (description is None)
    assert found.metadata is not None
    assert found.metadata.participants == metadata.participants
    assert found.metadata.streams == metadata.streams


def test_a_client_may_write_sdp_alone_but_not_nothing() -> None:
    assert write_body(SDP, None, "b1") == ("application/sdp", SDP.serialize())
    with pytest.raises(LocalProtocolError):
        write_body(None, None, "b1")


@given(
    st.sampled_from(
        [None, "", "application/sdp", "application/rs-metadata", "multipart/mixed", "multipart/x;boundary=b"]
    ),
    st.one_of(
        st.binary(),
        st.binary().map(lambda body: b"--b\r\nContent-Type: application/sdp\r\n\r\n" + body),
        st.binary().map(lambda body: b"--b\r\nContent-Type: application/rs-metadata\r\n\r\n<recording>" + body),
    ),
    st.booleans(),
)
def test_any_body_gives_an_offer_or_a_protocol_error(content_type: str | None, body: bytes, needs_sdp: bool) -> None:
    try:
        found = read_offer(request(content_type, body), needs_sdp=needs_sdp)
    except RemoteProtocolError:
        return
    assert found.sdp is not None or not needs_sdp
    assert (found.metadata is None) == (found.metadata_document is None or found.metadata_error is not None)


# --- who speaks, and where ---


ANN = Participant("p1", (NameId("sip:+12025550101@a.example", "Ann"),))
BOB = Participant("p2", (NameId("sip:+12025550102@b.example", "Bob"),))
CAROL = Participant("p3", (NameId("sip:+12025550103@c.example", "Carol"),))
STREAMS = (Stream("st1", "s1", "1"), Stream("st2", "s1", "2"))


def sides_of(*senders: tuple[str, str], labels: tuple[str | None, ...] = ("1", "2")) -> tuple[Side, ...]:
    streams = tuple(ParticipantStream(participant_id, (stream_id,)) for participant_id, stream_id in senders)
    metadata = Metadata(participants=(ANN, BOB, CAROL), streams=STREAMS, participant_streams=streams)
    return parties(metadata, labels, FROM, TO).sides


def test_the_document_order_says_who_called_and_the_associations_where_he_speaks() -> None:
    found = parties(read(dialects.RFC7865), ["97", "96"], FROM, TO)
    assert found.caller == Party("+12025550101", "Ann", "sip:+12025550101@a.example", "p1")
    assert found.callee == Party("+12025550102", "Bob & Co", "tel:+1-202-555-0102", "p2")
    assert found.sides == ("callee", "caller")


@pytest.mark.parametrize(
    ("senders", "sides"),
    [
        ([], ("caller", "callee")),
        ([("p1", "st1"), ("p2", "st2")], ("caller", "callee")),
        ([("p1", "st2"), ("p2", "st1")], ("callee", "caller")),
        ([("p1", "st2")], ("callee", "caller")),
        ([("p2", "st1")], ("callee", "caller")),
        ([("p1", "st1"), ("p2", "st1"), ("p2", "st2")], ("both", "callee")),
        ([("p1", "st1"), ("p2", "st2"), ("p3", "st2")], ("caller", "callee")),
        ([("p1", "unknown")], ("caller", "callee")),
    ],
)
def test_a_stream_is_the_side_of_those_who_send_it(senders: list[tuple[str, str]], sides: tuple[Side, ...]) -> None:
    assert sides_of(*senders) == sides


def test_an_association_that_has_ended_says_nothing() -> None:
    ended = ParticipantStream("p1", ("st2",), (), None, Moment("2026-11-02T09:05:00Z"))
    metadata = Metadata(participants=(ANN, BOB), streams=STREAMS, participant_streams=(ended,))
    assert parties(metadata, ["1", "2"], FROM, TO).sides == ("caller", "callee")


@pytest.mark.parametrize(
    ("labels", "sides"),
    [
        ((), ()),
        (("1",), ("callee",)),
        (("x",), ("both",)),
        (("2", None), ("caller", "callee")),
        ((None, None), ("callee", "caller")),
        (("x", "y"), ("callee", "caller")),
        (("x", "y", "z"), ("caller", "callee", "callee")),
    ],
)
def test_streams_are_found_by_label_else_by_their_order(
    labels: tuple[str | None, ...], sides: tuple[Side, ...]
) -> None:
    assert sides_of(("p1", "st2"), ("p2", "st1"), labels=labels) == sides


def test_the_only_stream_and_a_mixed_one_carry_both() -> None:
    mixed = (Stream("st1", "s1", "1", "mixed"), Stream("st2", "s1", "2"))
    metadata = Metadata(
        participants=(ANN, BOB), streams=mixed, participant_streams=(ParticipantStream("p1", ("st1",)),)
    )
    assert parties(metadata, ["1", "2"], FROM, TO).sides == ("both", "caller")
    assert parties(None, ["1"], FROM, TO).sides == ("both",)


def test_the_calling_number_of_broadworks_goes_before_the_order_of_the_document() -> None:
    found = parties(read(dialects.BROADWORKS), ["1", "2"], FROM, TO)
    assert found.caller == Party("+12025550101", "Ann", "sip:+12025550101@a.example", "p1")
    assert found.callee == Party("+12025550102", "Bob", "sip:+12025550102@b.example", "p2")
    assert found.sides == ("caller", "callee")


def test_an_internal_id_gets_its_number_from_the_data_and_its_name_from_the_from_header() -> None:
    found = parties(read(dialects.WEBEX), ["0", "1"], '"Bob" <sip:+12025550102@b.example>;tag=2', TO)
    assert (found.caller.number, found.caller.name) == ("+12025550101", "Ann")
    assert (found.callee.number, found.callee.name) == ("+12025550102", "Bob")
    assert found.callee.aor == "sip:internal77c1@b.example"
    assert found.sides == ("callee", "caller")


def test_an_internal_id_without_a_called_number_takes_that_of_the_from_header() -> None:
    document = dialects.WEBEX.replace(b"<calledPartyNumber>+12025550102</calledPartyNumber>", b"")
    found = parties(read(document), ["0", "1"], '"Bob" <sip:+12025550102@b.example>', TO)
    assert (found.callee.number, found.callee.name) == ("+12025550102", "Bob")
    foreign = parties(read(document), ["0", "1"], '"Ann" <sip:+12025550101@b.example>', TO)
    assert (foreign.callee.number, foreign.callee.name) == ("internal77c1", "")


def test_an_extension_is_recognised_as_the_end_of_a_number() -> None:
    document = dialects.BROADWORKS.replace(b"<callingPartyNumber>+12025550101", b"<callingPartyNumber>0101")
    found = parties(read(document), ["1", "2"], FROM, TO)
    assert (found.caller.participant_id, found.caller.number) == ("p1", "+12025550101")


def test_numbers_that_fit_nobody_leave_the_order_of_the_document() -> None:
    document = dialects.BROADWORKS.replace(b"+12025550101</calling", b"+4930111</calling").replace(
        b"+12025550102</called", b"+4930222</called"
    )
    found = parties(read(document), ["1", "2"], FROM, TO)
    assert (found.caller.participant_id, found.callee.participant_id) == ("p2", "p1")


def test_a_single_participant_who_was_called_leaves_the_calling_number_to_the_other_side() -> None:
    metadata = read(dialects.BROADWORKS)
    alone = Metadata(participants=(BOB,), extensions=metadata.extensions)
    found = parties(alone, ["1"], FROM, TO)
    assert found.caller == Party("+12025550101", "Ann")
    assert found.callee.participant_id == "p2"
    nobody = parties(Metadata(extensions=metadata.extensions), ["1", "2"], FROM, TO)
    assert (nobody.caller.number, nobody.callee.number) == ("+12025550101", "+12025550102")


def test_addresses_without_numbers_stay_what_they_are_where_no_broadworks_data_is() -> None:
    ann = Participant("p1", (NameId("sip:ann@a.example"),))
    found = parties(Metadata(participants=(ann, BOB)), ["1", "2"], '"Trunk" <sip:5000@sbc.example>', TO)
    assert (found.caller.number, found.caller.name) == ("ann", "")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        Metadata(),
        merge(
            None,
            Metadata(participants=(ANN,), participant_sessions=(ParticipantSession("p1", "s", None, Moment("x")),)),
        ),
    ],
)
def test_without_participants_from_and_to_say_who_speaks(metadata: Metadata | None) -> None:
    found = parties(metadata, ["1", "2"], FROM, TO)
    assert found.caller == Party("+12025550101", "Ann", "sip:+12025550101@src.example")
    assert found.callee == Party("record", "", "sip:record@srs.example")
    assert found.sides == ("caller", "callee")


def test_headers_that_cannot_be_read_leave_the_parties_unknown() -> None:
    assert parties(None, ["1"], None, "<<") == siprec.Parties(Party(), Party(), ("both",))


@given(
    st.sampled_from(dialects.ALL).map(read),
    st.lists(st.one_of(st.none(), st.sampled_from(["0", "1", "2", "96", "97", "a_leg"]), st.text(max_size=3))),
    st.one_of(st.none(), st.text(), st.just(FROM)),
)
def test_every_stream_gets_a_side_whatever_the_metadata_says(
    metadata: Metadata, labels: list[str | None], from_header: str | None
) -> None:
    found = parties(metadata, labels, from_header, TO)
    assert len(found.sides) == len(labels)
    assert set(found.sides) <= {"caller", "callee", "both"}
