"""The C programs of the benches: compiled when one runs, and the sender's handle.

Not here: what they do (`sender.c` and `floor.c` say it themselves).
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.machine import BenchError, on_core

HERE: Final = Path(__file__).parent
BUILD: Final = HERE / "build"
# Connected sockets of the recorder see one source each; a handful of sockets can be the sources of all.
SOURCES: Final = 4
LOOPBACK: Final = "127.0.0.1"


def compiled(name: str) -> Path:
    """The program made of bench/<name>.c, compiled if it is not newer than its source. Errors: `BenchError`."""
    source, program = HERE / f"{name}.c", BUILD / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("There is no C compiler here. Debian: apt install gcc libc6-dev")
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-o", program, source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{source} does not compile:\n{done.stderr}")
    return program


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream to send: to which port, how big its packets are and how far apart, from which source, how many."""

    port: int
    source: int
    packets: int
    payload_bytes: int = 160
    ptime_ms: int = 20
    payload_type: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender did: RTP packets and reports sent, datagrams that the kernel refused, and its own lateness."""

    sent: int
    failed: int
    reports: int
    slots: int
    late_slots: int
    latest_ms: float
    cpu_s: float


class Sender:
    """A running sender. `ports` are its sockets', for the offers to name."""

    def __init__(self, audio: Path, core: int, reports_every_s: float = 0) -> None:
        with on_core(core):
            self._process = subprocess.Popen(
                [compiled("sender"), audio, str(SOURCES), str(reports_every_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        if self._process.stdout is None or self._process.stdin is None:
            raise BenchError("The sender has no pipes.")
        self._input, self._output = self._process.stdin, self._process.stdout
        self.ports = [int(word) for word in self._output.readline().split()[1:]]

    def send(self, streams: Sequence[Stream]) -> None:
        """Start these streams now."""
        for stream in streams:
            self._input.write(
                f"{LOOPBACK} {stream.port} {stream.payload_bytes} {stream.ptime_ms} {stream.payload_type} "
                f"{stream.source} {stream.packets}\n"
            )
        self._input.flush()

    def finish(self) -> Sent:
        """Wait until every stream has ended."""
        self._input.close()
        line = self._output.readline()
        if self._process.wait() or not line:
            raise BenchError(f"The sender failed with status {self._process.returncode}.")
        return Sent(**json.loads(line))

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()
