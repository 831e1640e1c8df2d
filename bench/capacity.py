"""How many calls one engine carries: `python -m bench.capacity` (or `make bench-capacity`).

A row is an engine of its own on one core and N calls of two G.711 streams, sent from the other core. Its figures come
from a window that begins after the set-up and lasts `--seconds`:

    CPU a packet    the engine's CPU time in the window over the packets that it journaled in it
    floor           the same figure of floor.c: same sockets, same visits, same packets, plain writes and nothing else
    lost            packets sent and not in a finished journal, whatever happened to them; and of these, kernel drops
    memory a call   RSS at the window's end less RSS after one call that was over, by calls
    stop            longest, and 99th percentile, of the times in which the loop looked at nothing new
    late wake-up    how much longer than asked the loop slept, at most

Further rows: calls of several packet times together, RTCP on every stream, and a thread in the engine's process that
is busy with Python all the time (its own CPU is left out).

Not here: SIP's cost (it is outside of the window), finishing (`finish.py`, `sustained.py`).
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import trio
import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.progress import track
from rich.table import Table

from actors.dial import open_dialer
from bench.counting import Journaled, count_journal, kernel_drops
from bench.engine_process import RTP_PORTS, EngineProcess, Mark
from bench.machine import MOST_OTHERS, BenchError, busy_s, console, cores, describe, on_core
from bench.phones import hang_up, set_up, source_of, until_ready
from bench.programs import LOOPBACK, Sender, Sent, Stream, compiled
from bench.speech import write_audio
from engine.keys import public_bytes
from engine.sweep import ROUND_S
from engine.sweep.visits import CALLS_PER_TICK, MOST_TICKS

RESULT: Final = Path(__file__).parent / "results" / "capacity.json"
CALLS: Final = (100, 500, 1000, 1800)
VARIANT_CALLS: Final = 500
SECONDS: Final = 30.0
# Until sources are learned, rows have their size and the CPU its clock.
WARM_S: Final = 3.0
# The sender outlasts the window, so that no stream ends in it.
AFTER_S: Final = 1.0
# After the last packet: more than a round of the sweep, so that all of them are read while their sockets count drops.
SETTLE_S: Final = 3 * ROUND_S
MIXED_PTIMES_MS: Final = (10, 20, 30, 60)
REPORTS_EVERY_S: Final = 5.0
# Of the sender's slots of 1 ms, so many may be 5 ms late before its row is no measurement of the recorder.
LATE_SHARE: Final = 0.01
# The goals.
MOST_TIMES_FLOOR: Final = 2.0
MOST_KIB_A_CALL: Final = 40.0
LONGEST_STOP_MS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a row measures."""

    name: str
    calls: int
    ptimes_ms: tuple[int, ...] = (20,)
    reports_every_s: float = 0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Floor:
    """What the C program took, in microseconds a packet. One that lost packets is no measure."""

    cpu_us: float
    lost: int


@dataclass(frozen=True, slots=True)
class Row:
    """What a row saw. CPU in microseconds a packet; the floor is of the same calls without RTCP or busy thread."""

    name: str
    calls: int
    cpu_us: float
    floor_us: float
    floor_lost: int
    times_floor: float
    core_share: float
    others_share: float
    sent: int
    lost: int
    rtcp_lost: int
    kernel_drops: int
    damaged_blocks: int
    kib_a_call: float
    longest_stop_ms: float
    longest_stop_cpu_ms: float
    p99_stop_ms: float
    latest_wake_ms: float
    sender_kept_up: bool
    sender: dict[str, float]

    @property
    def short_of(self) -> list[str]:
        """The goals that this row misses, in words."""
        missed = []
        if self.times_floor > MOST_TIMES_FLOOR:
            missed.append(f"{self.times_floor:.2f} times the floor")
        if self.lost or self.rtcp_lost:
            missed.append(f"{self.lost + self.rtcp_lost} packets lost")
        if self.kib_a_call > MOST_KIB_A_CALL:
            missed.append(f"{self.kib_a_call:.0f} KiB a call")
        if self.longest_stop_ms > LONGEST_STOP_MS:
            missed.append(f"a stop of {self.longest_stop_ms:.1f} ms")
        return missed


class Bench:
    """The two cores, a key and a folder that all rows share."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._engine_core, self._sender_core = cores()
        self._key = X25519PrivateKey.generate()
        self._audio = folder / "audio"
        self._floors: dict[tuple[int, tuple[int, ...]], Floor] = {}
        write_audio(self._audio)

    def row(self, plan: Plan) -> Row:
        """Measure one row, and its floor where it is not known yet. Errors: `BenchError`."""
        key = (plan.calls, plan.ptimes_ms)
        if key not in self._floors:
            with console.status(f"{plan.name}: the floor"):
                self._floors[key] = self._floor(plan)
        with console.status(f"{plan.name}: the engine"):
            return self._engine(plan, self._floors[key])

    def _engine(self, plan: Plan, floor: Floor) -> Row:
        data_dir = Path(tempfile.mkdtemp(dir=self._folder))
        engine = EngineProcess(data_dir, public_bytes(self._key), self._engine_core, busy=plan.busy)
        sender = Sender(self._audio, self._sender_core, plan.reports_every_s)
        try:
            with on_core(self._sender_core):
                empty, begin, end, sent, drops, core_s = trio.run(self._run_calls, plan, engine, sender)
        finally:
            sender.stop()
            engine.stop()
        kept = self._count(plan, engine.spool / "finished", (begin.monotonic_ns, end.monotonic_ns))
        shutil.rmtree(data_dir)
        cpu_s = end.main_cpu_s - begin.main_cpu_s if plan.busy else end.cpu_s - begin.cpu_s
        seconds = (end.monotonic_ns - begin.monotonic_ns) / 1e9
        cpu_us = cpu_s / kept.in_span * 1e6 if kept.in_span else float("inf")
        return Row(
            name=plan.name,
            calls=plan.calls,
            cpu_us=cpu_us,
            floor_us=floor.cpu_us,
            floor_lost=floor.lost,
            times_floor=cpu_us / floor.cpu_us,
            core_share=cpu_s / seconds,
            others_share=(core_s - end.cpu_s + begin.cpu_s) / seconds,
            sent=sent.sent,
            lost=sent.sent - kept.rtp,
            rtcp_lost=sent.reports - kept.rtcp,
            kernel_drops=drops,
            damaged_blocks=kept.damaged_blocks + bool(kept.torn_bytes),
            kib_a_call=(end.rss_bytes - empty.rss_bytes) / plan.calls / 1024,
            longest_stop_ms=end.longest_stop_s * 1e3,
            longest_stop_cpu_ms=end.longest_stop_cpu_s * 1e3,
            p99_stop_ms=end.p99_stop_s * 1e3,
            latest_wake_ms=end.latest_wake_s * 1e3,
            sender_kept_up=_kept_up(sent),
            sender=asdict(sent),
        )

    async def _run_calls(
        self, plan: Plan, engine: EngineProcess, sender: Sender
    ) -> tuple[Mark, Mark, Mark, Sent, int, float]:
        """The calls of a row.

        Gives marks after one call alone and around the window, what was sent, kernel drops, and how many seconds of the
        window the core worked.
        """
        async with open_dialer(f"sip:{LOOPBACK}:{engine.sip_port}") as dialer:
            await until_ready(dialer)
            await hang_up(await set_up(dialer, 1, sender.ports))
            empty = engine.mark()
            sessions = await set_up(dialer, plan.calls, sender.ports)
            sender.send(
                [
                    self._stream(plan, number, port, source_of(number, line))
                    for number, session in enumerate(sessions)
                    for line, port in enumerate(session.remote_ports)
                ]
            )
            await trio.sleep(WARM_S)
            core_s = busy_s(self._engine_core)
            begin = engine.mark()
            await trio.sleep(self._seconds)
            end = engine.mark()
            core_s = busy_s(self._engine_core) - core_s
            sent = await trio.to_thread.run_sync(sender.finish)
            await trio.sleep(SETTLE_S)
            drops = kernel_drops(range(RTP_PORTS[0], RTP_PORTS[1] + 1))
            await hang_up(sessions)
        return empty, begin, end, sent, drops, core_s

    def _floor(self, plan: Plan) -> Floor:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        ticks = max(2, min(MOST_TICKS, -(-plan.calls // CALLS_PER_TICK)))
        times_ms = [str(round(seconds * 1000)) for seconds in (WARM_S, self._seconds, ROUND_S)]
        sender = Sender(self._audio, self._sender_core)
        with on_core(self._engine_core):
            floor = subprocess.Popen(
                [compiled("floor"), folder, str(RTP_PORTS[0]), *times_ms, str(ticks)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        try:
            if floor.stdin is None or floor.stdout is None:
                raise BenchError("The floor has no pipes.")
            sources = [source_of(at // 2, at % 2) for at in range(2 * plan.calls)]
            floor.stdin.write("".join(f"{sender.ports[source]}\n" for source in sources))
            floor.stdin.close()
            ports = [int(word) for word in floor.stdout.readline().split()]
            if len(ports) != len(sources):
                raise BenchError("The floor opened fewer sockets than streams.")
            sender.send(
                [
                    self._stream(plan, at // 2, port, source)
                    for at, (port, source) in enumerate(zip(ports, sources, strict=True))
                ]
            )
            sent = sender.finish()
            line = floor.stdout.readline()
        finally:
            sender.stop()
            floor.kill()
            floor.wait()
        shutil.rmtree(folder)
        if not line:
            raise BenchError("The floor ended without a result.")
        result = json.loads(line)
        if result["writes_failed"]:
            raise BenchError("The floor could not write its files.")
        return Floor(result["window_cpu_s"] / result["window_packets"] * 1e6, sent.sent - result["packets"])

    def _stream(self, plan: Plan, call: int, port: int, source: int) -> Stream:
        ptime_ms = plan.ptimes_ms[call % len(plan.ptimes_ms)]
        packets = round((WARM_S + self._seconds + AFTER_S) * 1000 / ptime_ms)
        return Stream(port, source, packets, payload_bytes=8 * ptime_ms, ptime_ms=ptime_ms)

    def _count(self, plan: Plan, finished: Path, span_ns: tuple[int, int]) -> Journaled:
        journals = sorted(finished.glob("*/journal"))
        # One more: the call that was over before the rest began.
        if len(journals) != plan.calls + 1:
            raise BenchError(f"Of {plan.calls + 1} calls {len(journals)} are in {finished}.")
        counted = Journaled()
        for journal in track(journals, f"{plan.name}: counting", console=console, transient=True):
            counted += count_journal(journal, self._key, span_ns)
        return counted


def _kept_up(sent: Sent) -> bool:
    return not sent.failed and sent.late_slots <= LATE_SHARE * sent.slots


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="Capacity of one engine", caption="stops and wake-ups in ms")
    table.add_column("calls")
    for name in ("us a packet", "floor", "times", "core", "others", "sent", "lost", "drops", "KiB a call"):
        table.add_column(name, justify="right")
    for name in ("longest stop", "its CPU", "p99 stop", "late wake-up"):
        table.add_column(name, justify="right")
    table.add_column("goals")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.cpu_us:.2f}",
            f"{row.floor_us:.2f}",
            f"{row.times_floor:.2f}",
            f"{row.core_share:.0%}",
            f"{row.others_share:.0%}",
            f"{row.sent:,}",
            str(row.lost + row.rtcp_lost),
            str(row.kernel_drops),
            f"{row.kib_a_call:.1f}",
            f"{row.longest_stop_ms:.1f}",
            f"{row.longest_stop_cpu_ms:.1f}",
            f"{row.p99_stop_ms:.1f}",
            f"{row.latest_wake_ms:.1f}",
            "[red]short" if row.short_of else "[green]met",
        )
    return table


def _verdicts(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        f"Goals: at most {MOST_TIMES_FLOOR:g} times the floor, nothing lost, at most {MOST_KIB_A_CALL:g} KiB a call, "
        f"no stop above {LONGEST_STOP_MS:g} ms."
    )
    for row in rows:
        if row.short_of:
            yield f"[red]short[/] {row.name}: {', '.join(row.short_of)}."
        if not row.sender_kept_up:
            yield (
                f"[yellow]doubtful[/] {row.name}: the sender did not keep up ({row.sender['late_slots']} of "
                f"{row.sender['slots']} slots late, {row.sender['failed']} datagrams refused)."
            )
        if row.floor_lost:
            yield f"[yellow]doubtful[/] {row.name}: the floor lost {row.floor_lost} packets."
        if row.others_share > MOST_OTHERS:
            yield f"[yellow]doubtful[/] {row.name}: others took {row.others_share:.0%} of the engine's core."
    further = _further_kib(rows)
    if further is not None:
        yield f"Apart from what an engine takes once, each call took {further:.1f} KiB."


def _further_kib(rows: Sequence[Row]) -> float | None:
    """Memory of each call beyond those of the smallest row; None where all rows have the same calls."""
    least, most = min(rows, key=_calls), max(rows, key=_calls)
    if least.calls == most.calls:
        return None
    return (most.kib_a_call * most.calls - least.kib_a_call * least.calls) / (most.calls - least.calls)


def _calls(row: Row) -> int:
    return row.calls


def _plans(calls: Sequence[int], variant_calls: int) -> list[Plan]:
    plans = [Plan(str(count), count) for count in calls]
    if variant_calls:
        plans += [
            Plan(f"{variant_calls}, packets of 10-60 ms", variant_calls, ptimes_ms=MIXED_PTIMES_MS),
            Plan(f"{variant_calls}, with RTCP", variant_calls, reports_every_s=REPORTS_EVERY_S),
            Plan(f"{variant_calls}, busy thread", variant_calls, busy=True),
        ]
    return plans


def main(
    calls: Annotated[list[int] | None, typer.Option(help="Calls of a row; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(help="The measured window of each row.")] = SECONDS,
    variant_calls: Annotated[
        int, typer.Option(help="Calls of the rows with mixed packets, RTCP and a busy thread; 0 for none.")
    ] = VARIANT_CALLS,
    folder: Annotated[Path | None, typer.Option(help="Where journals are written for the time of the bench.")] = None,
) -> None:
    """Measure what calls cost an engine."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="earshot-bench-", dir=folder) as work:
        try:
            bench = Bench(Path(work), seconds)
            for plan in _plans(calls or CALLS, variant_calls):
                rows.append(bench.row(plan))
                console.print(f"{plan.name}: {rows[-1].cpu_us:.2f} us a packet, {rows[-1].times_floor:.2f} floors")
        except BenchError as error:
            console.print(str(error), style="red")
            raise typer.Exit(1) from error
    console.print(_table(rows), *_verdicts(rows), sep="\n")
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "machine": describe(),
        "seconds": seconds,
        "further_kib_a_call": _further_kib(rows),
        "rows": [{**asdict(row), "short_of": row.short_of} for row in rows],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{RESULT} is written.")


if __name__ == "__main__":
    typer.run(main)
