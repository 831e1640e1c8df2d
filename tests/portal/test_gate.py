"""The gate: every route of the portal, for everybody who may come to it.

EXPECTED is written down a second time on purpose: a line that changes in the gate's table has to change here as well.
"""

import hashlib
import re
from dataclasses import replace
from itertools import product

import pytest
from quart import Blueprint
from quart.testing.connections import WebsocketDisconnectError
from quart_trio import QuartTrio
from werkzeug.routing import Rule

from portal import gate
from portal.app import BLUEPRINTS, create_app
from portal.config import PortalConfig
from portal.gate import Open
from schema import access
from schema.audited import changing
from schema.database import Database, unit
from schema.models import Account as AccountRow
from schema.roles import READY_MADE, Permission, Reach, Role
from schema.values import Account
from tests.people import COMMAND
from tests.portal.visitor import Visitor, add_account

SOME_CALL = "01890a5d-ac96-774b-bcce-b302099a8057"
OPERATOR, ADMINISTRATOR, SUPERVISOR, USER = Role.OPERATOR, Role.ADMINISTRATOR, Role.SUPERVISOR, Role.USER
EVERYBODY = {OPERATOR, ADMINISTRATOR, SUPERVISOR, USER}

# Which roles get past the gate; None: who has not signed in does as well.
EXPECTED: dict[str, set[Role] | None] = {
    "static": None,
    "health": None,
    "home": EVERYBODY,
    "signin.form": None,
    "signin.enter": None,
    "signin.tenant": None,
    "signin.code": None,
    "signin.leave": EVERYBODY,
    "password.forgot": None,
    "password.set": None,
    "calls.index": EVERYBODY,
    "calls.show": EVERYBODY,
    "calls.confidential": {ADMINISTRATOR, OPERATOR},
    "audio.play": EVERYBODY,
    "audio.peaks": EVERYBODY,
    "audio.download": EVERYBODY,
    "listening.listen": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "listening.listen_by_token": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "listening.levels": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "api.openapi": None,
    "api.list_calls": EVERYBODY,
    "api.get_call": EVERYBODY,
    "api.audio": EVERYBODY,
    "api.change_recording": {ADMINISTRATOR, OPERATOR},
    "administration.index": EVERYBODY,
    "own.language": EVERYBODY,
    "own.password": EVERYBODY,
    "own.security": EVERYBODY,
    "own.end_session": EVERYBODY,
    "own.end_other_sessions": EVERYBODY,
    "own.totp_begin": EVERYBODY,
    "own.totp_confirm": EVERYBODY,
    "own.totp_end": EVERYBODY,
    "own.recovery_codes": EVERYBODY,
    "own.add_token": EVERYBODY,
    "own.revoke_token": EVERYBODY,
    "customization.language": {ADMINISTRATOR, OPERATOR},
    "customization.appearance": {ADMINISTRATOR, OPERATOR},
    "customization.colours": EVERYBODY,
    "users.index": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "users.complete": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "users.show": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "users.language": {SUPERVISOR, ADMINISTRATOR, OPERATOR},
    "users.export": {ADMINISTRATOR, OPERATOR},
    "users.new": {ADMINISTRATOR, OPERATOR},
    "users.edit": {ADMINISTRATOR, OPERATOR},
    "users.disable": {ADMINISTRATOR, OPERATOR},
    "users.enable": {ADMINISTRATOR, OPERATOR},
    "users.invite": {ADMINISTRATOR, OPERATOR},
    "users.end_sessions": {ADMINISTRATOR, OPERATOR},
    "users.reset_second_factor": {ADMINISTRATOR, OPERATOR},
    "groups.index": {ADMINISTRATOR, OPERATOR},
    "groups.show": {ADMINISTRATOR, OPERATOR},
    "groups.new": {ADMINISTRATOR, OPERATOR},
    "groups.edit": {ADMINISTRATOR, OPERATOR},
    "groups.disable": {ADMINISTRATOR, OPERATOR},
    "groups.enable": {ADMINISTRATOR, OPERATOR},
    "groups.delete": {ADMINISTRATOR, OPERATOR},
    "phones.index": {ADMINISTRATOR, OPERATOR},
    "phones.show": {ADMINISTRATOR, OPERATOR},
    "phones.new": {ADMINISTRATOR, OPERATOR},
    "phones.edit": {ADMINISTRATOR, OPERATOR},
    "phones.disable": {ADMINISTRATOR, OPERATOR},
    "phones.enable": {ADMINISTRATOR, OPERATOR},
    "phones.delete": {ADMINISTRATOR, OPERATOR},
    "roles.index": {ADMINISTRATOR, OPERATOR},
    "roles.show": {ADMINISTRATOR, OPERATOR},
    "roles.copy": {ADMINISTRATOR, OPERATOR},
    "roles.edit": {ADMINISTRATOR, OPERATOR},
    "roles.delete": {ADMINISTRATOR, OPERATOR},
    "imports.form": {ADMINISTRATOR, OPERATOR},
    "imports.template": {ADMINISTRATOR, OPERATOR},
    "imports.preview": {ADMINISTRATOR, OPERATOR},
    "imports.review": {ADMINISTRATOR, OPERATOR},
    "imports.apply": {ADMINISTRATOR, OPERATOR},
    "tenants.logo": None,
    "tenants.index": {OPERATOR},
    "tenants.show": {OPERATOR},
    "tenants.new": {OPERATOR},
    "tenants.edit": {OPERATOR},
    "tenants.disable": {OPERATOR},
    "tenants.enable": {OPERATOR},
    "tenants.enter": {OPERATOR},
    "platform.edit": {OPERATOR},
    "audit.index": {ADMINISTRATOR, OPERATOR},
    "audit.show": {ADMINISTRATOR, OPERATOR},
    "audit.export_csv": {ADMINISTRATOR, OPERATOR},
    "audit.export_jsonl": {ADMINISTRATOR, OPERATOR},
    "mail.index": {OPERATOR},
    "mail.test": {OPERATOR},
    "mail.retry": {OPERATOR},
    "oidc.start": None,
    "oidc.callback": None,
    "providers.index": {ADMINISTRATOR, OPERATOR},
    "providers.new": {ADMINISTRATOR, OPERATOR},
    "providers.edit": {ADMINISTRATOR, OPERATOR},
    "providers.test": {ADMINISTRATOR, OPERATOR},
    "providers.delete": {ADMINISTRATOR, OPERATOR},
}

# What comes between the password and the session: who is not there is sent to the beginning.
MIDWAY = {"signin.tenant", "signin.code"}


def rules(app: QuartTrio) -> list[Rule]:
    return list(app.url_map.iter_rules())


def path(rule: Rule) -> str:
    """The rule's address with something in each of its places."""

    def something(found: re.Match[str]) -> str:
        return SOME_CALL if found[1] == "uuid" else found[2].split(",")[0] if found[1] == "any" else "x"

    return re.sub(r"<(?:(\w+)(?:\(([^)]*)\))?:)?\w+>", something, rule.rule)


async def test_the_table_has_a_line_for_each_endpoint_and_no_other(app: QuartTrio) -> None:
    assert {rule.endpoint for rule in rules(app)} == set(gate.TABLE) == set(EXPECTED)


def test_each_line_admits_whom_it_should() -> None:
    admitted = {}
    for endpoint, need in gate.TABLE.items():
        needs = set() if need is Open.SIGNED_IN else need if isinstance(need, frozenset) else {need}
        admitted[endpoint] = None if need is Open.PUBLIC else {role for role in Role if needs <= may(role)}
    assert admitted == EXPECTED


def may(role: Role) -> frozenset[Permission]:
    return READY_MADE[role].permissions


def test_a_route_without_a_line_keeps_the_portal_from_starting(config: PortalConfig) -> None:
    stray = Blueprint("stray", __name__)

    @stray.get("/stray")
    async def _() -> str:
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portal.app.BLUEPRINTS", (*BLUEPRINTS, stray))
        with pytest.raises(RuntimeError, match=r"no line in portal/gate.py: stray\._"):
            create_app(config, None)


# Requests, for real


async def test_without_signing_in_nothing_but_the_public_is_answered(app: QuartTrio, visitor: Visitor) -> None:
    for rule in rules(app):
        if EXPECTED[rule.endpoint] is None or rule.websocket:
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = await visitor.client.open(path(rule), method=method)
            if rule.rule.startswith("/api/"):
                assert answer.status_code == 401, rule
                assert answer.content_type == "application/problem+json"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            else:
                assert answer.status_code == 303, rule
                assert answer.headers["Location"].startswith("/sign-in")


async def test_what_changes_something_needs_the_token_of_the_page(app: QuartTrio, visitor: Visitor) -> None:
    await add_account("anna", OPERATOR)
    await visitor.sign_in("anna")
    unsafe = [(rule, method) for rule in rules(app) for method in rule.methods & {"POST", "PUT", "PATCH", "DELETE"}]
    assert unsafe
    for (rule, method), headers in product(unsafe, ({}, {"X-CSRF-Token": "0" * 64})):
        answer = await visitor.client.open(path(rule), method=method, headers=headers)
        if rule.endpoint in MIDWAY:
            assert answer.status_code == 303
            assert answer.headers["Location"].startswith("/sign-in")
        else:
            assert answer.status_code == 403, (rule, method)


async def test_the_token_of_another_session_does_not_count(app: QuartTrio, visitor: Visitor) -> None:
    await add_account("anna")
    other = Visitor(app)
    await other.sign_in("anna")
    await visitor.sign_in("anna")
    form = {"csrf_token": await other.token("/nowhere")}
    assert (await visitor.post("/sign-out", form)).status_code == 403


async def test_what_nobody_made_is_not_found(visitor: Visitor) -> None:
    for path_ in ("/nowhere", "/calls/", "/calls/not-an-id", "/api/v1/nowhere", "/static/../portal.py"):
        assert (await visitor.get(path_)).status_code == 404


# Who is who


@unit
async def change(account: Account, **values: object) -> None:
    async with changing(COMMAND):
        row = await AccountRow.get(id=account.id)
        await row.update_from_dict(values).save()


async def test_access_that_is_withdrawn_ends_at_once(app: QuartTrio, visitor: Visitor) -> None:
    account = await add_account("anna")
    await visitor.sign_in("anna")
    await access.add_token(COMMAND, account.id, hashlib.sha256(b"earshot_x").digest(), "")
    bearer = {"Authorization": "Bearer earshot_x"}
    assert (await visitor.get("/")).headers["Location"] == "/calls"
    assert (await visitor.get("/api/v1/calls", headers=bearer)).status_code == 200
    await change(account, may_sign_in=False)
    assert (await visitor.get("/")).headers["Location"].startswith("/sign-in")
    assert (await visitor.get("/api/v1/calls", headers=bearer)).status_code == 401


async def test_a_role_that_changes_counts_at_once(visitor: Visitor) -> None:
    account = await add_account("anna", USER)
    await visitor.sign_in("anna")
    token = {"X-CSRF-Token": await visitor.token("/nowhere")}
    recording = f"/api/v1/calls/{SOME_CALL}/recording"
    pause = {"json": {"state": "paused"}, "headers": token}
    assert (await visitor.client.put(recording, **pause)).status_code == 403
    await change(account, role="administrator")
    assert (await visitor.client.put(recording, **pause)).status_code == 404


async def test_a_token_opens_the_api_and_no_page(visitor: Visitor) -> None:
    account = await add_account("anna")
    await access.add_token(COMMAND, account.id, hashlib.sha256(b"earshot_x").digest(), "")
    for scheme in ("Bearer", "bearer"):
        bearer = {"Authorization": f"{scheme} earshot_x"}
        assert (await visitor.get("/api/v1/calls", headers=bearer)).status_code == 200
        assert (await visitor.get("/calls", headers=bearer)).status_code == 303
    for wrong in ("Bearer earshot_y", "Bearer ", "Basic earshot_x", "Bearer \xff"):
        assert (await visitor.get("/api/v1/calls", headers={"Authorization": wrong})).status_code == 401


async def test_a_wrong_token_is_not_made_good_by_a_cookie(visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    assert (await visitor.get("/api/v1/calls")).status_code == 200
    wrong = {"Authorization": "Bearer earshot_y"}
    assert (await visitor.get("/api/v1/calls", headers=wrong)).status_code == 401


# Websockets

LISTEN = f"/calls/{SOME_CALL}/listen"


async def close_code(visitor: Visitor, address: str, **headers: str) -> int:
    """How the portal closes a websocket to this address."""
    async with visitor.client.websocket(address, headers={"Host": "localhost", **headers}) as socket:
        try:
            while True:
                await socket.receive()
        except WebsocketDisconnectError as error:
            return int(error.args[0])


async def test_a_websocket_of_a_page_needs_a_session_and_our_own_origin(visitor: Visitor) -> None:
    assert await close_code(visitor, LISTEN, Origin="http://localhost") == 4401
    await add_account("anna")
    await visitor.sign_in("anna")
    assert await close_code(visitor, LISTEN, Origin="http://localhost") == 4404
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:81"}):
        assert await close_code(visitor, LISTEN, **origin) == 4403


async def test_a_websocket_needs_the_permission(visitor: Visitor) -> None:
    await add_account("anna", USER)
    await visitor.sign_in("anna")
    for address in (LISTEN, "/live/levels"):
        assert await close_code(visitor, address, Origin="http://localhost") == 4403


async def test_a_websocket_of_a_program_needs_a_token_and_no_origin(visitor: Visitor) -> None:
    account = await add_account("anna")
    await access.add_token(COMMAND, account.id, hashlib.sha256(b"earshot_x").digest(), "")
    address = f"/api/v1{LISTEN}"
    assert await close_code(visitor, address, Authorization="Bearer earshot_x") == 4404
    assert await close_code(visitor, address, Authorization="Bearer earshot_y") == 4401


async def test_behind_a_proxy_its_public_address_is_our_origin(config: PortalConfig, database: Database) -> None:
    app = create_app(replace(config, public_url="https://calls.example.com"), None)
    visitor = Visitor(app)
    assert await close_code(visitor, LISTEN, Origin="https://calls.example.com") == 4401
    assert await close_code(visitor, LISTEN, Origin="https://other.example.com") == 4403


# Roles

OWN = {Permission.VIEW_CALLS, Permission.PLAY, Permission.DOWNLOAD, Permission.VIEW_NOTES}


@pytest.mark.parametrize(
    ("role", "reach", "permissions"),
    [
        (USER, Reach.OWN, OWN),
        (SUPERVISOR, Reach.MANAGED, OWN | {Permission.LIVE_MONITOR, Permission.VIEW_USERS}),
        (ADMINISTRATOR, Reach.TENANT, set(Permission) - {Permission.MANAGE_ARCHIVING, Permission.MANAGE_PLATFORM}),
        (OPERATOR, Reach.PLATFORM, set(Permission)),
    ],
)
def test_roles_are_the_guides(role: Role, reach: Reach, permissions: set[Permission]) -> None:
    assert READY_MADE[role].reach is reach
    assert may(role) == permissions
