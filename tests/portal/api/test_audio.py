"""Recordings by the API and by the pages: which format, under which name, in parts, and why not."""

import io
import os
import shutil
from pathlib import Path
from uuid import UUID, uuid4

import av
import numpy as np
import pytest
import trio

from archive.finish import RECORDINGS
from archive.peaks import POINTS_PER_S, PeaksWriter
from portal.audio import MOST_POINTS, content_disposition
from schema.roles import Role
from schema.values import CallRecord, PartyRecord
from tests.archive.calls import CALLEE_HZ, CALLER_HZ, level, tone
from tests.portal.api.conftest import START, keep
from tests.portal.visitor import PASSWORD, Visitor, add_account

FORMATS = {
    "opus": ("audio/ogg; codecs=opus", "ogg"),
    "wav": ("audio/wav", "wav"),
    "flac": ("audio/flac", "flac"),
    "mp3": ("audio/mpeg", "mp3"),
}
PATIENCE_S = 60
ID = UUID("6f6b1c1e-5d5c-4b7e-9a61-0a1b2c3d4e5f")


def path_of(record: CallRecord, query: str = "") -> str:
    return f"/api/v1/calls/{record.id}/audio{query}"


def sides_of(data: bytes) -> tuple[np.ndarray, int, str]:
    """Samples (2, n), their rate, and the name of the container."""
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="fltp", layout="stereo")
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        sides = np.concatenate([frame.to_ndarray() for frame in frames], axis=1) * 32768
        return sides, container.streams.audio[0].rate, container.format.name


@pytest.fixture
async def browser(app) -> Visitor:
    """An administrator at the pages."""
    await add_account("grace")
    visitor = Visitor(app)
    await visitor.sign_in("grace", PASSWORD)
    return visitor


@pytest.mark.parametrize("form", FORMATS)
async def test_the_stored_file_comes_as_it_lies_there(api, keep_recorded, recordings, form):
    record = await keep_recorded(form)
    response = await api.get(path_of(record))
    assert response.status_code == 200
    assert await response.get_data() == (recordings[form][0] / f"audio.{form}").read_bytes()
    assert response.headers["Content-Type"] == FORMATS[form][0]
    assert response.headers["ETag"] == f'"{record.recording_file.sha256}"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    name = f"20260305-140322Z-100-200-{record.id}.{form}"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("form", FORMATS)
async def test_each_format_has_each_voice_on_its_side(app, api, keep_recorded, form):
    record = await keep_recorded("flac" if form == "opus" else "opus")
    with trio.fail_after(PATIENCE_S):
        async with app.test_app():
            response = await api.get(path_of(record, f"?format={form}"))
            data = await response.get_data()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == FORMATS[form][0]
    assert response.headers["Content-Length"] == str(len(data))
    sides, rate_hz, container = sides_of(data)
    assert container == FORMATS[form][1]
    assert sides.shape[1] / rate_hz == pytest.approx(record.recording_file.duration_s, abs=0.02)
    middle = sides[:, rate_hz // 2 : 2 * rate_hz]
    assert level(middle[0], CALLEE_HZ, rate_hz) < 0.01 * level(middle[0], CALLER_HZ, rate_hz)
    assert level(middle[1], CALLER_HZ, rate_hz) < 0.01 * level(middle[1], CALLEE_HZ, rate_hz)


async def test_a_converted_file_comes_in_parts_that_fit(app, api, keep_recorded):
    record = await keep_recorded()
    path = path_of(record, "?format=mp3")
    with trio.fail_after(PATIENCE_S):
        async with app.test_app():
            whole = await api.get(path)
            data, etag = await whole.get_data(), whole.headers["ETag"]
            head = await api.get(path, {"Range": "bytes=0-999", "If-Range": etag})
            tail = await api.get(path, {"Range": "bytes=1000-", "If-Range": etag})
            assert (head.status_code, tail.status_code) == (206, 206)
            assert await head.get_data() + await tail.get_data() == data
            assert head.headers["Content-Range"] == f"bytes 0-999/{len(data)}"
            assert (await api.get(path, {"If-None-Match": etag})).status_code == 304
            beyond = await api.get(path, {"Range": f"bytes={len(data)}-"})
            assert beyond.status_code == 416
            assert beyond.headers["Content-Range"] == f"bytes */{len(data)}"
    # A format's ETag is no other's: a player that changes the format must not join the halves of two files.
    assert etag != (await api.get(path_of(record))).headers["ETag"]


async def test_head_sends_no_audio(api, keep_recorded):
    """Its Content-Length is looked at in `test_ranges.py`, on a real server: the test client makes one of its own."""
    record = await keep_recorded("wav")
    response = await api.ask("HEAD", path_of(record))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.headers["ETag"] == f'"{record.recording_file.sha256}"'
    assert await response.get_data() == b""


@pytest.mark.parametrize("given", ["ogg", "OPUS", "", "../mp3"])
async def test_a_format_that_there_is_not(api, keep_recorded, given):
    record = await keep_recorded()
    response = await api.get(path_of(record, f"?format={given}"))
    assert response.status_code == 400
    assert (await response.get_json())["detail"] == "The format must be one of: opus, wav, flac, mp3."
    assert (await api.get(path_of(record, "?fmt=mp3"))).status_code == 400


async def test_before_a_call_is_finished_there_is_none(api):
    running, ended = await keep(), await keep(ended_at=START, end="normal")
    for record, word in ((running, "still running"), (ended, "is being made")):
        response = await api.get(path_of(record))
        assert response.status_code == 409
        problem = await response.get_json()
        assert problem["type"] == "urn:earshot:problem:not-finished"
        assert word in problem["detail"]


async def test_a_call_without_audio(api):
    record = await keep(finished=True, ended_at=START, end="normal", kept=False)
    response = await api.get(path_of(record))
    assert response.status_code == 404
    assert (await response.get_json())["detail"] == "There is no audio of this call. Its warnings say why."


async def test_a_recording_that_is_not_where_it_was_kept_is_said_and_logged(api, config, keep_recorded, capsys):
    record = await keep_recorded()
    (config.data_dir / RECORDINGS / str(record.id)).unlink()
    response = await api.get(path_of(record))
    assert response.status_code == 404
    assert (await response.get_json())["title"] == "Recording missing"
    logged = capsys.readouterr().out
    assert "recording_missing" in logged
    assert str(record.id) in logged


async def test_a_recording_that_cannot_be_converted(app, api, config, keep_recorded):
    """The file has the size that it should have, and nothing of it is audio."""
    record = await keep_recorded()
    folder = config.data_dir / RECORDINGS / str(record.id)
    folder.unlink()
    folder.mkdir()
    (folder / record.recording_file.file).write_bytes(bytes(record.recording_file.bytes))
    with trio.fail_after(PATIENCE_S):
        async with app.test_app():
            response = await api.get(path_of(record, "?format=mp3"))
    assert response.status_code == 503
    assert "opus is the format in which it can be had" in (await response.get_json())["detail"]


async def test_who_waits_for_many_conversions_is_told_so(app, api, keep_recorded, monkeypatch):
    monkeypatch.setattr("archive.transcode.MOST_OF_ONE", 0)
    record = await keep_recorded()
    async with app.test_app():
        response = await api.get(path_of(record, "?format=mp3"))
        assert response.status_code == 503
        assert (await response.get_json())["detail"].startswith("You wait for several conversions already.")
        assert (await api.get(path_of(record))).status_code == 200


async def test_who_may_not_see_a_call_gets_nothing_of_it(api, person, app, keep_recorded):
    record = await keep_recorded()
    _, stranger = await person("eve", Role.USER)
    for call_id in (record.id, uuid4()):
        assert (await api.of(stranger).get(f"/api/v1/calls/{call_id}/audio")).status_code == 404
    for page in ("audio", "download", "peaks"):
        response = await Visitor(app).get(f"/calls/{record.id}/{page}", headers={"Sec-Fetch-Mode": "no-cors"})
        assert response.status_code == 401


async def test_pages_play_and_download(app, browser, keep_recorded, recordings):
    record = await keep_recorded(caller=PartyRecord("", "Zoë O'Neil / Ltd."), callee=PartyRecord("+44 20"))
    content = (recordings["opus"][0] / "audio.opus").read_bytes()
    played = await browser.get(f"/calls/{record.id}/audio", headers={"Range": "bytes=0-99"})
    assert played.status_code == 206
    assert await played.get_data() == content[:100]
    assert "Content-Disposition" not in played.headers
    saved = await browser.get(f"/calls/{record.id}/download")
    assert await saved.get_data() == content
    assert saved.headers["Content-Disposition"] == (
        f'attachment; filename="20260305-140322Z-Zoe_O_Neil_Ltd-+44_20-{record.id}.opus"; '
        f"filename*=UTF-8''20260305-140322Z-Zo%C3%AB_O_Neil_Ltd-%2B44_20-{record.id}.opus"
    )
    with trio.fail_after(PATIENCE_S):
        async with app.test_app():
            converted = await browser.get(f"/calls/{record.id}/download?format=wav")
            assert (await converted.get_data())[:4] == b"RIFF"
    assert converted.headers["Content-Disposition"].endswith(f"{record.id}.wav")


@pytest.mark.parametrize(
    ("party", "name"),
    [
        (PartyRecord("100", "Ann"), "100"),
        (PartyRecord("", 'a"b\\c\r\nd;e'), "a_b_c_d_e"),
        (PartyRecord("../../etc"), "etc"),
        (PartyRecord("", "…"), "unknown"),
        (PartyRecord(), "unknown"),
        (PartyRecord("9" * 300), "9" * 40),
        (PartyRecord("sip@example.com"), "sip@example.com"),
    ],
)
def test_a_partys_name_is_safe_in_the_name_of_a_file(party, name):
    record = CallRecord(id=ID, tenant_id=ID, node="n", events=1, started_at=START, caller=party)
    assert content_disposition(record, "mp3") == f'attachment; filename="20260305-140322Z-{name}-unknown-{ID}.mp3"'


async def test_peaks_of_each_side(browser, keep_recorded):
    record = await keep_recorded()
    response = await browser.get(f"/calls/{record.id}/peaks")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    drawn = await response.get_json()
    assert sorted(drawn) == ["callee", "caller", "duration_s", "points_per_s"]
    assert drawn["points_per_s"] == POINTS_PER_S
    assert drawn["duration_s"] == record.recording_file.duration_s
    for side in (drawn["caller"], drawn["callee"]):
        assert len(side) // 2 / drawn["points_per_s"] == pytest.approx(drawn["duration_s"], abs=0.06)
        lowest, highest = side[20:40:2], side[21:40:2]
        assert np.allclose(lowest, -10_000 / 32768, atol=0.03)
        assert np.allclose(highest, 10_000 / 32768, atol=0.03)
    etag = response.headers["ETag"]
    again = await browser.get(f"/calls/{record.id}/peaks", headers={"If-None-Match": etag})
    assert again.status_code == 304


async def test_peaks_of_a_long_call_are_few_and_keep_the_highest(browser, config, keep_recorded):
    """An hour of silence in which somebody says one short word."""
    record = await keep_recorded()
    folder = config.data_dir / RECORDINGS / str(record.id)
    shutil.copytree(folder, config.data_dir / "own")
    folder.unlink()
    os.rename(config.data_dir / "own", folder)
    write_peaks(folder / record.recording_file.peaks)
    response = await browser.get(f"/calls/{record.id}/peaks")
    drawn = await response.get_json()
    assert MOST_POINTS / 2 < len(drawn["caller"]) // 2 <= MOST_POINTS
    assert len(drawn["caller"]) // 2 / drawn["points_per_s"] == pytest.approx(3600, abs=1)
    assert max(drawn["caller"]) == pytest.approx(0.305, abs=0.01)
    assert np.count_nonzero(drawn["caller"]) <= 4
    assert np.count_nonzero(drawn["callee"]) == 0
    assert len(await response.get_data()) < 200_000


def write_peaks(path: Path) -> None:
    word = np.zeros((8000, 2), np.int16)
    word[:400, 0] = tone(1000, 0.05)
    with PeaksWriter(path, 8000) as peaks:
        for second in range(3600):
            peaks.write(word if second == 1800 else np.zeros((8000, 2), np.int16))
        peaks.finish()


async def test_missing_peaks_are_said(browser, config, keep_recorded):
    record = await keep_recorded()
    (config.data_dir / RECORDINGS / str(record.id)).unlink()
    response = await browser.get(f"/calls/{record.id}/peaks", headers={"X-Requested-With": "fetch"})
    assert response.status_code == 404
    assert (await response.get_json())["title"] == "Recording missing"
