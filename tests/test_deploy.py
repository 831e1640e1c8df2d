"""What a machine is given to start Earshot with: units of systemd, and the Makefile's targets."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from actors.processes import read_procfile
from earshot import CANNOT_START
from settings import CONFIG_VARIABLE, Settings

ROOT = Path(__file__).parents[1]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
# Targets that only others call.
INNER = {"help", "test-tools", "bench-tools"}


def unit(path: Path) -> configparser.ConfigParser:
    # A key may stand there several times; the last one counts here, as it does for the keys that are read.
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(path, encoding="utf-8")
    return parser


def test_there_is_a_unit_for_each_program_of_the_procfile() -> None:
    programs = read_procfile((ROOT / "Procfile").read_text(encoding="utf-8"))
    commands = [Path(unit(path)["Service"]["ExecStart"]).name for path in UNITS]
    assert sorted(commands) == sorted(" ".join(program.command) for program in programs)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_again_what_can_start(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["Restart"] == "always"
    assert int(service["RestartPreventExitStatus"]) == CANNOT_START
    assert service["Environment"].startswith(f"{CONFIG_VARIABLE}=/")


@pytest.mark.parametrize(("name", "grace"), [("engine", "engine_grace_s"), ("archive", "archive_grace_s")])
def test_systemd_waits_longer_than_the_grace_period(name: str, grace: str) -> None:
    waits_s = int(unit(ROOT / "deploy" / f"earshot-{name}.service")["Service"]["TimeoutStopSec"])
    assert waits_s > Settings.model_fields[grace].default


def test_make_help_tells_of_every_target() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    benches = re.findall(r"^BENCHES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = set(" ".join(phony).replace("$(BENCHES)", " ".join(benches)).split()) - INNER
    told = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert sorted(target for target in targets if not re.search(rf"(?<![\w-]){target}(?![\w-])", told)) == []
