"""The audit trail in the portal: what was done is found, told in words, and taken along as a file."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from quart_trio import QuartTrio

from portal.pages import audit_fields, audit_words, lists
from schema import audit, chain
from schema.audited import Audited
from schema.columns import new_id
from schema.database import rows, unit
from schema.entries import About, Action, Application, By, Entry, Resource
from schema.roles import EVERYTHING, Reach, Role
from schema.values import DEFAULT_TENANT, Account, Scope
from tests.people import COMMAND
from tests.portal.pages.conftest import Keep
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import add_account

TRAIL = "/administration/maintenance/audit-trail"


@pytest.fixture
async def desk(app: QuartTrio) -> Desk:
    return await desk_of(app, "admin", Role.ADMINISTRATOR, name="Ada Min")


def as_(account: Account) -> By:
    scope = Scope(account.tenant_id, account.id, Reach.OWN)
    return By(scope, EVERYTHING, Application.WEB, account.id, account.login, account.name, "192.0.2.9")


async def played(number: int, by: By = COMMAND, **more: object) -> UUID:
    call = UUID(int=number)
    about = About(call, f"call {number}")
    await audit.note(
        by, Resource.CALLS, Action.PLAYBACK, about, tenant_id=more.pop("tenant_id", DEFAULT_TENANT), **more
    )
    return call


def rows_of(page: str) -> list[str]:
    found = re.findall(r"<tr>\s*<t[dh].*?</tr>", page.partition("<tbody>")[2], re.DOTALL)
    return [unescape(" ".join(re.sub(r"<[^>]+>", " ", row).split())) for row in found]


async def entry_of(desk: Desk, text: str) -> str:
    """The address of the newest entry whose row says this."""
    page = await desk.page(TRAIL)
    [row, *_] = [row for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if text in row]
    return re.findall(r'href="([^"]+)"', row)[0]


@unit
async def spoil() -> None:
    """Somebody writes to the database himself."""
    await rows("UPDATE audit_entry SET action = 'zap', resource = 'moon', application = 'x', details = '{', data = '['")


# What was done is told


async def test_a_change_stands_in_the_list_and_on_its_own_page(desk: Desk) -> None:
    made = await desk.fill("/administration/groups/new", name="Sales")
    assert made.status == 303
    await desk.fill(f"{made.location}/edit", name="Sales North")
    [changed, created, *_] = rows_of(await desk.page(TRAIL))
    assert "Ada Min (admin) Groups Update The group Sales North was changed. Fields: Name. View" in changed
    assert "Ada Min (admin) Groups Create The group Sales was created. View" in created
    path = await entry_of(desk, "was changed")
    page = await desk.page(path)
    words = await desk.words(path)
    for told in (
        "Initiator Ada Min (admin)",
        "Client ip-address 192.0.2.7",
        "Application Web",
        "Resource Groups",
        "Action Update",
        "Related To Group Sales North View",
        "Details The group Sales North was changed. Fields: Name.",
        "Not sealed yet",
    ):
        assert told in words
    assert f'href="{made.location}"' in page
    assert rows_of(page) == ["Name Sales Sales North"]
    everything = rows_of(await desk.page(f"{path}?fields=all"))
    assert "Name Sales Sales North" in everything
    assert "Tenant Default No change" in everything
    assert "Language No change" in everything


async def test_what_somebody_spoilt_is_shown_as_it_stands_there(desk: Desk) -> None:
    await played(7)
    path = await entry_of(desk, "call 7")
    await spoil()
    assert any("moon zap" in row for row in rows_of(await desk.page(TRAIL)))
    assert "zap" in await desk.words(path)


async def test_an_objects_page_shows_its_own_entries(desk: Desk) -> None:
    made = await desk.fill("/administration/groups/new", name="Sales")
    await desk.fill("/administration/groups/new", name="Support")
    page = (await desk.page(made.location)).partition("<h2")[2]
    assert "The group Sales was created." in page
    assert "The group Support was created." not in page


async def test_a_call_shows_who_listened(app: QuartTrio, keep: Keep) -> None:
    desk = await desk_of(app, "admin", Role.ADMINISTRATOR, name="Ada Min")
    record = await keep()
    assert "Nothing was written down about this yet." in await desk.words(f"/calls/{record.id}")
    about = About(record.id, "Michael Harvell - Ulla Skinner")
    await audit.note(COMMAND, Resource.CALLS, Action.PLAYBACK, about, tenant_id=record.tenant_id)
    assert "The call Michael Harvell - Ulla Skinner was listened to." in await desk.words(f"/calls/{record.id}")
    sam = await signed_in(app, "sam")
    assert "Audit trail" not in await sam.words(f"/calls/{record.id}")


async def test_sealed_and_erased_entries_say_so(desk: Desk) -> None:
    await desk.fill("/administration/groups/new", name="Sales")
    path = await entry_of(desk, "was created")
    await chain.seal(Ed25519PrivateKey.generate(), None)
    assert re.search(r"Seal Number \d+ in the chain", await desk.words(path))
    await chain.erase_data(COMMAND, UUID(path.rpartition("/")[2]))
    assert "The data of this entry was erased." in await desk.words(path)
    assert "The data of an audit entry about Sales was erased." in await desk.words(TRAIL)


# What one asks for


@pytest.fixture
async def things(desk: Desk) -> dict[str, Account]:
    """Amy listened to call 1 on the first of March at 23:30 UTC, Bob to call 2 an hour later."""
    amy, bob = await add_account("amy", name="Amy Archer"), await add_account("bob", name="Bob Müller")
    night = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    await played(1, as_(amy), at=night)
    await played(2, as_(bob), at=night + timedelta(hours=1), details={"remark": "Straße"})
    about = About(amy.id, amy.name)
    await audit.note(as_(bob), Resource.USERS, Action.UPDATE, about, tenant_id=DEFAULT_TENANT, at=night)
    return {"amy": amy, "bob": bob}


ASKED = {
    "": {"call 1", "call 2", "Amy Archer was changed"},
    "since=2026-03-01&until=2026-03-01": {"call 1", "Amy Archer was changed"},
    "since=2026-03-02": {"call 2"},
    "resource=calls": {"call 1", "call 2"},
    "action=update&resource=users": {"Amy Archer was changed"},
    "q=STRASSE": {"call 2"},
    "q=100%25": set(),
    # By and to a user, by login in any letter case; a part of a name finds what was done by those of that name.
    "initiator=AMY": {"call 1", "Amy Archer was changed"},
    "initiator=m%C3%9CLL": {"call 2", "Amy Archer was changed"},
    "initiator=amy&action=playback": {"call 1"},
}


@pytest.mark.parametrize("query", ASKED)
async def test_the_filters_find_what_they_say(desk: Desk, things: dict[str, Account], query: str) -> None:
    page = " ".join(rows_of(await desk.page(f"{TRAIL}?{query}")))
    assert {one for one in ASKED[""] if one in page} == ASKED[query]


async def test_an_address_finds_what_was_done_by_and_to_somebody(desk: Desk, things: dict[str, Account]) -> None:
    words = await desk.words(f"{TRAIL}?about={things['amy'].id}")
    assert "Only what was done to one thing, or by it." in words
    assert "call 1 was listened to" in words
    assert "The user Amy Archer was changed." in words
    assert "call 2" not in words


async def test_what_makes_no_sense_is_said(desk: Desk) -> None:
    assert "This is no date." in await desk.words(f"{TRAIL}?since=yesterday")
    assert "This is no date." in await desk.words(f"{TRAIL}?until=9999-12-31")
    for query in ("resource=x", "action=x", "about=x", "cursor=x"):
        assert (await desk.get(f"{TRAIL}?{query}")).status == 404
    assert (await desk.get(f"{TRAIL}/{new_id()}")).status == 404
    assert "No entry is like this" in await desk.words(f"{TRAIL}?q=nothing+like+this")


async def test_pages_go_on_where_the_last_one_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "ROWS", 2)
    for number in range(1, 6):
        await played(number)
    seen: list[str] = []
    path = f"{TRAIL}?resource=calls"
    while path:
        page = await desk.page(path)
        seen += re.findall(r"The call (call \d) was listened to\.</div>", page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = unescape(found[1]) if found else ""
        await played(9) if len(seen) == 2 else None
    assert seen == [f"call {number}" for number in (5, 4, 3, 2, 1)]


async def test_nobody_reads_another_tenants_trail(app: QuartTrio, desk: Desk) -> None:
    stranger = await desk_of(app, "eve", Role.ADMINISTRATOR, tenant="Elsewhere")
    await desk.fill("/administration/groups/new", name="Sales")
    path = await entry_of(desk, "Sales")
    assert (await stranger.get(path)).status == 404
    for address in (TRAIL, f"{TRAIL}?q=sales", f"{TRAIL}/export.csv", f"{TRAIL}/export.jsonl"):
        assert "The group" not in await stranger.page(address)


# Taken along


async def test_the_list_can_be_taken_along(desk: Desk) -> None:
    call = await played(1, details={"remark": "=1+1", "file": "a.opus"})
    await played(2, By(COMMAND.scope, EVERYTHING, Application.WEB, login="=cmd()"))
    answer = await desk.visitor.get(f"{TRAIL}/export.jsonl?resource=calls")
    assert answer.headers["Content-Disposition"].endswith('.jsonl"')
    lines = [json.loads(line) for line in (await answer.get_data()).decode().splitlines()]
    assert [line["related_name"] for line in lines] == ["call 2", "call 1"]
    assert (lines[1]["related_id"], lines[1]["details"]) == (str(call), {"remark": "=1+1", "file": "a.opus"})
    answer = await desk.visitor.get(f"{TRAIL}/export.csv?resource=calls")
    table = list(csv.DictReader(io.StringIO((await answer.get_data()).decode("utf-8-sig"))))
    assert [line["related_name"] for line in table] == ["call 2", "call 1"]
    assert table[0]["initiator_login"] == "'=cmd()"
    assert all(cell[:1] not in "=+-@" or not cell for line in table for cell in line.values())
    words = await desk.words(f"{TRAIL}?action=export")
    assert words.count("The audit trail was exported.") >= 2


async def test_a_change_is_exported_with_its_values(desk: Desk) -> None:
    await desk.fill("/administration/groups/new", name="Sales")
    answer = await desk.visitor.get(f"{TRAIL}/export.jsonl?resource=groups")
    [line] = [json.loads(line) for line in (await answer.get_data()).decode().splitlines()]
    assert line["modified"]["name"] == {"old": "", "new": "Sales"}
    assert (line["action"], line["initiator_login"], line["client_address"]) == ("create", "admin", "192.0.2.7")


# Words


def test_each_field_has_a_name() -> None:
    for model in Audited.__subclasses__():
        columns = {model._meta.fields_map[name].source_field or name for name in model._meta.fields_db_projection}
        assert columns - set(model.audit.passing) <= set(audit_fields.FIELDS), model


def test_each_resource_action_and_application_has_words() -> None:
    assert set(audit_words.RESOURCES) == set(Resource) == set(audit_words._KINDS)
    assert set(audit_words.ACTIONS) == set(Action)
    assert set(audit_words.APPLICATIONS) == set(Application) == set(audit_words._NOBODY)


def an_entry(resource: Resource, action: Action, **given: object) -> Entry:
    about = About(str(new_id()), "Thing", "")
    return Entry(
        **{
            "id": new_id(),
            "tenant_id": None,
            "at": datetime.now(UTC),
            "initiator_id": None,
            "initiator_login": "amy",
            "initiator_name": "",
            "address": "",
            "application": Application.WEB,
            "resource": resource,
            "action": action,
            "about": about,
            **given,
        }
    )


async def test_whatever_happens_is_told_in_a_sentence(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        for resource in Resource:
            for action in (Action.CREATE, Action.UPDATE, Action.DELETE, Action.EXPORT, Action.PURGE):
                assert audit_words.sentence(an_entry(resource, action)).endswith(".")
        for resource, action in audit_words._SENTENCES:
            for more in ({}, {"fields": {f"column {n}": ("", "x") for n in range(12)}}, {"details": {"ended": "2"}}):
                told = audit_words.sentence(an_entry(resource, action, **more))
                assert told.endswith(".")
        assert audit_words.initiator(an_entry(Resource.CALLS, Action.PAUSE, initiator_name="Amy A.")) == "Amy A. (amy)"
        engine = an_entry(Resource.CALLS, Action.PAUSE, initiator_login="", application=Application.ENGINE)
        assert audit_words.initiator(engine) == "The phone system"


async def test_values_are_shown_as_people_write_them(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        assert audit_fields.value("may_sign_in", "True") == "Yes"
        assert audit_fields.value("team_id", f"Support ({new_id()})") == "Support"
        assert audit_fields.value("permissions", '["play", "of tomorrow"]') == "Play, of tomorrow"
        assert audit_fields.value("recording_mode", "never") == "Never"
        assert audit_fields.value("recording_mode", "of tomorrow") == "of tomorrow"
        assert "2026" in audit_fields.value("disabled_at", "2026-03-01T12:00:00.000Z")
        assert audit_fields.value("name", "True") == "True"
        assert audit_fields.field_name("of_tomorrow") == "of_tomorrow"


# Several tenants


async def test_who_reaches_several_tenants_is_told_which_one(app: QuartTrio) -> None:
    other = await add_account("otto", Role.ADMINISTRATOR, tenant="Other")
    await played(1)
    await played(2, tenant_id=other.tenant_id)
    desk = await desk_of(app, "root", Role.OPERATOR, name="Opal")
    page = await desk.page(TRAIL)
    assert page.index('scope="col">Tenant') < page.index('scope="col">Date')
    [of_default] = [row for row in rows_of(page) if "call 1" in row]
    [of_other] = [row for row in rows_of(page) if "call 2" in row]
    assert of_other.startswith("Other ")
    assert not of_default.startswith("Other ")
    assert "Tenant Other Initiator" in await desk.words(await entry_of(desk, "call 2"))

    chosen = f"{TRAIL}?tenant={other.tenant_id}&action=playback"
    [alone] = rows_of(await desk.page(chosen))
    assert "call 2" in alone
    [line] = csv.DictReader(io.StringIO((await desk.page(chosen.replace("?", "/export.csv?"))).removeprefix("\ufeff")))
    assert (line["tenant"], line["tenant_id"], line["related_name"]) == ("Other", str(other.tenant_id), "call 2")
    assert (await desk.get(f"{TRAIL}?tenant=none-such")).status == 404


async def test_who_has_one_tenant_cannot_ask_for_another(desk: Desk) -> None:
    other = await add_account("otto", Role.ADMINISTRATOR, tenant="Other")
    await played(1)
    await played(2, tenant_id=other.tenant_id)
    page = await desk.page(f"{TRAIL}?tenant={other.tenant_id}&action=playback")
    assert ["call 1" in row for row in rows_of(page)] == [True]
    assert 'name="tenant"' not in page
    assert 'scope="col">Tenant' not in page
