"""What the parties of the demo say, as sound."""

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from demo.script import COMPLAINT, DIALOGUES, SUPPORT, Dialogue, Line, Person
from demo.speech import BREATH_S, LOUDNESS_RMS, RATE_HZ, SpeechError, Voices, record

# What is as loud as this is speech.
AUDIBLE = 200


@pytest.fixture(scope="module")
def voices() -> Voices:
    return Voices()


def samples(file: Path) -> NDArray[np.int16]:
    with wave.open(str(file), "rb") as opened:
        assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(opened.readframes(opened.getnframes()), "<i2")


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)
def test_both_sides_speak_and_never_at_once(dialogue: Dialogue, voices: Voices, tmp_path: Path) -> None:
    recorded = record(dialogue, voices, tmp_path)
    caller, callee = samples(recorded.caller), samples(recorded.callee)
    assert len(caller) == len(callee) == round(recorded.lasts_s * RATE_HZ)
    # In pieces of a breath: whether somebody speaks there.
    piece = round(BREATH_S * RATE_HZ)
    speaking = [
        np.abs(side[: len(side) // piece * piece].reshape(-1, piece)).max(axis=1) > AUDIBLE for side in (caller, callee)
    ]
    assert all(0.2 < each.mean() < 0.8 for each in speaking)
    both = np.minimum(np.abs(caller.astype(int)), np.abs(callee.astype(int)))
    assert both.max() == 0


def test_a_line_is_as_loud_as_on_a_telephone_and_holds_nothing_above_it(voices: Voices) -> None:
    spoken = voices.say(SUPPORT.caller, "Hello, my name is Dora Linden.").astype(float)
    assert 1 < len(spoken) / RATE_HZ < 4
    assert spoken.std() == pytest.approx(LOUDNESS_RMS, rel=0.1)
    # A voice: most of it below 1 kHz, at a pitch of a person.
    power = np.abs(np.fft.rfft(spoken)) ** 2
    hz = np.fft.rfftfreq(len(spoken), 1 / RATE_HZ)
    assert power[(hz > 80) & (hz < 1000)].sum() > power[hz > 1000].sum()


def test_two_people_do_not_sound_alike(voices: Voices) -> None:
    words = "Good morning, how can I help you?"
    one, other = voices.say(COMPLAINT.caller, words), voices.say(COMPLAINT.callee, words)
    count = min(len(one), len(other))
    assert abs(np.corrcoef(one[:count], other[:count])[0, 1]) < 0.5


def test_what_must_not_be_kept_is_said_between_the_cues(voices: Voices, tmp_path: Path) -> None:
    recorded = record(COMPLAINT, voices, tmp_path)
    [(start_s, end_s)] = recorded.paused_s
    first, last = COMPLAINT.script.index("pause"), COMPLAINT.script.index("resume")
    people: dict[str, Person] = {"caller": COMPLAINT.caller, "callee": COMPLAINT.callee}

    def lasts_s(script: tuple[object, ...]) -> float:
        lines = [each for each in script if isinstance(each, Line)]
        spoken_s = sum(len(voices.say(people[line.side], line.text)) / RATE_HZ + BREATH_S for line in lines)
        return spoken_s - BREATH_S / 2

    assert [line for line in COMPLAINT.script if "one two three four" in str(line)] == [COMPLAINT.script[first + 1]]
    # The synthesiser does not say anything twice in quite the same time.
    assert start_s == pytest.approx(lasts_s(COMPLAINT.script[:first]), abs=0.05)
    assert end_s == pytest.approx(lasts_s(COMPLAINT.script[:last]), abs=0.05)


def test_the_long_call_lasts_five_minutes_and_the_others_end_within_the_minute(voices: Voices, tmp_path: Path) -> None:
    lengths = [dialogue.lasts_s or record(dialogue, voices, tmp_path).lasts_s for dialogue in DIALOGUES]
    assert sorted(length >= 300 for length in lengths) == [False, False, True]
    assert all(20 < length < 45 for length in lengths if length < 300)


def test_a_voice_that_is_not_there_is_named(voices: Voices) -> None:
    with pytest.raises(SpeechError, match="espeak_SetVoiceByName"):
        voices.say(Person("1", "", "zz-nobody", 170), "Hello")
