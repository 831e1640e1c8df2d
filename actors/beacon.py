"""The beacon: every other second the engine says in the spool that it lives, and where its gateway is.

The archive passes it on to the database; of a node that falls silent nobody can tell how its calls are.

Not here: the file's form and place (`spool.py`), who reads it.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import structlog
import trio

from actors.spool import NodeReport, Spool

log = structlog.get_logger()

EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Beacon:
    """Reports a node. `calls` gives how many run; `gateway` is the URL that portals reach it at."""

    spool: Spool
    node: str
    calls: Callable[[], int]
    gateway: str = ""
    gateway_certificate: str = ""

    async def run(self) -> None:
        """Report until cancelled. A disk that refuses is told once, and silences the node: nothing else."""
        release, refused = version("earshot"), False
        while True:
            try:
                self.spool.report_node(
                    NodeReport(
                        name=self.node,
                        gateway=self.gateway,
                        gateway_certificate=self.gateway_certificate,
                        version=release,
                        pid=os.getpid(),
                        calls=self.calls(),
                        free_bytes=self.spool.free_bytes(),
                        at_ns=time.time_ns(),
                    )
                )
                refused = False
            except OSError as error:
                if not refused:
                    log.error("node not reported", file=str(self.spool.node_file), reason=str(error))
                refused = True
            await trio.sleep(EVERY_S)
