"""Reading and writing the values inside headers. No network, no time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RemoteProtocolError
from engine.sip.address import NameAddr, SipUri, Via, param_of, parse_name_addr, parse_params, split_outside


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ("<sip:a@b>;tag=1", "", "sip:a@b", "1"),
        ('"A, B" <sip:a@b>;tag=1', "A, B", "sip:a@b", "1"),
        ('"say \\"hi\\" \\\\" <sip:a@b>', 'say "hi" \\', "sip:a@b", None),
        ("Bob Smith  <sip:a@b;transport=tcp>;x=y;tag=2", "Bob Smith", "sip:a@b;transport=tcp", "2"),
        ("sip:a@b;tag=3", "", "sip:a@b", "3"),
        ("tel:+15551234;tag=4", "", "tel:+15551234", "4"),
        ('"no end <sip:a@b>;tag=5', "no end", "sip:a@b", "5"),
        ('"<x>" <sip:a@b>;tag=6', "<x>", "sip:a@b", "6"),
        ("<sip:a@b> ; TAG = 7", "", "sip:a@b", "7"),
        ("<sip:a@b>junk;tag=8", "", "sip:a@b", "8"),
        ('"" <sip:a@b>;tag="9"', "", "sip:a@b", "9"),
        ("Jörg <sip:a@b>", "Jörg", "sip:a@b", None),
        (' "A" <sip:a@b>;tag=10 ', "A", "sip:a@b", "10"),
    ],
)
def test_name_addr_forms(text: str, display: str, uri: str, tag: str | None) -> None:
    found = parse_name_addr(text)

    assert (found.display, found.uri, found.tag) == (display, uri, tag)


@pytest.mark.parametrize(
    "text",
    [
        "<sip:a@b>;+sip.src",
        '<sip:a@b>;+sip.src="TRUE"',
        "<sip:a@b;+sip.src>",
        "<sip:a@b;transport=udp;+SIP.SRC",
        "sip:a@b;+sip.src",
    ],
)
def test_feature_tag_is_found_inside_and_outside_the_brackets(text: str) -> None:
    assert parse_name_addr(text).has_feature("+sip.src")
    assert not parse_name_addr(text).has_feature("+sip.srs")
    assert not parse_name_addr(text).has_feature("sip.src")


def test_contact_without_closing_bracket_keeps_the_whole_uri() -> None:
    contact = parse_name_addr("<sip:a@192.0.2.1:5070;transport=tcp")

    assert contact.uri == "sip:a@192.0.2.1:5070;transport=tcp"
    assert contact.param("transport") == "tcp"


@pytest.mark.parametrize("text", ["", "<>", "Bob", '"Bob"', "<noscheme>", "<sip:>", "<:a@b>", ";tag=1", "<1:x>"])
def test_name_addr_without_uri_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_name_addr(text)


def test_name_addr_writes_quotes_only_where_they_are_needed() -> None:
    assert NameAddr("Bob Smith", "sip:a@b").serialize() == "Bob Smith <sip:a@b>"
    assert NameAddr('B "x" \\', "sip:a@b", (("tag", "1"),)).serialize() == '"B \\"x\\" \\\\" <sip:a@b>;tag=1'
    assert NameAddr("", "sip:a@b", (("+sip.srs", None),)).serialize() == "<sip:a@b>;+sip.srs"
    assert parse_name_addr("*").serialize() == "*"


def test_with_param_replaces_the_one_there_was() -> None:
    assert NameAddr("", "sip:a@b", (("Tag", "1"), ("x", "2"))).with_param("tag", "3").params == (
        ("x", "2"),
        ("tag", "3"),
    )


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:bob@example.com", "bob", "example.com", None),
        ("SIP:example.com:5061", None, "example.com", 5061),
        ("sips:a:secret@[2001:db8::1]:5062;transport=tcp?x=y", "a:secret", "2001:db8::1", 5062),
        ("sip:+1555;phone-context=x@192.0.2.1", "+1555;phone-context=x", "192.0.2.1", None),
        ("sip:a@b@example.com", "a@b", "example.com", None),
        ("tel:+1-555;ext=9", "+1-555", "", None),
    ],
)
def test_uri_forms(text: str, user: str | None, host: str, port: int | None) -> None:
    uri = SipUri.parse(text)

    assert (uri.user, uri.host, uri.port) == (user, host, port)
    assert uri.serialize().lower() == text.lower()


def test_uri_user_for_people() -> None:
    assert SipUri.parse("sip:%2B1555:secret@b").user_text == "+1555"
    assert SipUri.parse("sip:null-%00-%0a@b").user_text == "null--"
    assert SipUri.parse("sip:b").user_text == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "http://example.com",
        "sip:",
        "sip:a@",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@[::1",
        "sip:a@[::1]x",
        "sip:a b@c d",
        "tel:",
        "sip:a@b:٣",
    ],
)
def test_uri_without_sense_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        SipUri.parse(text)


@pytest.mark.parametrize(
    ("text", "transport", "host", "port", "branch"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1", "UDP", "192.0.2.1", 5062, "z9hG4bK1"),
        ("SIP / 2.0 / tcp  a.example : 4000 ; ttl=16 ; branch = z9hG4bK2 ", "TCP", "a.example", 4000, "z9hG4bK2"),
        ("SIP/2.0/TLS [2001:db8::9]:5061;branch=z9hG4bK3", "TLS", "2001:db8::9", 5061, "z9hG4bK3"),
        ("SIP/2.0/UDP 2001:db8::9;branch=z9hG4bK4", "UDP", "2001:db8::9", None, "z9hG4bK4"),
        ("SIP/2.0/UDP ::1", "UDP", "::1", None, None),
        ("SIP/2.0/UDP host", "UDP", "host", None, None),
    ],
)
def test_via_forms(text: str, transport: str, host: str, port: int | None, branch: str | None) -> None:
    via = Via.parse(text)

    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)
    assert Via.parse(via.serialize()) == via


@pytest.mark.parametrize("text", ["", "SIP/2.0/UDP", "SIP/2.0 host", "SIP/2.0/UDP ;branch=1", "SIP/2.0/UDP h:999999"])
def test_via_without_sense_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


def test_via_of_the_named_sender_stays_as_it_is() -> None:
    via = Via.parse("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1")

    assert via.seen_from("192.0.2.1", 40000) == via
    assert via.reply_address == ("192.0.2.1", 5062)


def test_via_of_another_sender_gets_received() -> None:
    via = Via.parse("SIP/2.0/UDP pbx.example;Received=203.0.113.9;branch=z9hG4bK1").seen_from("192.0.2.1", 40000)

    assert via.serialize() == "SIP/2.0/UDP pbx.example;branch=z9hG4bK1;received=192.0.2.1"
    assert via.reply_address == ("192.0.2.1", 5060)


def test_via_that_asks_for_rport_gets_it() -> None:
    via = Via.parse("SIP/2.0/UDP 192.0.2.1:5062;RPort;branch=z9hG4bK1").seen_from("192.0.2.1", 40000)

    assert via.serialize() == "SIP/2.0/UDP 192.0.2.1:5062;RPort=40000;branch=z9hG4bK1;received=192.0.2.1"
    assert via.reply_address == ("192.0.2.1", 40000)


def test_via_values_that_are_no_numbers_do_not_count() -> None:
    assert Via.parse("SIP/2.0/UDP h;rport=x").rport is None


def test_splitting_respects_quotes_and_brackets() -> None:
    text = '"a,b" <sip:x,y@h>;p="1,\\"2", <sip:z@h> ,, c'

    assert split_outside(text, ",") == ['"a,b" <sip:x,y@h>;p="1,\\"2"', "<sip:z@h>", "c"]


def test_params_keep_their_quotes_and_lose_them_when_asked_for() -> None:
    params = parse_params(';a=1; B = "x;y" ;flag')

    assert params == (("a", "1"), ("B", '"x;y"'), ("flag", None))
    assert (param_of(params, "b"), param_of(params, "flag"), param_of(params, "c")) == ("x;y", "", None)


AWKWARD = st.text(st.sampled_from('sip:tel@<>"\\;,=[]/ .0127*ax\t'), max_size=40) | st.text(max_size=40)


@given(AWKWARD)
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = parse_name_addr(text)
    except RemoteProtocolError:
        return
    assert found.uri
    again = parse_name_addr(found.serialize()) if ">" not in found.uri else found
    assert (again.uri, again.tag) == (found.uri, found.tag)


@given(AWKWARD)
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    try:
        uri = SipUri.parse(text)
    except RemoteProtocolError:
        return
    assert uri.host or uri.scheme == "tel"
    assert SipUri.parse(uri.serialize()).host == uri.host


@given(AWKWARD, st.booleans())
def test_any_text_is_a_via_or_refused(text: str, prefixed: bool) -> None:
    try:
        via = Via.parse("SIP/2.0/UDP " + text if prefixed else text)
    except RemoteProtocolError:
        return
    assert Via.parse(via.serialize()).host == via.host


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30).map(str.strip))
def test_any_display_name_comes_back(display: str) -> None:
    assert parse_name_addr(NameAddr(display, "sip:a@b").serialize()).display == display


@pytest.mark.parametrize("text", ["<sip:a@b c>", "sip:a b@c", "<sip:a@b\tc;x=y>;tag=1"])
def test_a_uri_with_white_space_is_none(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="white space"):
        parse_name_addr(text)
