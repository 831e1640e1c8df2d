"""A house full of things for pages to show: people, groups, phones, roles, tenants, calls in each state, mails, entries
of the audit trail. All that can be named has a Greek name, so that a text in Latin letters is the portal's own.

No test lives here.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from quart_trio import QuartTrio
from werkzeug.datastructures import FileStorage
from werkzeug.routing import Rule

from portal import links
from schema import access, audit, clerk, groups, mails, phones, platform, providers, roles_kept, tenants, users
from schema.access import by_owner
from schema.entries import About, Action, Resource
from schema.mails import Failure, Mail, MailKind, Trouble
from schema.profiles import PlatformFields, RoleFields, TenantFields, UserFields
from schema.providers import ProviderFields
from schema.roles import READY_MADE, Role
from schema.values import (
    DEFAULT_TENANT,
    Account,
    CallRecord,
    NodeRecord,
    Offset,
    ParticipantRecord,
    PartyRecord,
    PauseRecord,
    RecordingRecord,
    StreamRecord,
)
from tests.people import COMMAND
from tests.portal.visitor import ADDRESS, Visitor, add_account

NODE, SILENT = "κόμβος-1", "κόμβος-2"
START: Final = datetime(2026, 3, 5, 14, 3, 22, tzinfo=UTC)
TOMORROW: Final = datetime.now(UTC) + timedelta(days=1)
TOTP: Final = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
LINES: Final = "2000", "2001"
# A line that adds, one that changes, one that is wrong.
CSV: Final = ("login,name,phones", "νέα,Νέα Χρήστρια,2999", "σάμης,Σάμης,2001", ",χωρίς,")
FILE: Final = RecordingRecord("2026/03/05/x", "audio.opus", "opus", 182_733, "ab" * 32, 97.4, 8000, "peaks.dat")


@dataclass
class House:
    """Who is signed in, and the objects that addresses name."""

    app: QuartTrio
    operator: Visitor
    user: Visitor
    second_factor: Visitor
    at_the_code: Visitor
    at_the_tenant: Visitor
    stranger: Visitor
    things: dict[str, list[Any]] = field(default_factory=dict)

    def addresses(self, rule: Rule) -> list[tuple[Visitor, str]]:
        """Whoever shows the page of this rule, and its addresses: with each object, and with what changes its looks."""
        visitors = WHO.get(rule.endpoint, ("operator",))
        found = []
        for name in visitors:
            for values in self._values(rule):
                path = rule.build(values, append_unknown=False)
                assert path is not None, f"{rule.endpoint} cannot be built with {values}"
                for query in QUERIES.get(rule.endpoint, ("",)):
                    found.append((getattr(self, name), path[1] + query))
        return found

    def refusals(self) -> list[tuple[Visitor, str, int]]:
        """Pages that say why there is none, and their status."""
        return [
            (self.stranger, "/set-password/παλιό", 404),
            (self.stranger, "/πουθενά", 404),
            (self.operator, "/πουθενά", 404),
            (self.user, "/administration", 403),
        ]

    def _values(self, rule: Rule) -> list[dict[str, Any]]:
        if rule.endpoint in self.things:
            return self.things[rule.endpoint]
        missing = rule.arguments - self.things.keys()
        assert not missing, f"tests/portal/house.py has nothing for {missing} of {rule.rule}"
        values: list[dict[str, Any]] = [{}]
        for name in sorted(rule.arguments):
            values = [{**one, name: thing} for one in values for thing in self.things[name]]
        return values


# Who opens a page, where it is not the operator.
WHO: Final = {
    "signin.form": ("stranger",),
    "signin.code": ("at_the_code",),
    "signin.tenant": ("at_the_tenant",),
    "password.forgot": ("stranger",),
    "password.set": ("stranger",),
    "calls.index": ("operator", "user"),
    "calls.show": ("operator", "user"),
    "own.language": ("operator", "user"),
    "own.security": ("operator", "user", "second_factor"),
    "own.recovery_codes": ("second_factor",),
    "own.totp_end": ("second_factor",),
    "own.totp_begin": ("user",),
}
NOTHING: Final = "?" + urlencode({"q": "ωωω"})
# What else stands in the address of a page.
QUERIES: Final = {
    "calls.index": ("", "?view=active"),
    "users.index": ("", NOTHING, "?status=all", "?status=disabled"),
    "groups.index": ("", NOTHING, "?status=all"),
    "phones.index": ("", NOTHING, "?status=all"),
    "tenants.index": ("", NOTHING, "?status=all"),
    "customization.language": ("", NOTHING, "?change=platform"),
    "audit.index": ("", "?" + urlencode({"text": "ωωω"})),
}


async def furnish(app: QuartTrio) -> House:
    """Makes everything, and signs everybody in."""
    await tenants.update_tenant(COMMAND, DEFAULT_TENANT, TenantFields(name="Αθήνα", hosts=("athens.example",)))
    await platform.set_platform(
        COMMAND,
        PlatformFields(support_contact="+30 210 1234567", sister_platforms=(("Κρήτη", "https://crete.example"),)),
    )
    crete = await tenants.create_tenant(
        COMMAND, TenantFields(name="Κρήτη", hosts=("crete.example",), colour="#ffcc00", max_users=5)
    )
    await add_account("όλγα", Role.OPERATOR, name="Όλγα Παππά")
    user = await add_account("ούλα", Role.USER, name="Ούλα Νίκα", phones=LINES[:1], group="Υποστήριξη")
    await add_account("σάμης", Role.SUPERVISOR, name="Σάμης Ρήγας", manages=("Υποστήριξη",))
    await add_account("διπλή", Role.ADMINISTRATOR, name="Διπλή", tenant="Κρήτη")
    await add_account("διπλή", Role.USER, name="Διπλή")
    factor = await add_account("κωδικός", Role.ADMINISTRATOR, name="Κωδικός")
    house = House(
        app,
        await sign_in(app, "όλγα"),
        await sign_in(app, "ούλα"),
        await sign_in(app, "κωδικός"),
        Visitor(app),
        await sign_in(app, "διπλή"),
        Visitor(app),
    )
    await access.set_totp(by_owner(factor, ""), TOTP, 0, [b"one", b"two"])
    house.at_the_code = await sign_in(app, "κωδικός")
    role = await roles_kept.copy_role(
        COMMAND, Role.SUPERVISOR, RoleFields(name="Ακροατής", grant=READY_MADE[Role.SUPERVISOR])
    )
    gone = await users.create_user(COMMAND, UserFields(login="παλιός", name="Παλιός", role=role.id or Role.USER))
    await users.disable_user(COMMAND, gone.id)
    await access.add_token(by_owner(user, ""), user.id, b"t" * 32, "κλειδί", None, START + timedelta(days=9999))
    provider = await providers.create_provider(
        COMMAND, ProviderFields(name="Πάροχος", issuer="https://login.example", client_id="12345", enabled=False)
    )
    await some_mails(user)
    await some_deeds(user)
    found_groups = (await groups.list_groups(COMMAND.scope)).items
    found_phones = (await phones.list_phones(COMMAND.scope)).items
    secret = links.new_secret()
    await access.make_link(COMMAND, user.id, links.hash_of(secret), invitation=False, expires_at=TOMORROW)
    house.things = {
        "user_id": [user.id, gone.id, factor.id],
        "group_id": [found_groups[0].id],
        "phone_id": [found_phones[0].id],
        "role": ["supervisor", role.id],
        "role_id": [role.id],
        "tenant_id": [crete.id, DEFAULT_TENANT],
        "provider_id": [provider.id],
        "call_id": await some_calls(user),
        "kind": ["users", "groups", "phones"],
        "secret": [secret],
        "imports.review": [{"kind": "users", "name": await an_import(house.operator)}],
    }
    entries = (await audit.list_entries(COMMAND.scope, limit=200)).items
    one_of_each = {(entry.resource, entry.action): entry.id for entry in entries}
    house.things["entry_id"] = list(one_of_each.values())
    return house


async def sign_in(app: QuartTrio, login: str) -> Visitor:
    visitor = Visitor(app)
    assert (await visitor.sign_in(login)).status_code == 303
    return visitor


async def an_import(visitor: Visitor) -> str:
    """The name of a list that was read and waits to be applied."""
    page = "/administration/users/import"
    form = {"csrf_token": await visitor.token(page), "tenant": str(DEFAULT_TENANT)}
    file = FileStorage(stream=BytesIO("\n".join(CSV).encode()), filename="χρήστες.csv")
    answer = await visitor.client.post(page, form=form, files={"file": file}, scope_base={"client": ADDRESS})
    assert answer.status_code == 303, await answer.get_data(as_text=True)
    return answer.headers["Location"].rpartition("/")[2].partition("?")[0]


async def some_deeds(user: Account) -> None:
    """An entry of the audit trail for every action, besides those about all that was made."""
    for action in Action:
        about = About(user.id, user.name)
        await audit.note(
            COMMAND, Resource.USERS, action, about, tenant_id=user.tenant_id, details={"login": user.login}
        )


async def some_mails(user: Account) -> None:
    """A mail of each kind, and one that failed for each reason."""
    now = datetime.now(UTC)
    for kind in MailKind:
        await mails.queue_mail(
            None,
            Mail(
                account_id=user.id,
                tenant_id=user.tenant_id,
                kind=kind,
                to_address="ulla@athens.example",
                to_name=user.name,
                subject="Θέμα",
                text="Κείμενο",
                html="<p>Κείμενο</p>",
                language="el",
                expires_at=TOMORROW,
            ),
        )
    claims = await mails.claim_due(now + timedelta(seconds=1), 100)
    for claim, trouble in zip(claims, Trouble, strict=False):
        await mails.failed(claim, Failure(trouble, "550 5.1.1"), None, for_good=True)


async def some_calls(user: Account) -> list[UUID]:
    """Calls as they are found: running, paused, being finished, unreachable, and ended in every way."""
    now = datetime.now(UTC)
    await clerk.heartbeat(NodeRecord(NODE, "", "1", now))
    await clerk.heartbeat(NodeRecord(SILENT, "", "1", now - timedelta(hours=1)))
    running = CallRecord(
        id=uuid4(),
        tenant_id=user.tenant_id,
        node=NODE,
        events=3,
        started_at=START,
        caller=PartyRecord("12333001100", "Μιχάλης"),
        callee=PartyRecord(LINES[0], "Ούλα", user_id=user.id),
        direction="inbound",
        streams=(StreamRecord(0, "1", "both", "PCMU/8000"),),
    )
    ended = replace(
        running,
        ended_at=START + timedelta(seconds=97),
        duration_s=97.4,
        end="normal",
        finished=True,
        recording="off",
        kept=True,
        recording_file=FILE,
        participants=(ParticipantRecord("Μιχάλης", "12333001100", "", 0.0, 50.0),),
        pauses=(PauseRecord(9.0, 12.0, "phone-system", 9.0), PauseRecord(20.0, 25.0, "όλγα", 20.0)),
        streams=(
            StreamRecord(0, "1", "caller", "PCMU/8000", 100, 1, 0.5),
            StreamRecord(1, "2", "callee", "PCMA/8000", 100, 0, 0.5),
        ),
    )
    kept = [
        ended,
        replace(ended, id=uuid4(), end="interrupted", direction="outbound"),
        replace(ended, id=uuid4(), end="lost", pauses=()),
        replace(ended, id=uuid4(), end="incomplete", recording_file=None, kept=False),
    ]
    for record in kept:
        await clerk.finish(record)
    going = [
        running,
        replace(running, id=uuid4(), recording="paused", pauses=(PauseRecord(5.0, None, "phone-system", None),)),
        replace(running, id=uuid4(), ended_at=START + timedelta(seconds=9), duration_s=9.0, recording="off"),
    ]
    await clerk.apply(NODE, Offset(), [], going)
    lost = replace(running, id=uuid4(), node=SILENT)
    await clerk.apply(SILENT, Offset(), [], [lost])
    return [record.id for record in [*kept, *going, lost]]
