"""The portal as a process: its socket, its certificate, and how it stops whatever its clients do."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from portal import server
from tests.certificates import Certificate, make_certificate
from tests.end_to_end.recorder import PATIENCE_S, Program, Recorder, until
from tests.portal.visitor import PASSWORD

LOOPBACK = "127.0.0.1:0"
# It takes about a second; a client that holds it would do so for `STALLED_S`.
STOPPED_WITHIN_S = server.STALLED_S / 3


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path) as recorder:
        yield recorder


@pytest.fixture
def portal(recorder: Recorder) -> Program:
    return recorder.start("portal", PORTAL_BIND=LOOPBACK)


def address(portal: Program) -> tuple[str, int]:
    """Where it answers; waits for it to be ready."""
    parts = urlsplit(str(portal.line("portal ready")["url"]))
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def get(portal: Program, path: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    host, port = address(portal)
    secure = HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
    with closing(secure if context else HTTPConnection(host, port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def stop(portal: Program, say: Callable[[], None] | None = None) -> float:
    """Asks it to stop, sees that it ends well; gives how many seconds that took."""
    began_s = time.monotonic()
    (say or portal.terminate)()
    assert portal.process.wait(STOPPED_WITHIN_S) == 0, portal.errors()
    return time.monotonic() - began_s


def test_it_answers_on_a_database_that_nobody_made_before(portal: Program) -> None:
    # Making the tables takes longer than whoever asks for its health waits.
    until(lambda: get(portal, "/health") == (200, b'{"status":"ok"}\n'), "the tables to be made")
    status, page = get(portal, "/sign-in")
    assert status == 200
    assert b"<form" in page


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it(portal: Program, name: str) -> None:
    address(portal)
    stop(portal, lambda: portal.process.send_signal(signal.Signals[name]))
    assert portal.lines("portal stopped")
    assert portal.errors() == ""


def test_an_idle_connection_does_not_keep_it(portal: Program) -> None:
    host, port = address(portal)
    with closing(HTTPConnection(host, port)) as connection:
        connection.request("GET", "/sign-in")
        connection.getresponse().read()
        stop(portal)


def test_a_client_that_stops_reading_does_not_keep_it(portal: Program) -> None:
    """It asks for more than all buffers hold and reads nothing: the portal's send waits, and cannot be cancelled."""
    host, port = address(portal)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, port))
        client.sendall(b"GET /static/css/earshot.css HTTP/1.1\r\nHost: x\r\n\r\n" * 4000)
        _wait_until_stuck(portal, port)
        stop(portal)
    assert portal.errors() == ""


def test_a_websocket_does_not_keep_it(portal: Program, signed_in: str) -> None:
    host, port = address(portal)
    with socket.create_connection((host, port)) as client:
        _open_websocket(client, host, port, signed_in)
        stop(portal)


def test_a_websocket_that_stops_reading_does_not_keep_it(portal: Program, signed_in: str) -> None:
    """Its pings have to be answered, and it takes no answer."""
    host, port = address(portal)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, port))
        _open_websocket(client, host, port, signed_in)
        client.setblocking(False)
        ping = b"\x89\xfd" + bytes(4) + bytes(125)

        def flood() -> bool:
            """Until nothing more is taken: a piece of a ping that was not is lost with all that would follow."""
            try:
                while client.send(ping * 100) == len(ping) * 100:
                    pass
            except BlockingIOError:
                pass
            return _unsent(port) > 0

        until(flood, "the portal to stop taking pings")
        _wait_until_stuck(portal, port)
        stop(portal)


@pytest.fixture
def signed_in(recorder: Recorder, portal: Program) -> str:
    """The cookie of an administrator's session."""
    host, port = address(portal)
    words = [sys.executable, "-m", "earshot", "user", "add", "anna", "--role", "administrator", "--password-stdin"]
    environment = {**os.environ, "EARSHOT_DATA_DIR": str(recorder.data)}
    subprocess.run(words, env=environment, input=PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL)
    with closing(HTTPConnection(host, port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/sign-in")
        answer = connection.getresponse()
        found = re.search(rb'name="csrf-token" content="(\w+)"', answer.read())
        assert found
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        form = urlencode({"login": "anna", "password": PASSWORD, "csrf_token": found[1].decode()})
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/sign-in", form, headers)
        answer = connection.getresponse()
        assert answer.status == 303, answer.read()
        return str(answer.headers["Set-Cookie"].partition(";")[0])


def _open_websocket(client: socket.socket, host: str, port: int, cookie: str) -> None:
    lines = (
        "GET /live/levels HTTP/1.1",
        f"Host: {host}:{port}",
        f"Origin: http://{host}:{port}",
        f"Cookie: {cookie}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    client.sendall("\r\n".join((*lines, "", "")).encode())
    assert client.recv(4096).startswith(b"HTTP/1.1 101 ")


def test_a_client_that_only_connects_does_not_keep_it(portal: Program) -> None:
    with socket.create_connection(address(portal)), socket.create_connection(address(portal)) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHo")
        stop(portal)


def _wait_until_stuck(portal: Program, port: int) -> None:
    """Until what the portal has written to its one client does not grow any more."""
    seen: list[int] = []

    def look() -> bool:
        seen.append(_unsent(port))
        return len(seen) > 50 and seen[-1] > 0 and len(set(seen[-50:])) == 1

    until(look, "the portal to be stuck with a client that does not read")


def _unsent(port: int) -> int:
    """Bytes in the kernel's send queues of connections to this port of 127.0.0.1."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            total += int(fields[4].partition(":")[0], 16)
    return total


# Where it listens


def test_a_port_that_is_taken_is_answered_with_a_sentence(recorder: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = recorder.start("portal", PORTAL_BIND=f"127.0.0.1:{port}")
        assert program.process.wait(30) == 2
    assert program.errors() == (
        f"Something else answers at 127.0.0.1:{port} already. Stop it, or set EARSHOT_PORTAL_BIND to another port.\n"
    )


def test_an_address_of_another_machine_is_answered_with_a_sentence(recorder: Recorder) -> None:
    program = recorder.start("portal", PORTAL_BIND="192.0.2.1:8080")
    assert program.process.wait(30) == 2
    assert program.errors().startswith("192.0.2.1 is no address of this machine.")


def test_it_starts_again_at_once_where_it_was(recorder: Recorder, portal: Program) -> None:
    """Connections that the last one closed linger in the kernel; they do not hold the port."""
    host, port = address(portal)
    with closing(HTTPConnection(host, port)) as connection:
        connection.request("GET", "/health")
        connection.getresponse().read()
        stop(portal)
    again = recorder.start("portal", PORTAL_BIND=f"{host}:{port}")
    assert get(again, "/health")[0] == 200


def test_off_loopback_without_tls_it_says_what_that_means(recorder: Recorder) -> None:
    warned = recorder.start("portal", PORTAL_BIND="0.0.0.0:0")
    assert "EARSHOT_TLS_CERT" in warned.line("portal without TLS")["advice"]
    quiet = recorder.start("portal", PORTAL_BIND="0.0.0.0:0", PUBLIC_URL="https://calls.example.com")
    address(quiet)
    stop(quiet)
    assert quiet.lines("portal without TLS") == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(recorder: Recorder, certificate: Certificate) -> Program:
    return recorder.start(
        "portal", PORTAL_BIND=LOOPBACK, TLS_CERT=str(certificate.cert_file), TLS_KEY=str(certificate.key_file)
    )


def test_with_a_certificate_it_speaks_https(secure: Program, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=certificate.cert_file)
    assert get(secure, "/static/css/earshot.css", context)[0] == 200
    host, port = address(secure)
    with closing(HTTPSConnection(host, port, context=context)) as connection:
        connection.request("GET", "/sign-in")
        answer = connection.getresponse()
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["Set-Cookie"].startswith("__Host-earshot=")
        assert "Secure" in answer.headers["Set-Cookie"]


def test_a_client_that_breaks_off_the_handshake_does_not_keep_it(secure: Program) -> None:
    with socket.create_connection(address(secure)) as silent, socket.create_connection(address(secure)) as babbling:
        babbling.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert silent.fileno() >= 0
        stop(secure)
    assert secure.errors() == ""


def test_a_client_that_stops_reading_does_not_keep_it_under_tls(secure: Program, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=certificate.cert_file)
    host, port = address(secure)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((host, port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET /static/css/earshot.css HTTP/1.1\r\nHost: x\r\n\r\n" * 4000)
            _wait_until_stuck(secure, port)
            stop(secure)


def test_a_certificate_that_is_none_is_answered_with_a_sentence(recorder: Recorder, tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("nonsense")
    program = recorder.start(
        "portal", PORTAL_BIND=LOOPBACK, TLS_CERT=str(tmp_path / "cert"), TLS_KEY=str(tmp_path / "key")
    )
    assert program.process.wait(30) == 2
    assert "cannot be used" in program.errors()
    assert "Traceback" not in program.errors()


# The database


def test_without_a_database_it_says_so_and_comes_back_by_itself(recorder: Recorder) -> None:
    folder = recorder.folder / "elsewhere"
    folder.write_text("a file where a folder should be")
    portal = recorder.start("portal", PORTAL_BIND=LOOPBACK, DATABASE_URL=f"sqlite:///{folder}/earshot.sqlite")
    status, body = get(portal, "/health")
    assert status == 503
    assert json.loads(body)["title"] == "The database cannot be reached"
    status, page = get(portal, "/sign-in")
    assert status == 200
    assert b"<form" in page
    folder.unlink()
    until(lambda: get(portal, "/health")[0] == 200, "the database to be back")
