"""The one place where the actors ask for the time."""

import time

from engine.events import Instant


def instant() -> Instant:
    """Now, on both clocks."""
    return Instant(time.time_ns(), time.monotonic_ns())
