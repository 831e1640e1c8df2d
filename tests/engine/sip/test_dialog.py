"""Dialogs: what each side keeps, and what it takes from the other."""

import pytest

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.dialog import (
    Dialog,
    Offer,
    dialog_key,
    initial_request,
    new_branch,
    new_call_id,
    new_tag,
    offers_sdp,
)
from engine.sip.message import NameAddr, Request, Response, response_to
from tests.engine.sip import samples

SDP_TYPE = "application/sdp"
OURS = "<sip:srs@198.51.100.1:5060>;+sip.srs"


def answered(*, offer: bool = True, extra: tuple[tuple[str, str], ...] = ()) -> Dialog:
    """Our side of an INVITE that we answered with SDP."""
    body = samples.SDP if offer else b""
    invite = samples.request("INVITE", body=body, extra=(*extra, ("Content-Type", SDP_TYPE)))
    dialog = Dialog.from_invite(invite, local_tag="ours", contact=OURS)
    dialog.respond(invite, 200, body=samples.SDP, content_type=SDP_TYPE)
    return dialog


def calling(
    *, offer: bool = True, answer: bool = True, extra: tuple[tuple[str, str], ...] = ()
) -> tuple[Dialog, Request, Response]:
    """Our side of an INVITE of ours that was answered."""
    invite = initial_request(
        "INVITE",
        "sip:rec@198.51.100.9",
        local=NameAddr("", "sip:src@192.0.2.10"),
        remote=NameAddr("", "sip:rec@198.51.100.9"),
        contact="<sip:src@192.0.2.10:5070>;+sip.src",
        headers=[("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1")],
        body=samples.SDP if offer else b"",
        content_type=SDP_TYPE if offer else None,
    )
    ok = response_to(
        invite,
        200,
        to_tag="theirs",
        headers=(("Contact", "<sip:rec@198.51.100.9:5080>"), *extra),
        body=samples.SDP if answer else b"",
        content_type=SDP_TYPE if answer else None,
    )
    return Dialog.from_answer(invite, ok), invite, ok


def pending(dialog: Dialog) -> Offer:
    return dialog.offer_pending


def theirs(method: str, cseq: int = 2, *, to_tag: str | None = "ours", body: bytes = b"", contact: str = "") -> Request:
    extra = (("Content-Type", SDP_TYPE),) if body else ()
    request = samples.request(method, cseq=cseq, to_tag=to_tag, body=body, extra=extra)
    if contact:
        request = Request(method, request.uri, request.headers.replaced("Contact", contact), body)
    return request


def test_the_side_that_answers() -> None:
    dialog = answered()

    assert dialog.key == ("call-1", "theirs") == dialog_key(theirs("BYE", to_tag=None))
    bye = dialog.request("BYE", headers=[("Reason", "Q.850;cause=16")])
    assert (bye.method, bye.uri, bye.cseq) == ("BYE", "sip:src@192.0.2.10:5060", (1, "BYE"))
    assert (bye.call_id, bye.from_tag, bye.to_tag) == ("call-1", "ours", "theirs")
    assert (bye.from_addr.uri, bye.to_addr.uri) == ("sip:recorder@198.51.100.1", "sip:src@192.0.2.10")
    assert bye.headers.get("Max-Forwards") == "70"
    assert bye.headers.get("Reason") == "Q.850;cause=16"
    assert "Contact" not in bye.headers
    assert "Via" not in bye.headers
    assert dialog.request("OPTIONS").cseq == (2, "OPTIONS")


def test_the_side_that_calls() -> None:
    dialog, invite, ok = calling()

    assert dialog.key == (invite.call_id, "theirs")
    assert pending(dialog) is Offer.NONE
    ack = dialog.ack(ok)
    assert (ack.method, ack.uri, ack.cseq) == ("ACK", "sip:rec@198.51.100.9:5080", (1, "ACK"))
    assert (ack.from_tag, ack.to_tag) == (invite.from_tag, "theirs")
    again = dialog.request("INVITE", body=samples.SDP, content_type=SDP_TYPE)
    assert again.cseq == (2, "INVITE")
    assert again.headers.get("Contact") == "<sip:src@192.0.2.10:5070>;+sip.src"
    assert (again.content_type, again.body) == (SDP_TYPE, samples.SDP)
    assert dialog.ack(ok) == ack  # each repetition of the 2xx wants the same


def test_our_answer_bears_tag_and_contact() -> None:
    invite = samples.request("INVITE", body=samples.SDP, extra=(("Content-Type", SDP_TYPE),))
    dialog = Dialog.from_invite(invite, local_tag="ours", contact=OURS)
    assert pending(dialog) is Offer.THEIRS

    trying = dialog.respond(invite, 100)
    assert (trying.to_tag, trying.contact) == (None, None)
    ok = dialog.respond(invite, 200, headers=[("Allow", "BYE")], body=samples.SDP, content_type=SDP_TYPE)

    assert (ok.to_tag, ok.headers.get("Contact"), ok.headers.get("Allow")) == ("ours", OURS, "BYE")
    assert pending(dialog) is Offer.NONE
    assert "Contact" not in dialog.respond(theirs("BYE"), 200).headers
    assert "Contact" not in dialog.respond(theirs("INVITE"), 488).headers


def test_routes_go_the_way_they_came() -> None:
    routes = (("Record-Route", "<sip:p1;lr>, <sip:p2;lr>"), ("Record-Route", "<sip:p3;lr>"))

    bye = answered(extra=routes).request("BYE")
    assert bye.headers.all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]
    assert bye.uri == "sip:src@192.0.2.10:5060"
    dialog, _, _ = calling(extra=routes)
    assert dialog.request("BYE").headers.all("Route") == ["<sip:p3;lr>", "<sip:p2;lr>", "<sip:p1;lr>"]


def test_a_strict_router_gets_its_own_address_as_request_uri() -> None:
    bye = answered(extra=(("Record-Route", "<sip:strict>, <sip:p2;lr>"),)).request("BYE")

    assert bye.uri == "sip:strict"
    assert bye.headers.all("Route") == ["<sip:p2;lr>", "<sip:src@192.0.2.10:5060>"]


@pytest.mark.parametrize("header", [("Record-Route", "nonsense"), ("Contact", "nonsense")])
def test_unreadable_ways_back_are_refused_at_the_start(header: tuple[str, str]) -> None:
    invite = samples.request("INVITE")
    invite = Request("INVITE", invite.uri, invite.headers.without("Contact").replaced(*header))

    with pytest.raises(RemoteProtocolError):
        Dialog.from_invite(invite, local_tag="ours", contact=OURS)


def test_without_contact_their_from_or_our_target_serves() -> None:
    invite = samples.request("INVITE")
    invite = Request("INVITE", invite.uri, invite.headers.without("Contact"))
    assert Dialog.from_invite(invite, local_tag="o", contact=OURS).remote_target == "sip:src@192.0.2.10"

    _, invite, ok = calling()
    bare = Response(200, "OK", ok.headers.without("Contact"))
    assert Dialog.from_answer(invite, bare).remote_target == "sip:rec@198.51.100.9"


def test_only_a_2xx_makes_a_dialog() -> None:
    _, invite, _ = calling()

    with pytest.raises(LocalProtocolError):
        Dialog.from_answer(invite, response_to(invite, 486))


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_contact_moves_the_target(method: str) -> None:
    dialog = answered()
    dialog.receive(theirs(method, body=samples.SDP, contact="<sip:src@192.0.2.99:5060"))
    assert dialog.request("BYE").uri == "sip:src@192.0.2.99:5060"

    dialog, _, _ = calling()
    request = dialog.request(method, body=samples.SDP, content_type=SDP_TYPE)
    answer = response_to(request.with_via(samples.request("BYE").via), 200, headers=[("Contact", "<sip:moved@h>")])
    dialog.receive_response(request, answer)
    assert dialog.request("BYE").uri == "sip:moved@h"


def test_other_methods_and_failures_leave_the_target() -> None:
    dialog = answered()
    dialog.receive(theirs("INFO", contact="<sip:elsewhere@h>"))
    assert dialog.remote_target == "sip:src@192.0.2.10:5060"

    dialog, _, _ = calling()
    update = dialog.request("UPDATE")
    failure = response_to(update.with_via(samples.request("BYE").via), 500, headers=[("Contact", "<sip:moved@h>")])
    dialog.receive_response(update, failure)
    assert dialog.remote_target == "sip:rec@198.51.100.9:5080"


def status_of(dialog: Dialog, request: Request) -> int | None:
    try:
        dialog.receive(request)
    except RemoteProtocolError as error:
        return error.status
    return None


def test_numbers_must_not_fall() -> None:
    dialog = answered()

    assert status_of(dialog, theirs("INFO", 5)) is None
    assert status_of(dialog, theirs("INFO", 5)) is None
    assert status_of(dialog, theirs("INFO", 4)) == 500
    assert status_of(dialog, theirs("INFO", 900)) is None


def test_a_bye_and_an_ack_are_taken_as_they_are() -> None:
    dialog = answered()
    assert status_of(dialog, theirs("INFO", 50)) is None

    assert status_of(dialog, theirs("ACK", 9)) is None
    assert status_of(dialog, theirs("ACK", 99, to_tag=None)) is None
    assert status_of(dialog, theirs("BYE", 3, to_tag=None)) is None
    assert dialog.remote_cseq == 50


@pytest.mark.parametrize(("method", "tag"), [("INFO", None), ("INFO", "other"), ("BYE", "other"), ("ACK", "other")])
def test_another_tag_is_another_dialog(method: str, tag: str | None) -> None:
    assert status_of(answered(), theirs(method, to_tag=tag)) == 481


def test_glare_is_refused_until_our_offer_is_answered() -> None:
    dialog = answered()
    ours = dialog.request("INVITE", body=samples.SDP, content_type=SDP_TYPE)
    crossing = theirs("INVITE", body=samples.SDP)

    assert status_of(dialog, crossing) == 491
    dialog.respond(crossing, 491)
    assert pending(dialog) is Offer.OURS
    assert status_of(dialog, theirs("UPDATE", 3, body=samples.SDP)) == 491
    assert status_of(dialog, theirs("UPDATE", 3)) is None  # without an offer there is nothing to cross
    with pytest.raises(LocalProtocolError):
        dialog.request("UPDATE", body=samples.SDP, content_type=SDP_TYPE)

    sent = ours.with_via(crossing.via)
    dialog.receive_response(ours, response_to(sent, 183, body=samples.SDP, content_type=SDP_TYPE))
    assert pending(dialog) is Offer.OURS
    dialog.receive_response(ours, response_to(sent, 200, body=samples.SDP, content_type=SDP_TYPE))
    assert pending(dialog) is Offer.NONE
    assert status_of(dialog, theirs("INVITE", 4, body=samples.SDP)) is None


def test_a_refused_offer_of_ours_is_over() -> None:
    dialog = answered()
    ours = dialog.request("UPDATE", body=samples.SDP, content_type=SDP_TYPE)

    dialog.receive_response(ours, response_to(ours.with_via(samples.request("BYE").via), 491))

    assert pending(dialog) is Offer.NONE


def test_a_second_offer_of_theirs_waits_for_the_first() -> None:
    dialog = answered()
    first, second = theirs("INVITE", 2, body=samples.SDP), theirs("INVITE", 3, body=samples.SDP)
    assert status_of(dialog, first) is None

    assert status_of(dialog, second) == 500
    dialog.respond(second, 500)
    assert pending(dialog) is Offer.THEIRS
    with pytest.raises(LocalProtocolError):
        dialog.request("INVITE", body=samples.SDP, content_type=SDP_TYPE)
    number = dialog.local_cseq
    dialog.respond(first, 180)
    assert pending(dialog) is Offer.THEIRS
    dialog.respond(first, 488)
    assert pending(dialog) is Offer.NONE
    assert dialog.request("INVITE").cseq.number == number + 1


def test_an_offer_in_our_2xx_is_answered_by_the_ack() -> None:
    dialog = answered(offer=False)
    assert pending(dialog) is Offer.OURS_IN_2XX

    assert status_of(dialog, theirs("INVITE", 2, body=samples.SDP)) == 491
    dialog.receive(theirs("ACK", 77))
    assert pending(dialog) is Offer.NONE


def test_an_offer_in_their_2xx_is_answered_by_our_ack() -> None:
    dialog, _, ok = calling(offer=False)
    assert pending(dialog) is Offer.THEIRS_IN_2XX
    assert dialog.ack(ok, body=samples.SDP, content_type=SDP_TYPE).body == samples.SDP
    assert pending(dialog) is Offer.NONE

    ours = dialog.request("INVITE")
    dialog.receive_response(ours, response_to(ours.with_via(ok.via), 200, body=samples.SDP, content_type=SDP_TYPE))
    assert pending(dialog) is Offer.THEIRS_IN_2XX
    assert status_of(dialog, theirs("INVITE", 9, to_tag=dialog.local.tag, body=samples.SDP)) == 500


def test_a_request_that_our_own_state_forbids_takes_no_number() -> None:
    dialog = answered()
    dialog.request("INVITE")

    for method in ("INVITE", "ACK"):
        with pytest.raises(LocalProtocolError):
            dialog.request(method)
    assert dialog.request("BYE").cseq.number == 2


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/sdp", samples.SDP, True),
        ("Application/SDP;x=y", samples.SDP, True),
        ("application/sdp", b"", False),
        ("multipart/mixed;boundary=b1", samples.multipart(closed=False), True),
        ("multipart/mixed;boundary=b1", b"--b1\r\nContent-Type: application/rs-metadata\r\n\r\n<x/>", False),
        ("application/rs-metadata+xml", samples.METADATA, False),
        (None, b"", False),
    ],
)
def test_what_counts_as_an_offer(content_type: str | None, body: bytes, expected: bool) -> None:
    extra = (("Content-Type", content_type),) if content_type else ()

    assert offers_sdp(samples.request("UPDATE", extra=extra, body=body)) is expected


def test_an_initial_request_stands_alone() -> None:
    request = initial_request(
        "OPTIONS",
        "sip:rec@h",
        local=NameAddr("Me", "sip:me@h", (("tag", "mine"),)),
        remote=NameAddr("", "sip:rec@h"),
        contact="<sip:me@h>",
        call_id="given",
        cseq=7,
        headers=[("Accept", "application/sdp")],
    )

    assert (request.call_id, request.from_tag, request.to_tag) == ("given", "mine", None)
    assert request.cseq == (7, "OPTIONS")
    assert request.headers.get("Accept") == "application/sdp"
    assert request.content_type is None


def test_the_wait_after_glare() -> None:
    caller, _, _ = calling()
    callee = answered()

    assert [caller.glare_delay_s(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([2.1, 3.05, 4.0])
    assert [callee.glare_delay_s(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 1.0, 2.0])


def test_names_of_our_making_are_unique() -> None:
    for make in (new_tag, new_branch, new_call_id):
        assert len({make() for _ in range(1000)}) == 1000
    assert new_branch().startswith("z9hG4bK")
