"""The requests that we send ourselves: BYE when a call ends on our side, OPTIONS when a phone system has gone silent.

Not here: when they are sent, and what follows from the answer (`switchboard.py`).
"""

import ipaddress
from collections.abc import Callable
from typing import Final

import structlog
import trio

from actors.responses import bracketed
from actors.session import Session
from actors.sip_ports import Flow, UdpPort
from engine.errors import RemoteProtocolError
from engine.sip.address import SipUri, Via, parse_name_addr
from engine.sip.dialog import new_branch
from engine.sip.message import Request, Response
from engine.sip.transactions import ClientTransactions, Send
from engine.sip.transactions import Final as FinalResponse

log = structlog.get_logger()

DEFAULT_PORT: Final = 5060
NO_ANSWER: Final = 408


def is_reliable(flow: Flow) -> bool:
    """For transactions: whether this flow's transport delivers by itself."""
    return flow.reliable


class OwnRequests:
    """Client transactions inside our sessions. `conclude` is told each request's final status (408: never answered)."""

    def __init__(self, udp: UdpPort, sip_port: int, conclude: Callable[[Request, int], None]) -> None:
        self._udp = udp
        self._sip_port = sip_port
        self._conclude = conclude
        self._transactions = ClientTransactions(is_reliable)

    def send(self, session: Session, method: str) -> None:
        """Send a request without a body inside the session's dialog."""
        request = session.dialog.request(method)
        here = f"{bracketed(session.address)}:{self._sip_port}"
        via = Via.parse(f"SIP/2.0/{session.flow.transport} {here};branch={new_branch()};rport")
        flow = self._way_to(session, request)
        for send in self._transactions.request(request.with_via(via), flow, trio.current_time()):
            send.to.send(send.data)

    def receive(self, response: Response) -> None:
        """Take a response; one that answers nothing of ours means nothing."""
        reception = self._transactions.receive(response, trio.current_time())
        for send in reception.sends:
            send.to.send(send.data)
        if isinstance(reception.event, FinalResponse):
            self._conclude(reception.event.request, reception.event.response.status)

    def next_deadline(self) -> float | None:
        """When `on_time` has something to do next."""
        return self._transactions.next_deadline()

    def on_time(self, now: float) -> None:
        """Send again what is due; give up what nobody answered."""
        for happened in self._transactions.on_time(now):
            if isinstance(happened, Send):
                happened.to.send(happened.data)
            else:
                log.warning("no answer", method=happened.request.method, call_id=happened.request.call_id)
                self._conclude(happened.request, NO_ANSWER)

    def _way_to(self, session: Session, request: Request) -> Flow:
        """The connection, or over UDP the port that the phone system names; its last request's address behind NAT."""
        route = request.headers.get("Route")
        if session.flow.reliable:
            return session.flow
        try:
            target = SipUri.parse(parse_name_addr(route).uri if route is not None else request.uri)
            host = str(ipaddress.ip_address(target.host))
        except (RemoteProtocolError, ValueError):
            return session.flow
        if route is None and host != session.flow.peer[0]:
            return session.flow
        return self._udp.flow_to((host, target.port or DEFAULT_PORT))
