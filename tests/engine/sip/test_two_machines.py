"""Two machines joined on a fake wire that loses, repeats and delays what it carries.

Each end has both kinds of transactions and a dialog, as a phone system and a recorder do. The clock is a number that
jumps to whatever happens next; nothing here waits. A fate says what becomes of the n-th packet on the wire: behind the
last one every packet arrives, so that each call comes to its end.
"""

import heapq
from collections.abc import Callable, Sequence
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.dialog import Dialog, dialog_key, initial_request, new_branch
from engine.sip.framer import Framer, Ping
from engine.sip.message import NameAddr, Request, Response, Via, response_to
from engine.sip.parser import parse
from engine.sip.rules import GIVE_UP_S
from engine.sip.transactions import (
    AckMissing,
    ClientTransactions,
    Final,
    Send,
    ServerTransactions,
    TimedOut,
    Transaction,
    Verdict,
)
from tests.engine.sip import samples

TRANSIT_S = 0.02
LATE_S = 0.9  # longer than T1: a packet so late is overtaken by its repetition
END_OF_TIME_S = 300.0  # nothing in these calls may still be going on then


class Fate(Enum):
    ARRIVES = "arrives"
    LOST = "lost"
    TWICE = "twice"
    LATE = "late"


class Wire:
    def __init__(self, fates: Sequence[Fate], *, reliable: bool = False) -> None:
        self.now = 0.0
        self.reliable = reliable
        self.fates = list(fates)
        self.ends: dict[str, End] = {}
        self._queue: list[tuple[float, int, str, bytes]] = []
        self._count = 0

    def carry(self, send: Send) -> None:
        fate = Fate.ARRIVES if self.reliable or not self.fates else self.fates.pop(0)
        delays = {Fate.ARRIVES: [TRANSIT_S], Fate.LOST: [], Fate.TWICE: [TRANSIT_S, 2 * TRANSIT_S], Fate.LATE: [LATE_S]}
        for delay in delays[fate]:
            self._count += 1
            heapq.heappush(self._queue, (self.now + delay, self._count, send.to, send.data))

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Lets everything happen in order, until nothing is left or `until` holds."""
        while not until():
            deadlines = [(at, end) for end in self.ends.values() if (at := end.next_deadline()) is not None]
            soonest = min((at for at, _ in deadlines), default=None)
            if self._queue and (soonest is None or self._queue[0][0] <= soonest):
                self.now, _, to, data = heapq.heappop(self._queue)
                self.ends[to].arrive(data)
            elif soonest is not None:
                self.now = soonest
                for at, end in deadlines:
                    if at == soonest:
                        end.on_time()
            else:
                return
            assert self.now < END_OF_TIME_S, "the machines never come to rest"


class End:
    """A user of the machines: answers INVITE with SDP and all else with 200, and writes down what it is told."""

    def __init__(self, wire: Wire, name: str, peer: str, *, answers: int = 200) -> None:
        self.wire, self.name, self.peer, self.answers = wire, name, peer, answers
        self.server = ServerTransactions(lambda flow: wire.reliable)
        self.client = ClientTransactions(lambda flow: wire.reliable)
        self.framer = Framer()
        self.dialog: Dialog | None = None
        self.told: list[str] = []
        self.pings = 0
        wire.ends[name] = self

    def next_deadline(self) -> float | None:
        return min(
            (at for at in (self.server.next_deadline(), self.client.next_deadline()) if at is not None), default=None
        )

    def on_time(self) -> None:
        for happened in (*self.server.on_time(self.wire.now), *self.client.on_time(self.wire.now)):
            if isinstance(happened, Send):
                self.wire.carry(happened)
            elif isinstance(happened, AckMissing):
                self.told.append("ack missing")
            elif isinstance(happened, TimedOut):
                self.told.append(f"{happened.request.method} timed out")

    def arrive(self, data: bytes) -> None:
        items = self.framer.feed(data) if self.wire.reliable else [data]
        for item in items:
            if isinstance(item, Ping):
                self.pings += 1
                continue
            message = parse(item)
            if isinstance(message, Request):
                self._take_request(message)
            else:
                self._take_response(message)

    def call(self) -> Request:
        invite = initial_request(
            "INVITE",
            f"sip:{self.peer}",
            local=NameAddr("", f"sip:{self.name}"),
            remote=NameAddr("", f"sip:{self.peer}"),
            contact=f"<sip:{self.name}>",
            body=samples.multipart(),
            content_type="multipart/mixed;boundary=b1",
        )
        return self.send(invite)

    def send(self, request: Request) -> Request:
        """Puts a request on the wire, an ACK without a transaction."""
        via = Via("TCP" if self.wire.reliable else "UDP", self.name, 5060, (("branch", new_branch()),))
        request = request.with_via(via)
        if request.method == "ACK":
            sends = [Send(request.serialize(), self.peer)]
        else:
            sends = self.client.request(request, self.peer, self.wire.now)
        for send in sends:
            self.wire.carry(send)
        return request

    def cancel(self, invite: Request) -> None:
        for send in self.client.cancel(invite, self.wire.now):
            self.wire.carry(send)

    def respond(self, transaction: Transaction, response: Response) -> None:
        for send in self.server.respond(transaction, response, self.wire.now):
            self.wire.carry(send)

    def _take_request(self, request: Request) -> None:
        delivery = self.server.receive(request, self.peer, self.wire.now)
        for send in delivery.sends:
            self.wire.carry(send)
        if delivery.verdict is Verdict.ACKNOWLEDGED:
            self.told.append("ACK")
        if delivery.verdict is not Verdict.NEW:
            return
        transaction = delivery.transaction
        assert transaction is not None
        self.told.append(request.method)
        if request.method == "INVITE" and request.to_tag is None:
            self._take_call(request, transaction)
        elif request.method == "CANCEL":
            self.respond(transaction, response_to(request, 200 if delivery.cancelled else 481))
            if delivery.cancelled and delivery.cancelled.is_open:
                self.respond(delivery.cancelled, response_to(delivery.cancelled.request, 487))
        elif self.dialog is None or self.dialog.key != dialog_key(request):
            self.respond(transaction, response_to(request, 481))
        else:
            self.dialog.receive(request)
            body, content_type = (samples.SDP, "application/sdp") if request.method == "INVITE" else (b"", None)
            self.respond(transaction, self.dialog.respond(request, 200, body=body, content_type=content_type))

    def _take_call(self, invite: Request, transaction: Transaction) -> None:
        assert invite.body == samples.multipart()
        self.respond(transaction, response_to(invite, 100))
        if self.answers < 200:
            return
        if self.answers >= 300:
            self.respond(transaction, response_to(invite, self.answers))
            return
        self.dialog = Dialog.from_invite(invite, local_tag="answerer", contact=f"<sip:{self.name}>")
        answer = self.dialog.respond(invite, 200, body=samples.SDP, content_type="application/sdp")
        self.respond(transaction, answer)

    def _take_response(self, response: Response) -> None:
        reception = self.client.receive(response, self.wire.now)
        for send in reception.sends:
            self.wire.carry(send)
        event = reception.event
        if not isinstance(event, Final):
            return
        if not event.is_repeat:
            self.told.append(f"{response.status} {event.request.method}")
        if event.request.method == "INVITE" and response.is_success:
            if self.dialog is None:
                self.dialog = Dialog.from_answer(event.request, response)
            elif not event.is_repeat:
                self.dialog.receive_response(event.request, response)
            self.send(self.dialog.ack(response))


def joined(fates: Sequence[Fate] = (), *, reliable: bool = False, answers: int = 200) -> tuple[Wire, End, End]:
    wire = Wire(fates, reliable=reliable)
    return wire, End(wire, "src", "srs"), End(wire, "srs", "src", answers=answers)


def at_rest(*ends: End) -> bool:
    return all(len(end.server) == len(end.client) == 0 and end.next_deadline() is None for end in ends)


MOST_LOST = 5  # the sixth repetition of an INVITE still comes through and is answered before it times out


def with_few_lost(fates: list[Fate]) -> list[Fate]:
    lost = [position for position, fate in enumerate(fates) if fate is Fate.LOST]
    return [Fate.ARRIVES if position in lost[MOST_LOST:] else fate for position, fate in enumerate(fates)]


FATES = st.lists(st.sampled_from(Fate), max_size=20).map(with_few_lost)


@pytest.mark.parametrize("reliable", [False, True])
def test_a_whole_call_tells_each_side_everything_once(reliable: bool) -> None:
    wire, src, srs = joined(reliable=reliable)
    src.call()
    wire.run(until=lambda: "ACK" in srs.told)
    assert src.dialog is not None
    assert srs.dialog is not None
    src.send(src.dialog.request("INVITE", body=samples.SDP, content_type="application/sdp"))
    wire.run(until=lambda: srs.told.count("ACK") == 2)
    src.send(src.dialog.request("UPDATE", body=samples.SDP, content_type="application/sdp"))
    src.send(src.dialog.request("INFO", body=b"Signal=1\r\n", content_type="application/dtmf-relay"))
    wire.run(until=lambda: "200 INFO" in src.told)
    srs.send(srs.dialog.request("BYE"))
    wire.run()

    assert srs.told == ["INVITE", "ACK", "INVITE", "ACK", "UPDATE", "INFO", "200 BYE"]
    assert src.told == ["200 INVITE", "200 INVITE", "200 UPDATE", "200 INFO", "BYE"]
    assert at_rest(src, srs)


@given(FATES)
def test_a_call_survives_what_the_wire_does(fates: list[Fate]) -> None:
    wire, src, srs = joined(fates)
    src.call()
    wire.run(until=lambda: "ACK" in srs.told)

    assert srs.told == ["INVITE", "ACK"]
    assert src.told == ["200 INVITE"]
    assert src.dialog is not None
    assert srs.dialog is not None
    assert (src.dialog.local.tag, src.dialog.remote.tag) == (srs.dialog.remote.tag, srs.dialog.local.tag)

    src.send(src.dialog.request("BYE"))
    wire.run()
    assert srs.told == ["INVITE", "ACK", "BYE"]
    assert src.told == ["200 INVITE", "200 BYE"]
    assert at_rest(src, srs)


@given(FATES)
def test_a_refusal_survives_what_the_wire_does(fates: list[Fate]) -> None:
    wire, src, srs = joined(fates, answers=503)
    src.call()
    wire.run()

    assert srs.told == ["INVITE"]
    assert src.told == ["503 INVITE"]
    assert at_rest(src, srs)


@given(FATES)
def test_a_cancel_survives_what_the_wire_does(fates: list[Fate]) -> None:
    wire, src, srs = joined(fates, answers=100)
    invite = src.call()
    src.cancel(invite)
    wire.run()

    assert sorted(srs.told) == ["CANCEL", "INVITE"]
    assert sorted(src.told) == ["200 CANCEL", "487 INVITE"]
    assert at_rest(src, srs)


def test_a_cancel_that_comes_after_the_answer_changes_nothing() -> None:
    wire, src, srs = joined([Fate.ARRIVES, Fate.ARRIVES, Fate.LATE])
    invite = src.call()
    wire.run(until=lambda: len(srs.told) == 1 and not src.told and src.client.next_deadline() is None)
    src.cancel(invite)
    wire.run()

    assert srs.told == ["INVITE", "CANCEL", "ACK"]
    assert sorted(src.told) == ["200 CANCEL", "200 INVITE"]


def test_a_dead_peer_times_out_and_leaves_nothing() -> None:
    wire, src, srs = joined([Fate.LOST] * 20)
    src.call()
    wire.run()

    assert (src.told, srs.told) == (["INVITE timed out"], [])
    assert wire.now == GIVE_UP_S
    assert at_rest(src, srs)


def test_a_caller_that_never_acknowledges_is_reported() -> None:
    wire, src, srs = joined([Fate.ARRIVES, Fate.ARRIVES, Fate.ARRIVES, *[Fate.LOST] * 40])
    src.call()
    wire.run()

    assert srs.told == ["INVITE", "ack missing"]
    assert src.told == ["200 INVITE"]
    assert at_rest(src, srs)


def test_pings_between_messages_are_told_apart() -> None:
    wire, src, srs = joined(reliable=True)
    for part in (b"\r\n", b"\r\n"):
        wire.carry(Send(part, "srs"))
    src.call()
    wire.carry(Send(b"\r\n\r\n", "srs"))
    wire.run()

    assert srs.pings == 2
    assert srs.told == ["INVITE", "ACK"]
