"""The demo's folder: the data of its recorder, the people who may sign in, and settings that are made anew each time.

    data-demo/
      data/           what a recorder keeps, and logins.json; it is there as a whole or not at all
      speech/         what the parties say
      earshot.toml    settings; EARSHOT_CONFIG=data-demo/earshot.toml lets any `earshot` command use them
      *.log           what the last run's programs wrote
      lock            held while a demo runs

Not here: running it (show.py).
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.errors import DemoError
from demo.programs import Programs
from demo.script import ULLAS_PHONES

HOST: Final = "127.0.0.1"
# Where each is looked for first: where Earshot has it by default.
SIP_PORT: Final = 5060
GATEWAY_PORT: Final = 5065
PORTAL_PORT: Final = 8080
# How many are tried after that.
TRIES: Final = 200

GROUP: Final = "Support"
LOGINS: Final = "logins.json"
# Syllables that one can type from a screen; eight of them are 48 bits.
_CONSONANTS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"

# A demo that is stopped is stopped: no call is waited for. On a small disk it records all the same.
_SETTINGS: Final = """\
# Made anew by each `make demo`.
data_dir = {data_dir}
sip_bind = {sip}
gateway_bind = {gateway}
portal_bind = {portal}
node = "demo"
engine_grace_s = 1
archive_grace_s = 2
min_free_mb = 50
log_format = "text"
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's recorder answers, on this machine alone."""

    sip: int
    gateway: int
    portal: int

    @property
    def url(self) -> str:
        """The portal's address, for a browser."""
        return f"http://{HOST}:{self.portal}"

    @property
    def target(self) -> str:
        """The recorder's address, for `earshot dial`."""
        return f"sip:{HOST}:{self.sip}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in. `options` are those of `earshot user add`; `may` is what the role gives, in words."""

    login: str
    role: str
    may: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Logins:
    """What opens the demo's portal: a password for each login, and a token for its API."""

    passwords: dict[str, str]
    token: str


PEOPLE: Final = (
    Person(
        "admin",
        "administrator",
        "sees every call, may listen to those that run, and pause them",
        ("--name", "Ada Norr"),
    ),
    Person(
        "sam",
        "supervisor",
        f"sees the calls of the group {GROUP}, and may listen to those that run",
        ("--name", "Sam Okafor", "--manages", GROUP),
    ),
    Person(
        "ulla",
        "user",
        "sees her own calls",
        ("--name", "Ulla Berg", "--group", GROUP, *(word for phone in ULLAS_PHONES for word in ("--phone", phone))),
    ),
    Person(
        "olga",
        "operator",
        "sees all tenants, and sets up the platform",
        ("--name", "Olga Iversen"),
    ),
)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other demos out of it. Errors: DemoError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("ab")
    except OSError as error:
        raise DemoError(f"The demo cannot write to {folder}: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(
                f"A demo runs in {folder} already. Stop that one with Ctrl-C where it was started, and start again."
            ) from error
        yield


def choose_ports() -> Ports:
    """The default ports, or for each that another program has the next free one. Errors: DemoError."""
    sip = _free_port(SIP_PORT, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    gateway = _free_port(max(GATEWAY_PORT, sip + 1), socket.SOCK_STREAM)
    return Ports(sip, gateway, _free_port(max(PORTAL_PORT, gateway + 1), socket.SOCK_STREAM))


def write_settings(folder: Path, ports: Ports) -> Path:
    """The settings file for this run."""
    file = folder / "earshot.toml"
    binds = {name: json.dumps(f"{HOST}:{getattr(ports, name)}") for name in ("sip", "gateway", "portal")}
    # A JSON string is a TOML string.
    file.write_text(_SETTINGS.format(data_dir=json.dumps(str((folder / "data").absolute())), **binds), "utf-8")
    return file


def logins_of(folder: Path, programs: Programs) -> Logins:
    """Those of an earlier demo in this folder, else new ones, of accounts that it makes. Errors: DemoError.

    The rename is the commit: whoever interrupts this finds it undone at the next start.
    """
    data = folder / "data"
    try:
        return Logins(**json.loads((data / LOGINS).read_text("utf-8")))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError) as error:
        raise DemoError(f"{data / LOGINS} is damaged. Delete {folder}, and start again.") from error
    if data.exists():
        raise DemoError(f"{data} is there, and is no demo's. Move it away, and start again.")
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    logins = Logins({person.login: password_for(person.login) for person in PEOPLE}, "")
    # A group is there once somebody is in it; then somebody can manage it.
    for person in reversed(PEOPLE):
        words = ("user", "add", person.login, "--role", person.role, *person.options, "--password-stdin")
        programs.ask(*words, given=logins.passwords[person.login] + "\n", data_dir=str(new.absolute()))
    token = programs.ask("token", "add", "--user", PEOPLE[0].login, data_dir=str(new.absolute())).strip()
    file = os.open(new / LOGINS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as written:
        json.dump({"passwords": logins.passwords, "token": token}, written, indent=1)
    new.rename(data)
    return Logins(logins.passwords, token)


def password_for(login: str) -> str:
    """A random one that can be typed. It never holds the login: Earshot would refuse it."""
    while True:
        syllables = [secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(8)]
        password = "-".join(first + second for first, second in zip(syllables[::2], syllables[1::2], strict=True))
        if login not in password:
            return password


def _free_port(first: int, *kinds: socket.SocketKind) -> int:
    for port in range(first, first + TRIES):
        if all(_is_free(port, kind) for kind in kinds):
            return port
    raise DemoError(f"All ports from {first} to {first + TRIES - 1} are in use. Stop what holds them, and start again.")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET, kind)) as trial:
        if kind == socket.SOCK_STREAM:
            # As servers do: connections that the last demo closed do not count.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True
