"""One dialled call, as the phone system that sends it: what it may do between its answer and its end.

Requests that change the streams wait for each other. Whatever the recorder refuses is raised and leaves the call as
it was. Nothing here opens sockets or builds the INVITE: the dialer does.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

import trio

from actors.dial.agent import Agent
from actors.dial.conversation import Conversation, Party, Side, new_boundary
from actors.dial.errors import DialError, Ended, NoAnswer, Refused
from actors.dial.streams import Streams
from actors.dial.wire import Address
from engine.errors import RemoteProtocolError
from engine.metadata import Metadata
from engine.sdp import Suspension
from engine.sip.dialog import Dialog, Pairs, offers_sdp
from engine.sip.message import Request, Response, response_to
from engine.siprec import SDP_TYPE, write_body

Status = Literal["active", "suspended", "ended"]
Ending = Literal["bye", "recorder", "abandoned", "lost"]

CAPABILITIES: Final = (
    ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"),
    ("Accept", SDP_TYPE),
    ("Supported", "siprec"),
)
# How often an offer that crossed another is made anew (RFC 3261 section 14.1 sets no limit).
MOST_GLARES: Final = 3


class Session:
    """An answered call.

    `answer` is the response that began it, `suspended` the form of suspension that is in force. `ending` says how it
    came to its end, `reason` why where that was not our doing; `ended` is set then.
    """

    def __init__(
        self,
        agent: Agent,
        dialog: Dialog,
        answer: Response,
        streams: Streams,
        conversation: Conversation | None,
        on_end: Callable[["Session"], None],
    ) -> None:
        self._agent = agent
        self._dialog = dialog
        self._streams = streams
        self._on_end = on_end
        self._negotiating = trio.Lock()
        self.conversation = conversation
        self.answer = answer
        self.suspended: Suspension | None = None
        self.ending: Ending | None = None
        self.reason = ""
        self.ended = trio.Event()

    @property
    def call_id(self) -> str:
        """The Call-ID of the dialog."""
        return self._dialog.call_id

    @property
    def status(self) -> Status:
        """Where the call is in its life."""
        if self.ending is not None:
            return "ended"
        return "active" if self.suspended is None else "suspended"

    @property
    def remote(self) -> tuple[Address | None, ...]:
        """Where the recorder takes each stream, by m-line; None for one that it rejected."""
        return self._streams.remote

    @property
    def remote_ports(self) -> tuple[int, ...]:
        """The ports of `remote`, 0 for a stream that was rejected."""
        return tuple(0 if place is None else place[1] for place in self._streams.remote)

    @property
    def packets_sent(self) -> int:
        """RTP packets that went out."""
        return self._streams.sent

    @property
    def packets_lost(self) -> int:
        """RTP packets that were lost, on purpose or because the system took none."""
        return self._streams.lost

    async def pause(self) -> None:
        """Pauses as BroadWorks does: SDP alone, c=0.0.0.0, no direction. Errors: those of `request`."""
        await self.suspend("zero-address")

    async def hold(self) -> None:
        """Holds with `a=inactive`. Errors: those of `request`."""
        await self.suspend("inactive")

    async def resume(self) -> None:
        """Goes on after a pause or a hold. Errors: those of `request`."""
        await self.suspend(None)

    async def suspend(self, form: Suspension | None, *, with_metadata: bool = False) -> None:
        """Offers the streams in this form of suspension, or as live ones, by re-INVITE.

        The media stops before the offer goes out and starts again after the answer. Errors: those of `request`.
        """
        async with self._negotiating:
            self._streams.suspend(self.suspended is not None or form is not None)
            known = self.conversation.known if with_metadata and self.conversation is not None else None
            try:
                await self._offer("INVITE", form, known)
                self.suspended = form
            finally:
                self._streams.suspend(self.suspended is not None)

    async def transfer(
        self,
        joining: Party,
        *,
        leaving: Side = "callee",
        complete: bool = False,
        method: Literal["UPDATE", "INVITE"] = "UPDATE",
        with_sdp: bool = False,
    ) -> None:
        """Tells that `joining` speaks in the place of a party from now on.

        `complete` sends all that is known, otherwise the change alone (`partial`). An UPDATE holds bare metadata
        unless `with_sdp`; a re-INVITE always holds an offer too. Errors: those of `request`.
        """
        if self.conversation is None:
            raise DialError("A call without metadata cannot tell of a transfer.")
        async with self._negotiating:
            change = self.conversation.transfer(leaving, joining, datetime.now(UTC))
            said = self.conversation.known if complete else change
            if with_sdp or method == "INVITE":
                await self._offer(method, self.suspended, said)
            else:
                content_type, body = write_body(None, said, new_boundary())
                await self.request(method, body=body, content_type=content_type)

    async def dtmf(self, digits: str, side: Side = "caller") -> None:
        """Presses keys in a party's stream (RFC 4733), and returns when the last one is up.

        Errors: LocalProtocolError for what is no key, `DialError` where the stream takes none.
        """
        if self.ending is not None:
            raise Ended(f"The call has ended: no keys can be pressed. {self.reason}".rstrip())
        if not len(self._streams):
            raise DialError("A call without media has no stream for keys.")
        await self._streams[0 if side == "caller" else -1].press(digits)

    async def info(self, content_type: str, body: bytes) -> Response:
        """Sends an INFO, as for `application/dtmf-relay`. Errors: those of `request`."""
        return await self.request("INFO", body=body, content_type=content_type)

    async def options(self) -> Response:
        """Asks inside the dialog what the recorder can do. Errors: those of `request`."""
        return await self.request("OPTIONS")

    async def bye(self) -> None:
        """Ends the call; its media stops first.

        Errors: `NoAnswer`, `Refused`, and `Ended` where the recorder no longer knew the call (481): it was started
        anew, and what it recorded ends there.
        """
        if self.ending is not None:
            return
        self._end("bye", "")
        response = await self._agent.request(self._dialog.request("BYE"))
        if response.status == 481:
            raise Ended(f"The recorder no longer knew the call: {response.status} {response.reason}.")
        if not response.is_success:
            raise Refused("the BYE", response)

    def hang_up(self) -> None:
        """Ends the call with a BYE whose answer nobody waits for."""
        if self.ending is None:
            self._end("bye", "")
            self._agent.post(self._dialog.request("BYE"))

    def abandon(self) -> None:
        """Ends as a phone system that loses its power: nothing more is sent, not even an answer."""
        self._end("abandoned", "")

    async def request(
        self, method: str, headers: Pairs = (), body: bytes = b"", content_type: str | None = None
    ) -> Response:
        """Sends any request inside the dialog, and returns its 2xx.

        Errors: `Ended`, `NoAnswer`, `Refused`, `DialError`. After no answer, a 408 or a 481 the call is over (RFC
        3261 section 12.2.1.2).
        """
        for glare in range(MOST_GLARES + 1):
            if self.ending is not None:
                raise Ended(f"The call has ended: {method} is not possible. {self.reason}".rstrip())
            request = self._dialog.request(method, headers, body, content_type)
            try:
                response = await self._agent.request(request)
            except NoAnswer as error:
                self._end("lost", str(error))
                raise
            except trio.Cancelled:
                if method in ("INVITE", "UPDATE"):
                    self.hang_up()  # what the recorder makes of the offer is not known any more
                raise
            try:
                self._dialog.receive_response(request, response)
            except RemoteProtocolError as error:
                raise DialError(f"The recorder's answer to the {method} cannot be used. {error}") from error
            if response.is_success:
                if method == "INVITE":
                    self._agent.acknowledge(self._dialog.ack(response))
                return response
            if response.status in (408, 481):
                self._end("lost", f"The recorder does not know the call: {response.status} {response.reason}.")
            if response.status != 491 or glare == MOST_GLARES:
                break
            await trio.sleep(self._dialog.glare_delay_s(secrets.randbelow(1000) / 1000))
        raise Refused(f"the {method}", response)

    def receive(self, request: Request) -> Response:
        """The final response to a request of the recorder."""
        dialog = self._dialog
        if request.from_tag != dialog.remote.tag:
            return response_to(request, 481)
        try:
            dialog.receive(request)
        except RemoteProtocolError as error:
            return dialog.respond(request, error.status)
        if request.method == "BYE":
            why = request.headers.get("Reason")
            self._end("recorder", f"The recorder ended the call{f' ({why})' if why else ''}.")
        elif request.method == "INVITE" or offers_sdp(request):
            return dialog.respond(request, 488, headers=CAPABILITIES)
        elif request.method not in ("OPTIONS", "INFO", "UPDATE"):
            return dialog.respond(request, 405, headers=CAPABILITIES)
        return dialog.respond(request, 200, headers=CAPABILITIES)

    async def _offer(self, method: str, form: Suspension | None, metadata: Metadata | None) -> None:
        content_type, body = write_body(self._streams.offer(form), metadata, new_boundary())
        response = await self.request(method, body=body, content_type=content_type)
        try:
            self._streams.take_answer(response)
        except RemoteProtocolError as error:
            raise DialError(f"The recorder's answer to the {method} cannot be used. {error}") from error

    def _end(self, ending: Ending, reason: str) -> None:
        if self.ending is None:
            self.ending, self.reason = ending, reason
            self._streams.stop()
            self._agent.forget(self.call_id)
            self._on_end(self)
            self.ended.set()
