"""The sweep's timer: a tick for each share of a round, and word of how long the ticks stop the loop.

Not here: what a tick does (`engine/sweep/`).
"""

import time
from typing import Final

import trio

from engine.sweep import ROUND_S, Sweep

# After a tick that filled the slab the next one comes this soon: others run in between, and the backlog shrinks.
CATCH_UP_S: Final = 0.002
SILENCE_EVERY_S: Final = 1.0


class Sweeper:
    """`run` is the task. `longest_tick_s` is the longest stop that the sweep caused so far."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self.ticks = 0
        self.longest_tick_s = 0.0

    async def run(self) -> None:
        """Tick until cancelled."""
        due = silence_due = trio.current_time()
        while True:
            began = time.monotonic_ns()
            full = self._sweep.tick(time.time_ns(), began)
            now = trio.current_time()
            if now >= silence_due:
                self._sweep.forget_silent(time.time())
                silence_due = now + SILENCE_EVERY_S
            self.ticks += 1
            self.longest_tick_s = max(self.longest_tick_s, (time.monotonic_ns() - began) / 1e9)
            # A tick that comes late does not make the next ones hurry: the round is as long as it takes.
            due = now + CATCH_UP_S if full else max(due + ROUND_S / self._sweep.ticks_per_round, now)
            await trio.sleep_until(due)
