"""A stream of a dialled call on the wire: RTP every ptime, digits, RTCP, and the faults that networks add.

The audio goes by the clock of the call: what is not sent, because the stream is suspended or the packet was lost on
purpose, is gone, and the timestamps go on. Nothing here knows SIP.
"""

import heapq
import math
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import trio
from numpy.typing import NDArray

from actors.dial.errors import DialError
from actors.dial.sources import RATE_HZ, Samples, Source, Tone
from actors.dial.wire import Address
from engine.errors import LocalProtocolError
from engine.g711 import encode_alaw, encode_ulaw
from engine.rtp import DIGITS, Packet, TelephoneEvent, serialize, serialize_event
from engine.sdp import PCMA, PCMU, TELEPHONE_EVENT, Codec
from engine.sip.timetable import Timetable

CodecName = Literal["pcmu", "pcma"]

# Each party is a tone, so that one can tell by ear and by FFT which channel is whose.
CALLER_TONE: Final = Tone(440.0)
CALLEE_TONE: Final = Tone(1000.0)
# What is due within this time goes out together; networks do worse to the spacing of packets.
BATCH_S: Final = 0.002
SHORTEST_PTIME_MS: Final = 10
LONGEST_PTIME_MS: Final = 60
# Keys on a phone: long enough for every detector (ITU-T Q.24 asks for 40 ms at least), and fast typing.
DIGIT_MS: Final = 100
DIGIT_GAP_MS: Final = 60
# The end of an event comes three times, in case a packet is lost (RFC 4733 section 2.5.1.4).
EVENT_ENDS: Final = 3

_CODECS: Final[dict[CodecName, tuple[Codec, Callable[[Samples], NDArray[np.uint8]]]]] = {
    "pcmu": (PCMU, encode_ulaw),
    "pcma": (PCMA, encode_alaw),
}
_NTP_EPOCH_S: Final = 2_208_988_800  # from 1900 to 1970
_SENDER_REPORT: Final = struct.Struct(">BBHIIIIII")
_PAIR_TRIALS: Final = 100


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """What the streams of a call carry, and how badly.

    `loss` is the share of packets that are lost, `jitter_ms` the longest that one is delayed (packets may overtake
    each other), both by a generator seeded with `seed`. `skew_ppm` is how much faster than ours the clocks of caller
    and callee run. With `send_while_suspended` packets keep coming in a pause, as from a phone system that
    does not stop.
    """

    caller: Source = CALLER_TONE
    callee: Source = CALLEE_TONE
    codec: CodecName = "pcmu"
    ptime_ms: int = 20
    loss: float = 0.0
    jitter_ms: float = 0.0
    skew_ppm: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    send_while_suspended: bool = False
    report_s: float = 5.0

    def __post_init__(self) -> None:
        """Errors: LocalProtocolError for a value out of range."""
        if not SHORTEST_PTIME_MS <= self.ptime_ms <= LONGEST_PTIME_MS:
            raise LocalProtocolError(f"A packet holds {SHORTEST_PTIME_MS} to {LONGEST_PTIME_MS} ms.")
        if not 0 <= self.loss <= 1 or self.jitter_ms < 0 or self.report_s <= 0:
            raise LocalProtocolError("The loss is a share from 0 to 1; jitter and report interval are no less than 0.")

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """What is offered: one codec and the digits."""
        return _CODECS[self.codec][0], TELEPHONE_EVENT


@dataclass(slots=True)
class _Press:
    """A key while it is down: the event goes out until `until`, the gap after it lasts until `over` (in samples)."""

    event: int
    since: int
    until: int
    over: int
    ended: bool = False


class MediaStream:
    """One stream, from sockets of its own. A `Pacer` lets it send; `port` is the RTP port, RTCP is on the next one."""

    def __init__(self, config: MediaConfig, source: Source, skew_ppm: float, index: int, host: str) -> None:
        """Errors: `DialError` where no pair of ports can be opened."""
        self._config = config
        self._source = source
        self._codec, self._encode = _CODECS[config.codec]
        self._step = RATE_HZ * config.ptime_ms // 1000
        self._second = RATE_HZ * (1 + skew_ppm / 1e6)  # samples that this stream's clock counts in a second of ours
        self._rng = np.random.default_rng((config.seed, index))
        self._rtp, self._rtcp = _open_pair(host)
        self.port = int(self._rtp.getsockname()[1])
        self.ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._base = secrets.randbits(32)
        self._to: Address | None = None
        self._event_type: int | None = None
        self._digits: deque[int] = deque()
        self._idle = trio.Event()
        self._press: _Press | None = None
        self._delayed: list[tuple[float, int, bytes]] = []
        self._octets = 0
        self._start = self._report_at = math.inf
        self._position = 0
        self._marker = True
        self.suspended = False
        self.sent = 0
        self.lost = 0

    def connect(self, to: Address | None, event_type: int | None) -> None:
        """Where the recorder wants the stream (None: nowhere), and the payload type that it takes digits as."""
        self._to, self._event_type = to, event_type

    async def press(self, digits: str) -> None:
        """Presses keys, and returns when the last one is up again. Suspended, nobody hears them.

        Errors: LocalProtocolError for what is no key, `DialError` where the recorder takes none.
        """
        if not digits or any(digit not in DIGITS for digit in digits.upper()):
            raise LocalProtocolError(f"{digits!r} are no keys: there are {DIGITS}.")
        if self._event_type is None:
            raise DialError("The recorder takes no telephone-events on this stream.")
        self._digits.extend(DIGITS.index(digit) for digit in digits.upper())
        if self._idle.is_set():
            self._idle = trio.Event()
        await self._idle.wait()

    def start(self, now: float) -> float:
        """Begins at this time; returns when it is due, which is at once."""
        self._start, self._report_at = now, now + self._config.report_s / 2
        return now

    def advance(self, now: float) -> float:
        """Sends what is due; returns when to be called again."""
        while self._delayed and self._delayed[0][0] <= now:
            self._put(heapq.heappop(self._delayed)[2])
        if now >= self._due:
            self._tick(self._position, now)
            self._position += self._step
        if now >= self._report_at:
            self._report(self._position)
            self._report_at += self._config.report_s
        return min(self._due, self._delayed[0][0]) if self._delayed else self._due

    def close(self) -> None:
        """Sends no more."""
        self._idle.set()
        self._rtp.close()
        self._rtcp.close()

    @property
    def _due(self) -> float:
        return self._start + self._position / self._second

    def _tick(self, position: int, now: float) -> None:
        press = self._press
        if press is None and self._digits:
            until = position + DIGIT_MS * RATE_HZ // 1000
            press = _Press(self._digits.popleft(), position, until, until + DIGIT_GAP_MS * RATE_HZ // 1000)
            self._press = press
        elif press is None:
            self._idle.set()
        if press is not None and not press.ended:
            self._send_event(press, position + self._step, now)
            return
        if press is not None and position + self._step >= press.over:
            self._press = None
        samples = self._source(position, self._step)
        self._emit(self._codec.payload_type, position, self._encode(samples).tobytes(), now)

    def _send_event(self, press: _Press, reached: int, now: float) -> None:
        """All packets of an event bear the timestamp of its beginning (RFC 4733 section 2.5.1)."""
        press.ended = reached >= press.until
        event = TelephoneEvent(press.event, reached - press.since, press.ended)
        self._marker |= reached == press.since + self._step
        for _ in range(EVENT_ENDS if press.ended else 1):
            self._emit(self._event_type or TELEPHONE_EVENT.payload_type, press.since, serialize_event(event), now)

    def _emit(self, payload_type: int, position: int, payload: bytes, now: float) -> None:
        if self._to is None or (self.suspended and not self._config.send_while_suspended):
            self._marker = True
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        timestamp = (self._base + position) & 0xFFFFFFFF
        packet = Packet(payload_type, self._sequence, timestamp, self.ssrc, payload, self._marker)
        self._marker = False
        if self._config.loss and self._rng.random() < self._config.loss:
            self.lost += 1
        elif self._config.jitter_ms:
            at = now + self._rng.random() * self._config.jitter_ms / 1000
            heapq.heappush(self._delayed, (at, self.sent + len(self._delayed), serialize(packet)))
        else:
            self._put(serialize(packet))

    def _put(self, data: bytes) -> None:
        if self._to is None:
            return
        try:
            self._rtp.sendto(data, self._to)
        except OSError:
            self.lost += 1
            return
        self.sent += 1
        self._octets += len(data)

    def _report(self, position: int) -> None:
        """A sender report and a source description (RFC 3550 sections 6.4.1 and 6.5)."""
        if self._to is None or not self.sent:
            return
        seconds, fraction = divmod(time.time() + _NTP_EPOCH_S, 1)
        report = _SENDER_REPORT.pack(
            0x80,
            200,
            6,
            self.ssrc,
            int(seconds),
            int(fraction * 2**32),
            (self._base + position) & 0xFFFFFFFF,
            self.sent & 0xFFFFFFFF,
            self._octets & 0xFFFFFFFF,
        )
        name = f"{self.ssrc:08x}@earshot".encode()
        items = bytes((1, len(name))) + name
        items += bytes(4 - len(items) % 4)
        description = struct.pack(">BBHI", 0x81, 202, 1 + len(items) // 4, self.ssrc) + items
        try:
            self._rtcp.sendto(report + description, (self._to[0], self._to[1] + 1))
        except OSError:
            return  # a report that is lost is followed by the next one


class Pacer:
    """Lets streams send when they are due, in one task for all of them: a task's sleep costs more than a packet."""

    def __init__(self) -> None:
        self._due: Timetable[MediaStream] = Timetable()
        self._alarm = trio.CancelScope()

    def add(self, stream: MediaStream) -> None:
        """Lets a stream begin."""
        self._due.set(stream, stream.start(trio.current_time()))
        self._alarm.cancel()

    def drop(self, stream: MediaStream) -> None:
        """Forgets a stream, whether it was added or not."""
        self._due.drop(stream)

    async def run(self) -> None:
        """The task. Runs until it is cancelled."""
        now = -math.inf
        while True:
            due = self._due.next()
            with trio.CancelScope(deadline=math.inf if due is None else max(due, now + BATCH_S)) as self._alarm:
                await trio.sleep_forever()
            now = trio.current_time()
            while (stream := self._due.pop_due(now)) is not None:
                self._due.set(stream, stream.advance(now))


def _open_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """An even port and the one behind it (RFC 3550 section 11), as the system gives them out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_PAIR_TRIALS):
        first = second = None
        try:
            first, second = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
            first.bind((host, 0))
            port = int(first.getsockname()[1])
            second.bind((host, port ^ 1))
        except OSError as error:
            for each in (first, second):
                if each is not None:
                    each.close()
            if second is None:
                raise DialError(f"No socket can be opened for the audio: {error.strerror}.") from error
            continue
        first.setblocking(False)
        second.setblocking(False)
        return (first, second) if port % 2 == 0 else (second, first)
    raise DialError("No pair of free ports was found for the audio.")
