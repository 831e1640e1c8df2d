"""Users: who signs in, with what, and whose phones are whose. Sessions and tokens are kept as hashes only.

A login is unique in its tenant; upper and lower case are one. Everything about who may do what is the portal's: here,
`may_sign_in` alone decides, for the portal and the API both.

Not here: how a password is hashed, what a role may do.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from schema.audited import changing
from schema.clerk import default_tenant
from schema.columns import as_id, as_moment
from schema.database import is_sqlite, lookup, rows, transaction, unit
from schema.entries import Action, By
from schema.models import Account as AccountRow
from schema.models import ApiToken, Management, Phone, Team, Tenant, WebSession
from schema.records import clean
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.values import Account

# Any number: the lock that keeps two from making the same tenant or group, written differently.
_LOCK: Final = 0x50454F50
_ACCOUNTS: Final = (
    "SELECT account.*, tenant.name AS tenant, tenant.disabled_at AS tenant_disabled_at, tenant.colour, "
    "tenant.logo IS NOT NULL AS has_logo, tenant.language AS tenant_language, tenant.time_zone AS tenant_time_zone, "
    "team.language AS team_language, team.time_zone AS team_time_zone, platform.language AS platform_language, "
    "platform.time_zone AS platform_time_zone, role_copy.name AS role_name, role_copy.reach AS role_reach, "
    "role_copy.permissions AS role_permissions FROM account JOIN tenant ON tenant.id = account.tenant_id "
    "CROSS JOIN platform LEFT JOIN team ON team.id = account.team_id "
    "LEFT JOIN role AS role_copy ON role_copy.id = account.role_copy_id"
)


class NotAdded(Exception):
    """Nothing was added. Its text is a sentence for users."""


class Taken(NotAdded):
    """The tenant has this login, or this line, already."""


class Unclear(NotAdded):
    """Whom a supervisor is to manage is neither a group nor a login of the tenant, or both."""


@unit
async def add_user(
    by: By,
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
    async with changing(by):
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
        found = await _accounts("account.id = $1", row.id)
    return found[0]


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
    return await _accounts("account.login_key = $1 ORDER BY tenant.name", login.casefold())


@lookup
async def account(user_id: UUID) -> Account | None:
    found = await _accounts("account.id = $1", user_id)
    return found[0] if found else None


@unit
async def set_password(by: By, user_id: UUID, password_hash: str) -> None:
    """A new password; sessions that are open stay so (`close_sessions`)."""
    async with changing(by, action=Action.CHANGE_PASSWORD):
        row = await AccountRow.get(id=user_id)
        row.password_hash = password_hash
        await row.save()


@unit
async def rehash(user_id: UUID, old: str, new: str) -> None:
    """The same password under a newer hash, unless it was changed meanwhile; no change that anybody would be told."""
    await rows("UPDATE account SET password_hash = $1 WHERE id = $2 AND password_hash = $3", new, user_id, old)


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
    found = await rows("SELECT account_id, expires_at FROM web_session WHERE id_hash = $1", id_hash.hex())
    if not found or as_moment(found[0]["expires_at"]) <= datetime.now(UTC):
        return None
    owner = await account(as_id(found[0]["account_id"]))
    return None if owner is None or not owner.may_sign_in else (owner, as_moment(found[0]["expires_at"]))


@unit
async def close_session(id_hash: bytes) -> None:
    await WebSession.filter(id_hash=id_hash.hex()).delete()


@unit
async def close_sessions(user_id: UUID) -> None:
    """Ends all sessions of a user."""
    await WebSession.filter(account_id=user_id).delete()


@unit
async def add_token(by: By, user_id: UUID, token_hash: bytes, name: str) -> None:
    """Keeps a key to the API by its hash; `name` tells its owner which it is."""
    async with changing(by):
        owner = await AccountRow.get(id=user_id).select_related("tenant")
        await ApiToken.create(
            token_hash=token_hash.hex(), tenant=owner.tenant, account=owner, name=name, created_at=datetime.now(UTC)
        )


@lookup
async def account_of_token(token_hash: bytes) -> Account | None:
    """Whose token it is. None: nobody's, or its user may not sign in."""
    found = await rows("SELECT account_id FROM api_token WHERE token_hash = $1", token_hash.hex())
    owner = await account(as_id(found[0]["account_id"])) if found else None
    return owner if owner is not None and owner.may_sign_in else None


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


async def _accounts(where: str, *values: Any) -> list[Account]:
    return [_account(row) for row in await rows(f"{_ACCOUNTS} WHERE {where}", *values)]


def _account(row: dict[str, Any]) -> Account:
    role = Role(row["role"])
    grant = READY_MADE[role]
    if row["role_reach"] is not None:
        # One that a later version knew, and this one does not, permits nothing.
        known = {one for one in json.loads(row["role_permissions"]) if one in Permission.__members__.values()}
        grant = Grant(Reach(row["role_reach"]), frozenset(map(Permission, known)))
    return Account(
        id=as_id(row["id"]),
        tenant_id=as_id(row["tenant_id"]),
        tenant=row["tenant"],
        login=row["login"],
        name=row["name"],
        role=role,
        may_sign_in=bool(row["may_sign_in"]) and row["disabled_at"] is None and row["tenant_disabled_at"] is None,
        grant=grant,
        role_name=row["role_name"] or "",
        password_hash=row["password_hash"],
        language=_first(row, "language"),
        time_zone=_first(row, "time_zone"),
        email=row["email"],
        authentication=row["authentication"],
        must_change_password=bool(row["must_change_password"]),
        confidential=bool(row["confidential"]),
        two_factor=bool(row["totp_secret"]),
        colour=row["colour"],
        has_logo=bool(row["has_logo"]),
    )


def _first(row: dict[str, Any], what: str) -> str:
    """What holds for somebody: his own, else his group's, his tenant's, the platform's."""
    found = (row[what], row[f"team_{what}"], row[f"tenant_{what}"], row[f"platform_{what}"])
    return next(filter(None, found), "")
