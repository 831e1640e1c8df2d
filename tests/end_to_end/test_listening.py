"""Live listening with real processes: a listener who stalls, an engine that is killed, a portal that is stopped.

What is stalled here is a TCP connection whose other end reads nothing more, as a browser's that was put to sleep.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from portal import server
from portal.relay import CALL_ENDED
from tests.end_to_end.audio import RATE_HZ, levels, loudest_hz, tone, ulaw
from tests.end_to_end.journals import read_journal
from tests.end_to_end.phone import Call, PhoneSystem
from tests.end_to_end.recorder import PATIENCE_S, Program, Recorder, until
from tests.live.station import until as seen
from tests.portal.test_gateways import Heard

TONE_HZ = 750
VOICE = ulaw(tone(TONE_HZ, 0.02))
# Longer than what kernels on both sides and the portal's queue hold for a listener.
STALL_S = 12.0
STOPPED_WITHIN_S = server.GRACE_S + 4


class House:
    """Engine, archive and portal, with an administrator's token."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        with socket.create_server(("127.0.0.1", 0)) as once:
            self.gateway = f"127.0.0.1:{once.getsockname()[1]}"
        self.engine = recorder.engine(GATEWAY_BIND=self.gateway)
        self.archive = recorder.archive()
        self.portal = recorder.start("portal", PORTAL_BIND="127.0.0.1:0")
        self.url = str(self.portal.line("portal ready")["url"])
        self._command("user", "add", "anna", "--role", "administrator", "--password-stdin", given="a long password\n")
        self.token = self._command("token", "add", "--user", "anna").strip()

    def call_id(self) -> str:
        """The one call that runs, once the database knows of it."""
        return str(until(partial(self.get, "/api/v1/calls?state=active"), "the call to be listed")[0]["id"])

    def get(self, path: str) -> Any:
        return self.ask("GET", path)[1]["calls"]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The API's answer: status and document."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    @asynccontextmanager
    async def listen(self, call_id: str) -> AsyncIterator[WebSocketConnection]:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        stream = await trio.open_tcp_stream(parts.hostname, parts.port)
        headers = [(b"Authorization", f"Bearer {self.token}".encode())]
        path = f"/api/v1/calls/{call_id}/listen"
        try:
            async with trio.open_nursery() as nursery:
                yield await wrap_client_stream(nursery, stream, parts.netloc, path, extra_headers=headers)
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    def _command(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "earshot", *words],
            cwd=self.recorder.folder,
            env=self.recorder._environment({}),
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        return done.stdout


@pytest.fixture
def house(recorder: Recorder) -> House:
    return House(recorder)


async def hear(websocket: WebSocketConnection, heard: Heard, codes: list[int]) -> None:
    try:
        while True:
            message = await websocket.get_message()
            heard.take(message if isinstance(message, bytes) else json.loads(message))
    except ConnectionClosed as closed:
        codes.append(closed.reason.code if closed.reason is not None else 0)


async def talk(call: Call, seconds: float) -> None:
    await trio.to_thread.run_sync(call.talk, VOICE, seconds)


def stopped(program: Program) -> float:
    """Asks it to stop; gives how many seconds that took."""
    began_s = time.monotonic()
    program.terminate()
    assert program.process.wait(STOPPED_WITHIN_S) == 0, program.errors()
    return time.monotonic() - began_s


async def test_a_listener_who_stalls_misses_and_harms_nobody(house: House) -> None:
    quick, slow = Heard(), Heard()
    codes: list[int] = []
    with PhoneSystem(house.engine.sip) as phones:
        call = phones.call()
        call_id = await trio.to_thread.run_sync(house.call_id)
        async with house.listen(call_id) as one, house.listen(call_id) as other, trio.open_nursery() as nursery:
            nursery.start_soon(hear, one, quick, codes)
            await talk(call, STALL_S)
            nursery.start_soon(hear, other, slow, codes)  # and now the other reads on
            await talk(call, 2.0)
            await trio.to_thread.run_sync(call.settle)
            nursery.cancel_scope.cancel()
        journal = read_journal(house.recorder.live / call_id / "journal")
        await trio.to_thread.run_sync(call.bye)
    for stream in (0, 1):
        assert journal.numbers(stream, VOICE) == call.numbers(stream, VOICE)
    numbers = [sequence for _, sequence, _, _ in quick.frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert quick.told("dropped") == []
    sound = quick.sound()[RATE_HZ : round((STALL_S - 1) * RATE_HZ)]
    for side in (0, 1):
        assert loudest_hz(sound[:, side], RATE_HZ) == pytest.approx(TONE_HZ, abs=1)
        assert np.median(levels(sound[:, side], RATE_HZ, TONE_HZ)) == pytest.approx(-10, abs=1)
    lost = sum(message["frames"] for message in slow.told("dropped"))
    first, last = slow.frames[0][1], slow.frames[-1][1]
    assert lost > 0
    assert lost + len(slow.frames) == last - first + 1  # each frame was heard, or told as lost
    assert slow.frames[-1][2] == pytest.approx(quick.frames[-1][2], abs=0.2)  # and he is up to date again
    assert codes == []


async def test_listeners_who_stall_do_not_keep_the_portal_from_stopping(house: House) -> None:
    with PhoneSystem(house.engine.sip) as phones:
        call = phones.call()
        call_id = await trio.to_thread.run_sync(house.call_id)
        async with house.listen(call_id), house.listen(call_id):
            await talk(call, STALL_S)
            took_s = await trio.to_thread.run_sync(stopped, house.portal)
        assert took_s < STOPPED_WITHIN_S
        await trio.to_thread.run_sync(call.bye)
    assert house.portal.lines("portal stopped")


async def test_an_engine_that_is_killed_is_told_and_the_call_ends_once_it_is_back(house: House) -> None:
    heard, codes = Heard(), list[int]()
    with PhoneSystem(house.engine.sip) as phones:
        call = phones.call()
        call_id = await trio.to_thread.run_sync(house.call_id)
        async with house.listen(call_id) as websocket, trio.open_nursery() as nursery:
            nursery.start_soon(hear, websocket, heard, codes)
            await talk(call, 1.0)
            house.engine.kill()
            with trio.fail_after(PATIENCE_S):
                while not heard.told("error"):
                    await talk(call, 0.1)
            await trio.to_thread.run_sync(partial(house.recorder.engine, GATEWAY_BIND=house.gateway))
            with trio.fail_after(PATIENCE_S):
                while not codes:
                    await talk(call, 0.1)
            nursery.cancel_scope.cancel()
    assert codes == [CALL_ENDED]
    assert heard.order[-2:] == ["error", "ended"]
    assert np.abs(heard.sound()).max() > 0.2


async def test_an_engine_that_stands_still_is_told_in_two_seconds_and_heard_again(house: House) -> None:
    heard, codes = Heard(), list[int]()
    with PhoneSystem(house.engine.sip) as phones:
        call = phones.call()
        call_id = await trio.to_thread.run_sync(house.call_id)
        path = f"/api/v1/calls/{call_id}/recording"
        async with house.listen(call_id) as websocket, trio.open_nursery() as nursery:
            nursery.start_soon(hear, websocket, heard, codes)
            await talk(call, 1.0)
            house.engine.freeze()
            began_s = time.monotonic()
            status, _ = await trio.to_thread.run_sync(house.ask, "PUT", path, {"state": "paused"})
            assert status == 504
            assert time.monotonic() - began_s >= 2
            await seen(lambda: heard.told("error"), "the line to be given up", PATIENCE_S)
            house.engine.thaw()
            await seen(lambda: len(heard.told("hello")) == 2, "the line to be mended", PATIENCE_S)
            # What was asked while it stood still was not done once it went on: it is recording since its start.
            answer = await trio.to_thread.run_sync(house.ask, "PUT", path, {"state": "recording"})
            assert answer == (200, {"state": "recording", "position_s": 0})
            frames = len(heard.frames)
            await talk(call, 1.0)
            assert len(heard.frames) > frames
            nursery.cancel_scope.cancel()
        await trio.to_thread.run_sync(call.bye)
    assert codes == []


def test_an_engine_whose_gateway_has_no_port_does_not_start(recorder: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        engine = recorder.start("engine", GATEWAY_BIND=f"127.0.0.1:{taken.getsockname()[1]}")
        assert engine.process.wait(PATIENCE_S) == 2
    assert "EARSHOT_GATEWAY_BIND" in engine.errors()
    assert "Traceback" not in engine.errors()
