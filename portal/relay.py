"""The relay of one call: one upstream from the engine, any number of listeners.

The call is composed once. Each listener has a queue of his own, a second long: who does not keep up loses what waits
for him, is told how many frames that were, and slows nobody.

When the line to the engine breaks, listeners are told and kept: the engine, or the network, may be back in a moment.

What listeners are given (docs/live.md): mappings, to be sent as JSON text, and frames as bytes.

Not here: connections to engines (`gateways.py`), websockets and permissions (`listening.py`).
"""

import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import structlog
import trio

from live.client import Feed, Gateway, GatewayError, Heard, NoSuchCall, Unanswered, Unreachable
from live.messages import Dropped, Recording, Status, seconds
from portal.composer import RATE_HZ, Composer, Sound

log = structlog.get_logger()

# version u8, flags u8, samples a channel u16, sequence u32, position of the first sample in s f64
FRAME: Final = struct.Struct("<BBHId")
VERSION: Final = 1
GAP: Final = 1
# What waits for one listener. Older sound is not live any more.
MOST_QUEUED: Final = RATE_HZ
# How long listeners wait for an engine that was lost. `earshot run` starts one again within seconds.
RETURN_S: Final = 15.0
# A frame is given out once this much of its length is there: the engine's visits come a little early or late.
LEAST_OF_FRAME: Final = 0.75

# Close codes of a listener's websocket (docs/live.md).
NO_SUCH_CALL: Final = 4404
CALL_ENDED: Final = 4409
NO_ANSWER: Final = 4504

Message = dict[str, Any] | bytes
Connect = Callable[[float], Awaitable[Gateway]]
"""connect(patience in s): the connection to the call's engine. Errors: `Unreachable`, `Unanswered`."""


class Listener:
    """One browser's queue. Iteration ends when there is nothing more to hear; `close_code` then says why."""

    def __init__(self) -> None:
        self.close_code = CALL_ENDED
        self._waiting: deque[tuple[Message, int]] = deque()
        self._samples = 0
        self._gap = False
        self._closed = False
        self._wake = trio.Event()

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            await self._wake.wait()
        message, samples = self._waiting.popleft()
        self._samples -= samples
        return message

    def tell(self, message: dict[str, Any]) -> None:
        """Words are never lost."""
        self._put(message, 0)

    def hear(self, frame: bytes, samples: int) -> None:
        """Add a frame; where too much waits, that is lost and told."""
        if self._samples and self._samples + samples > MOST_QUEUED:
            self._lose()
        if self._gap:
            self._gap = False
            frame = frame[:1] + bytes([frame[1] | GAP]) + frame[2:]
        self._put(frame, samples)

    def close(self, code: int) -> None:
        """Nothing more comes; what waits is still given."""
        if not self._closed:
            self.close_code = code
            self._closed = True
            self._ring()

    def _lose(self) -> None:
        lost = 0
        words: deque[tuple[Message, int]] = deque()
        for message, samples in self._waiting:
            if isinstance(message, bytes):
                lost += 1
            elif message["type"] == "dropped":
                lost += message["frames"]
            else:
                words.append((message, samples))
        self._waiting, self._samples, self._gap = words, 0, True
        self.tell({"type": "dropped", "frames": lost})

    def _put(self, message: Message, samples: int) -> None:
        if not self._closed:
            self._waiting.append((message, samples))
            self._samples += samples
            self._ring()

    def _ring(self) -> None:
        self._wake.set()
        self._wake = trio.Event()


class Relay:
    """One call. `run` is its task; it ends when the call does, or when nobody knows of it any more."""

    def __init__(self, call_id: UUID, connect: Connect, frame_ms: Callable[[], int]) -> None:
        self.listeners: set[Listener] = set()
        self._call_id = call_id
        self._connect = connect
        self._frame_ms = frame_ms
        self._composer: Composer | None = None
        self._status: Status | None = None
        self._now_ns = 0
        self._frames = 0
        self._scope = trio.CancelScope()
        self._settled = trio.Event()
        self._failure: GatewayError | None = None

    def join(self) -> Listener:
        """A further listener. He hears from now on."""
        listener = Listener()
        self.listeners.add(listener)
        if self._status is not None:
            listener.tell(self._hello(self._status))
        return listener

    def leave(self, listener: Listener) -> None:
        """This listener hears nothing more; without any the relay ends."""
        self.listeners.discard(listener)
        if not self.listeners:
            self._scope.cancel()

    async def wait_until_heard(self) -> None:
        """Return once the engine has said how the call is. Errors: any `GatewayError`, when it did not."""
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def run(self) -> None:
        """Follow the call. Never raises but when cancelled from above."""
        code = NO_ANSWER
        try:
            with self._scope:
                code = await self._follow()
        except GatewayError as error:
            self._failure = error
        except Exception:
            log.exception("relay failed", call=str(self._call_id))
            self._failure = Unanswered("The portal failed on this call's sound; the recording is not affected.")
        finally:
            self._settled.set()
            for listener in self.listeners:
                listener.close(code)

    async def _follow(self) -> int:
        """Until the call is over, or given up. Gives the code that listeners are closed with.

        Errors: any `GatewayError` before the engine said anything of the call.
        """
        patience_s = 0.0
        while True:
            try:
                gateway = await self._connect(patience_s)
                async with gateway.listen(self._call_id) as feed:
                    await self._pass_on(feed)
                return CALL_ENDED
            except NoSuchCall:
                if self._status is None:
                    raise
                self._tell({"type": "ended", "end": None})  # while the line was broken
                return CALL_ENDED
            except (Unreachable, Unanswered) as error:
                if self._status is None:
                    raise
                if patience_s and self._composer is None:
                    self._tell({"type": "error", "trouble": "gone"})
                    return NO_ANSWER
                log.warning("line to the engine lost", call=str(self._call_id), reason=str(error))
                self._tell({"type": "error", "trouble": "lost"})
                self._composer = None
                patience_s = RETURN_S

    async def _pass_on(self, feed: Feed) -> None:
        async for what in feed:
            if isinstance(what, Status):
                self._turn(what)
            elif self._composer is None or self._status is None:
                continue
            elif isinstance(what, Dropped):
                self._composer.lose()
            else:
                self._hear(self._composer, what, self._status.recording)

    def _hear(self, composer: Composer, heard: Heard, recording: Recording) -> None:
        self._now_ns = heard.now_ns
        for visit in heard.visits:
            composer.take(visit)
        if recording == "recording":
            least = round(LEAST_OF_FRAME * self._frame_ms() * RATE_HZ / 1000)
            self._give(composer.give(heard.now_ns, least))

    def _turn(self, status: Status) -> None:
        """The call is another way now; what came before belongs before it."""
        before, composer = self._status, self._composer
        self._status = status
        self._now_ns = status.started.monotonic_ns + round(status.position_s * 1e9)
        if composer is None or before is None:
            composer = self._composer = Composer(status)
            if before is not None:
                composer.lose()
            self._settled.set()
            self._tell(self._hello(status))
        else:
            composer.agree(status.streams)
            if before.recording == "recording" and status.recording != "recording":
                self._give(composer.give_rest(status.position_s))
            elif before.recording == "paused" and status.recording == "recording":
                composer.skip_to(status.position_s)
            if status.recording != before.recording and not status.end:
                self._tell(
                    {"type": "state", "recording": status.recording, "at_s": status.position_s, "by": status.by or None}
                )
        if status.end:
            self._tell({"type": "ended", "end": status.end})

    def _hello(self, status: Status) -> dict[str, Any]:
        return {
            "type": "hello",
            "call_id": str(self._call_id),
            "rate_hz": RATE_HZ,
            "channels": 2,
            "frame_ms": self._frame_ms(),
            "recording": status.recording,
            "position_s": seconds(self._now_ns - status.started.monotonic_ns),
        }

    def _tell(self, message: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener.tell(message)

    def _give(self, sound: Sound | None) -> None:
        if sound is None or not len(sound.samples):
            return
        count = len(sound.samples)
        head = FRAME.pack(VERSION, GAP if sound.gap else 0, count, self._frames & 0xFFFFFFFF, sound.position_s)
        frame = head + sound.samples.tobytes()
        self._frames += 1
        for listener in self.listeners:
            listener.hear(frame, count)
