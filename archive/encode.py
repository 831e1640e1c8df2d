"""Encoders: stereo samples in, an audio file out, through FFmpeg's libraries (PyAV).

Not here: where samples come from, fsync, names of files.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

AudioFormat = Literal["opus", "wav", "flac", "mp3"]

MP3_BITRATE: Final = 32_000
# Opus would couple the sides: where both speak each is heard on the other, 18 dB down, and below some 20 kbit/s they
# become one. libopus leaves them apart in mapping family 255, which is for no layout in particular; for two channels
# family 1 says the same (RFC 7845 section 5.1.1.2: two streams, none coupled), and names them left and right.
UNCOUPLED: Final = 255
VORBIS_ORDER: Final = 1
OPUS_HEAD: Final = b"OpusHead"
FAMILY_AT: Final = 18


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a recording is encoded. The Opus fields matter to Opus alone."""

    format: AudioFormat
    opus_bitrate_kbit: int = 24
    opus_complexity: int = 5

    @property
    def file_name(self) -> str:
        """The name of the audio file in a recording's folder."""
        return f"audio.{self.format}"


class Encoder(Protocol):
    """Writes one file."""

    def write(self, samples: NDArray[np.int16]) -> None:
        """Takes in stereo samples (n, 2), contiguous. Raises `OSError` (FFmpeg's errors are some)."""

    def finish(self) -> None:
        """Writes what is left and completes the file. Raises `OSError`."""

    def close(self) -> None:
        """Lets go of the file, finished or not; a second time does nothing."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """FFmpeg's names: container, codec and their options."""

    container: str
    codec: str
    bitrate: int | None
    options: dict[str, str]
    container_options: dict[str, str]


def _recipe(encoding: Encoding) -> _Recipe:
    match encoding.format:
        case "opus":
            effort = {"application": "voip", "compression_level": str(encoding.opus_complexity)}
            sides = {"mapping_family": str(UNCOUPLED)}
            return _Recipe("ogg", "libopus", encoding.opus_bitrate_kbit * 1000, effort | sides, {})
        case "wav":
            return _Recipe("wav", "pcm_s16le", None, {}, {"rf64": "auto"})  # beyond 4 GiB a plain WAV cannot be
        case "flac":
            return _Recipe("flac", "flac", None, {}, {})
        case "mp3":
            return _Recipe("mp3", "libmp3lame", MP3_BITRATE, {"joint_stereo": "0"}, {})  # the sides stay apart


class FileEncoder:
    """An `Encoder` for all formats. `tags` become the file's metadata."""

    def __init__(self, path: Path, encoding: Encoding, rate_hz: int, tags: dict[str, str]) -> None:
        recipe = _recipe(encoding)
        self._rate_hz = rate_hz
        self._position = 0
        self._container = av.open(str(path), "w", format=recipe.container, options=recipe.container_options)
        self._container.metadata.update(tags)
        stream = self._container.add_stream(recipe.codec, rate=rate_hz, options=recipe.options)
        if not isinstance(stream, AudioStream):
            raise TypeError(f"{recipe.codec} is no audio codec.")
        stream.layout = "stereo"
        if recipe.bitrate is not None:
            stream.bit_rate = recipe.bitrate
        self._stream = stream
        stream.codec_context.open()
        head = stream.codec_context.extradata
        if head is not None and head.startswith(OPUS_HEAD):
            stream.codec_context.extradata = head[:FAMILY_AT] + bytes([VORBIS_ORDER]) + head[FAMILY_AT + 1 :]

    def write(self, samples: NDArray[np.int16]) -> None:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = self._rate_hz
        frame.pts = self._position
        self._position += len(samples)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the file is not whole anyway, or `finish` has said so
            self._container.close()
