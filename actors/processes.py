"""`earshot run`: starts what the Procfile names, restarts each program by itself, stops all of them cleanly.

The whole policy:

    a program exits         restarted after 1 s, then 2, 4 ... 30 s; after a minute of life the count begins anew
    it exits with status 2  it cannot start as things are (a wrong setting, a spool that is held): at the first start
                              all stop, with status 2; later it is started again as after any other failure
    SIGTERM                 SIGTERM to all; what still runs after the grace period is killed
    SIGINT (Ctrl-C)         SIGINT to all: stop now; a second one kills
    `earshot run` dies      the kernel sends SIGTERM to each program

Each program has a session of its own: a Ctrl-C in the terminal reaches this process alone. What a program leaves
running in its session when it exits is killed, so that the next one finds its ports free.

What must not be here: anything of recording. A terminal that stops reading must not delay a restart: only the task
that writes to it waits.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 30.0
# A program that lived this long was well: its next death is a first one.
WELL_AFTER_S: Final = 60.0
# By the convention of the commands here: the user must change something before a start can succeed.
CANNOT_START: Final = 2

# Lines that wait for a terminal; a program whose lines find no room waits in its own pipe.
WAITING_LINES: Final = 1000
# Longest piece of output without a line end that is passed on as one line.
LONGEST_LINE_BYTES: Final = 65_536
# How many of a program's last lines are told again when it is the reason that all stop.
TOLD_AGAIN_LINES: Final = 30
# For the output that is left in the pipes, and for a terminal that does not read, once everything has ended.
LAST_OUTPUT_S: Final = 2.0

_PR_SET_PDEATHSIG: Final = 1
_COLOURS: Final = (36, 35, 34, 32, 33)
_OWN_COLOUR: Final = 90
_libc = ctypes.CDLL(None, use_errno=True)


class ProcfileError(Exception):
    """The Procfile cannot be used. Its text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Program:
    """One line of the Procfile."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `earshot run` ended: its exit status, and a sentence for the user where something is wrong."""

    status: int
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class ProcessesConfig:
    """What to run. `environment` is added to each program's; `grace_s` is the time between SIGTERM and SIGKILL."""

    procfile: Path
    grace_s: float
    colour: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def read_procfile(text: str) -> tuple[Program, ...]:
    """The programs of a Procfile: lines of `name: command`, words as in a shell, `#` begins a comment line.

    Errors: ProcfileError for a line that is neither, for a name that comes twice, and when there is no program at all.
    """
    programs: dict[str, Program] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"\s*([A-Za-z0-9_-]+)\s*:\s*(\S.*)", line)
        if found is None:
            raise ProcfileError(f"Line {number} of the Procfile is not of the form `name: command`.")
        name = found[1]
        if name in programs:
            raise ProcfileError(f"Line {number} of the Procfile names {name} a second time.")
        try:
            programs[name] = Program(name, tuple(shlex.split(found[2])))
        except ValueError as error:
            raise ProcfileError(f"Line {number} of the Procfile cannot be split into words: {error}.") from error
    if not programs:
        raise ProcfileError("The Procfile names no program.")
    return tuple(programs.values())


def restart_delay_s(status: int, uptime_s: float, last_delay_s: float) -> float | None:
    """How long to wait before a program that exited is started again; None: it cannot start, stop everything.

    `last_delay_s` is the delay before its last start, 0 for the first. Only a first start stops everything: whoever
    started it is there to read why. Later, a portal that does not find its port free must not end the recording.
    """
    if status == CANNOT_START and last_delay_s == 0 and uptime_s < WELL_AFTER_S:
        return None
    if last_delay_s == 0 or uptime_s >= WELL_AFTER_S:
        return FIRST_DELAY_S
    return min(2 * last_delay_s, LONGEST_DELAY_S)


def run(config: ProcessesConfig) -> Outcome:
    """Runs the Procfile's programs until a signal, or until one of them cannot start.

    Errors: ProcfileError, before anything is started.
    """
    try:
        programs = read_procfile(config.procfile.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProcfileError(f"The Procfile {config.procfile} cannot be read: {error}.") from error
    return trio.run(_Runner(config, programs).run)


def end_with_parent(parent: int) -> None:
    """For a new process, before its program runs: SIGTERM when process `parent` dies, however it dies (prctl(2)).

    The kernel means the thread that forked: it must live as long as the parent does.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class _Child:
    """A program that runs. `handle` is its pidfd: no signal through it can reach another process."""

    popen: subprocess.Popen[bytes]
    handle: int
    stdout: int
    stderr: int


class _Runner:
    """All programs, the signals to them, and their output."""

    def __init__(self, config: ProcessesConfig, programs: tuple[Program, ...]) -> None:
        self._config = config
        self._programs = programs
        self._environment = {**os.environ, **config.environment, "PATH": _path()}
        self._running: dict[str, _Child] = {}
        self._stopping = trio.Event()
        self._outcome = Outcome(0)
        self._width = max(len(name) for name in ("earshot", *(program.name for program in programs)))
        self._lines, self._waiting_lines = trio.open_memory_channel[bytes](WAITING_LINES)

    async def run(self) -> Outcome:
        async with trio.open_nursery() as output:
            output.start_soon(self._write)
            async with trio.open_nursery() as control:
                await control.start(self._obey_signals)
                control.start_soon(self._end_grace)
                async with trio.open_nursery() as programs:
                    for program, colour in zip(self._programs, itertools.cycle(_COLOURS), strict=False):
                        programs.start_soon(self._keep, program, self._prefix(program.name, colour))
                control.cancel_scope.cancel()
            self._lines.close()
            output.cancel_scope.deadline = trio.current_time() + LAST_OUTPUT_S
        return self._outcome

    async def _keep(self, program: Program, prefix: bytes) -> None:
        """One program, again and again, until everything stops."""
        delay_s = 0.0
        while not self._stopping.is_set():
            began_s = trio.current_time()
            last_words: deque[bytes] = deque(maxlen=TOLD_AGAIN_LINES)
            try:
                child = _start(program, self._environment)
            except OSError as error:
                self._give_up(f"{program.name} cannot be started: {program.command[0]}: {error.strerror}.")
                return
            self._say(f"{program.name} starts (process {child.popen.pid}).")
            status = await self._until_exit(program.name, child, prefix, last_words)
            uptime_s = trio.current_time() - began_s
            if self._stopping.is_set():
                return
            next_delay_s = restart_delay_s(status, uptime_s, delay_s)
            if next_delay_s is None:
                words = b"\n".join(last_words).decode("utf-8", "replace") or "it did not say why."
                self._give_up(f"Everything was stopped, because {program.name} cannot start:\n{words}")
                return
            delay_s = next_delay_s
            self._say(f"{program.name} {_fate(status)} after {uptime_s:.0f} s; it starts again in {delay_s:g} s.")
            with trio.move_on_after(delay_s):
                await self._stopping.wait()

    async def _until_exit(self, name: str, child: _Child, prefix: bytes, last_words: deque[bytes]) -> int:
        """Passes a program's output on until it exits; returns its status, negative for a signal."""
        self._running[name] = child
        async with trio.open_nursery() as output:
            output.start_soon(self._relay, child.stdout, prefix, None)
            output.start_soon(self._relay, child.stderr, prefix, last_words)
            try:
                await trio.lowlevel.wait_readable(child.handle)
            finally:
                # Until it is waited for, its process group can be nobody else's.
                _kill_group(child)
                status = child.popen.wait()
                del self._running[name]
                os.close(child.handle)
            output.cancel_scope.deadline = trio.current_time() + LAST_OUTPUT_S
        return status

    async def _relay(self, descriptor: int, prefix: bytes, last_words: deque[bytes] | None) -> None:
        rest = b""
        async with trio.lowlevel.FdStream(descriptor) as stream:
            async for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    await self._pass_on(line, prefix, last_words)
            if rest:
                await self._pass_on(rest, prefix, last_words)

    async def _pass_on(self, line: bytes, prefix: bytes, last_words: deque[bytes] | None) -> None:
        if last_words is not None:
            last_words.append(line)
        await self._lines.send(prefix + line + b"\n")

    async def _write(self) -> None:
        async for line in self._waiting_lines:
            lines = [line]
            with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:
                    lines.append(self._waiting_lines.receive_nowait())
            await trio.to_thread.run_sync(_put, b"".join(lines), abandon_on_cancel=True)

    async def _obey_signals(self, task_status: trio.TaskStatus[None]) -> None:
        interrupted = False
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGINT and interrupted:
                    self._kill("was killed.")
                elif number == signal.SIGINT:
                    interrupted = True
                    self._stop(signal.SIGINT)
                elif not self._stopping.is_set():
                    self._stop(signal.SIGTERM)

    async def _end_grace(self) -> None:
        await self._stopping.wait()
        await trio.sleep(self._config.grace_s)
        self._kill(f"did not stop within {self._config.grace_s:g} s and was killed.")

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for child in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.handle, number)

    def _give_up(self, sentence: str) -> None:
        self._outcome = Outcome(CANNOT_START, sentence)
        self._stop(signal.SIGTERM)

    def _kill(self, fate: str) -> None:
        for name, child in self._running.items():
            self._say(f"{name} {fate}")
            _kill_group(child)
        if not self._outcome.status:
            self._outcome = Outcome(1)

    def _say(self, sentence: str) -> None:
        with contextlib.suppress(trio.WouldBlock):
            self._lines.send_nowait(self._prefix("earshot", _OWN_COLOUR) + sentence.encode() + b"\n")

    def _prefix(self, name: str, colour: int) -> bytes:
        padded = f"{name.ljust(self._width)} | "
        return (f"\x1b[{colour}m{padded}\x1b[0m" if self._config.colour else padded).encode()


def _path() -> str:
    """PATH with this interpreter's folder first: `earshot` in a Procfile is the one that runs it."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def _start(program: Program, environment: Mapping[str, str]) -> _Child:
    """Starts a program. Errors: OSError.

    Not through `trio.lowlevel.open_process`: that forks in a worker thread, and the kernel's signal on the death of
    the parent comes when the thread that forked ends.
    """
    out_reader, out_writer = os.pipe()
    err_reader, err_writer = os.pipe()
    try:
        popen = subprocess.Popen(  # noqa: S603 - the Procfile is the operator's own
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=out_writer,
            stderr=err_writer,
            env=environment,
            start_new_session=True,
            preexec_fn=functools.partial(end_with_parent, os.getpid()),
        )
    except OSError:
        os.close(out_reader)
        os.close(err_reader)
        raise
    finally:
        os.close(out_writer)
        os.close(err_writer)
    return _Child(popen, os.pidfd_open(popen.pid), out_reader, err_reader)


def _kill_group(child: _Child) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.popen.pid, signal.SIGKILL)


def _fate(status: int) -> str:
    return f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"


def _put(data: bytes) -> None:
    """Writes to standard output; a terminal or a reader that is gone does not concern the programs."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]
