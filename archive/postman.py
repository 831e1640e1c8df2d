"""Sends the mails of the queue, one after the other, as they fall due.

A mail that cannot go out is tried again after a minute, then after twice as long each time up to two hours, for a day;
then it has failed, and waits for somebody who asks for another try. One that the server refuses for good has failed at
once, and one whose link would be dead when it came is not sent. Where the server itself is in trouble, the others wait
REST_S before one of them is tried.

Not here: the queue (`schema/mails.py`), the conversation with the server (`smtp.py`), what mails say (the portal).
"""

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Final

import structlog
import trio

from archive.smtp import Undelivered, deliver, letter
from schema import mails
from schema.mails import Claim, Mail, SmtpServer, Trouble
from schema.sealing import NotReadable

log = structlog.get_logger()

# Who asked for a new password waits for it.
LOOK_EVERY_S: Final = 2.0
REST_S: Final = 30.0
FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=2)
# Their pauses sum up to a day.
MOST_ATTEMPTS: Final = 19
FORGET_EVERY_S: Final = 3600.0


def pause_after(attempt: int) -> timedelta | None:
    """How long a mail rests after this attempt (1 or more) failed; None after the last."""
    if attempt >= MOST_ATTEMPTS:
        return None
    return min(FIRST_PAUSE * float(2 ** (attempt - 1)), LONGEST_PAUSE)


class Postman:
    """`send` hands one mail to a server. Errors of it: Undelivered."""

    def __init__(self, send: Callable[[SmtpServer, EmailMessage], Awaitable[None]] = deliver) -> None:
        self._send = send
        self._forget_due_s = -math.inf

    async def run(self) -> None:
        """Sends for ever. Errors: those of the database."""
        while True:
            pause_s = await self.deliver_next()
            await trio.sleep(pause_s)

    async def deliver_next(self) -> float:
        """Tries the mail that is due the longest, if there is one; gives the seconds until it is worth going on."""
        await self._forget()
        claims = await mails.claim_due(datetime.now(UTC), 1)
        if not claims:
            return LOOK_EVERY_S
        (claim,) = claims
        try:
            await self._try(claim.mail, claim)
        except Undelivered as undelivered:
            await self._put_off(claim, undelivered)
            return REST_S if undelivered.of_the_server else 0.0
        await mails.sent(claim, datetime.now(UTC))
        log.info("mail_sent", mail=str(claim.id), kind=claim.mail.kind if claim.mail else "", attempt=claim.attempt)
        return 0.0

    async def _try(self, mail: Mail | None, claim: Claim) -> None:
        if mail is None:
            raise Undelivered(Trouble.UNREADABLE, final=True)
        if mail.expires_at <= datetime.now(UTC):
            raise Undelivered(Trouble.EXPIRED, final=True)
        try:
            server = await mails.smtp_server()
        except NotReadable:
            raise Undelivered(Trouble.NO_PASSWORD) from None
        if not server.usable:
            raise Undelivered(Trouble.NO_SERVER)
        await self._send(server, letter(server, mail, claim.id))

    async def _put_off(self, claim: Claim, undelivered: Undelivered) -> None:
        pause = None if undelivered.final else pause_after(claim.attempt)
        again_at = None if pause is None else datetime.now(UTC) + pause
        if again_at is not None and claim.mail is not None and again_at >= claim.mail.expires_at:
            again_at = None
        failure = undelivered.failure
        for_good = failure.trouble in (Trouble.EXPIRED, Trouble.UNREADABLE)
        await mails.failed(claim, failure, again_at, for_good=for_good)
        log.warning(
            "mail_not_sent",
            mail=str(claim.id),
            attempt=claim.attempt,
            trouble=str(failure.trouble),
            words=failure.words,
            again_s=None if pause is None or again_at is None else pause.total_seconds(),
        )

    async def _forget(self) -> None:
        if trio.current_time() >= self._forget_due_s:
            await mails.forget_old(datetime.now(UTC))
            self._forget_due_s = trio.current_time() + FORGET_EVERY_S
