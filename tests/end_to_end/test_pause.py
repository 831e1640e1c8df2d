"""An agent pauses a recording, and goes on: what was said in between is nowhere, and all else is there.

"Said" means received by our kernel: the recorder is frozen around each request, so that packets wait in its sockets
when it acts on it. What waited when it paused was said before; what waited when it resumed was said in the pause.
"""

import random

import numpy as np
import pytest

from engine.events import Paused, Resumed
from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, MARKER_SAMPLES, PAUSED_HZ, decode, levels, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import Form, PhoneSystem
from tests.end_to_end.recorder import Recorder, in_memory, waiting_bytes

# While the recorder stands still; 200 ms is what a round of its sweep leaves to wait.
WAITING_S = 0.26
# Half of a marker is enough to recognize it, wherever it was cut.
PATTERN_BYTES = MARKER_SAMPLES // 2
# The level of each tone where it is said, and what no window may have of the one said in the pause.
SAID_DBFS, INAUDIBLE_DBFS = -10, -45
# Opus lets a tone ring a little beyond its ends.
MARGIN_S = 0.1


@pytest.mark.parametrize(("form", "direction"), [("inactive", "inactive"), ("zero-address", "recvonly")])
def test_nothing_said_while_paused_is_kept_or_remembered(recorder: Recorder, form: Form, direction: str) -> None:
    phase = random.uniform(0, 6)
    before, paused, after = (marker(hz, phase) for hz in (BEFORE_HZ, PAUSED_HZ, AFTER_HZ))
    engine = recorder.engine()
    with PhoneSystem(engine.sip) as phones:
        call = phones.call()
        call.talk(before, 1.2)

        engine.freeze()
        call.talk(before, WAITING_S)
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
        call.talk(paused, WAITING_S)
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

    recorder.archive()
    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "normal"
    assert [pause["sign"] for pause in manifest["pauses"]] == [form]
    start_s, end_s = manifest["pauses"][0]["start_s"], manifest["pauses"][0]["end_s"]
    assert end_s - start_s >= 0.7 + WAITING_S
    samples, rate_hz = decode(manifest["folder"] / "audio.opus")
    for channel in range(2):
        heard = samples[:, channel]
        assert levels(heard, rate_hz, PAUSED_HZ).max() < INAUDIBLE_DBFS
        withheld = heard[round((start_s + MARGIN_S) * rate_hz) : round((end_s - MARGIN_S) * rate_hz)]
        assert np.abs(withheld).max() < 0.001
        until_cut = heard[round(0.2 * rate_hz) : round(start_s * rate_hz)]
        assert np.median(levels(until_cut, rate_hz, BEFORE_HZ)) == pytest.approx(SAID_DBFS, abs=2)
        since_cut = heard[round((end_s + MARGIN_S) * rate_hz) : round((end_s + 0.7) * rate_hz)]
        assert np.median(levels(since_cut, rate_hz, AFTER_HZ)) == pytest.approx(SAID_DBFS, abs=2)
