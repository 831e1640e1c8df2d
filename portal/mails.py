"""What the portal writes to people: each mail in its reader's language, as text and as HTML in the tenant's colour.

    await mails.queue_mail(by, await invitation_mail(account, url, expires_at))

All of them have one form: a greeting, some sentences, maybe one button, and what to do if one did not expect it. No
picture is fetched from anywhere, so that opening a mail tells nobody.

Not here: the queue (`schema/mails.py`), and how mails are sent (the archive).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from quart import current_app
from quart_babel import format_datetime, gettext

from portal.accent import accent
from portal.language import html_language, speaking
from schema.mails import Mail, MailKind
from schema.values import Account

# News of a password that was changed long ago would frighten more than it helps.
NEWS_FOR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Button:
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class _Letter:
    subject: str
    sentences: Sequence[str]
    button: _Button | None = None
    end: str = ""


async def invitation_mail(account: Account, url: str, expires_at: datetime) -> Mail:
    """Somebody may sign in from now on, and sets his password at `url`, until `expires_at`."""
    with speaking(account.language, account.time_zone):
        letter = _Letter(
            gettext("Your access to call recordings of %(tenant)s", tenant=account.tenant),
            (
                gettext(
                    "You have been given access to the call recordings of %(tenant)s. Choose a password to begin.",
                    tenant=account.tenant,
                ),
                gettext("Your login is %(login)s.", login=account.login),
            ),
            _Button(gettext("Choose a password"), url),
            _until(expires_at),
        )
        return await _mail(account, MailKind.INVITATION, letter, expires_at)


async def reset_mail(account: Account, url: str, expires_at: datetime) -> Mail:
    """Somebody, maybe the account's owner, asked for a new password, which is set at `url`, until `expires_at`."""
    with speaking(account.language, account.time_zone):
        letter = _Letter(
            gettext("A new password for your account at %(tenant)s", tenant=account.tenant),
            (
                gettext("Somebody asked for a new password for your login %(login)s.", login=account.login),
                gettext("If it was not you, there is nothing to do: your password stays as it is."),
            ),
            _Button(gettext("Choose a new password"), url),
            _until(expires_at),
        )
        return await _mail(account, MailKind.RESET, letter, expires_at)


async def password_changed_mail(account: Account, address: str) -> Mail:
    """The password was changed just now, from `address`: whoever did not do that himself has to know."""
    with speaking(account.language, account.time_zone):
        letter = _Letter(
            gettext("Your password was changed"),
            (
                gettext("The password of your login %(login)s was changed.", login=account.login),
                *_when_and_where(address),
            ),
            end=gettext("If it was not you, tell your administrator at once."),
        )
        return await _mail(account, MailKind.PASSWORD_CHANGED, letter, datetime.now(UTC) + NEWS_FOR)


async def second_factor_off_mail(account: Account, address: str) -> Mail:
    """The second factor was turned off just now, from `address`."""
    with speaking(account.language, account.time_zone):
        letter = _Letter(
            gettext("Two-factor sign-in was turned off"),
            (
                gettext("Your login %(login)s now needs the password alone.", login=account.login),
                *_when_and_where(address),
            ),
            end=gettext("If you did not expect this, tell your administrator at once."),
        )
        return await _mail(account, MailKind.SECOND_FACTOR_OFF, letter, datetime.now(UTC) + NEWS_FOR)


async def trial_mail(account: Account, to_address: str) -> Mail:
    """What the test of the mail server sends, in the language of the one who tests."""
    with speaking(account.language, account.time_zone):
        letter = _Letter(
            gettext("A test of Earshot's mail"),
            (gettext("This mail went out with the settings that are in force now: they work."),),
        )
        return await _mail(account, MailKind.TEST, letter, datetime.now(UTC) + NEWS_FOR, to_address)


def _until(expires_at: datetime) -> str:
    return gettext(
        "The link works once, until %(moment)s. After that, ask for a new one.",
        moment=format_datetime(expires_at, "long"),
    )


def _when_and_where(address: str) -> tuple[str, ...]:
    moment = format_datetime(datetime.now(UTC), "long")
    if not address:
        return (gettext("This was done on %(moment)s.", moment=moment),)
    return (gettext("This was done on %(moment)s, from the address %(address)s.", moment=moment, address=address),)


async def _mail(account: Account, kind: MailKind, letter: _Letter, expires_at: datetime, to_address: str = "") -> Mail:
    """The mail, in the language at hand."""
    name = account.name or account.login
    greeting = gettext("Hello %(name)s,", name=name)
    button = f"{letter.button.text}:\n{letter.button.url}" if letter.button is not None else ""
    parts = (greeting, *letter.sentences, button, letter.end, f"-- \n{account.tenant}")
    return Mail(
        account_id=account.id,
        tenant_id=account.tenant_id,
        kind=kind,
        to_address=to_address or account.email,
        to_name=name,
        subject=letter.subject,
        text="\n\n".join(part for part in parts if part),
        # Not as a page: nothing of whoever asks belongs into it.
        html=current_app.jinja_env.get_template("mail/letter.html").render(
            letter=letter, greeting=greeting, tenant=account.tenant, accent=accent(account.colour)
        ),
        language=html_language(),
        expires_at=expires_at,
    )
