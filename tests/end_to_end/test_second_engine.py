"""An administrator starts a second engine on the same data folder by mistake."""

from tests.end_to_end.audio import BEFORE_HZ, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import PhoneSystem
from tests.end_to_end.recorder import Recorder


def test_a_second_engine_says_who_holds_the_spool_and_touches_nothing(recorder: Recorder) -> None:
    voice = marker(BEFORE_HZ, 0.5)
    first = recorder.engine()
    with PhoneSystem(first.sip) as phones:
        call = phones.call()
        call.talk(voice, 0.2)
        live = sorted(recorder.live.rglob("*"))
        assert len(live) == 2

        second = recorder.start("engine")
        call.talk(voice, 1.0)
        status = second.process.wait(20)

        assert status != 0
        assert f"process {first.pid}" in second.errors()
        assert "EARSHOT_DATA_DIR" in second.errors()
        assert sorted(recorder.live.rglob("*")) == live
        assert not any(recorder.finished.iterdir())
        call.talk(voice, 0.2)
        call.bye()

    journal = read_journal(recorder.journals(1)[0])
    assert [journal.numbers(stream, voice) for stream in range(2)] == [list(range(70))] * 2
    assert journal.state.ended is not None
    assert journal.state.ended.end == "normal"
