"""What holds for all tenants: who sets it, and that the mail password goes nowhere it was not meant for."""

from dataclasses import replace

import pytest

from schema import platform
from schema.audit import list_entries
from schema.database import open_database
from schema.mails import smtp_server
from schema.profiles import MailFields, PasswordPolicy, PlatformFields
from schema.refusals import NotThere, Refusal
from schema.roles import Role
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import a_user, by

ALL = PlatformFields(
    support_contact="Help desk\n+49 30 123",
    sister_platforms=(("Statistics", "https://stats.example/a?b"), ("Straße", "https://xn--strae-oqa.example")),
    language="pt_BR",
    time_zone="America/Sao_Paulo",
    passwords=PasswordPolicy(characters=16, not_common=False, not_login=False),
)
MAIL = MailFields(
    host="mail.example", port=465, security="tls", user="earshot", sender="calls@example.com", sender_name="Calls"
)
GIVEN = "for the mail server alone"


async def test_all_fields_are_kept_and_strict_passwords_are_the_default(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        assert await platform.get_platform() == PlatformFields()
        assert await platform.password_policy() == PasswordPolicy(characters=12, not_common=True, not_login=True)
        await platform.set_platform(COMMAND, ALL)
        assert await platform.get_platform() == ALL
        assert await platform.password_policy() == ALL.passwords
        await platform.set_platform_language(COMMAND, "fr", "")
        assert await platform.get_platform() == replace(ALL, language="fr", time_zone="")


async def test_what_cannot_be_meant_is_refused(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        for given, code, field in (
            ({"support_contact": "a\tb"}, "text_refused", "support_contact"),
            ({"support_contact": "x" * 2001}, "text_refused", "support_contact"),
            ({"sister_platforms": (("A", "http://a.example"),)}, "address_refused", "sister_platforms"),
            ({"sister_platforms": (("A", "javascript:alert(1)"),)}, "address_refused", "sister_platforms"),
            ({"sister_platforms": (("A", "https://"),)}, "address_refused", "sister_platforms"),
            ({"sister_platforms": (("A", "https://["),)}, "address_refused", "sister_platforms"),
            ({"sister_platforms": (("A", "https://a b"),)}, "address_refused", "sister_platforms"),
            ({"sister_platforms": (("", "https://a.example"),)}, "text_needed", "sister_platforms"),
            ({"language": "xx"}, "language_unknown", "language"),
            ({"time_zone": "Mars/Base"}, "zone_unknown", "time_zone"),
            ({"passwords": PasswordPolicy(characters=7)}, "characters_refused", "characters"),
            ({"passwords": PasswordPolicy(characters=65)}, "characters_refused", "characters"),
        ):
            with pytest.raises(Refusal) as refused:
                await platform.set_platform(COMMAND, replace(ALL, **given))
            assert (refused.value.code, refused.value.field) == (code, field)
        for mail, code, field in (
            (replace(MAIL, host="mail example"), "host_refused", "host"),
            (replace(MAIL, port=0), "port_refused", "port"),
            (replace(MAIL, port=65_536), "port_refused", "port"),
            (replace(MAIL, security="maybe"), "security_unknown", "security"),  # type: ignore[arg-type]  # on purpose
            (replace(MAIL, sender="calls"), "email_refused", "sender"),
            (replace(MAIL, sender=""), "text_needed", "sender"),
            (replace(MAIL, sender_name="a\nBcc: b"), "text_refused", "sender_name"),
        ):
            with pytest.raises(Refusal) as refused:
                await platform.set_mail(COMMAND, mail)
            assert (refused.value.code, refused.value.field) == (code, field)
        assert await platform.get_platform() == PlatformFields()
        assert await platform.mail_fields() == MailFields()


async def test_only_operators_change_it(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        anna = await a_user("anna", Role.ADMINISTRATOR)
        for attempt in (
            platform.set_platform(by(anna), ALL),
            platform.set_platform_language(by(anna), "fr", ""),
            platform.set_mail(by(anna), MAIL),
        ):
            with pytest.raises(NotThere):
                await attempt
        assert await platform.get_platform() == PlatformFields()


async def test_the_mail_password_is_kept_hidden_and_for_its_own_server(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        await platform.set_mail(COMMAND, replace(MAIL, password=GIVEN))
        assert (await smtp_server()).password == GIVEN
        assert await platform.mail_fields() == MAIL
        assert GIVEN not in str((await list_entries(COMMAND.scope)).items)
        # Another sender, the same server: it stays.
        await platform.set_mail(COMMAND, replace(MAIL, sender="other@example.com"))
        assert (await smtp_server()).password == GIVEN
        # Whoever may name a server is not sent the password of another one.
        await platform.set_mail(COMMAND, replace(MAIL, host="evil.example"))
        assert (await smtp_server()).password == ""
        await platform.set_mail(COMMAND, replace(MAIL, password=GIVEN))
        await platform.set_mail(COMMAND, replace(MAIL, password=""))
        assert (await smtp_server()).password == ""
        await platform.set_mail(COMMAND, MailFields())
        assert await platform.mail_fields() == MailFields()
