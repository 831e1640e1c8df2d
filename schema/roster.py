# ruff: noqa: S608  # The texts are made of this house's own words; every value is a parameter.
"""Users as they are read: lists, one of them, completion, counts.

Not here: changes (`users.py`), whom one may see (`sight.py`), who signs in (`access.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from schema.checked import folded
from schema.columns import as_id, as_moment
from schema.database import lookup, reading, rows
from schema.ground import kept_grant
from schema.inheritance import FROM_PLATFORM, FROM_TEAM, FROM_TENANT, for_users
from schema.profiles import Listed, Named, Phone, PhoneFields, RecordingMode, User, UserFields
from schema.records import clean
from schema.roles import READY_MADE, Reach, Role
from schema.sight import Sight, cursor_of
from schema.sql import rows_in
from schema.values import Scope

Status = Literal["all", "active", "disabled"]

# What stands for each status.
STATUSES: Final = {"all": "TRUE", "active": "disabled_at IS NULL", "disabled": "disabled_at IS NOT NULL"}
# How a user is called in a list of others.
CALLED: Final = "CASE WHEN account.name = '' THEN account.login ELSE account.name END"
_USERS: Final = (
    f"SELECT account.*, tenant.name AS tenant_name, {FROM_TENANT}, {FROM_TEAM}, {FROM_PLATFORM}, "
    "role.name AS role_name, role.reach AS role_reach, role.permissions AS role_permissions FROM account "
    "JOIN tenant ON tenant.id = account.tenant_id CROSS JOIN platform LEFT JOIN team ON team.id = account.team_id "
    "LEFT JOIN role ON role.id = account.role_copy_id"
)
_PHONES: Final = "SELECT * FROM phone WHERE account_id IN"


@reading
async def list_users(
    scope: Scope,
    *,
    text: str = "",
    group_id: UUID | None = None,
    role: Role | UUID | None = None,
    status: Status = "active",
    limit: int = 50,
    cursor: str | None = None,
) -> Listed[User]:
    """Those whom the scope reaches, by name. `text`: in login, name, mail address or a phone; `role`: a ready-made one
    without its copies, or a copy.

    Errors: ValueError, a sentence, where the cursor is none of ours.
    """
    sight = Sight(scope)
    conditions = [sight.users(), f"account.{STATUSES[status]}" if status != "all" else "TRUE"]
    if text.strip():
        phones = f"SELECT account_id FROM phone WHERE {sight.holds('phone.search', text)}"
        conditions.append(f"({sight.holds('account.search', text)} OR account.id IN ({phones}))")
    if group_id is not None:
        conditions.append(f"account.team_id = {sight.value(group_id)}")
    if isinstance(role, Role):
        conditions.append(f"account.role = {sight.value(str(role))} AND account.role_copy_id IS NULL")
    elif role is not None:
        conditions.append(f"account.role_copy_id = {sight.value(role)}")
    conditions += sight.after("account.name_key", "account.id", cursor)
    order = f"ORDER BY account.name_key, account.id LIMIT {sight.value(limit + 1)}"
    found = await rows(f"{_USERS} WHERE {' AND '.join(conditions)} {order}", *sight.values)
    more = found[limit - 1] if len(found) > limit else None
    return Listed(
        await _users(scope, found[:limit]), None if more is None else cursor_of(more["name_key"], as_id(more["id"]))
    )


@lookup
async def get_user(scope: Scope, user_id: UUID) -> User | None:
    """A user; None where there is none, or where the scope does not reach him. Everybody reaches himself, also an
    operator who looks at another tenant.
    """
    if user_id == scope.user_id:
        scope = replace(scope, reach=Reach.PLATFORM)
    found = await users_by_id(scope, [user_id])
    return found.get(user_id)


@reading
async def get_users(scope: Scope, user_ids: Sequence[UUID]) -> dict[UUID, User]:
    """Those of these users (some thousand at most) whom the scope reaches."""
    return await users_by_id(scope, user_ids)


@reading
async def in_reach(scope: Scope, user_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of these users (a page of something at most) whom the scope reaches."""
    if not user_ids:
        return frozenset()
    sight = Sight(scope)
    wanted = ", ".join([sight.value(user_id) for user_id in user_ids])
    query = f"SELECT account.id FROM account WHERE {sight.users()} AND account.id IN ({wanted})"
    return frozenset([as_id(row["id"]) for row in await rows(query, *sight.values)])


@lookup
async def get_by_login(scope: Scope, login: str) -> User | None:
    """The user with this login, in any letter case; None where the scope reaches none, or those of several tenants."""
    if clean(login) != login:
        return None  # no database would take it
    sight = Sight(scope)
    query = f"SELECT account.id FROM account WHERE {sight.users()} AND login_key = {sight.value(folded(login))}"
    found = [as_id(row["id"]) for row in await rows(query, *sight.values)]
    return (await users_by_id(scope, found)).get(found[0]) if len(found) == 1 else None


@lookup
async def find_users(scope: Scope, text: str, limit: int = 10) -> tuple[Named, ...]:
    """To complete what is typed: users who are not disabled, as `Sam Reed (sam)`; those that begin so are first."""
    sight = Sight(scope)
    conditions = [sight.users(), "account.disabled_at IS NULL"]
    order = ""
    if text.strip():
        conditions.append(sight.holds("account.search", text))
        typed = sight.value(folded(clean(text.strip())))
        begins = " OR ".join(f"substr({key}, 1, length({typed})) = {typed}" for key in ("name_key", "login_key"))
        order = f"CASE WHEN {begins} THEN 0 ELSE 1 END, "
    query = (
        f"SELECT id, name, login FROM account WHERE {' AND '.join(conditions)} "
        f"ORDER BY {order}name_key, id LIMIT {sight.value(limit)}"
    )
    found = await rows(query, *sight.values)
    return tuple(
        Named(as_id(row["id"]), f"{row['name']} ({row['login']})" if row["name"] else row["login"]) for row in found
    )


@reading
async def count_users(scope: Scope) -> int:
    """How many the scope reaches who are not disabled."""
    sight = Sight(scope)
    query = f"SELECT count(*) AS users FROM account WHERE {sight.users()} AND disabled_at IS NULL"
    return int((await rows(query, *sight.values))[0]["users"])


async def users_by_id(scope: Scope, ids: Sequence[UUID]) -> dict[UUID, User]:
    """Inside a unit: those of these users (some thousand at most) whom the scope reaches."""
    if not ids:
        return {}
    sight = Sight(scope)
    places = ", ".join(sight.value(one) for one in ids)
    found = await rows(f"{_USERS} WHERE {sight.users()} AND account.id IN ({places})", *sight.values)
    return {user.id: user for user in await _users(scope, found)}


async def _users(scope: Scope, found: Sequence[dict[str, Any]]) -> tuple[User, ...]:
    ids = [as_id(row["id"]) for row in found]
    tenants = {as_id(row["id"]): Named(as_id(row["tenant_id"]), row["tenant_name"]) for row in found}
    names = {as_id(row["id"]): Named(as_id(row["id"]), row["name"] or row["login"]) for row in found}
    phones: dict[UUID, list[Phone]] = {one: [] for one in ids}
    for row in sorted(await rows_in(_PHONES, ids), key=lambda row: as_id(row["id"])):
        owner = as_id(row["account_id"])
        phones[owner].append(a_phone(row, tenants[owner], names[owner]))
    groups = await _managed(scope, ids, "team", "team.name AS called, '' AS login")
    users = await _managed(scope, ids, "account", f"{CALLED} AS called, account.login AS login")
    return tuple(_user(row, phones[one], groups[one], users[one]) for row, one in zip(found, ids, strict=True))


async def _managed(
    scope: Scope, ids: Sequence[UUID], table: str, names: str
) -> dict[UUID, dict[UUID, tuple[str, str]]]:
    """The groups (`team`) or users (`account`) whom each of these manages, as far as the scope reaches them: what they
    are called and their logins, by id.
    """
    found: dict[UUID, dict[UUID, tuple[str, str]]] = {one: {} for one in ids}
    if not ids:
        return found
    sight = Sight(scope)
    seen = sight.groups() if table == "team" else sight.users()
    places = ", ".join(sight.value(one) for one in ids)
    query = (
        f"SELECT management.manager_id, {table}.id, {names} FROM management "
        f"JOIN {table} ON {table}.id = management.{table}_id WHERE {seen} AND management.manager_id IN ({places}) "
        f"ORDER BY {table}.name_key, {table}.id"
    )
    for row in await rows(query, *sight.values):
        found[as_id(row["manager_id"])][as_id(row["id"])] = (row["called"], row["login"])
    return found


def a_phone(row: dict[str, Any], tenant: Named, user: Named) -> Phone:
    """A phone from its row."""
    return Phone(
        id=as_id(row["id"]),
        tenant=tenant,
        fields=PhoneFields(line=row["line"], user_id=user.id, name=row["name"]),
        user=user,
        disabled_at=moment_or_none(row["disabled_at"]),
    )


def moment_or_none(value: Any) -> datetime | None:
    return None if value is None else as_moment(value)


def _user(
    row: dict[str, Any],
    phones: list[Phone],
    groups: dict[UUID, tuple[str, str]],
    users: dict[UUID, tuple[str, str]],
) -> User:
    role, group_id, copy_id = Role(row["role"]), _id_or_none(row["team_id"]), _id_or_none(row["role_copy_id"])
    fields = UserFields(
        login=row["login"],
        name=row["name"],
        email=row["email"],
        group_id=group_id,
        role=role if copy_id is None else copy_id,
        authentication=row["authentication"],
        external_id=row["external_id"],
        broadworks_user_id=row["broadworks_user_id"],
        broadworks_group_id=row["broadworks_group_id"],
        broadworks_sp_id=row["broadworks_sp_id"],
        may_sign_in=bool(row["may_sign_in"]),
        must_change_password=bool(row["must_change_password"]),
        confidential=bool(row["confidential"]),
        recording_mode=RecordingMode(row["recording_mode"]) if row["recording_mode"] else None,
        language=row["language"],
        time_zone=row["time_zone"],
        phones=tuple(phone.fields.line for phone in phones),
        manages_groups=tuple(groups),
        manages_users=tuple(users),
    )
    return User(
        id=as_id(row["id"]),
        tenant=Named(as_id(row["tenant_id"]), row["tenant_name"]),
        fields=fields,
        group=None if group_id is None else Named(group_id, row["team_name"]),
        role=role,
        role_name=row["role_name"] or "",
        grant=READY_MADE[role] if copy_id is None else kept_grant(row["role_reach"], row["role_permissions"]),
        phones=tuple(phones),
        manages=tuple(Named(one, name) for one, (name, _) in (*groups.items(), *users.items())),
        managed_logins=tuple(login for _, login in users.values()),
        has_password=bool(row["password_hash"]),
        two_factor=bool(row["totp_secret"]),
        disabled_at=moment_or_none(row["disabled_at"]),
        last_sign_in_at=moment_or_none(row["last_sign_in_at"]),
        created_at=as_moment(row["created_at"]),
        inherited_language=for_users(row, "language"),
        inherited_time_zone=for_users(row, "time_zone"),
    )


def _id_or_none(value: Any) -> UUID | None:
    return None if value is None else as_id(value)
