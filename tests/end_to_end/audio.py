"""Sounds for tests: tones that are markers too, and what a finished file holds of them.

A marker is a tone whose period is 32 samples: in G.711 it is 32 bytes that repeat, which no other tone holds. So the
same call shows by bytes what is in memory and on disk, and by FFT what can be heard.
"""

from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8000
MARKER_SAMPLES: Final = 32
# Odd multiples of 250 Hz have a period of 32 samples; harmonics that G.711 adds to one of these meet no other.
BEFORE_HZ, PAUSED_HZ, AFTER_HZ = 750, 1750, 2750
# Windows shorter than two packets: one packet that slipped through is heard.
WINDOW_S: Final = 0.04
SILENT_DBFS: Final = -90.0

Samples = NDArray[np.float64]


def tone(hz: float, seconds: float, level_dbfs: float = -10.0, phase: float = 0.0) -> NDArray[np.int16]:
    """A sine; its level is that of its peak."""
    angles = 2 * np.pi * hz / RATE_HZ * np.arange(round(seconds * RATE_HZ)) + phase
    samples: NDArray[np.int16] = np.rint(32767 * 10 ** (level_dbfs / 20) * np.sin(angles)).astype(np.int16)
    return samples


def ulaw(samples: NDArray[np.int16]) -> bytes:
    """G.711 by the definition (ITU-T G.711, mu-law), sample by sample: slow, and not the recorder's own tables."""
    codes = bytearray()
    for sample in samples.tolist():
        magnitude = min(abs(sample), 32635) + 0x84
        segment = magnitude.bit_length() - 8
        codes.append(~((sample < 0) << 7 | segment << 4 | (magnitude >> (segment + 3)) & 0x0F) & 0xFF)
    return bytes(codes)


def marker(hz: int, phase: float) -> bytes:
    """The payload of a 20 ms packet of a tone that no other phase has byte for byte."""
    return ulaw(tone(hz, 0.02, phase=phase))


def decode(path: Path) -> tuple[Samples, int]:
    """A file's samples, (n, channels) from -1 to 1, and their rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
        frames = [*(each for frame in container.decode(stream) for each in resampler.resample(frame))]
        channels = stream.codec_context.channels
        samples = np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in frames])
        return samples.astype(np.float64), stream.rate


def levels(channel: Samples, rate_hz: int, hz: float, window_s: float = WINDOW_S) -> Samples:
    """The level of one tone over time, dBFS of its peak, in windows that overlap by half."""
    size = round(window_s * rate_hz)
    windows = np.lib.stride_tricks.sliding_window_view(channel, size)[:: size // 2]
    hann = np.hanning(size)
    probe = np.exp(-2j * np.pi * hz / rate_hz * np.arange(size)) * hann
    amplitudes = np.abs(windows @ probe) * 2 / hann.sum()
    dbfs: Samples = 20 * np.log10(np.maximum(amplitudes, 10 ** (SILENT_DBFS / 20)))
    return dbfs


def loudest_hz(channel: Samples, rate_hz: int) -> float:
    """The frequency of the highest peak."""
    spectrum = np.abs(np.fft.rfft(channel * np.hanning(len(channel))))
    return float(np.argmax(spectrum) * rate_hz / len(channel))
