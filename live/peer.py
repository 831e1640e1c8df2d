"""A portal on the line: its requests are carried out, and what it listens to is sent, as one message a tick.

What waits to be sent is bounded by its age and its size: a portal that does not keep up loses packets, is told how
many, and nobody else notices. Status and replies are never dropped; there are few.

Not here: the port and who may connect (`gateway.py`), what a command means (`engine/call.py`).
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
import structlog
import trio
from trio_websocket import WebSocketConnection

from actors.call import Call, Done
from actors.clock import instant
from actors.mailbox import Unanswered
from engine import call as commands
from engine.call import CallState
from engine.events import AnyEvent, Ended, Paused, Resumed, StreamsAgreed
from live import messages
from live.messages import Trouble
from live.meter import Meter

log = structlog.get_logger()

# Older than this is not live any more: it is dropped, so that the portal catches up at once.
MOST_BEHIND_NS: Final = 1_000_000_000
# A second of 200 listened calls; what a stalled portal may cost in memory.
MOST_WAITING_BYTES: Final = 4 * 2**20
# A message that the network did not take for so long: nobody is there any more.
SEND_S: Final = 5.0
# While nothing comes (a silence that is not sent) the portal learns this often that time goes on.
BEAT_S: Final = 0.1
LEVELS_EVERY_S: Final = 0.1
# While so many messages wait for a portal, it is told no levels: they would be old before they came.
MOST_BEFORE_LEVELS: Final = 16
# How often a portal learns what the time is here.
CLOCK_EVERY_S: Final = 5.0
# Requests on their way to calls. A portal asks for what people press; more means that it is out of its mind.
MOST_REQUESTS: Final = 256

NO_SUCH_CALL: Final = "This call is not running on this engine."


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A visit that waits to be sent."""

    call: UUID
    rows: int
    monotonic_ns: int
    data: bytes


class Peer:
    """One connection. `run` serves it until it ends."""

    def __init__(self, socket: WebSocketConnection, calls: Mapping[UUID, Call]) -> None:
        self._socket = socket
        self._calls = calls
        self._waiting: deque[_Waiting | str] = deque()
        self._waiting_bytes = 0
        self._wake = trio.Event()
        self._ears: dict[UUID, Ear] = {}
        self._meters: dict[UUID, Meter] = {}
        self._metered = trio.Event()
        self._asked = 0

    async def run(self) -> None:
        """Read and send until the portal is gone, or makes no sense.

        Errors: `ConnectionClosed`, and `TooSlowError` for one that does not read.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send)
                nursery.start_soon(self._measure)
                nursery.start_soon(self._tell_time)
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            for call_id in list(self._ears):
                self._ignore(call_id)
            self._watch_levels((), tuple(self._meters))

    def say(self, message: messages.Reply) -> None:
        """Send a message as soon as what waits before it is sent."""
        self._waiting.append(messages.encode(message))
        self._wake.set()

    def pass_on(self, call_id: UUID, rows: int, monotonic_ns: int, packed: bytes) -> None:
        """Send a visit with the next batch; drop what waited for too long."""
        if self._waiting_bytes:
            oldest = next((each for each in self._waiting if isinstance(each, _Waiting)), None)
            late = oldest is not None and monotonic_ns - oldest.monotonic_ns > MOST_BEHIND_NS
            if late or self._waiting_bytes + len(packed) > MOST_WAITING_BYTES:
                self._drop()
        self._waiting.append(_Waiting(call_id, rows, monotonic_ns, packed))
        self._waiting_bytes += len(packed)
        self._wake.set()

    def forget(self, call_id: UUID, ear: "Ear") -> None:
        """Nothing more comes through this ear."""
        if self._ears.get(call_id) is ear:
            del self._ears[call_id]

    def _drop(self) -> None:
        lost: dict[UUID, int] = {}
        said = [each for each in self._waiting if isinstance(each, str)]
        for each in self._waiting:
            if isinstance(each, _Waiting):
                lost[each.call] = lost.get(each.call, 0) + each.rows
        self._waiting = deque(said)
        self._waiting_bytes = 0
        for call_id, packets in lost.items():
            self.say(messages.Dropped(call=call_id, packets=packets))
        log.warning("a portal does not keep up", calls=len(lost), packets=sum(lost.values()))

    async def _read(self) -> None:
        while True:
            text = await self._socket.get_message()
            try:
                request = messages.decode_request(text)
            except msgspec.MsgspecError as error:
                log.warning("request of a portal not understood", reason=str(error))
                return
            self._take(request)

    def _take(self, request: messages.AnyRequest) -> None:
        match request:
            case messages.ListCalls():
                self.say(self._list(request.id))
            case messages.Listen():
                self._listen(request)
            case messages.Ignore():
                self._ignore(request.call)
                self.say(messages.Done(id=request.id))
            case messages.WatchLevels():
                self._watch_levels(request.watch, request.ignore)
                self.say(messages.Done(id=request.id))
            case messages.Pause():
                self._ask(request, commands.Pause("person", request.sign, request.who))
            case messages.Resume():
                self._ask(request, commands.Resume("person", request.sign, request.who))
            case messages.Start():
                self._ask(request, commands.StartRecording(request.sign, request.who))
            case messages.Stop():
                self._ask(request, commands.StopRecording(request.sign, request.who))

    def _ask(
        self,
        request: messages.Control,
        command: commands.Command,
    ) -> None:
        call = self._calls.get(request.call)
        if call is None:
            self._fail(request.id, "no-such-call", NO_SUCH_CALL)
        elif self._asked >= MOST_REQUESTS:
            self._fail(request.id, "unanswered", f"{MOST_REQUESTS} requests of this portal are waiting already.")
        else:
            self._asked += 1
            left_s = (request.before_ns - time.monotonic_ns()) / 1e9
            call.mailbox.post((command,), self._replier(request.id), until_s=trio.current_time() + left_s)

    def _replier(self, request_id: int) -> Callable[[Done | Unanswered], None]:
        def reply(answer: Done | Unanswered) -> None:
            self._asked -= 1
            if isinstance(answer, Unanswered):
                self._fail(request_id, "unanswered", str(answer))
            elif answer.refusal is not None:
                self._fail(request_id, "refused", answer.refusal.reason, answer.refusal.why)
            else:
                state, position_ns = answer.state, answer.state.position_ns(answer.state.since)
                word, position_s = messages.recording_of(state), messages.seconds(position_ns)
                self.say(messages.Answer(id=request_id, state=word, position_s=position_s))

        return reply

    def _fail(self, request_id: int, trouble: Trouble, reason: str, why: str = "") -> None:
        self.say(messages.Failed(id=request_id, trouble=trouble, reason=reason, why=why))

    def _list(self, request_id: int) -> messages.Calls:
        now = instant()
        lines = [
            messages.CallLine(call.id, messages.recording_of(call.state), messages.seconds(call.state.position_ns(now)))
            for call in self._calls.values()
            if call.state is not None
        ]
        return messages.Calls(id=request_id, calls=tuple(lines))

    def _listen(self, request: messages.Listen) -> None:
        call = self._calls.get(request.call)
        if call is None or call.state is None:
            self._fail(request.id, "no-such-call", NO_SUCH_CALL)
            return
        self.say(messages.Done(id=request.id))
        self.say(messages.status_of(call.id, call.state, instant()))
        if call.id not in self._ears:
            ear = self._ears[call.id] = Ear(self, call.id)
            call.tap(ear)

    def _ignore(self, call_id: UUID) -> None:
        ear = self._ears.pop(call_id, None)
        call = self._calls.get(call_id)
        if ear is not None and call is not None:
            call.untap(ear)

    def _watch_levels(self, watch: tuple[UUID, ...], ignore: tuple[UUID, ...]) -> None:
        for call_id in ignore:
            meter, call = self._meters.pop(call_id, None), self._calls.get(call_id)
            if meter is not None and call is not None:
                call.untap(meter)
        for call_id in watch:
            call = self._calls.get(call_id)
            if call_id not in self._meters and call is not None and call.state is not None:
                meter = self._meters[call_id] = Meter(call.state)
                call.tap(meter)
        if self._meters:
            self._metered.set()

    async def _measure(self) -> None:
        while True:
            await self._metered.wait()
            self._metered = trio.Event()
            due = trio.current_time()
            while self._meters:
                now_ns = time.monotonic_ns()
                gone = [call_id for call_id in self._meters if call_id not in self._calls]
                levels = {call_id: meter.read(now_ns) for call_id, meter in self._meters.items()}
                for call_id in gone:
                    del self._meters[call_id]
                if len(self._waiting) < MOST_BEFORE_LEVELS:
                    self.say(messages.Levels(levels=levels))
                due = max(due + LEVELS_EVERY_S, trio.current_time())
                await trio.sleep_until(due)

    async def _tell_time(self) -> None:
        while True:
            self.say(messages.Clock(now_ns=time.monotonic_ns()))
            await trio.sleep(CLOCK_EVERY_S)

    async def _send(self) -> None:
        while True:
            if not self._waiting:
                self._wake = trio.Event()
                with trio.move_on_after(BEAT_S if self._ears else float("inf")):
                    await self._wake.wait()
            with trio.fail_after(SEND_S):
                await self._socket.send_message(self._next())

    def _next(self) -> str | bytes:
        """The next message: a text that is first in line, or all visits before the next text."""
        if self._waiting and isinstance(self._waiting[0], str):
            return str(self._waiting.popleft())
        visits: list[bytes] = []
        while self._waiting and isinstance(first := self._waiting[0], _Waiting):
            visits.append(first.data)
            self._waiting_bytes -= len(first.data)
            self._waiting.popleft()
        return messages.pack_batch(time.monotonic_ns(), visits)


class Ear:
    """A portal's tap on a call that somebody listens to."""

    often = True
    __slots__ = ("_call_id", "_key", "_peer")

    def __init__(self, peer: Peer, call_id: UUID) -> None:
        self._peer = peer
        self._call_id = call_id
        self._key = call_id.bytes

    def take(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """Pass the visit on as it is."""
        packed = messages.pack_visit(self._key, rows, headers, packets, realtime_ns, monotonic_ns)
        self._peer.pass_on(self._call_id, rows, monotonic_ns, packed)

    def tell(self, event: AnyEvent, state: CallState) -> None:
        """Say how the call is now, where that changed."""
        if isinstance(event, StreamsAgreed | Paused | Resumed | Ended):
            self._peer.say(messages.status_of(self._call_id, state, event.at))

    def close(self) -> None:
        """The call is over, or this ear has failed."""
        self._peer.forget(self._call_id, self)
