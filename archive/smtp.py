"""How one mail goes out: its headers, and the conversation with the mail server (RFC 5321).

smtplib in a thread: it is the standard library's, speaks everything that servers want (STARTTLS, AUTH, SMTPUTF8), and
mails are few. Certificates are checked against the system's store (`SSL_CERT_FILE` names another one).

Not here: which mail goes out, and when it is tried again (`postman.py`).
"""

import base64
import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import UUID

import trio

from schema.mails import Failure, Mail, SmtpServer, Trouble

# Servers that check what they are sent may take their time (RFC 5321 section 4.5.3.2 wants minutes).
ANSWER_WITHIN_S: Final = 30.0
# A whole conversation, whatever the server does; less than the lease on a mail.
SEND_WITHIN_S: Final = 120.0
MOST_WORDS: Final = 500
_FINAL: Final = 500
_READY: Final = 220
_LOGGED_IN: Final = 235
# What is wrong with one mail and not with the server or what it was told of us.
_OF_THE_MAIL: Final = frozenset(
    {Trouble.RECIPIENT, Trouble.CONTENT, Trouble.SENDER, Trouble.EXPIRED, Trouble.UNREADABLE}
)


class Undelivered(Exception):
    """The mail did not go out. `final`: the server will not take this mail later either."""

    def __init__(self, trouble: Trouble, words: str = "", *, final: bool = False) -> None:
        super().__init__(f"{trouble}: {words}")
        self.failure = Failure(trouble, words[:MOST_WORDS])
        self.final = final

    @property
    def of_the_server(self) -> bool:
        """Whether any other mail would fare the same."""
        return self.failure.trouble not in _OF_THE_MAIL


def letter(server: SmtpServer, mail: Mail, mail_id: UUID) -> EmailMessage:
    """The mail as it goes out. Its Message-ID stays the same however often it is tried. Errors: Undelivered."""
    message = EmailMessage(policy=SMTP)
    sender = _address(server.sender_name, server.sender, Trouble.SENDER)
    message["From"] = sender
    message["To"] = _address(mail.to_name, mail.to_address, Trouble.RECIPIENT)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{mail_id}@{sender.domain}>"
    # No answering machine answers to these (RFC 3834 section 5).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = mail.language
    return message


async def deliver(server: SmtpServer, message: EmailMessage) -> None:
    """Hands the mail to the server and returns once that took it. Errors: Undelivered."""
    conversation = _Conversation(server)
    try:
        with trio.fail_after(SEND_WITHIN_S):
            await trio.to_thread.run_sync(conversation.hold, message, abandon_on_cancel=True)
    except trio.TooSlowError:
        raise Undelivered(Trouble.SLOW) from None
    finally:
        conversation.end()


class _Conversation:
    """One connection, in a thread. `end` ends it from another."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._smtp: smtplib.SMTP | None = None
        self._ended = False

    def end(self) -> None:
        self._ended = True
        if self._smtp is not None and self._smtp.sock is not None:
            with suppress(OSError):
                self._smtp.sock.shutdown(socket.SHUT_RDWR)

    def hold(self, message: EmailMessage) -> None:
        try:
            self._smtp = smtp = self._made()
            try:
                self._greeted(smtp)
                self._secured(smtp)
                if self._ended:
                    raise Undelivered(Trouble.SLOW)
                smtp.send_message(message)
                with suppress(OSError, smtplib.SMTPException):
                    smtp.quit()  # it has the mail, whatever it says now
            finally:
                smtp.close()
        except smtplib.SMTPSenderRefused as error:
            raise _refused(Trouble.SENDER, error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(Trouble.RECIPIENT, *next(iter(error.recipients.values()))) from error
        except smtplib.SMTPDataError as error:
            raise _refused(Trouble.CONTENT, error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            # An address that is not ASCII, and a server that wants no other.
            raise Undelivered(Trouble.RECIPIENT, str(error), final=True) from error
        except smtplib.SMTPServerDisconnected as error:
            slow = isinstance(error.__context__, TimeoutError)
            raise Undelivered(Trouble.SLOW if slow else Trouble.CLOSED, "" if slow else str(error)) from error
        except smtplib.SMTPResponseException as error:
            trouble = Trouble.GARBLED if error.smtp_code < 0 else Trouble.CLOSED
            raise _refused(trouble, error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPException as error:
            raise Undelivered(Trouble.GARBLED, str(error)) from error
        except OSError as error:
            raise Undelivered(_of_the_network(error), _said(error)) from error
        except UnicodeError as error:
            raise Undelivered(Trouble.UNKNOWN_HOST, str(error)) from error

    def _made(self) -> smtplib.SMTP:
        """Not connected yet, so that `end` can hang up from the first byte on."""
        name = socket.gethostname()
        if self._server.security == "tls":
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=name, timeout=ANSWER_WITHIN_S, context=context)
        else:
            smtp = smtplib.SMTP(local_hostname=name, timeout=ANSWER_WITHIN_S)
        # What certificates are checked against; smtplib sets it only where its constructor connects.
        smtp._host = self._server.host  # type: ignore[attr-defined]  # it is not for the public
        return smtp

    def _greeted(self, smtp: smtplib.SMTP) -> None:
        code, said = smtp.connect(self._server.host, self._server.port)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, said)
        smtp.ehlo_or_helo_if_needed()

    def _secured(self, smtp: smtplib.SMTP) -> None:
        """Encrypts where that is wanted, and logs in where there is a login."""
        server = self._server
        if server.security == "starttls":
            try:
                smtp.starttls(context=ssl.create_default_context())
                smtp.ehlo_or_helo_if_needed()
            except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException) as error:
                raise Undelivered(Trouble.NO_TLS, _words_of(error)) from error
        if server.user:
            try:
                _log_in(smtp, server.user, server.password)
            except smtplib.SMTPServerDisconnected:
                raise
            except smtplib.SMTPException as error:
                raise Undelivered(Trouble.LOGIN, _words_of(error)) from error


def _log_in(smtp: smtplib.SMTP, user: str, password: str) -> None:
    """Errors: those of smtplib."""
    if f"{user}{password}".isascii():
        smtp.login(user, password)
        return
    # smtplib knows no other letters; RFC 4616 does.
    given = base64.b64encode(f"\0{user}\0{password}".encode()).decode("ascii")
    code, answer = smtp.docmd("AUTH", f"PLAIN {given}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, answer)


def _address(name: str, address: str, trouble: Trouble) -> Address:
    """An address with its domain as it goes over the wire (RFC 5890). Errors: Undelivered."""
    local, _, domain = address.rpartition("@")
    try:
        return Address(name, addr_spec=f"{local}@{domain.encode('idna').decode('ascii')}")
    except (ValueError, IndexError, MessageError) as error:
        raise Undelivered(trouble, str(error), final=True) from error


def _refused(trouble: Trouble, code: int, said: bytes | str) -> Undelivered:
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    final = code >= _FINAL and trouble in _OF_THE_MAIL
    return Undelivered(trouble, f"{code} {words}" if code > 0 else words, final=final)


def _words_of(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return str(_refused(Trouble.CLOSED, error.smtp_code, error.smtp_error).failure.words)
    return str(error)


def _of_the_network(error: OSError) -> Trouble:
    if isinstance(error, ssl.SSLError):
        return Trouble.TLS
    if isinstance(error, socket.gaierror):
        return Trouble.UNKNOWN_HOST
    return Trouble.SLOW if isinstance(error, TimeoutError) else Trouble.UNREACHABLE


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or str(error)
