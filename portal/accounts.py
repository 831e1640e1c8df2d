"""Accounts and API tokens from the command line: `earshot user add` and `earshot token add`.

Not here: the options of these commands (`accounts_command.py`), and what is kept (`schema.people`).
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portal import passwords
from schema import people
from schema.database import open_database
from schema.values import Account, Role

# So that a token that leaked is known for what it is; behind it are 256 bits.
TOKEN_PREFIX: Final = "earshot_"  # noqa: S105 (the prefix is no secret)
TOKEN_BYTES: Final = 32
MOST_LOGIN: Final = 254


class Refused(Exception):
    """Nothing was made. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Somebody who is to have an account. Without a password (None) he has no web access; his calls are still his.

    `manages`: groups and users, by name and login, whose calls a supervisor sees.
    """

    login: str
    role: Role
    password: str | None
    tenant: str | None = None
    name: str = ""
    phones: Sequence[str] = ()
    group: str | None = None
    manages: Sequence[str] = ()


async def add_user(database_url: str, new: NewUser) -> str:
    """Makes the account; gives a sentence that says what was made. Errors: `Refused`, `DatabaseError`."""
    login = new.login.strip()
    if not login or not login.isprintable() or len(login) > MOST_LOGIN:
        raise Refused(f"A login has 1 to {MOST_LOGIN} characters, such as anna or anna@example.com.")
    hashed = ""
    if new.password is not None:
        try:
            passwords.check(new.password, login)
        except passwords.PasswordRefused as error:
            raise Refused(f"{error} No account was made.") from error
        hashed = await passwords.Passwords().hash(new.password)
    async with open_database(database_url, migrate=True):
        try:
            made = await people.add_user(
                login,
                role=new.role,
                tenant=new.tenant,
                name=new.name,
                password_hash=hashed,
                may_sign_in=new.password is not None,
                phones=new.phones,
                group=new.group,
                manages=new.manages,
            )
        except people.Taken as error:
            raise Refused(str(error)) from error
    access = "may sign in" if made.may_sign_in else "has no web access (none without --password-stdin)"
    return f"{made.login} ({made.role}) of tenant {made.tenant} was added and {access}."


async def add_token(database_url: str, login: str, tenant: str | None = None, name: str = "") -> str:
    """Makes a token for this account and gives it; nobody can read it again. Errors: `Refused`, `DatabaseError`."""
    async with open_database(database_url, migrate=True):
        account = _the_one(await people.accounts_by_login(login), login, tenant)
        if not account.may_sign_in:
            raise Refused(f"{account.login} has no web access, so a token would open nothing. No token was made.")
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        await people.add_token(account.id, hashlib.sha256(token.encode()).digest(), name)
    return token


def _the_one(found: Sequence[Account], login: str, tenant: str | None) -> Account:
    fitting = [account for account in found if tenant is None or account.tenant.casefold() == tenant.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    where = f" in tenant {tenant}" if tenant is not None else ""
    if not fitting:
        raise Refused(f"There is no user {login}{where}. Make one with: earshot user add {login} --role ...")
    tenants = ", ".join(account.tenant for account in fitting)
    raise Refused(f"Several tenants have a user {login}: {tenants}. Say which one with --tenant.")
