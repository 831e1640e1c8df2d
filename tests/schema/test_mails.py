"""The queue of mails: who gets one, what becomes of it, and what of it stays readable. No mail is sent here."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schema import audit, mails
from schema.columns import new_id
from schema.database import Database, open_database, rows, transaction, unit
from schema.entries import Action, Resource
from schema.mails import LEASE, Claim, Failure, Mail, MailKind, MailState, Trouble
from schema.refusals import NotThere, Refusal
from schema.roles import Reach
from schema.values import DEFAULT_TENANT, NOBODY, Scope
from tests.databases import KEY
from tests.people import COMMAND

LINK = "https://calls.example.com/set-password/s3cret"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, key=KEY) as opened:
        yield opened


def a_mail(**changes: Any) -> Mail:
    given: dict[str, Any] = {
        "account_id": None,
        "tenant_id": DEFAULT_TENANT,
        "kind": MailKind.RESET,
        "to_address": "anna@example.com",
        "to_name": "Анна Müller",
        "subject": "Ein neues Kennwort",
        "text": f"Hier: {LINK}",
        "html": f"<a href={LINK}>Hier</a>",
        "language": "de",
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    return Mail(**given | changes)


async def claimed() -> Claim:
    (claim,) = await mails.claim_due(datetime.now(UTC), 1)
    return claim


async def views() -> tuple[mails.MailView, ...]:
    return (await mails.list_mails(COMMAND.scope)).items


@unit
async def contents() -> list[str]:
    return [row["content"] for row in await rows("SELECT content FROM mail_message ORDER BY id")]


# Into the queue and out of it


async def test_a_mail_comes_out_as_it_was_written(database: Database) -> None:
    mail = a_mail()
    mail_id = await mails.queue_mail(None, mail)
    claim = await claimed()
    assert (claim.id, claim.attempt) == (mail_id, 1)
    assert claim.mail == replace(mail, expires_at=claim.mail.expires_at)
    assert abs(claim.mail.expires_at - mail.expires_at) < timedelta(milliseconds=1)


async def test_its_content_is_sealed_and_goes_when_it_was_sent(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    (content,) = await contents()
    assert content
    assert "s3cret" not in content
    await mails.sent(await claimed(), datetime.now(UTC))
    assert await contents() == [""]
    (view,) = await views()
    assert (view.state, view.attempts, view.failure, view.may_retry) == (MailState.SENT, 1, None, False)
    assert view.sent_at is not None


async def test_no_line_of_a_mail_becomes_a_header(database: Database) -> None:
    await mails.queue_mail(None, a_mail(subject="Hello\r\nBcc: eve@example.com", to_name="A\nB\x00"))
    claim = await claimed()
    assert claim.mail.subject == "Hello Bcc: eve@example.com"
    assert "\n" not in claim.mail.to_name


@pytest.mark.parametrize(
    ("address", "code"),
    [("", "mail_missing"), ("anna", "email_refused"), ("a@b.example\r\nBcc: c@d.example", "email_refused")],
)
async def test_what_is_no_address_is_refused(address: str, code: str, database: Database) -> None:
    with pytest.raises(Refusal) as refused:
        await mails.queue_mail(None, a_mail(to_address=address))
    assert refused.value.code == code
    assert await views() == ()


async def test_it_goes_out_only_if_the_transaction_around_it_succeeds(database: Database) -> None:
    @unit
    async def changed_my_mind() -> None:
        async with transaction():
            await mails.queue_mail(None, a_mail())
            raise KeyError

    with pytest.raises(KeyError):
        await changed_my_mind()
    assert await views() == ()


async def test_the_trail_tells_who_caused_it_and_nothing_of_its_content(database: Database) -> None:
    account_id = new_id()
    mail_id = await mails.queue_mail(COMMAND, a_mail(account_id=account_id))
    (entry,) = (await audit.list_entries(COMMAND.scope, audit.Filters(resource=Resource.MAIL))).items
    assert (entry.action, entry.about.id, entry.about.name) == (Action.CREATE, str(mail_id), "anna@example.com")
    assert entry.about.parent_id == str(account_id)
    assert "s3cret" not in repr(entry)


# Claims


async def test_two_hosts_never_get_the_same(database: Database) -> None:
    ids = {await mails.queue_mail(None, a_mail()) for _ in range(5)}
    now = datetime.now(UTC)
    first, second = await mails.claim_due(now, 3), await mails.claim_due(now, 3)
    assert {claim.id for claim in first} | {claim.id for claim in second} == ids
    assert len(first) + len(second) == 5
    assert await mails.claim_due(now, 3) == ()


async def test_a_claim_ends_and_then_the_first_has_no_say_any_more(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    now = datetime.now(UTC)
    (first,) = await mails.claim_due(now, 1)
    assert await mails.claim_due(now + LEASE - timedelta(seconds=1), 1) == ()
    (second,) = await mails.claim_due(now + LEASE, 1)
    assert (second.id, second.attempt) == (first.id, 2)
    await mails.sent(first, now)
    await mails.failed(first, Failure(Trouble.SLOW), None)
    assert (await views())[0].state is MailState.SENDING
    await mails.sent(second, now)
    assert (await views())[0].state is MailState.SENT


async def test_what_failed_is_due_again_when_it_was_said(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    again = datetime.now(UTC) + timedelta(minutes=1)
    await mails.failed(await claimed(), Failure(Trouble.RECIPIENT, "450 busy\r\nnow"), again)
    (view,) = await views()
    assert (view.state, view.failure) == (MailState.WAITING, Failure(Trouble.RECIPIENT, "450 busy now"))
    assert view.due_at == again
    assert await mails.claim_due(again - timedelta(seconds=1), 1) == ()
    assert len(await mails.claim_due(again, 1)) == 1


async def test_what_nobody_would_have_anything_of_loses_its_content(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    await mails.failed(await claimed(), Failure(Trouble.EXPIRED), None, for_good=True)
    (view,) = await views()
    assert (view.state, view.may_retry) == (MailState.FAILED, False)
    assert await contents() == [""]


async def test_under_another_master_key_it_is_claimed_without_its_content(database: Database) -> None:
    await mails.queue_mail(None, a_mail())

    @unit
    async def spoil() -> None:
        await rows("UPDATE mail_message SET content = '1:' || substr(content, 7)")

    await spoil()
    assert (await claimed()).mail is None


# Another try


async def test_another_try_begins_from_the_beginning(database: Database) -> None:
    mail_id = await mails.queue_mail(None, a_mail())
    await mails.failed(await claimed(), Failure(Trouble.CONTENT, "554 no"), None)
    (view,) = await views()
    assert (view.state, view.may_retry) == (MailState.FAILED, True)
    await mails.retry(COMMAND, mail_id)
    claim = await claimed()
    assert claim.attempt == 1
    assert "s3cret" in claim.mail.text


async def test_what_was_sent_or_is_in_hand_or_came_too_late_has_no_other_try(database: Database) -> None:
    sent_id = await mails.queue_mail(None, a_mail())
    await mails.sent(await claimed(), datetime.now(UTC))
    in_hand = await mails.queue_mail(None, a_mail())
    await claimed()
    late = await mails.queue_mail(None, a_mail(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    for mail_id in (sent_id, in_hand, late, new_id()):
        with pytest.raises(NotThere):
            await mails.retry(COMMAND, mail_id)


async def test_new_settings_make_what_waits_due_but_not_what_is_in_hand(database: Database) -> None:
    failed_id = await mails.queue_mail(None, a_mail())
    await mails.failed(await claimed(), Failure(Trouble.LOGIN, "535"), datetime.now(UTC) + timedelta(hours=2))
    await mails.queue_mail(None, a_mail())
    in_hand = await claimed()
    await mails.all_due(COMMAND.scope)
    assert [claim.id for claim in await mails.claim_due(datetime.now(UTC), 5)] == [failed_id]
    assert in_hand.id != failed_id


async def test_old_ones_are_forgotten_and_contents_that_are_of_no_use(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    await mails.failed(await claimed(), Failure(Trouble.CONTENT), None)
    await mails.queue_mail(None, a_mail())
    await mails.sent(await claimed(), datetime.now(UTC))
    now = datetime.now(UTC)
    await mails.forget_old(now + timedelta(hours=2))
    assert await contents() == ["", ""]
    await mails.queue_mail(None, a_mail())
    await mails.forget_old(now + mails.KEPT + timedelta(hours=1))
    (view,) = await views()
    assert view.state is MailState.WAITING


# The list


async def test_the_newest_come_first_page_by_page(database: Database) -> None:
    ids = [await mails.queue_mail(None, a_mail()) for _ in range(5)]
    seen: list[UUID] = []
    cursor = None
    for expected in (2, 2, 1):
        page = await mails.list_mails(COMMAND.scope, limit=2, cursor=cursor)
        assert len(page.items) == expected
        seen += [view.id for view in page.items]
        cursor = page.next
    assert cursor is None
    assert seen == ids[::-1]
    with pytest.raises(ValueError, match="cursor"):
        await mails.list_mails(COMMAND.scope, cursor="x.y")


async def test_by_state_and_counted(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    await mails.sent(await claimed(), datetime.now(UTC))
    await mails.queue_mail(None, a_mail())
    assert await mails.count_mails(COMMAND.scope) == {MailState.SENT: 1, MailState.WAITING: 1}
    (view,) = (await mails.list_mails(COMMAND.scope, state=MailState.SENT)).items
    assert view.state is MailState.SENT


@pytest.mark.parametrize(
    ("scope", "sees"),
    [
        (Scope(DEFAULT_TENANT, NOBODY, Reach.TENANT), 1),
        (Scope(new_id(), NOBODY, Reach.TENANT), 0),
        (Scope(DEFAULT_TENANT, NOBODY, Reach.MANAGED), 0),
        (Scope(DEFAULT_TENANT, NOBODY, Reach.OWN), 0),
        (Scope(new_id(), NOBODY, Reach.PLATFORM), 1),
    ],
)
async def test_a_tenant_sees_its_own(scope: Scope, sees: int, database: Database) -> None:
    mail_id = await mails.queue_mail(None, a_mail())
    assert len((await mails.list_mails(scope)).items) == sees
    assert await mails.count_mails(scope) == ({MailState.WAITING: 1} if sees else {})
    if not sees:
        with pytest.raises(NotThere):
            await mails.retry(replace(COMMAND, scope=scope), mail_id)
