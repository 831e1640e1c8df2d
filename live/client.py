"""The client: one connection to an engine's gateway, for all that a portal wants of it.

    async with open_gateway(node, key) as gateway:
        await gateway.pause(call_id, who="anna", sign="portal")
        async with gateway.listen(call_id) as feed:
            async for what in feed: ...          Status, Dropped or Heard

Requests wait for their reply for ANSWER_S. A connection that is lost stays lost: everybody who waits is told, and
whoever wants another opens one.

Not here: when to connect again (`portal/gateways.py`), samples, browsers.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Final
from uuid import UUID

import structlog
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from live import messages
from live.errors import GatewayError, NoSuchCall, Refused, Unanswered, Unreachable
from live.line import NodeAddress, connect, open_websocket
from live.messages import Answer, Calls, Clock, Dropped, Levels, Status, Visit, unpack_batch

__all__ = [
    "Feed",
    "Gateway",
    "GatewayError",
    "Heard",
    "NoSuchCall",
    "NodeAddress",
    "Refused",
    "Unanswered",
    "Unreachable",
    "open_gateway",
]

log = structlog.get_logger()

# An engine answers in milliseconds; who pressed a button is told after this that nobody knows.
ANSWER_S: Final = 2.0
# An engine that stands still, or whose machine vanished, is noticed after at most twice this.
PING_EVERY_S: Final = 5.0
# What two machines' clocks may part between two words of the engine about its own: 200 ppm of 5 s.
DRIFT_NS: Final = 1_000_000
# Calls in one request for levels: 20 kB.
MOST_AT_ONCE: Final = 500
# What a listener may leave unread: seconds of batches. Beyond it loses, and is told.
MOST_UNREAD: Final = 100


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a call until `now_ns` (the engine's monotonic clock): maybe nothing."""

    now_ns: int
    visits: tuple[Visit, ...]


class Feed:
    """What comes of one call, in order. Iteration ends after its end; it raises `Unreachable` when the line breaks."""

    def __init__(self, call_id: UUID) -> None:
        self._call_id = call_id
        self._send, self._receive = trio.open_memory_channel[Status | Dropped | Heard](MOST_UNREAD)
        self._unsaid: list[Status] = []
        self._lost = 0
        self._broken = ""

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> Status | Dropped | Heard:
        try:
            what = await self._receive.receive()
        except trio.EndOfChannel:
            if self._broken:
                raise Unreachable(self._broken) from None
            raise StopAsyncIteration from None
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._catch_up()  # there is room now, and maybe nothing comes any more
        return what

    def put(self, what: Status | Dropped | Heard) -> None:
        """Add something; packets that nobody reads are lost and counted, words are kept."""
        try:
            self._catch_up()
            self._say(what)
        except trio.WouldBlock:
            if isinstance(what, Status):
                self._unsaid.append(what)
            elif isinstance(what, Dropped):
                self._lost += what.packets
            else:
                self._lost += sum(visit.rows for visit in what.visits)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it has ended, or nobody reads any more

    def _catch_up(self) -> None:
        if self._lost:
            self._send.send_nowait(Dropped(call=self._call_id, packets=self._lost))
            self._lost = 0
        while self._unsaid:
            self._say(self._unsaid[0])
            self._unsaid.pop(0)

    def _say(self, what: Status | Dropped | Heard) -> None:
        self._send.send_nowait(what)
        if isinstance(what, Status) and what.end:
            self._send.close()

    def breaks(self, reason: str) -> None:
        """Nothing more comes; whoever reads on is told why."""
        self._broken = reason
        self._send.close()

    def close(self) -> None:
        """Nobody reads any more."""
        self._receive.close()
        self._send.close()


class Gateway:
    """An open connection. Made by `open_gateway`."""

    def __init__(self, node: NodeAddress, socket: WebSocketConnection) -> None:
        self.node = node
        self.levels: Mapping[UUID, tuple[float | None, float | None] | None] = {}
        self._socket = socket
        self._ids = count(1)
        self._waiting: dict[int, Callable[[messages.AnyReply | GatewayError], None]] = {}
        self._feeds: dict[UUID, Feed] = {}
        self._requests, self._to_send = trio.open_memory_channel[str](math.inf)
        self._watched: frozenset[UUID] = frozenset()
        self._ahead_ns = -(2**63)  # the engine's monotonic clock to ours, at least
        self._settled = trio.Event()
        self._ended = trio.Event()
        self._why = ""

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._ended.is_set()

    async def wait_lost(self) -> None:
        """Return once the connection has ended."""
        await self._ended.wait()

    async def wait_settled(self) -> None:
        """Return once the gateway has said what time it is there. Errors: `Unreachable`."""
        await self._settled.wait()
        if self.lost:
            raise Unreachable(self._why)

    async def calls(self) -> tuple[messages.CallLine, ...]:
        """The calls that run. Errors: `Unreachable`, `Unanswered`."""
        reply = await self._ask(messages.ListCalls(id=next(self._ids)))
        return reply.calls if isinstance(reply, Calls) else ()

    async def pause(self, call_id: UUID, who: str, sign: str) -> Answer:
        """Keep nothing from here on. Errors: any `GatewayError`."""
        return await self._control(messages.Pause, call_id, who, sign)

    async def resume(self, call_id: UUID, who: str, sign: str) -> Answer:
        """End that pause. Errors: any `GatewayError`."""
        return await self._control(messages.Resume, call_id, who, sign)

    async def start(self, call_id: UUID, who: str, sign: str) -> Answer:
        """Record the call. Errors: any `GatewayError`."""
        return await self._control(messages.Start, call_id, who, sign)

    async def stop(self, call_id: UUID, who: str, sign: str) -> Answer:
        """Record the call no longer. Errors: any `GatewayError`."""
        return await self._control(messages.Stop, call_id, who, sign)

    @asynccontextmanager
    async def listen(self, call_id: UUID) -> AsyncIterator[Feed]:
        """What comes of a call, from its `Status` on. One at a time for a call: a second one takes over.

        Errors: `NoSuchCall`, `Unreachable`, `Unanswered`.
        """
        if call_id in self._feeds:
            self._feeds[call_id].breaks("Somebody else on this connection took over.")
        feed = self._feeds[call_id] = Feed(call_id)
        try:
            await self._ask(messages.Listen(id=next(self._ids), call=call_id))
            yield feed
        finally:
            feed.close()
            if self._feeds.get(call_id) is feed:
                del self._feeds[call_id]
                self._tell(messages.Ignore(id=next(self._ids), call=call_id))

    def watch_levels(self, call_ids: Iterable[UUID]) -> None:
        """From now on `levels` has the levels of these calls, and of no others; it changes ten times a second."""
        wanted = frozenset(call_ids)
        more, less = tuple(wanted - self._watched), tuple(self._watched - wanted)
        self._watched = wanted
        self.levels = {call_id: level for call_id, level in self.levels.items() if call_id in wanted}
        for at in range(0, len(less), MOST_AT_ONCE):
            self._tell(messages.WatchLevels(id=next(self._ids), ignore=less[at : at + MOST_AT_ONCE]))
        for at in range(0, len(more), MOST_AT_ONCE):
            self._tell(messages.WatchLevels(id=next(self._ids), watch=more[at : at + MOST_AT_ONCE]))

    async def run(self) -> None:
        """Read, send and ping until the connection ends. Never raises but when cancelled."""
        why = f"The connection to the recorder {self.node.name} ended."
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send)
                nursery.start_soon(self._ping)
                await self._read()
        except* trio.TooSlowError:
            why = f"The recorder {self.node.name} stopped answering."
        except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        except* Exception:
            log.exception("connection to an engine failed", node=self.node.name)
        finally:
            self._end(why)

    def _end(self, why: str) -> None:
        self._why = why
        self._ended.set()
        self._settled.set()
        self._requests.close()
        for reply in list(self._waiting.values()):
            reply(Unanswered(why))
        for feed in self._feeds.values():
            feed.breaks(why)

    async def _control(self, kind: type[messages.Control], call_id: UUID, who: str, sign: str) -> Answer:
        patience_s = min(ANSWER_S, trio.current_effective_deadline() - trio.current_time())
        before_ns = time.monotonic_ns() + self._ahead_ns + round(patience_s * 1e9)
        reply = await self._ask(kind(id=next(self._ids), call=call_id, who=who, sign=sign, before_ns=before_ns))
        if not isinstance(reply, Answer):
            raise Unanswered(f"The recorder {self.node.name} answered something else.")
        return reply

    async def _ask(self, request: messages.Request) -> messages.AnyReply:
        answered = trio.Event()
        replies: list[messages.AnyReply | GatewayError] = []

        def take(reply: messages.AnyReply | GatewayError) -> None:
            replies.append(reply)
            answered.set()

        if self.lost:
            raise Unreachable(self._why)
        self._waiting[request.id] = take
        try:
            self._tell(request)
            with trio.move_on_after(ANSWER_S):
                await answered.wait()
        finally:
            del self._waiting[request.id]
        if not replies:
            raise Unanswered(f"The recorder {self.node.name} did not answer within {ANSWER_S:g} seconds.")
        if isinstance(replies[0], GatewayError):
            raise replies[0]
        if isinstance(replies[0], messages.Failed):
            failed = replies[0]
            if failed.trouble == "refused":
                raise Refused(failed.reason, failed.why)
            raise _TROUBLES[failed.trouble](failed.reason)
        return replies[0]

    def _tell(self, request: messages.Request) -> None:
        if not self.lost:
            self._requests.send_nowait(messages.encode(request))

    async def _send(self) -> None:
        async for text in self._to_send:
            with trio.fail_after(ANSWER_S + PING_EVERY_S):
                await self._socket.send_message(text)

    async def _ping(self) -> None:
        while True:
            await trio.sleep(PING_EVERY_S)
            with trio.fail_after(PING_EVERY_S):
                await self._socket.ping()

    async def _read(self) -> None:
        while True:
            message = await self._socket.get_message()
            if isinstance(message, bytes):
                self._take_batch(message)
            else:
                self._take(messages.decode_reply(message))

    def _take(self, reply: messages.AnyReply) -> None:
        if isinstance(reply, Status | Dropped):
            feed = self._feeds.get(reply.call)
            if feed is not None:
                feed.put(reply)
        elif isinstance(reply, Levels):
            self.levels = {call_id: level for call_id, level in reply.levels.items() if call_id in self._watched}
        elif isinstance(reply, Clock):
            # One that was long on its way tells too little.
            self._ahead_ns = max(self._ahead_ns - DRIFT_NS, reply.now_ns - time.monotonic_ns())
            self._settled.set()
        else:
            waiting = self._waiting.get(reply.id)
            if waiting is not None:
                waiting(reply)

    def _take_batch(self, data: bytes) -> None:
        now_ns, visits = unpack_batch(data)
        of: dict[bytes, list[Visit]] = {}
        for key, visit in visits:
            of.setdefault(key, []).append(visit)
        for call_id, feed in self._feeds.items():
            feed.put(Heard(now_ns, tuple(of.get(call_id.bytes, ()))))


_TROUBLES: Final[dict[str, type[GatewayError]]] = {
    "no-such-call": NoSuchCall,
    "unanswered": Unanswered,
    "malformed": Unanswered,
}


@asynccontextmanager
async def open_gateway(node: NodeAddress, key: bytes) -> AsyncIterator[Gateway]:
    """Connect to a node's gateway. `key` is `engine.keys.gateway_key`.

    Errors: `Unreachable`, with the reason as a sentence.
    """
    stream = await connect(node)
    try:
        async with _single(), trio.open_nursery() as nursery:
            socket = await open_websocket(node, key, nursery, stream)
            gateway = Gateway(node, socket)
            nursery.start_soon(gateway.run)
            await _settled(gateway)
            yield gateway
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def _settled(gateway: Gateway) -> None:
    try:
        with trio.fail_after(ANSWER_S):
            await gateway.wait_settled()
    except trio.TooSlowError as error:
        raise Unreachable(f"The recorder {gateway.node.name} took a connection, and says nothing.") from error


@asynccontextmanager
async def _single() -> AsyncIterator[None]:
    """What came alone leaves alone, not in a group; a refused handshake as `Unreachable`."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, ConnectionRejected):
            body = (error.body or b"").decode("utf-8", "replace")
            raise Unreachable(f"The recorder's gateway refused this portal ({error.status_code}). {body}") from error
        raise error from error.__cause__
