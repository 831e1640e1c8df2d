"""Two tenants with people, groups, phones, roles, calls and the rest, and somebody in one of them who tries every door.

No test lives here: what he should find behind each of them is in `test_walls.py`.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from quart_trio import QuartTrio
from werkzeug.routing import Rule

from portal.gate import LOOKED_AT
from schema import audit, clerk, groups, mails, phones, providers, roles_kept, tenants, users
from schema.columns import new_id
from schema.confidential import set_call_confidential
from schema.database import reading, rows
from schema.entries import About, Action, Resource
from schema.mails import Mail, MailKind
from schema.profiles import GroupFields, PhoneFields, RoleFields, TenantFields, UserFields
from schema.providers import ProviderFields
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.values import DEFAULT_TENANT, Offset, PartyRecord
from tests.people import COMMAND
from tests.portal.visitor import Visitor, hash_of_password
from tests.schema.given import a_call


@dataclass
class World:
    """Who asks, with his session's CSRF token, and what there is: ids by kind and owner; forms by their address."""

    app: QuartTrio
    asking: Visitor
    reader: Visitor
    token: str
    elsewhere: UUID
    things: dict[str, dict[str, UUID]]
    forms: dict[str, dict[str, str]] = field(default_factory=dict)

    def address(self, rule: Rule, kind: str, owner: str) -> str:
        """Of the page for an owner's object of this kind; without a kind, whatever the address names."""
        given = {"kind": "users", "name": "x", "secret": "x", "provider_id": new_id()}
        if kind:
            given |= {name: self.things[kind][owner] for name in rule.arguments}
        path = rule.build(given, append_unknown=False)
        assert path is not None, rule
        return path[1]

    async def ask(self, rule: Rule, method: str, address: str) -> str:
        body = await self.body(rule, address) if method in ("POST", "PUT") else {}
        more = {"json": {"state": "paused"}} if method == "PUT" else {"form": body} if method == "POST" else {}
        answer = await self.asking.client.open(address, method=method, headers={"X-CSRF-Token": self.token}, **more)
        return outcome(answer.status_code, answer.headers.get("Location", ""))

    async def body(self, rule: Rule, address: str) -> dict[str, str]:
        """What somebody would send who had the page: so a refusal is not for a form that is wrong anyway."""
        if "GET" not in (rule.methods or set()):
            return {"login": "x", "name": "x"}
        if address not in self.forms:
            page = (await (await self.reader.get(address)).get_data()).decode()
            self.forms[address] = {**Fields(page).found, **FILLED.get(rule.endpoint, {})}
            # The reader looks at all tenants, and whoever asks may look at one.
            self.forms[address].pop(LOOKED_AT, None)
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


async def a_world(app: QuartTrio, grant: Grant, *, enters: bool = False) -> World:
    """Two tenants, and in one the asker with a group that he may manage. `enters`: he looks at that one alone."""
    elsewhere = (await tenants.create_tenant(COMMAND, TenantFields(name="Elsewhere"))).id
    role: Role | UUID | None = next((role for role, given in READY_MADE.items() if given == grant), None)
    if role is None:
        base = Role.SUPERVISOR if grant.reach is Reach.MANAGED else Role.ADMINISTRATOR
        role = (await roles_kept.copy_role(COMMAND, base, RoleFields(name="Copy", grant=grant))).id
        assert role is not None
    teams = {
        owner: (await groups.create_group(COMMAND, GroupFields(name=owner), tenant_id=tenant)).id
        for owner, tenant in (("own", None), ("managed", None), ("other", None), ("elsewhere", elsewhere))
    }
    hashed = await hash_of_password()

    async def person(login: str, owner: str, tenant: UUID | None = None, **more: Any) -> UUID:
        fields = UserFields(login=login, name=login, group_id=teams[owner], may_sign_in=True, **more)
        return (await users.create_user(COMMAND, fields, tenant_id=tenant, password_hash=hashed)).id

    manages = {"manages_groups": (teams["managed"],)} if grant.reach is Reach.MANAGED else {}
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
        fields = RoleFields(name=f"Role {owner}", grant=Grant(Reach.OWN, frozenset({Permission.VIEW_CALLS})))
        theirs = replace(COMMAND, scope=replace(COMMAND.scope, tenant_id=tenant))
        things["role"][owner] = (await roles_kept.copy_role(theirs, Role.USER, fields)).id
        administrator = replace(theirs, grant=READY_MADE[Role.ADMINISTRATOR])
        provider = ProviderFields(name="Provider", issuer=f"https://{owner}.example", client_id="1")
        things["provider"][owner] = (await providers.create_provider(administrator, provider, tenant_id=tenant)).id
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
    if enters:
        form = {"tenant": str(DEFAULT_TENANT), "csrf_token": await asking.token("/nowhere")}
        assert (await asking.post("/tenant", form)).status_code == 303
    return World(app, asking, reader, await asking.token("/nowhere"), elsewhere, things)
