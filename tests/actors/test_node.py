"""How many calls fit: what bounds them is said, and an engine that can record none does not start."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from actors.node import Stopped, calls_that_fit

AN_ENGINE = """
import sys
from pathlib import Path
from actors.node import EngineConfig, Stopped, run
try:
    run(EngineConfig(Path(sys.argv[1]), bytes(32), ("127.0.0.1", int(sys.argv[2])), (), (20_000, 20_999), "node"))
except Stopped as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("wanted", "descriptors", "pairs", "fitting"),
    [
        (0, 65_536, 10_000, 5000),  # the ports bound them
        (0, 1024, 10_000, 184),  # the descriptors do
        (100, 1024, 10_000, 100),
        (500, 1024, 10_000, 184),
        (1, 105, 2, 1),
    ],
)
def test_the_smallest_bound_counts(wanted: int, descriptors: int, pairs: int, fitting: int) -> None:
    assert calls_that_fit(wanted, descriptors, pairs) == fitting


@pytest.mark.parametrize(("descriptors", "pairs"), [(104, 10_000), (20, 10_000), (65_536, 1)])
def test_no_call_at_all_stops_the_start(descriptors: int, pairs: int) -> None:
    with pytest.raises(Stopped, match=r"Not one call fits: .*LimitNOFILE=.*ulimit -n.*EARSHOT_RTP_PORTS"):
        calls_that_fit(0, descriptors, pairs)


@pytest.mark.parametrize(
    ("wanted", "descriptors", "pairs", "warning"),
    [
        (0, 4096, 10_000, "the limit on open files bounds the calls"),
        (0, 5100, 10_000, None),  # a thousand calls
        (0, 4096, 400, None),  # the ports are fewer, and chosen
        (100, 4096, 10_000, None),  # as wanted
        (900, 4096, 10_000, "fewer calls fit than EARSHOT_MAX_CALLS"),
        (900, 65_536, 400, "fewer calls fit than EARSHOT_MAX_CALLS"),
    ],
)
def test_a_bound_that_nobody_chose_is_said(wanted: int, descriptors: int, pairs: int, warning: str | None) -> None:
    with structlog.testing.capture_logs() as logged:
        calls_that_fit(wanted, descriptors, pairs)
    assert [line["event"] for line in logged] == ([warning] if warning else [])


def test_an_engine_without_descriptors_touches_nothing(tmp_path: Path) -> None:
    left = tmp_path / "spool" / "live" / "01890a5d-ac96-774b-bcce-b302099a8057"
    left.mkdir(parents=True)
    (left / "journal").touch()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    engine = subprocess.run(
        [sys.executable, "-c", AN_ENGINE, str(tmp_path), str(port)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=few_descriptors,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Not one call fits: 100 files may be open at once" in engine.stdout
    assert (left / "journal").exists()
    assert not list((tmp_path / "spool" / "outbox").iterdir())
