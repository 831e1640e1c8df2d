"""Meters: the level that was sent, on the side that sent it, and nothing of a pause."""

import itertools

import numpy as np
import pytest

from engine.call import CallState, apply
from engine.events import Codec, Ended, Instant, Origin, Paused, Resumed, Started, Stream, StreamsAgreed
from engine.g711 import encode_alaw, encode_ulaw
from engine.journal import ROW
from engine.rtp import Packet, serialize
from live.meter import FLOOR_DBFS, MOST_WAITING, STALE_NS, Meter

AT = Instant(1, 1)
PCMU, PCMA, GSM = Codec(0, "PCMU", 8000), Codec(8, "pcma", 8000), Codec(3, "GSM", 8000)


def call(*codecs: Codec, sides: tuple[str, ...] = ("caller", "callee")) -> CallState:
    streams = tuple(Stream(i, 0, str(i), side, 10_000 + 2 * i, codecs=codecs) for i, side in enumerate(sides))  # type: ignore[arg-type]
    return apply(
        apply(None, Started(at=AT, call_id="c", node="n", origin=Origin("o"))),
        StreamsAgreed(at=AT, dialog=0, streams=streams),
    )


def tone(amplitude: float) -> np.ndarray:
    samples = np.rint(32767 * amplitude * np.sin(2 * np.pi * 500 / 8000 * np.arange(160)))
    return samples.astype(np.int16)


def give(meter: Meter, packets: list[tuple[int, Packet]], now_ns: int = 1) -> None:
    data = [serialize(packet) for _, packet in packets]
    headers = np.zeros(len(packets), ROW)
    headers["stream"] = [stream for stream, _ in packets]
    headers["length"] = [len(each) for each in data]
    meter.take(len(packets), memoryview(headers.tobytes()), memoryview(b"".join(data)), 0, now_ns)


numbers = itertools.count()


def packet(payload: bytes, payload_type: int = 0, **other: object) -> Packet:
    number = next(numbers)
    return Packet(payload_type, number & 0xFFFF, number * 160, 7, payload, **other)  # type: ignore[arg-type]


def test_each_side_has_the_level_that_it_sent() -> None:
    meter = Meter(call(PCMU, PCMA))
    loud, quiet = encode_ulaw(tone(0.5)).tobytes(), encode_alaw(tone(0.05)).tobytes()
    give(meter, [(0, packet(loud)), (1, packet(quiet, 8)), (0, packet(loud)), (1, packet(quiet, 8))])
    caller, callee = meter.read(1) or (None, None)
    assert caller == pytest.approx(20 * np.log10(0.5) - 3.01, abs=0.2)
    assert callee == pytest.approx(20 * np.log10(0.05) - 3.01, abs=0.3)


def test_padding_and_extensions_are_no_sound() -> None:
    meter = Meter(call(PCMU))
    loud = encode_ulaw(tone(0.5)).tobytes()
    give(meter, [(0, packet(loud, padding=100, extension=(1, b"\0" * 40), csrcs=(1, 2)))])
    caller, _ = meter.read(1) or (None, None)
    assert caller == pytest.approx(-9.0, abs=0.2)


def test_digital_silence_is_the_floor_and_a_side_that_never_sent_has_no_level() -> None:
    meter = Meter(call(PCMU))
    give(meter, [(0, packet(b"\xff" * 160))])
    assert meter.read(1) == (FLOOR_DBFS, None)


def test_a_level_stands_between_packets_and_falls_when_they_stop() -> None:
    meter = Meter(call(PCMU))
    give(meter, [(0, packet(encode_ulaw(tone(0.5)).tobytes()))])
    first = meter.read(1)
    assert meter.read(1 + STALE_NS) == first
    assert meter.read(2 + STALE_NS) == (FLOOR_DBFS, None)


def test_one_stream_of_both_moves_both() -> None:
    meter = Meter(call(PCMU, sides=("both",)))
    give(meter, [(0, packet(encode_ulaw(tone(0.5)).tobytes()))])
    caller, callee = meter.read(1) or (None, None)
    assert caller == callee == pytest.approx(-9.0, abs=0.2)


def test_while_paused_there_is_no_level_and_nothing_from_before_comes_after() -> None:
    state = call(PCMU)
    meter = Meter(state)
    give(meter, [(0, packet(encode_ulaw(tone(0.9)).tobytes()))])
    state = apply(state, event := Paused(at=AT, holder="person"))
    meter.tell(event, state)
    assert meter.read(1) is None
    state = apply(state, event := Resumed(at=AT, holder="person"))
    meter.tell(event, state)
    assert meter.read(1) == (None, None)
    state = apply(state, event := Ended(at=AT, end="normal"))
    meter.tell(event, state)
    assert meter.read(1) is None


def test_a_meter_on_a_paused_call_shows_nothing() -> None:
    state = apply(call(PCMU), Paused(at=AT, holder="person"))
    assert Meter(state).read(1) is None


def test_what_is_no_g711_has_no_level() -> None:
    meter = Meter(call(GSM, Codec(101, "telephone-event", 8000), Codec(0, "G722", 8000)))
    give(meter, [(0, packet(b"\x55" * 33, 3)), (0, packet(b"\x01\x80\0\0", 101)), (0, packet(b"\x55" * 160, 0))])
    assert meter.read(1) == (None, None)


def test_noise_and_a_reader_that_does_not_come_do_no_harm() -> None:
    meter = Meter(call(PCMU))
    headers = np.zeros(3, ROW)
    headers["stream"], headers["length"] = (0, 0, 9), (3, 13, 172)
    meter.take(3, headers.tobytes(), b"\x80\0\1" + b"\xb0" + b"\0" * 12 + b"\x80" + b"\0" * 171, 0, 1)
    for _ in range(2 * MOST_WAITING):
        give(meter, [(0, packet(b"\0" * 160))])
    assert sum(map(len, meter._waiting.values())) == MOST_WAITING
    assert meter.read(1) is not None
