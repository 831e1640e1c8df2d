"""The recorder's process is stopped and continued (a frozen virtual machine, a debugger): what waits is not lost."""

from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import PhoneSystem
from tests.end_to_end.recorder import Recorder

CALLS = 25
STREAMS = 2
# Ten thousand in all. Each socket holds some 250 with the kernel's default buffer.
WAITING_PACKETS = 200


def test_ten_thousand_packets_that_wait_at_once_are_all_kept(recorder: Recorder) -> None:
    waiting, later = marker(BEFORE_HZ, 0.5), marker(AFTER_HZ, 0.5)
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        calls = [phones.call() for _ in range(CALLS)]
        engine.freeze()
        for call in calls:
            call.say(waiting, WAITING_PACKETS)
        engine.thaw()
        phones.options()
        for call in calls:
            call.say(later, 2)
        for call in calls:
            call.bye()

    journals = [read_journal(path) for path in recorder.journals(CALLS)]
    assert sum(len(journal.packets) for journal in journals) == CALLS * STREAMS * (WAITING_PACKETS + 2)
    for journal in journals:
        for stream in range(STREAMS):
            assert journal.numbers(stream, waiting) == list(range(WAITING_PACKETS))
            assert journal.numbers(stream, later) == [WAITING_PACKETS, WAITING_PACKETS + 1]
        assert journal.state.ended is not None
        assert journal.state.ended.end == "normal"
    assert not [line for line in engine.log() if line["level"] in ("warning", "error")]
    assert engine.stop() == 0
