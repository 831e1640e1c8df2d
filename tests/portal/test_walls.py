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
from dataclasses import dataclass, replace

import pytest
from quart.testing.connections import WebsocketDisconnectError
from quart_trio import QuartTrio
from werkzeug.routing import Rule

from portal import gateways
from portal.api import calls
from portal.app import create_app
from portal.config import PortalConfig
from portal.gateways import open_gateways
from schema import access, users
from schema.columns import new_id
from schema.database import Database
from schema.nodes import nodes
from schema.roles import Grant, Permission, Reach, Role
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account
from tests.portal.walled import World, a_world, outcome, rows_of, tables

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
    "users.export": (P.MANAGE_USERS, ""),
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
    "providers.index": ({P.MANAGE_SETTINGS, P.MANAGE_USERS}, ""),
    "providers.new": ({P.MANAGE_SETTINGS, P.MANAGE_USERS}, ""),
    "providers.edit": ({P.MANAGE_SETTINGS, P.MANAGE_USERS}, "provider"),
    "providers.test": ({P.MANAGE_SETTINGS, P.MANAGE_USERS}, "provider"),
    "providers.delete": ({P.MANAGE_SETTINGS, P.MANAGE_USERS}, "provider"),
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
# An operator who looks at one tenant still has all of them in hand.
PLATFORMS_OWN = {"tenant"}
NOTHING_OPEN = {"user"}
# How somebody gets in is his own business, and of those who have all of his tenant in reach.
GETTING_IN = {"users.invite", "users.end_sessions", "users.reset_second_factor"}
# What names its object in its body, and there names none.
NAMES_NOTHING = {("own.revoke_token", "POST"), ("customization.language", "POST")}
# What ends the asker's own session or changes what he looks at has tests of its own.
ENDS = {("signin.leave", ""), ("users.end_sessions", "own"), ("tenants.enter", "")}


@dataclass(frozen=True)
class Request:
    """One request, and how it should be answered."""

    rule: Rule
    method: str
    owner: str
    address: str
    expected: str


def requests(world: World, asker: str) -> Iterator[Request]:
    """Every route with every method and every owner's object."""
    for rule in world.app.url_map.iter_rules():
        kind = ROUTES[rule.endpoint][1]
        for owner in sorted(world.things[kind]) if kind else [""]:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                address = world.address(rule, kind, owner)
                yield Request(rule, method, owner, address, expected(asker, rule.endpoint, method, owner))


def expected(asker: str, endpoint: str, method: str, owner: str) -> str:
    needs, kind = ROUTES[endpoint]
    reach, permissions = ROLES[asker]
    wanted = set() if needs in (EVERYBODY, SIGNED_IN) else needs if isinstance(needs, set) else {needs}
    if not wanted <= permissions or (endpoint == "administration.index" and asker in NOTHING_OPEN):
        return "forbidden"
    if kind in PLATFORMS_OWN or not kind:
        return "not found" if (endpoint, method) in NAMES_NOTHING else "in"
    if kind == "role" and owner != "elsewhere":
        return "in"  # everybody in a tenant has one; who may not change it is told so
    reached = REACHES[reach] - (set() if P.VIEW_CONFIDENTIAL in permissions else CONFIDENTIAL)
    if endpoint in GETTING_IN and reach is Reach.MANAGED and owner in reached - {"own"}:
        return "forbidden"
    return "in" if owner in reached else "not found"


@pytest.fixture
async def walled(config: PortalConfig, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QuartTrio]:
    """The portal, with lines to engines of which there are none, and nobody waits for them."""
    monkeypatch.setattr(calls, "ANSWER_S", 0.01)
    monkeypatch.setattr(gateways, "PATIENCE_S", 0.01)
    async with open_gateways(bytes(32), nodes) as lines:
        yield create_app(config, lines)


async def test_every_route_has_a_line_and_every_line_a_route(walled: QuartTrio) -> None:
    assert {rule.endpoint for rule in walled.url_map.iter_rules()} == set(ROUTES)


@pytest.mark.parametrize("asker", ROLES)
async def test_nobody_gets_further_than_his_role_and_reach(walled: QuartTrio, asker: str) -> None:
    world = await enter(walled, asker)
    asked = [one for one in requests(world, asker) if not one.rule.websocket]
    # The forms are read first: who reads them leaves traces, too.
    for one in asked:
        if one.method == "POST":
            await world.body(one.rule, one.address)
    before = await tables()
    await answered(world, [one for one in asked if one.expected != "in"])
    assert await tables() == before
    theirs = await rows_of(world.elsewhere)
    await answered(
        world,
        [
            one
            for one in asked
            if one.expected == "in"
            and ROUTES[one.rule.endpoint][0] != EVERYBODY
            and (one.rule.endpoint, one.owner) not in ENDS
        ],
    )
    reach, permissions = ROLES[asker]
    if P.MANAGE_PLATFORM not in permissions:
        assert await rows_of(world.elsewhere) == theirs
    if reach in (Reach.OWN, Reach.MANAGED):
        assert (await tables())["role"] == before["role"]


async def answered(world: World, asked: list[Request]) -> None:
    """Makes these requests, and sees that each is answered as it should be."""
    wrong = [
        f"{one.rule.endpoint} {one.method} {one.owner}: {told}, and not {one.expected}"
        for one in asked
        if (told := await world.ask(one.rule, one.method, one.address)) != one.expected
    ]
    assert not wrong, "\n".join(wrong)


async def enter(app: QuartTrio, asker: str) -> World:
    reach, permissions = ROLES[asker]
    inside = asker == "operator in a tenant"
    return await a_world(app, Grant(Reach.PLATFORM if inside else reach, frozenset(permissions)), enters=inside)


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
    world = await enter(walled, "supervisor")
    key = hashlib.sha256(b"earshot_x").digest()
    await access.add_token(COMMAND, world.things["user"]["own"], key, "", frozenset({P.VIEW_CALLS}))
    program, bearer = Visitor(walled), {"Authorization": "Bearer earshot_x"}
    given = {
        (one.rule.endpoint, one.owner): (
            await program.client.open(one.address, method=one.method, headers=bearer)
        ).status_code
        for one in requests(world, "supervisor")
        if not one.rule.websocket and ROUTES[one.rule.endpoint][0] != EVERYBODY
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
    world = await enter(walled, asker)
    await access.add_token(COMMAND, world.things["user"]["own"], hashlib.sha256(b"earshot_x").digest(), "")
    codes = {"forbidden": 4403, "not found": 4404}
    for one in requests(world, asker):
        if one.rule.websocket and (
            one.expected != "in" or (one.rule.endpoint, one.owner) == ("listening.listen", "own")
        ):
            code = await close_code(world.asking, one.address, Authorization="Bearer earshot_x")
            assert code == codes.get(one.expected, code), one
            assert one.expected != "in" or code not in (4401, 4403, 4404), one


async def test_an_operator_looks_at_one_tenant_and_back(walled: QuartTrio) -> None:
    world = await enter(walled, "operator")
    theirs, ours = world.things["user"]["elsewhere"], world.things["user"]["other"]

    async def seen() -> list[int]:
        return [(await world.asking.get(f"/administration/users/{one}")).status_code for one in (theirs, ours)]

    async def look_at(tenant: str) -> None:
        form = {"tenant": tenant, "csrf_token": await world.asking.token("/nowhere")}
        assert (await world.asking.post("/tenant", form)).status_code == 303

    assert await seen() == [200, 200]
    await look_at(str(world.elsewhere))
    assert await seen() == [200, 404]
    await look_at("")
    assert await seen() == [200, 200]


async def test_what_a_session_looks_at_means_nothing_for_who_is_no_operator(walled: QuartTrio) -> None:
    """A role that is taken away while he looks at another tenant."""
    world = await enter(walled, "operator")
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
