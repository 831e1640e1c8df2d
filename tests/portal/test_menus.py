"""An entry of a menu shows where its page exists and the one who asks may call it."""

import re

import pytest
from quart import g
from quart_trio import QuartTrio

from portal import assets, gate, menus
from portal.app import create_app
from portal.config import PortalConfig
from portal.gate import Open
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from tests.portal.test_language import account

ENTRIES = [
    *menus.MENU,
    *menus.OWN,
    *(entry for section in menus.ADMINISTRATION for entry in section.entries),
]


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


def endpoints(entries: list[menus.Entry]) -> list[str]:
    return [entry.endpoint for entry in entries]


async def test_an_entry_whose_page_is_not_there_is_left_out(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        g.account = account()
        nowhere = menus.Entry("nowhere.index", icon="phone", text=lambda: "Nowhere")
        assert endpoints(menus.shown((*menus.MENU, nowhere))) == ["calls.index"]


@pytest.mark.parametrize("role", Role)
async def test_nobody_sees_an_entry_that_would_be_refused(app: QuartTrio, role: Role) -> None:
    async with app.test_request_context("/"):
        g.account = account(role=role, grant=READY_MADE[role])
        for entry in menus.shown(tuple(ENTRIES)):
            need = gate.TABLE[entry.endpoint]
            needs = need if isinstance(need, frozenset) else {need} - set(Open)
            assert needs <= READY_MADE[role].permissions


async def test_the_administration_shows_to_whom_any_of_it_is_open(app: QuartTrio) -> None:
    only_audit = Grant(Reach.TENANT, frozenset({Permission.READ_AUDIT}))
    async with app.test_request_context("/"):
        g.account = account(grant=only_audit)
        if "audit.index" in app.view_functions:
            assert [endpoints(entries) for _, entries in menus.administration()] == [["audit.index"]]
            assert endpoints(menus.shown(menus.MENU)) == ["administration.index"]
        g.account = account(grant=Grant(Reach.OWN, frozenset()))
        assert menus.administration() == []
        assert menus.shown(menus.MENU) == []


async def test_a_page_belongs_to_the_entry_that_leads_to_it(app: QuartTrio) -> None:
    calls, administration = menus.MENU
    async with app.test_request_context("/calls"):
        assert menus.is_here(calls)
        assert not menus.is_here(administration)
    async with app.test_request_context("/administration"):
        assert menus.is_here(administration)
    async with app.test_request_context("/there/is/nothing"):
        assert not menus.is_here(calls)


async def test_every_entry_has_an_icon_a_text_and_in_an_index_a_sentence(app: QuartTrio) -> None:
    known = {name.rpartition("/")[2] for name in assets.ICONS}
    async with app.test_request_context("/"):
        assert all(entry.icon in known and entry.text() for entry in ENTRIES)
        told = [entry.about() for section in menus.ADMINISTRATION for entry in section.entries if entry.about]
    assert len(told) == sum(len(section.entries) for section in menus.ADMINISTRATION)
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in told)
