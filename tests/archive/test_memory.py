"""Finishing needs no more memory for a long call than for a short one. Processes of their own tell their peak."""

import subprocess
import sys
from pathlib import Path

from tests.archive.calls import CALL_ID, CALLEE_HZ, CALLER_HZ, long_journal, tone

ROOT = Path(__file__).parents[2]
FINISH = """
import sys
from pathlib import Path
from actors.spool import Spool
from archive.encode import Encoding
from archive.finish import Recipe, finish
from tests.archive.calls import CALL_ID, PRIVATE_KEY

data_dir = Path(sys.argv[1])
recording = finish(
    Spool.below(data_dir), data_dir / "recordings", str(CALL_ID), Recipe(PRIVATE_KEY, Encoding("wav"), "silence")
)
# Not ru_maxrss: a child begins with that of its parent.
print(recording.manifest.audio.duration_s, Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def peak_kib(data_dir: Path, seconds: int) -> int:
    folder = data_dir / "spool" / "finished" / str(CALL_ID)
    folder.mkdir(parents=True)
    long_journal(folder / "journal", seconds, (tone(CALLER_HZ, 20), tone(CALLEE_HZ, 20)))
    command = [sys.executable, "-c", FINISH, str(data_dir)]
    duration_s, peak = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert float(duration_s) == seconds
    return int(peak)


def test_two_hours_need_as_much_as_five_minutes(tmp_path):
    short = peak_kib(tmp_path / "short", 300)
    long = peak_kib(tmp_path / "long", 7200)
    # The two hours are 115 MB of packets and as much of samples; what grows is 24 bytes a second and stream.
    # (It may come out as less: what the program itself takes varies by some hundred KiB.)
    assert short > 0
    assert abs(long - short) < 8 * 1024
