"""Accounts and API tokens from the command line: `earshot user add` and `earshot token add`.

Not here: the options of these commands (`accounts_command.py`), and what is kept (`schema.people`).
"""

import getpass
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from portal import passwords
from schema import access, people, users
from schema.claims import claim_calls
from schema.database import DatabaseError, open_database
from schema.entries import Application, By
from schema.refusals import Refusal
from schema.roles import EVERYTHING, Reach, Role
from schema.values import DEFAULT_TENANT, NOBODY, Account, Scope

# So that a token that leaked is known for what it is; behind it are 256 bits.
TOKEN_PREFIX: Final = "earshot_"  # noqa: S105 (the prefix is no secret)
TOKEN_BYTES: Final = 32
MOST_CHARACTERS: Final = 254


class Refused(Exception):
    """Nothing was made. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Somebody who is to have an account. Without a password (None) he has no web access; his calls are still his.

    `manages`: groups and users that are there, by name and login, whose calls a supervisor sees.
    """

    login: str
    role: Role
    password: str | None
    tenant: str | None = None
    name: str = ""
    phones: Sequence[str] = ()
    group: str | None = None
    manages: Sequence[str] = ()


async def add_user(database_url: str, key: bytes, new: NewUser) -> str:
    """Makes the account; gives sentences that say what was made. Errors: `Refused`."""
    new = _checked(new)
    hashed = ""
    if new.password is not None:
        try:
            passwords.check(new.password, new.login)
        except passwords.PasswordRefused as error:
            raise Refused(f"{error} No account was made.") from error
        hashed = await passwords.Passwords().hash(new.password)
    async with open_database(database_url, key=key, migrate=True):
        try:
            group_is_new = new.group is not None and not await users.are_there(new.tenant, new.group)
            made = await users.add_user(
                _by_command(),
                new.login,
                role=new.role,
                tenant=new.tenant,
                name=new.name,
                password_hash=hashed,
                may_sign_in=new.password is not None,
                phones=new.phones,
                group=new.group,
                manages=new.manages,
            )
        except Refusal as error:
            raise Refused(f"{error} No account was made.") from error
        except DatabaseError as error:
            raise Refused(f"{error.what} No account was made.") from error
        earlier = await _claim(made) if new.phones else ""
    access = "may sign in" if made.may_sign_in else "has no web access (none without --password-stdin)"
    told = f"{made.login} ({made.role}) of tenant {made.tenant} was added and {access}."
    group = f"The group {new.group} is new." if group_is_new else ""
    return " ".join(filter(None, (told, group, earlier)))


async def add_token(database_url: str, key: bytes, login: str, tenant: str | None = None, name: str = "") -> str:
    """Makes a token for this account and gives it; nobody can read it again. Errors: `Refused`."""
    none_made = "No token was made."
    login = _text(login, "A login", none_made)
    tenant = None if tenant is None else _text(tenant, "A tenant", none_made)
    name = name and _text(name, "A name", none_made)
    async with open_database(database_url, key=key, migrate=True):
        try:
            account = _the_one(await people.accounts_by_login(login), login, tenant)
            if not account.may_sign_in:
                raise Refused(f"{account.login} has no web access, so a token would open nothing. {none_made}")
            token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
            await access.add_token(_by_command(), account.id, hashlib.sha256(token.encode()).digest(), name)
        except DatabaseError as error:
            raise Refused(f"{error.what} {none_made}") from error
    return token


def _by_command() -> By:
    """Who runs a command may do everything; the trail names his account on this machine."""
    scope = Scope(DEFAULT_TENANT, NOBODY, Reach.PLATFORM, confidential=True)
    return By(scope, EVERYTHING, Application.COMMAND, name=getpass.getuser())


async def _claim(made: Account) -> str:
    """Calls that were recorded before anybody had his phones are his; a sentence says how many, where there are any."""
    try:
        claimed = await claim_calls(made.tenant_id, made.id)
    except DatabaseError as error:
        return f"Not all earlier calls of these phones are this user's yet: {error.what} Run `earshot reindex` then."
    return f"Earlier calls of these phones that were nobody's, and are this user's now: {claimed}." if claimed else ""


def _checked(new: NewUser) -> NewUser:
    """The same with every text trimmed. Errors: `Refused`."""
    if new.manages and new.role is not Role.SUPERVISOR:
        raise Refused(f"Only a supervisor manages others; {new.login} is to be {new.role}. No account was made.")

    def text(given: str, what: str) -> str:
        return _text(given, what, "No account was made.")

    login = text(new.login, "A login")
    if "/" in login:
        raise Refused("A login has no slash: people sign in as tenant/login, too. No account was made.")
    return replace(
        new,
        login=login,
        tenant=None if new.tenant is None else text(new.tenant, "A tenant"),
        name=new.name and text(new.name, "A name"),
        phones=[text(phone, "A phone") for phone in new.phones],
        group=None if new.group is None else text(new.group, "A group"),
        manages=[text(one, "Whom a supervisor manages") for one in new.manages],
    )


def _text(given: str, what: str, outcome: str) -> str:
    trimmed = given.strip()
    if not trimmed or not trimmed.isprintable() or len(trimmed) > MOST_CHARACTERS:
        raise Refused(f"{what} has 1 to {MOST_CHARACTERS} characters, all of them printable. {outcome}")
    return trimmed


def _the_one(found: Sequence[Account], login: str, tenant: str | None) -> Account:
    fitting = [account for account in found if tenant is None or account.tenant.casefold() == tenant.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    where = f" in tenant {tenant}" if tenant is not None else ""
    if not fitting:
        raise Refused(f"There is no user {login}{where}. Make one with: earshot user add {login} --role ...")
    tenants = ", ".join(account.tenant for account in fitting)
    raise Refused(f"Several tenants have a user {login}: {tenants}. Say which one with --tenant.")
