"""The sweep: how audio comes in. One visit reads what waits on a call's media sockets and hands it to be kept.

`slab.py` holds the memory that the kernel writes into, `intake.py` what the sweep knows of a call and its sockets,
`visits.py` the visits themselves.

What must not be here: tasks, timers or clocks (`actors/sweeper.py` has them), codecs, the journal's format.
"""

from engine.sweep.intake import Intake, MediaSocket, StreamCounts
from engine.sweep.visits import ROUND_S, Sweep

__all__ = ["ROUND_S", "Intake", "MediaSocket", "StreamCounts", "Sweep"]
