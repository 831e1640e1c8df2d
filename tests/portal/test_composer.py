"""The composer: both sides on one clock, whatever the network did; nothing here has a clock of its own."""

from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Codec, Instant, Stream
from engine.g711 import encode_alaw, encode_ulaw
from engine.journal import ROW, ROW_CUT
from engine.rtp import Packet, serialize
from live.messages import Status, Visit
from portal.composer import DRIFT_NS, FIRST_DELAY_NS, MOST_DELAY_NS, RATE_HZ, Composer, Sound
from tests.end_to_end.audio import levels, loudest_hz, tone

MS = 1_000_000
STARTED = Instant(1_795_000_000_000_000_000, 7_000_000_000)
PCMU, PCMA = Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000)
CN, EVENT = Codec(13, "CN", 8000), Codec(101, "telephone-event", 8000)
PACKET = 160
FRAME = 160


def status(*sides: str, position_s: float = 0.0) -> Status:
    streams = tuple(
        Stream(i, 0, str(i), side, 10_000 + 2 * i, codecs=(PCMU, PCMA, CN, EVENT))  # type: ignore[arg-type]
        for i, side in enumerate(sides or ("caller", "callee"))
    )
    call = UUID(int=1)
    return Status(call=call, started=STARTED, recording="recording", position_s=position_s, by="", streams=streams)


@dataclass
class Sender:
    """One source of one stream: its packets, as they leave it."""

    stream: int
    ssrc: int = 0x1000
    sequence: int = 65_530
    timestamp: int = 0xFFFF_FF00
    payload_type: int = 0

    def packet(self, samples: np.ndarray, **other: object) -> tuple[int, Packet]:
        encode = encode_alaw if self.payload_type == 8 else encode_ulaw
        made = Packet(self.payload_type, self.sequence, self.timestamp, self.ssrc, encode(samples).tobytes(), **other)  # type: ignore[arg-type]
        self.skip(packets=1, samples=len(samples))
        return self.stream, made

    def other(self, payload_type: int, payload: bytes) -> tuple[int, Packet]:
        made = Packet(payload_type, self.sequence, self.timestamp, self.ssrc, payload)
        self.skip(packets=1)
        return self.stream, made

    def skip(self, *, packets: int = 0, samples: int = 0) -> None:
        self.sequence = (self.sequence + packets) & 0xFFFF
        self.timestamp = (self.timestamp + samples) & 0xFFFFFFFF


@dataclass
class Line:
    """The gateway: packets that arrive at a position are visited every `visit_ms`, and frames are asked for."""

    composer: Composer = field(default_factory=lambda: Composer(status()))
    visit_ms: int = 20
    sounds: list[Sound] = field(default_factory=list)
    _waiting: list[tuple[int, int, Packet]] = field(default_factory=list)
    _now_ms: float = 0.0

    def arrive(self, at_ms: float, *packets: tuple[int, Packet]) -> None:
        """Packets that our kernel receives at this position, in order of their arrival."""
        self._waiting += [(round(at_ms * MS), stream, packet) for stream, packet in packets]

    def run(self, until_ms: float) -> None:
        while self._now_ms + self.visit_ms <= until_ms:
            self._now_ms += self.visit_ms
            now = round(self._now_ms * MS)
            due = [each for each in self._waiting if each[0] <= now]
            self._waiting = [each for each in self._waiting if each[0] > now]
            if due:
                self.composer.take(visit_of(now, due))
            sound = self.composer.give(STARTED.monotonic_ns + now, FRAME * 3 // 4)
            if sound is not None:
                self.sounds.append(sound)

    def heard(self) -> np.ndarray:
        """(n, 2) from position 0 on; frames follow one another."""
        at = 0
        for sound in self.sounds:
            assert round(sound.position_s * RATE_HZ) == at
            at += len(sound.samples)
        return np.concatenate([sound.samples for sound in self.sounds]).astype(np.float64) / 32768


def visit_of(now_ns: int, packets: list[tuple[int, int, Packet]], flags: int = 0) -> Visit:
    data = [serialize(packet) for _, _, packet in packets]
    headers = np.zeros(len(packets), ROW)
    arrivals = np.array([STARTED.realtime_ns + at for at, _, _ in packets])
    headers["arrival_s"], headers["arrival_ns"] = arrivals // 10**9, arrivals % 10**9
    headers["stream"] = [stream for _, stream, _ in packets]
    headers["length"] = [len(each) for each in data]
    headers["flags"] = flags
    return Visit(
        STARTED.realtime_ns + now_ns, STARTED.monotonic_ns + now_ns, len(packets), headers.tobytes(), b"".join(data)
    )


def sides(
    line: Line, ms: int, caller_hz: float = 500, callee_hz: float = 1500
) -> list[tuple[float, tuple[int, Packet]]]:
    """Both sides' packets for so long, each with the position at which it should arrive."""
    found = []
    for sender, hz in ((Sender(0), caller_hz), (Sender(1, 0x2000), callee_hz)):
        samples = tone(hz, ms / 1000)
        for first in range(0, len(samples), PACKET):
            found.append(((first + PACKET) / 8, sender.packet(samples[first : first + PACKET])))
    return sorted(found, key=lambda each: each[0])


def test_each_side_is_heard_on_its_channel() -> None:
    line = Line()
    for at_ms, packet in sides(line, 1000):
        line.arrive(at_ms, packet)
    line.run(1100)
    heard = line.heard()
    middle = heard[1600:7200]
    assert loudest_hz(middle[:, 0], RATE_HZ) == pytest.approx(500, abs=5)
    assert loudest_hz(middle[:, 1], RATE_HZ) == pytest.approx(1500, abs=5)
    assert levels(middle[:, 0], RATE_HZ, 500).min() > -11
    assert levels(middle[:, 0], RATE_HZ, 1500).max() < -40
    assert not any(sound.gap for sound in line.sounds)


def test_a_packet_is_heard_within_a_visit_and_the_delay() -> None:
    line = Line()
    for at_ms, packet in sides(line, 1000):
        line.arrive(at_ms, packet)
    line.run(1000)
    # Everything up to the delay behind the clock was given; the delay is a packet, a visit and some room.
    end_s = line.sounds[-1].position_s + len(line.sounds[-1].samples) / RATE_HZ
    assert end_s == pytest.approx(1.0 - line.composer.delay_ns / 1e9, abs=0.0005)
    assert 20 * MS <= line.composer.delay_ns <= FIRST_DELAY_NS


@pytest.mark.parametrize("payload_type", [0, 8])
def test_samples_lie_where_they_were_said(payload_type: int) -> None:
    line = Line()
    click = np.zeros(PACKET, np.int16)
    click[40] = 20_000
    sender = Sender(0, payload_type=payload_type)
    for number in range(20):
        samples = click if number == 10 else np.zeros(PACKET, np.int16)
        line.arrive(100 + 20 * (number + 1), sender.packet(samples))
    line.run(700)
    assert int(line.heard()[:, 0].argmax()) == 800 + 10 * PACKET + 40


def test_a_mixed_stream_is_heard_on_both() -> None:
    line = Line(Composer(status("both")))
    sender = Sender(0)
    for number in range(20):
        line.arrive(20 * (number + 1), sender.packet(tone(750, 0.02)))
    line.run(400)
    heard = line.heard()
    assert np.array_equal(heard[:, 0], heard[:, 1])
    assert np.abs(heard).max() > 0.3


def test_two_streams_of_a_side_are_heard_together() -> None:
    line = Line(Composer(status("caller", "caller")))
    for at_ms, packet in sides(line, 400, 500, 1500):
        line.arrive(at_ms, packet)
    line.run(500)
    heard = line.heard()[400:2800]
    assert levels(heard[:, 0], RATE_HZ, 500).min() > -11
    assert levels(heard[:, 0], RATE_HZ, 1500).min() > -11
    assert not heard[:, 1].any()


def test_loss_is_silence_and_is_told() -> None:
    line = Line()
    sender = Sender(0)
    for number in range(20):
        packet = sender.packet(tone(500, 0.02))
        if number != 10:
            line.arrive(20 * (number + 1), packet)
    line.run(500)
    heard = line.heard()[:, 0]
    assert not heard[10 * PACKET : 11 * PACKET].any()
    assert np.abs(heard[9 * PACKET : 10 * PACKET]).max() > 0.3
    assert np.abs(heard[11 * PACKET : 12 * PACKET]).max() > 0.3
    (told,) = [sound for sound in line.sounds if sound.gap]
    assert 10 * PACKET <= round(told.position_s * RATE_HZ) + len(told.samples) <= 13 * PACKET


def test_silence_that_is_not_sent_is_no_loss() -> None:
    line = Line()
    sender = Sender(0)
    for number in range(10):
        line.arrive(20 * (number + 1), sender.packet(tone(500, 0.02)))
    line.arrive(220, sender.other(13, b"\x30"))  # comfort noise
    sender.skip(samples=8000)
    for number in range(10):
        line.arrive(1200 + 20 * (number + 1), sender.packet(tone(500, 0.02)))
    line.run(1500)
    heard = line.heard()[:, 0]
    assert not heard[1600:9600].any()
    assert np.abs(heard[9600:9760]).max() > 0.3
    assert not any(sound.gap for sound in line.sounds)


def test_keypresses_and_unknown_payloads_are_not_heard() -> None:
    line = Line()
    sender = Sender(0)
    for number in range(10):
        line.arrive(20 * (number + 1), sender.packet(tone(500, 0.02)))
    for number in range(10):
        line.arrive(200 + 20 * (number + 1), sender.other(101, b"\x08\x0a\x00\xa0"))
        line.arrive(200 + 20 * (number + 1), sender.other(120, b"\x55" * 160))
    line.run(500)
    heard = line.heard()[:, 0]
    assert not heard[1600:].any()
    assert not any(sound.gap for sound in line.sounds)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_reordering_and_duplicates_change_nothing(random: object, spread: int) -> None:
    def run(shuffled: bool) -> np.ndarray:
        line = Line()
        sender = Sender(0)
        packets = [(20.0 * (number + 1), sender.packet(tone(500 + 20 * number, 0.02))) for number in range(30)]
        order = list(range(30))
        if shuffled:
            order[4:] = sorted(order[4:], key=lambda at: at + random.uniform(0, spread))  # type: ignore[attr-defined]
            order += [random.choice(order) for _ in range(5)]  # type: ignore[attr-defined]
        for at in order:
            # What is late comes with what it was overtaken by; a delay that was needed before waits for it.
            line.arrive(packets[at][0] + 20 * spread, packets[at][1])
        line._waiting.sort(key=lambda each: each[0])
        for _ in range(40):
            line.composer._need(150 * MS)
        line.run(900)
        return line.heard()[:, 0]

    assert np.array_equal(run(True), run(False))


def test_a_new_source_goes_on_where_the_old_one_was() -> None:
    line = Line()
    first, second = Sender(0), Sender(0, ssrc=0x9999, sequence=7, timestamp=123_456)
    for number in range(20):
        line.arrive(20 * (number + 1), first.packet(tone(500, 0.02)))
    for number in range(20):
        line.arrive(400 + 20 * (number + 1), second.packet(tone(1500, 0.02)))
    line.run(900)
    heard = line.heard()[:, 0]
    assert loudest_hz(heard[200:3200], RATE_HZ) == pytest.approx(500, abs=10)
    assert loudest_hz(heard[3520:6400], RATE_HZ) == pytest.approx(1500, abs=10)


def test_a_stray_packet_is_not_heard() -> None:
    line = Line()
    sender, stray = Sender(0), Sender(0, ssrc=0xDEAD, sequence=100)
    for number in range(20):
        line.arrive(20 * (number + 1), sender.packet(np.zeros(PACKET, np.int16)))
    line.arrive(200, stray.packet(tone(750, 0.02)))
    line.run(500)
    assert np.abs(line.heard()).max() < 0.01


@pytest.mark.parametrize("jump", [80_000, -80_000, 0x80000000])
def test_a_jump_of_timestamps_costs_a_second_at_most(jump: int) -> None:
    line = Line()
    sender = Sender(0)
    for number in range(100):
        if number == 20:
            sender.skip(samples=jump)
        line.arrive(20 * (number + 1), sender.packet(tone(500, 0.02)))
    line.run(2100)
    heard = line.heard()[:, 0]
    assert np.abs(heard[1000:3000]).max() > 0.3
    assert levels(heard[12_000:15_500], RATE_HZ, 500).min() > -14


@pytest.mark.parametrize("ppm", [-300, 300])
def test_the_sides_do_not_drift_apart(ppm: int) -> None:
    """A minute with a clock that is wrong: what it says is heard when it was said, on either side."""
    line = Line(visit_ms=20)
    wrong, right = Sender(0), Sender(1, 0x2000)
    click = np.zeros(PACKET, np.int16)
    click[80] = 20_000
    quiet = np.zeros(PACKET, np.int16)
    for number in range(3000):
        samples = click if number % 50 == 49 else quiet
        line.arrive(20 * (number + 1) * (1 + ppm / 1e6), wrong.packet(samples))
        line.arrive(20 * (number + 1), right.packet(samples))
    line._waiting.sort(key=lambda each: each[0])
    line.run(60_200)
    heard = line.heard()
    last = heard[round(58.5 * 8000) : round(59.5 * 8000)]
    apart_ms = (int(last[:, 0].argmax()) - int(last[:, 1].argmax())) / 8
    true_ms = 59_000 * ppm / 1e6
    assert abs(apart_ms - true_ms) <= 2 * DRIFT_NS / MS


def test_a_stall_is_caught_up_with() -> None:
    """The network holds packets back for 150 ms, then gives them out: from the next second on all is heard."""
    line = Line()
    sender = Sender(0)
    for number in range(150):
        at_ms = 20 * (number + 1)
        line.arrive(1150 if 1000 < at_ms < 1150 else at_ms, sender.packet(tone(500, 0.02)))
    line.run(3300)
    heard = line.heard()[:, 0]
    assert levels(heard[9_600:23_000], RATE_HZ, 500).min() > -11
    assert line.composer.delay_ns <= MOST_DELAY_NS


@pytest.mark.parametrize("stall_ms", [2500, 4000])
def test_what_a_long_stall_costs_is_told(stall_ms: int) -> None:
    """The engine stands still while its kernel goes on receiving, and then hands over everything at once."""
    line = Line()
    for at_ms, packet in sides(line, 10_000):
        line.arrive(at_ms, packet)
    line.run(2000)
    line._now_ms += stall_ms - line.visit_ms
    line.run(9000)
    line.heard()  # frames follow one another
    quiet = [sound for sound in line.sounds if np.abs(sound.samples).max() < 1000 and sound.position_s > 0.1]
    assert quiet[0].gap
    lost_from_s, lost_until_s = quiet[0].position_s, quiet[-1].position_s + 0.5
    assert all(lost_from_s <= sound.position_s <= lost_until_s for sound in line.sounds if sound.gap)
    assert not any(sound.gap for sound in line.sounds if sound.position_s > 2 + stall_ms / 1000 + 0.5)


def test_the_delay_follows_the_packet_time_and_shrinks_again() -> None:
    line = Line()
    sender = Sender(0)
    at_ms = 0.0
    for _ in range(10):
        at_ms += 60
        line.arrive(at_ms, sender.packet(tone(500, 0.06)))
    line.run(at_ms)
    assert 60 * MS < line.composer.delay_ns < 90 * MS
    for _ in range(600):
        at_ms += 20
        line.arrive(at_ms, sender.packet(tone(500, 0.02)))
    line.run(at_ms + 100)
    assert line.composer.delay_ns <= FIRST_DELAY_NS
    heard = line.heard()[:, 0]
    assert levels(heard[800:-800], RATE_HZ, 500).min() > -12


def test_after_a_pause_it_goes_on_at_its_end_and_says_so() -> None:
    line = Line()
    sender = Sender(0)
    for number in range(20):
        line.arrive(20 * (number + 1), sender.packet(tone(750, 0.02)))
    line.run(400)
    rest = line.composer.give_rest(0.4)
    assert rest is not None
    end_s = rest.position_s + len(rest.samples) / RATE_HZ
    assert end_s == pytest.approx(0.4, abs=0.001)
    assert line.composer.give_rest(0.4) is None
    line.composer.skip_to(1.4)
    sender.skip(packets=50, samples=8000)
    line._now_ms = 1400
    line.sounds.clear()
    for number in range(20):
        line.arrive(1400 + 20 * (number + 1), sender.packet(tone(2750, 0.02)))
    line.run(1900)
    assert line.sounds[0].position_s == pytest.approx(1.4)
    assert line.sounds[0].gap
    heard = np.concatenate([sound.samples for sound in line.sounds])[:, 0].astype(np.float64)
    assert loudest_hz(heard[:3000], RATE_HZ) == pytest.approx(2750, abs=10)


def test_rows_that_were_cut_and_noise_are_passed_over() -> None:
    composer = Composer(status())
    sender = Sender(0)
    cut = visit_of(
        20 * MS, [(20 * MS, *sender.packet(tone(500, 0.02))), (20 * MS, *sender.packet(tone(500, 0.02)))], ROW_CUT
    )
    composer.take(cut)
    headers = np.zeros(3, ROW)
    headers["length"] = (0, 5, 20)
    composer.take(Visit(STARTED.realtime_ns, STARTED.monotonic_ns, 3, headers.tobytes(), b"\x80" * 25))
    sound = composer.give(STARTED.monotonic_ns + 500 * MS, FRAME)
    assert sound is not None
    assert not sound.samples.any()


def test_a_line_that_stood_still_gives_what_there_is_at_once_but_no_flood() -> None:
    composer = Composer(status())
    sound = composer.give(STARTED.monotonic_ns + 3_600_000 * MS, FRAME)
    assert sound is not None
    assert len(sound.samples) <= 2 * RATE_HZ
