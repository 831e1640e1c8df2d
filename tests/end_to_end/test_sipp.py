"""A phone system records a call: sipp, which is not ours, over UDP and TCP, with metadata of either generation.

sipp reaches two streams only by playing one capture with two flows, whose destination ports are as far apart as ours.
"""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine import pcap
from engine.g711 import encode_ulaw
from engine.rtp import Packet, serialize
from tests.end_to_end.audio import decode, levels, loudest_hz, tone
from tests.end_to_end.recorder import PATIENCE_S, Recorder

SCENARIOS = Path(__file__).parent / "scenarios"
CALLER_HZ, CALLEE_HZ = 440, 1000
SPOKEN_S = 3.0
LEVEL_DBFS = -10.0
# How far below its own side a voice must be on the other one.
APART_DB = 40


def write_voices(path: Path) -> None:
    """A capture of two flows to ports 2 apart: the caller's tone and the callee's, each 20 ms."""
    voices = [encode_ulaw(tone(hz, SPOKEN_S, LEVEL_DBFS)).tobytes() for hz in (CALLER_HZ, CALLEE_HZ)]
    records = [pcap.FILE_HEADER]
    for number in range(round(SPOKEN_S / 0.02)):
        for flow, voice in enumerate(voices):
            payload = voice[number * 160 : number * 160 + 160]
            packet = serialize(Packet(0, number, number * 160, 0x2000 + flow, payload, marker=not number))
            ports = ("127.0.0.1", 40_000 + 2 * flow), ("127.0.0.1", 20_000 + 2 * flow)
            records.append(pcap.record(number * 20_000_000 + flow * 1_000_000, *ports, packet))
    path.write_bytes(b"".join(records))


@pytest.mark.parametrize(("transport", "scenario"), [("u1", "rfc7865"), ("tn", "draft")])
def test_sipp_records_a_call(recorder: Recorder, transport: str, scenario: str) -> None:
    write_voices(recorder.folder / "voices.pcap")
    engine = recorder.engine()
    recorder.archive()
    host, port = engine.sip
    dialled = subprocess.run(
        [
            *("sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-t", transport, "-max_socket", "1000"),
            *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", str(random.randrange(33_000, 60_000, 4))),
            *("-m", "1", "-timeout", "20", "-nostdin", "-trace_err", f"{host}:{port}"),
        ],
        cwd=recorder.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert dialled.returncode == 0, f"sipp (which sends raw packets, as root only) failed: {dialled.stderr}"

    manifest = recorder.manifests(1)[0]
    assert manifest["end"] == "normal"
    assert manifest["ended_by"] == "phone-system"
    assert manifest["caller"] == {"number": "+12025550101", "name": "Ann", "aor": "sip:+12025550101@phones.example"}
    assert manifest["callee"] == {"number": "+12025550102", "name": "Bob", "aor": "sip:+12025550102@phones.example"}
    assert [stream["side"] for stream in manifest["streams"]] == ["caller", "callee"]
    assert [(stream["packets"], stream["lost"]) for stream in manifest["streams"]] == [(150, 0), (150, 0)]
    assert [origin["transport"] for origin in manifest["origins"]] == [{"u1": "UDP", "tn": "TCP"}[transport]]
    assert [each["participant"]["name"] for each in manifest["participants"]] == ["Ann", "Bob"]
    assert len(manifest["metadata"]) == 1
    assert not manifest["warnings"]
    assert not manifest["gaps"]
    assert SPOKEN_S <= manifest["duration_s"] < SPOKEN_S + 4

    samples, rate_hz = decode(manifest["folder"] / "audio.opus")
    assert len(samples) / rate_hz == pytest.approx(manifest["duration_s"], abs=0.05)
    assert (manifest["folder"] / manifest["peaks"]["file"]).stat().st_size == manifest["peaks"]["bytes"]
    for channel, hz in ((0, CALLER_HZ), (1, CALLEE_HZ)):
        spoken = samples[round(0.5 * rate_hz) : round(2.5 * rate_hz), channel]
        assert loudest_hz(spoken, rate_hz) == pytest.approx(hz, abs=2)
        own, other = (np.median(levels(spoken, rate_hz, each)) for each in (hz, CALLER_HZ + CALLEE_HZ - hz))
        assert own == pytest.approx(LEVEL_DBFS, abs=2)
        assert other < own - APART_DB
