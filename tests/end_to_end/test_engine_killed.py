"""The engine is killed in the middle of calls (kill -9): what was said until then is a recording, but for 0.25 s."""

import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from tests.end_to_end.audio import BEFORE_HZ, MARKER_SAMPLES, PAUSED_HZ, decode, levels, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import PACKET_S, Call, PhoneSystem
from tests.end_to_end.recorder import Recorder

VOICE = marker(BEFORE_HZ, 0.5)
ROUNDS = 3
CALLS = 3
STREAMS = 2
MOST_MISSING_S = 0.25
SHORTEST_S, LONGEST_S = 0.8, 2.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What a killed engine kept of a call: the last packet's number plus one, by stream."""

    kept: tuple[int, ...]
    sent: tuple[int, ...]


def talk(calls: list[Call], stop: threading.Event) -> None:
    """All parties talk until they are stopped, whether anybody records them or not."""
    start, number = time.monotonic(), 0
    while not stop.wait(max(0.0, start + number * PACKET_S - time.monotonic())):
        for call in calls:
            call.say(VOICE)
        number += 1


def record_until_killed(recorder: Recorder) -> list[Cut]:
    """Records calls with a new engine, kills it at some moment, and tells what was kept and what had been sent."""
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        calls = [phones.call() for _ in range(CALLS)]
        stop = threading.Event()
        talking = threading.Thread(target=talk, args=(calls, stop))
        talking.start()
        try:
            time.sleep(random.uniform(SHORTEST_S, LONGEST_S))
            killed_at = time.monotonic()
            engine.kill()
        finally:
            stop.set()
            talking.join()
        sent = {
            frozenset(call.ports): tuple(
                sum(each.stream == stream and each.at <= killed_at for each in call.sent) for stream in range(STREAMS)
            )
            for call in calls
        }
    cuts = []
    for path in recorder.live.glob("*/journal"):
        journal = read_journal(path)
        assert journal.state.ended is None
        numbers = [journal.numbers(stream, VOICE) for stream in range(STREAMS)]
        assert numbers == [list(range(len(each))) for each in numbers]
        ports = frozenset(stream.port for stream in journal.state.streams)
        cuts.append(Cut(tuple(len(each) for each in numbers), sent[ports]))
    assert len(cuts) == CALLS
    return cuts


def test_a_killed_engine_costs_a_quarter_of_a_second_at_most(recorder: Recorder) -> None:
    cuts = [cut for _ in range(ROUNDS) for cut in record_until_killed(recorder)]
    for cut in cuts:
        for kept, sent in zip(cut.kept, cut.sent, strict=True):
            assert kept * PACKET_S >= SHORTEST_S - MOST_MISSING_S
            assert (sent - kept) * PACKET_S <= MOST_MISSING_S + 1e-9

    engine = recorder.engine()
    assert engine.line("calls of a killed engine handed over")["calls"] == CALLS
    assert not any(recorder.live.iterdir())
    recorder.archive()
    manifests = recorder.manifests(ROUNDS * CALLS)
    assert [manifest["end"] for manifest in manifests] == ["interrupted"] * len(manifests)
    assert sorted(tuple(stream["packets"] for stream in manifest["streams"]) for manifest in manifests) == sorted(
        cut.kept for cut in cuts
    )
    for manifest in manifests:
        samples, rate_hz = decode(manifest["folder"] / "audio.opus")
        assert len(samples) / rate_hz == pytest.approx(manifest["duration_s"], abs=0.05)
        longest_s = max(stream["packets"] for stream in manifest["streams"]) * PACKET_S
        assert longest_s - 0.05 <= manifest["duration_s"] <= longest_s + 0.5
        for channel in range(2):
            heard = levels(samples[round(0.2 * rate_hz) : -round(0.1 * rate_hz), channel], rate_hz, BEFORE_HZ)
            assert np.median(heard) == pytest.approx(-10, abs=2)


def test_an_engine_killed_in_a_pause_leaves_nothing_of_it(recorder: Recorder) -> None:
    secret = marker(PAUSED_HZ, 0.5)
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        call = phones.call()
        call.talk(VOICE, 0.6)
        assert call.offer("inactive").status == 200
        call.talk(secret, 0.6)
        engine.kill()
    journal = read_journal(next(recorder.live.glob("*/journal")))
    assert journal.state.paused
    assert not journal.holds(secret[: MARKER_SAMPLES // 2])

    recorder.engine()
    recorder.archive()
    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "interrupted"
    assert [stream["packets"] for stream in manifest["streams"]] == [30, 30]
    assert [pause["sign"] for pause in manifest["pauses"]] == ["inactive"]
    assert manifest["pauses"][0]["end_s"] == pytest.approx(manifest["duration_s"], abs=0.001)
    samples, rate_hz = decode(manifest["folder"] / "audio.opus")
    for channel in range(2):
        assert np.median(levels(samples[:, channel], rate_hz, BEFORE_HZ)) == pytest.approx(-10, abs=2)
        assert levels(samples[:, channel], rate_hz, PAUSED_HZ).max() < -32
