"""The demo's folder: what keeps two demos apart, and what a second one finds."""

import re
import socket
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo import folder as demo_folder
from demo.errors import DemoError
from demo.folder import HOST, Ports, choose_ports, held, logins_of, password_for, write_settings
from demo.programs import Programs


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ports]:
    """Ports that other programs have, and that the demo would take first."""
    with ExitStack() as stack:
        sip = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        gateway = stack.enter_context(socket.create_server((HOST, 0)))
        portal = stack.enter_context(socket.create_server((HOST, 0)))
        sip.bind((HOST, 0))
        ports = Ports(*(each.getsockname()[1] for each in (sip, gateway, portal)))
        for name in ("sip", "gateway", "portal"):
            monkeypatch.setattr(demo_folder, f"{name.upper()}_PORT", getattr(ports, name))
        yield ports


def test_ports_in_use_are_passed_over(taken: Ports) -> None:
    ports = choose_ports()
    assert len({ports.sip, ports.gateway, ports.portal} - {taken.sip, taken.gateway, taken.portal}) == 3
    with socket.create_server((HOST, ports.portal)), socket.create_server((HOST, ports.gateway)):
        assert choose_ports().portal not in (ports.portal, ports.gateway)


def test_a_port_that_was_just_closed_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second demo right after the first has the same address: a browser's tab goes on."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection((HOST, port)):
            server.accept()[0].close()
    monkeypatch.setattr(demo_folder, "PORTAL_PORT", port)
    assert choose_ports().portal == port


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with held(folder), pytest.raises(DemoError, match="already"), held(folder):
        pass
    with held(folder):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="cannot write to"), held(tmp_path / "file" / "demo"):
        pass


def test_the_settings_are_on_this_machine_alone(tmp_path: Path) -> None:
    settings = tomllib.loads(write_settings(tmp_path, Ports(1, 2, 3)).read_text("utf-8"))
    assert [settings[name] for name in ("sip_bind", "gateway_bind", "portal_bind")] == [
        "127.0.0.1:1",
        "127.0.0.1:2",
        "127.0.0.1:3",
    ]
    assert settings["data_dir"] == str(tmp_path / "data")


def test_logins_are_made_once_and_an_interrupted_making_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A recorder's real data is not the demo's, whatever the shell says.
    monkeypatch.setenv("EARSHOT_DATA_DIR", str(tmp_path / "real"))
    left_over = tmp_path / "data.new" / "earshot.sqlite"
    left_over.parent.mkdir()
    left_over.write_text("no database")
    with Programs(tmp_path, write_settings(tmp_path, Ports(1, 2, 3))) as programs:
        logins = logins_of(tmp_path, programs)
        assert logins_of(tmp_path, programs) == logins
    assert sorted(logins.passwords) == ["admin", "olga", "sam", "ulla"]
    assert len(set(logins.passwords.values())) == 4
    assert all(re.fullmatch(r"([a-z]{4}-){3}[a-z]{4}", each) for each in logins.passwords.values())
    assert logins.token.startswith("earshot_")
    assert (tmp_path / "data" / "logins.json").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "data.new").exists()
    assert not (tmp_path / "real").exists()


def test_data_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").touch()
    with (
        Programs(tmp_path, write_settings(tmp_path, Ports(1, 2, 3))) as programs,
        pytest.raises(DemoError, match="is no demo's"),
    ):
        logins_of(tmp_path, programs)
    assert (tmp_path / "data" / "mine").exists()


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with (
        Programs(tmp_path, write_settings(tmp_path, Ports(1, 2, 3))) as programs,
        pytest.raises(DemoError, match="No such option"),
    ):
        programs.ask("archive", "--bad-option")


def test_no_password_holds_its_login() -> None:
    # Of passwords without that care, one in ten would hold this one.
    assert not any("ba" in password_for("ba") for _ in range(300))
