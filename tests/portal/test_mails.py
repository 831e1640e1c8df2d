"""What mails say: each in its reader's language, with what he needs to know, as text and as HTML."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from quart_trio import QuartTrio

from portal import mails
from portal.language import LANGUAGES
from schema.columns import new_id
from schema.mails import Mail, MailKind
from schema.roles import Role
from schema.values import DEFAULT_TENANT, Account

URL = "https://calls.example.com/set-password/AbC-_123?a=b&c=d"
UNTIL = datetime(2026, 12, 24, 18, 30, tzinfo=UTC)
ANNA = Account(
    id=new_id(),
    tenant_id=DEFAULT_TENANT,
    tenant="Berg & Söhne <GmbH>",
    login="anna",
    name="Anna Berg",
    role=Role.USER,
    may_sign_in=True,
    email="anna@example.com",
    time_zone="Europe/Berlin",
    colour="#2f9e44",
)

Letter = Callable[[Account], Awaitable[Mail]]
LETTERS: dict[MailKind, Letter] = {
    MailKind.INVITATION: lambda account: mails.invitation_mail(account, URL, UNTIL),
    MailKind.RESET: lambda account: mails.reset_mail(account, URL, UNTIL),
    MailKind.PASSWORD_CHANGED: lambda account: mails.password_changed_mail(account, "192.0.2.7"),
    MailKind.SECOND_FACTOR_OFF: lambda account: mails.second_factor_off_mail(account, "192.0.2.7"),
    MailKind.TEST: lambda account: mails.trial_mail(account, "olga@example.com"),
}


async def written(app: QuartTrio, kind: MailKind, account: Account = ANNA) -> Mail:
    async with app.app_context():
        return await LETTERS[kind](account)


@pytest.mark.parametrize("kind", list(MailKind))
async def test_it_goes_to_its_reader_and_greets_him(app: QuartTrio, kind: MailKind) -> None:
    mail = await written(app, kind)
    assert (mail.kind, mail.account_id, mail.tenant_id) == (kind, ANNA.id, DEFAULT_TENANT)
    assert mail.to_address == ("olga@example.com" if kind is MailKind.TEST else "anna@example.com")
    assert mail.text.startswith("Hello Anna Berg,\n\n")
    assert mail.language == "en"
    assert mail.subject


@pytest.mark.parametrize("kind", [MailKind.INVITATION, MailKind.RESET])
async def test_the_link_is_whole_in_both_parts_and_told_until_when_it_works(app: QuartTrio, kind: MailKind) -> None:
    mail = await written(app, kind)
    assert f"\n{URL}\n" in mail.text
    assert mail.html.count(URL.replace("&", "&amp;")) == 2
    assert mail.expires_at == UNTIL
    assert "December 24, 2026" in mail.text
    assert "7:30:00 PM CET" in mail.text.replace("\u202f", " ").replace("GMT+01:00", "CET").replace("+0100", "CET")


@pytest.mark.parametrize("kind", [MailKind.PASSWORD_CHANGED, MailKind.SECOND_FACTOR_OFF])
async def test_news_says_from_where_it_was_done_and_is_soon_none(app: QuartTrio, kind: MailKind) -> None:
    mail = await written(app, kind)
    assert "192.0.2.7" in mail.text
    assert "http" not in mail.text  # nobody learns to press what such mails hold
    assert mail.expires_at < datetime.now(UTC) + timedelta(days=2)


@pytest.mark.parametrize("kind", list(MailKind))
async def test_the_html_says_what_the_text_says_and_fetches_nothing(app: QuartTrio, kind: MailKind) -> None:
    mail = await written(app, kind)
    assert "Berg &amp; Söhne &lt;GmbH&gt;" in mail.html
    assert "<GmbH>" not in mail.html
    assert not re.search(r"<(img|link|script|style|iframe)|url\(|src=", mail.html)
    assert "border-top: 4px solid #2" in mail.html  # the tenant's green, dark enough to be read
    assert '<html lang="en">' in mail.html


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
@pytest.mark.parametrize("kind", list(MailKind))
async def test_it_is_in_its_readers_language(app: QuartTrio, kind: MailKind, language: str) -> None:
    english, mail = await written(app, kind), await written(app, kind, replace(ANNA, language=language))
    assert mail.language == language.replace("_", "-")
    assert f'<html lang="{mail.language}">' in mail.html
    # Dates follow the language by themselves, whether or not a text has its translation yet.
    if kind is not MailKind.TEST:
        assert mail.text != english.text


async def test_who_asks_does_not_matter(app: QuartTrio) -> None:
    async with app.test_request_context("/", headers={"Accept-Language": "fr"}):
        mail = await mails.reset_mail(replace(ANNA, language="ru"), URL, UNTIL)
    assert mail.language == "ru"
    assert "декабря" in mail.text


async def test_who_has_no_name_is_greeted_by_login(app: QuartTrio) -> None:
    mail = await written(app, MailKind.RESET, replace(ANNA, name=""))
    assert mail.text.startswith("Hello anna,")
    assert mail.to_name == "anna"
