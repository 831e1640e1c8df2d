"""A TCP stream cut into messages, however it was portioned."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.framer import Framer, FramingError, Ping
from engine.sip.parser import MAX_MESSAGE_BYTES, parse
from tests.engine.sip import samples

INVITE = samples.invite(samples.multipart(), content_type="multipart/mixed; boundary=b1")
BYE = samples.request("BYE", to_tag="t").serialize()
BARE = b"OPTIONS sip:h SIP/2.0\nCall-ID: 1\nl :\n 3\n\na\n\n"


@given(st.lists(st.integers(0, 5000), max_size=12))
def test_any_portions_give_the_same_messages(cuts: list[int]) -> None:
    stream = INVITE + b"\r\n\r\n" + BYE + b"\r\n" + BARE + b"\r\n\r\n" + b"\r\n\r\n" + INVITE
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    framer = Framer()

    items = [item for start, end in pairwise(edges) for item in framer.feed(stream[start:end])]

    assert items == [INVITE, Ping(), BYE, BARE, Ping(), Ping(), INVITE]


def test_byte_by_byte() -> None:
    framer = Framer()

    items = [item for byte in INVITE + b"\r\n\r\n" + BYE for item in framer.feed(bytes([byte]))]

    assert items == [INVITE, Ping(), BYE]
    assert parse(INVITE).body == samples.multipart()


def test_a_ping_is_told_as_soon_as_it_is_whole() -> None:
    framer = Framer()

    assert [framer.feed(part) for part in (b"\r\n", b"\r", b"\n")] == [[], [], [Ping()]]


def test_a_message_without_length_has_no_body() -> None:
    message = b"BYE sip:h SIP/2.0\r\nCall-ID: 1\r\n\r\n"

    assert Framer().feed(message + BYE) == [message, BYE]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"INVITE sip:h SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n", 400),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length: x\r\n\r\n", 400),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length:\r\n\r\n", 400),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n", 400),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length: 65536\r\n\r\n", 513),
        (b"INVITE sip:h SIP/2.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\n\n", 400),
        (b"x" * (MAX_MESSAGE_BYTES + 1), 513),
    ],
)
def test_a_stream_that_cannot_be_followed_breaks_behind_what_was_whole(data: bytes, status: int) -> None:
    framer = Framer()

    with pytest.raises(FramingError) as caught:
        framer.feed(BYE + data)

    assert caught.value.items == [BYE]
    assert caught.value.status == status
    with pytest.raises(LocalProtocolError):
        framer.feed(b"")


def test_the_longest_message_passes() -> None:
    head = b"INFO sip:h SIP/2.0\r\nContent-Length: 65000\r\n\r\n"
    message = head + b"\n" * 65000

    assert Framer().feed(message) == [message]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([BYE, BARE, b"\r\n\r\n", b"l: 3\r\n"]), max_size=8))
def test_any_bytes_are_messages_or_refused(portions: list[bytes]) -> None:
    framer = Framer()
    given_bytes = sum(map(len, portions))
    taken = 0
    try:
        for portion in portions:
            taken += sum(4 if isinstance(item, Ping) else len(item) for item in framer.feed(portion))
    except RemoteProtocolError:
        return
    assert taken <= given_bytes
