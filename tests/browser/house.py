"""Earshot as its users have it: engine, archive and portal on a data folder of their own, accounts, and calls.

The phone system is `earshot dial`; everybody's password is PASSWORD.
"""

import socket
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.end_to_end.recorder import PATIENCE_S, Program, Recorder

PASSWORD: Final = "correct horse battery staple"  # noqa: S105 (of accounts that live as long as a test)
RATE_HZ: Final = 8000
CALLER_HZ, CALLEE_HZ = 440, 1000
SYLLABLE_S: Final = 0.18


@dataclass(frozen=True, slots=True)
class Ring:
    """A call to be placed."""

    caller: str = "12333001100"
    caller_name: str = "Michael Harvell"
    callee: str = "300"
    callee_name: str = "Ulla Skinner"
    seconds: float = 4.0
    says: tuple[str, str] = (f"tone:{CALLER_HZ}", f"tone:{CALLEE_HZ}")
    options: tuple[str, ...] = ()


class House(Recorder):
    """The processes of one data folder, started in order; `url` is the portal's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.node = self.engine(GATEWAY_BIND=f"127.0.0.1:{_free_port()}")
        self.keeper = self.archive()
        self.portal = self.start("portal", PORTAL_BIND="127.0.0.1:0", SIP_BIND="127.0.0.1:5060")
        self.url = str(self.portal.line("portal ready")["url"]).rstrip("/")
        self.add_user("anna", "administrator", "--name", "Anna Berg")
        self.add_user("ulla", "user", "--name", "Ulla Skinner", "--phone", "300", "--group", "Support")
        self.add_user("sam", "supervisor", "--name", "Sam Reed", "--manages", "Support")

    def add_user(self, login: str, role: str, *options: str) -> None:
        words = ("user", "add", login, "--role", role, *options, "--password-stdin")
        subprocess.run(
            [sys.executable, "-m", "earshot", *words],
            cwd=self.folder,
            env=self._environment({}),
            input=f"{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )

    def ring(self, call: Ring) -> Program:
        """Places a call; the program ends when the call does."""
        host, port = self.node.sip
        return self.start(
            *("dial", f"sip:{host}:{port}", "--duration", str(call.seconds)),
            *("--from-number", call.caller, "--from-name", call.caller_name),
            *("--to-number", call.callee, "--to-name", call.callee_name),
            *("--caller", call.says[0], "--callee", call.says[1], *call.options),
        )

    def hold(self, call: Ring) -> None:
        """Places a call and waits until it has ended."""
        program = self.ring(call)
        assert program.process.wait(call.seconds + PATIENCE_S) == 0, program.errors()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dialogue(folder: Path, seconds: float) -> tuple[str, str]:
    """Two audio files of people who take turns, syllable by syllable: what a waveform of speech looks like."""
    rng = np.random.default_rng(3)
    turn = np.repeat(rng.permutation([0, 1] * 40), round(2.2 * RATE_HZ))[: round(seconds * RATE_HZ)]
    paths = []
    for side in (0, 1):
        path = folder / f"dialogue-{side}.wav"
        _write(path, _speech(rng, len(turn)) * (turn == side))
        paths.append(str(path))
    return paths[0], paths[1]


def _speech(rng: Any, count: int) -> NDArray[np.float64]:
    noise = np.convolve(rng.normal(size=count), np.ones(6) / 6, "same")
    syllable = round(SYLLABLE_S * RATE_HZ)
    loud = np.repeat(rng.choice([0.0, 0.25, 0.6, 1.0], size=count // syllable + 1), syllable)[:count]
    rise = np.abs(np.sin(np.pi * np.arange(count) / syllable)) ** 0.6
    spoken: NDArray[np.float64] = 12_000 * np.clip(noise * loud * rise, -1, 1)
    return spoken


def _write(path: Path, samples: NDArray[np.float64]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(np.rint(samples).astype(np.int16).tobytes())


__all__ = ["CALLEE_HZ", "CALLER_HZ", "PASSWORD", "House", "Ring", "dialogue"]
