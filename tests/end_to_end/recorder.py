"""The recorder as a user runs it: real processes on a data folder of their own, which a test may freeze and kill.

Ports are the system's or a private range, settings come by the environment, and logs go to files that tests read.
Nothing here is sent to the recorder: a test does that with `phone.py`, `earshot dial` or sipp.
"""

import ipaddress
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from engine.keys import archive_private_key, encode_key

MASTER_KEY: Final = bytes(range(1, 33))
PRIVATE_KEY: Final = archive_private_key(MASTER_KEY)
# A busy machine starts a Python process in seconds, not in milliseconds.
PATIENCE_S: Final = 30.0
POLL_S: Final = 0.01
# Away from the default range, in which another recorder on this machine may run; 100 calls fit.
RTP_PORTS_A_TEST: Final = 400
FIRST_RTP_PORT, LAST_RTP_PORT = 30_000, 32_768

T = TypeVar("T")
_starts = itertools.count(random.randrange(1000))


def until(look: Callable[[], T], what: str, poll_s: float = POLL_S) -> T:
    """Looks again and again until it sees something (anything true), and gives it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain for {what}"
        time.sleep(poll_s)
    return seen


class Program:
    """One `earshot` process."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str], folder: Path, number: int) -> None:
        self.log_file = folder / f"{words[0]}-{number}.log"
        self.error_file = folder / f"{words[0]}-{number}.err"
        with self.log_file.open("wb") as log, self.error_file.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "earshot", *words],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def sip(self) -> tuple[str, int]:
        """Where an engine answers SIP; waits for it to be ready."""
        host, _, port = str(self.line("engine ready")["sip"]).rpartition(":")
        return host, int(port)

    def log(self) -> list[dict[str, Any]]:
        """All whole lines so far."""
        whole = self.log_file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines that tell of this."""
        return [line for line in self.log() if line["event"] == event]

    def line(self, event: str) -> dict[str, Any]:
        """Waits for a line; gives the first. A process that has ended will write none."""

        def look() -> list[dict[str, Any]]:
            alive = self.alive
            found = self.lines(event)
            assert alive or found, (
                f"ended with {self.process.returncode} before {event!r}: {self.error_file.read_text()}"
            )
            return found

        return until(look, f"the line {event!r}")[0]

    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return self.error_file.read_text()

    def freeze(self) -> None:
        """Stops the process until `thaw`; when this returns none of its threads runs."""
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: all(state == "T" for state in _states(self.pid)), "a process to stop", poll_s=0)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def terminate(self) -> None:
        """Asks it to stop, and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Asks it to stop; gives its exit status."""
        self.terminate()
        return self.process.wait(PATIENCE_S)


class Recorder:
    """The programs of one data folder. Leaving it kills what still runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            if program.alive:
                program.thaw()
                program.kill()

    @property
    def finished(self) -> Path:
        """Where calls lie that have ended and are no recordings yet."""
        return self.data / "spool" / "finished"

    @property
    def live(self) -> Path:
        """Where calls lie that run."""
        return self.data / "spool" / "live"

    def start(self, *words: str, **settings: str) -> Program:
        """Starts `earshot` with these words, and these settings above the defaults of a test."""
        program = Program(words, self._environment(settings), self.folder, len(self._programs))
        self._programs.append(program)
        return program

    def engine(self, **settings: str) -> Program:
        """A new engine, ready for calls."""
        engine = self.start("engine", **settings)
        engine.line("engine ready")
        return engine

    def archive(self, **settings: str) -> Program:
        return self.start("archive", **settings)

    def journals(self, count: int) -> list[Path]:
        """Waits until that many calls have ended; gives their journals, the oldest first."""

        def look() -> list[Path]:
            found = sorted(self.finished.glob("*/journal"))
            return found if len(found) >= count else []

        found = until(look, f"{count} calls to end")
        assert len(found) == count
        return found

    def manifests(self, count: int) -> list[dict[str, Any]]:
        """Waits until so many calls are recordings and nothing is left of them in the spool; oldest first."""

        def look() -> list[Path]:
            found = sorted(self.data.glob("recordings/*/*/*/*/manifest.json"), key=lambda path: path.parent.name)
            whole = [path for path in found if not path.parent.name.endswith(".part")]
            return whole if len(whole) >= count and not any(self.finished.iterdir()) else []

        found = until(look, f"{count} recordings")
        assert len(found) == count
        return [{**json.loads(path.read_bytes()), "folder": path.parent} for path in found]

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        first = FIRST_RTP_PORT + next(_starts) * RTP_PORTS_A_TEST % (LAST_RTP_PORT - FIRST_RTP_PORT - RTP_PORTS_A_TEST)
        given = {
            "DATA_DIR": str(self.data),
            "MASTER_KEY": encode_key(MASTER_KEY),
            "SIP_BIND": "127.0.0.1:0",
            "GATEWAY_BIND": "127.0.0.1:0",
            "RTP_PORTS": f"{first - first % 2}-{first - first % 2 + RTP_PORTS_A_TEST - 1}",
            "NODE": "recorder-1",
            "LOG_FORMAT": "json",
            "MIN_FREE_MB": "0",
            **settings,
        }
        return {**os.environ, **{f"EARSHOT_{name}": value for name, value in given.items()}}


def waiting_bytes(ports: set[int]) -> int:
    """What waits in the kernel for the sockets on these UDP ports of 127.0.0.1."""
    local = f"{int.from_bytes(ipaddress.ip_address('127.0.0.1').packed, 'little'):08X}"
    total = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if address == local and int(port, 16) in ports:
            total += int(fields[4].partition(":")[2], 16)
    return total


def in_memory(pid: int, pattern: bytes) -> int:
    """How often these bytes stand in the writable memory of a process (needs the right to trace it)."""
    found = 0
    maps = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for span, access, *_ in maps:
            if not access.startswith("rw"):
                continue
            start, end = (int(each, 16) for each in span.split("-"))
            memory.seek(start)
            try:
                found += memory.read(end - start).count(pattern)
            except OSError:
                continue  # given back to the system since the list was read
    return found


def _states(pid: int) -> list[str]:
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


__all__ = ["MASTER_KEY", "PATIENCE_S", "PRIVATE_KEY", "Program", "Recorder", "in_memory", "until", "waiting_bytes"]
