"""A portal that sends or converts a long recording, as a process, and is told to stop."""

import hashlib
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import numpy as np
import pytest
import trio

from archive.encode import Encoding
from archive.finish import RECORDINGS
from archive.transcode import FOLDER
from portal import server
from schema import access, users
from schema.database import open_database
from schema.roles import Role
from schema.values import RecordingRecord
from tests.archive.test_encode import RATE_HZ, encode
from tests.databases import KEY
from tests.end_to_end.recorder import Program, Recorder, until
from tests.people import COMMAND
from tests.portal.api.conftest import keep

TOKEN = "token of ada"  # noqa: S105 (of a portal that lives for a test)
SECONDS = 600
STOPPED_WITHIN_S = server.GRACE_S + 4


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path) as recorder:
        yield recorder


@pytest.fixture
def call_id(recorder: Recorder) -> UUID:
    """A call of ten minutes of noise, 19 MB as WAV: more than any buffer holds, and seconds of work as MP3."""
    folder = recorder.data / RECORDINGS / "long"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(1).integers(-9000, 9000, (SECONDS * RATE_HZ, 2), np.int16)
    encode(folder / "audio.wav", Encoding("wav"), noise)
    content = (folder / "audio.wav").read_bytes()
    file = RecordingRecord(
        "long", "audio.wav", "wav", len(content), hashlib.sha256(content).hexdigest(), SECONDS, RATE_HZ
    )
    made = uuid4()

    async def fill() -> None:
        async with open_database(f"sqlite:///{recorder.data / 'earshot.sqlite'}", migrate=True, key=KEY):
            ada = await users.add_user(
                COMMAND, "ada", role=Role.ADMINISTRATOR, tenant=None, name="", password_hash="", may_sign_in=True
            )
            await access.add_token(COMMAND, ada.id, hashlib.sha256(TOKEN.encode()).digest(), "test")
            await keep(id=made, finished=True, kept=True, recording_file=file)

    trio.run(fill)
    return made


@pytest.fixture
def portal(recorder: Recorder, call_id: UUID) -> Program:
    return recorder.start("portal", PORTAL_BIND="127.0.0.1:0")


def ask(portal: Program, path: str) -> HTTPConnection:
    """Sends a request, and reads nothing of the answer."""
    parts = urlsplit(str(portal.line("portal ready")["url"]))
    connection = HTTPConnection(str(parts.hostname), parts.port)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    return connection


def test_a_player_that_stopped_reading_does_not_keep_it(portal, call_id):
    connection = ask(portal, f"/api/v1/calls/{call_id}/audio")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read(1000)[:4] == b"RIFF"
    portal.terminate()
    assert portal.process.wait(STOPPED_WITHIN_S) == 0, portal.errors()
    connection.close()


def test_a_conversion_does_not_keep_it_and_leaves_nothing(portal, call_id, recorder):
    connection = ask(portal, f"/api/v1/calls/{call_id}/audio?format=mp3")
    until(lambda: any((recorder.data / "cache").glob("*/.*.part")), "the conversion to begin")
    portal.terminate()
    assert portal.process.wait(STOPPED_WITHIN_S) == 0, portal.errors()
    connection.close()
    assert list((recorder.data / FOLDER).iterdir()) == []
