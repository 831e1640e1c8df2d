"""A query for a tenant's data cannot be built without who asks: every unit takes a Scope or a By.

UNITS are those that take neither, each with its reason. One that is new and takes neither fails here, and so does a
line whose unit is gone.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import schema
from schema.entries import By
from schema.scoped import ScopedCalls
from schema.sight import Sight
from schema.values import Scope

DOOR = "by what opens a door (a hash of a secret, or a login): it is how one becomes somebody"
WRITER = "the archive's: it tells of calls of all tenants, and answers nobody"
SELF = "by an account that the portal knows from its session already"
PLATFORM = "of the platform, not of a tenant; changing it takes a By"
GROUND = "what units are made of: no data, or the statements themselves"
PART = "a part of units of this house, which hold the By"
FRONT = "what anybody may see at the sign-in page"
UNITS = {
    "access.account_of_token": DOOR,
    "access.accounts_by_email": DOOR,
    "access.close_session": DOOR,
    "access.link": DOOR,
    "access.session": DOOR,
    "access.use_link": DOOR,
    "access.recovery_codes_left": SELF,
    "access.rehash": SELF,
    "access.totp_secret": SELF,
    "access.use_totp_step": SELF,
    "people.account": SELF,
    "people.accounts_by_login": DOOR,
    "providers.account_of": DOOR,
    "providers.client_of": DOOR,
    "providers.doors": FRONT,
    "providers.has_doors": FRONT,
    "mails.can_go_out": PLATFORM,
    "users.write_all_new": PART,
    "audited.create_all": GROUND,
    "tenants.doorway": FRONT,
    "tenants.logo": FRONT,
    "tenants.tenant_of_host": FRONT,
    "chain.heads_after": PLATFORM,
    "chain.heads_between": PLATFORM,
    "chain.seal": WRITER,
    "verification.verify": PLATFORM,
    "platform.get_platform": PLATFORM,
    "platform.mail_fields": PLATFORM,
    "platform.password_policy": PLATFORM,
    "mails.smtp_server": PLATFORM,
    "mails.claim_due": WRITER,
    "mails.failed": WRITER,
    "mails.forget_old": WRITER,
    "mails.sent": WRITER,
    "claims.claim_calls": WRITER,
    "claims.claim_calls_of": WRITER,
    "clerk.apply": WRITER,
    "clerk.default_tenant": WRITER,
    "clerk.events_of": WRITER,
    "clerk.finish": WRITER,
    "clerk.is_finished": WRITER,
    "clerk.mark_ended": WRITER,
    "clerk.offset": WRITER,
    "clerk.store": WRITER,
    "clerk.unended": WRITER,
    "clerk.unfinished": WRITER,
    "clerk.users_of_lines": WRITER,
    "interactions.assign": WRITER,
    "pauses.tell": WRITER,
    "nodes.heartbeat": WRITER,
    "nodes.node_of": PLATFORM,
    "nodes.nodes": PLATFORM,
    "nodes.silent_nodes": PLATFORM,
    "users.are_there": "for commands, whose hand reaches everything",
    "audited.note_in": PART,
    "ground.tenant_named": PART,
    "users.assign": PART,
    "users.drop_phones": PART,
    "users.sign_out": PART,
    "users.write_new": PART,
    "users.write_rest": PART,
    "database.migrate": GROUND,
    "database.open_database": GROUND,
    "database.rows": GROUND,
    "ground.exclusively": GROUND,
    "revision.migrate": GROUND,
    "revision.missing": GROUND,
    "sql.insert": GROUND,
    "sql.rows_in": GROUND,
}
# Without a session nobody asks: these take None then, and say so.
MAYBE_NOBODY = {"access.make_link", "mails.queue_mail"}


def units() -> Iterator[tuple[str, inspect.Signature]]:
    """All that is awaited of this house: `module.name`, and what it takes."""
    for found in pkgutil.iter_modules(schema.__path__):
        if found.ispkg:
            continue  # tables and migrations: no functions
        module = importlib.import_module(f"schema.{found.name}")
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isfunction(value) or value.__module__ != module.__name__:
                continue
            whole = inspect.unwrap(value)
            if inspect.iscoroutinefunction(whole) or inspect.isasyncgenfunction(whole):
                yield f"{found.name}.{name}", inspect.signature(whole, eval_str=True)


def test_every_unit_takes_who_asks_or_says_why_not() -> None:
    found = dict(units())
    assert len(found) > len(UNITS)
    without = {
        name
        for name, signature in found.items()
        if not {Scope, By, Sight, By | None} & {parameter.annotation for parameter in signature.parameters.values()}
    }
    assert without == set(UNITS)


def test_only_who_comes_without_a_session_may_be_nobody() -> None:
    nobody = {
        name
        for name, signature in units()
        if By | None in {parameter.annotation for parameter in signature.parameters.values()}
    }
    assert nobody == MAYBE_NOBODY


def test_no_query_is_built_without_a_scope() -> None:
    for query in (ScopedCalls, Sight):
        scope = inspect.signature(query).parameters["scope"]
        assert scope.annotation is Scope
        assert scope.default is inspect.Parameter.empty
