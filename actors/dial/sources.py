"""What the parties of a dialled call say: tones, silence, audio files, or any function of the time.

A source is a function (first sample, count) -> samples at 8 kHz, 16 bits, so that the same moment of a call always
sounds the same. Files are read whole, before the call. Nothing here knows packets.
"""

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actors.dial.errors import WrongUsage

RATE_HZ: Final = 8000
FULL_SCALE: Final = 32767

Samples: TypeAlias = NDArray[np.int16]
Source: TypeAlias = Callable[[int, int], Samples]


@dataclass(frozen=True, slots=True)
class Silence:
    """Digital silence."""

    def __call__(self, first: int, count: int) -> Samples:
        return np.zeros(count, np.int16)


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine. `level_dbfs` is that of its peak."""

    hz: float
    level_dbfs: float = -12.0

    def __call__(self, first: int, count: int) -> Samples:
        phase = 2 * np.pi * self.hz / RATE_HZ * np.arange(first, first + count)
        peak: float = FULL_SCALE * 10 ** (self.level_dbfs / 20)
        sine: NDArray[np.float64] = np.sin(phase)
        return (peak * sine).astype(np.int16)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Recorded audio, repeated from its beginning for as long as the call lasts."""

    samples: Samples

    def __call__(self, first: int, count: int) -> Samples:
        return self.samples.take(np.arange(first, first + count), mode="wrap")


@dataclass(frozen=True, slots=True)
class Mix:
    """Both parties in one stream."""

    one: Source
    other: Source

    def __call__(self, first: int, count: int) -> Samples:
        both = self.one(first, count).astype(np.int32) + self.other(first, count)
        return both.clip(-FULL_SCALE - 1, FULL_SCALE).astype(np.int16)


def read_clip(path: Path) -> Clip:
    """The audio of a file: any format and rate that PyAV decodes; channels are mixed down. Errors: `WrongUsage`."""
    try:
        samples = _read_plain(path)
        if samples is None:
            samples = _read_any(path)
    except OSError as error:
        raise WrongUsage(f"The audio file {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise WrongUsage(f"{path} is no audio file that can be read.") from error
    if not len(samples):
        raise WrongUsage(f"The audio file {path} is empty.")
    return Clip(samples)


def _read_plain(path: Path) -> Samples | None:
    """The samples of a WAV file that is at 8 kHz, mono and of 16 bits already, else None."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE_HZ, 1, 2):
                return None
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    except (wave.Error, EOFError):
        return None


def _read_any(path: Path) -> Samples:
    """The samples of any other file. Errors: OSError, ValueError."""
    # PyAV takes a quarter of a second to load, which a call of two tones need not wait for.
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pieces: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError("it holds no audio")
            for frame in (*container.decode(audio=0), None):
                pieces += [each.to_ndarray()[0] for each in resampler.resample(frame)]
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"FFmpeg cannot decode it: {error}") from error
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
