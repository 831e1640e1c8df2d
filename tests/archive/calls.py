"""Calls as the engine would have left them: packets with their arrivals, and events, written to a sealed journal.

Times are ns since the call's start. Nothing here decodes or judges; tests and benches do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from engine import events, g711, rtp
from engine.events import Codec, Ended, Instant, Origin, Started, Stream, StreamsAgreed
from engine.journal import ROW, JournalWriter
from engine.keys import archive_private_key, public_bytes

CALL_ID = UUID("6f6b1c1e-5d5c-4b7e-9a61-0a1b2c3d4e5f")
PRIVATE_KEY: X25519PrivateKey = archive_private_key(bytes(range(32)))
REALTIME_NS = 1_772_668_800_000_000_000  # 2026-03-05 00:00:00 UTC
MONOTONIC_NS = 5_000_000_000_000
SECOND = 1_000_000_000
MS = 1_000_000
RATE_HZ = 8000
VISIT_NS = 200 * MS
CALLER_HZ, CALLEE_HZ = 440, 1000
PCMU, PCMA = Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000)
CN, EVENTS = Codec(13, "CN", 8000), Codec(101, "telephone-event", 8000)
CODECS = (PCMU, PCMA, CN, EVENTS)

Samples = NDArray[np.int16]


def instant(at_ns: int) -> Instant:
    """A moment of the call, on both clocks."""
    return Instant(REALTIME_NS + at_ns, MONOTONIC_NS + at_ns)


def tone(hz: float, seconds: float, peak: int = 10_000, rate_hz: int = RATE_HZ) -> Samples:
    """A sine."""
    return np.rint(peak * np.sin(2 * np.pi * hz / rate_hz * np.arange(round(seconds * rate_hz)))).astype(np.int16)


def stream(index: int, side: events.Side, codecs: tuple[Codec, ...] = CODECS, dialog: int = 0) -> Stream:
    """An agreed stream; its label is its index."""
    return Stream(index, dialog, str(index), side, 10_000 + 2 * index, codecs=codecs)


STREAMS = (stream(0, "caller"), stream(1, "callee"))


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet and when it arrived. `received_ns` is by the kernel's realtime clock, where that one lies."""

    arrival_ns: int
    stream: int
    packet: rtp.Packet
    received_ns: int | None = None


def packetize(
    samples: Samples,
    index: int,
    *,
    start_ns: int = 0,
    codec: Codec = PCMU,
    ssrc: int | None = None,
    sequence: int = 65_000,
    timestamp: int = 2**32 - 4000,
    ptime_ms: int = 20,
    ppm: float = 0.0,
) -> list[Sent]:
    """A stream whose first sample is said at `start_ns`. Each packet arrives when its last sample was said.

    `ppm` is how much the sender's clock is slow: what it takes for a second is that much longer.
    """
    size = RATE_HZ * ptime_ms // 1000
    encode = g711.encode_ulaw if codec.name == "PCMU" else g711.encode_alaw
    payload = encode(samples).tobytes()
    return [
        Sent(
            start_ns + round((at + size) * SECOND / RATE_HZ * (1 + ppm / 1e6)),
            index,
            rtp.Packet(
                codec.payload_type,
                (sequence + i) & 0xFFFF,
                (timestamp + at) & 0xFFFFFFFF,
                0x1000 + index if ssrc is None else ssrc,
                payload[at : at + size],
                marker=i == 0,
            ),
        )
        for i, at in enumerate(range(0, len(payload) - size + 1, size))
    ]


def jitter(sent: Iterable[Sent], delays_ns: Callable[[int], int]) -> list[Sent]:
    """The same packets, packet i later by `delays_ns(i)`; they are not put in order."""
    return [replace(one, arrival_ns=one.arrival_ns + delays_ns(i)) for i, one in enumerate(sent)]


@dataclass
class Script:
    """A call: what was sent, and what was decided when."""

    sent: list[Sent] = field(default_factory=list)
    told: list[events.AnyEvent] = field(default_factory=list)
    streams: Sequence[Stream] = STREAMS
    ended_ns: int | None = None
    call_id: UUID = CALL_ID

    def journal(self, path: Path, private_key: X25519PrivateKey = PRIVATE_KEY) -> None:
        """Writes the journal: visits every VISIT_NS, and one before each event."""
        writer = JournalWriter(str(path), self.call_id, public_bytes(private_key))
        every = [
            Started(at=instant(0), call_id=str(self.call_id), node="node-1", origin=Origin("dialog-0@sbc")),
            StreamsAgreed(at=instant(0), dialog=0, streams=tuple(self.streams)),
            *self.told,
        ]
        if self.ended_ns is not None:
            every.append(Ended(at=instant(self.ended_ns), end="normal"))
        waiting = sorted(self.sent, key=lambda one: one.arrival_ns)
        visit, at = VISIT_NS, 0
        for number, event in enumerate(sorted(every, key=lambda e: e.at.monotonic_ns), 1):
            while visit < event.at.monotonic_ns - MONOTONIC_NS:
                at = self._visit(writer, waiting, at, visit)
                visit += VISIT_NS
            at = self._visit(writer, waiting, at, event.at.monotonic_ns - MONOTONIC_NS)
            writer.append_event(number, events.encode(event), event.at.realtime_ns, event.at.monotonic_ns)
        while at < len(waiting):
            at = self._visit(writer, waiting, at, visit)
            visit += VISIT_NS
        writer.close()

    def finished(self, data_dir: Path, private_key: X25519PrivateKey = PRIVATE_KEY) -> Path:
        """Writes the journal to where the engine leaves ended calls; gives its folder."""
        folder = data_dir / "spool" / "finished" / str(self.call_id)
        folder.mkdir(parents=True)
        self.journal(folder / "journal", private_key)
        return folder

    @staticmethod
    def _visit(writer: JournalWriter, waiting: list[Sent], begin: int, at_ns: int) -> int:
        end = begin
        while end < len(waiting) and waiting[end].arrival_ns <= at_ns:
            end += 1
        if end == begin:
            return end
        rows = sorted(waiting[begin:end], key=lambda one: one.stream)  # a visit drains one socket after the other
        packets = [rtp.serialize(one.packet) for one in rows]
        headers = np.zeros(len(rows), ROW)
        received = np.array(
            [REALTIME_NS + (o.arrival_ns if o.received_ns is None else o.received_ns) for o in rows], np.int64
        )
        headers["arrival_s"], headers["arrival_ns"] = received // SECOND, received % SECOND
        headers["stream"] = [one.stream for one in rows]
        headers["length"] = [len(packet) for packet in packets]
        writer.append_packets(
            len(rows), headers.tobytes(), b"".join(packets), REALTIME_NS + at_ns, MONOTONIC_NS + at_ns
        )
        return end


def two_tones(seconds: float = 3.0) -> Script:
    """The caller is 440 Hz, the callee 1,000 Hz."""
    sent = packetize(tone(CALLER_HZ, seconds), 0) + packetize(tone(CALLEE_HZ, seconds), 1)
    return Script(sent, ended_ns=round(seconds * SECOND) + 10 * MS)


def level(samples: NDArray[np.floating] | Samples, hz: float, rate_hz: int = RATE_HZ) -> float:
    """The peak amplitude of a sine of `hz` in the samples."""
    window = np.hanning(len(samples))
    wave = np.exp(-2j * np.pi * hz / rate_hz * np.arange(len(samples)))
    return float(2 * abs((samples * window) @ wave) / window.sum())


def long_journal(path: Path, seconds: int, voices: tuple[Samples, Samples]) -> None:
    """A call of two G.711 streams at 20 ms, of any length in short time: the voices are said over and over."""
    writer = JournalWriter(str(path), CALL_ID, public_bytes(PRIVATE_KEY))
    start = Started(at=instant(0), call_id=str(CALL_ID), node="node-1", origin=Origin("dialog-0@sbc"))
    agreed = StreamsAgreed(at=instant(0), dialog=0, streams=STREAMS)
    for number, event in enumerate((start, agreed), 1):
        writer.append_event(number, events.encode(event), event.at.realtime_ns, event.at.monotonic_ns)
    visit = np.arange(10)  # 200 ms: ten packets of each stream
    payloads = [g711.encode_ulaw(voice[: len(voice) // 1600 * 1600]).reshape(-1, 10, 160) for voice in voices]
    rows = np.zeros((2, 10, 172), np.uint8)
    rows[:, :, 0] = 0x80
    rows[:, :, 8:12] = np.array([[[1, 1, 1, 1]], [[2, 2, 2, 2]]])
    headers = np.zeros((2, 10), ROW)
    headers["stream"][1] = 1
    headers["length"] = 172
    for i in range(seconds * 5):
        packet = visit + 10 * i
        received = REALTIME_NS + (packet + 1) * 20 * MS
        headers["arrival_s"], headers["arrival_ns"] = received // SECOND, received % SECOND
        rows[:, :, 2:4] = packet.astype(">u2").view(np.uint8).reshape(10, 2)
        rows[:, :, 4:8] = (packet * 160).astype(">u4").view(np.uint8).reshape(10, 4)
        for side, payload in enumerate(payloads):
            rows[side, :, 12:] = payload[i % len(payload)]
        at_ns = (i + 1) * VISIT_NS
        writer.append_packets(20, headers.tobytes(), rows.tobytes(), REALTIME_NS + at_ns, MONOTONIC_NS + at_ns)
    ended = Ended(at=instant(seconds * SECOND), end="normal")
    writer.append_event(3, events.encode(ended), ended.at.realtime_ns, ended.at.monotonic_ns)
    writer.close()
