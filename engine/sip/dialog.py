"""Dialogs (RFC 3261 section 12): what both ends of a call keep so that their requests find each other.

One `Dialog` serves either side. It builds requests and responses as values and checks what arrives; it sends nothing,
keeps no timer and never looks into a body further than to see whether it offers SDP. Its owner is one call.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.sip.address import NameAddr, has_param, parse_name_addr, parse_params
from engine.sip.message import Headers, Request, Response, response_to
from engine.sip.transactions import MAGIC_COOKIE

MAX_FORWARDS = "70"  # RFC 3261 section 8.1.1.6
TARGET_REFRESH = ("INVITE", "UPDATE")  # requests whose Contact moves the remote target; we put ours into them

Pairs = Iterable[tuple[str, str]]


def new_tag() -> str:
    return secrets.token_hex(8)


def new_branch() -> str:
    return MAGIC_COOKIE + secrets.token_hex(12)


def new_call_id() -> str:
    return secrets.token_hex(16)


def offers_sdp(message: Request | Response) -> bool:
    """Whether the body is SDP or a multipart with SDP in it."""
    content_type = (message.content_type or "").lower()
    if "multipart" in content_type:
        return b"application/sdp" in message.body.lower()
    return bool(message.body) and "application/sdp" in content_type


def initial_request(
    method: str,
    target: str,
    *,
    local: NameAddr,
    remote: NameAddr,
    contact: str,
    call_id: str | None = None,
    cseq: int = 1,
    headers: Pairs = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Request:
    """A request outside a dialog (INVITE, OPTIONS), without Via: the transport adds it.

    `local` gets a tag if it has none; `contact` is the value of our Contact header.
    """
    tagged = local if local.tag else local.with_param("tag", new_tag())
    pairs = [
        ("Max-Forwards", MAX_FORWARDS),
        ("From", tagged.serialize()),
        ("To", remote.serialize()),
        ("Call-ID", call_id or new_call_id()),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", contact),
        *headers,
    ]
    if content_type is not None:
        pairs.append(("Content-Type", content_type))
    return Request(method, target, Headers(tuple(pairs)), body)


def dialog_key(request: Request) -> tuple[str, str]:
    """Call-ID and From tag: what a request from the peer is found by. (To tags are missing from some BYEs and ACKs.)"""
    return request.call_id, request.from_tag or ""


class Offer(Enum):
    """What waits for its end: an INVITE for its final response, an offer for its answer (RFC 3264 section 4)."""

    NONE = auto()
    OURS = auto()  # our INVITE, or an UPDATE of ours with an offer
    THEIRS = auto()
    OURS_IN_2XX = auto()  # their INVITE held no offer, our 2xx did: the answer comes with the ACK
    THEIRS_IN_2XX = auto()


@dataclass(slots=True)
class Dialog:
    """The state of one dialog. `local` and `remote` are the From and To of our requests, tags included.

    `offer_cseq` is the CSeq number of the request that OURS or THEIRS stands for.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    contact: str
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    remote_cseq: int | None
    owns_call_id: bool
    offer_pending: Offer = Offer.NONE
    offer_cseq: int = 0

    @classmethod
    def from_invite(cls, invite: Request, *, local_tag: str, contact: str) -> "Dialog":
        """Our side of an INVITE that we are about to answer, with `respond` (section 12.1.1).

        `contact` is the value of our Contact header. Without a Contact of theirs their From is the target.
        Errors: RemoteProtocolError for an unreadable Contact or Record-Route.
        """
        theirs = invite.contact or invite.from_addr
        return cls(
            call_id=invite.call_id,
            local=invite.to_addr.with_param("tag", local_tag),
            remote=invite.from_addr,
            contact=contact,
            remote_target=theirs.uri,
            route_set=tuple(_routes(invite)),
            local_cseq=0,
            remote_cseq=invite.cseq.number,
            owns_call_id=False,
            offer_pending=Offer.THEIRS,
            offer_cseq=invite.cseq.number,
        )

    @classmethod
    def from_answer(cls, invite: Request, answer: Response) -> "Dialog":
        """Our side of an INVITE of ours that got a 2xx (section 12.1.2).

        Errors: LocalProtocolError for another response, RemoteProtocolError for an unreadable Contact or Record-Route.
        """
        if not answer.is_success:
            raise LocalProtocolError(f"A {answer.status} makes no dialog.")
        theirs = answer.contact
        theirs_to_answer = offers_sdp(answer) and not offers_sdp(invite)
        return cls(
            call_id=invite.call_id,
            local=invite.from_addr,
            remote=answer.to_addr,
            contact=invite.required("Contact"),
            remote_target=theirs.uri if theirs else invite.uri,
            route_set=tuple(reversed(_routes(answer))),
            local_cseq=invite.cseq.number,
            remote_cseq=None,
            owns_call_id=True,
            offer_pending=Offer.THEIRS_IN_2XX if theirs_to_answer else Offer.NONE,
        )

    @property
    def key(self) -> tuple[str, str]:
        """Equal to `dialog_key` of the peer's requests."""
        return self.call_id, self.remote.tag or ""

    def request(self, method: str, headers: Pairs = (), body: bytes = b"", content_type: str | None = None) -> Request:
        """A request inside the dialog, without Via: the transport adds it. An ACK is made by `ack`.

        Errors: LocalProtocolError for an INVITE or an offer while one is pending: wait for its end.
        """
        if method == "ACK":
            raise LocalProtocolError("An ACK takes the number of its INVITE: use ack().")
        request = self._request(method, self.local_cseq + 1, headers, body, content_type)
        if _negotiates(request):
            if self.offer_pending is not Offer.NONE:
                raise LocalProtocolError(f"An {method} with an offer while one is pending.")
            self._open(Offer.OURS, request)
        self.local_cseq += 1
        return request

    def ack(
        self, response: Response, headers: Pairs = (), body: bytes = b"", content_type: str | None = None
    ) -> Request:
        """The ACK for a 2xx to our INVITE, without Via. Each repetition of the 2xx wants it again (section 13.2.2.4).

        Where the 2xx held the offer, the answer is the body here.
        """
        if self.offer_pending is Offer.THEIRS_IN_2XX:
            self.offer_pending = Offer.NONE
        return self._request("ACK", response.cseq.number, headers, body, content_type)

    def receive(self, request: Request) -> None:
        """Takes a new request of the peer: its number, its Contact, its offer. (Retransmissions never get here.)

        An ACK may bear any CSeq, a BYE too; both may lack the To tag.
        Errors: RemoteProtocolError, whose status answers the request: 481 for another dialog, 500 for a number out of
        order or an offer before the last of theirs was answered (add Retry-After), 491 for one that crossed ours.
        """
        tag = request.to_tag
        if tag != self.local.tag and not (tag is None and request.method in ("ACK", "BYE")):
            raise RemoteProtocolError("The To tag is not this dialog's.", status=481)
        if request.method == "ACK":
            if self.offer_pending is Offer.OURS_IN_2XX:
                self.offer_pending = Offer.NONE
            return
        number = request.cseq.number
        if request.method != "BYE" and self.remote_cseq is not None and number < self.remote_cseq:
            raise RemoteProtocolError("The CSeq is lower than the one before.", status=500)
        self.remote_cseq = max(number, self.remote_cseq or 0)
        if request.method not in TARGET_REFRESH:
            return
        contact = request.contact
        if _negotiates(request):  # section 14.2, RFC 3311 section 5.2
            if self.offer_pending in (Offer.OURS, Offer.OURS_IN_2XX):
                raise RemoteProtocolError("An offer of ours is still unanswered.", status=491)
            if self.offer_pending is not Offer.NONE:
                raise RemoteProtocolError("The offer before is still unanswered.", status=500)
            self._open(Offer.THEIRS, request)
        if contact is not None:
            self.remote_target = contact.uri

    def respond(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        *,
        headers: Pairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        """The response to a request of the peer, with our tag, and our Contact where the method wants one.

        A final one closes the offer that the request made; a 2xx to an INVITE without an offer opens ours.
        """
        contact = [("Contact", self.contact)] if request.method in TARGET_REFRESH and 100 < status < 300 else []
        response = response_to(
            request,
            status,
            reason,
            to_tag=self.local.tag,
            headers=(*contact, *headers),
            body=body,
            content_type=content_type,
        )
        if status >= 200 and self._closes(Offer.THEIRS, request) and _counter_offers(request, response):
            self.offer_pending = Offer.OURS_IN_2XX
        return response

    def receive_response(self, request: Request, response: Response) -> None:
        """Takes a response to a request of ours: its Contact, and what becomes of the offer.

        (A request that timed out has none: the dialog is to be ended, section 12.2.1.2.)
        """
        if response.is_provisional:
            return
        if self._closes(Offer.OURS, request) and _counter_offers(request, response):
            self.offer_pending = Offer.THEIRS_IN_2XX
        if request.method in TARGET_REFRESH and response.is_success and (contact := response.contact) is not None:
            self.remote_target = contact.uri

    def glare_delay_s(self, share: float) -> float:
        """How long to wait after a 491 before trying again; `share` is a random number in [0, 1) (section 14.1)."""
        return 2.1 + share * 1.9 if self.owns_call_id else share * 2.0

    def _open(self, whose: Offer, request: Request) -> None:
        self.offer_pending, self.offer_cseq = whose, request.cseq.number

    def _closes(self, whose: Offer, request: Request) -> bool:
        """Ends what `request` opened, if it is still pending; another request's offer is left alone."""
        if self.offer_pending is not whose or self.offer_cseq != request.cseq.number or not _negotiates(request):
            return False
        self.offer_pending = Offer.NONE
        return True

    def _request(self, method: str, number: int, headers: Pairs, body: bytes, content_type: str | None) -> Request:
        uri, routes = self._way()
        pairs = [("Max-Forwards", MAX_FORWARDS)]
        pairs += [("Route", route) for route in routes]
        pairs += [
            ("From", self.local.serialize()),
            ("To", self.remote.serialize()),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
        ]
        if method in TARGET_REFRESH:
            pairs.append(("Contact", self.contact))
        pairs += headers
        if content_type is not None:
            pairs.append(("Content-Type", content_type))
        return Request(method, uri, Headers(tuple(pairs)), body)

    def _way(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route; a first hop without `lr` is a strict router (section 12.2.1.1)."""
        if not self.route_set:
            return self.remote_target, ()
        first = parse_name_addr(self.route_set[0]).uri
        if has_param(parse_params(first.partition(";")[2]), "lr"):
            return self.remote_target, self.route_set
        return first, (*self.route_set[1:], f"<{self.remote_target}>")


def _negotiates(request: Request) -> bool:
    return request.method == "INVITE" or (request.method == "UPDATE" and offers_sdp(request))


def _counter_offers(request: Request, response: Response) -> bool:
    """Whether a 2xx makes the offer that the INVITE did not."""
    return response.is_success and offers_sdp(response) and not offers_sdp(request)


def _routes(message: Request | Response) -> list[str]:
    routes = message.headers.all("Record-Route", split=True)
    for route in routes:
        parse_name_addr(route)
    return routes
