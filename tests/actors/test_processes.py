"""`earshot run` with real processes: small Python programs that say what happens to them.

Rules: every program is told where to write, nothing waits longer than PATIENCE_S, no bare sleeps, and each test checks
that nothing of its own is left running.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import processes
from actors.processes import ProcfileError, Program, read_procfile, restart_delay_s

PATIENCE_S = 30.0

RUN = """
import sys
from pathlib import Path
from actors import processes
config = processes.ProcessesConfig(Path(sys.argv[1]), grace_s=float(sys.argv[2]), environment={"GREETING": "hello"})
outcome = processes.run(config)
print(outcome.sentence, file=sys.stderr)
sys.exit(outcome.status)
"""

# Says its pid, then ends on SIGTERM or SIGINT as a well-behaved program does.
POLITE = """
import os, signal, sys, threading
stop = threading.Event()
def end(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    stop.set()
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("alive", os.getpid(), os.environ["GREETING"], flush=True)
stop.wait()
print("bye", flush=True)
"""

STUBBORN = """
import os, signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("alive", os.getpid(), flush=True)
threading.Event().wait()
"""

REFUSING = """
import sys
print("a log line", flush=True)
print("sip_bind is 'x': it must be an address.", file=sys.stderr)
sys.exit(2)
"""

# Leaves a child in its session, then waits.
PARENT = """
import os, subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
print("alive", os.getpid(), flush=True)
print("child", child.pid, flush=True)
threading.Event().wait()
"""


class Run:
    """A running `earshot run`, and all that it has printed so far."""

    def __init__(self, procfile: Path, grace_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, procfile, str(grace_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._text = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._text += line
                self._changed.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """The first group of each match of `pattern` in the output, once there are `count`."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(re.findall(pattern, self._text)) >= count, PATIENCE_S)
            assert arrived, f"{pattern!r} did not come {count} times in:\n{self._text}"
            return re.findall(pattern, self._text)

    def end(self) -> tuple[int, str]:
        """Waits until it has ended; exit status and everything it printed."""
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status, self._text


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts `earshot run` on programs given by name and source; none outlives the test."""
    runs: list[Run] = []

    def start(grace_s: float = PATIENCE_S, **sources: str) -> Run:
        lines = []
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            lines.append(f"{name}: python {tmp_path / name}.py")
        (tmp_path / "Procfile").write_text("\n".join(lines) + "\n")
        runs.append(Run(tmp_path / "Procfile", grace_s))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait(PATIENCE_S)
        run._reader.join(PATIENCE_S)
        assert run.process.stdout is not None
        run.process.stdout.close()


def wait_until_gone(pid: int) -> None:
    """Returns once no process has this pid; fails after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                time.sleep(0.01)
                continue
        return
    raise AssertionError(f"process {pid} still runs")


# The Procfile


def test_a_procfile_is_names_and_words() -> None:
    text = "# what runs\nengine: earshot engine\n\narchive:  earshot archive --note 'two words'\n"
    assert read_procfile(text) == (
        Program("engine", ("earshot", "engine")),
        Program("archive", ("earshot", "archive", "--note", "two words")),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no program"),
        ("# nothing\n", "names no program"),
        ("engine earshot", "Line 1 of the Procfile is not of the form"),
        ("engine:", "Line 1 of the Procfile is not of the form"),
        ("a: b\na: c", "Line 2 of the Procfile names a a second time"),
        ("a: 'b", "Line 1 of the Procfile cannot be split into words"),
    ],
)
def test_a_wrong_procfile_is_answered_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ProcfileError, match=sentence):
        read_procfile(text)


@given(st.text())
def test_any_text_is_programs_or_a_sentence(text: str) -> None:
    try:
        programs = read_procfile(text)
    except ProcfileError:
        return
    assert all(program.command for program in programs)


def test_our_own_procfile_names_all_three_programs() -> None:
    programs = read_procfile((Path(processes.__file__).parents[1] / "Procfile").read_text())
    assert [program.command for program in programs] == [("earshot", name) for name in ("engine", "archive", "portal")]


def test_a_missing_procfile_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProcfileError, match="cannot be read"):
        processes.run(processes.ProcessesConfig(tmp_path / "Procfile", grace_s=1))


# The policy


def test_delays_double_up_to_the_longest() -> None:
    delays = [0.0]
    for _ in range(7):
        delay = restart_delay_s(1, 0.5, delays[-1])
        assert delay is not None
        delays.append(delay)
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_is_forgiven() -> None:
    assert restart_delay_s(-9, processes.WELL_AFTER_S, 30) == 1
    assert restart_delay_s(-9, processes.WELL_AFTER_S - 1, 16) == 30


def test_a_program_that_ends_well_is_restarted_too() -> None:
    assert restart_delay_s(0, 5, 0) == 1


def test_status_2_at_the_first_start_means_that_no_restart_can_help() -> None:
    assert restart_delay_s(2, 1, 0) is None


def test_status_2_later_stops_nobody_else() -> None:
    assert restart_delay_s(2, processes.WELL_AFTER_S, 0) == 1
    assert restart_delay_s(2, 1, 1) == 2


# Real processes


def test_output_carries_the_programs_name_and_its_environment(start: Callable[..., Run]) -> None:
    run = start(engine=POLITE, archive=POLITE)
    run.wait_for(r"engine  \| alive \d+ hello")
    run.wait_for(r"archive \| alive \d+ hello")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_end_awaited(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start(engine=POLITE, archive=POLITE)
    pids = run.wait_for(r"alive (\d+)", 2)
    run.process.send_signal(number)
    status, text = run.end()
    assert status == 0
    assert re.findall(r"got (\w+)", text) == [number.name] * 2
    assert text.count("bye") == 2
    for pid in pids:
        wait_until_gone(int(pid))


def test_what_does_not_stop_in_time_is_killed(start: Callable[..., Run]) -> None:
    run = start(grace_s=0.2, engine=STUBBORN, archive=POLITE)
    pids = run.wait_for(r"alive (\d+)", 2)
    run.process.send_signal(signal.SIGTERM)
    status, text = run.end()
    assert status == 1
    assert "engine did not stop within 0.2 s and was killed." in text
    assert "archive did not stop" not in text
    for pid in pids:
        wait_until_gone(int(pid))


def test_a_second_ctrl_c_kills(start: Callable[..., Run]) -> None:
    run = start(engine=STUBBORN, archive=POLITE)
    run.wait_for(r"engine  \| alive (\d+)")
    run.wait_for(r"archive \| alive (\d+)")
    run.process.send_signal(signal.SIGINT)
    run.wait_for("got SIGINT")
    run.process.send_signal(signal.SIGINT)
    status, text = run.end()
    assert status == 1
    assert "engine was killed." in text


def test_a_killed_program_starts_again_and_the_others_go_on(start: Callable[..., Run]) -> None:
    run = start(engine=POLITE, archive=POLITE)
    (first,) = run.wait_for(r"engine  \| alive (\d+)")
    (other,) = run.wait_for(r"archive \| alive (\d+)")
    os.kill(int(first), signal.SIGKILL)
    run.wait_for(r"engine was ended by signal 9 after \d+ s; it starts again in 1 s")
    _, second = run.wait_for(r"engine  \| alive (\d+)", 2)
    assert second != first
    assert run.wait_for(r"archive \| alive (\d+)") == [other]
    os.kill(int(second), 0)
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0


def test_killing_run_leaves_no_program(start: Callable[..., Run]) -> None:
    run = start(engine=POLITE, archive=POLITE)
    pids = run.wait_for(r"alive (\d+)", 2)
    run.process.kill()
    for pid in pids:
        wait_until_gone(int(pid))


def test_the_signal_on_death_outlives_idle_worker_threads(start: Callable[..., Run]) -> None:
    # The kernel signals when the *thread* that forked ends. A program that is started by a worker thread, which ends
    # after ten idle seconds, would be stopped then; ours runs on the main thread, whatever writes to the terminal.
    run = start(engine=POLITE)
    (pid,) = run.wait_for(r"alive (\d+)")
    tasks = [int(task.name) for task in Path(f"/proc/{run.process.pid}/task").iterdir()]
    assert run.process.pid in tasks
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    assert pid in children


def test_status_2_stops_everything_with_the_programs_own_sentence(start: Callable[..., Run]) -> None:
    run = start(archive=POLITE, engine=REFUSING)
    status, text = run.end()
    assert status == 2
    assert text.rstrip().endswith(
        "Everything was stopped, because engine cannot start:\nsip_bind is 'x': it must be an address."
    )


def test_a_program_that_does_not_exist_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("engine: no-such-program\n")
    run = Run(tmp_path / "Procfile", PATIENCE_S)
    status, text = run.end()
    assert run.process.stdout is not None
    run.process.stdout.close()
    assert status == 2
    assert "engine cannot be started: no-such-program: No such file or directory." in text


def test_what_a_program_leaves_behind_is_killed_with_it(start: Callable[..., Run]) -> None:
    run = start(engine=PARENT)
    (pid,) = run.wait_for(r"alive (\d+)")
    (child,) = run.wait_for(r"child (\d+)")
    os.kill(int(pid), signal.SIGKILL)
    wait_until_gone(int(child))
    _, second = run.wait_for(r"child (\d+)", 2)
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0
    wait_until_gone(int(second))


def test_output_without_line_ends_is_passed_on_in_pieces(start: Callable[..., Run]) -> None:
    run = start(engine="import sys, threading\nsys.stdout.write('x' * 200_000)\nsys.stdout.flush()\n" + POLITE)
    run.wait_for("alive")
    run.process.send_signal(signal.SIGTERM)
    status, text = run.end()
    assert status == 0
    assert text.count("x") == 200_000


def test_a_terminal_that_does_not_read_delays_no_restart(tmp_path: Path) -> None:
    """Nobody reads what `earshot run` prints; a program that dies is started again all the same."""
    (tmp_path / "loud.py").write_text(
        "import sys\n"
        f"with open({str(tmp_path / 'starts')!r}, 'a') as starts:\n"
        "    starts.write('x')\n"
        "sys.stdout.write('loud\\n' * 100_000)\n"
        "sys.exit(1)\n"
    )
    (tmp_path / "mortal.py").write_text(
        f"with open({str(tmp_path / 'lives')!r}, 'a') as lives:\n    lives.write('x')\nraise SystemExit(1)\n"
    )
    (tmp_path / "Procfile").write_text(f"loud: python {tmp_path}/loud.py\nmortal: python {tmp_path}/mortal.py\n")
    reader, writer = os.pipe()
    try:
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, tmp_path / "Procfile", "1"], stdout=writer, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE_S
        lives = tmp_path / "lives"
        while time.monotonic() < deadline and not (lives.exists() and lives.stat().st_size >= 2):
            time.sleep(0.02)
        assert lives.stat().st_size >= 2
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE_S) in (0, 1)
    finally:
        os.close(reader)
        os.close(writer)
        run.kill()
        run.wait(PATIENCE_S)
