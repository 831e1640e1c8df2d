"""The page of mail: settings that are kept, a test that sends at once, a queue that tells what became of each mail."""

import re
from datetime import UTC, datetime, timedelta

from archive.postman import Postman
from schema import mails, platform
from schema.columns import new_id
from schema.database import Database
from schema.mails import MailState
from schema.roles import Role
from tests.archive.test_smtp import a_mail
from tests.mailserver import PASSWORD, mail_server
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account

PATH = "/administration/mail"


async def operator(visitor: Visitor) -> None:
    await add_account("olga", Role.OPERATOR, name="Olga Peters")
    await visitor.sign_in("olga")


async def page(visitor: Visitor, path: str = PATH) -> str:
    answer = await visitor.get(path)
    assert answer.status_code == 200
    return (await answer.get_data()).decode()


async def send(visitor: Visitor, path: str = PATH, **fields: str) -> tuple[int, str]:
    shown = await page(visitor)
    version = re.search(r'name="version" value="(\w*)"', shown)
    form = {"csrf_token": await visitor.token(PATH), "version": version[1] if version else "", **fields}
    answer = await visitor.post(path, form)
    return answer.status_code, (await answer.get_data()).decode()


async def settings(visitor: Visitor, port: int, **fields: str) -> tuple[int, str]:
    given = {"host": "127.0.0.1", "port": str(port), "security": "none", "sender": "calls@example.com"}
    return await send(visitor, **given | fields)


async def test_settings_are_kept_and_the_password_is_not_shown(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    assert (await settings(visitor, 2525, user="recorder", password=PASSWORD, sender_name="Calls"))[0] == 303
    shown = await page(visitor)
    assert 'value="2525"' in shown
    assert PASSWORD not in shown
    assert "Leave it empty to keep" in shown
    assert (await settings(visitor, 2526, user="recorder"))[0] == 303
    server = await mails.smtp_server()
    assert (server.port, server.password) == (2526, PASSWORD)


async def test_an_empty_port_is_the_usual_one(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    for security, port in (("starttls", 587), ("tls", 465), ("none", 25)):
        assert (await send(visitor, host="mx.example.com", security=security, sender="a@example.com"))[0] == 303
        assert (await platform.mail_fields()).port == port


async def test_what_is_wrong_is_told_at_its_field_and_nothing_is_saved(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    for field, value in (("sender", "nobody"), ("port", "70000"), ("host", "a b"), ("security", "ssl")):
        given = {"host": "mx.example.com", "port": "25", "security": "none", "sender": "calls@example.com"}
        status, shown = await send(visitor, **given | {field: value})
        assert status == 422
        assert f'id="error-{field}"' in shown
    assert (await platform.mail_fields()).host == ""


async def test_what_somebody_else_changed_meanwhile_is_not_undone(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    form = {"csrf_token": await visitor.token(PATH), "version": "stale", "host": "x", "port": "25", "security": "none"}
    assert (await visitor.post(PATH, form)).status_code == 409
    assert (await platform.mail_fields()).host == ""


async def test_a_test_sends_at_once(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    with mail_server() as server:
        await settings(visitor, server.port)
        status, shown = await send(visitor, f"{PATH}/test", to="olga@example.com")
    assert status == 200
    assert "took a mail to olga@example.com" in shown
    assert server.envelopes[0].rcpt_tos == ["olga@example.com"]
    assert await mails.count_mails(COMMAND.scope) == {}


async def test_a_test_that_fails_shows_the_servers_own_words(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    with mail_server() as server:
        server.refusals["RCPT"] = "550 5.7.1 <b>We do not relay</b>"
        await settings(visitor, server.port)
        status, shown = await send(visitor, f"{PATH}/test", to="olga@example.com")
    assert status == 422
    assert "The mail server does not accept the recipient&#39;s address." in shown
    assert "550 5.7.1 &lt;b&gt;We do not relay&lt;/b&gt;" in shown


async def test_a_test_without_a_server_or_an_address_says_what_is_missing(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    status, shown = await send(visitor, f"{PATH}/test", to="olga@example.com")
    assert status == 422
    assert "No mail server is set" in shown
    for to in ("", "nobody", "a@example.com\r\nBcc: b@example.com"):
        status, shown = await send(visitor, f"{PATH}/test", to=to)
        assert status == 422
        assert 'id="error-to"' in shown


async def test_the_queue_tells_what_became_of_each(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    with mail_server() as server:
        await settings(visitor, server.port)
        mail_id = await mails.queue_mail(None, a_mail(subject="Für <Anna>"))
        assert "Waits" in await page(visitor)
        server.refusals["RCPT"] = "550 5.1.1 No such user"
        await Postman().deliver_next()
        shown = await page(visitor)
        assert "Failed" in shown
        assert "The mail server said: 550 5.1.1 No such user" in shown
        assert "Für &lt;Anna&gt;" in shown
        assert "set-password" not in shown
        server.refusals.clear()
        assert (await send(visitor, f"{PATH}/{mail_id}/retry"))[0] == 303
        await Postman().deliver_next()
        assert len(server.messages) == 1
    assert "Sent on" in await page(visitor)
    assert str(mail_id) not in await page(visitor)  # there is nothing to try again


async def test_new_settings_are_tried_at_once(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    await mails.queue_mail(None, a_mail(expires_at=datetime.now(UTC) + timedelta(days=1)))
    await Postman().deliver_next()
    assert "No mail server is set, so nothing goes out." in await page(visitor)
    with mail_server() as server:
        await settings(visitor, server.port)
        await Postman().deliver_next()
        assert len(server.messages) == 1


async def test_the_list_by_state(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    await mails.queue_mail(None, a_mail(to_address="waiting@example.com"))
    assert "waiting@example.com" in await page(visitor, f"{PATH}?state={MailState.WAITING}")
    assert "No message is like this" in await page(visitor, f"{PATH}?state=sent")
    assert (await visitor.get(f"{PATH}?state=odd")).status_code == 404
    assert (await visitor.get(f"{PATH}?cursor=odd")).status_code == 404


async def test_what_is_not_there_cannot_be_tried_again(database: Database, visitor: Visitor) -> None:
    await operator(visitor)
    assert (await send(visitor, f"{PATH}/{new_id()}/retry"))[0] == 404
