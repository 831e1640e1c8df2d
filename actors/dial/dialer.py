"""The SIPREC client: dials calls to one recorder, any number of them, over one UDP socket or one TCP connection.

    async with open_dialer("sip:127.0.0.1:5060") as dialer:
        session = await dialer.call("1001", "1002")
        await session.pause()
        await session.bye()

What is sent looks like a session border controller's: `Require: siprec`, `+sip.src`, SDP and metadata in one body.
Nothing here decides when a call does what: the callers and `campaign.py` do.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Literal

import trio

from actors.dial.agent import Agent
from actors.dial.conversation import Conversation, Party, new_boundary
from actors.dial.errors import DialError, NoAnswer, Refused, WrongUsage
from actors.dial.media import MediaConfig, Pacer
from actors.dial.session import CAPABILITIES, Session
from actors.dial.streams import Streams
from actors.dial.wire import Wire, open_wire
from engine.errors import RemoteProtocolError
from engine.metadata import Generation
from engine.sdp import SessionDescription
from engine.sip.address import DEFAULT_PORT, param_of
from engine.sip.dialog import Dialog, Pairs, initial_request
from engine.sip.message import NameAddr, Request, Response, SipUri, response_to
from engine.siprec import write_body

Transport = Literal["udp", "tcp"]

# 64*T1: after that an INVITE that nobody has answered at all is given up (RFC 3261 section 17.1.1.2).
ANSWER_S: Final = 32.0
# For the calls that are still up when the dialer closes.
CLOSE_S: Final = 5.0
# So many BYEs wait for their answer at once: a burst of thousands would overrun the recorder's socket.
BYES_AT_ONCE: Final = 20
USER_AGENT: Final = "Earshot dial"
DEFAULT_MEDIA: Final = MediaConfig()


class Dialer:
    """Made by `open_dialer`."""

    def __init__(self, wire: Wire, target: SipUri) -> None:
        self._wire = wire
        self._target = target
        self._pacer = Pacer()
        self._agent = Agent(wire, self._answer)
        self._sessions: dict[str, Session] = {}
        self._abandoned: set[str] = set()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The calls that are up."""
        return tuple(self._sessions.values())

    @property
    def malformed(self) -> int:
        """Messages of the recorder that could not be read."""
        return self._agent.malformed

    async def call(
        self,
        caller: Party | str = "1001",
        callee: Party | str = "1002",
        *,
        metadata: Generation | None = "rfc7865",
        streams: Literal[1, 2] = 2,
        media: MediaConfig | None = DEFAULT_MEDIA,
        ports: Sequence[int] = (),
        headers: Pairs = (),
        answer_s: float = ANSWER_S,
    ) -> Session:
        """Dials, and returns once the recorder has answered; the media is on its way then.

        The caller has stream 1, the callee stream 2; with `streams=1` both are mixed into one. Without `metadata` it is
        a plain call whose parties are in From and To. Without `media` nothing is sent, and `ports` are offered.

        Errors: `Refused`, `NoAnswer` (after `answer_s`, or at once where nobody is there), `DialError`.
        """
        caller, callee = (Party(each) if isinstance(each, str) else each for each in (caller, callee))
        labels = ("1", "2")[:streams]
        conversation = Conversation(caller, callee, labels, metadata, datetime.now(UTC)) if metadata else None
        offered = Streams(media or DEFAULT_MEDIA, labels, self._wire.local[0], None if media is not None else ports)
        try:
            invite = self._invite(caller, callee, offered.offer(None), conversation, headers)
            with trio.move_on_after(answer_s):
                response = await self._agent.request(invite)
                return self._begin(invite, response, offered, conversation)
        except BaseException:
            offered.stop()
            raise
        offered.stop()
        raise NoAnswer(f"The recorder did not answer the call within {answer_s:g} s.")

    async def options(self) -> Response:
        """Asks outside of any call what the recorder can do. Errors: `Refused`, `NoAnswer`."""
        request = initial_request(
            "OPTIONS",
            self._target.serialize(),
            local=NameAddr("", self._own_uri),
            remote=NameAddr("", self._target.serialize()),
            contact=self._contact,
            headers=(("User-Agent", USER_AGENT), *CAPABILITIES),
        )
        response = await self._agent.request(request)
        if not response.is_success:
            raise Refused("the OPTIONS", response)
        return response

    async def run(self) -> None:
        """Receives, and sends the media: the task of `open_dialer`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pacer.run)
            await self._agent.run()

    async def close(self) -> None:
        """Ends the calls that are up, and waits `CLOSE_S` at most."""
        limiter = trio.CapacityLimiter(BYES_AT_ONCE)
        with trio.move_on_after(CLOSE_S):
            async with trio.open_nursery() as nursery:
                for session in self.sessions:
                    nursery.start_soon(_bye, session, limiter)
        self.hang_up()

    def hang_up(self) -> None:
        """Ends the calls that are up without waiting for anything."""
        for session in self.sessions:
            session.hang_up()

    @property
    def _own_uri(self) -> str:
        host, port = self._wire.local
        transport = () if self._wire.transport == "UDP" else (("transport", self._wire.transport.lower()),)
        return SipUri("sip", "src", host, port, transport).serialize()

    @property
    def _contact(self) -> str:
        return f"<{self._own_uri}>;+sip.src"

    def _invite(
        self, caller: Party, callee: Party, offer: SessionDescription, conversation: Conversation | None, headers: Pairs
    ) -> Request:
        """With metadata, From and To name the client and the recorder: the parties come from the metadata alone."""
        target, contact = self._target.serialize(), self._contact
        common = (("User-Agent", USER_AGENT), *CAPABILITIES, *headers)
        content_type, body = write_body(offer, conversation.known if conversation else None, new_boundary())
        if conversation is None:
            local, remote = NameAddr(caller.name, caller.aor), NameAddr(callee.name, callee.aor)
            contact = f"<{self._own_uri}>"
        else:
            local, remote = NameAddr("", self._own_uri), NameAddr("", target)
            common = (("Require", "siprec"), *common)
        return initial_request(
            "INVITE",
            target,
            local=local,
            remote=remote,
            contact=contact,
            headers=common,
            body=body,
            content_type=content_type,
        )

    def _begin(
        self, invite: Request, response: Response, streams: Streams, conversation: Conversation | None
    ) -> Session:
        if not response.is_success:
            raise Refused("the call", response)
        try:
            dialog = Dialog.from_answer(invite, response)
            self._agent.acknowledge(dialog.ack(response))
        except RemoteProtocolError as error:
            raise DialError(f"The recorder's answer cannot be used. {error}") from error
        session = Session(self._agent, dialog, response, streams, conversation, self._ended)
        self._sessions[session.call_id] = session
        try:
            streams.take_answer(response)
        except RemoteProtocolError as error:
            session.hang_up()
            raise DialError(f"The recorder's answer cannot be used. {error}") from error
        streams.play(self._pacer)
        return session

    def _ended(self, session: Session) -> None:
        self._sessions.pop(session.call_id, None)
        if session.ending == "abandoned":
            self._abandoned.add(session.call_id)

    def _answer(self, request: Request) -> Response | None:
        session = self._sessions.get(request.call_id)
        if session is not None:
            return session.receive(request)
        if request.call_id in self._abandoned:
            return None
        if request.method == "OPTIONS":
            return response_to(request, 200, headers=CAPABILITIES)
        return response_to(request, 481)


@asynccontextmanager
async def open_dialer(target: str, transport: Transport | None = None) -> AsyncIterator[Dialer]:
    """A dialer for `sip:host[:port][;transport=tcp]`; `transport` wins over the URI's, and UDP is the default.

    Calls that are up when the block ends get a BYE; when it ends by an exception, without waiting for the answer.
    Errors: `WrongUsage` where the target is no such URI, `DialError` where there is no way to it.
    """
    try:
        uri = SipUri.parse(target)
    except RemoteProtocolError as error:
        raise WrongUsage(f"{target!r} is no SIP URI, such as sip:127.0.0.1:5060. {error}") from error
    chosen = transport or (param_of(uri.params, "transport") or "udp").lower()
    if uri.scheme != "sip" or chosen not in ("udp", "tcp"):
        raise WrongUsage(f"{target!r} cannot be dialled: only sip: URIs over UDP and TCP can.")
    wire = await open_wire(uri.host, uri.port or DEFAULT_PORT, chosen)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        dialer = Dialer(wire, uri)
        nursery.start_soon(dialer.run)
        try:
            yield dialer
            await dialer.close()
        except Exception as error:
            failure = error  # raised again outside of the nursery, which would wrap it in a group
        finally:
            dialer.hang_up()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _bye(session: Session, limiter: trio.CapacityLimiter) -> None:
    async with limiter:
        try:
            await session.bye()
        except DialError:
            return
