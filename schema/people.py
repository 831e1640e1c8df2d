"""Users: who signs in, with what, and whose phones are whose. Sessions and tokens are kept as hashes only.

A login is unique in its tenant; upper and lower case are one. Everything about who may do what is the portal's: here,
`may_sign_in` alone decides, for the portal and the API both.

Not here: how a password is hashed, what a role may do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from schema.clerk import default_tenant
from schema.database import transaction, unit
from schema.models import Account as AccountRow
from schema.models import ApiToken, Management, Phone, Team, Tenant, WebSession
from schema.values import Account, Role


class Taken(Exception):
    """The tenant has this login, or this line, already. Its text is a sentence for users."""


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
    """Adds a user, and the tenant and the groups that are named and not there yet.

    `tenant`: by name; None is the default one. `phones`: the lines that are his. `group`: whose member he is.
    `manages`: the groups whose calls he may see as a supervisor.

    Errors: Taken, and nothing was added.
    """
    async with transaction():
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
                raise Taken(f"The phone {line} belongs to another user of {owner.name}. Nothing was added.")
            await Phone.create(tenant=owner, account=row, line=line)
        for managed in dict.fromkeys(manages):
            await Management.create(tenant=owner, manager=row, team=await _team(owner, managed))
    return _account(row)


@unit
async def accounts_by_login(login: str) -> list[Account]:
    """The users with this login, one a tenant at most."""
    found = AccountRow.filter(login_key=login.casefold()).select_related("tenant").order_by("tenant__name")
    return [_account(row) for row in await found]


@unit
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
            address=address,
            user_agent=user_agent,
        )


@unit
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


@unit
async def account_of_token(token_hash: bytes) -> Account | None:
    """Whose token it is. None: nobody's, or its user may not sign in."""
    row = await ApiToken.get_or_none(token_hash=token_hash.hex()).select_related("account__tenant")
    return None if row is None or not row.account.may_sign_in else _account(row.account)


async def _tenant(name: str) -> Tenant:
    found, _ = await Tenant.get_or_create(name=name, defaults={"created_at": datetime.now(UTC)})
    return found


async def _team(tenant: Tenant, name: str) -> Team:
    found, _ = await Team.get_or_create(tenant=tenant, name=name)
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
