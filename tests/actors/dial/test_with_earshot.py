"""The dialer and Earshot's own engine, as a user runs it: what was sent in the call lies in the journal.

Real processes and real time; the journal is looked at when the call has ended.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.dial import MediaConfig, Party, open_dialer
from engine import rtp
from engine.events import ParticipantJoined
from tests.end_to_end.journals import read_journal
from tests.end_to_end.recorder import Recorder

LIMIT_S = 60.0


@pytest.mark.parametrize(("transport", "metadata"), [("udp", "rfc7865"), ("tcp", "draft")])
def test_what_is_dialled_is_journaled(tmp_path: Path, transport: Any, metadata: Any) -> None:
    async def call(host: str, port: int) -> tuple[int, int]:
        media = MediaConfig(send_while_suspended=True, report_s=0.5)
        with trio.fail_after(LIMIT_S):
            async with open_dialer(f"sip:{host}:{port}", transport) as dialer:
                await dialer.options()
                session = await dialer.call(Party("2001", "Ann"), Party("2002", "Bob"), metadata=metadata, media=media)
                assert all(session.remote_ports)
                await trio.sleep(0.5)
                await session.dtmf("*48", "callee")
                await session.pause()
                await trio.sleep(0.5)
                await session.resume()
                await session.transfer(Party("2003", "Cleo"))
                await session.hold()
                await session.resume()
                await session.info("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
                await trio.sleep(0.3)
                await session.bye()
                return session.packets_sent, session.packets_lost

    with Recorder(tmp_path) as recorder:
        sent, lost = trio.run(call, *recorder.engine().sip)
        journal = read_journal(recorder.journals(1)[0])

    assert [type(event).__name__ for event in journal.events].count("Paused") == 2
    assert [type(event).__name__ for event in journal.events].count("Resumed") == 2
    joined = [event.participant.name for event in journal.events if isinstance(event, ParticipantJoined)]
    assert joined == ["Ann", "Bob", "Cleo"]
    packets = {stream: [each for each in journal.packets if each.stream == stream] for stream in (0, 1)}
    kept = 0
    for stream in packets.values():
        media = [rtp.parse(each.packet) for each in stream if not each.rtcp]
        kept += len(media)
        gaps = [(after.sequence - before.sequence) % 2**16 for before, after in itertools.pairwise(media)]
        assert max(gaps) > 20  # the pause, in which packets kept coming
        assert any(each.rtcp for each in stream)
    assert lost == 0
    assert 0 < kept < sent - 40
    digits = [rtp.parse(each.packet) for each in packets[1] if not each.rtcp]
    assert {rtp.parse_event(each.payload).digit for each in digits if each.payload_type == 101} == set("*48")
