"""Phones: the list, a line, its form, and what its buttons do."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from quart_trio import QuartTrio

from schema import phones
from schema.calls import get_call
from schema.profiles import Phone, PhoneFields
from schema.roles import Role
from schema.values import CallRecord, PartyRecord
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

INDEX = "/administration/phones"

Keep = Callable[..., Awaitable[CallRecord]]


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


async def ullas() -> Phone:
    found = await phones.list_phones(COMMAND.scope, text="300", status="all")
    return found.items[0]


def page_of(phone: Phone) -> str:
    return f"{INDEX}/{phone.id}"


async def test_the_list_says_whose_a_line_is(anna: Desk) -> None:
    assert "300 Ulla Skinner Active" in await anna.words(INDEX)
    assert "300 Ulla Skinner" in await anna.words(f"{INDEX}?q=SKINNER")
    assert "No phone is like this" in await anna.words(f"{INDEX}?q=999")


async def test_an_empty_list_says_how_the_first_gets_there(app: QuartTrio) -> None:
    desk = await desk_of(app, "anna", Role.ADMINISTRATOR)
    assert "No phones yet A phone says whose a call is" in await desk.words(INDEX)


async def test_a_line_is_made_by_its_users_login(anna: Desk, people: People) -> None:
    answer = await anna.fill(f"{INDEX}/new", line="301", user_id="ULLA", name="At the door")
    assert answer.status == 303
    told = await anna.words(answer.location)
    assert "The phone 301 was created." in told
    assert "Line 301 Label At the door User Ulla Skinner Status Active" in told


async def test_a_form_may_begin_with_the_user(anna: Desk, people: People) -> None:
    assert (await anna.form(f"{INDEX}/new?user={people.ulla.id}"))["user_id"] == ["ulla"]
    assert (await anna.form(f"{INDEX}/new?user={uuid4()}"))["user_id"] == [""]


async def test_earlier_calls_of_the_line_that_were_nobodys_are_claimed(anna: Desk, keep: Keep, people: People) -> None:
    record = await keep(callee=PartyRecord("301", "Front door"))
    answer = await anna.fill(f"{INDEX}/new", line="301", user_id="ulla")
    assert "1 earlier call of this line belongs to Ulla Skinner now." in await anna.words(answer.location)
    call = await get_call(COMMAND.scope, record.id, silent_nodes=())
    assert call is not None
    assert call.record.callee.user_id == people.ulla.id


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"line": "", "user_id": "ulla"}, "Please fill in this field."),
        ({"line": "300", "user_id": "ulla"}, "There is a phone 300 in Default already."),
        ({"line": "301", "user_id": ""}, "Please fill in this field."),
        ({"line": "301", "user_id": "ull"}, "There is no user with the login ull."),
    ],
    ids=["no-line", "taken", "no-user", "nobody"],
)
async def test_what_is_wrong_is_said_at_its_field_and_kept(anna: Desk, given: dict[str, str], told: str) -> None:
    answer = await anna.fill(f"{INDEX}/new", name="Label", **given)
    assert answer.status == 422
    assert told in answer.words
    assert 'value="Label"' in answer.text
    assert 'aria-invalid="true"' in answer.text


async def test_a_line_goes_to_somebody_else(anna: Desk, people: People) -> None:
    phone = await ullas()
    assert (await anna.fill(f"{page_of(phone)}/edit", user_id="sam")).status == 303
    assert "User Sam Reed" in await anna.words(page_of(phone))


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(anna: Desk, people: People) -> None:
    phone = await ullas()
    address = f"{page_of(phone)}/edit"
    opened = await anna.form(address)
    await phones.update_phone(COMMAND, phone.id, PhoneFields(line="300", user_id=people.sam.id, name="Desk 4"))
    answer = await anna.send(address, opened, line="302")
    assert answer.status == 409
    assert "Line 300 302" in answer.words
    assert "User Sam Reed Ulla Skinner" in answer.words
    assert (await ullas()).fields.user_id == people.sam.id


async def test_a_disabled_line_says_what_that_means(anna: Desk) -> None:
    phone = await ullas()
    await anna.press(f"{page_of(phone)}/disable")
    told = await anna.words(page_of(phone))
    assert "The phone 300 is disabled: new calls of it are nobody's." in told
    assert "This phone is disabled: new calls of it are recorded, and belong to nobody." in told
    assert "300" not in await anna.words(INDEX)
    assert "300 Ulla Skinner Disabled" in await anna.words(f"{INDEX}?status=disabled")
    await anna.press(f"{page_of(phone)}/enable")
    assert "300 Ulla Skinner Active" in await anna.words(INDEX)


async def test_a_line_is_deleted(anna: Desk) -> None:
    phone = await ullas()
    page = await anna.page(page_of(phone))
    assert "earlier ones stay with Ulla Skinner. This cannot be undone." in page
    assert (await anna.press(f"{page_of(phone)}/delete")).location == INDEX
    assert (await anna.get(page_of(phone))).status == 404


async def test_another_tenants_line_is_not_there(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus")
    desk = await signed_in(app, "Flexus/eve")
    phone = await ullas()
    assert "300" not in await desk.words(INDEX)
    assert (await desk.get(page_of(phone))).status == 404
    for deed in ("edit", "disable", "enable", "delete"):
        assert (await desk.press(f"{page_of(phone)}/{deed}", line="1", user_id="eve")).status == 404
    assert await ullas() == phone
    # Nor can a line be given to somebody of another tenant, or be learned of by trying.
    answer = await desk.fill(f"{INDEX}/new", line="300", user_id="ulla")
    assert answer.status == 422
    assert "There is no user with the login ulla." in answer.words


async def test_an_operator_names_the_tenant_of_a_login_that_several_have(app: QuartTrio, people: People) -> None:
    await add_account("ulla", Role.USER, tenant="Flexus", name="Ulla Other")
    desk = await desk_of(app, "otto", Role.OPERATOR)
    unclear = await desk.fill(f"{INDEX}/new", line="301", user_id="ulla")
    assert unclear.status == 422
    assert "Several tenants have a user ulla." in unclear.words
    answer = await desk.fill(f"{INDEX}/new", line="300", user_id="Flexus/ulla")
    assert answer.status == 303
    told = await desk.words(INDEX)
    assert "300 Ulla Skinner Default Active" in told
    assert "300 Ulla Other Flexus Active" in told
    # What is there already stays in its tenant.
    assert (await desk.fill(f"{page_of(await ullas())}/edit", user_id="ulla", name="Desk")).status == 303
