"""The index of the administration: what there is, for whom."""

import pytest
from quart_trio import QuartTrio

from portal import menus
from schema.roles import Role
from tests.portal.visitor import Visitor, add_account


async def signed_in(app: QuartTrio, role: Role) -> Visitor:
    await add_account("somebody", role)
    visitor = Visitor(app)
    await visitor.sign_in("somebody")
    return visitor


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR])
async def test_it_leads_to_all_that_is_open(app: QuartTrio, role: Role) -> None:
    visitor = await signed_in(app, role)
    response = await visitor.get("/administration")
    assert response.status_code == 200
    page = (await response.get_data()).decode()
    assert 'data-sift="#settings"' in page
    for section in menus.ADMINISTRATION:
        for entry in section.entries:
            if entry.endpoint not in app.view_functions:
                continue
            need = {"tenants.index", "platform.edit", "mail.index"}
            there = role is Role.OPERATOR or entry.endpoint not in need
            async with app.test_request_context("/"):
                assert (f'href="{app.url_for(entry.endpoint)}"' in page) is there, entry.endpoint


async def test_whom_nothing_of_it_is_open_is_told_so_and_has_no_entry(app: QuartTrio) -> None:
    visitor = await signed_in(app, Role.USER)
    response = await visitor.get("/administration")
    assert response.status_code == 403
    assert "Your role does not permit this." in (await response.get_data()).decode()
    calls = (await (await visitor.get("/calls")).get_data()).decode()
    assert "/administration" not in calls
    assert ">Recordings</span>" in calls
