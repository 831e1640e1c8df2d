"""Users: making and changing them, by pages, by imports and by commands, with the phones and whom they manage.

One change of a user is one transaction. Whoever changes sees whom he changes, and neither gives nor takes from others
what is beyond his own rights. Who loses web access is signed out in the same transaction, and his tokens are
revoked; those of a disabled user open nothing until he is enabled.

Not here: reading (`roster.py`), what a user may be like (`user_rules.py`), passwords, sessions and tokens
(`access.py`), calls that were recorded before somebody had his phones (`claims.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from schema import access, checked
from schema.audited import changing, create_all
from schema.columns import as_id, new_id
from schema.database import rows, unit
from schema.entries import By
from schema.ground import Ground, exclusively, ground, own_tenant, same_name
from schema.models import Account as AccountRow
from schema.models import ApiToken, Management, Team, Tenant
from schema.models import Phone as PhoneRow
from schema.people import account
from schema.profiles import User, UserFields
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import Role
from schema.roster import count_users, find_users, get_by_login, get_user, get_users, list_users, users_by_id
from schema.user_rules import examined, make_room
from schema.values import DEFAULT_TENANT, Account

__all__ = [
    "add_user",
    "are_there",
    "count_users",
    "create_user",
    "disable_user",
    "enable_user",
    "find_users",
    "get_by_login",
    "get_user",
    "get_users",
    "list_users",
    "set_language",
    "update_user",
    "update_user_and_password",
]


@unit
async def create_user(by: By, fields: UserFields, *, tenant_id: UUID | None = None, password_hash: str = "") -> User:
    """Makes a user. Errors: Refusal, NotThere (of the tenant); then nothing was made."""
    owner = await own_tenant(by, tenant_id)
    async with changing(by):
        await exclusively()
        there = await ground_of(by, owner, [fields])
        user_id = await write_new(there, examined(by, there, fields, None), password_hash)
        return await _reread(by, user_id)


@unit
async def update_user(by: By, user_id: UUID, fields: UserFields, was: UserFields | None = None) -> User:
    """Changes a user to be as `fields` says. `was`: what whoever asks believes he is so far.

    Errors: Refusal (changed_meanwhile, where he is not), NotThere; then nothing was changed.
    """
    async with changing(by):
        await exclusively()
        old = await _reread(by, user_id)
        if was is not None and was != old.fields:
            raise Refusal("changed_meanwhile")
        there = await ground_of(by, old.tenant.id, [fields])
        fields = examined(by, there, fields, old)
        await drop_phones(old, fields)
        await write_rest(there, old, fields)
        return await _reread(by, user_id)


@unit
async def update_user_and_password(
    by: By, user_id: UUID, fields: UserFields, password_hash: str, was: UserFields | None = None
) -> tuple[User, tuple[bytes, ...]]:
    """As `update_user`, and a new password, or nothing of both. Gives the hashes of his sessions, all of which ended.

    Errors: Refusal, NotThere; then nothing was changed.
    """
    async with changing(by):
        changed = await update_user(by, user_id, fields, was)
        must_change = changed.fields.must_change_password
        return changed, await access.set_password(by, user_id, password_hash, must_change=must_change)


@unit
async def disable_user(by: By, user_id: UUID) -> User:
    """A disabled user is kept with his calls and phones, counts towards no limit and cannot sign in.

    Errors: Refusal (yourself, above_you), NotThere.
    """
    async with changing(by):
        await exclusively()
        old = await _reread(by, user_id)
        if user_id == by.account_id:
            raise Refusal("yourself")
        if not by.grant.covers(old.grant):
            raise Refusal("above_you")
        if old.disabled_at is None:
            row = await _row(user_id)
            row.disabled_at = datetime.now(UTC)
            await row.save()
            await sign_out([user_id])
        return await _reread(by, user_id)


@unit
async def enable_user(by: By, user_id: UUID) -> User:
    """Errors: Refusal (limit_of_users, above_you), NotThere."""
    async with changing(by):
        await exclusively()
        old = await _reread(by, user_id)
        if not by.grant.covers(old.grant):
            raise Refusal("above_you")
        if old.disabled_at is not None:
            make_room(await ground(by.scope, old.tenant.id))
            row = await _row(user_id)
            row.disabled_at = None
            await row.save()
        return await _reread(by, user_id)


@unit
async def set_language(by: By, user_id: UUID, language: str, time_zone: str) -> User:
    """One's own, or that of somebody whom one sees: of managed users, of all in a tenant. Empty: inherited.

    Errors: Refusal (language_unknown, zone_unknown), NotThere.
    """
    async with changing(by):
        if await get_user(by.scope, user_id) is None:
            raise NotThere
        row = await _row(user_id)
        row.language, row.time_zone = checked.language(language), checked.time_zone(time_zone)
        await row.save()
        changed = await get_user(by.scope, user_id)
    if changed is None:
        raise NotThere
    return changed


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
    **more: Any,
) -> Account:
    """For commands: adds a user, and the tenant and the group that are named and not there yet.

    `tenant`: by name; None is the default one. `manages`: groups and logins of this tenant. `more`: further fields of
    `UserFields`.

    Errors: Refusal, and nothing was added.
    """
    async with changing(by):
        await exclusively()
        owner = DEFAULT_TENANT if tenant is None else await _tenant(tenant)
        fields = UserFields(
            login=login,
            name=name,
            role=role,
            may_sign_in=may_sign_in,
            phones=tuple(phones),
            group_id=None if group is None else await _team(owner, group),
            **more,
        )
        there = await ground(by.scope, owner, logins=[login.strip(), *manages], lines=phones)
        managed = [_managed(there, one) for one in manages]
        fields = replace(
            fields,
            manages_groups=tuple(one for one in managed if one in there.teams),
            manages_users=tuple(one for one in managed if one not in there.teams),
        )
        there.people |= {one: "" for one in fields.manages_users}
        user_id = await write_new(there, examined(by, there, fields, None), password_hash)
        found = await account(user_id)
    if found is None:
        raise NotThere
    return found


@unit
async def are_there(tenant: str | None, group: str) -> bool:
    """For commands: whether there is a tenant of this name (None: the default one), and in it a group of this one."""
    owner = DEFAULT_TENANT if tenant is None else await _by_name("SELECT id FROM tenant WHERE", tenant)
    return (
        owner is not None and await _by_name("SELECT id FROM team WHERE tenant_id = $2 AND", group, owner) is not None
    )


async def ground_of(by: By, tenant_id: UUID, given: Sequence[UserFields]) -> Ground:
    """Inside a unit: what has to be known of a tenant to judge these users."""
    return await ground(
        by.scope,
        tenant_id,
        logins=[fields.login.strip() for fields in given],
        lines=[line.strip() for fields in given for line in fields.phones],
        people=[one for fields in given for one in fields.manages_users],
    )


async def write_new(there: Ground, fields: UserFields, password_hash: str, user_id: UUID | None = None) -> UUID:
    """Inside `changing`: a new user as `examined` gave him."""
    row = AccountRow(
        id=user_id or new_id(),
        tenant_id=there.tenant.id,
        password_hash=password_hash,
        created_at=datetime.now(UTC),
        **_columns(there, fields),
    )
    await row.save(force_create=True)
    await _add_phones(row, fields.phones)
    await _assign(row, fields.manages_groups, fields.manages_users)
    return UUID(str(row.pk))


async def write_all_new(there: Ground, given: Sequence[tuple[UUID, UserFields]]) -> None:
    """Inside `changing`: new users with their phones, by the ids that they get. Whom they manage is another matter."""
    now = datetime.now(UTC)
    kept = {"tenant_id": there.tenant.id, "password_hash": "", "created_at": now}
    await create_all(AccountRow, [{"id": one, **kept, **_columns(there, fields)} for one, fields in given])
    phones = [(one, line) for one, fields in given for line in fields.phones]
    # Those that are made in one millisecond would sort by chance.
    ids = sorted(new_id() for _ in phones)
    owned = {"tenant_id": there.tenant.id}
    await create_all(
        PhoneRow,
        [
            {"id": key, **owned, "account_id": one, "line": line, "search": checked.searched([line])}
            for key, (one, line) in zip(ids, phones, strict=True)
        ],
    )


async def drop_phones(old: User, fields: UserFields) -> None:
    """Inside `changing`: takes away the phones of a user that he has no more."""
    for phone in old.phones:
        if phone.fields.line not in fields.phones:
            await (await PhoneRow.get(id=phone.id)).delete()


async def write_rest(there: Ground, old: User, fields: UserFields) -> None:
    """Inside `changing`, after `drop_phones`: a user who is there, as `examined` gave him."""
    row = await _row(old.id)
    for column, value in _columns(there, fields).items():
        setattr(row, column, value)
    await row.save()
    if old.fields.may_sign_in and not fields.may_sign_in:
        await sign_out([old.id])
        # Who gets web access again is another matter: no key from before opens anything then.
        for token in await ApiToken.filter(account_id=old.id):
            await token.delete()
    elif _way_in(old.fields) != _way_in(fields):
        await _end_links(old.id)
    await _add_phones(row, [line for line in fields.phones if line not in old.fields.phones])
    await _deassign(old, fields)
    await _assign(
        row,
        [one for one in fields.manages_groups if one not in old.fields.manages_groups],
        [one for one in fields.manages_users if one not in old.fields.manages_users],
    )


async def assign(manager_id: UUID, groups: Sequence[UUID], users: Sequence[UUID]) -> None:
    """Inside `changing`: groups and users whom somebody manages from now on."""
    await _assign(await AccountRow.get(id=manager_id), groups, users)


async def sign_out(user_ids: Iterable[UUID]) -> None:
    """Inside a transaction: ends the sessions of these users, and what was mailed to let them in lets nobody in."""
    for user_id in user_ids:
        await rows("DELETE FROM web_session WHERE account_id = $1", user_id)
        await _end_links(user_id)


async def _end_links(user_id: UUID) -> None:
    await rows("DELETE FROM access_link WHERE account_id = $1", user_id)


def _way_in(fields: UserFields) -> tuple[object, ...]:
    """What a link that was mailed is made for: whoever has the mail may be somebody else once it changes."""
    return fields.email, fields.login, fields.authentication, fields.may_sign_in


def _columns(there: Ground, fields: UserFields) -> dict[str, Any]:
    """The columns of a user, but those that are about his ways in."""
    return {
        "team_id": fields.group_id,
        "login": fields.login,
        "login_key": checked.folded(fields.login),
        "name": fields.name,
        "name_key": checked.folded(fields.name or fields.login),
        "search": checked.searched((fields.login, fields.name, fields.email)),
        "email": fields.email,
        "role": str(there.role(fields.role).base),
        "role_copy_id": None if isinstance(fields.role, Role) else fields.role,
        "authentication": fields.authentication,
        "external_id": fields.external_id,
        "broadworks_user_id": fields.broadworks_user_id,
        "broadworks_group_id": fields.broadworks_group_id,
        "broadworks_sp_id": fields.broadworks_sp_id,
        "may_sign_in": fields.may_sign_in,
        "must_change_password": fields.must_change_password,
        "confidential": fields.confidential,
        "recording_mode": "" if fields.recording_mode is None else str(fields.recording_mode),
        "language": fields.language,
        "time_zone": fields.time_zone,
    }


async def _add_phones(user: AccountRow, lines: Sequence[str]) -> None:
    for line in lines:
        await PhoneRow.create(tenant_id=user.tenant_id, account=user, line=line, search=checked.searched([line]))


async def _assign(manager: AccountRow, groups: Sequence[UUID], users: Sequence[UUID]) -> None:
    for one in groups:
        await Management.create(tenant_id=manager.tenant_id, manager=manager, team=await Team.get(id=one))
    for one in users:
        account = await AccountRow.get(id=one)
        await Management.create(tenant_id=manager.tenant_id, manager=manager, account=account)


async def _deassign(old: User, fields: UserFields) -> None:
    # Of those whom the scope does not reach nothing is known, and nothing is changed.
    groups = set(old.fields.manages_groups) - set(fields.manages_groups)
    users = set(old.fields.manages_users) - set(fields.manages_users)
    for row in await Management.filter(manager_id=old.id).select_related("manager", "team", "account"):
        if row.team_id in groups or row.account_id in users:
            await row.delete()


async def _row(user_id: UUID) -> AccountRow:
    # Whoever writes another column of his meanwhile (a password, say) waits.
    return await AccountRow.select_for_update().get(id=user_id)


async def _reread(by: By, user_id: UUID) -> User:
    found = (await users_by_id(by.scope, [user_id])).get(user_id)
    if found is None:
        raise NotThere
    return found


async def _tenant(name: str) -> UUID:
    name = checked.tenant_name(name)
    found = await _by_name("SELECT id FROM tenant WHERE", name)
    if found is None:
        row = await Tenant.create(name=name, name_key=checked.folded(name), created_at=datetime.now(UTC))
        found = row.pk
    return found


async def _team(tenant_id: UUID, name: str) -> UUID:
    name = checked.text(name, "group")
    found = await _by_name("SELECT id FROM team WHERE tenant_id = $2 AND", name, tenant_id)
    if found is None:
        row = await Team.create(tenant_id=tenant_id, name=name, name_key=checked.folded(name))
        found = row.pk
    return found


async def _by_name(query: str, name: str, *more: UUID) -> UUID | None:
    found = await rows(f"{query} name_key = $1", checked.folded(clean(name)), *more)
    return as_id(found[0]["id"]) if found else None


def _managed(there: Ground, name: str) -> UUID:
    """The group or the user of this name. Errors: Refusal (managed_unclear, managed_unknown)."""
    team, user = same_name(name, there.teams), there.logins.get(checked.folded(name.strip()))
    if team is not None and user is not None:
        raise Refusal("managed_unclear", "manages", name=name, tenant=there.tenant.name)
    found = team or user
    if found is None:
        raise Refusal("managed_unknown", "manages", name=name, tenant=there.tenant.name)
    return found
