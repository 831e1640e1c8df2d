"""What an uploaded picture is: by its content, before and after it is decoded."""

import io
import struct
import zlib

import av
import numpy as np
import pytest

from portal.pictures import MOST_PIXELS, Picture, recognized


def made(codec: str, pixels: str, container: str, width: int = 64, height: int = 48) -> bytes:
    """A picture of one grey."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        grey = np.full((height, width, 3), 120, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pixels)
        for packet in [*stream.encode(frame), *stream.encode()]:
            output.mux(packet)
    return file.getvalue()


PNG = made("png", "rgba", "image2pipe")
JPEG = made("mjpeg", "yuvj420p", "image2pipe")
WEBP = made("libwebp", "yuv420p", "webp")


def png_that_claims(width: int, height: int) -> bytes:
    """A small file whose head says that it is large."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return PNG[:8] + PNG[8:12] + head + struct.pack(">I", zlib.crc32(head)) + PNG[33:]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")],
    ids=["png", "jpeg", "webp"],
)
def test_pictures_are_told_by_their_content(data: bytes, media_type: str) -> None:
    assert recognized(data) == Picture(media_type, 64, 48)


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP], ids=["png", "jpeg", "webp"])
def test_a_picture_that_was_cut_off_is_none(data: bytes) -> None:
    for length in (0, 1, 8, 11, 16, 20, 24, len(data) // 2):
        assert recognized(data[:length]) is None, length


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
        b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
        b"\xff\xd8\xff<html></html>" + bytes(40),
        b"RIFF\x24\x00\x00\x00WEBPVP8 <html></html>" + bytes(40),
    ],
    ids=["svg", "gif", "png-head", "jpeg-head", "webp-head"],
)
def test_what_only_looks_like_one_is_none(data: bytes) -> None:
    assert recognized(data) is None


def test_a_small_file_that_unfolds_into_a_huge_picture_is_not_decoded() -> None:
    assert recognized(png_that_claims(64, 48)) is not None
    assert recognized(png_that_claims(MOST_PIXELS + 1, 48)) is None
    assert recognized(png_that_claims(60_000, 60_000)) is None
    assert recognized(png_that_claims(0, 48)) is None


def test_the_pixels_must_be_as_many_as_the_head_says() -> None:
    """An extended WebP has a head of its own, which may lie about the picture inside."""
    payload = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (9).to_bytes(3, "little") * 2 + WEBP[12:]
    assert recognized(b"RIFF" + struct.pack("<I", len(payload) + 4) + b"WEBP" + payload) is None
