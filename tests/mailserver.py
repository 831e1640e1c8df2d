"""A mail server on a loopback port of its own, which keeps what it gets or refuses it: aiosmtpd in a thread.

No test lives here.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from schema.mails import SmtpServer
from tests.certificates import Certificate

USER, PASSWORD = "recorder", "pässword"


@dataclass
class MailServer:
    """`refusals`: what it answers to MAIL, RCPT or DATA instead of taking them."""

    port: int
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)

    def settings(self, **changes: Any) -> SmtpServer:
        given: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "security": "none",
            "user": "",
            "password": "",
            "sender": "calls@example.com",
            "sender_name": "Übersicht, GmbH",
        }
        return SmtpServer(**given | changes)

    async def handle_MAIL(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if "MAIL" in self.refusals:
            return self.refusals["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if "RCPT" in self.refusals:
            return self.refusals["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.refusals:
            return self.refusals["DATA"]
        message = message_from_bytes(envelope.original_content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 taken"


@contextmanager
def mail_server(
    *, tls: Certificate | None = None, starttls: Certificate | None = None, login: bool = False, port: int = 0
) -> Iterator[MailServer]:
    """A server that speaks TLS from the first byte, offers STARTTLS, or neither; `login`: only for USER."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # aiosmtpd wants to be told a port
        server = MailServer(free.getsockname()[1])
    options: dict[str, Any] = {"ident": "test"}
    if starttls is not None:
        options |= {"tls_context": _context(starttls), "require_starttls": True}
    if login:
        options |= {
            "authenticator": _authenticated,
            "auth_required": True,
            "auth_require_tls": starttls is not None,
        }
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        ssl_context=_context(tls) if tls is not None else None,
        **options,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def _authenticated(_: SMTP, __: Session, ___: Envelope, mechanism: str, given: object) -> AuthResult:
    right = isinstance(given, LoginPassword) and given.login == USER.encode() and given.password == PASSWORD.encode()
    return AuthResult(success=right, handled=False)


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
