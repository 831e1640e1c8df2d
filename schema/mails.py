"""Mails on their way out: a queue in the database, which whoever sends them (`archive/postman.py`) claims from.

A claim is a lease: who sends has LEASE for it, and nobody else gets the mail meanwhile. What became of it counts only
from whoever still holds the lease. Contents are sealed, for they hold links that let people in, and are deleted once a
mail went out or never will.

Not here: what mails say (the portal), how they are sent (`archive/smtp.py`), the form of the server's settings
(`platform.py`).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, cast
from uuid import UUID

from schema.audited import changing
from schema.checked import email
from schema.columns import as_id, as_moment, microseconds, moment, new_id
from schema.database import is_sqlite, reading, rows, transaction, unit
from schema.entries import About, Action, By, Resource
from schema.models import MailMessage
from schema.profiles import Listed
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import Reach
from schema.sealing import NotReadable, seal, unseal
from schema.values import Scope

# Longer than sending one may take (`archive/smtp.py`): two never send the same.
LEASE: Final = timedelta(minutes=5)
# How long the list tells of a mail.
KEPT: Final = timedelta(days=30)
# Where the password of the mail server is sealed: of the table `platform`, which has one row.
SMTP_PASSWORD_PLACE: Final = "platform.smtp_password"  # noqa: S105 (the name of a place)
_CONTENT_PLACE: Final = "mail_message.content.{}"


class MailKind(StrEnum):
    """Why a mail was written."""

    INVITATION = "invitation"
    RESET = "reset"
    PASSWORD_CHANGED = "password changed"  # noqa: S105 (the name of a kind)
    SECOND_FACTOR_OFF = "second factor off"
    TEST = "test"


class MailState(StrEnum):
    """`sending`: somebody has it in hand, until `due_at` at the latest."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


_MAY_RETRY: Final = frozenset({MailState.WAITING, MailState.FAILED})


class Trouble(StrEnum):
    """Why a mail did not go out; the portal has a sentence for each."""

    NO_SERVER = "no_server"
    UNKNOWN_HOST = "unknown_host"
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    CLOSED = "closed"
    NO_TLS = "no_tls"
    TLS = "tls"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"
    GARBLED = "garbled"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    NO_PASSWORD = "no_password"  # noqa: S105 (the name of a trouble)


@dataclass(frozen=True, slots=True)
class Failure:
    """What kept a mail from going out; `words`: what the server or the system said, as it said it."""

    trouble: Trouble
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as it is to be read: `text` and `html` say the same, in `language`. Of no use from `expires_at` on."""

    account_id: UUID | None
    tenant_id: UUID
    kind: MailKind
    to_address: str
    to_name: str
    subject: str
    text: str
    html: str
    language: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that one may send, until the lease ends. `attempt` counts from 1; `mail` is None where its content cannot
    be read any more."""

    id: UUID
    attempt: int
    until: datetime
    mail: Mail | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailView:
    """A mail as the list tells of it. `due_at`: when it is tried next, of one that waits."""

    id: UUID
    account_id: UUID | None
    kind: MailKind
    to_address: str
    to_name: str
    subject: str
    state: MailState
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    failure: Failure | None
    may_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """How mail goes out. Its password stays in the processes that send."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    user: str
    password: str
    sender: str
    sender_name: str

    @property
    def usable(self) -> bool:
        return bool(self.host and self.sender)


@unit
async def queue_mail(by: By | None, mail: Mail) -> UUID:
    """Puts a mail into the queue; inside a transaction of the caller's it goes out only if that one succeeds.

    `by`: who caused it, of which the audit trail tells; None where nobody is signed in. Errors: Refusal
    (email_refused, mail_missing).
    """
    now, mail_id, address = datetime.now(UTC), new_id(), email(mail.to_address)
    if not address:
        raise Refusal("mail_missing", login=mail.to_name)
    content = json.dumps({"text": mail.text, "html": mail.html, "language": mail.language}, ensure_ascii=False)
    async with transaction():
        await MailMessage.create(
            id=mail_id,
            tenant_id=mail.tenant_id,
            account_id=mail.account_id,
            kind=str(mail.kind),
            to_address=address,
            to_name=_line(mail.to_name),
            subject=_line(mail.subject),
            content=seal(clean(content), _CONTENT_PLACE.format(mail_id)),
            state=str(MailState.WAITING),
            attempts=0,
            created_at=now,
            due_at=now,
            expires_at=mail.expires_at,
            error="",
        )
        if by is not None:
            async with changing(by) as changes:
                about = About(mail_id, address, mail.account_id or "")
                told = {"kind": str(mail.kind), "recipient": address}
                changes.note(Resource.MAIL, Action.CREATE, about, tenant_id=mail.tenant_id, details=told)
    return mail_id


@unit
async def claim_due(now: datetime, limit: int) -> tuple[Claim, ...]:
    """Mails that are due, the ones that waited longest first: they are the caller's until LEASE from `now`."""
    # Mostly nothing is due: who only looks waits for no writer, and keeps none waiting.
    due = "SELECT 1 AS one FROM mail_message WHERE state IN ('waiting', 'sending') AND due_at <= $1 LIMIT 1"
    if not await rows(due, now):
        return ()
    # SQLite has one writer at a time, and no such clause.
    skip = "" if is_sqlite() else " FOR UPDATE SKIP LOCKED"
    found = await rows(
        "UPDATE mail_message SET state = 'sending', attempts = attempts + 1, due_at = $1 WHERE id IN "  # noqa: S608  # ours
        "(SELECT id FROM mail_message WHERE state IN ('waiting', 'sending') AND due_at <= $2 "
        f"ORDER BY due_at, id LIMIT $3{skip}) RETURNING *",
        now + LEASE,
        now,
        limit,
    )
    return tuple(_claim(row) for row in sorted(found, key=lambda row: as_id(row["id"])))


@unit
async def sent(claim: Claim, now: datetime) -> None:
    """The mail server took it."""
    await rows(
        "UPDATE mail_message SET state = 'sent', sent_at = $1, content = '', error = '' "
        "WHERE id = $2 AND due_at = $3 AND state = 'sending'",
        now,
        claim.id,
        claim.until,
    )


@unit
async def failed(claim: Claim, failure: Failure, again_at: datetime | None, *, for_good: bool = False) -> None:
    """It did not go out; it is tried again at `again_at`, or, where that is None, only if somebody asks for it.

    `for_good`: nobody can, for nobody would have anything of it; its content is deleted.
    """
    state = MailState.WAITING if again_at is not None else MailState.FAILED
    await rows(
        "UPDATE mail_message SET state = $1, error = $2, due_at = COALESCE($3, due_at), "
        "content = CASE WHEN $4 THEN '' ELSE content END WHERE id = $5 AND due_at = $6 AND state = 'sending'",
        str(state),
        json.dumps([failure.trouble, _line(failure.words)], ensure_ascii=False),
        again_at,
        for_good,
        claim.id,
        claim.until,
    )


@unit
async def forget_old(now: datetime) -> None:
    """Deletes what is of no use: contents of mails that came too late, and mails of which nobody asks any more."""
    useless = (
        "SELECT 1 AS one FROM mail_message WHERE state = 'failed' AND expires_at <= $1 AND content <> '' "
        "OR state IN ('sent', 'failed') AND created_at <= $2 LIMIT 1"
    )
    if not await rows(useless, now, now - KEPT):
        return
    await rows("UPDATE mail_message SET content = '' WHERE state = 'failed' AND expires_at <= $1", now)
    await rows("DELETE FROM mail_message WHERE state IN ('sent', 'failed') AND created_at <= $1", now - KEPT)


@unit
async def retry(by: By, mail_id: UUID) -> None:
    """Lets a mail that failed or waits be tried at once, and then for a whole day again. Errors: NotThere."""
    async with changing(by) as changes:
        where, values = _of(by.scope)
        found = await rows(
            "UPDATE mail_message SET state = 'waiting', attempts = 0, due_at = $1 "  # noqa: S608  # ours
            f"WHERE id = $2 AND state IN ('waiting', 'failed') AND content <> '' AND expires_at > $1 "
            f"AND {where.format(3)} RETURNING to_address, account_id, tenant_id, kind",
            datetime.now(UTC),
            mail_id,
            *values,
        )
        if not found:
            raise NotThere
        row = found[0]
        about = About(mail_id, row["to_address"], "" if row["account_id"] is None else as_id(row["account_id"]))
        tenant_id = None if row["tenant_id"] is None else as_id(row["tenant_id"])
        details = {"kind": row["kind"], "recipient": row["to_address"]}
        changes.note(Resource.MAIL, Action.UPDATE, about, tenant_id=tenant_id, details=details)


@unit
async def all_due(scope: Scope) -> None:
    """Lets all that wait be tried at once: the settings of the mail server were changed."""
    where, values = _of(scope)
    await rows(
        "UPDATE mail_message SET due_at = $1 WHERE state = 'waiting' AND error <> '' "  # noqa: S608  # ours
        f"AND {where.format(2)}",
        datetime.now(UTC),
        *values,
    )


@reading
async def list_mails(
    scope: Scope,
    *,
    state: MailState | None = None,
    account_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Listed[MailView]:
    """The newest first. `account_id`: to this user. Errors: ValueError for a cursor that this list did not give."""
    where, values = _of(scope)
    conditions = [where.format(1)]
    if account_id is not None:
        values.append(account_id)
        conditions.append(f"account_id = ${len(values)}")
    if state is not None:
        values.append(str(state))
        conditions.append(f"state = ${len(values)}")
    if cursor is not None:
        values += _position(cursor)
        conditions.append(f"(created_at, id) < (${len(values) - 1}, ${len(values)})")
    values.append(limit + 1)
    found = await rows(
        f"SELECT * FROM mail_message WHERE {' AND '.join(conditions)} "  # noqa: S608  # ours
        f"ORDER BY created_at DESC, id DESC LIMIT ${len(values)}",
        *values,
    )
    now = datetime.now(UTC)
    items = tuple(_view(row, now) for row in found[:limit])
    return Listed(items, _cursor(items[-1]) if len(found) > limit else None)


@reading
async def count_mails(scope: Scope) -> dict[MailState, int]:
    """How many there are of each state; one without any is left out."""
    where, values = _of(scope)
    query = f"SELECT state, count(*) AS number FROM mail_message WHERE {where.format(1)} GROUP BY state"  # noqa: S608
    return {MailState(row["state"]): int(row["number"]) for row in await rows(query, *values)}


@reading
async def can_go_out() -> bool:
    """Whether a mail server is set up at all: until then mails wait."""
    (row,) = await rows("SELECT smtp_host, mail_from FROM platform LIMIT 1")
    return bool(row["smtp_host"] and row["mail_from"])


@unit
async def smtp_server() -> SmtpServer:
    """How mail goes out, the password included: for who sends it, and for nobody's eyes. Errors: NotReadable."""
    (row,) = await rows("SELECT * FROM platform LIMIT 1")
    return SmtpServer(
        host=row["smtp_host"],
        port=row["smtp_port"],
        security=cast('Literal["starttls", "tls", "none"]', row["smtp_security"]),
        user=row["smtp_user"],
        password=unseal(row["smtp_password"], SMTP_PASSWORD_PLACE),
        sender=row["mail_from"],
        sender_name=row["mail_from_name"],
    )


def _of(scope: Scope) -> tuple[str, list[Any]]:
    """A condition, with the place of its parameter to be filled in, and the parameter."""
    if scope.reach is Reach.PLATFORM:
        return "TRUE", []
    # Whoever reaches less than a tenant has nothing to do with mails.
    return ("tenant_id = ${}", [scope.tenant_id]) if scope.reach is Reach.TENANT else ("FALSE", [])


def _claim(row: dict[str, Any]) -> Claim:
    mail_id, until = as_id(row["id"]), as_moment(row["due_at"])
    try:
        content = json.loads(unseal(row["content"], _CONTENT_PLACE.format(mail_id)))
    except (NotReadable, ValueError):
        return Claim(mail_id, row["attempts"], until, None)
    mail = Mail(
        account_id=None if row["account_id"] is None else as_id(row["account_id"]),
        tenant_id=as_id(row["tenant_id"]),
        kind=MailKind(row["kind"]),
        to_address=row["to_address"],
        to_name=row["to_name"],
        subject=row["subject"],
        text=content["text"],
        html=content["html"],
        language=content["language"],
        expires_at=as_moment(row["expires_at"]),
    )
    return Claim(mail_id, row["attempts"], until, mail)


def _view(row: dict[str, Any], now: datetime) -> MailView:
    state = MailState(row["state"])
    failure = None
    if row["error"]:
        trouble, words = json.loads(row["error"])
        failure = Failure(Trouble(trouble), words)
    return MailView(
        id=as_id(row["id"]),
        account_id=None if row["account_id"] is None else as_id(row["account_id"]),
        kind=MailKind(row["kind"]),
        to_address=row["to_address"],
        to_name=row["to_name"],
        subject=row["subject"],
        state=state,
        attempts=row["attempts"],
        created_at=as_moment(row["created_at"]),
        due_at=as_moment(row["due_at"]),
        sent_at=None if row["sent_at"] is None else as_moment(row["sent_at"]),
        failure=failure,
        may_retry=state in (MailState.WAITING, MailState.FAILED)
        and bool(row["content"])
        and as_moment(row["expires_at"]) > now,
    )


def _line(text: str) -> str:
    """A text on one line, whatever it holds: nothing becomes a header of a mail that was none."""
    return " ".join(str(clean(text)).split())


def _cursor(last: MailView) -> str:
    return f"{microseconds(last.created_at)}.{last.id.hex}"


def _position(cursor: str) -> list[Any]:
    first, _, last = cursor.partition(".")
    try:
        return [moment(int(first)), UUID(hex=last)]
    except (ValueError, OverflowError) as error:
        raise ValueError("The cursor is not one that this list gave. Begin again without one.") from error
