"""How many calls a core carries for good: `python -m bench.sustained` (or `make bench-sustained`).

`earshot engine` and `earshot archive` share one core; calls of two G.711 streams arrive from the other one at a
constant rate, and each lasts `--call-seconds`. A step begins when the calls of its rate are all there and lasts
`--step-seconds`; its backlog is what lies in the spool and is no recording yet. It stays flat, or it grows: the last
rate at which it stayed flat is the answer.

The first step is light. Its costs say where the core should be full; the steps after it come from below up to there,
and past it, until the backlog grows. A step in which it grows says the answer once more, from the other side: then the
finisher has no pause, and what it finishes in a second is what the core can carry besides so many calls.

Calls are short, so that a step need not be long. What a call costs apart from its seconds (SIP, a file's head and its
fsync) weighs more than on longer calls.

Not here: the engine alone (`capacity.py`), the finisher alone (`finish.py`).
"""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import trio
import typer
from rich.table import Table

from actors.dial import Dialer, DialError, Session, open_dialer
from archive.manifest import MANIFEST_NAME, read_manifest
from bench.machine import MOST_OTHERS, BenchError, busy_s, console, cores, describe, on_core
from bench.phones import call, source_of, until_ready
from bench.programs import LOOPBACK, Sender, Stream
from bench.service import Service
from bench.speech import write_audio

RESULT: Final = Path(__file__).parent / "results" / "sustained.json"
FIRST_CALLS: Final = 30
CALL_SECONDS: Final = 20.0
STEP_SECONDS: Final = 40.0
# Of the calls that the costs of the last step would fill the core with.
SHARES: Final = (0.7, 0.85, 1.0, 1.15)
# A backlog that grows by less than this share of the calls that arrive is flat: a step of 40 s tells no less.
FLAT_SHARE: Final = 0.03
# Nor is this growth any, in the whole of a step: calls come one by one, and so they are finished.
FEW_CALLS: Final = 3
SAMPLE_EVERY_S: Final = 1.0
PTIME_MS: Final = 20
# A call is hung up this long after its last packet.
LINGER_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: monotonic time, calls that wait to be finished, the age of the oldest, CPU seconds of each process.

    `core_s` is how long the core was busy with anything at all.
    """

    at_s: float
    waiting: int
    oldest_s: float
    ended: int
    engine_cpu_s: float
    archive_cpu_s: float
    core_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate did. Shares are of the one core; `growth` of the backlog is in calls a second.

    `finished_calls` is how many calls speak as much as was finished in the same time.
    """

    calls: float
    rate: float
    engine_share: float
    archive_share: float
    others_share: float
    seconds: float
    finished_calls: float
    growth: float
    waiting: int
    oldest_s: float

    @property
    def flat(self) -> bool:
        """Whether the backlog stayed as it was."""
        return self.growth <= FLAT_SHARE * self.rate or self.growth * self.seconds <= FEW_CALLS

    @property
    def fitting_calls(self) -> float:
        """How many calls this step's costs would fill the core with: those of a call held and a call finished."""
        return 1 / (self.engine_share / self.calls + self.archive_share / max(self.finished_calls, 1e-9))


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that was finished: recordings, and packets that are missing in them."""

    recordings: int
    packets_missing: int
    stuck: int


class Recorder:
    """Engine and archive on one core, over a data folder of their own."""

    def __init__(self, data_dir: Path, core: int) -> None:
        self._core = core
        self._data_dir = data_dir
        self._finished = data_dir / "spool" / "finished"
        self._service = Service(data_dir, core, ("engine", "archive"))
        self.sip_port = self._service.sip_port

    def sample(self, ended: int) -> Sample:
        """Look at backlog and costs now; `ended` calls have been hung up."""
        self._service.check()
        pids = self._service.pids
        written = list(_modified_s(self._finished.iterdir()))
        return Sample(
            at_s=time.monotonic(),
            waiting=len(written),
            oldest_s=time.time() - min(written, default=time.time()),
            ended=ended,
            engine_cpu_s=_cpu_s(pids["engine"]),
            archive_cpu_s=_cpu_s(pids["archive"]),
            core_s=busy_s(self._core),
        )

    def recorded(self, packets_a_call: int) -> Recorded:
        """What became of the calls that are finished."""
        days = [path for path in self._data_dir.glob("recordings/*/*/*") if path.is_dir()]
        # A folder whose name has a suffix is being made, and may be gone at any moment.
        calls = [path for day in days for path in day.iterdir() if not path.suffix]
        manifests = [read_manifest((path / MANIFEST_NAME).read_bytes()) for path in calls]
        missing = sum(packets_a_call - sum(stream.packets for stream in each.streams) for each in manifests)
        return Recorded(len(manifests), missing, len(list((self._data_dir / "spool" / "stuck").iterdir())))

    def stop(self) -> None:
        """Stop both; what is not finished is left."""
        self._service.stop()


class Traffic:
    """Calls that come at a rate, for as long as it stands."""

    def __init__(self, dialer: Dialer, sender: Sender, call_s: float) -> None:
        self._dialer = dialer
        self._sender = sender
        self._call_s = call_s
        self._begun = 0
        self.packets_a_call = 2 * round(call_s * 1000 / PTIME_MS)
        self.rate = 0.0
        self.ended = 0
        self.up = 0

    async def run(self) -> None:
        """Dial until cancelled. Errors: `BenchError` where a call is refused."""
        async with trio.open_nursery() as nursery:
            due_s = trio.current_time()
            while True:
                due_s += 1 / self.rate
                await trio.sleep_until(due_s)
                nursery.start_soon(self._call, self._begun)
                self._begun += 1

    async def _call(self, number: int) -> None:
        try:
            session = await call(self._dialer, number, self._sender.ports)
            self.up += 1
            self._sender.send(list(self._streams(number, session)))
            await trio.sleep(self._call_s + PTIME_MS / 1000 + LINGER_S)
            await session.bye()
        except DialError as error:
            raise BenchError(f"A call failed: {error}") from error
        self.up -= 1
        self.ended += 1

    def _streams(self, number: int, session: Session) -> Iterator[Stream]:
        for line, port in enumerate(session.remote_ports):
            yield Stream(port, source_of(number, line), self.packets_a_call // 2)


def step_of(samples: Sequence[Sample], calls: float, rate: float, call_s: float) -> Step:
    """What a step's samples say of `calls` calls that came at `rate` a second."""
    first, last = samples[0], samples[-1]
    seconds = last.at_s - first.at_s
    at_s = np.array([sample.at_s - first.at_s for sample in samples])
    growth = float(np.polyfit(at_s, [sample.waiting for sample in samples], 1)[0])
    finished = (last.ended - first.ended) - (last.waiting - first.waiting)
    engine_share = (last.engine_cpu_s - first.engine_cpu_s) / seconds
    archive_share = (last.archive_cpu_s - first.archive_cpu_s) / seconds
    return Step(
        calls=calls,
        rate=rate,
        engine_share=engine_share,
        archive_share=archive_share,
        others_share=(last.core_s - first.core_s) / seconds - engine_share - archive_share,
        seconds=seconds,
        finished_calls=finished / seconds * call_s,
        growth=growth,
        waiting=last.waiting,
        oldest_s=last.oldest_s,
    )


async def _measure(
    data_dir: Path, on_cores: tuple[int, int], first_calls: int, call_s: float, step_s: float
) -> tuple[list[Step], Recorded]:
    recorder_core, load_core = on_cores
    audio = data_dir / "audio"
    write_audio(audio)
    recorder, sender = Recorder(data_dir, recorder_core), Sender(audio, load_core)
    try:
        async with open_dialer(f"sip:{LOOPBACK}:{recorder.sip_port}") as dialer, trio.open_nursery() as nursery:
            await until_ready(dialer)
            traffic = Traffic(dialer, sender, call_s)
            steps: list[Step] = []
            calls = float(first_calls)
            traffic.rate = calls / call_s
            nursery.start_soon(traffic.run)
            for share in (*SHARES, None):
                steps.append(await _step(recorder, traffic, calls, call_s, step_s))
                console.print(
                    f"{calls:.0f} calls: {steps[-1].growth:+.2f} calls a second more to finish"
                    f" ({traffic.up} calls are up)"
                )
                if not steps[-1].flat or share is None:
                    break
                calls = max(calls, share * steps[-1].fitting_calls)
            recorded = recorder.recorded(traffic.packets_a_call)
            nursery.cancel_scope.cancel()
        return steps, recorded
    finally:
        sender.stop()
        recorder.stop()


async def _step(recorder: Recorder, traffic: Traffic, calls: float, call_s: float, step_s: float) -> Step:
    traffic.rate = calls / call_s
    with console.status(f"{calls:.0f} calls: until they are there"):
        await trio.sleep(call_s + 1)
    samples = []
    with console.status(f"{calls:.0f} calls: watching the backlog"):
        due_s = trio.current_time()
        for _ in range(int(step_s / SAMPLE_EVERY_S) + 1):
            samples.append(recorder.sample(traffic.ended))
            due_s += SAMPLE_EVERY_S
            await trio.sleep_until(due_s)
    return step_of(samples, calls, traffic.rate, call_s)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process, all threads (proc(5): utime and stime)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _modified_s(folders: Iterable[Path]) -> Iterator[float]:
    for folder in folders:
        try:
            yield folder.stat().st_mtime
        except FileNotFoundError:  # finished since it was listed
            continue


def _table(steps: Sequence[Step], call_s: float) -> Table:
    table = Table(title=f"Engine and archive on one core, calls of {call_s:g} s")
    for name in (
        "calls",
        "a second",
        "engine",
        "archive",
        "others",
        "finished",
        "growth a second",
        "waiting",
        "oldest",
    ):
        table.add_column(name, justify="right")
    table.add_column("backlog")
    for step in steps:
        table.add_row(
            f"{step.calls:.0f}",
            f"{step.rate:.2f}",
            f"{step.engine_share:.0%}",
            f"{step.archive_share:.0%}",
            f"{step.others_share:.0%}",
            f"{step.finished_calls:.0f}",
            f"{step.growth:+.2f}",
            str(step.waiting),
            f"{step.oldest_s:.0f} s",
            "[green]flat" if step.flat else "[red]grows",
        )
    return table


def _verdict(steps: Sequence[Step], recorded: Recorded) -> Iterator[str]:
    flat = [step for step in steps if step.flat]
    grown = [step for step in steps if not step.flat]
    for step in steps:
        if step.others_share > MOST_OTHERS:
            yield f"[yellow]doubtful[/] {step.calls:.0f} calls: others took {step.others_share:.0%} of the core."
    if flat:
        yield f"{flat[-1].calls:.0f} calls a core with a backlog that stays flat."
    if grown:
        yield (
            f"At {grown[0].calls:.0f} calls it grows: the core finishes as much as {grown[0].finished_calls:.0f} calls "
            f"speak. By its costs then, {grown[0].fitting_calls:.0f} calls would fill it."
        )
    else:
        yield "It never grew. Begin higher: --first-calls."
    yield (
        f"{recorded.recordings} recordings, {recorded.packets_missing} packets missing in them, {recorded.stuck} stuck."
    )


def _sentences(errors: BaseExceptionGroup[BenchError]) -> Iterator[str]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _sentences(error)
        else:
            yield str(error)


def main(
    first_calls: Annotated[int, typer.Option(help="Calls at once in the first, light step.")] = FIRST_CALLS,
    call_seconds: Annotated[float, typer.Option(help="How long each call lasts.")] = CALL_SECONDS,
    step_seconds: Annotated[float, typer.Option(help="How long the backlog of each rate is watched.")] = STEP_SECONDS,
    folder: Annotated[Path | None, typer.Option(help="Where the data folder lies for the time of the bench.")] = None,
) -> None:
    """Measure how many calls a core records and finishes at the same time, for good."""
    with tempfile.TemporaryDirectory(prefix="earshot-bench-", dir=folder) as work:
        try:
            recorder_core, load_core = cores()
            with on_core(load_core):
                measured = trio.run(
                    _measure, Path(work), (recorder_core, load_core), first_calls, call_seconds, step_seconds
                )
        except* BenchError as errors:
            console.print(*_sentences(errors), sep="\n", style="red")
            raise typer.Exit(1) from errors
    steps, recorded = measured
    console.print(_table(steps, call_seconds), *_verdict(steps, recorded), sep="\n")
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "machine": describe(),
        "call_seconds": call_seconds,
        "step_seconds": step_seconds,
        "steps": [{**asdict(step), "flat": step.flat, "fitting_calls": step.fitting_calls} for step in steps],
        "recorded": asdict(recorded),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{RESULT} is written.")


if __name__ == "__main__":
    typer.run(main)
