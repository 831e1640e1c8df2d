"""`earshot user add` and `earshot token add`, as an administrator types them."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.keys import encode_key

PATIENCE_S = 60.0
PASSWORD = "correct horse battery"  # noqa: S105 (of an account that lives as long as a test)
MASTER_KEY = encode_key(bytes(range(32)))

Answer = subprocess.CompletedProcess[str]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Answer]:
    """Runs `earshot` with these words in an empty folder."""

    def command(*words: str, typed: str = "", **environment: str) -> Answer:
        return subprocess.run(
            [sys.executable, "-m", "earshot", *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "EARSHOT_MASTER_KEY": MASTER_KEY, **environment},
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return command


def refused(answer: Answer, status: int = 1) -> str:
    """The sentence of a command that made nothing; a traceback is none."""
    assert answer.returncode == status, answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_an_account_with_a_password_may_sign_in(command: Callable[..., Answer]) -> None:
    answer = command("user", "add", "anna", "--role", "administrator", "--password-stdin", typed=PASSWORD + "\n")
    assert answer.stdout == "anna (administrator) of tenant Default was added and may sign in.\n"
    assert answer.stderr == ""


def test_an_account_without_one_has_no_web_access(command: Callable[..., Answer]) -> None:
    words = ("--tenant", "Acme", "--name", "Berta B", "--phone", "1201", "--phone", "+49301", "--group", "Sales")
    answer = command("user", "add", "berta", "--role", "user", *words)
    assert answer.stdout.startswith("berta (user) of tenant Acme was added and has no web access")
    sentence = refused(command("token", "add", "--user", "berta"))
    assert sentence == "berta has no web access, so a token would open nothing. No token was made.\n"


def test_a_token_is_printed_alone(command: Callable[..., Answer]) -> None:
    command("user", "add", "anna", "--role", "administrator", "--password-stdin", typed=PASSWORD)
    first, second = (command("token", "add", "--user", "ANNA", "--name", "CRM") for _ in range(2))
    assert re.fullmatch(r"earshot_[\w-]{43}\n", first.stdout)
    assert first.stdout != second.stdout
    assert first.stderr == ""


def test_a_master_key_that_is_made_by_the_way_is_told_apart(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "earshot", "user", "add", "anna", "--role", "user"]
    answer = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert answer.stdout.startswith("anna (user) of tenant Default was added")
    assert "master key made" in answer.stderr


def test_who_is_locked_out_is_let_in_again(command: Callable[..., Answer]) -> None:
    command("tenant", "add", "Acme")
    words = ("anna", "--role", "administrator", "--tenant", "Acme", "--password-stdin", "--must-change")
    assert command("user", "add", *words, typed=PASSWORD).returncode == 0
    assert command("user", "disable", "anna").stdout.startswith("anna of tenant Acme is disabled")
    assert command("user", "list").stdout == "There are no such users.\n"
    assert command("user", "enable", "anna", "--tenant", "acme").stdout.endswith("may sign in.\n")
    answer = command("user", "password", "anna", "--password-stdin", typed="an entirely new one\n")
    assert answer.stdout == "anna of tenant Acme has a new password, and is signed out everywhere.\n"
    assert "without a second factor" in refused(command("user", "second-factor-off", "anna"))
    assert command("user", "list").stdout.splitlines()[1].split() == ["anna", "Acme", "administrator", "yes"]
    assert command("tenant", "list").stdout.splitlines()[1].split() == ["Acme", "1", "active"]


def test_a_token_is_listed_and_revoked(command: Callable[..., Answer]) -> None:
    command("user", "add", "anna", "--role", "administrator", "--password-stdin", typed=PASSWORD + "\n")
    command("token", "add", "--user", "anna", "--name", "CRM", "--permissions", "view_calls", "--expires-days", "7")
    token_id, name, *_, last = command("token", "list", "--user", "anna").stdout.splitlines()[1].split()
    assert (name, last) == ("CRM", "view_calls")
    answer = command("token", "revoke", token_id, "--user", "anna")
    assert answer.stdout == f"The token {token_id} (CRM) of anna was revoked.\n"
    assert command("token", "list", "--user", "anna").stdout == "anna has no tokens.\n"


def test_a_token_of_nobody_is_refused(command: Callable[..., Answer]) -> None:
    assert refused(command("token", "add", "--user", "anna")).startswith("There is no user anna. Make one with:")


def test_a_login_in_two_tenants_wants_the_tenant(command: Callable[..., Answer]) -> None:
    for tenant in ("One", "Two"):
        words = ("user", "add", "anna", "--role", "user", "--tenant", tenant, "--password-stdin")
        assert command(*words, typed=PASSWORD).returncode == 0
    sentence = refused(command("token", "add", "--user", "anna"))
    assert sentence == "Several tenants have a user anna: One, Two. Say which one with --tenant. No token was made.\n"
    assert command("token", "add", "--user", "anna", "--tenant", "Two").returncode == 0
    assert "no user anna in tenant Three" in refused(command("token", "add", "--user", "anna", "--tenant", "Three"))


def test_a_login_that_is_taken_is_refused(command: Callable[..., Answer]) -> None:
    command("user", "add", "anna", "--role", "user")
    assert "There is a user Anna in Default already" in refused(command("user", "add", "Anna", "--role", "user"))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "The password is empty. No account was made."),
        ("\n", "The password is empty."),
        ("short\n", "The password has 5 characters; 12 or more are needed."),
        ("anna-anna-anna\n", "The password holds the login."),
    ],
)
def test_a_password_that_may_not_be_used_is_refused(command: Callable[..., Answer], typed: str, sentence: str) -> None:
    words = ("user", "add", "anna", "--role", "user", "--password-stdin")
    assert sentence in refused(command(*words, typed=typed))
    assert command(*words, typed=PASSWORD).returncode == 0


def test_without_standard_input_there_is_no_password(tmp_path: Path) -> None:
    code = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, '-m', 'earshot', *sys.argv[1:]])"
    words = [sys.executable, "-c", code, "user", "add", "anna", "--role", "user", "--password-stdin"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert "wants the password on standard input, and there is none" in refused(answer)


def test_on_a_terminal_the_password_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    words = [sys.executable, "-m", "earshot", "user", "add", "anna", "--role", "user", "--password-stdin"]
    # A session of its own, whose terminal this becomes: getpass asks the terminal and no other file.
    code = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    while b"Password: " not in shown:
        shown += os.read(controller, 1000)
    os.write(controller, PASSWORD.encode() + b"\n")
    while b"may sign in." not in shown:
        shown += os.read(controller, 1000)
    assert process.wait(PATIENCE_S) == 0
    os.close(controller)
    assert PASSWORD.encode() not in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("user", "add", "anna"), "Missing option '--role'"),
        (("user", "add", "anna", "--role", "king"), "'king' is not one of"),
        (("user", "add", "", "--role", "user"), "A login has 1 to 254 characters"),
        (("user", "add", "x" * 255, "--role", "user"), "A login has 1 to 254 characters"),
        (("token", "add"), "Missing option '--user'"),
    ],
)
def test_words_that_do_not_fit_are_refused(
    command: Callable[..., Answer], words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused(command(*words), 1 if "A login" in sentence else 2)


def test_help_tells_the_options(command: Callable[..., Answer]) -> None:
    text = command("user", "add", "--help").stdout
    for option in ("--role", "--tenant", "--name", "--phone", "--group", "--manages", "--password-stdin"):
        assert option in text
    assert "add" in command("token", "--help").stdout


def test_without_a_database_it_says_so(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = command("token", "add", "--user", "anna", EARSHOT_DATABASE_URL=f"sqlite:///{tmp_path}/file/x.sqlite")
    assert "The database does not answer" in refused(answer)


def test_bytes_that_are_no_text_are_refused_with_a_sentence(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "earshot", "user", "add"]
    for words, typed in (([b"an\xffna"], b""), ([b"anna", "--password-stdin"], b"correct horse \xff\xfe battery\n")):
        answer = subprocess.run(
            [*program, "--role", "user", *words], cwd=tmp_path, input=typed, capture_output=True, timeout=PATIENCE_S
        )
        assert answer.returncode == 1
        assert answer.stderr.endswith(b"No account was made.\n")
        assert b"Traceback" not in answer.stderr


def test_a_port_that_is_none_is_refused_with_a_sentence(command: Callable[..., Answer]) -> None:
    for port in ("70000", "many", "-1"):
        url = f"postgresql://earshot@127.0.0.1:{port}/earshot"
        sentence = refused(command("user", "add", "anna", "--role", "user", EARSHOT_DATABASE_URL=url), 2)
        assert "postgresql://user:password@host:5432/name" in sentence
