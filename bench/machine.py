"""The machine under a bench: what it is, and which core does what.

A figure without its machine says nothing, so each result carries `describe()`. Recorder and load never share a core:
what the sender takes would be counted as waiting of the recorder.

Not here: any measuring.
"""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

# In a file or a pipe, tables keep their lines whole.
console = Console(width=None if sys.stdout.isatty() else 150)


# What others may take of the recorder's core before its figures are no longer the recorder's own.
MOST_OTHERS: Final = 0.05


class BenchError(Exception):
    """A bench that cannot go on. The text says what to do."""


def describe() -> dict[str, str | int]:
    """Processor, cores, memory, kernel, Python and the time (UTC), for a result's head."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": cpu[0] if cpu else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cores() -> tuple[int, int]:
    """(the recorder's core, the load's core). Errors: `BenchError` where there is only one.

    The recorder gets the last one: interrupts prefer the first.
    """
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise BenchError("This bench needs two cores, one for the recorder and one for who sends; here is only one.")
    return available[-1], available[0]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes that are started inside run on this core, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_s(core: int) -> float:
    """Seconds that this core worked since the machine started, for whomever (proc(5), /proc/stat; ticks of 10 ms)."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, soft_irq, steal = (int(word) for word in line.split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
