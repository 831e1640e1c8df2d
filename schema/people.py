"""Accounts: whoever signs in, with what his role gives him and the language and time zone that hold for him.

A login is unique in its tenant; upper and lower case are one. Whether somebody may sign in is decided here, for the
portal and the API both.

Not here: sessions, tokens and passwords (`access.py`), users as pages show and change them (`users.py`).
"""

import json
from typing import Any, Final
from uuid import UUID

from schema.checked import folded
from schema.columns import as_id
from schema.database import lookup, rows, unit
from schema.records import clean
from schema.roles import READY_MADE, Grant, Permission, Reach, Role
from schema.values import Account

_ACCOUNTS: Final = (
    "SELECT account.*, tenant.name AS tenant, tenant.disabled_at AS tenant_disabled_at, tenant.colour, "
    "tenant.logo IS NOT NULL AS has_logo, tenant.language AS tenant_language, tenant.time_zone AS tenant_time_zone, "
    "team.language AS team_language, team.time_zone AS team_time_zone, platform.language AS platform_language, "
    "platform.time_zone AS platform_time_zone, role_copy.name AS role_name, role_copy.reach AS role_reach, "
    "role_copy.permissions AS role_permissions FROM account JOIN tenant ON tenant.id = account.tenant_id "
    "CROSS JOIN platform LEFT JOIN team ON team.id = account.team_id "
    "LEFT JOIN role AS role_copy ON role_copy.id = account.role_copy_id"
)


@unit
async def accounts_by_login(login: str) -> list[Account]:
    """The users with this login, one a tenant at most."""
    if clean(login) != login:
        return []  # no database would take it
    return await _accounts("account.login_key = $1 ORDER BY tenant.name", folded(login))


@lookup
async def account(user_id: UUID) -> Account | None:
    found = await _accounts("account.id = $1", user_id)
    return found[0] if found else None


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
