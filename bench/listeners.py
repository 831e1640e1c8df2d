"""Calls whose every packet is known again at a listener's websocket: how long did it take?

Each packet holds one G.711 code only, and its number modulo CODES is the code. A listener that finds a whole packet's
samples in what it is sent knows which packet that was, and so when it was sent. Both clocks are the same one: the load
sends and listens.

Not here: tables, other calls (`latency.py`).
"""

import itertools
import json
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from actors.dial import Dialer, Session
from bench.machine import BenchError
from bench.programs import LOOPBACK
from engine.g711 import decode_ulaw

PTIME_S: Final = 0.02
PACKET_SAMPLES: Final = 160
# Mu-law codes 0x80 to 0xBF are all different, none is near silence, and 64 packets take longer than any latency.
FIRST_CODE: Final = 0x80
CODES: Final = 64
# Packets of one 20 ms are sent in so many bursts, as phone systems are not in step with each other.
BURSTS: Final = 10
# The listeners' websocket: what stands before the samples of a frame (docs/live.md).
FRAME_HEADER: Final = struct.Struct("<BBHId")
NUMBER_FIRST: Final = 9000

_decoded: Final = decode_ulaw(np.arange(FIRST_CODE, FIRST_CODE + CODES, dtype=np.uint8))
_number_of_sample: Final = np.full(65536, -1, dtype=np.int16)
_number_of_sample[_decoded.astype(np.int32) + 32768] = np.arange(CODES)


@dataclass(slots=True)
class Probe:
    """One call whose packets are known again. `sent_s` is when each packet was sent last, (2 sides, CODES)."""

    number: str
    session: Session
    sockets: tuple[socket.socket, ...]
    sent_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, CODES)))
    sent: int = 0


@dataclass(slots=True)
class Heard:
    """What one listener heard: each packet's seconds from the sender to here, and frames that it missed."""

    latencies_s: list[float] = field(default_factory=list)
    frame_ms: int = 0
    dropped: int = 0
    ended: str = ""


async def dial_probes(dialer: Dialer, count: int) -> list[Probe]:
    """Dial so many calls of two streams each."""
    probes = []
    for i in range(count):
        sockets = tuple(socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for each in sockets:
            each.bind((LOOPBACK, 0))
        number = f"+1202555{NUMBER_FIRST + i:04d}"
        session = await dialer.call(
            number, f"{NUMBER_FIRST + i}", media=None, ports=[s.getsockname()[1] for s in sockets]
        )
        for each, port in zip(sockets, session.remote_ports, strict=True):
            each.connect((LOOPBACK, port))
        probes.append(Probe(number, session, sockets))
    return probes


async def send(probes: Sequence[Probe]) -> None:
    """Send all probes' packets until cancelled."""
    started_s = trio.current_time()
    number = 0
    while True:
        for burst in range(BURSTS):
            await trio.sleep_until(started_s + (number + burst / BURSTS) * PTIME_S)
            for probe in probes[burst::BURSTS]:
                for side in (0, 1):
                    _send(probe, side, number)
        number += 1


def _send(probe: Probe, side: int, number: int) -> None:
    header = struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, number * PACKET_SAMPLES & 0xFFFFFFFF, 7 + side)
    payload = bytes([FIRST_CODE + number % CODES]) * PACKET_SAMPLES
    probe.sent_s[side, number % CODES] = time.monotonic()
    probe.sockets[side].send(header + payload)
    probe.sent = number + 1


async def listen(url: str, token: str, probe: Probe, heard: Heard) -> None:
    """Listen to a probe's call until cancelled, or until the portal ends it."""
    async with open_websocket_url(url, extra_headers=[(b"Authorization", b"Bearer " + token.encode())]) as websocket:
        try:
            await _take(websocket, probe, heard)
        except ConnectionClosed as closed:
            heard.ended = str(closed.reason)


async def _take(websocket: WebSocketConnection, probe: Probe, heard: Heard) -> None:
    sides = (Packets(), Packets())
    while True:
        message = await websocket.get_message()
        now_s = time.monotonic()
        if isinstance(message, str):
            _note(json.loads(message), heard)
            continue
        version, _, count, _, _ = FRAME_HEADER.unpack_from(message)
        if version != 1:
            raise BenchError(f"Frames are of version {version}; this bench reads version 1.")
        samples = np.frombuffer(message, np.int16, count * 2, FRAME_HEADER.size).reshape(count, 2)
        numbers = _number_of_sample[samples.astype(np.int32) + 32768]
        for side in (0, 1):
            for packet in sides[side].whole(numbers[:, side]):
                heard.latencies_s.append(now_s - probe.sent_s[side, packet])


def _note(told: dict[str, object], heard: Heard) -> None:
    if told["type"] == "hello":
        heard.frame_ms = int(str(told["frame_ms"]))
    elif told["type"] == "dropped":
        heard.dropped += int(str(told["frames"]))


class Packets:
    """Finds whole packets in a side's samples, frame by frame."""

    def __init__(self) -> None:
        self._number = -1
        self._count = 0

    def whole(self, numbers: NDArray[np.int16]) -> list[int]:
        """Packets of which the last sample is in this frame. `numbers`: the packet of each sample, -1 for none."""
        found = []
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for first, last in itertools.pairwise(edges):
            number = int(numbers[first]) if last > first else -1
            if number != self._number:
                self._number, self._count = number, 0
            self._count += last - first
            if number >= 0 and self._count == PACKET_SAMPLES:
                found.append(number)
        return found
