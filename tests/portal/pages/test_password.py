"""A password by mail: asking for it, and what the link in it opens."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from quart_trio import QuartTrio

from portal import links
from portal.app import create_app
from portal.config import PortalConfig
from portal.limits import ASKING, MAIL
from schema import access, mails, tenants, users
from schema.database import Database, rows, unit
from schema.mails import Mail
from schema.profiles import TenantFields
from schema.values import Account
from tests.people import COMMAND
from tests.portal.clock import no_time_passes
from tests.portal.test_signin import change, text
from tests.portal.visitor import PASSWORD, Visitor, add_account

__all__ = ["no_time_passes"]

NEW = "a better horse battery"
LINK = re.compile(r"https?://[^\s\"]+/set-password/([\w-]+)")


async def post_box() -> list[Mail]:
    """The mails that wait, with what they say."""
    claims = await mails.claim_due(datetime.now(UTC) + timedelta(seconds=1), 50)
    return [claim.mail for claim in claims if claim.mail is not None]


async def ask(visitor: Visitor, login: str, app: QuartTrio | None = None) -> str:
    """Asks for a mail and waits until whatever follows is done; gives what the page says then."""
    async with (app or visitor.app).test_app():
        token = await visitor.token("/forgot-password")
        answer = await visitor.post("/forgot-password", {"login": login, "csrf_token": token})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in"), await text(answer)
        return await text(await visitor.get("/sign-in"))


async def linked(account: Account, *, invitation: bool = False) -> str:
    """The path of a link for this account."""
    secret = links.new_secret()
    soon = datetime.now(UTC) + timedelta(hours=1)
    await access.make_link(None, account.id, links.hash_of(secret), invitation=invitation, expires_at=soon)
    return f"{links.PATH}{secret}"


async def with_address(login: str, email: str = "anna@example.com", **options: object) -> Account:
    account = await add_account(login, **options)
    await change(account, email=email)
    return account


# Asking


@pytest.mark.parametrize("typed", ["anna", " ANNA ", "Default/anna", "Anna@Example.com"])
async def test_who_forgot_his_password_gets_a_link_that_sets_a_new_one(visitor: Visitor, typed: str) -> None:
    await with_address("anna", name="Anna Berg")
    assert "a mail with a link is on its way" in await ask(visitor, typed)
    (mail,) = await post_box()
    assert (mail.to_address, mail.kind) == ("anna@example.com", "reset")
    found = LINK.search(mail.text)
    assert found is not None
    assert found[0].startswith("http://localhost:0/set-password/")  # the port of a portal that does not run
    path = f"{links.PATH}{found[1]}"
    assert "anna" in await text(await visitor.get(path))
    assert "anna" in await text(await visitor.get(path))  # looking uses nothing up
    form = {"password": NEW, "again": NEW, "csrf_token": await visitor.token(path)}
    answer = await visitor.post(path, form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "Your password is set" in await text(await visitor.get("/sign-in"))
    assert (await visitor.sign_in("anna")).status_code == 401
    assert (await visitor.sign_in("anna", NEW)).status_code == 303
    (notice,) = await post_box()
    assert (notice.to_address, notice.kind) == ("anna@example.com", "password changed")


async def test_the_answer_tells_nobody_whether_there_is_an_account(visitor: Visitor) -> None:
    await with_address("anna")
    await add_account("berta")  # has no address
    await with_address("carla", "carla@example.com", may_sign_in=False)
    elsewhere = await with_address("dora", "dora@example.com")
    await change(elsewhere, authentication="oidc")
    pages = {login: await ask(visitor, login) for login in ("anna", "berta", "carla", "dora", "nobody", "x@y.example")}
    told = {re.sub(r"(content|value|nonce|data-now)=\"[^\"]*\"", "", page) for page in pages.values()}
    assert len(told) == 1
    assert [mail.to_address for mail in await post_box()] == ["anna@example.com"]


async def test_what_is_done_for_an_account_is_done_after_the_answer(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the answer takes as long. (Times themselves say nothing on a busy machine.)"""
    await with_address("anna")
    later = []
    monkeypatch.setattr(type(visitor.app), "add_background_task", lambda _, *work: later.append(work))
    token = await visitor.token("/forgot-password")
    for login in ("anna", "nobody"):
        await visitor.post("/forgot-password", {"login": login, "csrf_token": token})
    assert len(later) == 2
    assert await post_box() == []
    async with visitor.app.app_context():
        for work, *given in later:
            await work(*given)
    assert len(await post_box()) == 1


async def test_who_never_had_a_password_can_ask_for_one(visitor: Visitor) -> None:
    await with_address("anna", password_hash="")
    await ask(visitor, "anna")
    assert len(await post_box()) == 1


async def test_a_link_leads_where_this_portal_is_and_not_where_the_visitor_says(
    config: PortalConfig, database: Database
) -> None:
    await with_address("anna")
    evil = {"headers": {"Host": "evil.example"}}
    for public_url, leads_to in (("", None), ("http://calls.example.com", "http://calls.example.com/")):
        app = create_app(replace(config, public_url=public_url), None)
        visitor = Visitor(app)
        async with app.test_app():
            page = await text(await visitor.get("/forgot-password", **evil))
            token = re.search(r'name="csrf-token" content="(\w+)"', page)
            assert token is not None
            await visitor.post("/forgot-password", {"login": "anna", "csrf_token": token[1]}, **evil)
        sent = await post_box()
        assert "evil" not in str(sent)
        assert [mail.text.count(leads_to or "") > 0 for mail in sent] == ([True] if leads_to else [])


async def test_at_a_tenants_host_name_its_users_alone_are_meant_and_led_back_there(visitor: Visitor) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="One", hosts=("localhost",)))
    await with_address("anna", tenant="One")
    await with_address("anna", tenant="Two")
    await ask(visitor, "anna@example.com")
    (mail,) = await post_box()
    assert "One" in mail.subject


@pytest.mark.parametrize(
    ("public_url", "asked", "leads_to"),
    [
        ("", "ACME.test:1337", "http://acme.test:8080"),
        ("https://calls.example.com", "acme.test:1337", "https://acme.test"),
        ("https://calls.example.com:8443", "Acme.Test", "https://acme.test:8443"),
        ("https://calls.example.com", "localhost:1337", "https://calls.example.com"),
        ("", "LOCALHOST:1337", "http://localhost:8080"),
        ("", "[::1]:1337", "http://[::1]:8080"),
    ],
)
async def test_no_port_and_no_spelling_of_the_visitor_gets_into_a_link(
    config: PortalConfig, database: Database, public_url: str, asked: str, leads_to: str
) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="One", hosts=("acme.test",)))
    await with_address("anna", tenant="One")
    app = create_app(replace(config, public_url=public_url, bind=("127.0.0.1", 8080)), None)
    visitor = Visitor(app)
    async with app.test_app():
        page = await text(await visitor.get("/forgot-password", headers={"Host": asked}))
        token = re.search(r'name="csrf-token" content="(\w+)"', page)
        assert token is not None
        there = {"Host": asked, "Cookie": f"earshot={visitor.cookie()}"}
        given = {"login": "anna@example.com", "csrf_token": token[1]}
        answer = await visitor.post("/forgot-password", given, headers=there)
        assert answer.status_code == 303, await text(answer)
    (mail,) = await post_box()
    assert re.findall(r"(https?://\S+)/set-password/", mail.text) == [leads_to]


@pytest.mark.usefixtures("no_time_passes")
async def test_nobodys_mailbox_is_filled(visitor: Visitor) -> None:
    await with_address("anna")
    for _ in range(MAIL.free + 2):
        await ask(visitor, "anna")
    assert len(await post_box()) == MAIL.free


@pytest.mark.usefixtures("no_time_passes")
async def test_who_asks_too_often_is_told_when_to_come_back(visitor: Visitor) -> None:
    for n in range(ASKING.free):
        await ask(visitor, f"user {n}")
    token = await visitor.token("/forgot-password")
    answer = await visitor.post("/forgot-password", {"login": "anna", "csrf_token": token})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Too many attempts" in await text(answer)


async def test_another_site_asks_for_nothing(visitor: Visitor) -> None:
    await with_address("anna")
    assert (await visitor.post("/forgot-password", {"login": "anna"})).status_code == 403
    assert await post_box() == []


async def test_for_nobody_no_mail_is_wanted(visitor: Visitor) -> None:
    token = await visitor.token("/forgot-password")
    answer = await visitor.post("/forgot-password", {"login": " ", "csrf_token": token})
    assert answer.status_code == 422


# The link


async def test_an_invitation_welcomes_and_its_first_password_is_no_news(visitor: Visitor) -> None:
    account = await with_address("anna", name="Anna Berg", password_hash="")
    path = await linked(account, invitation=True)
    assert "Welcome, Anna Berg." in await text(await visitor.get(path))
    form = {"password": NEW, "again": NEW, "csrf_token": await visitor.token(path)}
    assert (await visitor.post(path, form)).status_code == 303
    assert (await visitor.sign_in("anna", NEW)).status_code == 303
    assert await post_box() == []


@pytest.mark.parametrize(
    ("password", "again", "sentence"),
    [
        ("short", "short", "This has 5 characters; 12 or more are needed."),
        ("my name is Anna", "my name is Anna", "This holds the login."),
        ("qwerty123456", "qwerty123456", "This is among the passwords that are tried first."),
        (NEW, f"{NEW}!", "This is not the same as above."),
        ("", "", "Please fill in this field."),
    ],
)
async def test_a_password_that_cannot_be_taken_leaves_the_link_as_it_is(
    visitor: Visitor, password: str, again: str, sentence: str
) -> None:
    path = await linked(await add_account("anna"))
    token = await visitor.token(path)
    answer = await visitor.post(path, {"password": password, "again": again, "csrf_token": token})
    assert answer.status_code == 422
    page = await text(answer)
    assert sentence in page
    assert not password or f'value="{password}"' not in page
    assert (await visitor.get(path)).status_code == 200
    assert (await visitor.sign_in("anna")).status_code == 303


async def test_a_link_that_opens_nothing_says_what_to_do(visitor: Visitor) -> None:
    account = await add_account("anna")
    path = await linked(account)
    form = {"password": NEW, "again": NEW, "csrf_token": await visitor.token(path)}
    await visitor.post(path, form)
    for dead in (path, f"{links.PATH}nonsense"):
        for answer in (await visitor.get(dead), await visitor.post(dead, form)):
            assert answer.status_code == 404
            assert "This link does not work any more" in await text(answer)


async def test_a_link_needs_the_token_of_its_page(visitor: Visitor) -> None:
    path = await linked(await add_account("anna"))
    answer = await visitor.post(path, {"password": NEW, "again": NEW})
    assert answer.status_code == 403
    assert (await visitor.get(path)).status_code == 200
    assert (await visitor.sign_in("anna", NEW)).status_code == 401


async def test_a_new_password_by_a_link_ends_the_sessions_of_who_knew_the_old_one(visitor: Visitor) -> None:
    account = await add_account("anna")
    thief = Visitor(visitor.app)
    await thief.sign_in("anna")
    path = await linked(account)
    await visitor.post(path, {"password": NEW, "again": NEW, "csrf_token": await visitor.token(path)})
    assert (await thief.get("/")).headers["Location"].startswith("/sign-in")


async def test_neither_the_link_nor_the_password_stands_in_the_database(visitor: Visitor, config: PortalConfig) -> None:
    account = await add_account("anna")
    path = await linked(account)
    secret = path.removeprefix(links.PATH)
    (kept,) = await links_kept()
    assert secret not in str(kept)
    await visitor.post(path, {"password": NEW, "again": NEW, "csrf_token": await visitor.token(path)})
    written = b"".join(one.read_bytes() for one in config.data_dir.glob("earshot.sqlite*"))
    assert secret.encode() not in written
    assert NEW.encode() not in written
    assert PASSWORD.encode() not in written
    assert (await visitor.get("/sign-in")).status_code == HTTPStatus.OK


@unit
async def links_kept() -> list[dict[str, object]]:
    return await rows("SELECT * FROM access_link")


@pytest.mark.parametrize(
    ("changed", "opens"),
    [
        ({"name": "Anna Berg", "language": "fr"}, 200),
        ({"email": "bea@example.com"}, 404),
        ({"email": ""}, 404),
        ({"login": "bea"}, 404),
        ({"authentication": "oidc"}, 404),
        ({"may_sign_in": False}, 404),
    ],
)
@pytest.mark.parametrize("invitation", [True, False])
async def test_a_link_ends_when_what_it_was_mailed_for_changes(
    visitor: Visitor, changed: dict[str, object], opens: int, invitation: bool
) -> None:
    account = await with_address("anna")
    path = await linked(account, invitation=invitation)
    user = await users.get_user(COMMAND.scope, account.id)
    assert user is not None
    await users.update_user(COMMAND, account.id, replace(user.fields, **changed))
    await users.update_user(COMMAND, account.id, user.fields)  # what ended does not come back
    assert (await visitor.get(path)).status_code == opens


async def test_a_link_ends_when_a_password_is_set_otherwise(visitor: Visitor) -> None:
    account = await with_address("anna")
    path = await linked(account, invitation=True)
    await access.set_password(COMMAND, account.id, "another hash", must_change=False)
    assert (await visitor.get(path)).status_code == 404
