"""The `earshot` command: the composition root. Each command turns settings into one process's configuration.

Exit status 2 means: something must be changed before a start can succeed (a wrong setting, a spool that is held).
At its first start `earshot run` then stops everything.

What must not be here: what the processes do. Each command imports its house when it is called, so that `--help` is fast
and `earshot run` holds nothing in memory that it does not use.
"""

import math
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from engine.journal import JournalReader
    from settings import Settings

FAILED: Final = 1
CANNOT_START: Final = 2

# After its grace period a process still seals and closes what it has; that takes less than this.
SEALING_S: Final = 5.0
# What takes longer than this shows how far it is.
PATIENCE_S: Final = 2.0
# Of commands whose options are their house's own: all words go there, `--help` too.
WORDS_OF_THE_HOUSE: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

BYTES_PER_MB: Final = 1_000_000

T = TypeVar("T")

app = typer.Typer(
    name="earshot",
    help="Records phone calls over SIPREC and RTP, and keeps them.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show values of variables, and those may be keys.
    pretty_exceptions_enable=False,
)
journal = typer.Typer(help="Looks into a journal (needs the master key).", no_args_is_help=True)
app.add_typer(journal, name="journal")

JournalFile = Annotated[Path, typer.Argument(metavar="FILE", help="A journal, or the folder of a call.")]


def main() -> None:
    """The installed `earshot`."""
    app()


@app.callback(invoke_without_command=True)
def _earshot(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        typer.echo(f"earshot {version('earshot')}")
        raise typer.Exit


@app.command()
def run() -> None:
    """Run everything that the Procfile names, and restart each program that ends."""
    settings = _settings()
    from actors.processes import ProcessesConfig, ProcfileError
    from actors.processes import run as run_processes

    terminal = sys.stdout.isatty()
    # Programs write into a pipe of ours; what they cannot see is that a person reads it.
    environment = {"EARSHOT_LOG_FORMAT": "text", "FORCE_COLOR": "1"} if terminal else {}
    config = ProcessesConfig(
        procfile=_procfile(),
        grace_s=max(settings.engine_grace_s, settings.archive_grace_s) + SEALING_S,
        colour=terminal,
        environment=environment if settings.log_format == "auto" else {},
    )
    try:
        outcome = run_processes(config)
    except ProcfileError as error:
        _fail(str(error), CANNOT_START)
    if outcome.sentence:
        typer.echo(outcome.sentence, err=True)
    raise typer.Exit(outcome.status)


@app.command()
def engine() -> None:
    """Record: answer phone systems, and keep every call's packets and events in the spool."""
    settings = _start()
    from actors.node import EngineConfig, Stopped
    from actors.node import run as run_engine
    from actors.spool import SpoolHeld, SpoolUnusable
    from engine.keys import archive_private_key, gateway_key, public_bytes
    from live.gateway import Gateway, GatewayConfig

    master_key = _master_key(settings)
    certificate = settings.gateway_tls_cert
    config = EngineConfig(
        data_dir=settings.data_dir,
        public_key=public_bytes(archive_private_key(master_key)),
        sip_bind=settings.sip_bind,
        sip_allow=settings.sip_allow,
        rtp_ports=(settings.rtp_ports[0], settings.rtp_ports[-1]),
        node=settings.node,
        media_address=settings.media_address,
        grace_s=settings.engine_grace_s,
        most_calls=settings.max_calls,
        lost_after_s=settings.lost_after_s,
        least_free_bytes=settings.min_free_mb * BYTES_PER_MB,
        gateway_url=settings.gateway_url,
        gateway_certificate="" if certificate is None else certificate.read_text(),
    )
    gateway = GatewayConfig(
        settings.gateway_bind, settings.node, gateway_key(master_key), certificate, settings.gateway_tls_key
    )
    try:
        run_engine(config, open_gateway=lambda: Gateway(gateway))
    except (SpoolHeld, SpoolUnusable, Stopped) as error:
        _fail(str(error), CANNOT_START)


@app.command()
def archive() -> None:
    """Make recordings of the calls that ended, and tell the database of every call."""
    settings = _start()
    from actors.spool import SpoolHeld, SpoolUnusable
    from archive.service import ArchiveConfig
    from archive.service import run as run_archive
    from engine.keys import archive_private_key, audit_signing_key, database_key

    master_key = _master_key(settings)
    config = ArchiveConfig(
        data_dir=settings.data_dir,
        private_key=archive_private_key(master_key),
        database_url=settings.database_url.get_secret_value(),
        database_key=database_key(master_key),
        node=settings.node,
        audit_key=audit_signing_key(master_key),
        audio_format=settings.audio_format,
        opus_bitrate_kbit=settings.opus_bitrate_kbit,
        opus_complexity=settings.opus_complexity,
        pause_policy=settings.pause_policy,
        threads=settings.finisher_threads,
        grace_s=settings.archive_grace_s,
    )
    try:
        run_archive(config)
    except (SpoolHeld, SpoolUnusable) as error:
        _fail(str(error), CANNOT_START)


@app.command()
def portal() -> None:
    """Show calls in the browser, and answer the API."""
    settings = _start()
    from engine.keys import database_key, gateway_key, session_key
    from portal.config import PortalConfig
    from portal.server import Stopped
    from portal.server import run as run_portal

    master_key = _master_key(settings)
    config = PortalConfig(
        bind=settings.portal_bind,
        database_url=settings.database_url.get_secret_value(),
        data_dir=settings.data_dir,
        database_key=database_key(master_key),
        session_key=session_key(master_key),
        gateway_key=gateway_key(master_key),
        sip_bind=settings.sip_bind,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
    )
    try:
        run_portal(config)
    except Stopped as error:
        _fail(str(error), CANNOT_START)


@app.command()
def migrate() -> None:
    """Bring the database up to date with this version."""
    from archive.commands import bring_up_to_date

    bring_up_to_date(_database()[0])


@app.command()
def reindex() -> None:
    """Tell the database again of every recording, from the manifests beside them: after a database was lost.

    A call that it knows stays whose it is. One that is nobody's, or that it lost, goes to whoever has the phone now.
    """
    from archive.commands import rebuild

    settings = _settings()
    rebuild(settings.data_dir, *_database(), settings.node)


@app.command(context_settings=WORDS_OF_THE_HOUSE)
def user(context: typer.Context) -> None:
    """Accounts: who may sign in, and whose calls are whose."""
    from portal.accounts_command import users

    users(context.args, prog_name="earshot user", obj=_database)


@app.command(context_settings=WORDS_OF_THE_HOUSE)
def token(context: typer.Context) -> None:
    """Tokens for the API."""
    from portal.accounts_command import tokens

    tokens(context.args, prog_name="earshot token", obj=_database)


@app.command(context_settings=WORDS_OF_THE_HOUSE)
def tenant(context: typer.Context) -> None:
    """Tenants: organisations that share this system and see nothing of each other."""
    from portal.accounts_command import tenants

    tenants(context.args, prog_name="earshot tenant", obj=_database)


@app.command(context_settings=WORDS_OF_THE_HOUSE)
def audit(context: typer.Context) -> None:
    """The audit trail: whether anybody touched it."""
    from actors.keyfile import read_master_key
    from archive.audit_command import Trail
    from archive.audit_command import audit as command
    from engine.keys import KeyRefused, audit_signing_key, database_key

    def trail() -> Trail:
        settings = _settings()
        try:
            given = settings.master_key
            key = given.get_secret_value() if given is not None else read_master_key(settings.master_key_file)
        except KeyRefused as error:
            _fail(str(error), CANNOT_START)
        url = settings.database_url.get_secret_value()
        return Trail(url, database_key(key), audit_signing_key(key).public_key(), settings.data_dir)

    command(context.args, prog_name="earshot audit", obj=trail)


@app.command(context_settings=WORDS_OF_THE_HOUSE)
def dial(context: typer.Context) -> None:
    """Call a recorder as a phone system would, to try a set-up."""
    from actors.dial.command import dial as dial_command

    dialer = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    dialer.command()(dial_command)
    dialer(context.args, prog_name="earshot dial")


@journal.command()
def show(
    file: JournalFile,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a block.")] = False,
) -> None:
    """Print a journal's blocks: events in words, packets summed by stream."""
    from rich.console import Console

    from archive import inspection

    with _opened(file) as (opened, reader):
        console = Console(soft_wrap=True, highlight=False)
        streams = inspection.Streams({})
        if not as_json:
            console.print(f"Journal {reader.owner}", style="bold")
        blocks = 0
        # Where lines appear as they are read, or go through a pager, they are the progress.
        into_file = stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
        for entry in _watched(inspection.entries(reader), opened, quiet=not into_file):
            blocks += 1
            if as_json:
                typer.echo(inspection.as_json(entry))
            else:
                console.print(inspection.as_text(entry, streams))
        damage = inspection.tail(reader)
        typer.echo(damage or f"{blocks} blocks, all whole.", err=True)


@journal.command("pcap")
def pcap_(
    file: JournalFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write; by default <call id>.pcap in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")] = False,
) -> None:
    """Write a journal's packets as a capture that Wireshark opens. It holds the voices, readable by anyone.

    Wireshark shows RTP as such once Analyze > Enabled Protocols > rtp_udp is on (tshark: --enable-heuristic rtp_udp).
    """
    from archive import inspection

    with _opened(file) as (opened, reader):
        target = out or Path(f"{reader.owner}.pcap")
        try:
            _guard(target, opened, force=force)
            _write_whole(target, _watched(inspection.capture(reader), opened))
        except OSError as error:
            _fail(f"{target} cannot be written: {error.strerror}.")
        told = f"{target} is written. To see RTP in Wireshark, switch on Analyze > Enabled Protocols > rtp_udp."
        typer.echo(" ".join(filter(None, (told, inspection.tail(reader)))), err=True)


def _guard(target: Path, journal: BinaryIO, *, force: bool) -> None:
    """Ends the command where writing `target` would destroy the journal, or a file that nobody gave up."""
    try:
        there = target.stat()
    except FileNotFoundError:
        return
    if os.path.samestat(there, os.fstat(journal.fileno())):
        _fail(f"{target} is the journal itself; name another file with --out.")
    if not stat.S_ISREG(there.st_mode):
        _fail(f"{target} is no ordinary file; name another one with --out.")
    if not force:
        _fail(f"{target} exists already; name another file with --out, or replace it with --force.")


def _write_whole(target: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file for its owner alone; it is there once it is whole. Errors: OSError, and nothing is left behind."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _settings() -> "Settings":
    from settings import SettingsError, load

    try:
        return load()
    except SettingsError as error:
        _fail(str(error), CANNOT_START)


def _start() -> "Settings":
    """What every process that writes begins with: settings, a log, and a data folder that it may write to."""
    import structlog

    from actors import logs
    from settings import misspelt

    settings = _settings()
    _make_data_folder(settings)
    logs.configure(settings.log_level, settings.log_format)
    for name, closest in misspelt().items():
        structlog.get_logger().warning("no such setting", variable=name, closest=closest)
    return settings


def _make_data_folder(settings: "Settings") -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _fail(_no_data_folder(settings, error.strerror or str(error)), CANNOT_START)
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        _fail(_no_data_folder(settings, "its permissions forbid it"), CANNOT_START)


def _database() -> tuple[str, bytes]:
    """The database's URL and the key to it, for a command that works on it and is no process with a log."""
    import structlog

    from engine.keys import database_key

    # What a command prints is what was asked for, and somebody may keep it: a token, say.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = _settings()
    _make_data_folder(settings)
    return settings.database_url.get_secret_value(), database_key(_master_key(settings))


def _no_data_folder(settings: "Settings", reason: str) -> str:
    return (
        f"The data folder {settings.data_dir.absolute()} cannot be written to: {reason}. "
        "Set EARSHOT_DATA_DIR to a folder that this user may write to."
    )


def _master_key(settings: "Settings") -> bytes:
    """The master key, for a process that writes: without one it makes one, or cannot start."""
    from actors.keyfile import read_or_make_master_key
    from actors.spool import Spool, SpoolUnusable
    from engine.keys import KeyRefused

    given = settings.master_key
    if given is not None:
        return given.get_secret_value()
    try:
        return read_or_make_master_key(settings.master_key_file, Spool.below(settings.data_dir))
    except (KeyRefused, SpoolUnusable) as error:
        _fail(str(error), CANNOT_START)


def _procfile() -> Path:
    """The working directory's Procfile, else the one that came with this command."""
    here = Path("Procfile")
    return here if here.is_file() else Path(__file__).with_name("Procfile")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, "JournalReader"]]:
    """A journal that is ready to be read; what keeps it from being read ends the command with a sentence."""
    from actors.keyfile import read_master_key
    from actors.spool import JOURNAL
    from engine.journal import JournalError, JournalReader
    from engine.keys import KeyRefused, archive_private_key

    settings = _settings()
    file = path / JOURNAL if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            given = settings.master_key
            key = given.get_secret_value() if given is not None else read_master_key(settings.master_key_file)
            yield opened, JournalReader(opened, archive_private_key(key))
    except BrokenPipeError:
        raise  # whoever read our output has seen enough
    except OSError as error:
        _fail(f"{file} cannot be read: {error.strerror}.")
    except (JournalError, KeyRefused) as error:
        _fail(f"{file} cannot be read. {error}")


def _watched(pieces: Iterable[T], file: BinaryIO, *, quiet: bool = False) -> Iterator[T]:
    """Passes `pieces` on; on a terminal, unless `quiet`, shows how far `file` is read once that takes long."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("Reading", total=os.fstat(file.fileno()).st_size)
    shown_from_s = math.inf if quiet or not sys.stderr.isatty() else time.monotonic() + PATIENCE_S
    try:
        for piece in pieces:
            yield piece
            if time.monotonic() > shown_from_s:
                bar.start()
                bar.update(task, completed=file.tell())
    finally:
        if bar.live.is_started:
            bar.stop()


def _fail(sentence: str, status: int = FAILED) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(status)


if __name__ == "__main__":
    main()
