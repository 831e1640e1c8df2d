"""The `earshot` commands that the demo runs. All of them end with it: in order when it ends, at once when it is killed.

Each has a session of its own, so that a Ctrl-C in the terminal reaches the demo alone, which then hangs up before it
stops the recorder.

Not here: what is run, and when (show.py, folder.py).
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from actors.processes import end_with_parent
from demo.errors import DemoError

# A call is hung up in milliseconds, a portal with browsers at it stops in seconds; what takes longer is stuck.
STOP_S: Final = 8.0
# A SIGINT after that means: now.
KILL_S: Final = 2.0
# How much of a log is told again where it says why something ended.
TOLD_AGAIN_LINES: Final = 12


class Program:
    """An `earshot` command that runs, and the file that it writes to."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.log = log
        self._popen = popen

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._popen.poll()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return _end_of(self.log.read_text("utf-8", "replace"))

    def stop(self) -> None:
        """Asks it to stop, then makes it."""
        # Not SIGINT at first: a Python that is just being loaded may lose it.
        for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGINT, KILL_S), (signal.SIGKILL, KILL_S)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.send_signal(number)
                self._popen.wait(patience_s)
                return


class Programs:
    """Starts commands whose settings are those of one file. Leaving it stops what still runs, the last one first."""

    def __init__(self, folder: Path, settings: Path) -> None:
        """`folder` takes the logs. Variables of the user's that are settings do not count: one that points a recorder
        at its real data must not point the demo there."""
        self._folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EARSHOT_")}
        self._environment = {**inherited, "EARSHOT_CONFIG": str(settings.absolute())}
        self._started: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it is being done
        for program in reversed(self._started):
            program.stop()

    def start(self, name: str, *words: str) -> Program:
        """Starts `earshot` with these words; it writes to `<name>.log`."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as written:
            popen = subprocess.Popen(
                stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT, **self._how(words)
            )
        program = Program(popen, log)
        self._started.append(program)
        return program

    def ask(self, *words: str, given: str = "", **settings: str) -> str:
        """What `earshot` answers to these words, having read `given`, under these settings above those of the file.

        Errors: DemoError, when it fails.
        """
        how = self._how(words)
        how["env"] = {**self._environment, **{f"EARSHOT_{name.upper()}": value for name, value in settings.items()}}
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            input=given.encode(), capture_output=True, check=False, **how
        )
        if done.returncode != 0:
            raise DemoError(f"`earshot {' '.join(words)}` failed:\n{_end_of(done.stderr.decode('utf-8', 'replace'))}")
        return done.stdout.decode()

    def _how(self, words: tuple[str, ...]) -> dict[str, Any]:
        return {
            "args": [sys.executable, "-m", "earshot", *words],
            "cwd": self._folder,
            "env": self._environment,
            "start_new_session": True,
            "preexec_fn": functools.partial(end_with_parent, os.getpid()),
        }


def _end_of(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-TOLD_AGAIN_LINES:]) or "It did not say why."
