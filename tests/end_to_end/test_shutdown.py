"""An administrator stops or updates Earshot while calls run, and phone systems that never say goodbye."""

import time

import pytest

from tests.end_to_end.audio import BEFORE_HZ, decode, loudest_hz, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import METADATA, PhoneSystem, Transport
from tests.end_to_end.recorder import PATIENCE_S, Recorder

VOICE = marker(BEFORE_HZ, 0.5)


def test_calls_may_finish_in_the_grace_period_and_new_ones_are_refused(recorder: Recorder) -> None:
    engine = recorder.engine(ENGINE_GRACE_S="20")
    with PhoneSystem(engine.sip) as phones:
        calls = [phones.call(), phones.call()]
        for call in calls:
            call.say(VOICE, 5)
        engine.terminate()
        engine.line("stopping")

        late = phones.prepare().offer("active", METADATA)
        assert late.status == 503
        assert late.header("Retry-After")
        for call in calls:
            call.talk(VOICE, 0.2)
            call.bye()
        assert engine.process.wait(PATIENCE_S) == 0

    for path in recorder.journals(2):
        journal = read_journal(path)
        assert [journal.numbers(stream, VOICE) for stream in range(2)] == [list(range(15))] * 2
        assert journal.state.ended is not None
        assert journal.state.ended.end == "normal"
    assert not any(recorder.live.iterdir())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_calls_that_go_on_past_the_grace_period_are_sealed_and_told_goodbye(
    recorder: Recorder, transport: Transport
) -> None:
    engine = recorder.engine(ENGINE_GRACE_S="0.5")
    with PhoneSystem(engine.sip, transport) as phones:
        call = phones.call()
        call.say(VOICE, 5)
        began = time.monotonic()
        engine.terminate()

        goodbye = phones.receive()
        assert goodbye.method == "BYE"
        assert goodbye.header("Call-ID") == call.call_id
        assert time.monotonic() - began >= 0.5
        phones.agree(goodbye)
        assert engine.process.wait(PATIENCE_S) == 0

    journal = read_journal(recorder.journals(1)[0])
    assert [journal.numbers(stream, VOICE) for stream in range(2)] == [list(range(5))] * 2
    assert journal.state.ended is not None
    assert journal.state.ended.end == "interrupted"
    assert not any(recorder.live.iterdir())


def test_a_call_that_broke_off_does_not_keep_the_recorder_from_stopping(recorder: Recorder) -> None:
    engine = recorder.engine(ENGINE_GRACE_S="0.2")
    host, port = engine.sip
    dialled = recorder.start("dial", f"sip:{host}:{port}", "--abrupt", "1", "--duration", "5")
    assert dialled.process.wait(PATIENCE_S) == 0, dialled.errors()
    assert len(list(recorder.live.iterdir())) == 1
    assert engine.stop() == 0
    recorder.archive()

    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "interrupted"
    assert manifest["ended_by"] == "The recorder was stopped."
    assert all(stream["packets"] >= 45 for stream in manifest["streams"])
    samples, rate_hz = decode(manifest["folder"] / "audio.opus")
    for channel, hz in ((0, 440), (1, 1000)):
        assert loudest_hz(samples[: rate_hz // 2, channel], rate_hz) == pytest.approx(hz, abs=3)
