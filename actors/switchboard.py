"""The switchboard: from SIP messages to calls and back.

Every message that a SIP port receives comes to `receive`, which never waits: it asks the transactions what is new,
turns it into a letter for the call's actor, and answers when the letter is answered. So what arrives first is handled
first, and a call that is stuck delays nobody else.

Not here: what a session agrees (`session.py`), what a call does with it (`call.py`), sockets (`sip_ports.py`).
"""

import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
import trio

from actors.admission import Admission
from actors.call import Call, Done, Node
from actors.clock import instant
from actors.mailbox import Unanswered
from actors.media import NoPorts
from actors.responses import (
    METHODS,
    SERVER,
    SUPPORTED,
    allow,
    bracketed,
    capabilities,
    excuse,
    origin_of,
    session_timer,
)
from actors.session import SDP_TYPE, Session
from actors.sip_ports import Flow, UdpPort
from engine.call import Begin, Command, EndCall
from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.events import End
from engine.sip.address import Via
from engine.sip.dialog import Dialog, dialog_key, new_branch, new_tag
from engine.sip.message import Request, Response, response_to
from engine.sip.parser import MalformedRequest, is_keep_alive, parse
from engine.sip.transactions import (
    AckMissing,
    ClientTransactions,
    Delivery,
    Send,
    ServerTransactions,
    TimedOut,
    Transaction,
    Verdict,
)
from engine.sip.transactions import (
    Final as FinalResponse,
)
from engine.siprec import Offer, read_offer
from engine.uuid7 import uuid7

log = structlog.get_logger()

# Without transactions to wake for, the timer looks again this often.
IDLE_S: Final = 0.5


class Switchboard:
    """Sessions by dialog, and the transactions they live on. `spawn` starts a call's task."""

    def __init__(
        self,
        node: Node,
        admission: Admission,
        address_for: Callable[[str], str],
        sip_port: int,
        udp: UdpPort,
        spawn: Callable[[Call], None],
    ) -> None:
        self._node = node
        self._admission = admission
        self._address_for = address_for
        self._sip_port = sip_port
        self._udp = udp
        self._spawn = spawn
        self._server = ServerTransactions(_is_reliable)
        self._client = ClientTransactions(_is_reliable)
        self._sessions: dict[tuple[str, str], Session] = {}
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._goodbyes: set[str] = set()
        self.calls: dict[UUID, Call] = {}
        self.malformed = 0

    def receive(self, data: bytes, flow: Flow) -> None:
        """Take one message. Never raises: what is wrong is the peer's, or logged as ours."""
        if is_keep_alive(data):
            return
        try:
            message = parse(data)
        except MalformedRequest as error:
            self._count_malformed(flow, error)
            self._answer_malformed(error.request, flow, error.status)
            return
        except RemoteProtocolError as error:
            self._count_malformed(flow, error)
            return
        try:
            if isinstance(message, Response):
                self._receive_response(message)
            else:
                self._receive_request(message.seen_from(*flow.peer), flow)
        except RemoteProtocolError as error:
            self._count_malformed(flow, error)
        except Exception:
            log.exception("message not handled", peer=flow.peer[0])

    def refuse(self, head: bytes, flow: Flow, fault: RemoteProtocolError) -> None:
        """Answer the head of a message whose body cannot be found. Never raises."""
        self._count_malformed(flow, fault)
        try:
            message: Request | Response = parse(head)
        except MalformedRequest as error:
            message = error.request
        except RemoteProtocolError:
            return
        if isinstance(message, Request):
            self._answer_malformed(message, flow, fault.status)

    async def run_timers(self) -> None:
        """Send again what is due, until cancelled."""
        while True:
            now = trio.current_time()
            for happened in (*self._server.on_time(now), *self._client.on_time(now)):
                if isinstance(happened, Send):
                    happened.to.send(happened.data)
                elif isinstance(happened, AckMissing):
                    self._ack_missing(happened.transaction.request)
                elif isinstance(happened, TimedOut):
                    log.warning("no answer", method=happened.request.method, call_id=happened.request.call_id)
                    self._part(happened.request)
            deadlines = [at for at in (self._server.next_deadline(), self._client.next_deadline()) if at is not None]
            self._wake = trio.Event()
            with trio.move_on_at(min(deadlines, default=now + IDLE_S)):
                await self._wake.wait()

    def end_all(self, end: End, by: str) -> None:
        """End every call from our side: seal it, and send its dialogs a BYE."""
        for session in list(self._sessions.values()):
            if not session.over:
                session.over = True
                self._send_bye(session)
        for call in list(self.calls.values()):
            call.mailbox.post((EndCall(end, by),), _ignore)

    async def wait_until_idle(self) -> None:
        """Until no call runs, and every BYE of ours is answered or given up."""
        while self.calls or self._goodbyes:
            await self._idle.wait()
            self._idle = trio.Event()

    def forget(self, call: Call) -> None:
        """A call was sealed. Its dialogs are still answered until the phone system ends them."""
        self.calls.pop(call.id, None)
        self._idle.set()

    def _ack_missing(self, invite: Request) -> None:
        """RFC 3261 section 13.3.1.4 wants a BYE. A call whose audio arrives is recorded all the same."""
        session = self._sessions.get(dialog_key(invite))
        log.warning("no ACK", call_id=invite.call_id)
        if session is None or session.over or any(count.packets for count in session.call.counts().values()):
            return
        session.over = True
        self._send_bye(session)
        session.call.mailbox.post((EndCall("lost", "The phone system never acknowledged the call."),), _ignore)

    # Requests.

    def _receive_request(self, request: Request, flow: Flow) -> None:
        if not self._admission.allows(flow.peer[0]):
            if request.method != "ACK":
                flow.send(response_to(request, 403).serialize())
            return
        answer_flow = flow if flow.reliable else self._udp.flow_to(request.via.reply_address)
        delivery = self._server.receive(request, answer_flow, trio.current_time())
        for send in delivery.sends:
            send.to.send(send.data)
        if delivery.verdict is Verdict.ACKNOWLEDGED:
            session = self._sessions.get(dialog_key(request))
            if session is not None:
                session.dialog.receive(request)
        elif delivery.verdict is Verdict.NEW and delivery.transaction is not None:
            try:
                self._take(request, delivery, delivery.transaction, flow)
            except RemoteProtocolError as error:
                log.warning("request refused", method=request.method, peer=flow.peer[0], reason=str(error))
                self._refuse(delivery.transaction, error.status, str(error))
            except Exception:
                self._refuse(delivery.transaction, 500, "The recorder failed on this request.")
                raise
        self._wake.set()

    def _take(self, request: Request, delivery: Delivery, transaction: Transaction, flow: Flow) -> None:
        unknown = [option for option in request.headers.all("Require", split=True) if option.lower() not in SUPPORTED]
        if unknown and request.method not in ("ACK", "CANCEL"):
            log.warning("request refused", method=request.method, peer=flow.peer[0], requires=unknown)
            self._respond(transaction, response_to(request, 420, headers=[("Unsupported", ", ".join(unknown))]))
            return
        session = self._sessions.get(dialog_key(request))
        if request.method == "CANCEL":
            self._cancel(request, delivery, transaction)
        elif session is not None and (request.to_tag is not None or request.method == "BYE"):
            session.dialog.receive(request)
            session.flow = flow
            try:
                self._take_in_dialog(session, request, transaction)
            except RemoteProtocolError as error:
                log.warning("request refused", method=request.method, peer=flow.peer[0], reason=str(error))
                self._refuse_in_dialog(session, request, transaction, error.status, str(error))
        elif request.method == "OPTIONS":
            self._respond(transaction, response_to(request, 200, headers=capabilities()))
        elif request.method == "INVITE" and request.to_tag is None:
            if session is not None:
                raise RemoteProtocolError("This session exists already.", status=482)
            self._invite(request, transaction, flow)
        elif request.method in METHODS:
            raise RemoteProtocolError("There is no such session.", status=481)
        else:
            self._respond(transaction, response_to(request, 405, headers=[allow()]))

    def _take_in_dialog(self, session: Session, request: Request, transaction: Transaction) -> None:
        match request.method:
            case "INVITE" | "UPDATE":
                self._renegotiate(session, request, transaction)
            case "BYE":
                self._bye(session, request, transaction)
            case "OPTIONS":
                self._respond(transaction, session.dialog.respond(request, 200, headers=capabilities()))
            case "INFO":
                self._respond(transaction, session.dialog.respond(request, 200))
            case _:
                self._respond(transaction, session.dialog.respond(request, 405, headers=[allow()]))

    def _invite(self, request: Request, transaction: Transaction, flow: Flow) -> None:
        reason = self._admission.reason_to_refuse(len(self.calls))
        if reason is not None:
            log.warning("call refused", peer=flow.peer[0], reason=reason)
            self._refuse(transaction, 503, reason)
            return
        offer = read_offer(request)
        if offer.sdp is None:
            raise RemoteProtocolError("An INVITE without an offer cannot be recorded.", status=488)
        self._respond(transaction, response_to(request, 100))
        address = self._address_for(flow.peer[0])
        now = instant()
        call_id = uuid7(now.realtime_ns, os.urandom(10))
        try:
            call = Call(call_id, self._node, self.forget)
        except OSError as error:
            log.error("call refused", peer=flow.peer[0], reason=str(error))
            self._refuse(transaction, 503, "The recorder's disk cannot be written.")
            return
        contact = (
            f"<sip:{SERVER.lower()}@{bracketed(address)}:{self._sip_port};transport={flow.transport.lower()}>;+sip.srs"
        )
        dialog = Dialog.from_invite(request, local_tag=new_tag(), contact=contact)
        session = Session(call, dialog, flow, 0, address)
        origin = origin_of(request, flow)
        try:
            session.open_lines(offer.sdp, self._node.ports, 0)
            commands: tuple[Command, ...] = (
                Begin(str(call_id), self._node.name, origin),
                *session.read(request, offer),
            )
        except (NoPorts, RemoteProtocolError) as error:
            call.discard()
            if isinstance(error, RemoteProtocolError):
                raise
            log.error("call refused", peer=flow.peer[0], reason=str(error))
            self._refuse(transaction, 503, str(error))
            return
        self.calls[call_id] = call
        self._sessions[dialog.key] = session
        log.info("call", call=str(call_id), peer=flow.peer[0], siprec=offer.is_siprec, streams=len(session.lines))
        self._ask(
            session,
            request,
            transaction,
            commands,
            lambda answer: self._answer_offer(session, request, offer, transaction, answer),
        )
        self._spawn(call)

    def _renegotiate(self, session: Session, request: Request, transaction: Transaction) -> None:
        offer = read_offer(request)
        if session.call.id not in self.calls:
            # The recording ended before its dialog did: agree to whatever keeps the phone system's call in peace.
            self._answer_quietly(session, request, offer, transaction)
            return
        if offer.sdp is not None:
            try:
                session.open_lines(offer.sdp, self._node.ports, session.call.next_stream)
            except NoPorts as error:
                self._refuse_in_dialog(session, request, transaction, 503, str(error))
                return
        commands = session.read(request, offer)
        self._ask(
            session,
            request,
            transaction,
            commands,
            lambda answer: self._answer_offer(session, request, offer, transaction, answer),
        )

    def _answer_offer(
        self, session: Session, request: Request, offer: Offer, transaction: Transaction, answer: Done | Unanswered
    ) -> None:
        if isinstance(answer, Unanswered) or session.cancelled:
            if request.to_tag is None:
                self._drop(session)
            status, reason = (487, "The call was cancelled.") if session.cancelled else (500, str(answer))
            self._refuse_in_dialog(session, request, transaction, status, reason)
            return
        session.settle(answer)
        self._answer_quietly(session, request, offer, transaction)

    def _answer_quietly(self, session: Session, request: Request, offer: Offer, transaction: Transaction) -> None:
        headers = [*capabilities(), *session_timer(request)]
        if offer.sdp is not None:
            body = session.answer_to(offer.sdp)
        elif request.method == "INVITE" and session.answer:
            body = session.answer
        else:
            self._respond(transaction, session.dialog.respond(request, 200, headers=headers))
            return
        response = session.dialog.respond(request, 200, headers=headers, body=body, content_type=SDP_TYPE)
        self._respond(transaction, response)

    def _bye(self, session: Session, request: Request, transaction: Transaction) -> None:
        session.over = True
        self._sessions.pop(session.dialog.key, None)
        self._ask(
            session,
            request,
            transaction,
            (EndCall("normal", "phone-system"),),
            lambda answer: self._respond(transaction, session.dialog.respond(request, 200)),
        )

    def _cancel(self, request: Request, delivery: Delivery, transaction: Transaction) -> None:
        invite = delivery.cancelled
        if invite is None:
            raise RemoteProtocolError("There is nothing to cancel.", status=481)
        self._respond(transaction, response_to(request, 200))
        session = self._sessions.get(dialog_key(request))
        if invite.is_open and session is not None:
            session.cancelled = True

    def _drop(self, session: Session) -> None:
        """A session whose INVITE got no 2xx."""
        session.over = True
        self._sessions.pop(session.dialog.key, None)
        session.call.mailbox.post((EndCall("normal", "cancelled"),), _ignore)

    def _ask(
        self,
        session: Session,
        request: Request,
        transaction: Transaction,
        commands: tuple[Command, ...],
        then: Callable[[Done | Unanswered], None],
    ) -> None:
        def answered(answer: Done | Unanswered) -> None:
            try:
                then(answer)
            except Exception:
                log.exception("answer not made", call=str(session.call.id))
                self._refuse_in_dialog(session, request, transaction, 500, "The recorder failed on this request.")
            self._wake.set()

        session.call.mailbox.post(commands, answered)

    def _refuse(self, transaction: Transaction, status: int, reason: str) -> None:
        self._respond(transaction, response_to(transaction.request, status, headers=excuse(status, reason)))

    def _refuse_in_dialog(
        self, session: Session, request: Request, transaction: Transaction, status: int, reason: str
    ) -> None:
        """As `_refuse`, and the dialog knows that the offer in the request, if any, has had its answer."""
        self._respond(transaction, session.dialog.respond(request, status, headers=excuse(status, reason)))

    def _respond(self, transaction: Transaction, response: Response) -> None:
        try:
            sends = self._server.respond(transaction, response, trio.current_time())
        except LocalProtocolError as error:
            log.warning("answer not sent", status=response.status, reason=str(error))
            return
        for send in sends:
            send.to.send(send.data)

    # Our own requests.

    def _send_bye(self, session: Session) -> None:
        request = session.dialog.request("BYE")
        self._goodbyes.add(request.call_id)
        here = f"{bracketed(session.address)}:{self._sip_port}"
        via = Via.parse(f"SIP/2.0/{session.flow.transport} {here};branch={new_branch()};rport")
        for send in self._client.request(request.with_via(via), session.flow, trio.current_time()):
            send.to.send(send.data)
        self._wake.set()

    def _receive_response(self, response: Response) -> None:
        reception = self._client.receive(response, trio.current_time())
        for send in reception.sends:
            send.to.send(send.data)
        event = reception.event
        if isinstance(event, FinalResponse):
            self._part(event.request)

    def _part(self, request: Request) -> None:
        """A request of ours is answered, or never will be. BYE is the only one."""
        self._sessions.pop((request.call_id, request.to_tag or ""), None)
        self._goodbyes.discard(request.call_id)
        self._idle.set()

    def _answer_malformed(self, request: Request, flow: Flow, status: int) -> None:
        if request.method != "ACK":
            allowed = self._admission.allows(flow.peer[0])
            flow.send(response_to(request, status if allowed else 403).serialize())

    def _count_malformed(self, flow: Flow, error: RemoteProtocolError) -> None:
        self.malformed += 1
        log.warning("malformed message", peer=flow.peer[0], transport=flow.transport, reason=str(error))


def _ignore(answer: Done | Unanswered) -> None:
    """For letters whose answer nobody waits for."""


def _is_reliable(flow: Flow) -> bool:
    return flow.reliable
