"""`make demo` as somebody sees it who has just cloned the repository: its programs, its portal, and how it ends.

Rules: a folder of the test's own; the ports are those that the demo finds free; nothing waits longer than PATIENCE_S,
and after each test no process of the demo is left.
"""

import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.recorder import until

PATIENCE_S = 30.0
# From Ctrl-C until nothing runs any more: a person waits for it.
AT_ONCE_S = 8.0


class Demo:
    """A running demo, and what it has said so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said_file = folder.with_suffix(".said")
        with self.said_file.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo", folder],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "EARSHOT_DATA_DIR": "/nowhere", "EARSHOT_SIP_BIND": "nonsense"},
            )

    @property
    def said(self) -> str:
        return self.said_file.read_text("utf-8")

    def wait_for(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            alive = self.process.poll() is None
            found = re.search(pattern, self.said)
            assert alive or found, f"it ended with {self.process.returncode}: {self.said}"
            return found

        found = until(look, f"{pattern!r} in what the demo says")
        assert found is not None
        return found

    def end(self, number: signal.Signals) -> int:
        """Sends a signal once; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(AT_ONCE_S)

    def left(self) -> list[int]:
        return left(self.folder)


def left(folder: Path) -> list[int]:
    """Processes that a demo in this folder started, and that still run; they are told by their settings file."""
    mark = f"EARSHOT_CONFIG={folder}/earshot.toml".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def words_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait(PATIENCE_S)
        until(lambda demo=demo: not demo.left(), "the end of what the demo started")


def start(demos: list[Demo], folder: Path) -> Demo:
    demos.append(Demo(folder))
    return demos[-1]


def browser() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def calls_of(url: str, login: str, password: str) -> list[dict[str, Any]]:
    """What the API tells somebody who signed in as a browser does."""
    visitor = browser()
    form = visitor.open(f"{url}/sign-in", timeout=PATIENCE_S).read().decode()
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', form)
    fields = urllib.parse.urlencode({"login": login, "password": password, "csrf_token": token}).encode()
    assert visitor.open(f"{url}/sign-in", fields, timeout=PATIENCE_S).status == 200
    found: list[dict[str, Any]] = json.load(visitor.open(f"{url}/api/v1/calls", timeout=PATIENCE_S))["calls"]
    return found


def test_it_shows_three_calls_to_each_role_and_stops_at_ctrl_c(tmp_path: Path, demos: list[Demo]) -> None:
    demo = start(demos, tmp_path / "demo")
    url = demo.wait_for(r"Open (http://\S+) and sign in")[1]
    logins = {login: demo.wait_for(rf"\n +{login} +(\S+)")[1] for login in ("admin", "sam", "ulla", "olga")}

    seen = {login: calls_of(url, login, password) for login, password in logins.items()}
    assert {login: len(calls) for login, calls in seen.items()} == {"admin": 3, "sam": 2, "ulla": 2, "olga": 3}
    assert {call["state"] for call in seen["admin"]} == {"active"}

    longest = demo.wait_for(rf"Running for five minutes.*\n +{url}/calls/(\S+)")[1]
    [call] = [call for call in seen["ulla"] if call["id"] == longest]
    assert (call["to"]["number"], call["from"]["name"]) == ("2002", "Dora Linden")

    assert len(demo.left()) >= 7  # earshot run, what it runs, and three dialled calls
    assert demo.end(signal.SIGINT) == 0
    assert demo.left() == []
    assert "nothing of it runs any more" in demo.said
    assert "Traceback" not in demo.said


def test_a_second_one_goes_on_with_the_same_folder_and_sigterm_ends_it(tmp_path: Path, demos: list[Demo]) -> None:
    first = start(demos, tmp_path / "demo")
    first.wait_for("Starting Earshot")
    # In the middle of its start.
    assert first.end(signal.SIGTERM) == 0
    assert first.left() == []
    [password] = re.findall(r'"admin": "([^"]+)"', (tmp_path / "demo" / "data" / "logins.json").read_text())

    second = start(demos, tmp_path / "demo")
    second.wait_for("Ctrl-C stops everything")
    assert second.wait_for(r"\n +admin +(\S+)")[1] == password

    third = start(demos, tmp_path / "demo")
    assert third.process.wait(PATIENCE_S) == 1
    assert "already" in third.said
    demos.remove(third)  # what runs in its folder is the second's

    assert second.end(signal.SIGTERM) == 0
    assert second.left() == []


def test_nothing_is_left_of_one_that_is_killed(tmp_path: Path, demos: list[Demo]) -> None:
    demo = start(demos, tmp_path / "demo")
    demo.wait_for("Placing three calls")
    demo.process.kill()
    demo.process.wait(PATIENCE_S)
    until(lambda: not demo.left(), "the end of what the demo started")
    assert not list((tmp_path / "demo" / "data" / "spool" / "live").glob("*/journal"))


def test_it_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """As when a terminal is closed: make waits, and passes no signal on."""
    process = subprocess.Popen([sys.executable, "-m", "demo", tmp_path / "demo"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert b"Preparing" in process.stdout.readline()
        assert b"Starting" in process.stdout.readline()
    assert process.wait(AT_ONCE_S) == 1
    assert left(tmp_path / "demo") == []


def test_one_whose_recorder_ends_says_why(tmp_path: Path, demos: list[Demo]) -> None:
    demo = start(demos, tmp_path / "demo")
    demo.wait_for("Starting Earshot")
    [run] = until(lambda: [pid for pid in demo.left() if words_of(pid)[-1] == b"run"], "earshot run")
    os.kill(run, signal.SIGKILL)
    assert demo.process.wait(PATIENCE_S) == 1
    assert "Earshot has ended" in demo.said
    until(lambda: not demo.left(), "the end of what the demo started")
