"""Messages off the wire: what is tolerated, what is refused, and that bodies are never touched."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import RemoteProtocolError
from engine.sip.message import Headers, Request, Response, response_to
from engine.sip.parser import MAX_HEADER_BYTES, MAX_HEADER_LINES, MalformedRequest, is_keep_alive, parse
from tests.engine.sip import samples


def parse_request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def parse_response(data: bytes) -> Response:
    message = parse(data)
    assert isinstance(message, Response)
    return message


def without(data: bytes, name: str) -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(name.lower().encode() + b":")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("padding", [0, 2900])
def test_multipart_bodies_stay_byte_for_byte(closed: bool, padding: int) -> None:
    body = samples.multipart(closed=closed, padding=padding)
    data = samples.invite(body, content_type='multipart/mixed;boundary="b1"')

    request = parse_request(data)

    assert request.body == body
    assert request.serialize() == data
    assert padding == 0 or len(data) > 3500


def test_folded_and_compact_headers_and_bare_line_feeds() -> None:
    data = (
        b"\r\n\r\nINVITE sip:r@h SIP/2.0\nv:SIP/2.0/UDP 192.0.2.1\n ;branch=z9hG4bK1\nf:\n\t<sip:a@b>\n ;tag=1\n"
        b"t :sip:r@h\r\ni:abc\nCSEQ:  7\r\n\t INVITE \nc:application/sdp\n"
        b"m: <sip:a@192.0.2.1;+sip.src\nl:4\n\nv=\n0more"
    )

    request = parse_request(data)

    assert request.via_branch == "z9hG4bK1"
    assert (request.from_tag, request.cseq.number) == ("1", 7)
    assert request.contact is not None
    assert request.contact.uri == "sip:a@192.0.2.1;+sip.src"
    assert request.body == b"v=\n0"


@pytest.mark.parametrize("text", ["SIP/2.0 200 OK", "SIP/2.0 200", "sip/2.0 200 ", "SIP/2.0 603 Nicht möglich"])
def test_status_lines(text: str) -> None:
    head, _, _ = samples.invite(b"").partition(b"\r\n\r\n")
    response = parse_response(text.encode() + b"\r\n" + head.partition(b"\r\n")[2] + b"\r\n\r\n")

    assert response.status == int(text.split()[1])
    assert response.reason == text.partition(" ")[2][3:].strip()


def test_a_response_is_not_bound_to_the_rules_of_requests() -> None:
    head = samples.invite(b"").partition(b"\r\n")[2]

    for line in (b"SIP/2.0 OK", b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"SIP/3.0 200 OK"):
        with pytest.raises(RemoteProtocolError) as caught:
            parse(line + b"\r\n" + head)
        assert not isinstance(caught.value, MalformedRequest)


def test_bytes_that_are_no_utf8_are_read_as_latin1() -> None:
    data = samples.invite().replace(b"Src, One", b"M\xfcller")

    assert parse_request(data).from_addr.display == "Müller"
    assert parse_request(samples.invite().replace(b"Src, One", "Müller".encode())).from_addr.display == "Müller"


def test_control_characters_become_spaces() -> None:
    request = parse_request(samples.invite().replace(b"Src, One", b"a\0b\rc"))

    assert request.from_addr.display == "a b c"
    assert b"\r\n\r\n" in response_to(request, 200).serialize()


def test_content_length_below_the_datagram_cuts_it() -> None:
    assert parse_request(samples.invite(b"abcdef", length=3)).body == b"abc"


def test_missing_content_length_takes_the_rest_of_the_datagram() -> None:
    assert parse_request(without(samples.invite(b"abc\n"), "Content-Length")).body == b"abc\n"


@pytest.mark.parametrize("method", ["BYE", "ACK"])
def test_ack_may_name_another_method_in_its_cseq_and_others_may_not(method: str) -> None:
    data = samples.request(method, cseq_method="INVITE").serialize()

    if method == "ACK":
        assert parse_request(data).cseq.method == "INVITE"
    else:
        with pytest.raises(MalformedRequest):
            parse(data)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Content-Length: ", b"Content-Length: 9", 400),
        (b"Content-Length: ", b"Content-Length: -", 400),
        (b"Content-Length: ", b"Content-Length: x", 400),
        (b"Content-Length: ", b"Content-Length: 1\r\nContent-Length: ", 400),
        (b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia", 505),
        (b"INVITE sip:recorder@", b"INVITE sip: recorder@", 400),
        (b"INVITE sip:", b"INV<TE sip:", 400),
        (b"CSeq: 1", b"CSeq: 99999999999", 400),
        (b"CSeq: 1", b"CSeq: x", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE", 400),
        (b"CSeq: 1", b"CSeq: 2 INVITE\r\nCSeq: 1", 400),
        (b'From: "Src, One" <sip:src@192.0.2.10>', b"From: nobody", 400),
        (b"Max-Forwards: 70", b"Max-Forwards 70", 400),
        (b"Max-Forwards: 70", b"Max Forwards: 70", 400),
        (b"Max-Forwards: 70", b"X: " + b"x" * MAX_HEADER_BYTES, 513),
        (b"Require: siprec", b"\r\n".join([b"X: y"] * MAX_HEADER_LINES), 513),
    ],
)
def test_a_malformed_request_can_be_answered(old: bytes, new: bytes, status: int) -> None:
    data = samples.invite()
    assert data.count(old) == 1

    with pytest.raises(MalformedRequest) as caught:
        parse(data.replace(old, new))

    assert caught.value.status == status
    answer = response_to(caught.value.request, caught.value.status).serialize()
    assert answer.startswith(f"SIP/2.0 {status} ".encode())
    assert b"branch=z9hG4bK-524287-1" in answer
    assert b"Call-ID: 7d1f@192.0.2.10" in answer


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_a_request_without_a_header_is_answered_without_it(name: str) -> None:
    with pytest.raises(MalformedRequest, match=name) as caught:
        parse(without(samples.invite(), name))

    answer = response_to(caught.value.request, caught.value.status)
    assert answer.serialize().startswith(b"SIP/2.0 400 ")
    assert [each for each in ("Via", "From", "To", "Call-ID", "CSeq") if each not in answer.headers] == [name]


def test_a_request_without_a_via_cannot_be_answered() -> None:
    with pytest.raises(RemoteProtocolError, match="Via") as caught:
        parse(without(samples.invite(), "Via"))

    assert not isinstance(caught.value, MalformedRequest)


def test_a_malformed_via_cannot_be_answered() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(samples.invite().replace(b"SIP/2.0/UDP", b"UDP"))

    assert not isinstance(caught.value, MalformedRequest)


def test_a_malformed_ack_is_never_answered() -> None:
    data = samples.request("ACK").serialize().replace(b"Content-Length: 0", b"Content-Length: 9")

    with pytest.raises(RemoteProtocolError) as caught:
        parse(data)

    assert not isinstance(caught.value, MalformedRequest)


def test_a_truncated_head_is_refused_and_answered() -> None:
    data = samples.invite(b"")

    with pytest.raises(MalformedRequest):
        parse(data.removesuffix(b"\r\n"))


def test_what_is_longer_than_a_datagram_is_refused() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(samples.invite(b"x" * 65_536))

    assert caught.value.status == 513


def test_keep_alives_are_told_from_messages() -> None:
    assert all(is_keep_alive(data) for data in (b"", b"\r\n\r\n", b"\0\0\0\0", b"\r\n"))
    assert not is_keep_alive(samples.invite())


def readable(data: bytes) -> Request | Response | None:
    """The oracle of the fuzz tests: a message with all it must have, or None for the one error, which can be answered
    where it says so."""
    try:
        message = parse(data)
    except MalformedRequest as error:
        response_to(error.request, error.status).serialize()
        return None
    except RemoteProtocolError:
        return None
    _ = message.via, message.from_tag, message.to_tag, message.call_id, message.cseq
    return message


@given(st.binary(max_size=300))
@example(b"")
@example(b" \r\n\r\n")
@example(b"\n\n")
@example(b"SIP/2.0 200\r\n\r\n")
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    readable(data)


PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b'"',
        b"<",
        b">",
        b"@",
        b"=",
        b"\\",
        b"\0",
        b"\xff",
        b"l:5\r\n",
        b"v:",
        b"999",
    ]
)


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 12), PIECES | st.binary(max_size=4)), max_size=4))
def test_any_damage_to_a_message_leaves_a_message_or_is_refused(damage: list[tuple[int, int, bytes]]) -> None:
    data = samples.invite()
    for at, length, piece in damage:
        data = data[:at] + piece + data[at + length :]

    message = readable(data)

    if message is not None:
        again = readable(message.serialize())
        assert again is not None
        assert (again.start_line, again.body) == (message.start_line, message.body)
        assert tuple(again.headers.without("l")) == tuple(message.headers.without("l"))


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=20)


@given(
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9\-.!%*_+`'~]{0,10}", fullmatch=True), TEXT), max_size=5),
    st.binary(max_size=200),
)
def test_what_is_written_is_read_again(extra: list[tuple[str, str]], body: bytes) -> None:
    request = samples.request("INFO", to_tag="t", extra=tuple(extra), body=body)

    again = parse_request(request.serialize())

    assert again.body == body
    assert tuple(again.headers) == (*request.headers, ("Content-Length", str(len(body))))
    response = response_to(request, 200, body=body)
    answer = parse_response(response.serialize())
    assert (answer.status, answer.reason, answer.body) == (200, "OK", body)
    assert answer.headers.without("Content-Length") == Headers(response.headers.pairs)
