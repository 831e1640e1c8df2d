"""How long people wait: `python -m bench.latency` (or `make bench-latency`).

Three questions, each to a system of its own (`earshot engine`, `archive` and `portal` share one core; the load has the
other):

- **live**: from the sender's clock to a listener's websocket, with 200 calls up and 20 of them listened to;
- **pause**: from the request to the answer of `PUT /api/v1/calls/<id>/recording`, one after the other, 500 calls up;
- **pages**: pages a second of the list, with 100,000 calls in the database.

Not here: how packets are known again (`listeners.py`).
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import trio
import typer
from rich.table import Table

from actors.dial import DialError, open_dialer
from bench.history import fill
from bench.listeners import Heard, dial_probes, listen, send
from bench.machine import BenchError, console, cores, describe, on_core
from bench.phones import set_up, source_of, until_ready
from bench.programs import LOOPBACK, Sender, Stream
from bench.service import Service
from bench.speech import write_audio
from bench.web import Client, connect, sign_in

RESULT: Final = Path(__file__).parent / "results" / "latency.json"
LOGIN: Final = "reader"
PTIME_MS: Final = 20
# What the first seconds hold is not measured: connections are made, rows get their width.
WARM_UP_S: Final = 3.0
LIVE_S: Final = 20.0
PAGES_S: Final = 10.0
# Connections that ask for pages at the same time, as a few people do.
READERS: Final = 4


@dataclass(frozen=True, slots=True)
class Latency:
    """One row: what was waited for, how often, and how long (ms)."""

    what: str
    count: int
    missed: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    goal_ms: float


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages a second of one address."""

    what: str
    calls: int
    pages: int
    per_second: float
    p99_ms: float


def latency_of(what: str, seconds: Sequence[float], goal_ms: float, missed: int = 0) -> Latency:
    """A row of waits in seconds."""
    if not seconds:
        raise BenchError(f"{what}: nothing was heard.")
    ms = np.array(seconds) * 1000
    p50, p99 = np.percentile(ms, (50, 99))
    return Latency(what, len(ms), missed, float(p50), float(p99), float(ms.max()), goal_ms)


@contextmanager
def _recorder(work: Path, name: str, core: int) -> Iterator[tuple[Service, str]]:
    data_dir = work / name
    data_dir.mkdir()
    service = Service(data_dir, core, ("engine", "archive", "portal"))
    try:
        service.wait_for_portal()
        yield service, service.add_administrator(LOGIN)
    finally:
        service.stop()


async def _live(service: Service, token: str, sender: Sender, calls: int, listeners: int) -> Latency:
    heard = [Heard() for _ in range(listeners)]
    async with open_dialer(f"sip:{LOOPBACK}:{service.sip_port}") as dialer:
        await until_ready(dialer)
        others = await set_up(dialer, calls - listeners, sender.ports)
        packets = round((WARM_UP_S * 3 + LIVE_S) * 1000 / PTIME_MS)
        sender.send(
            [
                Stream(port, source_of(number, line), packets)
                for number, session in enumerate(others)
                for line, port in enumerate(session.remote_ports)
            ]
        )
        probes = await dial_probes(dialer, listeners)
        ids = await trio.to_thread.run_sync(_active_calls, service, token, calls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, probes)
            for probe, ear in zip(probes, heard, strict=True):
                url = f"ws://{LOOPBACK}:{service.portal_port}/api/v1/calls/{ids[probe.number]}/listen"
                nursery.start_soon(listen, url, token, probe, ear)
            await trio.sleep(WARM_UP_S)
            for ear in heard:
                ear.latencies_s.clear()
            before = [probe.sent for probe in probes]
            await trio.sleep(LIVE_S)
            sent = sum(2 * (probe.sent - first) for probe, first in zip(probes, before, strict=True))
            seconds = [latency for ear in heard for latency in ear.latencies_s]
            nursery.cancel_scope.cancel()
    ended = [ear.ended for ear in heard if ear.ended]
    if ended:
        raise BenchError(f"{len(ended)} listeners were cut off: {ended[0]}")
    frames = sorted({ear.frame_ms for ear in heard})
    what = f"live, {calls} calls, {listeners} listeners, frames of {'/'.join(map(str, frames))} ms"
    return latency_of(what, seconds, 120, max(0, sent - len(seconds)))


def _active_calls(service: Service, token: str, count: int) -> dict[str, str]:
    client = Client(service, token)
    try:
        return client.active_calls(count)
    finally:
        client.close()


async def _pause(service: Service, token: str, sender: Sender, calls: int) -> Latency:
    async with open_dialer(f"sip:{LOOPBACK}:{service.sip_port}") as dialer:
        await until_ready(dialer)
        sessions = await set_up(dialer, calls, sender.ports)
        sender.send(
            [
                Stream(port, source_of(number, line), 3000)
                for number, session in enumerate(sessions)
                for line, port in enumerate(session.remote_ports)
            ]
        )
        seconds = await trio.to_thread.run_sync(_pause_all, service, token, calls)
    return latency_of(f"pause and resume by REST, {calls} calls", seconds, 50)


def _pause_all(service: Service, token: str, count: int) -> list[float]:
    client = Client(service, token)
    ids = list(client.active_calls(count).values())
    time.sleep(WARM_UP_S)
    seconds = []
    for state in ("paused", "recording"):
        for call_id in ids:
            began_s = time.monotonic()
            answer = client.ask("PUT", f"/api/v1/calls/{call_id}/recording", {"state": state})
            seconds.append(time.monotonic() - began_s)
            if answer["state"] != state:
                raise BenchError(f"A call was asked to be {state} and is {answer['state']}.")
    client.close()
    return seconds


def _pages(work: Path, core: int, calls: int) -> list[Pages]:
    data_dir = work / "pages"
    data_dir.mkdir()
    with console.status(f"{calls} calls into the database"):
        fill(f"sqlite:///{data_dir / 'earshot.sqlite'}", calls)
    service = Service(data_dir, core, ("portal",))
    try:
        token = service.add_administrator(LOGIN)
        service.wait_for_portal()
        cookie = sign_in(service, LOGIN)
        return [
            _read_pages(service, "the list's page", "/calls", {"Cookie": cookie}, calls),
            _read_pages(service, "the API's list", "/api/v1/calls", {"Authorization": f"Bearer {token}"}, calls),
        ]
    finally:
        service.stop()


def _read_pages(service: Service, what: str, path: str, headers: dict[str, str], calls: int) -> Pages:
    def read(until_s: float) -> list[float]:
        connection = connect(service)
        seconds = []
        while (began_s := time.monotonic()) < until_s:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise BenchError(f"{path} answered {response.status}.")
            seconds.append(time.monotonic() - began_s)
        connection.close()
        return seconds

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(read, [time.monotonic() + 1] * READERS))
        began_s = time.monotonic()
        seconds = [each for some in pool.map(read, [began_s + PAGES_S] * READERS) for each in some]
        took_s = time.monotonic() - began_s
    return Pages(what, calls, len(seconds), len(seconds) / took_s, latency_of(what, seconds, 0).p99_ms)


def _tables(rows: Sequence[Latency], pages: Sequence[Pages]) -> Iterator[Table]:
    table = Table(title="From the cause to what one sees of it (engine, archive and portal on one core)")
    for name in ("what", "times", "missed", "median", "99 %", "longest", "goal for 99 %"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        good = row.p99_ms <= row.goal_ms
        table.add_row(
            row.what,
            str(row.count),
            str(row.missed),
            f"{row.p50_ms:.1f} ms",
            f"[{'green' if good else 'red'}]{row.p99_ms:.1f} ms",
            f"{row.longest_ms:.1f} ms",
            f"{row.goal_ms:g} ms",
        )
    yield table
    table = Table(title=f"Pages a second, {READERS} readers")
    for name in ("what", "calls", "a second", "99 %"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for page in pages:
        table.add_row(page.what, f"{page.calls}", f"{page.per_second:.0f}", f"{page.p99_ms:.0f} ms")
    yield table


def main(
    calls: Annotated[int, typer.Option(help="Calls up while some are listened to.")] = 200,
    listeners: Annotated[int, typer.Option(help="Calls that are listened to.")] = 20,
    paused_calls: Annotated[int, typer.Option(help="Calls up while they are paused and resumed.")] = 500,
    history: Annotated[int, typer.Option(help="Calls in the database of the list.")] = 100_000,
    folder: Annotated[Path | None, typer.Option(help="Where the data lies for the time of the bench.")] = None,
) -> None:
    """Measure how long people wait for live audio, for a pause, and for the list."""
    with tempfile.TemporaryDirectory(prefix="earshot-bench-", dir=folder) as temporary:
        work = Path(temporary)
        audio = work / "audio"
        write_audio(audio)
        rows = []
        try:
            core, load_core = cores()
            with on_core(load_core):
                for name, question in (("live", _live), ("pause", _pause)):
                    sender = Sender(audio, load_core)
                    try:
                        with _recorder(work, name, core) as (service, token), console.status(name):
                            many = (calls, listeners) if name == "live" else (paused_calls,)
                            rows.append(trio.run(question, service, token, sender, *many))
                    finally:
                        sender.stop()
                pages = _pages(work, core, history)
        except* (BenchError, DialError) as errors:
            console.print(*errors.exceptions, sep="\n", style="red")
            raise typer.Exit(1) from errors
    console.print(*_tables(rows, pages))
    RESULT.parent.mkdir(exist_ok=True)
    result = {"machine": describe(), "waits": [asdict(row) for row in rows], "pages": [asdict(page) for page in pages]}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"{RESULT} is written.")


if __name__ == "__main__":
    typer.run(main)
