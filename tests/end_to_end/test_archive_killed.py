"""The archive is killed again and again while it finishes calls (kill -9): each becomes one whole recording."""

import hashlib
import random
import time

import pytest

from engine.uuid7 import uuid7
from tests.archive.calls import Script, packetize
from tests.end_to_end.audio import decode, loudest_hz, tone
from tests.end_to_end.recorder import PRIVATE_KEY, Recorder, until

CALLS = 6
CALL_S = 40.0
KILLS = 4
# By then the archive has passed from the first steps of a call to the first of the next.
LONGEST_DELAY_S = 0.4
FIRST_HZ, STEP_HZ, CALLEE_HZ = 300, 100, 2000
START_NS = 1_790_000_000_000_000_000


def is_done(recorder: Recorder) -> bool:
    """Whether the archive has nothing left to do."""
    return not any(recorder.finished.iterdir())


def test_calls_are_finished_once_however_often_the_archive_is_killed(recorder: Recorder) -> None:
    ids = [uuid7(START_NS + number * 10**9, bytes([number] * 10)) for number in range(CALLS)]
    for number, call_id in enumerate(ids):
        voices = (tone(FIRST_HZ + number * STEP_HZ, CALL_S), tone(CALLEE_HZ, CALL_S))
        sent = [packet for index, voice in enumerate(voices) for packet in packetize(voice, index)]
        Script(sent, ended_ns=round(CALL_S * 1e9), call_id=call_id).finished(recorder.data, PRIVATE_KEY)

    recordings = recorder.data / "recordings"
    killed = 0
    for _ in range(KILLS):
        archive = recorder.archive(FINISHER_THREADS="2")
        archive.line("archive_started")
        until(lambda: list(recordings.glob("*/*/*/*.part")) or is_done(recorder), "a recording to be begun")
        time.sleep(random.uniform(0, LONGEST_DELAY_S))
        archive.kill()
        if is_done(recorder):
            break
        killed += 1
    assert killed

    recorder.archive(FINISHER_THREADS="2")
    manifests = recorder.manifests(CALLS)
    assert [manifest["call_id"] for manifest in manifests] == [str(call_id) for call_id in ids]
    assert sorted(path.name for path in recordings.glob("*/*/*/*")) == sorted(str(call_id) for call_id in ids)
    assert not any((recorder.data / "spool" / "stuck").iterdir())
    for number, manifest in enumerate(manifests):
        assert manifest["end"] == "normal"
        assert not manifest["warnings"]
        assert [stream["packets"] for stream in manifest["streams"]] == [CALL_S / 0.02] * 2
        audio = manifest["folder"] / manifest["audio"]["file"]
        assert hashlib.sha256(audio.read_bytes()).hexdigest() == manifest["audio"]["sha256"]
        samples, rate_hz = decode(audio)
        assert len(samples) / rate_hz == pytest.approx(CALL_S, abs=0.05)
        middle = samples[len(samples) // 2 : len(samples) // 2 + rate_hz]
        assert loudest_hz(middle[:, 0], rate_hz) == pytest.approx(FIRST_HZ + number * STEP_HZ, abs=2)
        assert loudest_hz(middle[:, 1], rate_hz) == pytest.approx(CALLEE_HZ, abs=2)
