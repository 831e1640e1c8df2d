"""What the dialer sends as media: on a clock that jumps, so that seconds of audio take milliseconds."""

import itertools
import struct
from typing import Any

import numpy as np
import pytest
import trio
from numpy.typing import NDArray

from actors.dial import Clip, DialError, MediaConfig, Session, Silence, Tone, open_dialer
from actors.dial.sources import Mix
from engine import rtp
from engine.errors import LocalProtocolError
from engine.g711 import decode_alaw, decode_ulaw
from tests.actors.dial.recorder import Recorder, drain, open_recorder

Clock = trio.testing.MockClock
EVENTS = 101


def audio(packets: list[rtp.Packet], payload_type: int = 0) -> NDArray[np.int16]:
    decode = decode_alaw if payload_type == 8 else decode_ulaw
    payload = b"".join(packet.payload for packet in packets if packet.payload_type == payload_type)
    return decode(np.frombuffer(payload, np.uint8))


def pitches(samples: NDArray[np.int16]) -> list[int]:
    """The frequencies (Hz) within 20 dB of the loudest, of whole seconds of audio."""
    spectrum = np.abs(np.fft.rfft(samples[:8000]))
    return [int(hz) for hz in np.flatnonzero(spectrum > spectrum.max() / 10)]


async def listen(recorder: Recorder, stream: int, seconds: float) -> list[rtp.Packet]:
    """The packets of so many seconds, read often enough for the socket to hold them."""
    packets: list[rtp.Packet] = []
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        await trio.sleep(min(1.0, end - trio.current_time()))
        packets += recorder.packets(stream)
    return packets


@pytest.mark.parametrize(("codec", "payload_type"), [("pcmu", 0), ("pcma", 8)])
@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 60])
async def test_each_party_is_its_tone(autojump_clock: Clock, codec: Any, payload_type: int, ptime_ms: int) -> None:
    media = MediaConfig(codec=codec, ptime_ms=ptime_ms)
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call(media=media)
        await trio.sleep(1.2)
        for stream, hz in ((0, 440), (1, 1000)):
            packets = recorder.packets(stream)
            assert len(packets) == pytest.approx(1200 / ptime_ms, abs=1)
            assert {packet.payload_type for packet in packets} == {payload_type}
            assert {len(packet.payload) for packet in packets} == {8 * ptime_ms}
            assert len({packet.ssrc for packet in packets}) == 1
            assert steps(packets, "sequence", 16) == {1}
            assert steps(packets, "timestamp", 32) == {8 * ptime_ms}
            assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
            assert pitches(audio(packets, payload_type)) == [hz]
        assert session.packets_sent == pytest.approx(2 * 1200 / ptime_ms, abs=4)
        assert session.packets_lost == 0


def steps(packets: list[rtp.Packet], field: str, bits: int) -> set[int]:
    values = [getattr(packet, field) for packet in packets]
    return {(after - before) % 2**bits for before, after in itertools.pairwise(values)}


async def test_a_mixed_stream_has_both(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        await dialer.call(streams=1)
        await trio.sleep(1.1)
        assert pitches(audio(recorder.packets(0))) == [440, 1000]


@pytest.mark.parametrize("step", ["pause", "hold"])
async def test_nothing_is_sent_while_suspended_and_the_time_goes_on(autojump_clock: Clock, step: str) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        await trio.sleep(1)
        await getattr(session, step)()
        before = recorder.packets(0)
        assert len(recorder.packets(1)) == len(before) > 40
        await trio.sleep(2)
        assert recorder.packets(0) == recorder.packets(1) == []
        await session.resume()
        await trio.sleep(1)
        after = recorder.packets(0)
    assert (after[0].sequence - before[-1].sequence) % 2**16 == 1
    gap = (after[0].timestamp - before[-1].timestamp) % 2**32
    assert gap == pytest.approx(2 * 8000, abs=400)
    assert after[0].marker
    assert not after[1].marker


async def test_a_phone_system_may_keep_sending_in_a_pause(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call(media=MediaConfig(send_while_suspended=True))
        await session.pause()
        recorder.packets(0)
        await trio.sleep(1)
        assert len(recorder.packets(0)) == pytest.approx(50, abs=1)


async def test_media_stops_before_a_pause_is_asked_for_and_goes_on_when_it_is_refused(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        recorder.status_of = lambda request: 0 if request.method == "INVITE" else 200
        async with trio.open_nursery() as nursery:

            async def pause() -> None:
                with pytest.raises(DialError, match="488"):
                    await session.pause()

            nursery.start_soon(pause)
            await trio.sleep(0.1)
            recorder.packets(0)
            await trio.sleep(1)
            assert recorder.packets(0) == []
            recorder.status_of = lambda request: 488
            invite = recorder.last("INVITE")
            transaction = next(each for each in recorder.servers._open.values() if each.request == invite)
            recorder.answer(invite, transaction)
        await trio.sleep(1)
        assert len(recorder.packets(0)) > 40


async def test_loss_takes_its_share_the_same_way_for_the_same_seed(autojump_clock: Clock) -> None:
    async def missing(seed: int) -> tuple[list[int], int]:
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call(media=MediaConfig(loss=0.2, seed=seed))
            packets = await listen(recorder, 0, 20)
            first = packets[0].timestamp
            assert steps(packets, "sequence", 16) > {1, 2}
            return [(packet.timestamp - first) % 2**32 for packet in packets], session.packets_lost

    (one, lost), (again, _), (other, _) = await missing(1), await missing(1), await missing(2)
    assert len(one) == pytest.approx(800, abs=60)
    assert lost == pytest.approx(400, abs=80)
    assert one[:700] == again[:700]
    assert one[:700] != other[:700]


async def test_jitter_delays_and_reorders_but_loses_nothing(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        await dialer.call(media=MediaConfig(jitter_ms=70))
        packets = await listen(recorder, 0, 4)
    sequences = [packet.sequence for packet in packets]
    order = np.unwrap(sequences, period=2**16)
    assert (np.diff(order) < 0).any()
    assert np.abs(np.sort(order) - order).max() <= 4  # 70 ms are less than four packets
    assert len(sequences) == pytest.approx(198, abs=4)
    assert len(set(sequences)) == len(sequences)


async def test_a_clock_that_runs_fast_sends_more(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        await dialer.call(media=MediaConfig(skew_ppm=(10_000, -10_000)))
        fast, slow = 0, 0
        for _ in range(10):
            await trio.sleep(2)
            fast += len(recorder.packets(0))
            slow += len(recorder.packets(1))
    assert fast == pytest.approx(1010, abs=2)
    assert slow == pytest.approx(990, abs=2)


async def test_digits_are_events_on_the_stream_of_who_presses_them(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        await trio.sleep(0.5)
        before = trio.current_time()
        await session.dtmf("*4a", side="callee")
        assert trio.current_time() - before == pytest.approx(3 * 0.16, abs=0.03)
        await trio.sleep(0.5)
        packets = recorder.packets(1)
        assert {packet.payload_type for packet in recorder.packets(0)} == {0}
    events = [packet for packet in packets if packet.payload_type == EVENTS]
    assert steps(packets, "sequence", 16) == {1}
    pressed: dict[int, list[rtp.Packet]] = {}
    for packet in events:
        pressed.setdefault(packet.timestamp, []).append(packet)
    assert len(pressed) == 3
    for digit, copies in zip("*4A", pressed.values(), strict=True):
        parsed = [rtp.parse_event(packet.payload) for packet in copies]
        assert {event.digit for event in parsed} == {digit}
        assert [event.duration for event in parsed] == [160, 320, 480, 640, 800, 800, 800]
        assert [event.end for event in parsed] == [False] * 4 + [True] * 3
        assert [packet.marker for packet in copies] == [True] + [False] * 6
    starts = sorted(pressed)
    sounding = {packet.timestamp for packet in packets if packet.payload_type == 0}
    assert all(start + 160 * n not in sounding for start in starts for n in range(5))
    assert all(start + 800 in sounding for start in starts)


async def test_digits_in_a_pause_are_heard_by_nobody_and_take_their_time(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        await session.hold()
        recorder.packets(0)
        await session.dtmf("12")
        assert recorder.packets(0) == []


async def test_what_is_no_key_and_what_takes_none(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        for digits in ("", "12E"):
            with pytest.raises(LocalProtocolError, match="no keys"):
                await session.dtmf(digits)
        with pytest.raises(DialError, match="without media"):
            await (await dialer.call(media=None)).dtmf("1")
        recorder.change_answer = lambda body: body.replace(b"telephone-event", b"x")
        with pytest.raises(DialError, match="takes no telephone-events"):
            await (await dialer.call()).dtmf("1")


async def test_who_presses_a_key_does_not_wait_for_ever(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.dtmf, "1" * 64)
            await trio.sleep(1)
            session.abandon()


@pytest.mark.parametrize("end", [Session.abandon, Session.hang_up])
async def test_nothing_is_sent_after_the_end(autojump_clock: Clock, end: Any) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        await trio.sleep(1)
        end(session)
        assert len(recorder.packets(0)) > 40
        recorder.packets(1)
        await trio.sleep(10)
        assert recorder.packets(0) == recorder.packets(1) == []


async def test_a_rejected_stream_is_not_sent(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        recorder.open_media(2)
        port = recorder.media[1].getsockname()[1]
        recorder.change_answer = lambda body: body.replace(f"m=audio {port} ".encode(), b"m=audio 0 ")
        session = await dialer.call()
        await trio.sleep(1)
        assert session.remote[1] is None
        assert session.remote_ports == (recorder.media[0].getsockname()[1], 0)
        assert recorder.packets(1) == []
        assert len(recorder.packets(0)) > 40


async def test_a_resumed_stream_follows_the_answer(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        await session.hold()
        recorder.media.reverse()
        recorder.packets(0)
        recorder.packets(1)
        await session.resume()
        await trio.sleep(1.1)
        assert pitches(audio(recorder.packets(0))) == [440]


async def test_sender_reports_tell_how_much_was_sent(autojump_clock: Clock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        await dialer.call()
        packets = await listen(recorder, 0, 13)
        reports = drain(recorder.control[0])
    assert len(reports) == 3  # at 2.5, 7.5 and 12.5 s
    ntp_s = []
    for count, report in zip((126, 376, 626), reports, strict=True):
        first, kind, words, ssrc, seconds, _, timestamp, sent, octets = struct.unpack_from(">BBHIIIIII", report)
        assert (first, kind, words, ssrc) == (0x80, 200, 6, packets[0].ssrc)
        assert sent == pytest.approx(count, abs=1)
        assert octets == 172 * sent
        assert (timestamp - packets[0].timestamp) % 2**32 == 160 * sent
        ntp_s.append(seconds)
        first, kind, words, ssrc = struct.unpack_from(">BBHI", report, 28)
        assert (first, kind, 4 * words + 4, ssrc) == (0x81, 202, len(report) - 28, packets[0].ssrc)
        assert report[36] == 1
    assert all(each > 3_900_000_000 for each in ntp_s)  # since 1900


async def test_a_source_is_any_function_of_the_time(autojump_clock: Clock) -> None:
    asked: list[tuple[int, int]] = []

    def source(first: int, count: int) -> NDArray[np.int16]:
        asked.append((first, count))
        return np.full(count, 1000, np.int16)

    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        await dialer.call(media=MediaConfig(caller=source, callee=Silence(), ptime_ms=10))
        await trio.sleep(0.5)
        assert set(audio(recorder.packets(0)).tolist()) == {decode_of(1000)}
        assert set(audio(recorder.packets(1)).tolist()) == {0}
    assert asked == [(80 * n, 80) for n in range(len(asked))]


def decode_of(sample: int) -> int:
    """The step of mu-law next to a sample."""
    codes = decode_ulaw(np.arange(256, dtype=np.uint8))
    return int(codes[np.abs(codes - sample).argmin()])


def test_sources_speak_at_any_time_alike() -> None:
    ramp = Clip(np.arange(100, dtype=np.int16))
    for source in (Tone(440), Silence(), ramp, Mix(Tone(440), ramp)):
        whole = source(0, 1600)
        pieces = [source(first, 160) for first in range(0, 1600, 160)]
        np.testing.assert_array_equal(whole, np.concatenate(pieces))
        assert whole.dtype == np.int16
    assert ramp(98, 4).tolist() == [98, 99, 0, 1]


def test_a_tone_has_its_level_and_a_mix_does_not_wrap() -> None:
    peak = int(np.abs(Tone(440, -6.0)(0, 8000)).max())
    assert 20 * np.log10(peak / 32767) == pytest.approx(-6.0, abs=0.01)
    loud = Clip(np.array([32767, -32768], np.int16))
    assert Mix(loud, loud)(0, 2).tolist() == [32767, -32768]


@pytest.mark.parametrize("wrong", [{"ptime_ms": 9}, {"ptime_ms": 61}, {"loss": 1.1}, {"loss": -0.1}, {"jitter_ms": -1}])
def test_media_out_of_range(wrong: Any) -> None:
    with pytest.raises(LocalProtocolError):
        MediaConfig(**wrong)
