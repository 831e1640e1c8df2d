"""Whatever the recorder answers, a call is a session or a `DialError`, and the dialer lives on.

The wire is made of memory and the clock jumps: no sockets, no waiting.
"""

from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors.dial import DialError
from actors.dial.dialer import Dialer
from engine import sdp
from engine.errors import RemoteProtocolError
from engine.sip.message import Request, SipUri, response_to
from engine.sip.parser import parse
from tests.actors.dial.recorder import description_of

PEER = ("192.0.2.1", 5060)


class MemoryWire:
    """A recorder that answers each INVITE by a function, and any other request with 200."""

    transport = "TCP"
    local = ("192.0.2.2", 5060)
    peer = PEER
    closed = ""

    def __init__(self, answer: Callable[[Request], bytes]) -> None:
        self._answer = answer
        self._put, self._take = trio.open_memory_channel[bytes](100)
        self.sent: list[Request] = []

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        try:
            message = parse(data)
        except RemoteProtocolError:
            return  # the target that the answer named makes no first line
        if not isinstance(message, Request):
            return  # a 400, to what looked like a request
        self.sent.append(message)
        if message.method == "INVITE":
            self._put.send_nowait(self._answer(message))
        elif message.method != "ACK":
            self._put.send_nowait(response_to(message, 200, to_tag="srs").serialize())

    async def run(self, receive: Callable[[bytes, tuple[str, int]], None], unreachable: Callable[[str], None]) -> None:
        async for data in self._take:
            receive(data, PEER)


def good_answer(invite: Request) -> bytes:
    answer = sdp.answer(description_of(invite), session_id=1, version=1, address=PEER[0], ports={0: 4000, 1: 4002})
    headers = (("Contact", "<sip:192.0.2.1>;+sip.srs"),)
    body = answer.serialize()
    response = response_to(invite, 200, to_tag="srs", headers=headers, body=body, content_type="application/sdp")
    return response.serialize()


async def dial(answer: Callable[[Request], bytes]) -> str:
    """What became of a call, and of its pause and end."""
    wire = MemoryWire(answer)
    dialer = Dialer(wire, SipUri.parse("sip:192.0.2.1"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dialer.run)
        try:
            with trio.fail_after(100):
                session = await dialer.call(media=None, answer_s=1)
                await session.pause()
                await session.bye()
            outcome = ""
        except DialError as error:
            outcome = str(error)
        nursery.cancel_scope.cancel()
    return outcome


def outcome_of(answer: Callable[[Request], bytes]) -> str:
    return trio.run(partial(dial, answer), clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_good_answer_is_a_call() -> None:
    assert outcome_of(good_answer) == ""


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer(data: bytes) -> None:
    assert "did not answer the call within 1 s" in outcome_of(lambda invite: data)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("contact", "is_usable"), [(b"<>", False), (b"nonsense", False), (b"<foo:bar>", True), (b"<sip:x:y>", True)]
)
def test_a_contact_that_cannot_be_read(contact: bytes, is_usable: bool, first: bool) -> None:
    """One that is no SIP URI does no harm: the recorder is where it was."""

    def answer(invite: Request) -> bytes:
        good = good_answer(invite)
        return (
            good.replace(b"Contact: <sip:192.0.2.1>", b"Contact: " + contact)
            if first is (invite.to_tag is None)
            else good
        )

    outcome = outcome_of(answer)
    assert outcome == "" if is_usable else "cannot be used. An address has no URI." in outcome


@given(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40), st.booleans())
def test_an_answer_with_some_bytes_changed(at: float, length: int, data: bytes, first: bool) -> None:
    """In the first answer, or in that to a re-INVITE."""

    def answer(invite: Request) -> bytes:
        good = good_answer(invite)
        if first is not (invite.to_tag is None):
            return good
        start = int(at * len(good))
        return good[:start] + data + good[start + length :]

    outcome = outcome_of(answer)
    assert outcome == "" or outcome.endswith((".", ")"))
