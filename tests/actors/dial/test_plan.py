"""What users write to say what happens in a call, and the audio files that they name."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.dial import Clip, Party, Silence, Tone, WrongUsage, read_clip
from actors.dial.plan import (
    Keys,
    Plan,
    Span,
    Transfer,
    parse_keys,
    parse_share,
    parse_source,
    parse_span,
    parse_transfer,
)


def test_what_users_write() -> None:
    assert parse_span("3-5") == Span(3, 5)
    assert parse_span(" 0.5-12.25 ") == Span(0.5, 12.25)
    assert parse_transfer("6") == Transfer(6, Party("1003"))
    assert parse_transfer("6.5:bob@example.org") == Transfer(6.5, Party("bob@example.org"))
    assert parse_keys("1234@2") == Keys(2, "1234", "caller")
    assert parse_keys("*48d@2.5:callee") == Keys(2.5, "*48D", "callee")
    assert parse_share("5%") == parse_share("5") == 0.05
    assert parse_share("100%") == 1
    assert parse_share("0.5%") == 0.005
    assert parse_source("tone:440") == Tone(440)
    assert parse_source("silence") == Silence()


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_span, "5-3"),
        (parse_span, "3-3"),
        (parse_span, "3"),
        (parse_span, "-1-3"),
        (parse_transfer, ":1004"),
        (parse_transfer, "6:@"),
        (parse_keys, "1234"),
        (parse_keys, "12E@2"),
        (parse_keys, "1@2:agent"),
        (parse_share, "101%"),
        (parse_share, "-1"),
        (parse_source, "tone:4000"),
        (parse_source, "tone:0"),
        (parse_source, "tone:x"),
        (parse_source, "no such file.wav"),
        (parse_source, "."),
        (parse_source, ""),
    ],
)
def test_what_makes_no_sense_is_a_sentence(parse: object, text: str) -> None:
    with pytest.raises(WrongUsage, match=r"[.)]$"):
        parse(text)  # type: ignore[operator]  # one of the parsers


@given(st.sampled_from([parse_span, parse_transfer, parse_keys, parse_share]), st.text(max_size=20))
def test_any_text_is_a_value_or_wrong_usage(parse: object, text: str) -> None:
    try:
        parse(text)  # type: ignore[operator]  # one of the parsers
    except WrongUsage:
        return


@given(st.floats(0, 1000).map(lambda s: round(s, 3)), st.floats(0.001, 1000).map(lambda s: round(s, 3)))
def test_spans_are_read_as_written(start: float, length: float) -> None:
    end = round(start + length, 3)
    assert parse_span(f"{start:.3f}-{end:.3f}") == Span(start, end)


def test_the_steps_of_a_plan_come_in_order() -> None:
    plan = Plan(
        10,
        pauses=(Span(3, 5), Span(8, 10)),
        holds=(Span(1, 2),),
        transfers=(Transfer(6, Party("1003")),),
        keys=(Keys(0.5, "1"),),
    )
    assert [(step.at_s, step.name) for step in plan.steps()] == [
        (0.5, "keys"),
        (1, "hold"),
        (2, "resume"),
        (3, "pause"),
        (5, "resume"),
        (6, "transfer"),
        (8, "pause"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": 0},
        {"duration_s": float("inf")},
        {"duration_s": float("nan")},
        {"abrupt_s": 11},
        {"abrupt_s": 0},
        {"pauses": (Span(3, 11),)},
        {"pauses": (Span(3, 5),), "abrupt_s": 4},
        {"pauses": (Span(3, 5),), "holds": (Span(4, 6),)},
        {"transfers": (Transfer(10, Party("1")),)},
        {"keys": (Keys(12, "1"),)},
    ],
)
def test_a_plan_that_cannot_be_followed(wrong: dict[str, object]) -> None:
    with pytest.raises(WrongUsage):
        Plan(**wrong)  # type: ignore[arg-type]  # parametrized


@pytest.mark.parametrize(("number", "name"), [("", ""), ("@example.org", ""), ("1\r\n2", ""), ("1", "a\0b")])
def test_nobody(number: str, name: str) -> None:
    with pytest.raises(WrongUsage, match="is nobody"):
        Party(number, name)


def tone_file(path: Path, rate_hz: int, channels: int) -> None:
    samples = (8000 * np.sin(2 * np.pi * 500 / rate_hz * np.arange(rate_hz))).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate_hz)
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.writeframes(np.repeat(samples, channels).tobytes())


def test_a_telephone_wav_is_taken_as_it_is(tmp_path: Path) -> None:
    tone_file(tmp_path / "a.wav", 8000, 1)
    clip = parse_source(str(tmp_path / "a.wav"))
    assert isinstance(clip, Clip)
    expected = (8000 * np.sin(2 * np.pi * 500 / 8000 * np.arange(8000))).astype(np.int16)
    np.testing.assert_array_equal(clip.samples, expected)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 2), (16000, 1), (44100, 2)])
def test_other_audio_is_converted(tmp_path: Path, rate_hz: int, channels: int) -> None:
    tone_file(tmp_path / "a.wav", rate_hz, channels)
    samples = read_clip(tmp_path / "a.wav").samples
    assert len(samples) == pytest.approx(8000, abs=40)
    spectrum = np.abs(np.fft.rfft(samples[:7800]))
    assert spectrum.argmax() * 8000 / 7800 == pytest.approx(500, abs=2)
    assert np.abs(samples).max() == pytest.approx(8000, rel=0.1)


def test_compressed_audio_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        wave_ = (8000 * np.sin(2 * np.pi * 500 / 48000 * np.arange(48000))).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave_[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = 48000
        for each in (frame, None):
            container.mux(stream.encode(each))
    samples = read_clip(path).samples
    assert len(samples) == pytest.approx(8000, abs=200)
    spectrum = np.abs(np.fft.rfft(samples[:7800]))
    assert spectrum.argmax() * 8000 / 7800 == pytest.approx(500, abs=2)


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\0\0\0\0WAVEfmt ", bytes(5000)])
def test_a_file_that_is_no_audio_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(WrongUsage) as caught:
        read_clip(path)
    assert str(caught.value) == f"{path} is no audio file that can be read."


def test_a_file_without_audio_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1, width=8, height=8, pix_fmt="rgb24")
        for each in (av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24"), None):
            container.mux(stream.encode(each))
    with pytest.raises(WrongUsage, match=r"a\.png is no audio file that can be read\."):
        read_clip(path)


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"The audio file .* cannot be read: Is a directory\."):
        read_clip(tmp_path)


def test_an_empty_wav_is_a_sentence(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setframerate(8000)
        file.setnchannels(1)
        file.setsampwidth(2)
    with pytest.raises(WrongUsage, match="is empty"):
        read_clip(tmp_path / "a.wav")
