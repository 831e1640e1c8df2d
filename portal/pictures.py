"""Pictures that people upload: what they really are, told by their content and not by their name.

PNG, JPEG and WebP are taken; SVG is not, since it can hold scripts. The size is read from the head before anything is
decoded, so that a small file cannot unfold into gigabytes of pixels.

Not here: how large a file may be (pages say), where it is kept (schema).
"""

import io
import struct
from dataclasses import dataclass
from typing import Final

import av

# Wider or higher than any screen shows a logo.
MOST_PIXELS: Final = 4096

_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Frames of a JPEG that tell its size (ITU-T T.81, table B.1): all SOFs but DHT, JPG and DAC.
_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODERS: Final = {"image/png": "png_pipe", "image/jpeg": "jpeg_pipe", "image/webp": "webp_pipe"}


@dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` in pixels."""

    media_type: str
    width: int
    height: int


def recognized(data: bytes) -> Picture | None:
    """What picture this is; None where it is none that a browser shows safely, or a damaged or a huge one.

    It is decoded: call it in a thread.
    """
    try:
        found = _head(data)
    except (struct.error, IndexError):
        return None
    if found is None or not (0 < found.width <= MOST_PIXELS and 0 < found.height <= MOST_PIXELS):
        return None
    return found if _decodes(data, found) else None


def _head(data: bytes) -> Picture | None:
    if data.startswith(_PNG) and data[12:16] == b"IHDR":
        return Picture("image/png", *struct.unpack_from(">II", data, 16))
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _jpeg(data: bytes) -> Picture | None:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Picture("image/jpeg", width, height)
        at += 2 + length
    return None


def _webp(data: bytes) -> Picture | None:
    """RFC 9649 section 2.5 to 2.7: lossy, lossless and extended."""
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Picture("image/webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
        return Picture("image/webp", width, height)
    return None


def _decodes(data: bytes, told: Picture) -> bool:
    """Whether its pixels are there, as many as its head says."""
    try:
        with av.open(io.BytesIO(data), "r", format=_DECODERS[told.media_type]) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError):
        return False
    return (frame.width, frame.height) == (told.width, told.height)
