"""SIP transactions, server and client: who sends what again, and until when. The rules are in rules.py.

Times are seconds on a monotonic clock, passed in. Nothing here knows sockets, dialogs or calls; a flow is whatever
value the transport uses for "where it came from".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import Any, TypeAlias

from engine.errors import LocalProtocolError
from engine.sip.message import Headers, Request, Response
from engine.sip.rules import GIVE_UP_S, RULES, TIMERS, Action, Input, Kind, State
from engine.sip.timetable import Timetable

MAGIC_COOKIE = "z9hG4bK"  # a branch that starts so is unique (RFC 3261 section 8.1.1.7)

Flow: TypeAlias = Any
Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to put on the wire, to the flow that the transaction belongs to."""

    data: bytes
    to: Flow


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction, owned by its set: read it, hand it back to the set, never change it."""

    kind: Kind
    key: Key
    request: Request
    flow: Flow
    reliable: bool
    state: State
    last: bytes = b""  # what is sent again: the newest response, or the request of a client
    interval_s: float = inf
    resend_at: float = inf
    ends_at: float = inf
    cancel_wanted: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a final response is still missing."""
        return self.state in (State.TRYING, State.PROCEEDING)


class Transactions:
    """What both sides share: the open transactions, their tables and their deadlines."""

    def __init__(self, reliable_of: Callable[[Flow], bool]) -> None:
        """`reliable_of` says of a flow whether its transport delivers by itself (TCP, TLS) or not (UDP)."""
        self._reliable_of = reliable_of
        self._open: dict[Key, Transaction] = {}
        self._timetable: Timetable[Key] = Timetable()

    def __len__(self) -> int:
        return len(self._open)

    def next_deadline(self) -> float | None:
        """When `on_time` has something to do next, or None while nothing runs. Costs O(1)."""
        return self._timetable.next()

    def _begin(self, kind: Kind, key: Key, request: Request, flow: Flow, now: float, last: bytes = b"") -> Transaction:
        state = State.PROCEEDING if kind is Kind.INVITE_SERVER else State.TRYING
        transaction = Transaction(kind, key, request, flow, self._reliable_of(flow), state, last)
        self._open[key] = transaction
        self._enter(transaction, state, now)
        return transaction

    def _step(self, transaction: Transaction, what: Input, now: float) -> Action | None:
        """Applies RULES. None where they do not know this input in this state."""
        rule = RULES.get((transaction.kind, transaction.state), {}).get(what)
        if rule is None:
            return None
        state, action = rule
        if what is Input.RESEND_DUE:
            timers = TIMERS[transaction.kind, transaction.state]
            transaction.interval_s = min(2 * transaction.interval_s, timers.cap_s)
            transaction.resend_at = now + transaction.interval_s
            self._schedule(transaction)
        if state is not None and state is not transaction.state:
            self._enter(transaction, state, now)
        return action

    def _enter(self, transaction: Transaction, state: State, now: float) -> None:
        transaction.state = state
        if state is State.TERMINATED:
            self._vanish(transaction)
            return
        timers = TIMERS[transaction.kind, state]
        lasts_s = timers.lasts_reliable_s if transaction.reliable else timers.lasts_s
        if lasts_s is not None:
            transaction.ends_at = now + lasts_s
        resends = timers.resend_reliable or not transaction.reliable
        transaction.interval_s = timers.resend_s if resends else inf
        transaction.resend_at = now + transaction.interval_s
        if lasts_s == 0:
            self._enter(transaction, State.TERMINATED, now)
        else:
            self._schedule(transaction)

    def _schedule(self, transaction: Transaction) -> None:
        due = min(transaction.resend_at, transaction.ends_at)
        if due == inf:
            self._timetable.drop(transaction.key)
        else:
            self._timetable.set(transaction.key, due)

    def _vanish(self, transaction: Transaction) -> None:
        self._timetable.drop(transaction.key)
        self._open.pop(transaction.key, None)

    def _due(self, now: float) -> list[tuple[Transaction, Action]]:
        """Lets every deadline up to `now` happen, each at most once a call."""
        happened = []
        due = []
        while (key := self._timetable.pop_due(now)) is not None:
            due.append(self._open[key])
        for transaction in due:
            what = Input.END_DUE if transaction.ends_at <= now else Input.RESEND_DUE
            action = self._step(transaction, what, now)
            if action is None:
                raise LocalProtocolError(f"{what} in {transaction.state} of {transaction.kind} is in no table.")
            happened.append((transaction, action))
        return happened


class Verdict(Enum):
    NEW = auto()  # for the user, who owes `transaction` an answer
    REPEATED = auto()  # a retransmission, dealt with
    ACKNOWLEDGED = auto()  # the ACK for a 2xx, for the user: its body may be the answer to our offer
    ABSORBED = auto()  # an ACK that tells nothing new
    STRAY = auto()  # an ACK that belongs to nothing known


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a received request is. `transaction` is its own, or for an ACK that of its INVITE.

    `cancelled` is the INVITE that a CANCEL names, whatever its state, or None where there is none (answer 481).
    """

    verdict: Verdict
    request: Request
    transaction: Transaction | None = None
    cancelled: Transaction | None = None
    sends: tuple[Send, ...] = ()


@dataclass(frozen=True, slots=True)
class AckMissing:
    """64*T1 went by without an ACK for our 2xx: the session is to be ended with a BYE (RFC 3261 section 13.3.1.4)."""

    transaction: Transaction


class ServerTransactions(Transactions):
    """The requests that others sent us."""

    def __init__(self, reliable_of: Callable[[Flow], bool]) -> None:
        super().__init__(reliable_of)
        self._answered: dict[tuple[str, str | None], list[Transaction]] = {}  # INVITEs with a final response

    def receive(self, request: Request, source: Flow, now: float) -> Delivery:
        """Sorts a parsed request in. Of a request that is not NEW or ACKNOWLEDGED only the `sends` matter."""
        if request.method == "ACK":
            return self._receive_ack(request, now)
        key = _server_key(request, request.method)
        transaction = self._open.get(key)
        if transaction is not None:
            transaction.flow = source
            again = self._step(transaction, Input.REPEAT, now) is Action.RESEND and transaction.last
            sends = (Send(transaction.last, source),) if again else ()
            return Delivery(Verdict.REPEATED, request, transaction, sends=sends)
        kind = Kind.INVITE_SERVER if request.method == "INVITE" else Kind.SERVER
        cancelled = self._open.get(_server_key(request, "INVITE")) if request.method == "CANCEL" else None
        return Delivery(Verdict.NEW, request, self._begin(kind, key, request, source, now), cancelled)

    def respond(self, transaction: Transaction, response: Response, now: float) -> list[Send]:
        """Answers. Nothing is sent where it is too late for an answer to anything but an INVITE.

        Errors: LocalProtocolError for a second final response, or a provisional one behind it.
        """
        action = self._step(transaction, _input_of(response), now)
        if action is None:
            raise LocalProtocolError(f"A {response.status} to a {transaction.request.method} that was answered before.")
        if action is Action.NOTHING:
            return []
        transaction.last = response.serialize()
        if transaction.kind is Kind.INVITE_SERVER and not transaction.is_open:
            # It stays for half a minute, and needs its headers alone.
            transaction.request = replace(transaction.request, body=b"")
            self._answered.setdefault(_ack_key(transaction.request), []).append(transaction)
        return [Send(transaction.last, transaction.flow)]

    def ack(self, transaction: Transaction, now: float) -> bool:
        """Takes an answered INVITE as acknowledged; False where that was known. `receive` does so by itself."""
        return self._step(transaction, Input.ACK, now) is Action.DELIVER

    def on_time(self, now: float) -> list[Send | AckMissing]:
        """Does what is due: the responses to send again, the INVITEs whose ACK never came."""
        happened: list[Send | AckMissing] = []
        for transaction, action in self._due(now):
            if action is Action.RESEND:
                happened.append(Send(transaction.last, transaction.flow))
            elif action is Action.REPORT:
                happened.append(AckMissing(transaction))
        return happened

    def _receive_ack(self, request: Request, now: float) -> Delivery:
        """By branch for a failure; by Call-ID and From tag for a 2xx, the CSeq only deciding between several INVITEs.

        (Phone systems send ACKs with a wrong CSeq, and with the INVITE's branch for a 2xx.)
        """
        invite = self._open.get(_server_key(request, "INVITE"))
        if invite is None or invite.is_open:
            known = self._answered.get(_ack_key(request), [])
            same = [each for each in known if each.request.cseq.number == request.cseq.number]
            if not known:
                return Delivery(Verdict.STRAY, request)
            invite = (same or known)[-1]
        verdict = Verdict.ACKNOWLEDGED if self.ack(invite, now) else Verdict.ABSORBED
        return Delivery(verdict, request, invite)

    def _vanish(self, transaction: Transaction) -> None:
        super()._vanish(transaction)
        if transaction.kind is Kind.INVITE_SERVER:
            key = _ack_key(transaction.request)
            self._answered[key].remove(transaction)
            if not self._answered[key]:
                del self._answered[key]


@dataclass(frozen=True, slots=True)
class Provisional:
    request: Request
    response: Response


@dataclass(frozen=True, slots=True)
class Final:
    """The final response. A 2xx to an INVITE comes up as often as it arrives: each wants the dialog's ACK."""

    request: Request
    response: Response
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No final response came in time (the user treats it as a 408)."""

    request: Request


@dataclass(frozen=True, slots=True)
class Reception:
    """What a received response means: an event for the user or None, and what goes out at once."""

    event: Provisional | Final | None = None
    sends: tuple[Send, ...] = ()


class ClientTransactions(Transactions):
    """The requests that we sent to others."""

    def request(self, request: Request, flow: Flow, now: float) -> list[Send]:
        """Sends a request that bears its Via.

        Errors: LocalProtocolError for an ACK, a branch without the magic cookie, or one that is in use.
        """
        branch = request.via_branch or ""
        key = (branch, request.method)
        if request.method == "ACK" or not branch.startswith(MAGIC_COOKIE) or key in self._open:
            raise LocalProtocolError(f"No transaction can be made of this {request.method} with branch {branch!r}.")
        kind = Kind.INVITE_CLIENT if request.method == "INVITE" else Kind.CLIENT
        transaction = self._begin(kind, key, request, flow, now, request.serialize())
        return [Send(transaction.last, flow)]

    def receive(self, response: Response, now: float) -> Reception:
        """Sorts a parsed response in. One that fits no transaction means nothing."""
        transaction = self._open.get((response.via_branch or "", response.cseq.method))
        if transaction is None:
            return Reception()
        was_open = transaction.is_open
        action = self._step(transaction, _input_of(response), now)
        sends: list[Send] = []
        if action in (Action.ACK, Action.ACK_AND_DELIVER):
            sends.append(Send(_ack_for(transaction.request, response).serialize(), transaction.flow))
        if transaction.cancel_wanted and transaction.is_open:
            sends += self.cancel(transaction.request, now)
        if action not in (Action.DELIVER, Action.ACK_AND_DELIVER):
            return Reception(None, tuple(sends))
        if response.is_provisional:
            return Reception(Provisional(transaction.request, response), tuple(sends))
        return Reception(Final(transaction.request, response, is_repeat=not was_open), tuple(sends))

    def cancel(self, invite: Request, now: float) -> list[Send]:
        """Cancels an INVITE of ours: at once, or with its first provisional response (RFC 3261 section 9.1).

        The INVITE still ends in a Final (487, or a 2xx that crossed) or a TimedOut, the CANCEL in one of its own.
        """
        transaction = self._open.get((invite.via_branch or "", "INVITE"))
        if transaction is None or not transaction.is_open:
            return []
        transaction.cancel_wanted = transaction.state is State.TRYING
        if transaction.cancel_wanted:
            return []
        request = _cancel_for(transaction.request)
        if (request.via_branch, "CANCEL") in self._open:
            return []
        transaction.ends_at = now + GIVE_UP_S
        self._schedule(transaction)
        return self.request(request, transaction.flow, now)

    def on_time(self, now: float) -> list[Send | TimedOut]:
        """Does what is due: the requests to send again, those that nobody answered."""
        happened: list[Send | TimedOut] = []
        for transaction, action in self._due(now):
            if action is Action.RESEND:
                happened.append(Send(transaction.last, transaction.flow))
            elif action is Action.REPORT:
                happened.append(TimedOut(transaction.request))
        return happened


def _input_of(response: Response) -> Input:
    if response.is_provisional:
        return Input.PROVISIONAL
    return Input.SUCCESS if response.is_success else Input.FAILURE


def _server_key(request: Request, method: str) -> Key:
    """RFC 3261 section 17.2.3; without the magic cookie (RFC 2543) by what else is the same in a retransmission."""
    via = request.via
    sent_by = (via.host.lower(), via.port)
    branch = via.branch or ""
    if branch.startswith(MAGIC_COOKIE):
        return (branch, *sent_by, method)
    return (request.call_id, request.from_tag, request.cseq.number, branch, *sent_by, method)


def _ack_key(request: Request) -> tuple[str, str | None]:
    return request.call_id, request.from_tag


def _ack_for(invite: Request, response: Response) -> Request:
    """The ACK for a failure, which belongs to the INVITE's transaction (RFC 3261 section 17.1.1.3)."""
    return _companion(invite, "ACK", to=response.required("To"))


def _cancel_for(invite: Request) -> Request:
    """RFC 3261 section 9.1."""
    return _companion(invite, "CANCEL", to=invite.required("To"))


def _companion(invite: Request, method: str, *, to: str) -> Request:
    pairs = [("Via", invite.via.serialize()), ("Max-Forwards", "70")]
    pairs += [("Route", value) for value in invite.headers.all("Route")]
    pairs += [("From", invite.required("From")), ("To", to), ("Call-ID", invite.call_id)]
    pairs.append(("CSeq", f"{invite.cseq.number} {method}"))
    return Request(method, invite.uri, Headers(tuple(pairs)))
