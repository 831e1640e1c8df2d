"""A mail goes out to a real mail server, or does not, and it is told why."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
import trio

from archive import smtp
from archive.smtp import Undelivered, deliver, letter
from schema.mails import LEASE, Mail, MailKind, SmtpServer, Trouble
from schema.values import DEFAULT_TENANT
from tests.certificates import Certificate, make_certificate
from tests.mailserver import PASSWORD, USER, mail_server

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
LINK = "https://calls.example.com/set-password/" + "x" * 90


def a_mail(**changes: Any) -> Mail:
    given: dict[str, Any] = {
        "account_id": None,
        "tenant_id": DEFAULT_TENANT,
        "kind": MailKind.INVITATION,
        "to_address": "anna@example.com",
        "to_name": "Анна Müller",
        "subject": "Доступ к записям",
        "text": f"Здравствуйте!\n\n{LINK}\n.\nEnde",
        "html": f'<p>Здравствуйте!</p><a href="{LINK}">x</a>',
        "language": "ru",
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    return Mail(**given | changes)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The machine trusts the server's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.cert_file))
    return certificate


async def undelivered(server: SmtpServer, mail: Mail | None = None) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        await deliver(server, letter(server, mail or a_mail(), ID))
    return caught.value


@contextmanager
def saying(*lines: bytes) -> Iterator[int]:
    """A port that says these things, one for each line that it gets, and then hangs up. No line: it is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as heard:
                for line in lines:
                    connection.sendall(line)
                    if not heard.readline():
                        return
                while not lines and heard.read(1):
                    pass

        thread = Thread(target=talk)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


# What arrives


async def test_what_arrives_is_what_was_written_in_any_alphabet() -> None:
    with mail_server() as server:
        await deliver(server.settings(), letter(server.settings(), a_mail(), ID))
    (message,) = server.messages
    assert message["Subject"] == "Доступ к записям"
    assert message["To"].addresses[0].display_name == "Анна Müller"
    assert message["From"].addresses[0].display_name == "Übersicht, GmbH"
    assert message["From"].addresses[0].addr_spec == "calls@example.com"
    plain, html = message.iter_parts()
    assert plain.get_content().splitlines() == ["Здравствуйте!", "", LINK, ".", "Ende"]
    assert f'href="{LINK}"' in html.get_content()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert server.envelopes[0].rcpt_tos == ["anna@example.com"]


async def test_the_headers_say_what_machines_want_to_know() -> None:
    with mail_server() as server:
        for _ in range(2):
            await deliver(server.settings(), letter(server.settings(), a_mail(), ID))
    first, second = server.messages
    assert first["Message-ID"] == second["Message-ID"] == f"<{ID}@example.com>"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Content-Language"] == "ru"
    assert abs(parsedate_to_datetime(first["Date"]) - datetime.now(UTC)) < timedelta(minutes=5)


async def test_an_international_domain_goes_in_its_ascii_form() -> None:
    with mail_server() as server:
        await deliver(server.settings(), letter(server.settings(), a_mail(to_address="anna@müller.example"), ID))
    assert server.envelopes[0].rcpt_tos == ["anna@xn--mller-kva.example"]


@pytest.mark.parametrize("field", ["subject", "to_name"])
def test_a_line_break_makes_no_header(field: str) -> None:
    with mail_server() as server, pytest.raises((ValueError, Undelivered)):
        letter(server.settings(), a_mail(**{field: "x\r\nBcc: eve@example.com"}), ID)


# Encryption and login


async def test_starttls_and_login(trusted: Certificate) -> None:
    with mail_server(starttls=trusted, login=True) as server:
        settings = server.settings(security="starttls", user=USER, password=PASSWORD)
        await deliver(settings, letter(settings, a_mail(), ID))
    assert server.encrypted == [True]


async def test_tls_from_the_first_byte(trusted: Certificate) -> None:
    with mail_server(tls=trusted) as server:
        settings = server.settings(security="tls")
        await deliver(settings, letter(settings, a_mail(), ID))
    assert len(server.messages) == 1


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_nobody_trusts_gets_nothing(certificate: Certificate, security: str) -> None:
    kind = {"tls": certificate} if security == "tls" else {"starttls": certificate}
    with mail_server(**kind) as server:
        error = await undelivered(server.settings(security=security, user=USER, password=PASSWORD))
    assert (error.failure.trouble, error.final, error.of_the_server) == (Trouble.TLS, False, True)
    assert error.failure.words == "self-signed certificate"
    assert server.messages == []


async def test_where_starttls_is_not_offered_nothing_goes_in_the_clear() -> None:
    with mail_server() as server:
        error = await undelivered(server.settings(security="starttls"))
    assert (error.failure.trouble, error.of_the_server) == (Trouble.NO_TLS, True)
    assert server.messages == []


async def test_tls_to_a_port_that_does_not_speak_it() -> None:
    with mail_server() as server:
        error = await undelivered(server.settings(security="tls"))
    assert error.failure.trouble is Trouble.TLS


async def test_a_wrong_password_is_the_settings_fault_and_no_mails(trusted: Certificate) -> None:
    with mail_server(starttls=trusted, login=True) as server:
        error = await undelivered(server.settings(security="starttls", user=USER, password=PASSWORD + "x"))
    assert (error.failure.trouble, error.final, error.of_the_server) == (Trouble.LOGIN, False, True)
    assert error.failure.words.startswith("535 ")
    assert PASSWORD not in error.failure.words


# Refusals


@pytest.mark.parametrize(
    ("command", "answer", "trouble", "final"),
    [
        ("MAIL", "550 5.7.1 Not yours", Trouble.SENDER, True),
        ("MAIL", "451 4.3.0 Later", Trouble.SENDER, False),
        ("RCPT", "550 5.1.1 No such user here", Trouble.RECIPIENT, True),
        ("RCPT", "450 4.2.0 Greylisted", Trouble.RECIPIENT, False),
        ("DATA", "554 5.7.1 Spam", Trouble.CONTENT, True),
        ("DATA", "452 4.3.1 Full", Trouble.CONTENT, False),
    ],
)
async def test_a_refusal_is_told_in_the_servers_own_words(
    command: str, answer: str, trouble: Trouble, final: bool
) -> None:
    with mail_server() as server:
        server.refusals[command] = answer
        error = await undelivered(server.settings())
    assert (error.failure.trouble, error.failure.words, error.final) == (trouble, answer, final)
    assert not error.of_the_server


async def test_an_address_that_is_none_is_final() -> None:
    with mail_server() as server:
        error = await undelivered(server.settings(), a_mail(to_address="anna@" + "x" * 70 + ".example"))
    assert (error.failure.trouble, error.final) == (Trouble.RECIPIENT, True)


async def test_a_name_before_the_at_that_the_server_does_not_know_how_to_read_is_final() -> None:
    with mail_server() as server:
        error = await undelivered(server.settings(), a_mail(to_address="анна@example.com"))
    assert (error.failure.trouble, error.final) == (Trouble.RECIPIENT, True)


# Servers that are away


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with mail_server() as server:
        error = await undelivered(server.settings(port=port))
    assert (error.failure.trouble, error.final, error.of_the_server) == (Trouble.UNREACHABLE, False, True)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 64 + ".example"])
async def test_there_is_no_such_name(host: str) -> None:
    with mail_server() as server:
        assert (await undelivered(server.settings(host=host))).failure.trouble is Trouble.UNKNOWN_HOST


async def test_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "ANSWER_WITHIN_S", 0.05)
    with saying() as port, mail_server() as server:
        assert (await undelivered(server.settings(port=port))).failure.trouble is Trouble.SLOW


async def test_one_that_never_comes_to_the_point_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "SEND_WITHIN_S", 0.05)
    with saying() as port, mail_server() as server:
        assert (await undelivered(server.settings(port=port))).failure.trouble is Trouble.SLOW


@pytest.mark.parametrize(
    ("lines", "trouble", "words"),
    [
        ((b"554 5.7.1 You are on a list\r\n",), Trouble.CLOSED, "554 5.7.1 You are on a list"),
        ((b"220 hello\r\n", b"250 hello\r\n"), Trouble.CLOSED, "Connection unexpectedly closed"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), Trouble.GARBLED, ""),
        ((b"HTTP/1.1 400 Bad Request\r\n",), Trouble.GARBLED, ""),
    ],
)
async def test_one_that_hangs_up_or_is_none(lines: tuple[bytes, ...], trouble: Trouble, words: str) -> None:
    with saying(*lines) as port, mail_server() as server:
        error = await undelivered(server.settings(port=port))
    assert error.failure.trouble is trouble
    assert words in error.failure.words
    assert error.of_the_server


async def test_whoever_is_told_to_stop_leaves_no_conversation_behind() -> None:
    with saying() as port, mail_server() as server:
        settings = server.settings(port=port)
        with trio.move_on_after(0.05) as scope:
            await deliver(settings, letter(settings, a_mail(), ID))
        assert scope.cancelled_caught
    # `saying` has ended: its thread hears that we hung up.


def test_a_whole_conversation_is_shorter_than_the_lease_on_a_mail() -> None:
    assert timedelta(seconds=smtp.SEND_WITHIN_S + smtp.ANSWER_WITHIN_S) < LEASE
