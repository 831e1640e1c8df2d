"""Earshot as its users run it, under measurement: `earshot engine`, `archive`, `portal`, each in a process of its own.

Not here: any measuring, and load.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from bench.engine_process import free_port
from bench.machine import BenchError, on_core
from bench.programs import LOOPBACK

PASSWORD: Final = "a-password-for-a-bench"  # noqa: S105 - of a database that lives as long as the bench
STOP_S: Final = 40.0
START_S: Final = 30.0
ASK_EVERY_S: Final = 0.1


class Service:
    """Some of Earshot's processes on one core, over a data folder of their own."""

    def __init__(self, data_dir: Path, core: int, names: Sequence[str]) -> None:
        self._data_dir = data_dir
        self._core = core
        self.sip_port, self.portal_port = free_port(), free_port()
        own = {
            "EARSHOT_DATA_DIR": str(data_dir),
            "EARSHOT_SIP_BIND": f"{LOOPBACK}:{self.sip_port}",
            "EARSHOT_GATEWAY_BIND": f"{LOOPBACK}:{free_port()}",
            "EARSHOT_PORTAL_BIND": f"{LOOPBACK}:{self.portal_port}",
            "EARSHOT_ENGINE_GRACE_S": "0",
            "EARSHOT_ARCHIVE_GRACE_S": "0",
        }
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("EARSHOT_")} | own
        self._processes = {name: self._start(name) for name in names}

    @property
    def pids(self) -> dict[str, int]:
        """The processes' ids by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def check(self) -> None:
        """Errors: `BenchError` with its last words where a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise BenchError(f"The {name} ended with status {process.returncode}:\n{self._last_words(name)}")

    def command(self, *words: str, given: str = "") -> str:
        """Run an `earshot` command to its end; gives what it printed. Errors: `BenchError`."""
        done = subprocess.run(
            [_earshot(), *words],
            cwd=self._data_dir,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"earshot {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout.strip()

    def add_administrator(self, login: str) -> str:
        """Make an account; gives an API token of it."""
        self.command("user", "add", login, "--role", "administrator", "--password-stdin", given=PASSWORD + "\n")
        return self.command("token", "add", "--user", login)

    def wait_for_portal(self) -> None:
        """Until the portal is well. Errors: `BenchError`."""
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            self.check()
            connection = HTTPConnection(LOOPBACK, self.portal_port, timeout=START_S)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except (OSError, HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(ASK_EVERY_S)
        raise BenchError(f"The portal was not well within {START_S:g} s:\n{self._last_words('portal')}")

    def stop(self) -> None:
        """Stop all; what is not finished is left."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log, on_core(self._core):
            return subprocess.Popen(
                [_earshot(), name], cwd=self._data_dir, env=self._environment, stdout=log, stderr=log
            )

    def _log(self, name: str) -> Path:
        return self._data_dir / f"{name}.log"

    def _last_words(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")[-1000:]


def _earshot() -> Path:
    return Path(sys.executable).with_name("earshot")
