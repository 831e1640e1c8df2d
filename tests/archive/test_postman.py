"""The queue is worked off: by a postman on a database of his own, with a real mail server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from archive.postman import LOOK_EVERY_S, MOST_ATTEMPTS, REST_S, Postman, pause_after
from schema import mails, platform
from schema.database import Database, open_database, rows, unit
from schema.mails import Failure, MailState, MailView, Trouble
from schema.profiles import MailFields
from tests.archive.test_smtp import a_mail
from tests.databases import KEY
from tests.mailserver import mail_server
from tests.people import COMMAND


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, key=KEY) as opened:
        yield opened


async def set_server(port: int, **changes: Any) -> None:
    given: dict[str, Any] = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "calls@example.com"}
    await platform.set_mail(COMMAND, MailFields(**given | changes))


async def view() -> MailView:
    (found,) = (await mails.list_mails(COMMAND.scope)).items
    return found


@unit
async def make_due() -> None:
    await rows("UPDATE mail_message SET due_at = created_at WHERE state = 'waiting'")


async def test_what_is_queued_arrives_once(database: Database) -> None:
    with mail_server() as server:
        await set_server(server.port)
        for _ in range(3):
            await mails.queue_mail(None, a_mail())
        first, second = Postman(), Postman()
        assert [await each.deliver_next() for each in (first, second, first, second)] == [0, 0, 0, LOOK_EVERY_S]
    assert len(server.messages) == 3
    assert len({message["Message-ID"] for message in server.messages}) == 3
    assert await mails.count_mails(COMMAND.scope) == {MailState.SENT: 3}


async def test_a_server_that_is_away_is_tried_again_later(database: Database) -> None:
    with mail_server() as server:
        port = server.port
    await set_server(port)
    await mails.queue_mail(None, a_mail())
    before = datetime.now(UTC)
    assert await Postman().deliver_next() == REST_S
    found = await view()
    assert (found.state, found.attempts, found.failure.trouble) == (MailState.WAITING, 1, Trouble.UNREACHABLE)
    assert timedelta(minutes=1) <= found.due_at - before < timedelta(minutes=2)
    assert await Postman().deliver_next() == LOOK_EVERY_S


async def test_it_goes_out_once_the_server_is_back(database: Database) -> None:
    await mails.queue_mail(None, a_mail())
    assert await Postman().deliver_next() == REST_S
    assert (await view()).failure == Failure(Trouble.NO_SERVER)
    with mail_server() as server:
        await set_server(server.port)
        await mails.all_due(COMMAND.scope)
        assert await Postman().deliver_next() == 0
        assert len(server.messages) == 1
    assert (await view()).state is MailState.SENT


@pytest.mark.parametrize(
    ("answer", "state"), [("550 5.1.1 No such user", MailState.FAILED), ("450 4.2.0 Later", MailState.WAITING)]
)
async def test_a_refusal_for_good_is_not_tried_again(database: Database, answer: str, state: MailState) -> None:
    with mail_server() as server:
        server.refusals["RCPT"] = answer
        await set_server(server.port)
        await mails.queue_mail(None, a_mail())
        assert await Postman().deliver_next() == 0
    found = await view()
    assert (found.state, found.failure, found.may_retry) == (state, Failure(Trouble.RECIPIENT, answer), True)


async def test_one_that_cannot_go_out_does_not_keep_the_others(database: Database) -> None:
    with mail_server() as server:
        await set_server(server.port)
        await mails.queue_mail(None, a_mail(to_address="анна@example.com"))
        await mails.queue_mail(None, a_mail())
        assert [await Postman().deliver_next() for _ in range(3)] == [0, 0, LOOK_EVERY_S]
        assert len(server.messages) == 1


async def test_a_dead_link_is_not_sent(database: Database) -> None:
    with mail_server() as server:
        await set_server(server.port)
        await mails.queue_mail(None, a_mail(expires_at=datetime.now(UTC)))
        await Postman().deliver_next()
        assert server.messages == []
    found = await view()
    assert (found.state, found.failure.trouble, found.may_retry) == (MailState.FAILED, Trouble.EXPIRED, False)


async def test_it_is_not_kept_for_a_time_at_which_its_link_would_be_dead(database: Database) -> None:
    await mails.queue_mail(None, a_mail(expires_at=datetime.now(UTC) + timedelta(seconds=50)))
    await Postman().deliver_next()
    found = await view()
    assert (found.state, found.failure.trouble, found.may_retry) == (MailState.FAILED, Trouble.NO_SERVER, True)


async def test_after_a_day_it_has_failed(database: Database) -> None:
    await mails.queue_mail(None, a_mail(expires_at=datetime.now(UTC) + timedelta(days=7)))
    for attempt in range(1, MOST_ATTEMPTS + 1):
        await make_due()
        await Postman().deliver_next()
        found = await view()
        assert found.attempts == attempt
    assert (found.state, found.may_retry) == (MailState.FAILED, True)


def test_the_pauses_grow_and_make_a_day() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, MOST_ATTEMPTS)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(minutes=1)
    assert timedelta(hours=22) < sum(pauses, timedelta()) < timedelta(hours=26)
    assert pause_after(MOST_ATTEMPTS) is None


async def test_what_was_written_under_another_key_has_failed_for_good(database: Database) -> None:
    @unit
    async def spoil() -> None:
        await rows("UPDATE mail_message SET content = '1:' || substr(content, 7)")

    await mails.queue_mail(None, a_mail())
    await spoil()
    await Postman().deliver_next()
    found = await view()
    assert (found.state, found.failure.trouble, found.may_retry) == (MailState.FAILED, Trouble.UNREADABLE, False)


async def test_a_password_under_another_key_waits_for_somebody_who_enters_it(database: Database) -> None:
    @unit
    async def spoil() -> None:
        await rows("UPDATE platform SET smtp_password = '1:' || substr(smtp_password, 7)")

    with mail_server() as server:
        await set_server(server.port, user="recorder", password="x")  # noqa: S106 (of a server that ends with the test)
        await spoil()
        await mails.queue_mail(None, a_mail())
        assert await Postman().deliver_next() == REST_S
    assert (await view()).failure == Failure(Trouble.NO_PASSWORD)


async def test_the_log_tells_of_no_address_and_no_content(database: Database) -> None:
    with structlog.testing.capture_logs() as logs, mail_server() as server:
        await set_server(server.port)
        await mails.queue_mail(None, a_mail())
        await Postman().deliver_next()
        server.refusals["RCPT"] = "450 4.2.0 Later"
        await mails.queue_mail(None, a_mail())
        await Postman().deliver_next()
    assert [log["event"] for log in logs] == ["mail_sent", "mail_not_sent"]
    assert "anna" not in repr(logs)
    assert "set-password" not in repr(logs)


async def test_old_mails_are_forgotten_by_the_way(database: Database) -> None:
    @unit
    async def age() -> None:
        await rows("UPDATE mail_message SET created_at = $1", datetime.now(UTC) - mails.KEPT - timedelta(days=1))

    with mail_server() as server:
        await set_server(server.port)
        await mails.queue_mail(None, a_mail())
        await Postman().deliver_next()
    await age()
    await Postman().deliver_next()
    assert await mails.count_mails(COMMAND.scope) == {}
