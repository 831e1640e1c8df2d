"""What the demo does, in order, and what it says meanwhile.

It says where the portal is once the portal shows the calls, and where each call can be heard once it can be. Then it
goes on until it is stopped.

Not here: signals (__main__.py), what lies in the folder (folder.py).
"""

import select
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from demo.errors import DemoError, NobodyReads
from demo.folder import (
    GATEWAY_PORT,
    HOST,
    PEOPLE,
    PORTAL_PORT,
    SIP_PORT,
    Logins,
    Ports,
    choose_ports,
    held,
    logins_of,
    write_settings,
)
from demo.portal import Call, NotYet, Portal
from demo.programs import Program, Programs
from demo.script import DIALOGUES, Dialogue
from demo.speech import Recorded, Voices, record

T = TypeVar("T")

# Three Python processes and a database, on a machine that may have other things to do.
START_S: Final = 60.0
LOOK_S: Final = 0.2
# How often the calls are looked at later on.
LOOK_AGAIN_S: Final = 1.0
# A call may begin this long before the moment that we take for its beginning: clocks round.
ROUNDING_S: Final = 1.0
FINISHED: Final = "finished"
STANDARD_OUTPUT: Final = 1


def show(folder: Path) -> None:
    """Runs the demo until it is interrupted (KeyboardInterrupt).

    Errors: DemoError, when it cannot go on; NobodyReads.
    """
    with held(folder):
        ports = choose_ports()
        with Programs(folder, write_settings(folder, ports)) as programs:
            _say(f"Preparing the demo in {folder}.")
            logins = logins_of(folder, programs)
            speech = _speech(folder)
            _say("Starting Earshot.")
            portal = Portal(HOST, ports.portal, logins.token)
            running = _Running(programs, programs.start("earshot", "run"), portal)
            running.wait_for("the engine", lambda: _answers(ports.sip))
            running.wait_for("the portal", portal.calls)
            _say("Placing three calls.")
            calls = running.place(ports, speech)
            _say(_welcome(folder, ports, logins, calls))
            running.follow(ports, calls)


class _Running:
    """Earshot at work, and the calls that the demo placed."""

    def __init__(self, programs: Programs, recorder: Program, portal: Portal) -> None:
        self._programs = programs
        self._recorder = recorder
        self._portal = portal

    def wait_for(self, what: str, look: Callable[[], T | None], besides: Mapping[str, Program] | None = None) -> T:
        """Looks until there is something.

        Errors: DemoError, when that takes too long, when Earshot ends, or when one of the programs `besides` fails.
        """
        deadline = time.monotonic() + START_S
        reason = "nothing came"
        while time.monotonic() < deadline:
            self._check()
            for name, program in (besides or {}).items():
                if program.status:
                    raise DemoError(f"The call in which {name} could not be placed:\n{program.last_words()}")
            try:
                if (seen := look()) is not None:
                    return seen
            except NotYet as error:
                reason = str(error)
            time.sleep(LOOK_S)
        raise DemoError(f"Waited {START_S:g} s in vain for {what}: {reason}. The log is {self._recorder.log}.")

    def place(self, ports: Ports, speech: Mapping[str, Recorded]) -> dict[str, Call]:
        """Dials, and waits until the portal shows all calls; each by its dialogue's name. Errors: DemoError."""
        began = datetime.now(UTC) - timedelta(seconds=ROUNDING_S)
        dialled = {each.name: self._dial(ports, each, speech[each.name]) for each in DIALOGUES}

        def look() -> dict[str, Call]:
            new = {call.callee: call for call in self._portal.calls() if call.started_at >= began}
            found = {each.name: new[each.callee.number] for each in DIALOGUES if each.callee.number in new}
            if len(found) < len(DIALOGUES):
                raise NotYet(f"the portal shows {len(found)} of {len(DIALOGUES)}")
            return found

        return self.wait_for("the calls", look, besides=dialled)

    def follow(self, ports: Ports, calls: Mapping[str, Call]) -> None:
        """Says of each call when it can be heard. Errors: DemoError, once Earshot ends."""
        awaited = {call.id: name for name, call in calls.items()}
        while True:
            time.sleep(LOOK_AGAIN_S)
            self._check()
            if not awaited:
                continue
            try:
                ended = [call.id for call in self._portal.calls() if call.state == FINISHED and call.id in awaited]
            except NotYet:
                continue  # a portal that starts anew
            for each in ended:
                _say(f"Ended, and ready to be heard: {awaited.pop(each)}\n    {ports.url}/calls/{each}")
            if ended and not awaited:
                _say("No call runs any more. Place one yourself, or stop the demo and start it again.")

    def _dial(self, ports: Ports, dialogue: Dialogue, speech: Recorded) -> Program:
        pauses = [word for start, end in speech.paused_s for word in ("--pause", f"{start:.2f}-{end:.2f}")]
        return self._programs.start(
            f"dial-{dialogue.callee.number}",
            *("dial", ports.target, "--caller", str(speech.caller), "--callee", str(speech.callee)),
            *("--from-number", dialogue.caller.number, "--from-name", dialogue.caller.name),
            *("--to-number", dialogue.callee.number, "--to-name", dialogue.callee.name),
            *("--duration", f"{dialogue.lasts_s or speech.lasts_s:.2f}", "--keep-sending", *pauses),
        )

    def _check(self) -> None:
        # make waits for us when its terminal goes away, and so nobody tells us.
        output = select.poll()
        output.register(STANDARD_OUTPUT, 0)
        if output.poll(0):
            raise NobodyReads
        if self._recorder.status is not None:
            raise DemoError(f"Earshot has ended:\n{self._recorder.last_words()}")


def _speech(folder: Path) -> dict[str, Recorded]:
    """What is said in each dialogue, by its name. Errors: DemoError."""
    files = folder.absolute() / "speech"
    files.mkdir(exist_ok=True)
    voices = Voices()
    return {dialogue.name: record(dialogue, voices, files) for dialogue in DIALOGUES}


def _answers(port: int) -> bool | None:
    try:
        with socket.create_connection((HOST, port), timeout=LOOK_S):
            return True
    except OSError:
        return None


def _welcome(folder: Path, ports: Ports, logins: Logins, calls: Mapping[str, Call]) -> str:
    defaults = {"sip": SIP_PORT, "gateway": GATEWAY_PORT, "portal": PORTAL_PORT}
    moved = [
        f"Port {port} is in use by another program: the demo's {name} is at {getattr(ports, name)}."
        for name, port in defaults.items()
        if getattr(ports, name) != port
    ]
    table = [f"    {each.login:<8}{logins.passwords[each.login]:<22}{each.role}: {each.may}" for each in PEOPLE]
    longest = next(each for each in DIALOGUES if each.lasts_s)
    lines = [
        "",
        *moved,
        f"Earshot runs. Open {ports.url} and sign in as one of these:",
        "",
        *table,
        "",
        f"Running for five minutes, to listen to and to pause: {longest.name}",
        f"    {ports.url}/calls/{calls[longest.name].id}",
        "Two more calls end within the minute; this will say when they can be heard.",
        "",
        "Place another call, and ask the API:",
        f"    .venv/bin/earshot dial {ports.target}",
        f"    curl -H 'Authorization: Bearer {logins.token}' {ports.url}/api/v1/calls",
        "",
        f"All data and logs lie in {folder}; delete that, and the next demo begins anew.",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        raise NobodyReads from error
