"""An agent pauses a recording, and goes on: what was said in between is nowhere, and all else is there.

"Said" means received by our kernel. The network stalls before each request and then delivers all at once, while the
recorder stands still for a moment: so 260 ms of packets wait in its sockets, and it has not looked at them when it acts
on the request. What waited when it paused was said before; what waited when it resumed was said in the pause.
"""

import random
import time

import numpy as np
import pytest

from engine.events import Paused, Resumed
from tests.end_to_end.audio import AFTER_HZ, BEFORE_HZ, MARKER_SAMPLES, PAUSED_HZ, decode, levels, marker
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import PACKET_S, Call, Form, Message, PhoneSystem, Transport
from tests.end_to_end.recorder import Program, Recorder, in_memory, waiting_bytes

# A round of the sweep leaves 200 ms to wait at most.
WAITING_PACKETS = 13
# Half of a marker is enough to recognize it, wherever it was cut.
PATTERN_BYTES = MARKER_SAMPLES // 2
# The level of each tone where it is said, and what no window may have of the one said in the pause.
SAID_DBFS, INAUDIBLE_DBFS = -10, -32
# Opus lets a tone ring a little beyond its ends.
MARGIN_S = 0.1


def stall_and_offer(engine: Program, call: Call, payload: bytes, form: Form) -> Message:
    """What was said while the network stalled comes at once, and the request right behind it; gives the answer."""
    time.sleep(WAITING_PACKETS * PACKET_S)
    engine.freeze()
    call.say(payload, WAITING_PACKETS)
    assert waiting_bytes(set(call.ports)) > 2 * WAITING_PACKETS * len(payload)
    call.ask_offer(form)
    engine.thaw()
    answer = call.answered()
    assert answer.status == 200
    return answer


@pytest.mark.parametrize(
    ("form", "transport", "direction"), [("inactive", "udp", "inactive"), ("zero-address", "tcp", "recvonly")]
)
def test_nothing_said_while_paused_is_kept_or_remembered(
    recorder: Recorder, form: Form, transport: Transport, direction: str
) -> None:
    phase = random.uniform(0, 6)
    before, paused, after = (marker(hz, phase) for hz in (BEFORE_HZ, PAUSED_HZ, AFTER_HZ))
    engine = recorder.engine()
    with PhoneSystem(engine.sip, transport) as phones:
        call = phones.call()
        call.talk(before, 1.2)

        answer = stall_and_offer(engine, call, before, form)
        assert answer.body.count(f"a={direction}") == 2

        call.talk(paused, 0.7)
        call.settle()
        # What was said before may be found: that shows that the search finds what there is.
        assert in_memory(engine.pid, before[:PATTERN_BYTES])
        assert in_memory(engine.pid, paused[:PATTERN_BYTES]) == 0

        answer = stall_and_offer(engine, call, paused, "active")
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
    assert end_s - start_s >= 0.7 + WAITING_PACKETS * PACKET_S
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
