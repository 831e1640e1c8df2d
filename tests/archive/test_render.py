"""From journal to samples: sides, loss, silence, pauses, skew, several streams; found again by tone and position."""

import io
from pathlib import Path

import numpy as np
import pytest

from archive.callfile import CallFile
from archive.render import TONE_HZ, TONE_PEAK, PausePolicy, Renderer
from archive.survey import Survey, survey
from engine import rtp
from engine.events import Codec, Paused, Resumed, StreamsAgreed
from engine.journal import JournalWriter
from tests.archive.calls import (
    CALLEE_HZ,
    CALLER_HZ,
    MONOTONIC_NS,
    MS,
    PCMA,
    PCMU,
    PRIVATE_KEY,
    SECOND,
    Samples,
    Script,
    Sent,
    instant,
    jitter,
    level,
    packetize,
    stream,
    tone,
    two_tones,
)


def render(script: Script, tmp_path: Path, policy: PausePolicy = "silence") -> tuple[Samples, Survey, Renderer]:
    path = tmp_path / "journal"
    script.journal(path)
    call = CallFile(io.BytesIO(path.read_bytes()), PRIVATE_KEY)
    surveyed = survey(call)
    renderer = Renderer(surveyed, policy)
    samples = np.concatenate(list(renderer.chunks(call)))
    assert len(samples) == renderer.length_samples
    return samples, surveyed, renderer


def at(seconds: float) -> int:
    return round(seconds * 8000)


def clicks(seconds: float, every_s: float) -> Samples:
    """Silence with a full-scale sample every so often, in the middle of a packet."""
    samples = np.zeros(at(seconds), np.int16)
    samples[at(every_s) // 2 + 37 :: at(every_s)] = 30_000
    return samples


def heard_clicks(samples: Samples) -> np.ndarray:
    found = np.flatnonzero(samples > 20_000)
    return found[np.diff(found, prepend=-1000) > 8]  # a repeated sample is no second click


def test_caller_left_callee_right_to_the_sample(tmp_path):
    samples, surveyed, _ = render(two_tones(), tmp_path)
    assert samples.shape == (at(3.01), 2)
    for column, hz in enumerate((CALLER_HZ, CALLEE_HZ)):
        said = tone(hz, 3)
        # Mu-law is within half a step of 1/16 of the level.
        assert np.abs(samples[: len(said), column].astype(int) - said).max() < 400
        assert (samples[len(said) + 1 :, column] == 0).all()
    assert surveyed.warnings == ()


def test_a_law_and_mu_law_change_in_mid_call(tmp_path):
    first = packetize(tone(CALLER_HZ, 2), 0, codec=PCMU, sequence=10, timestamp=0)
    second = packetize(tone(CALLER_HZ, 2), 0, codec=PCMA, start_ns=2 * SECOND, sequence=110, timestamp=16_000)
    samples, surveyed, _ = render(Script(first + second, ended_ns=4 * SECOND), tmp_path)
    for begin in (0.5, 1.5, 2.5):
        assert level(samples[at(begin) : at(begin + 1), 0], CALLER_HZ) == pytest.approx(10_000, rel=0.02)
    assert surveyed.streams[0].codecs == ("PCMA", "PCMU")


def test_a_dynamic_payload_type_means_what_was_agreed(tmp_path):
    dynamic = Codec(97, "pcma", 8000)
    sent = packetize(tone(CALLER_HZ, 2), 0, codec=PCMA)
    sent = [
        Sent(s.arrival_ns, 0, rtp.parse(rtp.serialize(s.packet)[:1] + b"\x61" + rtp.serialize(s.packet)[2:]))
        for s in sent
    ]
    samples, _, _ = render(Script(sent, streams=[stream(0, "caller", (dynamic,))], ended_ns=2 * SECOND), tmp_path)
    assert level(samples[: at(2), 0], CALLER_HZ) == pytest.approx(10_000, rel=0.02)


def test_an_unknown_payload_type_is_silent_and_warned_of(tmp_path):
    script = two_tones()
    unknown = [
        Sent(s.arrival_ns, 0, rtp.Packet(111, 7 + i, 160 * i, 9, bytes(40))) for i, s in enumerate(script.sent[:20])
    ]
    script.sent = [s for s in script.sent if s.stream == 1] + unknown
    samples, surveyed, _ = render(script, tmp_path)
    assert (samples[:, 0] == 0).all()
    assert level(samples[: at(3), 1], CALLEE_HZ) > 9000
    assert surveyed.warnings == ("Stream 0: payload type 111 cannot be decoded; its packets are silent: 20.",)


def test_jitter_and_reordering_change_nothing(tmp_path):
    rng = np.random.default_rng(4)
    script = two_tones(20)
    delays = rng.exponential(40 * MS, len(script.sent)).astype(int)
    delays[0] = delays[1000] = 0
    disturbed = Script(jitter(script.sent, lambda i: int(delays[i])), ended_ns=script.ended_ns)
    straight, _, _ = render(script, tmp_path)
    (tmp_path / "journal").unlink()
    crooked, surveyed, _ = render(disturbed, tmp_path)
    assert surveyed.streams[0].receptions[0][1].out_of_order > 50
    assert surveyed.streams[0].receptions[0][1].lost == 0
    np.testing.assert_array_equal(straight[: at(19.9)], crooked[: at(19.9)])


def test_duplicates_are_heard_once(tmp_path):
    script = two_tones()
    straight, _, _ = render(script, tmp_path)
    (tmp_path / "journal").unlink()
    script.sent = script.sent + jitter(script.sent, lambda i: 30 * MS)
    doubled, surveyed, _ = render(script, tmp_path)
    np.testing.assert_array_equal(straight[: at(2.9)], doubled[: at(2.9)])
    assert [s.receptions[0][1].duplicates for s in surveyed.streams] == [150, 150]
    assert [s.receptions[0][1].lost for s in surveyed.streams] == [0, 0]


@pytest.mark.parametrize("packets", [1, 2, 3])
def test_short_loss_is_concealed(tmp_path, packets):
    script = two_tones()
    del script.sent[60 : 60 + packets]  # the caller's, from 1.2 s on
    samples, surveyed, _ = render(script, tmp_path)
    gap = samples[at(1.2) : at(1.2 + 0.02 * packets), 0]
    assert level(gap[:160], CALLER_HZ) > 5000
    assert (gap[:80] != 0).mean() > 0.9
    assert surveyed.streams[0].receptions[0][1].lost == packets
    assert level(samples[at(1.5) : at(2.5), 0], CALLER_HZ) == pytest.approx(10_000, rel=0.02)


def test_long_loss_fades_into_silence_after_60_ms(tmp_path):
    script = two_tones()
    del script.sent[60:90]
    samples, _, _ = render(script, tmp_path)
    assert np.abs(samples[at(1.25) : at(1.259), 0]).max() < 3000
    assert (samples[at(1.261) : at(1.8), 0] == 0).all()


def test_silence_that_was_not_sent_is_silence(tmp_path):
    first = packetize(tone(CALLER_HZ, 1), 0, sequence=10, timestamp=0)
    second = packetize(tone(CALLER_HZ, 1), 0, start_ns=2 * SECOND, sequence=60, timestamp=16_000)
    noise = Sent(1040 * MS, 0, rtp.Packet(13, 60, 8160, 0x1000, b"\x40"))
    for with_noise in (False, True):
        if with_noise:
            second = packetize(tone(CALLER_HZ, 1), 0, start_ns=2 * SECOND, sequence=61, timestamp=16_000)
        sent = [*first, *([noise] if with_noise else []), *second]
        (tmp_path / "journal").unlink(missing_ok=True)
        samples, surveyed, _ = render(Script(sent, ended_ns=3 * SECOND), tmp_path)
        assert (samples[at(1) + 1 : at(2), 0] == 0).all()
        assert samples[at(2) : at(3), 0].any()
        assert surveyed.warnings == ()


def test_keys_are_silent_and_listed(tmp_path):
    voice = packetize(tone(CALLEE_HZ, 3), 1, sequence=0, timestamp=0)
    pressed = [
        Sent(
            s.arrival_ns,
            1,
            rtp.Packet(
                101,
                s.packet.sequence,
                50 * 160,
                s.packet.ssrc,
                rtp.serialize_event(rtp.TelephoneEvent(5, 160 * (i + 1), i == 9)),
                marker=i == 0,
            ),
        )
        for i, s in enumerate(voice[50:60])
    ]
    samples, surveyed, _ = render(Script([*voice[:50], *pressed, *voice[60:]], ended_ns=3 * SECOND), tmp_path)
    assert (samples[at(1) + 1 : at(1.2), 1] == 0).all()
    (digit,) = surveyed.digits
    assert (digit.digit, digit.stream, digit.duration_ms) == ("5", 1, 200)
    assert digit.position_ns == pytest.approx(SECOND, abs=MS)


@pytest.mark.parametrize("ppm", [300, -300])
def test_skewed_sides_stay_together_for_ten_minutes(tmp_path, ppm):
    """Both sides click at the same moments; the clocks part by 360 ms in ten minutes."""
    seconds = 600
    sent = packetize(clicks(seconds, 1), 0, ppm=ppm) + packetize(clicks(seconds, 1), 1, ppm=-ppm)
    samples, surveyed, _ = render(Script(sent, ended_ns=(seconds + 1) * SECOND), tmp_path)
    for column, sign in enumerate((1, -1)):
        said = (at(0.5) + 37 + np.arange(seconds) * 8000) * (1 + sign * ppm / 1e6)
        heard = heard_clicks(samples[:, column])
        assert len(heard) >= seconds - 2  # a dropped sample may be a click
        nearest = said[np.abs(said[None, :] - heard[:, None]).argmin(axis=1)]
        assert np.abs(heard - nearest).max() <= 8  # 1 ms
    assert [s.timeline.segments[0].skew * 1e6 for s in surveyed.streams] == pytest.approx([ppm, -ppm], abs=1)


def test_skew_correction_leaves_no_holes(tmp_path):
    steady = np.full(at(120), 8000, np.int16)
    sent = packetize(steady, 0, ppm=200)
    samples, _, _ = render(Script(sent, ended_ns=120 * SECOND), tmp_path)
    assert (samples[at(0.1) : at(119.9), 0] > 7000).all()


def test_a_stream_of_both_sides_is_on_both(tmp_path):
    script = Script(packetize(tone(600, 2), 0), streams=[stream(0, "both")], ended_ns=2 * SECOND)
    samples, _, _ = render(script, tmp_path)
    assert samples[:, 0].any()
    np.testing.assert_array_equal(samples[:, 0], samples[:, 1])


def test_streams_of_one_side_are_added_and_do_not_wrap(tmp_path):
    streams = [stream(0, "caller"), stream(1, "callee"), stream(2, "caller", dialog=0)]
    sent = packetize(tone(CALLER_HZ, 2, 8000), 0) + packetize(tone(700, 2, 8000), 2)
    samples, _, _ = render(Script(sent, streams=streams, ended_ns=2 * SECOND), tmp_path)
    assert level(samples[:, 0], CALLER_HZ) == pytest.approx(8000, rel=0.03)
    assert level(samples[:, 0], 700) == pytest.approx(8000, rel=0.03)
    (tmp_path / "journal").unlink()
    loud = packetize(np.full(at(1), 30_000, np.int16), 0) + packetize(np.full(at(1), 30_000, np.int16), 2)
    samples, _, _ = render(Script(loud, streams=streams, ended_ns=SECOND), tmp_path)
    assert (samples[at(0.1) : at(0.9), 0] == 32_767).all()


def paused(start_s: float, end_s: float | None) -> list[Paused | Resumed]:
    told: list[Paused | Resumed] = [Paused(at=instant(round(start_s * SECOND)), holder="phone-system", sign="inactive")]
    if end_s is not None:
        told.append(Resumed(at=instant(round(end_s * SECOND)), holder="phone-system", sign="active"))
    return told


def withheld(sent: list[Sent], start_s: float, end_s: float) -> list[Sent]:
    """What a drained pause leaves in the journal."""
    return [s for s in sent if not start_s * SECOND < s.arrival_ns <= end_s * SECOND]


@pytest.mark.parametrize("policy", ["silence", "tone", "skip"])
def test_a_pause_is_exact(tmp_path, policy):
    before, during, after = tone(500, 1.0037), tone(1500, 1.5), tone(2500, 1.5)
    script = Script(ended_ns=4 * SECOND)
    for index in (0, 1):
        script.sent += withheld(packetize(np.concatenate((before, during, after)), index), 1.0037, 2.5037)
    script.told = paused(1.0037, 2.5037)
    samples, surveyed, renderer = render(script, tmp_path, policy)
    start, end = at(1.0037), at(2.5037)
    assert surveyed.pauses == ((1_003_700_000, 2_503_700_000),)
    for column in (0, 1):
        side = samples[:, column]
        assert level(side[: start - 160], 500) > 9000
        assert side[start - 60 : start - 40].any()  # up to the last packet that had come
        assert level(side, 1500) < 100
        if policy == "skip":
            assert level(side[start + 160 : start + at(1)], 2500) > 9000
        else:
            span = side[start:end]
            assert level(side[end + 160 : end + at(1)], 2500) > 9000
            if policy == "silence":
                assert (span == 0).all()
            else:
                assert np.abs(span).max() <= TONE_PEAK
                assert level(span, TONE_HZ) == pytest.approx(TONE_PEAK, rel=0.02)
    whole = at(4)
    assert len(samples) == (whole - (end - start) if policy == "skip" else whole)
    assert renderer.pauses.in_file(whole) == len(samples)
    assert renderer.pauses.in_file(start) == start


def test_what_is_withheld_is_not_lost(tmp_path):
    script = two_tones(4)
    script.sent = withheld(script.sent, 1, 2.5)
    script.told = paused(1, 2.5)
    _, surveyed, _ = render(script, tmp_path)
    assert [s.receptions[0][1].lost for s in surveyed.streams] == [0, 0]


def test_a_pause_that_nobody_ended_lasts_to_the_end(tmp_path):
    script = two_tones(3)
    script.sent = withheld(script.sent, 1, 99)
    script.told = paused(1, None)
    samples, surveyed, _ = render(script, tmp_path)
    assert surveyed.pauses == ((SECOND, surveyed.length_ns),)
    assert (samples[at(1) :] == 0).all()


def test_audio_that_waited_at_the_resume_is_cut_at_the_resume(tmp_path):
    """The first packet after a resume holds 20 ms, of which 13 were said before."""
    script = two_tones(3)
    script.sent = withheld(script.sent, 1, 2.013)
    script.told = paused(1, 2.013)
    samples, _, _ = render(script, tmp_path)
    assert (samples[at(1) : at(2.013)] == 0).all()
    assert samples[at(2.013) : at(2.02)].any()


def test_a_hold_in_which_the_phone_systems_clock_stands_still_keeps_the_time(tmp_path):
    first = packetize(tone(CALLER_HZ, 2), 0, sequence=10, timestamp=0)
    second = packetize(tone(700, 2), 0, start_ns=12 * SECOND, sequence=110, timestamp=16_000)
    script = Script(first + second, told=paused(2.01, 11.9), ended_ns=14 * SECOND)
    samples, _, _ = render(script, tmp_path)
    assert level(samples[: at(2), 0], CALLER_HZ) > 9000
    assert (samples[at(2.01) : at(11.99), 0] == 0).all()
    assert level(samples[at(12) : at(14), 0], 700) > 9000


def test_a_dialog_that_continues_the_call_has_its_streams_added(tmp_path):
    first = packetize(tone(CALLER_HZ, 2), 0)
    second = packetize(tone(CALLER_HZ, 2), 2, start_ns=3 * SECOND)
    again = StreamsAgreed(
        at=instant(2500 * MS), dialog=1, streams=(stream(2, "caller", dialog=1), stream(3, "callee", dialog=1))
    )
    samples, _, _ = render(Script(first + second, told=[again], ended_ns=5 * SECOND), tmp_path)
    assert level(samples[: at(2), 0], CALLER_HZ) > 9000
    assert level(samples[at(3) : at(5), 0], CALLER_HZ) > 9000
    assert (samples[at(2) + 1 : at(3), 0] == 0).all()


def test_a_call_without_end_lasts_to_its_last_packet(tmp_path):
    script = two_tones(3)
    script.ended_ns = None
    samples, surveyed, _ = render(script, tmp_path)
    assert surveyed.length_ns == 3 * SECOND
    assert len(samples) == at(3)


def test_a_realtime_clock_that_is_set_in_mid_call_moves_nothing(tmp_path, monkeypatch):
    straight, _, _ = render(two_tones(4), tmp_path)
    (tmp_path / "journal").unlink()

    append = JournalWriter.append_packets

    def stepped(self, rows, headers, packets, realtime_ns, monotonic_ns):
        if monotonic_ns > MONOTONIC_NS + 2 * SECOND:
            realtime_ns += 3600 * SECOND
        append(self, rows, headers, packets, realtime_ns, monotonic_ns)

    monkeypatch.setattr(JournalWriter, "append_packets", stepped)
    script = two_tones(4)
    script.sent = [
        Sent(s.arrival_ns, s.stream, s.packet, s.arrival_ns + 3600 * SECOND if s.arrival_ns > 2050 * MS else None)
        for s in script.sent
    ]
    samples, _, _ = render(script, tmp_path)
    np.testing.assert_array_equal(straight[: at(3.9)], samples[: at(3.9)])


def test_hours_of_silence_need_no_memory(tmp_path):
    """A call on hold for five hours: chunks stay short, and no buffer holds the hours between."""
    first = packetize(tone(CALLER_HZ, 1), 0)
    last = packetize(tone(CALLER_HZ, 1), 0, start_ns=5 * 3600 * SECOND, sequence=65_050, timestamp=2**32 - 4000 + 8000)
    path = tmp_path / "journal"
    Script(first + last, ended_ns=(5 * 3600 + 2) * SECOND).journal(path)
    with path.open("rb") as file:
        call = CallFile(file, PRIVATE_KEY)
        renderer = Renderer(survey(call), "silence")
        total = heard = 0
        for chunk in renderer.chunks(call):
            assert len(chunk) <= at(30)
            total += len(chunk)
            heard += int(np.count_nonzero(chunk[:, 0]))
    assert total == at(5 * 3600 + 2)
    assert 15_000 < heard < 16_100


def test_two_sources_that_alternate_are_both_heard(tmp_path):
    first = packetize(tone(CALLER_HZ, 2), 0, ssrc=1)
    second = packetize(tone(700, 2), 0, ssrc=2, start_ns=2 * SECOND, sequence=5, timestamp=123_456)
    foreign = Sent(1500 * MS, 0, rtp.Packet(0, 999, 42, 3, bytes(160)))
    samples, surveyed, _ = render(Script([*first, *second, foreign], ended_ns=4 * SECOND), tmp_path)
    assert level(samples[: at(2), 0], CALLER_HZ) == pytest.approx(10_000, rel=0.02)
    assert level(samples[at(2) : at(4), 0], 700) == pytest.approx(10_000, rel=0.02)
    assert surveyed.streams[0].timeline.noise == {3}
    assert "never sent two packets in a row" in surveyed.warnings[0]


def test_packets_that_come_20_seconds_late_are_counted(tmp_path):
    script = two_tones(90)
    script.sent = jitter(script.sent, lambda i: 70 * SECOND if i == 100 else 0)
    _, _, renderer = render(script, tmp_path)
    assert renderer.late == 1
