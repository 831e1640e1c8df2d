"""An engine under measurement: the whole engine in a child process, and the handle of who measures it.

The child runs `actors.node.run` as `earshot engine` does, with an instrument that times the loop. Each line that it
reads ends a span and begins the next; it answers with what it saw in the span (`Mark`).

A stop of the loop is the time from one look at what is due (sockets, timers) to the next: whatever comes in between
waits. A late wake-up is another thing: the kernel, or a thread that held the GIL, let the loop sleep longer than it
had asked.

Not here: calls, packets (`capacity.py`).
"""

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TextIO

import trio

from actors import logs
from actors.node import EngineConfig
from actors.node import run as run_engine
from bench.machine import BenchError, on_core
from bench.programs import LOOPBACK

# Below the kernel's own range (32768 on), wide enough for 5,000 calls of two streams.
RTP_PORTS: Final = (10_000, 29_999)
# Stops remembered of one span: five minutes of a loop that turns 600 times a second.
MOST_STOPS: Final = 200_000
GRACE_S: Final = 1.0
STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a span. CPU seconds count from the process's start, the rest is of the span alone.

    `main_cpu_s` is the main thread's, which is all of the engine; another thread can only be a busy one of ours.
    `longest_stop_cpu_s` is the CPU in the longest stop: where it is far less, somebody else had the core.
    """

    monotonic_ns: int
    cpu_s: float
    main_cpu_s: float
    rss_bytes: int
    stops: int
    longest_stop_s: float
    longest_stop_cpu_s: float
    p99_stop_s: float
    latest_wake_s: float


class Stops(trio.abc.Instrument):
    """Times the loop. Keeps every stop of a span in memory that it has from the start."""

    def __init__(self) -> None:
        self._woke = self._due = time.perf_counter()
        self._spans = (array("d", bytes(8 * MOST_STOPS)), array("d", bytes(8 * MOST_STOPS)))
        self._stops = self._spans[0]
        self._count = 0
        self._latest = self._longest = self._longest_cpu = 0.0
        self._woke_cpu = time.thread_time()

    def before_io_wait(self, timeout: float) -> None:
        """The loop has done what was due."""
        now = time.perf_counter()
        stop = now - self._woke
        self._stops[self._count % MOST_STOPS] = stop
        self._count += 1
        if stop > self._longest:
            self._longest, self._longest_cpu = stop, time.thread_time() - self._woke_cpu
        self._due = now + timeout

    def after_io_wait(self, timeout: float) -> None:
        """The loop goes on."""
        self._woke = now = time.perf_counter()
        self._woke_cpu = time.thread_time()
        self._latest = max(self._latest, now - self._due)

    def end_span(self) -> tuple[int, float, float, float, float]:
        """(stops, the longest, its CPU, their 99th percentile, the latest wake-up) since the last call, in seconds."""
        count, filled = self._count, self._stops
        told = (self._longest, self._longest_cpu)
        latest = self._latest
        self._stops = self._spans[filled is self._spans[0]]
        self._count = 0
        self._latest = self._longest = self._longest_cpu = 0.0
        stops = sorted(filled[: min(count, MOST_STOPS)])
        return count, *told, stops[int(len(stops) * 0.99)] if stops else 0.0, latest


class EngineProcess:
    """An engine in a child process, on one core. `spool` is where its journals lie."""

    def __init__(self, data_dir: Path, public_key: bytes, core: int, *, busy: bool = False) -> None:
        self.sip_port = free_port()
        self.spool = data_dir / "spool"
        words = [str(data_dir), str(self.sip_port), public_key.hex(), "busy" if busy else "idle"]
        with on_core(core):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.engine_process", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchError("The engine has no pipes.")
        self._input, self._output = self._process.stdin, self._process.stdout

    def mark(self) -> Mark:
        """End a span: what was in it."""
        self._input.write("\n")
        self._input.flush()
        line = self._output.readline()
        if not line:
            raise BenchError(f"The engine has ended. Its log is {self.spool.parent / 'engine.log'}.")
        return Mark(**json.loads(line))

    def stop(self) -> None:
        """Stop it in order."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._input.close()
        self._output.close()


def free_port() -> int:
    """A port that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((LOOPBACK, 0))
            port = int(udp.getsockname()[1])
            try:
                tcp.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def _answer_marks(stops: Stops, report: TextIO) -> None:
    main_clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
    for _ in sys.stdin:
        now, cpu_s, main_cpu_s = time.monotonic_ns(), time.process_time(), time.clock_gettime(main_clock)
        rss_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        mark = Mark(now, cpu_s, main_cpu_s, rss_bytes, *stops.end_span())
        report.write(json.dumps(asdict(mark)) + "\n")
        report.flush()
    # Who measured is gone.
    os.kill(os.getpid(), signal.SIGTERM)


def _spin() -> None:
    turns = 0
    while True:
        turns += 1


def main() -> None:
    """The child: DATA_DIR SIP_PORT PUBLIC_KEY (hexadecimal) busy|idle."""
    folder, sip_port, public_key, busy = sys.argv[1:]
    data_dir = Path(folder)
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with (data_dir / "engine.log").open("wb") as log_file:
        os.dup2(log_file.fileno(), sys.stdout.fileno())
    logs.configure("info", "json")
    stops = Stops()
    threading.Thread(target=_answer_marks, args=(stops, report), daemon=True).start()
    if busy == "busy":
        threading.Thread(target=_spin, daemon=True).start()
    config = EngineConfig(
        data_dir=data_dir,
        public_key=bytes.fromhex(public_key),
        sip_bind=(LOOPBACK, int(sip_port)),
        sip_allow=(ipaddress.ip_network("127.0.0.0/8"),),
        rtp_ports=RTP_PORTS,
        node="bench",
        grace_s=GRACE_S,
    )
    run_engine(config, instruments=[stops])


if __name__ == "__main__":
    main()
