"""A switchboard with a phone system on a connection without a network, for tests of both."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
import trio.testing

from actors.admission import Admission
from actors.call import Call, Node
from actors.sip_ports import UdpPort
from actors.switchboard import Switchboard
from engine import sdp
from engine.metadata import Metadata, NameId, Participant, ParticipantStream, Session, Stream
from engine.sip.message import Headers, Request, Response
from engine.sip.parser import parse
from engine.siprec import write_body
from tests.actors.workshop import close_node, journal_of, make_node, read_journal

PEER = ("127.0.0.1", 5070)


@dataclass
class FakeFlow:
    """A connection that keeps what is sent."""

    peer: tuple[str, int] = PEER
    transport: str = "TCP"
    reliable: bool = True
    sent: list[Response | Request] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.sent.append(parse(data))

    def finals(self) -> list[Response]:
        return [each for each in self.sent if isinstance(each, Response) and each.status >= 200]


METADATA = Metadata(
    sessions=(Session("s1", "g1"),),
    participants=(Participant("p1", (NameId("sip:100@x", "Ann"),)), Participant("p2", (NameId("sip:200@x", "Bob"),))),
    streams=(Stream("st1", "s1", "1"), Stream("st2", "s1", "2")),
    participant_streams=(ParticipantStream("p1", ("st1",), ("st2",)), ParticipantStream("p2", ("st2",), ("st1",))),
)


class Phone:
    """A phone system's side of one dialog, by hand."""

    def __init__(self, flow: FakeFlow, call_id: str = "call@phone") -> None:
        self.flow = flow
        self.call_id = call_id
        self.cseq = 0
        self.to_tag = ""

    def request(
        self,
        method: str,
        body: tuple[str, bytes] | None = None,
        extra: tuple[tuple[str, str], ...] = (),
        cseq: int | None = None,
    ) -> bytes:
        if cseq is None and method != "ACK":
            self.cseq += 1
        number = self.cseq if cseq is None else cseq
        pairs = [
            ("Via", f"SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bK{self.call_id}{number}{method}"),
            ("From", "<sip:100@phone>;tag=theirs"),
            ("To", f"<sip:recorder@here>{';tag=' + self.to_tag if self.to_tag else ''}"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sip:127.0.0.1:5070;transport=tcp>;+sip.src"),
            ("Max-Forwards", "70"),
            *extra,
        ]
        if body is not None:
            pairs.append(("Content-Type", body[0]))
        return Request(method, "sip:recorder@here", Headers(tuple(pairs)), body[1] if body else b"").serialize()


def offer(version: int = 1, suspended: sdp.Suspension | None = None, lines: int = 2) -> sdp.SessionDescription:
    streams = [(str(line + 1), 40_000 + 2 * line) for line in range(lines)]
    return sdp.offer(streams, session_id=1, version=version, address="127.0.0.1", suspended=suspended)


class Exchange:
    """A switchboard, its node, and a phone system."""

    def __init__(self, node: Node, nursery: trio.Nursery, **rules: int) -> None:
        self.node = node
        self.admission = Admission(
            (ipaddress.ip_network("127.0.0.0/8"),), rules.get("most_calls", 10), rules.get("least_free", 0), node.spool
        )
        self.udp = UdpPort("127.0.0.1", 0)
        self.started: list[Call] = []
        self.nursery = nursery
        self.board = Switchboard(node, self.admission, lambda peer: "127.0.0.1", 5060, self.udp, self._spawn)
        self.flow = FakeFlow()
        self.phone = Phone(self.flow)

    def _spawn(self, call: Call) -> None:
        self.started.append(call)
        self.nursery.start_soon(call.run_supervised)

    async def ask(self, data: bytes) -> Response:
        before = len(self.flow.finals())
        self.board.receive(data, self.flow)
        await trio.testing.wait_all_tasks_blocked()
        finals = self.flow.finals()[before:]
        assert len(finals) == 1, finals
        return finals[0]

    async def invite(self, body: tuple[str, bytes] | None = None) -> Response:
        answer = await self.ask(self.phone.request("INVITE", body or write_body(offer(), METADATA, "b")))
        self.phone.to_tag = answer.to_tag or ""
        self.acknowledge()
        return answer

    def acknowledge(self) -> None:
        self.board.receive(self.phone.request("ACK"), self.flow)

    def journal(self) -> tuple[list[object], list[str]]:
        events, _, order = read_journal(journal_of(self.node, self.started[0].id))
        return list(events), order


@asynccontextmanager
async def exchanging(folder: Path, *, ports: int = 40, **rules: int) -> AsyncIterator[Exchange]:
    node = make_node(folder, ports)
    async with trio.open_nursery() as nursery:
        made = Exchange(node, nursery, **rules)
        yield made
        nursery.cancel_scope.cancel()
    made.udp.close()
    close_node(node)
