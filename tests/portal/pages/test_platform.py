"""What holds for all tenants: the form of the platform."""

import pytest
from quart_trio import QuartTrio

from schema import platform
from schema.profiles import PasswordPolicy, PlatformFields
from schema.roles import Role
from tests.people import COMMAND
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

PAGE = "/administration/platform"


@pytest.fixture
async def otto(app: QuartTrio) -> Desk:
    return await desk_of(app, "otto", Role.OPERATOR)


async def test_all_of_it_is_changed(otto: Desk) -> None:
    answer = await otto.fill(
        PAGE,
        support_contact="Help desk\r\n+49 30 901820",
        sister_name=["Europe", ""],
        sister_address=["https://eu.example.com", ""],
        language="es",
        time_zone="Europe/Madrid",
        characters="14",
        not_login=None,
    )
    assert (answer.status, answer.location) == (303, PAGE)
    assert await platform.get_platform() == PlatformFields(
        support_contact="Help desk\n+49 30 901820",
        sister_platforms=(("Europe", "https://eu.example.com"),),
        language="es",
        time_zone="Europe/Madrid",
        passwords=PasswordPolicy(characters=14, not_common=True, not_login=False),
    )


async def test_the_form_shows_what_is_stored_and_a_row_for_more(otto: Desk) -> None:
    fields = PlatformFields(support_contact="Ext. 100", sister_platforms=(("Europe", "https://eu.example.com"),))
    await platform.set_platform(COMMAND, fields)
    form = await otto.form(PAGE)
    assert form["support_contact"] == ["Ext. 100"]
    assert form["sister_name"] == ["Europe", ""]
    assert form["characters"] == ["12"]
    assert form["not_common"] == ["on"]
    # Saved as it is, nothing changes; a row that was emptied is gone.
    await otto.fill(PAGE)
    assert await platform.get_platform() == fields
    await otto.fill(PAGE, sister_name=["", ""], sister_address=["", ""])
    assert (await platform.get_platform()).sister_platforms == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"characters": "7"}, "This must be a whole number from 8 to 64."),
        ({"characters": ""}, "Please fill in this field."),
        ({"language": "xx"}, "Please choose one of the list."),
        ({"sister_name": ["Europe"], "sister_address": [""]}, "Each platform needs a name and an address."),
        (
            {"sister_name": ["Europe"], "sister_address": ["http://eu.example.com"]},
            "http://eu.example.com is no address that begins with https://.",
        ),
        ({"sister_name": ["Europe"], "sister_address": ["javascript:alert(1)"]}, "is no address that begins with"),
        ({"sister_name": ["Europe"], "sister_address": ["https://user@eu.example.com"]}, "is no address that begins"),
        ({"sister_name": ["Europe"], "sister_address": ["https://[::1"]}, "is no address that begins with"),
        ({"sister_name": ["x" * 101], "sister_address": ["https://eu.example.com"]}, "is too long"),
        (
            {"sister_name": ["x"] * 21, "sister_address": ["https://eu.example.com"] * 21},
            "At most 20 platforms fit on the sign-in page.",
        ),
        ({"support_contact": "x" * 501}, "This is too long: at most 500 characters fit."),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_kept(
    otto: Desk, given: dict[str, str | list[str]], told: str
) -> None:
    before = await platform.get_platform()
    answer = await otto.fill(PAGE, **{"support_contact": "Ext. 100", **given})
    assert answer.status == 422
    assert told in answer.words
    if "support_contact" not in given:
        assert "Ext. 100</textarea>" in answer.text
    for name in given.get("sister_name", ()):
        assert f'value="{name}"' in answer.text
    assert await platform.get_platform() == before


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(otto: Desk) -> None:
    opened = await otto.form(PAGE)
    now = PlatformFields(support_contact="Ext. 200", passwords=PasswordPolicy(characters=16))
    await platform.set_platform(COMMAND, now)
    answer = await otto.send(PAGE, opened, support_contact="Ext. 100")
    assert answer.status == 409
    assert "Support contact Ext. 200 Ext. 100" in answer.words
    assert "Fewest characters 16 12" in answer.words
    assert await platform.get_platform() == now


async def test_only_operators_come_here(app: QuartTrio) -> None:
    await add_account("anna")
    anna = await signed_in(app, "anna")
    assert (await anna.get(PAGE)).status == 403
    assert (await anna.press(PAGE, support_contact="Me")).status == 403
