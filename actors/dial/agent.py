"""SIP for all calls of a dialer: requests that wait for their final response, and answers to what the recorder asks.

It joins the wire to the transactions and to the clock. What a call is, it does not know.
"""

from collections.abc import Callable
from ipaddress import ip_address
from math import inf

import trio

from actors.dial.errors import DialError, NoAnswer
from actors.dial.wire import Address, Wire
from engine.errors import RemoteProtocolError
from engine.sip.address import DEFAULT_PORT
from engine.sip.dialog import Dialog, new_branch
from engine.sip.message import Request, Response, SipUri, Via, parse_name_addr, response_to
from engine.sip.parser import MalformedRequest, is_keep_alive, parse
from engine.sip.transactions import (
    ClientTransactions,
    Final,
    Send,
    ServerTransactions,
    TimedOut,
    Verdict,
)


class _Waiting:
    """A request that waits for its final response."""

    __slots__ = ("done", "outcome", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.outcome: Response | DialError | None = None
        self.done = trio.Event()

    def end(self, outcome: Response | DialError) -> None:
        self.outcome = outcome
        self.done.set()


class Agent:
    """One for each wire. `answer` makes the final response to a request of the recorder, or None to keep silent."""

    def __init__(self, wire: Wire, answer: Callable[[Request], Response | None]) -> None:
        reliable = wire.transport != "UDP"
        self._wire = wire
        self._answer = answer
        self._clients = ClientTransactions(lambda _: reliable)
        self._servers = ServerTransactions(lambda _: reliable)
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._acks: dict[str, tuple[int, bytes, Address]] = {}
        self._alarm = trio.CancelScope()
        self.malformed = 0

    async def run(self) -> None:
        """Receives, and does what falls due. Runs until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_deadlines)
            await self._wire.run(self._receive, self._unreachable)

    async def request(self, request: Request) -> Response:
        """Sends a request (without Via) and waits for its final response. An INVITE is cancelled with the caller.

        The ACK for a 2xx is the caller's: `acknowledge`. Errors: `NoAnswer`.
        """
        if self._wire.closed:
            raise NoAnswer(self._wire.closed)
        request = request.with_via(self._via())
        key = (request.via_branch or "", request.method)
        waiting = self._waiting[key] = _Waiting(request)
        self._send(self._clients.request(request, self._next_hop(request), trio.current_time()))
        try:
            await waiting.done.wait()
        except trio.Cancelled:
            self._send(self._clients.cancel(request, trio.current_time()))
            raise
        finally:
            del self._waiting[key]
        if isinstance(waiting.outcome, Response):
            return waiting.outcome
        raise waiting.outcome or NoAnswer("Nobody answered.")

    def post(self, request: Request) -> None:
        """Sends a request (without Via) whose outcome nobody waits for; it is repeated until it has one."""
        request = request.with_via(self._via())
        self._send(self._clients.request(request, self._next_hop(request), trio.current_time()))

    def acknowledge(self, ack: Request) -> None:
        """Sends the ACK for a 2xx, now and whenever that 2xx comes again. A newer one of the call takes its place."""
        data, to = ack.with_via(self._via()).serialize(), self._next_hop(ack)
        self._acks[ack.call_id] = (ack.cseq.number, data, to)
        self._wire.send(data, to)

    def forget(self, call_id: str) -> None:
        """The call is over: a 2xx of it that comes again is not acknowledged any more."""
        self._acks.pop(call_id, None)

    def _via(self) -> Via:
        return Via(self._wire.transport, *self._wire.local, (("branch", new_branch()), ("rport", None)))

    def _next_hop(self, request: Request) -> Address:
        """The first Route, or the Request-URI; where that is no address, whoever the calls are sent to."""
        routes = request.headers.all("Route", split=True)
        try:
            uri = SipUri.parse(parse_name_addr(routes[0]).uri if routes else request.uri)
            return str(ip_address(uri.host)), uri.port or DEFAULT_PORT
        except (ValueError, RemoteProtocolError):
            return self._wire.peer

    def _send(self, sends: list[Send] | tuple[Send, ...]) -> None:
        for each in sends:
            self._wire.send(each.data, each.to)
        self._alarm.deadline = self._next_deadline()

    def _next_deadline(self) -> float:
        deadlines = (self._clients.next_deadline(), self._servers.next_deadline())
        return min((each for each in deadlines if each is not None), default=inf)

    async def _watch_deadlines(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._next_deadline()) as self._alarm:
                await trio.sleep_forever()
            now = trio.current_time()
            for each in (*self._clients.on_time(now), *self._servers.on_time(now)):
                if isinstance(each, Send):
                    self._wire.send(each.data, each.to)
                elif isinstance(each, TimedOut):
                    self._end(each.request, NoAnswer(f"Nobody answered the {each.request.method} in time."))

    def _end(self, request: Request, outcome: Response | DialError) -> bool:
        waiting = self._waiting.get((request.via_branch or "", request.method))
        if waiting is None or waiting.outcome is not None:
            return False
        waiting.end(outcome)
        return True

    def _unreachable(self, sentence: str) -> None:
        """Over a broken connection nothing will be answered. Over UDP a call under way may outlive a restart."""
        for waiting in self._waiting.values():
            if waiting.outcome is None and (self._wire.closed or waiting.request.to_tag is None):
                waiting.end(NoAnswer(sentence))

    def _receive(self, data: bytes, source: Address) -> None:
        if is_keep_alive(data):
            return
        try:
            message = parse(data)
            if isinstance(message, Response):
                self._receive_response(message)
            else:
                self._receive_request(message.seen_from(*source), source)
        except MalformedRequest as error:
            self.malformed += 1
            self._wire.send(response_to(error.request, error.status).serialize(), source)
        except RemoteProtocolError:
            self.malformed += 1

    def _receive_response(self, response: Response) -> None:
        reception = self._clients.receive(response, trio.current_time())
        self._send(reception.sends)
        event = reception.event
        if not isinstance(event, Final) or self._end(event.request, response):
            return
        if event.request.method != "INVITE" or not response.is_success:
            return
        number, ack, to = self._acks.get(response.call_id, (0, b"", self._wire.peer))
        if number == response.cseq.number:
            self._wire.send(ack, to)
        elif not event.is_repeat:
            self._hang_up(event.request, response)

    def _hang_up(self, invite: Request, response: Response) -> None:
        """Ends a call that was answered when nobody waited for it any more (RFC 3261 section 15)."""
        dialog = Dialog.from_answer(invite, response)
        self.acknowledge(dialog.ack(response))
        self.forget(dialog.call_id)
        self.post(dialog.request("BYE"))

    def _receive_request(self, request: Request, source: Address) -> None:
        now = trio.current_time()
        delivery = self._servers.receive(request, source, now)
        self._send(delivery.sends)
        if delivery.verdict is not Verdict.NEW or delivery.transaction is None:
            return
        response = self._answer(request)
        if response is not None:
            self._send(self._servers.respond(delivery.transaction, response, now))
