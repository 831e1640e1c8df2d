"""The switchboard: from SIP messages to calls and back.

Every message that a SIP port receives comes to `receive`, which never waits: it asks the transactions what is new,
turns it into a letter for the call's actor, and answers when the letter is answered. So what arrives first is handled
first, and a call that is stuck delays nobody else.

Not here: what a session agrees (`session.py`), what a call does with it (`call.py`), sockets (`sip_ports.py`).
"""

import os
import time
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
from actors.requests import OwnRequests, is_reliable
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
from engine.sip.dialog import Dialog, dialog_key, new_tag
from engine.sip.dialog import Offer as Pending
from engine.sip.message import Request, Response, response_to
from engine.sip.parser import MalformedRequest, is_keep_alive, parse
from engine.sip.transactions import (
    AckMissing,
    Delivery,
    ServerTransactions,
    Transaction,
    Verdict,
)
from engine.siprec import Offer, read_offer
from engine.uuid7 import uuid7

log = structlog.get_logger()

# Without transactions to wake for, the timer looks again this often.
IDLE_S: Final = 0.5
WATCH_EVERY_S: Final = 1.0


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
        self._server = ServerTransactions(is_reliable)
        self._ours = OwnRequests(udp, sip_port, self._conclude)
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
                self._ours.receive(message)
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
            self._ours.on_time(now)
            for happened in self._server.on_time(now):
                if isinstance(happened, AckMissing):
                    self._ack_missing(happened.transaction.request)
                else:
                    happened.to.send(happened.data)
            deadlines = [at for at in (self._server.next_deadline(), self._ours.next_deadline()) if at is not None]
            self._wake = trio.Event()
            with trio.move_on_at(min(deadlines, default=now + IDLE_S)):
                await self._wake.wait()

    def end_all(self, end: End, by: str) -> None:
        """End every call from our side: seal it, and send its dialogs a BYE."""
        for session in list(self._sessions.values()):
            if not session.over:
                session.over = True
                self._request(session, "BYE")
        for call in list(self.calls.values()):
            call.mailbox.post((EndCall(end, by),), _ignore, urgent=True)

    async def wait_until_idle(self) -> None:
        """Until no call runs, and every BYE of ours is answered or given up."""
        while self.calls or self._goodbyes:
            await self._idle.wait()
            self._idle = trio.Event()

    def forget(self, call: Call) -> None:
        """A call was sealed. Its dialogs are still answered until the phone system ends them."""
        self.calls.pop(call.id, None)
        self._idle.set()

    async def run_watch(self, lost_after_s: float) -> None:
        """End the sessions whose phone system is gone, until cancelled.

        Gone is who does not refresh a session that he agreed to refresh, or of whom neither audio nor a request came
        for `lost_after_s` and who then does not answer when asked. Silence alone ends no call.
        """
        while True:
            await trio.sleep(WATCH_EVERY_S)
            now = trio.current_time()
            for session in list(self._sessions.values()):
                if session.over:
                    continue
                if session.expires_s is not None and now >= session.expires_s:
                    self._lose(session, "The phone system did not refresh its session.")
                elif now - session.heard_s >= lost_after_s and not session.probing:
                    silent_s = time.time() - max((c.last_arrival_s for c in session.call.counts().values()), default=0)
                    if silent_s < lost_after_s:
                        session.heard_s = now - max(0.0, silent_s)
                    else:
                        session.probing = True
                        self._request(session, "OPTIONS")

    def _lose(self, session: Session, why: str) -> None:
        log.warning("call lost", call=str(session.call.id), reason=why)
        session.over = True
        self._request(session, "BYE")
        session.call.mailbox.post((EndCall("lost", why),), _ignore, urgent=True)

    def _ack_missing(self, invite: Request) -> None:
        """RFC 3261 section 13.3.1.4 wants a BYE. A call whose audio arrives is recorded all the same."""
        session = self._sessions.get(dialog_key(invite))
        log.warning("no ACK", call_id=invite.call_id)
        if session is None or session.over or any(count.packets for count in session.call.counts().values()):
            return
        self._lose(session, "The phone system never acknowledged the call.")

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
                answers_offer = session.dialog.offer_pending is Pending.OURS_IN_2XX
                session.dialog.receive(request)
                if answers_offer and request.body:
                    self._take_answer(session, request)
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
            session.flow = transaction.flow
            session.heard_s = trio.current_time()
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
        session_timer(request)
        offer = read_offer(request)
        if offer.sdp is None:
            raise RemoteProtocolError("An INVITE without an offer cannot be recorded.", status=488)
        address = self._address_for(flow.peer[0])
        here = f"{bracketed(address)}:{self._sip_port}"
        contact = f"<sip:{SERVER.lower()}@{here};transport={flow.transport.lower()}>;+sip.srs"
        dialog = Dialog.from_invite(request, local_tag=new_tag(), contact=contact)
        call_id = uuid7(instant().realtime_ns, os.urandom(10))
        begin = Begin(str(call_id), self._node.name, origin_of(request, flow))
        try:
            call = Call(call_id, self._node, self.forget)
        except OSError as error:
            log.error("call refused", peer=flow.peer[0], reason=str(error))
            self._refuse(transaction, 503, "The recorder's disk cannot be written.")
            return
        try:
            session = Session(call, dialog, transaction.flow, 0, address, heard_s=trio.current_time())
            session.open_lines(offer.sdp, self._node.ports, 0)
            commands: tuple[Command, ...] = (begin, *session.read(request, offer))
        except NoPorts as error:
            call.discard()
            log.error("call refused", peer=flow.peer[0], reason=str(error))
            self._refuse(transaction, 503, str(error))
            return
        except BaseException:
            call.discard()
            raise
        self._respond(transaction, response_to(request, 100))
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
        session_timer(request)
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
        if isinstance(answer, Unanswered) or (session.cancelled and request.to_tag is None):
            if request.to_tag is None:
                self._drop(session)
            status, reason = (500, str(answer)) if isinstance(answer, Unanswered) else (487, "The call was cancelled.")
            self._refuse_in_dialog(session, request, transaction, status, reason)
            return
        session.settle(answer)
        self._answer_quietly(session, request, offer, transaction)

    def _answer_quietly(self, session: Session, request: Request, offer: Offer, transaction: Transaction) -> None:
        timer = session_timer(request)
        session.expires_s = trio.current_time() + timer.interval_s if timer is not None else None
        headers = [*capabilities(), *(timer.headers if timer is not None else ())]
        if offer.sdp is not None:
            body = session.answer_to(offer.sdp)
        elif request.method == "INVITE" and session.answer:
            body = session.offer_all()
        else:
            self._respond(transaction, session.dialog.respond(request, 200, headers=headers))
            return
        response = session.dialog.respond(request, 200, headers=headers, body=body, content_type=SDP_TYPE)
        self._respond(transaction, response)

    def _take_answer(self, session: Session, ack: Request) -> None:
        """The answer to an offer of ours, in an ACK: what it says of each stream counts as an offer would."""
        offer = read_offer(ack)
        if offer.sdp is None or session.call.id not in self.calls:
            return
        session.open_lines(offer.sdp, self._node.ports, session.call.next_stream)

        def settle(answer: Done | Unanswered) -> None:
            if isinstance(answer, Done):
                session.settle(answer)

        session.call.mailbox.post(session.read(ack, offer), settle)

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
        # A later offer is with the call already, and is answered as if the CANCEL had come too late (section 9.2).
        if invite.is_open and session is not None and invite.request.to_tag is None:
            session.cancelled = True

    def _drop(self, session: Session) -> None:
        """A session whose INVITE got no 2xx."""
        session.over = True
        self._sessions.pop(session.dialog.key, None)
        session.call.mailbox.post((EndCall("normal", "cancelled"),), _ignore, urgent=True)

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

        session.call.mailbox.post(commands, answered, urgent=request.method == "BYE")

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

    def _request(self, session: Session, method: str) -> None:
        if method == "BYE":
            self._goodbyes.add(session.dialog.call_id)
        self._ours.send(session, method)
        self._wake.set()

    def _conclude(self, request: Request, status: int) -> None:
        """A request of ours was answered; 408 where it never will be."""
        key = (request.call_id, request.to_tag or "")
        session = self._sessions.get(key)
        if request.method == "BYE":
            self._sessions.pop(key, None)
            self._goodbyes.discard(request.call_id)
            self._idle.set()
        elif session is not None and not session.over:
            session.probing = False
            session.heard_s = trio.current_time()
            if status in (408, 481):
                self._lose(session, "The phone system fell silent and no longer answers.")

    def _answer_malformed(self, request: Request, flow: Flow, status: int) -> None:
        if request.method != "ACK":
            allowed = self._admission.allows(flow.peer[0])
            flow.send(response_to(request, status if allowed else 403).serialize())

    def _count_malformed(self, flow: Flow, error: RemoteProtocolError) -> None:
        self.malformed += 1
        log.warning("malformed message", peer=flow.peer[0], transport=flow.transport, reason=str(error))


def _ignore(answer: Done | Unanswered) -> None:
    """For letters whose answer nobody waits for."""
