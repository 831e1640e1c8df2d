"""How a tenant looks: name, colour and logo, and who is shown the logo."""

import io

import pytest
from quart_trio import QuartTrio
from werkzeug.datastructures import FileStorage

from portal.accent import accent
from portal.pages.appearance import told
from schema import tenants
from schema.profiles import TenantFields
from schema.values import DEFAULT_TENANT
from tests.people import COMMAND
from tests.portal.pages.conftest import People
from tests.portal.pages.desk import Desk, signed_in
from tests.portal.test_pictures import JPEG, PNG
from tests.portal.visitor import Visitor, add_account

PAGE = "/administration/customization/appearance"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


def file(data: bytes, name: str = "logo.png") -> dict[str, FileStorage]:
    return {"logo": FileStorage(io.BytesIO(data), filename=name, content_type="image/png")}


async def look() -> tuple[str, str, bool]:
    found = await tenants.get_tenant(COMMAND.scope, DEFAULT_TENANT)
    assert found is not None
    return found.fields.name, found.fields.colour, found.has_logo


async def test_name_and_colour_are_changed(anna: Desk) -> None:
    answer = await anna.upload(PAGE, {}, name="PeriSolutions", colour="#B3261E")
    assert (answer.status, answer.location) == (303, PAGE)
    assert await look() == ("PeriSolutions", "#b3261e", False)
    page = await anna.page(PAGE)
    assert 'value="#b3261e"' in page
    assert accent("#b3261e").light in page


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": ""}, "Please fill in this field."),
        ({"name": "FLEXUS"}, "There is a tenant Flexus already."),
        ({"colour": "red"}, "Write a colour as #rrggbb, or leave this empty."),
    ],
    ids=["empty", "taken", "colour"],
)
async def test_what_is_wrong_is_said_at_its_field_and_changes_nothing(
    anna: Desk, given: dict[str, str], told: str
) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="Flexus"))
    answer = await anna.upload(PAGE, file(PNG), **given)
    assert answer.status == 422
    assert told in answer.words
    assert await look() == ("Default", "", False)


@pytest.mark.parametrize(
    ("colour", "sentence"),
    [
        ("", "Empty: the portal's own blue."),
        ("blue", "Write a colour as #rrggbb, or leave this empty."),
        ("#ffe066", "Texts in this colour could hardly be read on light pages: there it is made darker"),
        ("#003366", "Texts in this colour can be read on light pages. On dark ones it is made lighter"),
        ("#808080", "Texts in this colour could hardly be read. It is made darker on light pages"),
    ],
)
def test_a_colour_says_how_well_it_can_be_read(colour: str, sentence: str) -> None:
    # Outside of a request, texts are the sources' own.
    assert told(colour).startswith(sentence)


async def test_the_preview_is_told_what_becomes_of_a_colour(anna: Desk) -> None:
    response = await anna.visitor.get("/administration/customization/colours?colour=%23ffe066")
    shades = accent("#ffe066")
    found = await response.get_json()
    assert (found["light"], found["on_light"]) == (shades.light, shades.on_light)
    assert (found["dark"], found["on_dark"]) == ("#ffe066", shades.on_dark)
    assert shades.light in found["told"]


async def test_a_logo_is_shown_to_everybody_and_taken_away(app: QuartTrio, anna: Desk) -> None:
    address = f"/logo?tenant={DEFAULT_TENANT}"
    stranger = Visitor(app)
    assert (await stranger.get(address)).status_code == 404
    assert (await anna.upload(PAGE, file(PNG))).status == 303
    assert (await look())[2]
    shown = await stranger.get(address)
    assert shown.status_code == 200
    assert await shown.get_data() == PNG
    assert shown.content_type == "image/png"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert address in await anna.page(PAGE)
    await anna.upload(PAGE, {}, remove_logo="on")
    assert not (await look())[2]
    assert (await stranger.get(address)).status_code == 404


async def test_a_browser_gets_a_logo_again_when_it_changed(app: QuartTrio, anna: Desk) -> None:
    address = f"/logo?tenant={DEFAULT_TENANT}"
    await anna.upload(PAGE, file(PNG))
    tag = (await anna.visitor.get(address)).headers["ETag"]
    again = await anna.visitor.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, await again.get_data()) == (304, b"")
    # Whatever the file is called: its content tells what it is.
    await anna.upload(PAGE, file(JPEG, "logo.png"))
    now = await anna.visitor.get(address, headers={"If-None-Match": tag})
    assert (now.status_code, now.content_type) == (200, "image/jpeg")


async def test_a_logo_is_found_by_host_name(app: QuartTrio, anna: Desk) -> None:
    await tenants.update_tenant(COMMAND, DEFAULT_TENANT, TenantFields(name="Default", hosts=("calls.example.com",)))
    await anna.upload(PAGE, file(PNG))
    stranger = Visitor(app)
    assert (await stranger.get("/logo", headers={"Host": "calls.example.com:8443"})).status_code == 200
    assert (await stranger.get("/logo", headers={"Host": "other.example.com"})).status_code == 404
    assert (await stranger.get("/logo?tenant=x", headers={"Host": "[::1]:80"})).status_code == 404


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "This is no PNG, JPEG or WebP"),
        (PNG[: len(PNG) // 2], "or it is damaged."),
        (PNG + bytes(256 * 1024), "This file is larger than 256 kB."),
    ],
    ids=["svg", "damaged", "large"],
)
async def test_what_is_no_logo_is_refused_with_a_sentence(anna: Desk, data: bytes, sentence: str) -> None:
    answer = await anna.upload(PAGE, file(data), name="Other")
    assert answer.status == 422
    assert sentence in answer.words
    assert 'value="Other"' in answer.text
    assert await look() == ("Default", "", False)


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(anna: Desk) -> None:
    opened = await anna.form(PAGE)
    await tenants.set_appearance(COMMAND, DEFAULT_TENANT, "Flexus", "#123456")
    answer = await anna.send(PAGE, opened, name="Mine")
    assert answer.status == 409
    assert "Name Flexus Mine" in answer.words
    assert await look() == ("Flexus", "#123456", False)


async def test_each_changes_his_own_tenant(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus")
    eve = await signed_in(app, "Flexus/eve")
    await eve.upload(PAGE, file(PNG), name="Flexus Ltd.", colour="#112233")
    assert await look() == ("Default", "", False)
