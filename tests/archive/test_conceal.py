"""Concealment: the pitch goes on, and fades."""

import numpy as np
import pytest

from archive.conceal import HISTORY_S, conceal
from tests.archive.calls import RATE_HZ, level, tone

HISTORY = round(HISTORY_S * RATE_HZ)


@pytest.mark.parametrize("hz", [80, 120, 190, 440])
def test_a_voice_goes_on_at_its_pitch(hz):
    said = tone(hz, 0.2)
    guessed = conceal(said[:HISTORY], 80, RATE_HZ).astype(int)
    actual = said[HISTORY : HISTORY + 80].astype(int)
    # A period is a whole number of samples, so the phase slips by up to half a sample.
    assert np.abs(guessed - actual).max() < 10_000 * np.pi * hz / RATE_HZ * 1.5


def test_it_fades_from_10_ms_on_and_ends_at_60_ms():
    guessed = conceal(tone(200, 1)[:HISTORY], 800, RATE_HZ)
    assert np.abs(guessed[:80]).max() > 9900
    assert np.abs(guessed[240:280]).max() == pytest.approx(6000, rel=0.1)
    assert level(guessed[:400], 200) > 3000
    assert (guessed[480:] == 0).all()


@pytest.mark.parametrize("history", [np.zeros(HISTORY, np.int16), np.full(HISTORY, -32768, np.int16)])
def test_silence_and_the_extreme_stay_what_they_are(history):
    np.testing.assert_array_equal(conceal(history, 80, RATE_HZ), history[:80])
