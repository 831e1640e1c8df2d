"""Messages as values: headers, identification, writing, answering."""

import pytest

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.message import COMPACT, CSeq, Headers, Request, Response, Via, response_to
from engine.sip.parser import parse
from tests.engine.sip import samples


def test_headers_keep_order_spelling_and_duplicates() -> None:
    pairs = (("vIa", "one"), ("From", "x"), ("v", "two"), ("X-Own", "y"))
    headers = Headers(pairs)

    assert tuple(headers) == pairs
    assert headers.all("Via") == ["one", "two"]
    assert headers.get("VIA") == "one"
    assert headers.get("missing") is None
    assert "x-own" in headers
    assert "missing" not in headers


@pytest.mark.parametrize(("short", "long"), COMPACT.items())
def test_compact_forms_mean_the_long_ones(short: str, long: str) -> None:
    assert Headers(((short.upper(), "value"),)).get(long) == "value"
    assert Headers(((long.title(), "value"),)).get(short) == "value"


def test_lists_are_taken_apart_on_request() -> None:
    headers = Headers((("Route", '<sip:a,b@c>, "x,y" <sip:d>'), ("Route", "<sip:e>"), ("Date", "Sat, 1 Jan 2000")))

    assert headers.all("Route", split=True) == ["<sip:a,b@c>", '"x,y" <sip:d>', "<sip:e>"]
    assert headers.all("Date") == ["Sat, 1 Jan 2000"]


def test_replaced_changes_the_first_line_only_or_adds_one() -> None:
    headers = Headers((("v", "one"), ("v", "two")))

    assert tuple(headers.replaced("Via", "new")) == (("v", "new"), ("v", "two"))
    assert tuple(headers.replaced("To", "x")) == (("v", "one"), ("v", "two"), ("To", "x"))
    assert tuple(headers.without("via")) == ()


def test_a_message_says_what_identifies_it() -> None:
    request = parse(samples.invite())

    assert isinstance(request, Request)
    assert (request.method, request.uri) == ("INVITE", "sip:recorder@198.51.100.1:5060")
    assert request.call_id == "7d1f@192.0.2.10"
    assert (request.from_tag, request.to_tag) == ("from-1", None)
    assert request.from_addr.display == "Src, One"
    assert request.cseq == CSeq(1, "INVITE")
    assert request.via_branch == "z9hG4bK-524287-1"
    assert request.content_type == "application/sdp"
    assert request.contact is not None
    assert request.contact.has_feature("+sip.src")


def test_what_is_missing_from_a_message_of_our_own_making_is_named() -> None:
    request = Request("INVITE", "sip:a@b", Headers((("CSeq", "one INVITE"), ("Via", ","))))

    assert request.contact is None
    for read in (lambda: request.call_id, lambda: request.cseq, lambda: request.via):
        with pytest.raises(RemoteProtocolError):
            read()


def test_content_length_is_made_from_the_body() -> None:
    headers = Headers((("l", "99"), ("Subject", "x"), ("Content-Length", "7")))

    assert Request("INFO", "sip:a@b", headers, b"\n\r\xff").serialize() == (
        b"INFO sip:a@b SIP/2.0\r\nSubject: x\r\nContent-Length: 3\r\n\r\n\n\r\xff"
    )


@pytest.mark.parametrize("value", ["x\r\nEvil: 1", "x\nEvil: 1", "x\ry"])
def test_a_line_break_never_gets_onto_the_wire(value: str) -> None:
    for message in (
        Request("INFO", "sip:a@b", Headers((("Subject", value),))),
        Request("INFO", f"sip:{value}", Headers()),
        Response(200, value, Headers()),
    ):
        with pytest.raises(LocalProtocolError):
            message.serialize()


def test_the_transport_adds_via_and_stamps_the_topmost_one_only() -> None:
    request = Request("OPTIONS", "sip:a@b", Headers((("Via", "SIP/2.0/UDP x;rport, SIP/2.0/UDP y;rport"),)))

    stamped = request.seen_from("192.0.2.7", 4000)
    assert stamped.headers.get("Via") == "SIP/2.0/UDP x;rport=4000;received=192.0.2.7, SIP/2.0/UDP y;rport"
    sent = request.with_via(Via("TCP", "z", 5060))
    assert sent.headers.all("Via") == ["SIP/2.0/TCP z:5060", "SIP/2.0/UDP x;rport, SIP/2.0/UDP y;rport"]


def test_an_answer_copies_what_the_standard_wants() -> None:
    extra = (
        ("Record-Route", "<sip:p1;lr>"),
        ("Record-Route", "<sip:p2;lr>"),
        ("Timestamp", "54"),
        ("Via", "SIP/2.0/UDP p"),
    )
    invite = samples.request("INVITE", extra=extra)

    trying = response_to(invite, 100)
    assert trying.start_line == "SIP/2.0 100 Trying"
    assert trying.to_tag is None
    assert trying.headers.get("Timestamp") == "54"
    assert "Record-Route" not in trying.headers

    ok = response_to(invite, 200, to_tag="ours", headers=[("Allow", "BYE")], body=b"x", content_type="text/plain")
    assert ok.headers.all("Via") == invite.headers.all("Via")
    assert ok.headers.all("Record-Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert ok.headers.get("From") == invite.headers.get("From")
    assert ok.to_tag == "ours"
    assert (ok.call_id, ok.cseq) == (invite.call_id, invite.cseq)
    assert (ok.headers.get("Allow"), ok.content_type, ok.body) == ("BYE", "text/plain", b"x")

    assert "Record-Route" not in response_to(invite, 486).headers
    assert response_to(invite, 486, "No Space").reason == "No Space"
    assert response_to(invite, 599).reason == "Server Failure"


def test_an_answer_outside_a_dialog_has_the_same_tag_each_time() -> None:
    request = samples.request("OPTIONS")

    assert response_to(request, 200).to_tag
    assert response_to(request, 200) == response_to(request, 200)
    assert response_to(request, 200).to_tag != response_to(samples.request("OPTIONS", call_id="other"), 200).to_tag


def test_a_tag_that_is_there_stays() -> None:
    assert response_to(samples.request("BYE", to_tag="known"), 200, to_tag="other").to_tag == "known"
