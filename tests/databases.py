"""Databases for tests: a file of SQLite's, and PostgreSQL's own server, started once for all tests that ask for it.

A test that lists `database_url` runs on both; each time the database is new, and its tables are there. Import the
fixtures in the `conftest.py` beside the tests. Nothing here knows what a test does with them.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
import trio

from schema.database import migrate

# Generous: a busy machine takes its time, and only a broken one uses all of it.
PATIENCE_S = 60
# A test's server need not survive a power loss.
CARELESS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
TEMPLATE = "earshot_template"
# Under which tests open their databases.
KEY = bytes(range(32))


class PostgresServer:
    """PostgreSQL on a folder and a loopback port of its own. It refuses to run as root: then it runs as `postgres`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._programs = _programs()
        self._names = (f"earshot_{number}" for number in count(1))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._wrap = ["setpriv", "--pdeathsig=INT"]
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._wrap += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "-D", str(self._data)
        )

    def start(self) -> None:
        assert self._process is None
        options = [word for key, value in CARELESS.items() for word in ("-c", f"{key}={value}")]
        command = [*self._wrap, str(self._programs / "postgres"), "-D", str(self._data), "-p", self._port]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-k", str(self._folder), *options], stdout=log, stderr=log, cwd=self._folder
            )
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", self._port]
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(ready, check=False).returncode != 0:
            running = self._process.poll() is None and time.monotonic() < deadline
            assert running, (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the connections and the server; `at_once` as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
        self._process.wait(PATIENCE_S)
        self._process = None

    @contextmanager
    def away(self, *, at_once: bool = False) -> Iterator[None]:
        """The server is stopped meanwhile."""
        self.stop(at_once=at_once)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server neither accepts nor answers nor closes meanwhile, as if the network to it were cut."""
        assert self._process is not None
        processes = [self._process.pid, *_children(self._process.pid)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):  # it had ended when the server stopped, and is buried now
                    os.kill(process, signal.SIGCONT)

    def make(self, template: str = "template0", name: str | None = None) -> str:
        """Makes a database and returns its URL."""
        name = name or next(self._names)
        where = ["-h", "127.0.0.1", "-p", self._port, "-U", "postgres"]
        self._run("createdb", *where, "-T", template, name)
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"

    def _run(self, program: str, *words: str) -> None:
        command = [*self._wrap, str(self._programs / program), *words]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this test run, with a template whose tables are there."""
    # Not pytest's own folder: that one is closed to other users.
    with tempfile.TemporaryDirectory(prefix="earshot-postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            trio.run(migrate, server.make(name=TEMPLATE))
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    trio.run(migrate, f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database with its tables."""
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.make(template=TEMPLATE)
    path = tmp_path / "earshot.sqlite"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def empty_database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database without tables; with SQLite, not even the file is there."""
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.make()
    return f"sqlite:///{tmp_path / 'earshot.sqlite'}"


def _programs() -> Path:
    """Debian keeps the server's programs out of the way, one folder a version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    found = str(versions[-1]) if versions else shutil.which("postgres")
    if found is None:
        pytest.fail("These tests need PostgreSQL's server. On Debian: apt-get install postgresql", pytrace=False)
    return Path(found).parent


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
