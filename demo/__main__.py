"""`python -m demo [FOLDER]`, which `make demo` calls: shows Earshot at work until Ctrl-C, SIGTERM or SIGHUP.

Exit status: 0 when it was stopped, 1 when it could not go on.

Not here: what it shows (show.py), which is imported when signals are taken care of.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path("data-demo")
STOPPED: Final = 0
FAILED: Final = 1


def main() -> int:
    """Returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup the end of the terminal is not the demo's.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        parser = argparse.ArgumentParser(prog="python -m demo", description="Shows Earshot at work, with three calls.")
        parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help=f"where it keeps all; {FOLDER}")
        return _show(parser.parse_args().folder)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("\nThe demo is stopped; nothing of it runs any more.", flush=True)
        return STOPPED


def _show(folder: Path) -> int:
    from actors.processes import end_with_parent
    from demo.errors import DemoError, NobodyReads
    from demo.show import show

    # Who kills make means the demo, too.
    end_with_parent(os.getppid())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show(folder)
    except DemoError as error:
        print(error, file=sys.stderr)
    except NobodyReads:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where what is left to be written may go
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
