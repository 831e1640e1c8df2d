"""A user tries his set-up with `earshot dial`: what each party said is on his side of the recording."""

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.end_to_end.audio import RATE_HZ, Samples, decode, loudest_hz
from tests.end_to_end.phone import PACKET_SAMPLES
from tests.end_to_end.recorder import Recorder

SPOKEN_S = 2.0
CALLER_HZ, CALLEE_HZ = 440, 1000
WAYS = [(transport, metadata) for transport in ("udp", "tcp") for metadata in ("rfc7865", "draft")]


def speech(seed: int, seconds: float) -> NDArray[np.int16]:
    """Something like speech: noise of a telephone's band in syllables, with pauses between."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum[(hz < 300) | (hz > 3000)] = 0
    noise = np.fft.irfft(spectrum, count)
    syllables = np.repeat(rng.random(count // 1600 + 1) > 0.4, 1600)[:count]
    voice: NDArray[np.int16] = np.rint(noise / np.abs(noise).max() * 20_000 * syllables).astype(np.int16)
    return voice


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())


def likeness(said: NDArray[np.int16], heard: Samples) -> float:
    """The correlation of what was said with the stretch of what is heard that is most like it, from -1 to 1."""
    said_f = said - said.mean()
    size = 1 << (len(said) + len(heard)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said_f, size)), size)
    lags = np.arange(max(1, len(heard) - len(said) + 1))
    lag = int(np.argmax(products[lags]))
    stretch = heard[lag : lag + len(said)]
    return float(np.corrcoef(said_f[: len(stretch)], stretch)[0, 1])


def test_tones_are_on_their_sides_over_each_transport_with_each_metadata(recorder: Recorder) -> None:
    engine = recorder.engine()
    recorder.archive()
    host, port = engine.sip
    dialled = [
        recorder.start(
            "dial",
            f"sip:{host}:{port}",
            *("--transport", transport, "--metadata", metadata, "--duration", str(SPOKEN_S)),
            *("--from-number", f"+1202555010{number}", "--from-name", "Ann", "--to-number", "200"),
        )
        for number, (transport, metadata) in enumerate(WAYS)
    ]
    for program in dialled:
        assert program.process.wait(20) == 0, program.errors()

    manifests = {manifest["caller"]["number"]: manifest for manifest in recorder.manifests(len(WAYS))}
    for number, (transport, metadata) in enumerate(WAYS):
        manifest = manifests[f"+1202555010{number}"]
        assert manifest["end"] == "normal"
        assert manifest["origins"][0]["transport"] == transport.upper()
        assert manifest["caller"]["name"] == "Ann"
        assert manifest["callee"]["number"] == "200"
        assert ("datamode" if metadata == "rfc7865" else "dataMode") in manifest["metadata"][0]["document"]
        assert [stream["side"] for stream in manifest["streams"]] == ["caller", "callee"]
        assert all(stream["packets"] >= SPOKEN_S / 0.02 - 2 for stream in manifest["streams"])
        assert all(stream["lost"] == 0 for stream in manifest["streams"])
        assert manifest["duration_s"] == pytest.approx(SPOKEN_S, abs=0.5)
        samples, rate_hz = decode(manifest["folder"] / "audio.opus")
        assert len(samples) / rate_hz == pytest.approx(manifest["duration_s"], abs=0.05)
        spoken = samples[round(0.3 * rate_hz) : round(1.7 * rate_hz)]
        assert loudest_hz(spoken[:, 0], rate_hz) == pytest.approx(CALLER_HZ, abs=2)
        assert loudest_hz(spoken[:, 1], rate_hz) == pytest.approx(CALLEE_HZ, abs=2)


def test_speech_is_recorded_as_it_was_said(recorder: Recorder) -> None:
    voices = [speech(seed, SPOKEN_S) for seed in (1, 2)]
    for name, voice in zip(("ann.wav", "bob.wav"), voices, strict=True):
        write_wav(recorder.folder / name, voice)
    engine = recorder.engine()
    recorder.archive(AUDIO_FORMAT="flac")
    host, port = engine.sip
    words = ("--caller", "ann.wav", "--callee", "bob.wav", "--duration", str(SPOKEN_S + 0.5), "--codec", "pcma")
    program = recorder.start("dial", f"sip:{host}:{port}", *words)
    assert program.process.wait(20) == 0, program.errors()

    samples, rate_hz = decode(recorder.manifests(1)[0]["folder"] / "audio.flac")
    assert rate_hz == RATE_HZ
    for channel, voice in enumerate(voices):
        # A packet's samples were said before it arrived: those of the first lie before the recording's start.
        said = voice[PACKET_SAMPLES:]
        assert likeness(said, samples[:, channel]) > 0.95
        assert abs(likeness(said, samples[:, 1 - channel])) < 0.3
