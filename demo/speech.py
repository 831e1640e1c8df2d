"""Makes a dialogue audible: a WAV file for each side, both of one length, with espeak-ng's voices.

The synthesiser and its data come from the package index (extra `demo`): nothing of the system's is used.

Not here: what is said (script.py).
"""

import ctypes
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from demo.errors import DemoError
from demo.script import Dialogue, Line, Person, Side

# What telephones carry.
RATE_HZ: Final = 8000
# Between two lines; people answer each other within half a second.
BREATH_S: Final = 0.4
# Active speech on a telephone lies some 20 dB below full scale.
LOUDNESS_RMS: Final = 3000.0
FULL_SCALE: Final = 32767

# espeak-ng's speak_lib.h.
_SYNCHRONOUS: Final = 2
_UTF8: Final = 1
_PACE: Final = 1
_DEFAULT_MS: Final = 0
_Callback: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

Samples = NDArray[np.int16]


class SpeechError(DemoError):
    """The synthesiser does not work here. Its text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A dialogue as files: `caller` and `callee` are WAV files of `lasts_s` seconds, 8 kHz, 16 bits, mono.

    `paused_s` holds the spans that the phone system keeps out of the recording, in seconds from the beginning.
    """

    caller: Path
    callee: Path
    lasts_s: float
    paused_s: tuple[tuple[float, float], ...]


class Voices:
    """The synthesiser. There is one in a process: the library keeps its state in globals."""

    def __init__(self) -> None:
        """Errors: SpeechError."""
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise SpeechError(f"The speech synthesiser cannot be loaded: {error}.") from error
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, _DEFAULT_MS, data, 0)
        if self._rate_hz <= 0:
            raise SpeechError(f"The speech synthesiser does not start: it cannot use {data.decode()}.")
        self._spoken: list[Samples] = []
        # The library calls it as long as it lives, so it must live as long.
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, person: Person, text: str) -> Samples:
        """Speech, (n,) int16 at 8 kHz, as loud as on a telephone. Errors: SpeechError."""
        self._spoken.clear()
        self._ask("espeak_SetVoiceByName", person.voice.encode())
        self._ask("espeak_SetParameter", _PACE, person.pace, 0)
        words = text.encode()
        self._ask("espeak_Synth", words, len(words) + 1, 0, 1, 0, _UTF8, None, None)
        if not self._spoken:
            raise SpeechError(f"The speech synthesiser said nothing for {text!r}.")
        return _as_on_a_telephone(np.concatenate(self._spoken), self._rate_hz)

    def _ask(self, function: str, *arguments: object) -> None:
        status: int = getattr(self._library, function)(*arguments)
        if status != 0:
            raise SpeechError(f"The speech synthesiser answers {function} with error {status}.")

    def _take(self, samples: Any, count: int, _events: int | None) -> int:
        if samples and count:
            self._spoken.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def record(dialogue: Dialogue, voices: Voices, folder: Path) -> Recorded:
    """Writes both sides of a dialogue into `folder`. Errors: SpeechError, OSError."""
    people: dict[Side, Person] = {"caller": dialogue.caller, "callee": dialogue.callee}
    tracks: dict[Side, list[Samples]] = {side: [] for side in people}
    at = 0
    cues: list[float] = []
    for each in dialogue.script:
        if not isinstance(each, Line):
            # In the middle of the silence: the phone system takes a moment, and not a syllable may slip through.
            cues.append(at / RATE_HZ - BREATH_S / 2)
            continue
        speech = voices.say(people[each.side], each.text)
        breath = np.zeros(round(BREATH_S * RATE_HZ), np.int16)
        for side, track in tracks.items():
            track += [speech if side == each.side else np.zeros_like(speech), breath]
        at += len(speech) + len(breath)
    files = {side: folder / f"{dialogue.callee.number}-{side}.wav" for side in people}
    for side, file in files.items():
        _write(file, np.concatenate(tracks[side]))
    paused_s = tuple(zip(cues[::2], cues[1::2], strict=True))
    return Recorded(files["caller"], files["callee"], at / RATE_HZ, paused_s)


def _as_on_a_telephone(samples: Samples, rate_hz: int) -> Samples:
    """Brings speech to 8 kHz, without what lies above, and to one loudness."""
    count = len(samples) * RATE_HZ // rate_hz
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    speech = np.fft.irfft(spectrum, count)
    scaled = speech * (LOUDNESS_RMS / max(float(speech.std()), 1.0))
    result: Samples = np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE).astype(np.int16)
    return result


def _write(file: Path, samples: Samples) -> None:
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(samples.itemsize)
        written.setframerate(RATE_HZ)
        written.writeframes(samples.astype("<i2").tobytes())
