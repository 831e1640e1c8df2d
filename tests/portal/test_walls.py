"""The walls: every route, for everybody who may come to it, with objects of all kinds of owners.

ROUTES, ROLES and REACHES are written down here a second time on purpose: what changes in the gate or in a query has to
change here as well. A route that is missing fails. Whoever asks is answered in one of these ways, and in no other:

    sign in     he is nobody: sent to the sign-in page, or 401
    forbidden   403: his role lacks the permission, whatever the object
    not found   404: the object is out of his reach
    in          anything else

What is refused has no effect: the database is the same, row by row, after all that was refused. What is let in has none
on another tenant.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from quart.testing.connections import WebsocketDisconnectError
from quart_trio import QuartTrio
from werkzeug.routing import Rule

from portal.app import create_app
from portal.config import PortalConfig
from portal.gateways import open_gateways
from schema import access, audit, clerk, groups, mails, phones, providers, roles_kept, tenants, users
from schema.columns import new_id
from schema.confidential import set_call_confidential
from schema.database import Database, reading, rows
from schema.entries import About, Action, Resource
from schema.mails import Mail, MailKind
from schema.nodes import nodes
from schema.profiles import GroupFields, PhoneFields, RoleFields, TenantFields, UserFields
from schema.providers import ProviderFields
from schema.roles import Grant, Permission, Reach, Role
from schema.values import DEFAULT_TENANT, Offset, PartyRecord
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account, hash_of_password
from tests.schema.given import a_call

P = Permission

# The roles of the guide, and copies. The operator's second line: he looks at his own tenant alone.
USER = {P.VIEW_CALLS, P.PLAY, P.DOWNLOAD, P.VIEW_NOTES}
SUPERVISOR = USER | {P.LIVE_MONITOR, P.VIEW_USERS}
ADMINISTRATOR = set(P) - {P.MANAGE_ARCHIVING, P.MANAGE_PLATFORM}
ROLES: dict[str, tuple[Reach, set[Permission]]] = {
    "user": (Reach.OWN, USER),
    "supervisor": (Reach.MANAGED, SUPERVISOR),
    "administrator": (Reach.TENANT, ADMINISTRATOR),
    "operator": (Reach.PLATFORM, set(P)),
    "operator in a tenant": (Reach.TENANT, set(P)),
    "may only read the trail": (Reach.TENANT, {P.READ_AUDIT}),
    "not what is confidential": (Reach.TENANT, ADMINISTRATOR - {P.VIEW_CONFIDENTIAL}),
    "manages a team": (Reach.MANAGED, SUPERVISOR | {P.MANAGE_USERS}),
}
READY_MADE = {"user": Role.USER, "supervisor": Role.SUPERVISOR, "administrator": Role.ADMINISTRATOR}
# Whose objects a reach holds. "hidden": a confidential user's, whom the asker manages; "marked": a confidential call of
# somebody whom he manages.
REACHES = {
    Reach.OWN: {"own"},
    Reach.MANAGED: {"own", "managed", "hidden", "marked"},
    Reach.TENANT: {"own", "managed", "hidden", "marked", "other"},
    Reach.PLATFORM: {"own", "managed", "hidden", "marked", "other", "elsewhere"},
}
CONFIDENTIAL = {"hidden", "marked"}

# What each endpoint asks for, and what its address names.
EVERYBODY, SIGNED_IN = "everybody", "signed in"
ROUTES: dict[str, tuple[object, str]] = {
    "static": (EVERYBODY, ""),
    "health": (EVERYBODY, ""),
    "tenants.logo": (EVERYBODY, ""),
    "api.openapi": (EVERYBODY, ""),
    "signin.form": (EVERYBODY, ""),
    "signin.enter": (EVERYBODY, ""),
    "signin.tenant": (EVERYBODY, ""),
    "signin.code": (EVERYBODY, ""),
    "oidc.start": (EVERYBODY, ""),
    "oidc.callback": (EVERYBODY, ""),
    "password.forgot": (EVERYBODY, ""),
    "password.set": (EVERYBODY, ""),
    "signin.leave": (SIGNED_IN, ""),
    "home": (SIGNED_IN, ""),
    "own.language": (SIGNED_IN, ""),
    "own.password": (SIGNED_IN, ""),
    "own.security": (SIGNED_IN, ""),
    "own.end_session": (SIGNED_IN, ""),
    "own.end_other_sessions": (SIGNED_IN, ""),
    "own.totp_begin": (SIGNED_IN, ""),
    "own.totp_confirm": (SIGNED_IN, ""),
    "own.totp_end": (SIGNED_IN, ""),
    "own.recovery_codes": (SIGNED_IN, ""),
    "own.add_token": (SIGNED_IN, ""),
    "own.revoke_token": (SIGNED_IN, ""),
    "calls.index": (P.VIEW_CALLS, ""),
    "calls.show": (P.VIEW_CALLS, "call"),
    "calls.confidential": ({P.VIEW_CONFIDENTIAL, P.MANAGE_USERS}, "call"),
    "audio.play": (P.PLAY, "call"),
    "audio.peaks": (P.PLAY, "call"),
    "audio.download": (P.DOWNLOAD, "call"),
    "listening.listen": (P.LIVE_MONITOR, "call"),
    "listening.listen_by_token": (P.LIVE_MONITOR, "call"),
    "listening.levels": (P.LIVE_MONITOR, ""),
    "api.list_calls": (P.VIEW_CALLS, ""),
    "api.get_call": (P.VIEW_CALLS, "call"),
    "api.audio": (P.DOWNLOAD, "call"),
    "api.change_recording": (P.PAUSE, "call"),
    # Its page is refused to whom nothing of it is open: see NOTHING_OPEN.
    "administration.index": (SIGNED_IN, ""),
    "users.index": (P.VIEW_USERS, ""),
    "users.complete": (P.VIEW_USERS, ""),
    "users.export": (P.VIEW_USERS, ""),
    "users.show": (P.VIEW_USERS, "user"),
    "users.language": (P.VIEW_USERS, "user"),
    "users.new": (P.MANAGE_USERS, ""),
    "users.edit": (P.MANAGE_USERS, "user"),
    "users.invite": (P.MANAGE_USERS, "user"),
    "users.reset_second_factor": (P.MANAGE_USERS, "user"),
    "users.end_sessions": (P.MANAGE_USERS, "user"),
    "users.disable": (P.MANAGE_USERS, "user"),
    "users.enable": (P.MANAGE_USERS, "user"),
    "imports.form": (P.MANAGE_USERS, ""),
    "imports.template": (P.MANAGE_USERS, ""),
    "imports.preview": (P.MANAGE_USERS, ""),
    "imports.review": (P.MANAGE_USERS, ""),
    "imports.apply": (P.MANAGE_USERS, ""),
    "groups.index": (P.MANAGE_USERS, ""),
    "groups.new": (P.MANAGE_USERS, ""),
    "groups.show": (P.MANAGE_USERS, "group"),
    "groups.edit": (P.MANAGE_USERS, "group"),
    "groups.disable": (P.MANAGE_USERS, "group"),
    "groups.enable": (P.MANAGE_USERS, "group"),
    "groups.delete": (P.MANAGE_USERS, "group"),
    "phones.index": (P.MANAGE_USERS, ""),
    "phones.new": (P.MANAGE_USERS, ""),
    "phones.show": (P.MANAGE_USERS, "phone"),
    "phones.edit": (P.MANAGE_USERS, "phone"),
    "phones.disable": (P.MANAGE_USERS, "phone"),
    "phones.enable": (P.MANAGE_USERS, "phone"),
    "phones.delete": (P.MANAGE_USERS, "phone"),
    "roles.index": (P.MANAGE_USERS, ""),
    "roles.show": (P.MANAGE_USERS, "role"),
    "roles.copy": (P.MANAGE_USERS, "role"),
    "roles.edit": (P.MANAGE_USERS, "role"),
    "roles.delete": (P.MANAGE_USERS, "role"),
    "customization.language": (P.MANAGE_SETTINGS, ""),
    "customization.appearance": (P.MANAGE_SETTINGS, ""),
    "customization.colours": (SIGNED_IN, ""),
    "providers.index": (P.MANAGE_SETTINGS, ""),
    "providers.new": (P.MANAGE_SETTINGS, ""),
    "providers.edit": (P.MANAGE_SETTINGS, "provider"),
    "providers.test": (P.MANAGE_SETTINGS, "provider"),
    "providers.delete": (P.MANAGE_SETTINGS, "provider"),
    "audit.index": (P.READ_AUDIT, ""),
    "audit.export_csv": (P.READ_AUDIT, ""),
    "audit.export_jsonl": (P.READ_AUDIT, ""),
    "audit.show": (P.READ_AUDIT, "entry"),
    "tenants.index": (P.MANAGE_PLATFORM, ""),
    "tenants.new": (P.MANAGE_PLATFORM, ""),
    "tenants.show": (P.MANAGE_PLATFORM, "tenant"),
    "tenants.edit": (P.MANAGE_PLATFORM, "tenant"),
    "tenants.disable": (P.MANAGE_PLATFORM, "tenant"),
    "tenants.enable": (P.MANAGE_PLATFORM, "tenant"),
    "tenants.enter": (P.MANAGE_PLATFORM, ""),
    "platform.edit": (P.MANAGE_PLATFORM, ""),
    "mail.index": (P.MANAGE_PLATFORM, ""),
    "mail.test": (P.MANAGE_PLATFORM, ""),
    "mail.retry": (P.MANAGE_PLATFORM, "mail"),
}
# An operator who looks at one tenant still has all of them, and their mails, in hand.
PLATFORMS_OWN = {"tenant", "mail"}
NOTHING_OPEN = {"user"}
# How somebody gets in is his own business, and of those who have all of his tenant in reach.
GETTING_IN = {"users.end_sessions", "users.reset_second_factor"}
# What names its object in its body, and there names none.
NAMES_NOTHING = {("own.revoke_token", "POST"), ("customization.language", "POST")}
# What ends the asker's own session or changes what he looks at has tests of its own.
ENDS = {("signin.leave", ""), ("users.end_sessions", "own"), ("tenants.enter", "")}


@dataclass
class World:
    """Who asks, and what there is: ids by kind and owner. `forms`: what was found in a form, by its address."""

    app: QuartTrio
    asker: str
    asking: Visitor
    reader: Visitor
    elsewhere: UUID
    things: dict[str, dict[str, UUID]]
    forms: dict[str, dict[str, str]] = field(default_factory=dict)

    def owners(self, kind: str) -> set[str]:
        return set(self.things[kind]) if kind else {""}

    def expected(self, endpoint: str, method: str, owner: str) -> str:
        needs, kind = ROUTES[endpoint]
        reach, permissions = ROLES[self.asker]
        wanted = set() if needs in (EVERYBODY, SIGNED_IN) else needs if isinstance(needs, set) else {needs}
        if not wanted <= permissions or (endpoint == "administration.index" and self.asker in NOTHING_OPEN):
            return "forbidden"
        if kind in PLATFORMS_OWN or not kind:
            return "not found" if (endpoint, method) in NAMES_NOTHING else "in"
        if kind == "role" and owner != "elsewhere":
            return "in"  # everybody in a tenant has one; who may not change it is told so
        if endpoint in GETTING_IN and reach is Reach.MANAGED:
            return "in" if owner == "own" else "not found"
        reached = REACHES[reach] - (set() if P.VIEW_CONFIDENTIAL in permissions else CONFIDENTIAL)
        return "in" if owner in reached else "not found"

    def requests(self) -> Iterator[tuple[Rule, str, str, str, str]]:
        """Every route with every method and every owner's object: rule, method, owner, address, what is expected."""
        for rule in self.app.url_map.iter_rules():
            kind = ROUTES[rule.endpoint][1]
            for owner in sorted(self.owners(kind)):
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    expected = self.expected(rule.endpoint, method, owner)
                    yield rule, method, owner, self.address(rule, owner), expected

    def address(self, rule: Rule, owner: str) -> str:
        kind = ROUTES[rule.endpoint][1]
        given = {"kind": "users", "name": "x", "secret": "x", "provider_id": new_id()}
        if kind:
            given |= {name: self.things[kind][owner] for name in rule.arguments}
        path = rule.build(given, append_unknown=False)
        assert path is not None, rule
        return path[1]

    async def ask(self, rule: Rule, method: str, address: str) -> str:
        body = await self.body(rule, address) if method in ("POST", "PUT") else {}
        token = await self.asking.token("/nowhere")
        more = {"json": {"state": "paused"}} if method == "PUT" else {"form": body} if method == "POST" else {}
        answer = await self.asking.client.open(address, method=method, headers={"X-CSRF-Token": token}, **more)
        return outcome(answer.status_code, answer.headers.get("Location", ""))

    async def body(self, rule: Rule, address: str) -> dict[str, str]:
        """What somebody would send who had the page: so a refusal is not for a form that is wrong anyway."""
        if "GET" not in (rule.methods or set()):
            return {"login": "x", "name": "x"}
        if address not in self.forms:
            page = (await (await self.reader.get(address)).get_data()).decode()
            self.forms[address] = {**Fields(page).found, **FILLED.get(rule.endpoint, {})}
        return self.forms[address]


# What makes the form of something new one that is taken.
FILLED = {
    "users.new": {"login": "newcomer", "name": "New"},
    "users.edit": {"name": "Renamed"},
    "groups.new": {"name": "New"},
    "groups.edit": {"name": "Renamed"},
    "phones.new": {"line": "9999"},
    "phones.edit": {"name": "Renamed"},
    "tenants.new": {"name": "New"},
    "tenants.edit": {"max_users": "777"},
    "roles.copy": {"name": "Another"},
    "roles.edit": {"name": "Renamed"},
    "platform.edit": {"support_contact": "somebody"},
    "providers.new": {"name": "New", "issuer": "https://new.example", "client_id": "1", "client_secret": "2"},
    "providers.edit": {"name": "Renamed"},
}


class Fields(HTMLParser):
    """The fields of a page's main form, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._select = self._area = ""
        main = page.partition("<main")[2]
        self.feed(main)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        if tag == "input" and name and (given.get("type") not in ("checkbox", "radio", "file") or "checked" in given):
            self.found[name] = value or self.found.get(name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.found):
            self.found[self._select] = value
        elif tag == "textarea":
            self._area = name
            self.found[name] = ""

    def handle_endtag(self, tag: str) -> None:
        self._select = "" if tag == "select" else self._select
        self._area = "" if tag == "textarea" else self._area

    def handle_data(self, data: str) -> None:
        if self._area:
            self.found[self._area] += data


def outcome(status: int, location: str) -> str:
    if status == 401 or (status in (302, 303) and location.startswith("/sign-in")):
        return "sign in"
    return {403: "forbidden", 404: "not found"}.get(status, f"failed {status}" if status == 500 else "in")


@reading
async def tables() -> dict[str, list[str]]:
    """Every row of every table, as text. When somebody was last seen is no change."""
    found = {}
    for table in await rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        given = await rows(f'SELECT * FROM "{table["name"]}"')  # noqa: S608  # a table of ours
        found[table["name"]] = sorted(
            str({name: value for name, value in row.items() if name not in ("seen_at", "used_at")}) for row in given
        )
    return found


@reading
async def rows_of(tenant_id: UUID) -> dict[str, list[str]]:
    """All that a tenant has, audit trail included."""
    found = {}
    for table in await rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        columns = {row["name"] for row in await rows(f"SELECT name FROM pragma_table_info('{table['name']}')")}  # noqa: S608
        column = "id" if table["name"] == "tenant" else "tenant_id"
        if column in columns:
            given = await rows(f'SELECT * FROM "{table["name"]}" WHERE {column} = $1', tenant_id)  # noqa: S608
            found[table["name"]] = sorted(map(str, given))
    return found


@pytest.fixture
async def walled(config: PortalConfig, database: Database) -> AsyncIterator[QuartTrio]:
    """The portal, with lines to engines of which there are none."""
    async with open_gateways(bytes(32), nodes) as gateways:
        yield create_app(config, gateways)


async def a_world(app: QuartTrio, asker: str) -> World:
    """Two tenants, and in the first one the asker with a group that he manages."""
    elsewhere = (await tenants.create_tenant(COMMAND, TenantFields(name="Elsewhere"))).id
    reach, permissions = ROLES[asker]
    role: Role | UUID = Role.OPERATOR if asker.startswith("operator") else READY_MADE.get(asker, Role.USER)
    if asker not in READY_MADE and role is not Role.OPERATOR:
        base = Role.SUPERVISOR if reach is Reach.MANAGED else Role.ADMINISTRATOR
        made = await roles_kept.copy_role(
            COMMAND, base, RoleFields(name=asker, grant=Grant(reach, frozenset(permissions)))
        )
        assert made.id is not None
        role = made.id
    teams = {
        owner: (await groups.create_group(COMMAND, GroupFields(name=owner), tenant_id=tenant)).id
        for owner, tenant in (("own", None), ("managed", None), ("other", None), ("elsewhere", elsewhere))
    }
    hashed = await hash_of_password()

    async def person(login: str, owner: str, tenant: UUID | None = None, **more: Any) -> UUID:
        fields = UserFields(login=login, name=login, group_id=teams[owner], may_sign_in=True, **more)
        return (await users.create_user(COMMAND, fields, tenant_id=tenant, password_hash=hashed)).id

    manages = {"manages_groups": (teams["managed"],)} if reach is Reach.MANAGED else {}
    people = {
        "own": await person("asker", "own", role=role, **manages),
        "managed": await person("managed", "managed"),
        "hidden": await person("hidden", "managed", confidential=True),
        "other": await person("other", "other"),
        "elsewhere": await person("theirs", "elsewhere", elsewhere),
    }
    await person("reader", "other", role=Role.OPERATOR)
    things = {"user": people, "group": teams, "phone": {}, "tenant": {"own": DEFAULT_TENANT, "elsewhere": elsewhere}}
    for number, (owner, user_id) in enumerate(people.items()):
        fields = PhoneFields(line=f"200{number}", user_id=user_id)
        things["phone"][owner] = (
            await phones.create_phone(COMMAND, fields, tenant_id=elsewhere if owner == "elsewhere" else None)
        ).id
    things |= {kind: {} for kind in ("role", "provider", "call", "entry", "mail")}
    for owner, tenant in (("other", DEFAULT_TENANT), ("elsewhere", elsewhere)):
        fields = RoleFields(name=f"Role {owner}", grant=Grant(Reach.OWN, frozenset({P.VIEW_CALLS})))
        theirs = replace(COMMAND, scope=replace(COMMAND.scope, tenant_id=tenant))
        things["role"][owner] = (await roles_kept.copy_role(theirs, Role.USER, fields)).id
        provider = ProviderFields(name="Provider", issuer=f"https://{owner}.example", client_id="1")
        things["provider"][owner] = (await providers.create_provider(COMMAND, provider, tenant_id=tenant)).id
        mail = Mail(
            account_id=None,
            tenant_id=tenant,
            kind=MailKind.TEST,
            to_address=f"{owner}@example.com",
            to_name="",
            subject="s",
            text="t",
            html="h",
            language="en",
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
        things["mail"][owner] = await mails.queue_mail(COMMAND, mail)
    for owner, user_id in [*people.items(), ("marked", people["managed"])]:
        call = a_call(
            tenant_id=elsewhere if owner == "elsewhere" else DEFAULT_TENANT, caller=PartyRecord("1", user_id=user_id)
        )
        await clerk.apply("one", Offset(), [], [call])
        things["call"][owner] = call.id
    await set_call_confidential(COMMAND, things["call"]["marked"], True)
    for owner, tenant in (("other", DEFAULT_TENANT), ("hidden", DEFAULT_TENANT), ("elsewhere", elsewhere)):
        about = About(people[owner], owner)
        await audit.note(COMMAND, Resource.USERS, Action.EXPORT, about, tenant_id=tenant)
        (entry,) = [
            one for one in await audit.entries_about(COMMAND.scope, people[owner], 20) if one.action == Action.EXPORT
        ]
        things["entry"][owner] = entry.id
    asking, reader = Visitor(app), Visitor(app)
    await asking.sign_in("asker")
    await reader.sign_in("reader")
    if asker == "operator in a tenant":
        form = {"tenant": str(DEFAULT_TENANT), "csrf_token": await asking.token("/nowhere")}
        assert (await asking.post("/tenant", form)).status_code == 303
    return World(app, asker, asking, reader, elsewhere, things)


async def test_every_route_has_a_line_and_every_line_a_route(walled: QuartTrio) -> None:
    assert {rule.endpoint for rule in walled.url_map.iter_rules()} == set(ROUTES)


@pytest.mark.parametrize("asker", ROLES)
async def test_nobody_gets_further_than_his_role_and_reach(walled: QuartTrio, asker: str) -> None:
    world = await a_world(walled, asker)
    asked = [one for one in world.requests() if not one[0].websocket]
    refused = [one for one in asked if one[4] != "in"]
    # The forms are read first: who reads them leaves traces, too.
    for rule, method, _, address, _ in asked:
        if method == "POST":
            await world.body(rule, address)
    before = await tables()
    wrong = [
        (rule.endpoint, method, owner, told, expected)
        for rule, method, owner, address, expected in refused
        if (told := await world.ask(rule, method, address)) != expected
    ]
    assert not wrong, "\n".join(map(str, wrong))
    assert await tables() == before
    theirs = await rows_of(world.elsewhere)
    for rule, method, owner, address, expected in asked:
        needs = ROUTES[rule.endpoint][0]
        if expected != "in" or needs == EVERYBODY or (rule.endpoint, owner) in ENDS:
            continue
        if (told := await world.ask(rule, method, address)) != "in":
            wrong.append((rule.endpoint, method, owner, told, "in"))
    assert not wrong, "\n".join(map(str, wrong))
    if P.MANAGE_PLATFORM not in ROLES[asker][1]:
        assert await rows_of(world.elsewhere) == theirs
    if ROLES[asker][0] is not Reach.TENANT and P.MANAGE_PLATFORM not in ROLES[asker][1]:
        assert (await tables())["role"] == before["role"]


# Those who are not somebody with a role and a session


async def test_nobody_is_let_in_where_one_has_to_sign_in(walled: QuartTrio) -> None:
    nobody = Visitor(walled)
    for rule in walled.url_map.iter_rules():
        if ROUTES[rule.endpoint][0] == EVERYBODY:
            continue
        if rule.websocket:
            assert await close_code(nobody, something(rule)) == 4401
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = await nobody.client.open(something(rule), method=method)
            assert outcome(answer.status_code, answer.headers.get("Location", "")) == "sign in", (rule, method)


async def test_who_must_change_his_password_does_that_and_nothing_else(walled: QuartTrio) -> None:
    olga = await add_account("olga", Role.OPERATOR, must_change_password=True)
    await access.add_token(COMMAND, olga.id, hashlib.sha256(b"earshot_x").digest(), "")
    visitor = Visitor(walled)
    await visitor.sign_in("olga")
    page = await visitor.get("/change-password")
    assert page.status_code == 200
    found = re.search(r'name="csrf-token" content="(\w+)"', (await page.get_data()).decode())
    assert found is not None
    script = {"X-CSRF-Token": found[1], "X-Requested-With": "fetch"}
    program = {"Authorization": "Bearer earshot_x"}
    for rule in walled.url_map.iter_rules():
        free = ROUTES[rule.endpoint][0] == EVERYBODY or rule.endpoint in ("own.password", "own.language")
        if free or rule.endpoint == "signin.leave":
            continue
        if rule.websocket:
            assert await close_code(visitor, something(rule)) == 4403
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = await visitor.client.open(something(rule), method=method, headers={"X-CSRF-Token": found[1]})
            if rule.rule.startswith("/api/"):
                assert (await answer.get_json())["type"] == "urn:earshot:problem:change-password", rule
                answer = await visitor.client.open(something(rule), method=method, headers=program)
                assert answer.status_code == 403
            else:
                assert (answer.status_code, answer.headers["Location"]) == (303, "/change-password"), rule
                told = await visitor.client.open(something(rule), method=method, headers=script)
                assert (await told.get_json())["type"] == "urn:earshot:problem:change-password", rule
    assert (await visitor.get("/language")).status_code == 200
    assert (await visitor.post("/sign-out", {"csrf_token": found[1]})).status_code == 303


async def test_a_token_opens_what_it_gives_in_its_owners_reach_and_no_page(walled: QuartTrio) -> None:
    world = await a_world(walled, "supervisor")
    key = hashlib.sha256(b"earshot_x").digest()
    await access.add_token(COMMAND, world.things["user"]["own"], key, "", frozenset({P.VIEW_CALLS}))
    program, bearer = Visitor(walled), {"Authorization": "Bearer earshot_x"}
    given = {
        (rule.endpoint, owner): (await program.client.open(address, method=method, headers=bearer)).status_code
        for rule, method, owner, address, _ in world.requests()
        if not rule.websocket and ROUTES[rule.endpoint][0] != EVERYBODY
    }
    assert given.pop(("api.list_calls", "")) == 200
    for owner in sorted(world.things["call"]):
        in_reach = owner in ("own", "managed")
        assert given.pop(("api.get_call", owner)) == (200 if in_reach else 404), owner
        assert given.pop(("api.audio", owner)) == 403
        assert given.pop(("api.change_recording", owner)) == 403
    assert set(given.values()) == {303}


@pytest.mark.parametrize("asker", ["user", "supervisor", "administrator", "not what is confidential"])
async def test_nobody_hears_further_than_his_role_and_reach(walled: QuartTrio, asker: str) -> None:
    world = await a_world(walled, asker)
    await access.add_token(COMMAND, world.things["user"]["own"], hashlib.sha256(b"earshot_x").digest(), "")
    codes = {"forbidden": 4403, "not found": 4404}
    for rule, _, owner, address, expected in world.requests():
        if rule.websocket and (expected != "in" or (rule.endpoint == "listening.listen" and owner == "own")):
            code = await close_code(world.asking, address, Authorization="Bearer earshot_x")
            assert code == codes.get(expected, code), (rule, owner)
            assert expected != "in" or code not in (4401, 4403, 4404), (rule, owner)


async def test_an_operator_looks_at_one_tenant_and_back(walled: QuartTrio) -> None:
    world = await a_world(walled, "operator")
    theirs, ours = world.things["user"]["elsewhere"], world.things["user"]["other"]

    async def seen() -> list[int]:
        return [(await world.asking.get(f"/administration/users/{one}")).status_code for one in (theirs, ours)]

    async def enter(tenant: str) -> None:
        form = {"tenant": tenant, "csrf_token": await world.asking.token("/nowhere")}
        assert (await world.asking.post("/tenant", form)).status_code == 303

    assert await seen() == [200, 200]
    await enter(str(world.elsewhere))
    assert await seen() == [200, 404]
    await enter("")
    assert await seen() == [200, 200]


async def test_what_a_session_looks_at_means_nothing_for_who_is_no_operator(walled: QuartTrio) -> None:
    """A role that is taken away while he looks at another tenant."""
    world = await a_world(walled, "operator")
    form = {"tenant": str(world.elsewhere), "csrf_token": await world.asking.token("/nowhere")}
    assert (await world.asking.post("/tenant", form)).status_code == 303
    own = world.things["user"]["own"]
    fields = replace((await users.get_user(COMMAND.scope, own)).fields, role=Role.ADMINISTRATOR)  # type: ignore[union-attr]
    await users.update_user(COMMAND, own, fields)
    assert (await world.asking.get(f"/administration/users/{own}")).status_code == 200
    theirs = world.things["user"]["elsewhere"]
    assert (await world.asking.get(f"/administration/users/{theirs}")).status_code == 404


def something(rule: Rule) -> str:
    """The rule's address with something in each of its places."""
    given = {name: new_id() for name in rule.arguments} | {"kind": "users"}
    path = rule.build(given, append_unknown=False)
    assert path is not None, rule
    return path[1]


async def close_code(visitor: Visitor, address: str, **headers: str) -> int:
    """How the portal closes a websocket to this address."""
    given = {"Host": "localhost", "Origin": "http://localhost", **headers}
    async with visitor.client.websocket(address, headers=given) as socket:
        try:
            while True:
                await socket.receive()
        except WebsocketDisconnectError as error:
            return int(error.args[0])
