"""What a user may be like, and who may say so: decided by what is known of the tenant, without asking the database.

Nobody gives or takes what is beyond his own rights, nor takes his own access away. How somebody gets in is his own
business, and of those who have all of the tenant.

Not here: getting to know it (`ground.py`), writing it down (`users.py`), texts (`checked.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from schema import checked
from schema.entries import By
from schema.ground import Ground, RoleKept, only_own_lines
from schema.profiles import RecordingMode, User, UserFields
from schema.refusals import Refusal
from schema.roles import Reach

_AUTHENTICATIONS: Final = ("password", "oidc")
# How somebody gets in. By the login a provider finds his account; links to a new password go to the address.
WAYS_IN: Final = ("login", "email", "authentication", "external_id", "may_sign_in", "must_change_password")
_TEXTS: Final = ("name", "external_id", "broadworks_user_id", "broadworks_group_id", "broadworks_sp_id")


def examined(by: By, there: Ground, given: UserFields, old: User | None) -> UserFields:
    """The fields as they are kept. `old`: the user so far, where there is one. Errors: Refusal."""
    login = checked.login(given.login)
    taken = there.logins.get(checked.folded(login))
    if taken is not None and (old is None or taken != old.id):
        raise Refusal("login_taken", "login", login=login, tenant=there.tenant.name)
    role = _examined_role(by, there, given, old)
    _examine_group(there, given, old)
    if given.authentication not in _AUTHENTICATIONS:
        raise Refusal("authentication_unknown", "authentication", authentication=given.authentication)
    if given.confidential and not by.scope.confidential and (old is None or old.id != by.scope.user_id):
        raise Refusal("beyond_you", "confidential")
    if old is None:
        if by.scope.reach in (Reach.OWN, Reach.MANAGED):
            raise Refusal("beyond_you")
        make_room(there)
    texts: dict[str, Any] = {name: checked.text_or_none(getattr(given, name), name) for name in _TEXTS}
    groups, users = _examined_managed(there, given, role, old)
    kept = replace(
        given,
        login=login,
        email=checked.email(given.email),
        recording_mode=_mode(given.recording_mode),
        language=checked.language(given.language),
        time_zone=checked.time_zone(given.time_zone),
        phones=_examined_phones(by, there, given.phones, old),
        manages_groups=groups,
        manages_users=users,
        **texts,
    )
    if old is not None and not has_ways_in(by, old.id):
        for name in WAYS_IN:
            if getattr(kept, name) != getattr(old.fields, name):
                raise Refusal("access_beyond_you", name)
    return kept


def has_ways_in(by: By, user_id: UUID) -> bool:
    """Whether he may arrange how this user, whom he sees, gets in."""
    return user_id == by.account_id or by.scope.reach in (Reach.TENANT, Reach.PLATFORM)


def make_room(there: Ground) -> None:
    """Takes the place of one more user. Errors: Refusal (limit_of_users)."""
    if there.room is None:
        return
    if there.room <= 0:
        raise Refusal("limit_of_users", tenant=there.tenant.name, limit=there.limit)
    there.room -= 1


def _examined_role(by: By, there: Ground, given: UserFields, old: User | None) -> RoleKept:
    role = there.role(given.role)
    if old is not None and not by.grant.covers(old.grant):
        raise Refusal("above_you")
    if (old is None or old.fields.role != given.role) and not by.grant.covers(role.grant):
        raise Refusal("beyond_you", "role")
    if old is not None and old.id == by.account_id:
        if old.fields.may_sign_in and not given.may_sign_in:
            raise Refusal("yourself", "may_sign_in")
        if not role.grant.covers(old.grant):
            raise Refusal("yourself", "role")
    return role


def _examine_group(there: Ground, given: UserFields, old: User | None) -> None:
    if given.group_id is None or (old is not None and given.group_id == old.fields.group_id):
        return
    team = there.teams.get(given.group_id)
    if team is None:
        raise Refusal("group_unknown", "group_id", group=given.group_id, tenant=there.tenant.name)
    if team.disabled:
        raise Refusal("group_disabled", "group_id", group=team.name)


def _examined_phones(by: By, there: Ground, given: Sequence[str], old: User | None) -> tuple[str, ...]:
    lines = tuple(dict.fromkeys(checked.text(line, "phones") for line in given))
    for line in lines:
        if (old is None or line not in old.fields.phones) and line not in there.freed:
            only_own_lines(by.scope, line, "phones")
        owner = there.lines.get(line)
        if owner is not None and (old is None or owner != old.id):
            raise Refusal("phone_taken", "phones", line=line, tenant=there.tenant.name)
    return lines


def _examined_managed(
    there: Ground, given: UserFields, role: RoleKept, old: User | None
) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    own = None if old is None else old.id
    groups = tuple(dict.fromkeys(given.manages_groups))
    users = tuple(one for one in dict.fromkeys(given.manages_users) if one != own)
    if (groups or users) and role.grant.reach is not Reach.MANAGED:
        raise Refusal("manages_nobody", "manages_groups" if groups else "manages_users")
    managed = () if old is None else (*old.fields.manages_groups, *old.fields.manages_users)
    for one in groups:
        if one not in there.teams and one not in managed:
            raise Refusal("group_unknown", "manages_groups", group=one, tenant=there.tenant.name)
    for one in users:
        if one not in there.people and one not in managed:
            raise Refusal("user_unknown", "manages_users", login=one, tenant=there.tenant.name)
    return groups, users


def _mode(given: RecordingMode | str | None) -> RecordingMode | None:
    try:
        return RecordingMode(given) if given else None
    except ValueError:
        raise Refusal("mode_unknown", "recording_mode", mode=given) from None
