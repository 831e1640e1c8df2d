"""Audio to send: noise with the spectrum and the rhythm of speech, so that codecs work as they do on calls.

A tone would be coded for next to nothing, and white noise at a price that no call has.

Not here: sending it.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.g711 import encode_ulaw

RATE_HZ: Final = 8000
# What a telephone passes, falling towards the top as speech does.
BAND_HZ: Final = (200.0, 3400.0)
FALL_DB_PER_OCTAVE: Final = 9.0
FALL_FROM_HZ: Final = 500.0
# Syllables come some four a second; each party talks about 45 % of the time, in turns of one to four seconds.
SYLLABLES_HZ: Final = 4.0
TALK_S: Final = (1.0, 4.0)
SILENCE_S: Final = (1.0, 5.0)
# Active speech lies some 20 dB below full scale; rooms are not silent in between.
SPEECH_RMS: Final = 3000.0
ROOM_RMS: Final = 12.0


def speech(seconds: float, seed: int = 1) -> NDArray[np.int16]:
    """Speech-like samples, (seconds * 8000,) int16; the same for the same seed."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(random.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    octaves = np.log2(np.maximum(hz, FALL_FROM_HZ) / FALL_FROM_HZ)
    spectrum *= np.where((hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1]), 10 ** (-FALL_DB_PER_OCTAVE * octaves / 20), 0)
    voice = np.fft.irfft(spectrum, count)
    at_s = np.arange(count) / RATE_HZ
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * SYLLABLES_HZ * at_s)
    talking = np.zeros(count)
    start = 0.0
    while start < seconds:
        end = start + random.uniform(*TALK_S)
        talking[round(start * RATE_HZ) : round(end * RATE_HZ)] = 1
        start = end + random.uniform(*SILENCE_S)
    samples = voice / voice.std() * SPEECH_RMS * syllables * talking + random.standard_normal(count) * ROOM_RMS
    result: NDArray[np.int16] = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return result


def write_audio(path: Path, seconds: float = 60.0) -> None:
    """A file of mu-law samples for the sender."""
    path.write_bytes(encode_ulaw(speech(seconds)).tobytes())
