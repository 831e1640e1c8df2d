"""Each format: the right voice on the right channel, the right length, level and tags."""

import contextlib
import gc
import os
from pathlib import Path

import av
import numpy as np
import pytest

from archive.encode import Encoding, FileEncoder
from engine import g711
from tests.archive.calls import CALLEE_HZ, CALLER_HZ, RATE_HZ, level, tone

FORMATS = ["opus", "wav", "flac", "mp3"]
SECONDS = 6.3


def decode(path) -> tuple[np.ndarray, int, dict[str, str]]:
    """Samples (2, n) as floats on the scale of 16 bits, their rate, and the file's tags."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        resampler = av.AudioResampler(format="fltp", layout="stereo")
        parts = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
        tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
        return np.concatenate(parts, axis=1) * 32768, stream.rate, tags


def encode(path, encoding: Encoding, samples: np.ndarray, chunk: int = 24_000) -> None:
    encoder = FileEncoder(path, encoding, RATE_HZ, {"title": "Ann to Bob", "date": "2026-03-05T00:00:00Z"})
    for begin in range(0, len(samples), chunk):
        encoder.write(samples[begin : begin + chunk])
    encoder.finish()
    encoder.close()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("chunk", [801, 50_000])
def test_voices_length_level_and_tags(tmp_path, form, chunk):
    encoding = Encoding(form)
    path = tmp_path / encoding.file_name
    encode(path, encoding, np.stack((tone(CALLER_HZ, SECONDS), tone(CALLEE_HZ, SECONDS)), axis=1), chunk)
    sides, rate_hz, tags = decode(path)
    # MP3 fills its first and last frame: 1,105 samples of delay and up to a frame of 576 after the end.
    assert sides.shape[1] / rate_hz == pytest.approx(SECONDS, abs=0.25 if form == "mp3" else 0.021)
    middle = sides[:, rate_hz : 5 * rate_hz]
    for side, own, other in ((0, CALLER_HZ, CALLEE_HZ), (1, CALLEE_HZ, CALLER_HZ)):
        assert level(middle[side], own, rate_hz) == pytest.approx(10_000, rel=0.15)
        assert level(middle[side], other, rate_hz) < 100  # 40 dB below: nobody hears the wrong side
    assert tags["title"] == "Ann to Bob"
    assert tags["date"].startswith("2026")


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_lossless_formats_lose_nothing(tmp_path, form):
    samples = np.random.default_rng(8).integers(-32768, 32768, (20_001, 2), np.int16)
    path = tmp_path / f"audio.{form}"
    encode(path, Encoding(form), samples)
    sides, rate_hz, _ = decode(path)
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(sides.T, samples)


@pytest.mark.parametrize("form", FORMATS)
def test_one_silent_side_stays_silent(tmp_path, form):
    encoding = Encoding(form)
    path = tmp_path / encoding.file_name
    encode(path, encoding, np.stack((tone(CALLER_HZ, 4), np.zeros(4 * RATE_HZ, np.int16)), axis=1))
    sides, rate_hz, _ = decode(path)
    middle = sides[:, rate_hz : 3 * rate_hz]
    assert np.sqrt((middle[1] ** 2).mean()) < 0.02 * np.sqrt((middle[0] ** 2).mean())


def test_opus_obeys_bitrate_and_complexity(tmp_path):
    rng = np.random.default_rng(9)
    samples = (rng.standard_normal((20 * RATE_HZ, 2)) * 3000).astype(np.int16)
    sizes = {}
    for kbit in (16, 48):
        path = tmp_path / f"{kbit}.opus"
        encode(path, Encoding("opus", opus_bitrate_kbit=kbit), samples)
        sizes[kbit] = path.stat().st_size * 8 / 20 / 1000
    assert sizes[16] == pytest.approx(16, rel=0.3)
    assert sizes[48] == pytest.approx(48, rel=0.3)
    for complexity in (0, 10):
        encode(tmp_path / f"c{complexity}.opus", Encoding("opus", opus_complexity=complexity), samples)
    assert (tmp_path / "c0.opus").read_bytes() != (tmp_path / "c10.opus").read_bytes()


@pytest.mark.parametrize("kbit", [12, 16, 24])
def test_opus_keeps_the_sides_apart_at_any_bitrate(tmp_path, kbit):
    """Both speak at once, through mu-law: joint stereo would mix them, and below 20 kbit/s make them one."""
    codes = np.stack((g711.encode_ulaw(tone(CALLER_HZ, 6)), g711.encode_ulaw(tone(CALLEE_HZ, 6))), axis=1)
    path = tmp_path / "audio.opus"
    encode(path, Encoding("opus", opus_bitrate_kbit=kbit), g711.decode_ulaw(codes))
    sides, rate_hz, _ = decode(path)
    for half_second in range(1, 11):
        part = sides[:, half_second * rate_hz // 2 : (half_second + 1) * rate_hz // 2]
        assert level(part[0], CALLEE_HZ, rate_hz) < 0.01 * level(part[0], CALLER_HZ, rate_hz)
        assert level(part[1], CALLER_HZ, rate_hz) < 0.01 * level(part[1], CALLEE_HZ, rate_hz)


def test_the_opus_header_says_two_streams_and_no_coupling(tmp_path):
    path = tmp_path / "audio.opus"
    encode(path, Encoding("opus"), np.zeros((RATE_HZ, 2), np.int16))
    data = path.read_bytes()
    head = data[data.index(b"OpusHead") :]
    assert (head[9], list(head[18:23])) == (
        2,
        [1, 2, 0, 0, 1],
    )  # RFC 7845 section 5.1.1: family 1, 2 streams, 0 coupled


def test_a_full_disk_is_an_os_error_and_leaves_no_file_open():
    samples = np.zeros((RATE_HZ, 2), np.int16)

    def fill() -> None:
        with contextlib.closing(FileEncoder(Path("/dev/full"), Encoding("wav"), RATE_HZ, {})) as encoder:
            for _ in range(20):
                encoder.write(samples)
            encoder.finish()

    with pytest.raises(OSError, match="No space left"):
        fill()
    gc.collect()
    assert "/dev/full" not in [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
