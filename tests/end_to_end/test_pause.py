"""An agent pauses a recording, and goes on: what was said in between is nowhere, and all else is there.

"Said" means received by our kernel: the recorder is frozen around each request, so that packets wait in its sockets
when it acts on it. What waited when it paused was said before; what waited when it resumed was said in the pause.
"""

import random

import pytest

from engine.events import Paused, Resumed
from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, MARKER_SAMPLES, PAUSED_HZ, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import Form, PhoneSystem
from tests.end_to_end.recorder import Recorder, in_memory, waiting_bytes

# 260 ms: more than a round of the sweep, so that whatever it had just read, 200 ms wait.
WAITING_PACKETS = 13
# Half of a marker is enough to recognize it, wherever it was cut.
PATTERN_BYTES = MARKER_SAMPLES // 2


@pytest.mark.parametrize(("form", "direction"), [("inactive", "inactive"), ("zero-address", "recvonly")])
def test_nothing_said_while_paused_is_kept_or_remembered(recorder: Recorder, form: Form, direction: str) -> None:
    phase = random.uniform(0, 6)
    before, paused, after = (marker(hz, phase) for hz in (BEFORE_HZ, PAUSED_HZ, AFTER_HZ))
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        call = phones.call()
        call.talk(before, 1.2)

        engine.freeze()
        call.say(before, WAITING_PACKETS)
        call.ask_offer(form)
        engine.thaw()
        answer = call.answered()
        assert answer.status == 200
        assert answer.body.count(f"a={direction}") == 2

        call.talk(paused, 0.7)
        call.settle()
        # What was said before may be found: that shows that the search finds what there is.
        assert in_memory(engine.pid, before[:PATTERN_BYTES])
        assert in_memory(engine.pid, paused[:PATTERN_BYTES]) == 0

        engine.freeze()
        call.say(paused, WAITING_PACKETS)
        assert waiting_bytes(set(call.ports)) > 0
        call.ask_offer("active")
        engine.thaw()
        answer = call.answered()
        assert answer.status == 200
        assert answer.body.count("a=recvonly") == 2
        assert in_memory(engine.pid, paused[:PATTERN_BYTES]) == 0

        call.talk(after, 0.7)
        call.settle()
        assert in_memory(engine.pid, paused[:PATTERN_BYTES]) == 0
        call.bye()

    journal = read_journal(recorder.journals(1)[0])
    assert not journal.holds(paused[:PATTERN_BYTES])
    for stream in range(2):
        assert journal.numbers(stream, before) == call.numbers(stream, before)
        assert journal.numbers(stream, after) == call.numbers(stream, after)
    cuts = [event for event in journal.events if isinstance(event, Paused | Resumed)]
    assert [type(event) for event in cuts] == [Paused, Resumed]
    assert cuts[0].sign == form
    assert journal.state.ended is not None
    assert journal.state.ended.end == "normal"
