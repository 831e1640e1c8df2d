"""What finishing costs: `python -m bench.finish` (or `make bench-finish`).

One synthetic call of speech-like sound on both sides (G.711, 20 ms) is finished in each format. A row is:

    encoder      times real time a core of the encoder alone: the same samples, in the same chunks, to the same disk
    finisher     the same of the whole way, from the sealed journal to the synced recording
    overhead     how much more CPU the finisher takes than the encoder alone
    no encoder   times real time of the rest: opening, reading, decoding, placing, mixing and peaks
    a minute     bytes of audio

CPU time of the process, not the clock on the wall; encoder and finisher take turns, and each figure is a median. Then
the peak memory of finishing one minute and 24 hours, each in a process of its own (FLAC, so that a day is made soon).

Not here: the engine, or both together (`sustained.py`).
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import track
from rich.table import Table

from actors.spool import JOURNAL, Spool
from archive.callfile import CallFile
from archive.encode import Encoding, FileEncoder
from archive.finish import RECORDINGS, Recipe, Recording, finish
from archive.peaks import PeaksWriter
from archive.render import Renderer
from archive.survey import survey
from bench.machine import BenchError, console, describe, on_core
from bench.speech import RATE_HZ, speech
from tests.archive.calls import CALL_ID, PRIVATE_KEY, long_journal

RESULT: Final = Path(__file__).parent / "results" / "finish.json"
SECONDS: Final = 300
REPEATS: Final = 5
DAY_S: Final = 24 * 3600
MINUTE_S: Final = 60
VOICE_S: Final = 120.0
ENCODINGS: Final = (
    Encoding("opus", opus_complexity=0),
    Encoding("opus", opus_complexity=5),
    Encoding("opus", opus_complexity=10),
    Encoding("flac"),
    Encoding("mp3"),
    Encoding("wav"),
)
LONG_ENCODING: Final = Encoding("flac")
# The goal, for the default format.
MOST_OVERHEAD: Final = 0.15

# What a process that finishes one call does; its first word says whether it does.
CHILD: Final = "from bench.finish import child; child()"


@dataclass(frozen=True, slots=True)
class Row:
    """What a format costs. Rates in seconds of a call per second of CPU."""

    name: str
    encoder_times: float
    finisher_times: float
    overhead: float
    bytes_a_minute: int
    encoder_cpu_s: tuple[float, ...]
    finisher_cpu_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak RSS of a process that finished one call; `base_mib` is that of one that only loaded the code."""

    seconds: int
    peak_mib: float
    base_mib: float
    cpu_s: float
    journal_mib: float


class Bench:
    """A folder with one call of which copies are finished."""

    def __init__(self, folder: Path, seconds: int, repeats: int) -> None:
        self._folder, self._seconds, self._repeats = folder, seconds, repeats
        self._spool = Spool.below(folder / "data")
        self._journal = folder / JOURNAL
        self._voices = speech(min(VOICE_S, seconds), 1), speech(min(VOICE_S, seconds), 2)
        long_journal(self._journal, seconds, self._voices)
        with self._journal.open("rb") as file:
            call = CallFile(file, PRIVATE_KEY)
            surveyed = survey(call)
            self._chunks = list(Renderer(surveyed, "silence").chunks(call))

    def row(self, encoding: Encoding) -> Row:
        """Measure one format."""
        name = f"opus, complexity {encoding.opus_complexity}" if encoding.format == "opus" else encoding.format
        alone, whole = [], []
        for _ in track(range(self._repeats), name, console=console, transient=True):
            alone.append(_cpu_s(lambda: self._encode(encoding)))
            journal = self._place()
            whole.append(_cpu_s(lambda: self._finish(encoding)))
            if journal.exists():
                raise BenchError("The finisher left its journal behind.")
        size = (self._folder / encoding.file_name).stat().st_size
        encoder_s, finisher_s = statistics.median(alone), statistics.median(whole)
        return Row(
            name,
            self._seconds / encoder_s,
            self._seconds / finisher_s,
            finisher_s / encoder_s - 1,
            size * 60 // self._seconds,
            tuple(alone),
            tuple(whole),
        )

    def without_encoder(self) -> float:
        """Times real time of all that the finisher does but encode."""
        return self._seconds / statistics.median(_cpu_s(self._render) for _ in range(self._repeats))

    def memory(self, seconds: int) -> Memory:
        """Measure the peak of finishing a call of this length."""
        data_dir = self._folder / f"memory-{seconds}"
        folder = Spool.below(data_dir).finished / str(CALL_ID)
        folder.mkdir()
        with console.status(f"writing a journal of {seconds} s"):
            long_journal(folder / JOURNAL, seconds, self._voices)
        size = (folder / JOURNAL).stat().st_size
        base, _ = _child("load", data_dir)
        with console.status(f"finishing a call of {seconds} s"):
            peak, cpu_s = _child("finish", data_dir)
        shutil.rmtree(data_dir)
        return Memory(seconds, peak / 1024, base / 1024, cpu_s, size / 2**20)

    def _render(self) -> None:
        with self._journal.open("rb") as file, PeaksWriter(self._folder / "peaks.dat", RATE_HZ) as peaks:
            call = CallFile(file, PRIVATE_KEY)
            for chunk in Renderer(survey(call), "silence").chunks(call):
                peaks.write(chunk)
            peaks.finish()

    def _encode(self, encoding: Encoding) -> None:
        path = self._folder / encoding.file_name
        with contextlib.closing(FileEncoder(path, encoding, RATE_HZ, {})) as encoder:
            for chunk in self._chunks:
                encoder.write(chunk)
            encoder.finish()

    def _place(self) -> Path:
        folder = self._spool.finished / str(CALL_ID)
        folder.mkdir()
        os.link(self._journal, folder / JOURNAL)
        shutil.rmtree(self._folder / "data" / RECORDINGS, ignore_errors=True)
        return folder / JOURNAL

    def _finish(self, encoding: Encoding) -> None:
        recipe = Recipe(PRIVATE_KEY, encoding, "silence")
        outcome = finish(self._spool, self._folder / "data" / RECORDINGS, str(CALL_ID), recipe)
        if not isinstance(outcome, Recording):
            raise BenchError(f"The call was not finished: {outcome}.")


def child() -> None:
    """A process of its own: `load` or `finish`, a data folder. Prints its peak RSS (KiB) and CPU seconds.

    The kernel gives `ru_maxrss` a floor, the parent's RSS at the fork; VmHWM begins anew with the program.
    """
    what, data_dir = sys.argv[1], Path(sys.argv[2])
    if what == "finish":
        finish(
            Spool.below(data_dir), data_dir / RECORDINGS, str(CALL_ID), Recipe(PRIVATE_KEY, LONG_ENCODING, "silence")
        )
    status = Path("/proc/self/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    print(json.dumps((peak_kib, time.process_time())))


def _child(what: str, data_dir: Path) -> tuple[int, float]:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, what, str(data_dir)], cwd=root, check=True, capture_output=True, text=True
    )
    peak_kib, cpu_s = json.loads(done.stdout)
    return int(peak_kib), float(cpu_s)


def _cpu_s(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _table(rows: list[Row]) -> Table:
    table = Table(title="Finishing a call of two G.711 streams", caption="times real time, on one core")
    table.add_column("format")
    for name in ("encoder alone", "finisher", "overhead", "kB a minute"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.encoder_times:,.0f}",
            f"{row.finisher_times:,.0f}",
            f"{row.overhead:.1%}",
            f"{row.bytes_a_minute / 1000:,.0f}",
        )
    return table


def _memory_table(memories: list[Memory]) -> Table:
    table = Table(title=f"Memory of finishing ({LONG_ENCODING.format})", caption="MiB; loaded: the code alone")
    for name in ("call", "journal", "loaded", "peak", "CPU s"):
        table.add_column(name, justify="right")
    for memory in memories:
        table.add_row(
            f"{memory.seconds / 60:g} min",
            f"{memory.journal_mib:,.1f}",
            f"{memory.base_mib:.0f}",
            f"{memory.peak_mib:.0f}",
            f"{memory.cpu_s:.1f}",
        )
    return table


def main(
    seconds: Annotated[int, typer.Option(help="Length of the call whose formats are measured.")] = SECONDS,
    repeats: Annotated[int, typer.Option(help="Measurements of each figure, of which the median counts.")] = REPEATS,
    long_s: Annotated[int, typer.Option(help="Length of the long call whose memory is measured; 0 for none.")] = DAY_S,
    folder: Annotated[Path | None, typer.Option(help="Where calls lie for the time of the bench.")] = None,
) -> None:
    """Measure what finishing costs."""
    with tempfile.TemporaryDirectory(prefix="earshot-bench-", dir=folder) as work:
        try:
            with on_core(max(os.sched_getaffinity(0))):
                bench = Bench(Path(work), seconds, repeats)
                rows = [bench.row(encoding) for encoding in ENCODINGS]
                without_encoder = bench.without_encoder()
                console.print(_table(rows), f"No encoder: {without_encoder:,.0f} times real time.", sep="\n")
                memories = [bench.memory(length) for length in (MINUTE_S, long_s) if length]
                console.print(_memory_table(memories))
        except BenchError as error:
            console.print(str(error), style="red")
            raise typer.Exit(1) from error
    for row in rows:
        met = "[green]met[/]" if row.overhead <= MOST_OVERHEAD else "[red]short[/]"
        console.print(f"{met} {row.name}: {row.overhead:.1%} over the encoder alone (goal: {MOST_OVERHEAD:.0%}).")
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "machine": describe(),
        "seconds": seconds,
        "repeats": repeats,
        "formats": [asdict(row) for row in rows],
        "without_encoder_times": without_encoder,
        "memory_format": LONG_ENCODING.format,
        "memory": [asdict(memory) for memory in memories],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{RESULT} is written.")


if __name__ == "__main__":
    typer.run(main)
