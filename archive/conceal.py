"""Concealment of lost packets: the last pitch period again, fading (ITU-T G.711 appendix I, without its overlaps).

Not here: what counts as lost (`render.py`).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Appendix I: full level for 10 ms, nothing from 60 ms on: longer than that, repetition sounds like a machine.
FULL_S: Final = 0.010
CONCEALED_S: Final = 0.060
# Voices of 66 to 200 Hz, as in appendix I.
SHORTEST_PITCH_S: Final = 0.005
LONGEST_PITCH_S: Final = 0.015
# What the periods are compared over, and so the history that is needed: 20 ms and the longest period.
COMPARED_S: Final = 0.020
HISTORY_S: Final = COMPARED_S + LONGEST_PITCH_S


def conceal(history: NDArray[np.int16], samples: int, rate_hz: int) -> NDArray[np.int16]:
    """`samples` that go on where `history` (HISTORY_S of samples or more) ends; silence past CONCEALED_S."""
    period = _pitch(history, rate_hz)
    audible = min(samples, round(CONCEALED_S * rate_hz))
    full = round(FULL_S * rate_hz)
    fade = np.interp(np.arange(audible), (full, round(CONCEALED_S * rate_hz)), (1.0, 0.0))
    result = np.zeros(samples, np.int16)
    result[:audible] = np.resize(history[-period:], audible) * fade
    return result


def _pitch(history: NDArray[np.int16], rate_hz: int) -> int:
    """The lag, in samples, at which the end of `history` resembles itself most (normalised correlation)."""
    compared = round(COMPARED_S * rate_hz)
    longest, shortest = round(LONGEST_PITCH_S * rate_hz), round(SHORTEST_PITCH_S * rate_hz)
    recent = history[-compared:].astype(np.float64)
    earlier = history[-compared - longest : -shortest].astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(earlier, compared)  # longest lag first
    energy = np.sqrt((windows * windows).sum(axis=1))
    likeness = (windows @ recent) / np.maximum(energy, 1.0)
    return longest - int(likeness.argmax())
