"""Users: who signs in, with what, and whose phones are whose. Sessions and tokens are kept as hashes only.

A login is unique in its tenant; upper and lower case are one. Everything about who may do what is the portal's: here,
`may_sign_in` alone decides, for the portal and the API both.

Not here: how a password is hashed, what a role may do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from schema.clerk import default_tenant
from schema.database import is_sqlite, lookup, rows, transaction, unit
from schema.models import Account as AccountRow
from schema.models import ApiToken, Management, Phone, Team, Tenant, WebSession
from schema.records import clean
from schema.values import Account, Role

# Any number: the lock that keeps two from making the same tenant or group, written differently.
_LOCK: Final = 0x50454F50


class NotAdded(Exception):
    """Nothing was added. Its text is a sentence for users."""


class Taken(NotAdded):
    """The tenant has this login, or this line, already."""


class Unclear(NotAdded):
    """Whom a supervisor is to manage is neither a group nor a login of the tenant, or both."""


@unit
async def add_user(
    login: str,
    *,
    role: Role,
    tenant: str | None,
    name: str,
    password_hash: str,
    may_sign_in: bool,
    phones: Sequence[str] = (),
    group: str | None = None,
    manages: Sequence[str] = (),
) -> Account:
    """Adds a user, and the tenant and the group that are named and not there yet; letter case makes no other one.

    `tenant`: by name; None is the default one. `phones`: the lines that are his. `group`: whose member he is.
    `manages`: the groups and the logins, of this tenant, whose calls he may see as a supervisor.

    Errors: Taken, Unclear, and nothing was added.
    """
    async with transaction():
        if not is_sqlite():
            await rows("SELECT pg_advisory_xact_lock($1)", _LOCK)
        owner = await Tenant.get(id=await default_tenant()) if tenant is None else await _tenant(tenant)
        key = login.casefold()
        if await AccountRow.exists(tenant_id=owner.id, login_key=key):
            raise Taken(f"There is a user {login} in {owner.name} already. Choose another login.")
        row = await AccountRow.create(
            tenant=owner,
            team=None if group is None else await _team(owner, group),
            login=login,
            login_key=key,
            name=name,
            role=str(role),
            may_sign_in=may_sign_in,
            password_hash=password_hash,
            language="",
            time_zone="",
            created_at=datetime.now(UTC),
        )
        for line in dict.fromkeys(phones):
            if await Phone.exists(tenant_id=owner.id, line=line):
                raise Taken(f"The phone {line} belongs to another user of {owner.name}.")
            await Phone.create(tenant=owner, account=row, line=line)
        managed = [await _managed(owner, one) for one in manages]
        for each in {one.id: one for one in managed}.values():
            team, account = (each, None) if isinstance(each, Team) else (None, each)
            await Management.create(tenant=owner, manager=row, team=team, account=account)
    return _account(row)


@unit
async def are_there(tenant: str | None, group: str) -> bool:
    """Whether there is a tenant of this name (None: the default one), and in it a group of this one."""
    owner = await Tenant.get(id=await default_tenant()) if tenant is None else await _tenant_named(tenant)
    return owner is not None and await _team_named(owner, group) is not None


@unit
async def accounts_by_login(login: str) -> list[Account]:
    """The users with this login, one a tenant at most."""
    if clean(login) != login:
        return []  # no database would take it
    found = AccountRow.filter(login_key=login.casefold()).select_related("tenant").order_by("tenant__name")
    return [_account(row) for row in await found]


@lookup
async def account(user_id: UUID) -> Account | None:
    row = await AccountRow.get_or_none(id=user_id).select_related("tenant")
    return None if row is None else _account(row)


@unit
async def set_password(user_id: UUID, password_hash: str) -> None:
    """A new password; sessions that are open stay so (`close_sessions`)."""
    await AccountRow.filter(id=user_id).update(password_hash=password_hash)


@unit
async def open_session(user_id: UUID, id_hash: bytes, expires_at: datetime, address: str, user_agent: str) -> None:
    """Keeps a session by the hash of its id. Sessions that are over, anybody's, are dropped by the way."""
    now = datetime.now(UTC)
    async with transaction():
        await WebSession.filter(expires_at__lt=now).delete()
        owner = await AccountRow.get(id=user_id).select_related("tenant")
        await WebSession.create(
            id_hash=id_hash.hex(),
            tenant=owner.tenant,
            account=owner,
            created_at=now,
            expires_at=expires_at,
            address=clean(address),
            user_agent=clean(user_agent),
        )


@lookup
async def session(id_hash: bytes) -> tuple[Account, datetime] | None:
    """Whose session it is, and when it ends. None: there is none, it is over, or its user may not sign in any more."""
    found = WebSession.get_or_none(id_hash=id_hash.hex()).select_related("account__tenant")
    row = await found
    if row is None or row.expires_at <= datetime.now(UTC) or not row.account.may_sign_in:
        return None
    return _account(row.account), row.expires_at


@unit
async def close_session(id_hash: bytes) -> None:
    await WebSession.filter(id_hash=id_hash.hex()).delete()


@unit
async def close_sessions(user_id: UUID) -> None:
    """Ends all sessions of a user."""
    await WebSession.filter(account_id=user_id).delete()


@unit
async def add_token(user_id: UUID, token_hash: bytes, name: str) -> None:
    """Keeps a key to the API by its hash; `name` tells its owner which it is."""
    owner = await AccountRow.get(id=user_id).select_related("tenant")
    await ApiToken.create(
        token_hash=token_hash.hex(), tenant=owner.tenant, account=owner, name=name, created_at=datetime.now(UTC)
    )


@lookup
async def account_of_token(token_hash: bytes) -> Account | None:
    """Whose token it is. None: nobody's, or its user may not sign in."""
    row = await ApiToken.get_or_none(token_hash=token_hash.hex()).select_related("account__tenant")
    return None if row is None or not row.account.may_sign_in else _account(row.account)


async def _tenant(name: str) -> Tenant:
    return await _tenant_named(name) or await Tenant.create(name=name, created_at=datetime.now(UTC))


async def _team(tenant: Tenant, name: str) -> Team:
    return await _team_named(tenant, name) or await Team.create(tenant=tenant, name=name)


async def _tenant_named(name: str) -> Tenant | None:
    # Compared here: each database has a lower case of its own.
    return next((one for one in await Tenant.all() if one.name.casefold() == name.casefold()), None)


async def _team_named(tenant: Tenant, name: str) -> Team | None:
    teams = await Team.filter(tenant_id=tenant.id)
    return next((one for one in teams if one.name.casefold() == name.casefold()), None)


async def _managed(tenant: Tenant, name: str) -> Team | AccountRow:
    """The group or the user of this name. Errors: Unclear."""
    team = await _team_named(tenant, name)
    account = await AccountRow.get_or_none(tenant_id=tenant.id, login_key=name.casefold())
    if team is not None and account is not None:
        raise Unclear(f"{name} is a group and a login of {tenant.name}, so it is not clear whom to manage.")
    found = team or account
    if found is None:
        raise Unclear(f"There is neither a group nor a login {name} in {tenant.name}. Add who is in it first.")
    return found


def _account(row: AccountRow) -> Account:
    return Account(
        id=row.id,
        tenant_id=row.tenant.id,
        tenant=row.tenant.name,
        login=row.login,
        name=row.name,
        role=Role(row.role),
        may_sign_in=bool(row.may_sign_in),
        password_hash=row.password_hash,
        language=row.language,
        time_zone=row.time_zone,
    )
