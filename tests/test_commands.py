"""The `earshot` command as a user meets it: as a process, with its exit status and its sentences."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import earshot
from actors.spool import Lock, Spool
from engine.keys import encode_key
from tests.journals import CALL_ID, MASTER_KEY, write_call

PATIENCE_S = 60.0
SETPRIV = "setpriv"  # of util-linux, which every Debian has

Answer = subprocess.CompletedProcess[str]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Answer]:
    """Runs `earshot` with these words in an empty folder, and these EARSHOT_ variables."""

    def command(*words: str | Path, **environment: str) -> Answer:
        return subprocess.run(
            [sys.executable, "-m", "earshot", *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return command


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A journal and its key where the command finds it."""
    (tmp_path / "data" / "keys").mkdir(parents=True)
    key = tmp_path / "data" / "keys" / "master.key"
    key.write_text(encode_key(MASTER_KEY))
    key.chmod(0o600)
    write_call(tmp_path / "journal")
    return tmp_path / "journal"


def refused(answer: Answer, status: int) -> str:
    """The sentence of a command that ended with this status; a traceback is none."""
    assert answer.returncode == status, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr


# What there is


def test_help_names_the_commands(command: Callable[..., Answer]) -> None:
    text = command("--help").stdout
    for name in ("run", "engine", "archive", "dial", "journal"):
        assert f" {name} " in text


def test_the_version_is_the_installed_one(command: Callable[..., Answer]) -> None:
    assert command("--version").stdout == "earshot 0.1.0\n"


def test_help_loads_no_house() -> None:
    """`--help` answers at once: what is slow to import waits until a command needs it."""
    code = "import sys, earshot; print(*{'trio', 'numpy', 'pydantic', 'av', 'structlog'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


def test_dial_has_options_and_sentences_of_its_own(command: Callable[..., Answer]) -> None:
    text = command("dial", "--help").stdout
    assert "earshot dial [OPTIONS]" in text
    assert "--transfer" in text
    assert "--pause: " in refused(command("dial", "--pause", "soon"), 2)


# Settings


@pytest.mark.parametrize(
    "words", [("run",), ("engine",), ("archive",), ("journal", "show", "x"), ("journal", "pcap", "x")]
)
def test_wrong_settings_stop_every_command_with_all_sentences(
    words: tuple[str, ...], command: Callable[..., Answer]
) -> None:
    sentence = refused(command(*words, EARSHOT_SIP_BIND="x", EARSHOT_MAX_CALLS="y"), 2)
    assert [line.split(" is ")[0] for line in sentence.splitlines()] == ["sip_bind", "max_calls"]


@pytest.mark.parametrize("name", ["engine", "archive"])
def test_a_data_folder_that_cannot_be_made_stops_the_start(
    name: str, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    (tmp_path / "data").write_text("a file")
    assert f"The data folder {tmp_path / 'data'} cannot be written to" in refused(command(name), 2)


@pytest.mark.parametrize("name", ["engine", "archive"])
def test_a_broken_master_key_stops_the_start(name: str, tmp_path: Path, command: Callable[..., Answer]) -> None:
    (tmp_path / "key").write_text("nonsense")
    (tmp_path / "key").chmod(0o600)
    sentence = refused(command(name, EARSHOT_MASTER_KEY_FILE=str(tmp_path / "key")), 2)
    assert f"{tmp_path / 'key'} holds no master key" in sentence


@pytest.mark.parametrize("name", ["engine", "archive"])
def test_where_calls_wait_no_key_is_made(name: str, call: Path, command: Callable[..., Answer]) -> None:
    """What a misspelt name of the key's file, or a lost key, must not do."""
    folder = Spool.below(call.parent / "data").finished / "waiting"
    folder.mkdir()
    call.rename(folder / "journal")
    sentence = refused(command(name, EARSHOT_MASTER_KEY_FILE="misspelt.key"), 2)
    assert f"There is no master key at {call.parent / 'misspelt.key'}, but calls wait" in sentence
    assert not (call.parent / "misspelt.key").exists()
    assert (folder / "journal").exists()


def bound(*words: str) -> tuple[str, ...]:
    """The words of a command that permissions bind even where root starts it."""
    return (SETPRIV, "--bounding-set=-dac_override,-dac_read_search", *words) if os.geteuid() == 0 else words


@pytest.mark.parametrize("name", ["engine", "archive"])
@pytest.mark.parametrize(
    ("folder", "mode", "sentence"),
    [
        ("data", 0o555, "The data folder {} cannot be written to: its permissions forbid it."),
        ("data/spool", 0o555, "{} cannot be used: its permissions forbid it."),
        ("data/spool/live", 0o555, "{} cannot be used: its permissions forbid it."),
        ("data/spool/finished", 0o000, "{} cannot be used: its permissions forbid it."),
        ("data/keys", 0o000, "master_key_file is "),
    ],
)
def test_permissions_that_forbid_the_start_are_answered_with_a_sentence(
    name: str, folder: str, mode: int, sentence: str, call: Path
) -> None:
    Spool.below(call.parent / "data")
    (call.parent / folder).chmod(mode)
    try:
        answer = subprocess.run(
            bound(sys.executable, "-m", "earshot", name), cwd=call.parent, capture_output=True, text=True, timeout=60
        )
    finally:
        (call.parent / folder).chmod(0o700)
    assert refused(answer, 2).startswith(sentence.format(call.parent / folder))


@pytest.mark.parametrize("name", ["engine", "archive"])
@pytest.mark.parametrize("path", ["spool", "spool/live", "spool/{}.lock"])
def test_what_is_in_the_spools_way_is_answered_with_a_sentence(
    name: str, path: str, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    wrong = tmp_path / "data" / path.format(name)
    if path.endswith(".lock"):
        wrong.mkdir(parents=True)
    else:
        wrong.parent.mkdir(parents=True)
        wrong.touch()
    assert refused(command(name), 2).startswith(f"{wrong} cannot be used: ")


def test_a_variable_that_is_no_setting_is_told_at_the_start(tmp_path: Path, command: Callable[..., Answer]) -> None:
    (tmp_path / "data" / "spool").mkdir(parents=True)
    (tmp_path / "data" / "spool" / "live").touch()  # keeps the engine from starting
    answer = command("engine", EARSHOT_SIP_PORT="5070")
    (line,) = [json.loads(line) for line in answer.stdout.splitlines()]
    assert (line["event"], line["level"], line["variable"]) == ("no such setting", "warning", "EARSHOT_SIP_PORT")
    assert line["closest"] in ("EARSHOT_SIP_BIND", "EARSHOT_RTP_PORTS")


# Processes


@pytest.mark.parametrize("name", ["engine", "archive"])
def test_a_second_process_says_who_holds_the_spool(name: str, tmp_path: Path, command: Callable[..., Answer]) -> None:
    spool = Spool.below(tmp_path / "data")
    left = spool.live / "left" / "journal"
    left.parent.mkdir()
    left.touch()
    lock = Lock(spool.root / f"{name}.lock", f"the first {name}")
    try:
        sentence = refused(command(name, EARSHOT_MASTER_KEY=encode_key(MASTER_KEY)), 2)
    finally:
        lock.release()
    assert f"is held by the first {name}, process {os.getpid()}" in sentence
    assert left.exists()


def test_run_stops_with_the_sentence_of_a_program_that_cannot_start(
    tmp_path: Path, command: Callable[..., Answer]
) -> None:
    spool = Spool.below(tmp_path / "data")
    (tmp_path / "Procfile").write_text("engine: earshot engine\n")
    lock = Lock(spool.root / "engine.lock", "another engine")
    try:
        sentence = refused(command("run"), 2)
    finally:
        lock.release()
    assert "Everything was stopped, because engine cannot start:" in sentence
    assert "is held by another engine" in sentence


def test_run_takes_the_procfile_of_the_working_directory(tmp_path: Path, command: Callable[..., Answer]) -> None:
    (tmp_path / "Procfile").write_text("nonsense\n")
    assert "Line 1 of the Procfile is not of the form" in refused(command("run"), 2)


def test_without_one_there_run_takes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert earshot._procfile() == Path(earshot.__file__).with_name("Procfile")
    assert earshot._procfile().is_file()


@pytest.mark.parametrize(("terminal", "form"), [(True, "text"), (False, None)])
def test_programs_log_for_people_when_a_person_reads(terminal: bool, form: str | None, tmp_path: Path) -> None:
    program = "import os, sys; print('form', os.environ.get('EARSHOT_LOG_FORMAT')); sys.exit(2)"
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "Procfile").write_text(f"engine: python {tmp_path / 'program.py'}\n")
    text = on_terminal(tmp_path, "run", stdout=terminal)
    assert f"form {form}" in text
    assert ("\x1b[" in text) == terminal


def on_terminal(folder: Path, *words: str | Path, patience_s: float = 2.0, stdout: bool = True) -> str:
    """What `earshot` prints on a terminal; its standard output is a pipe unless `stdout`."""
    main, other = os.openpty()
    code = f"import sys, earshot; earshot.PATIENCE_S = {patience_s}; sys.argv[0] = 'earshot'; earshot.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=other if stdout else subprocess.PIPE,
        stderr=other,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(other)
        text = b""
        try:
            while chunk := os.read(main, 4096):
                text += chunk
        except OSError:  # how Linux says that nobody holds the other end
            pass
        finally:
            os.close(main)
        if process.stdout is not None:
            text += process.stdout.read()
        process.wait(PATIENCE_S)
    return text.decode()


# Journals


def test_a_journal_is_shown_in_words(call: Path, command: Callable[..., Answer]) -> None:
    answer = command("journal", "show", call)
    assert answer.returncode == 0
    lines = answer.stdout.splitlines()
    assert lines[0] == f"Journal {CALL_ID}"
    assert "started call_id=" in lines[1]
    assert "\x1b" not in answer.stdout
    assert answer.stderr == "7 blocks, all whole.\n"


def test_a_journal_is_shown_as_json(call: Path, command: Callable[..., Answer]) -> None:
    found = [json.loads(line) for line in command("journal", "show", "--json", call).stdout.splitlines()]
    assert [entry["block"] for entry in found] == list(range(1, 8))


def test_the_folder_of_a_call_will_do(call: Path, command: Callable[..., Answer]) -> None:
    assert command("journal", "show", call.parent).returncode == 0


def test_a_torn_journal_is_shown_as_far_as_it_goes(call: Path, command: Callable[..., Answer]) -> None:
    call.write_bytes(call.read_bytes()[:-1])
    answer = command("journal", "show", call)
    assert answer.returncode == 0
    assert len(answer.stdout.splitlines()) == 9  # two of them belong to the agreed streams
    assert "bytes are no whole block" in answer.stderr


def test_a_capture_is_written_for_its_owner_alone(call: Path, command: Callable[..., Answer]) -> None:
    answer = command("journal", "pcap", call)
    target = call.parent / f"{CALL_ID}.pcap"
    assert answer.stderr.startswith(f"{target.name} is written. ")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in call.parent.iterdir()) == [target.name, "data", "journal"]
    found = subprocess.run(["tshark", "-r", target], capture_output=True, text=True, check=True)
    assert len(found.stdout.splitlines()) == 6


def test_the_setting_that_is_named_makes_wireshark_see_rtp(call: Path, command: Callable[..., Answer]) -> None:
    assert "Analyze > Enabled Protocols > rtp_udp" in command("journal", "pcap", call, "--out", "call.pcap").stderr
    assert "--enable-heuristic rtp_udp" in " ".join(command("journal", "pcap", "--help").stdout.split())
    words = ["tshark", "-r", call.parent / "call.pcap", "-q", "-z", "rtp,streams"]
    plain, set_up = (
        subprocess.run([*words, *more], capture_output=True, text=True, check=True).stdout
        for more in ((), ("--enable-heuristic", "rtp_udp"))
    )
    assert "g711U" not in plain
    assert set_up.count("g711U") == 2


def test_a_capture_goes_where_it_is_told(call: Path, command: Callable[..., Answer]) -> None:
    assert command("journal", "pcap", call, "--out", "here.pcap").returncode == 0
    assert (call.parent / "here.pcap").is_file()
    sentence = refused(command("journal", "pcap", call, "--out", "no/where.pcap"), 1)
    assert sentence == "no/where.pcap cannot be written: No such file or directory.\n"


def test_a_capture_replaces_a_file_only_when_it_is_told_to(call: Path, command: Callable[..., Answer]) -> None:
    target = call.parent / "notes.txt"
    target.write_text("notes")
    words = ("journal", "pcap", call, "--out", target.name)
    assert "notes.txt exists already; name another file with --out" in refused(command(*words), 1)
    assert target.read_text() == "notes"
    assert command(*words, "--force").returncode == 0
    assert target.read_bytes()[:4] == b"\x4d\x3c\xb2\xa1"


@pytest.mark.parametrize("name", ["journal", "link", "hard"])
def test_a_capture_never_takes_the_place_of_the_journal(name: str, call: Path, command: Callable[..., Answer]) -> None:
    (call.parent / "link").symlink_to(call)
    (call.parent / "hard").hardlink_to(call)
    before = call.read_bytes()
    for words in ((), ("--force",)):
        for given in (call, call.parent):
            answer = command("journal", "pcap", given, "--out", name, *words)
            assert refused(answer, 1) == f"{name} is the journal itself; name another file with --out.\n"
    assert call.read_bytes() == before


@pytest.mark.parametrize("words", [(), ("--force",)])
def test_what_is_no_ordinary_file_is_left_alone(
    words: tuple[str, ...], call: Path, command: Callable[..., Answer]
) -> None:
    sentence = refused(command("journal", "pcap", call, "--out", "/dev/null", *words), 1)
    assert sentence.startswith("/dev/null is no ordinary file")
    assert Path("/dev/null").is_char_device()


def test_a_capture_that_cannot_be_made_whole_leaves_the_old_one(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    (tmp_path / "old.pcap").write_text("old")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="No space left"):
        earshot._write_whole(tmp_path / "old.pcap", pieces())
    assert (tmp_path / "old.pcap").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["show", "pcap"])
def test_what_cannot_be_read_is_answered_with_a_sentence(
    name: str, call: Path, command: Callable[..., Answer], tmp_path: Path
) -> None:
    assert refused(command("journal", name, "nowhere"), 1) == "nowhere cannot be read: No such file or directory.\n"
    (tmp_path / "text").write_text("This is a text of more than a header's length.")
    assert "text cannot be read. This is not a journal" in refused(command("journal", name, "text"), 1)
    other = encode_key(bytes(32))
    assert "sealed for another master key" in refused(command("journal", name, call, EARSHOT_MASTER_KEY=other), 1)
    absent = refused(command("journal", name, call, EARSHOT_DATA_DIR=str(tmp_path / "empty")), 1)
    assert "There is no master key at" in absent
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(("patience_s", "shown"), [(-1.0, True), (PATIENCE_S, False)])
def test_what_takes_long_shows_how_far_it_is(patience_s: float, shown: bool, call: Path) -> None:
    text = on_terminal(call.parent, "journal", "pcap", call, patience_s=patience_s)
    assert ("Reading" in text) == shown
    assert f"{CALL_ID}.pcap is written." in text
