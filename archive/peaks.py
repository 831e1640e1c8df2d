"""The peaks of a recording, for drawing its waveform: `peaks.dat`.

The format is version 2 of audiowaveform's binary data (github.com/bbc/audiowaveform, doc/DataFormat.md), which
browsers' waveform libraries read. All little-endian:

    version (i32) = 2 | flags (u32): 1 = 8 bits | samples a second (i32) | samples a point (i32) | points (u32)
    | channels (i32) | for each point and channel: lowest, highest sample (i8, i8)

Not here: drawing.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

POINTS_PER_S: Final = 20
CHANNELS: Final = 2
_HEADER = struct.Struct("<iIiiIi")
_VERSION: Final = 2
_EIGHT_BITS: Final = 1


@dataclass(frozen=True, slots=True)
class Peaks:
    """The peaks of a file: `points` (n, channels, 2) int8 of lowest and highest, each over `samples_per_point`."""

    rate_hz: int
    samples_per_point: int
    points: NDArray[np.int8]


class PeaksWriter:
    """Writes a recording's peaks as its samples come."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        self._rate_hz, self._per_point = rate_hz, rate_hz // POINTS_PER_S
        self._rest = np.zeros((0, CHANNELS), np.int16)
        self._points = 0
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER.size))

    def __enter__(self) -> "PeaksWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, samples: NDArray[np.int16]) -> None:
        """Takes in stereo samples (n, 2)."""
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._per_point * self._per_point
        self._put(samples[:whole].reshape(-1, self._per_point, CHANNELS))
        self._rest = samples[whole:].copy()

    def finish(self) -> None:
        """Writes what is left, and the header."""
        if len(self._rest):
            self._put(self._rest[None])
        self._file.seek(0)
        self._file.write(_HEADER.pack(_VERSION, _EIGHT_BITS, self._rate_hz, self._per_point, self._points, CHANNELS))

    def _put(self, points: NDArray[np.int16]) -> None:
        sides = np.ascontiguousarray(points.transpose(0, 2, 1))  # numpy is ten times as fast along the last axis
        both = np.stack((sides.min(axis=2), sides.max(axis=2)), axis=-1) >> 8
        self._points += len(points)
        self._file.write(both.astype(np.int8).tobytes())


def read_peaks(data: bytes) -> Peaks:
    """The peaks in a file. Raises `ValueError` for anything that `PeaksWriter` does not write."""
    if len(data) < _HEADER.size:
        raise ValueError("The file ends before a peaks file's header does.")
    version, flags, rate_hz, per_point, points, channels = _HEADER.unpack_from(data)
    if (version, flags, channels) != (_VERSION, _EIGHT_BITS, CHANNELS):
        raise ValueError("This is not a peaks file of ours: version 2, 8 bits, two channels.")
    if len(data) != _HEADER.size + points * channels * 2:
        raise ValueError(f"The peaks file says {points} points and holds another number.")
    values = np.frombuffer(data, np.int8, offset=_HEADER.size).reshape(points, channels, 2)
    return Peaks(rate_hz, per_point, values)
