"""G.711 against the recommendation's tables and against FFmpeg's decoder, for every code."""

import av
import numpy as np
import pytest

from engine import g711

CODES = np.arange(256, dtype=np.uint8)
SAMPLES = np.arange(-32768, 32768, dtype=np.int16)


def ffmpeg_decode(codec: str, codes: bytes) -> np.ndarray:
    context = av.CodecContext.create(codec, "r")
    context.sample_rate, context.layout = 8000, "mono"
    return np.concatenate([frame.to_ndarray()[0] for frame in context.decode(av.Packet(codes))])


@pytest.mark.parametrize(("codec", "decode"), [("pcm_mulaw", g711.decode_ulaw), ("pcm_alaw", g711.decode_alaw)])
def test_every_code_decodes_as_ffmpeg_does(codec, decode):
    np.testing.assert_array_equal(decode(CODES), ffmpeg_decode(codec, CODES.tobytes()))


def test_the_ends_of_the_recommendations_tables():
    assert g711.decode_ulaw(np.array([0x00, 0x80, 0x7F, 0xFF], np.uint8)).tolist() == [-32124, 32124, 0, 0]
    assert g711.decode_alaw(np.array([0x2A, 0xAA, 0x55, 0xD5], np.uint8)).tolist() == [-32256, 32256, -8, 8]


def test_every_code_comes_back():
    again = g711.encode_ulaw(g711.decode_ulaw(CODES))
    assert again[0x7F] == 0xFF  # minus zero is zero
    np.testing.assert_array_equal(np.delete(again, 0x7F), np.delete(CODES, 0x7F))
    np.testing.assert_array_equal(g711.encode_alaw(g711.decode_alaw(CODES)), CODES)


@pytest.mark.parametrize(
    ("encode", "decode", "clip", "smallest_step", "bias"),
    [(g711.encode_ulaw, g711.decode_ulaw, 32124, 8, 132), (g711.encode_alaw, g711.decode_alaw, 32256, 16, 0)],
)
def test_no_sample_is_further_from_its_code_than_half_a_step(encode, decode, clip, smallest_step, bias):
    decoded = decode(encode(SAMPLES)).astype(np.int32)
    error = np.abs(decoded - np.clip(SAMPLES.astype(np.int32), -clip, clip))
    # Steps double from segment to segment: relative to the level they are at most a sixteenth of it.
    step = np.maximum((np.abs(decoded) + bias) // 16, smallest_step)
    assert (error <= step // 2 + 1).all()
    assert (np.diff(decoded) >= 0).all()


def test_shapes_are_kept():
    codes = np.zeros((3, 160), np.uint8)
    assert g711.decode_alaw(codes).shape == (3, 160)
    assert g711.encode_ulaw(g711.decode_ulaw(codes)).shape == (3, 160)
