"""Accounts from the command line: added, listed, disabled, and let in again who cannot get in.

Not here: the options of these commands (`accounts_command.py`), and what is kept (`schema.users`, `schema.access`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from portal import passwords
from portal.commanded import EVERYWHERE, Refused, table, text, the_account, working
from schema import access, users
from schema.claims import claim_calls
from schema.database import DatabaseError
from schema.profiles import User
from schema.roles import Role
from schema.values import Account

NONE_MADE = "No account was made."
NONE_CHANGED = "Nothing was changed."


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
    email: str = ""
    phones: Sequence[str] = ()
    group: str | None = None
    manages: Sequence[str] = ()
    confidential: bool = False
    must_change: bool = False


async def add_user(database_url: str, key: bytes, new: NewUser) -> str:
    """Makes the account; gives sentences that say what was made. Errors: `Refused`."""
    new = _checked(new)
    async with working(database_url, key, NONE_MADE) as by:
        hashed = "" if new.password is None else await _hashed(new.password, new.login)
        group_is_new = new.group is not None and not await users.are_there(new.tenant, new.group)
        made = await users.add_user(
            by,
            new.login,
            role=new.role,
            tenant=new.tenant,
            name=new.name,
            password_hash=hashed,
            may_sign_in=new.password is not None,
            phones=new.phones,
            group=new.group,
            manages=new.manages,
            email=new.email,
            confidential=new.confidential,
            must_change_password=new.must_change,
        )
        earlier = await _claim(made) if new.phones else ""
    told = f"{made.login} ({made.role}) of tenant {made.tenant} was added and {_access(made.may_sign_in)}."
    group = f"The group {new.group} is new." if group_is_new else ""
    return " ".join(filter(None, (told, group, earlier)))


async def list_users(database_url: str, key: bytes, tenant: str | None, everybody: bool) -> str:
    """A table of users, by name; without `everybody`, those that are not disabled. Errors: `Refused`."""
    found: list[User] = []
    async with working(database_url, key, "Nothing was listed."):
        cursor: str | None = None
        while True:
            page = await users.list_users(
                EVERYWHERE, status="all" if everybody else "active", limit=1000, cursor=cursor
            )
            found += page.items
            if (cursor := page.next) is None:
                break
    wanted = [user for user in found if tenant is None or user.tenant.name.casefold() == tenant.casefold()]
    head = ("LOGIN", "NAME", "TENANT", "GROUP", "ROLE", "WEB ACCESS")
    return table(head, [_line(user) for user in wanted]) if wanted else "There are no such users."


async def disable_user(database_url: str, key: bytes, login: str, tenant: str | None) -> str:
    """Signs him out, and keeps him out; gives a sentence. Errors: `Refused`."""
    async with working(database_url, key, NONE_CHANGED) as by:
        account = await the_account(login, tenant, NONE_CHANGED)
        await users.disable_user(by, account.id)
    return f"{account.login} of tenant {account.tenant} is disabled and signed out. Calls and phones are kept."


async def enable_user(database_url: str, key: bytes, login: str, tenant: str | None) -> str:
    """Undoes `disable_user`; gives a sentence. Errors: `Refused`."""
    async with working(database_url, key, NONE_CHANGED) as by:
        account = await the_account(login, tenant, NONE_CHANGED)
        user = await users.enable_user(by, account.id)
    return f"{account.login} of tenant {account.tenant} is enabled and {_access(user.fields.may_sign_in)}."


async def set_password(
    database_url: str, key: bytes, login: str, tenant: str | None, password: str, must_change: bool
) -> str:
    """Gives a new password and ends all sessions; gives a sentence. Errors: `Refused`."""
    async with working(database_url, key, NONE_CHANGED) as by:
        account = await the_account(login, tenant, NONE_CHANGED)
        await access.set_password(by, account.id, await _hashed(password, account.login), must_change=must_change)
    but = "" if account.may_sign_in else " The account has no web access, or is disabled: that did not change."
    return f"{account.login} of tenant {account.tenant} has a new password, and is signed out everywhere.{but}"


async def second_factor_off(database_url: str, key: bytes, login: str, tenant: str | None) -> str:
    """For who lost his phone and his recovery codes; gives a sentence. Errors: `Refused`."""
    async with working(database_url, key, NONE_CHANGED) as by:
        account = await the_account(login, tenant, NONE_CHANGED)
        if not account.two_factor:
            raise Refused(f"{account.login} signs in without a second factor. {NONE_CHANGED}")
        await access.clear_totp(by, account.id)
    return f"{account.login} of tenant {account.tenant} signs in without a second factor now."


async def _hashed(password: str, login: str) -> str:
    await passwords.approve(password, login)
    return await passwords.Passwords().hash(password)


async def _claim(made: Account) -> str:
    """Calls that were recorded before anybody had his phones are his; a sentence says how many, where there are any."""
    try:
        claimed = await claim_calls(made.tenant_id, made.id)
    except DatabaseError as error:
        return f"Not all earlier calls of these phones are this user's yet: {error.what} Run `earshot reindex` then."
    return f"Earlier calls of these phones that were nobody's, and are this user's now: {claimed}." if claimed else ""


def _access(may_sign_in: bool) -> str:
    return "may sign in" if may_sign_in else "has no web access (none without --password-stdin)"


def _line(user: User) -> tuple[str, ...]:
    web = "disabled" if user.disabled_at is not None else "yes" if user.fields.may_sign_in else "no"
    group = "" if user.group is None else user.group.name
    return (user.fields.login, user.fields.name, user.tenant.name, group, user.role_name or str(user.role), web)


def _checked(new: NewUser) -> NewUser:
    """The same with every text trimmed. Errors: `Refused`."""
    if new.manages and new.role is not Role.SUPERVISOR:
        raise Refused(f"Only a supervisor manages others; {new.login} is to be {new.role}. {NONE_MADE}")
    login = text(new.login, "A login", NONE_MADE)
    if "/" in login:
        raise Refused(f"A login has no slash: people sign in as tenant/login, too. {NONE_MADE}")
    return replace(
        new,
        login=login,
        tenant=None if new.tenant is None else text(new.tenant, "A tenant", NONE_MADE),
        name=new.name and text(new.name, "A name", NONE_MADE),
        email=new.email.strip(),
        phones=[text(phone, "A phone", NONE_MADE) for phone in new.phones],
        group=None if new.group is None else text(new.group, "A group", NONE_MADE),
        manages=[text(one, "Whom a supervisor manages", NONE_MADE) for one in new.manages],
    )
