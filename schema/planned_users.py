"""Users from the lines of a table. Groups, roles, and whom somebody manages are named; a login may be one of a later
line.

Not here: the plan itself (`planned.py`), what a user may be like (`users.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from schema import users
from schema.checked import folded
from schema.columns import new_id
from schema.entries import By
from schema.ground import Ground, ground, people_of
from schema.planned import SEPARATOR, PlannedLine, action, changed, name_of, several, told, yes_or_no
from schema.profiles import RecordingMode, User, UserFields
from schema.refusals import Refusal
from schema.roles import Role
from schema.roster import users_by_id
from schema.sql import batches
from schema.user_rules import examined

_TEXTS: Final = (
    "name",
    "email",
    "authentication",
    "broadworks_user_id",
    "broadworks_group_id",
    "broadworks_sp_id",
    "language",
    "time_zone",
)
_FLAGS: Final = ("may_sign_in", "must_change_password", "confidential")
_NOBODY: Final = UUID(int=0)
_USERS_AT_A_TIME: Final = 2_000


class UserLines:
    """Made by `user_lines`: `known` are the users that are there already, `given` all lines."""

    def __init__(self, by: By, there: Ground, known: Mapping[UUID, User], given: Sequence[Mapping[str, str]]) -> None:
        self._by = by
        self._there = there
        self._known = known
        self._teams = {folded(team.name): team_id for team_id, team in there.teams.items()}
        self._roles: dict[str, Role | UUID] = {folded(kept.name): one for one, kept in there.roles.items()}
        self._roles |= {str(role): role for role in Role}
        self._seen: set[str] = set()
        self._made: list[tuple[UUID, UserFields]] = []
        self._altered: list[tuple[User, UserFields]] = []
        self._new: dict[str, UUID] = {}
        self._called: dict[UUID, str] = {}
        for cells in given:
            key = folded(cells.get("login", "").strip())
            if key and key not in there.logins:
                self._new.setdefault(key, new_id())
            self._give_up(key, cells)

    def _give_up(self, key: str, cells: Mapping[str, str]) -> None:
        """Lines that a user of the table loses are free for all others in it."""
        old = self._known.get(self._there.logins.get(key, _NOBODY))
        if old is not None and "phones" in cells:
            for line in set(old.fields.phones) - set(several(cells["phones"])):
                self._there.lines.pop(line, None)
                self._there.freed.add(line)

    def line(self, number: int, cells: Mapping[str, str]) -> PlannedLine:
        login = name_of("users", cells)
        key = folded(login)
        if key in self._seen:
            raise Refusal("twice_in_file", "login", name=login)
        self._seen.add(key)
        user_id = self._there.logins.get(key) or self._new.get(key, _NOBODY)
        old = self._known.get(user_id)
        fields = self._understood(login, cells, old, user_id)
        # What changes nothing needs no right: lists of users who stand above their reader are taken as well.
        if old is None or fields != old.fields:
            fields = examined(self._by, self._there, fields, old)
        if old is None:
            self._made.append((user_id, fields))
        else:
            self._altered.append((old, fields))
        self._there.lines |= dict.fromkeys(fields.phones, user_id)
        changes = changed({} if old is None else row_of_user(old), self._cells(fields))
        owner = user_id if set(fields.phones) - set(() if old is None else old.fields.phones) else None
        return PlannedLine(number, action(old is not None, changes), fields.login, changes, owner_id=owner)

    async def write(self) -> None:
        for old, fields in self._altered:
            await users.drop_phones(old, fields)
        await users.write_all_new(self._there, self._made)
        for old, fields in self._altered:
            if fields != old.fields:
                await users.write_rest(self._there, old, fields)
        for user_id, fields in self._made:
            if fields.manages_groups or fields.manages_users:
                await users.assign(user_id, fields.manages_groups, fields.manages_users)

    def _understood(self, login: str, cells: Mapping[str, str], old: User | None, user_id: UUID) -> UserFields:
        """The user's fields with what the line says of them."""
        fields = UserFields(login=login) if old is None else old.fields
        if old is not None:
            self._called |= zip(old.fields.manages_users, old.managed_logins, strict=True)
        said: dict[str, Any] = {column: cells[column].strip() for column in _TEXTS if column in cells}
        if said.get("authentication") == "":
            del said["authentication"]
        for column in _FLAGS:
            if column in cells:
                said[column] = yes_or_no(cells[column], column, getattr(fields, column))
        if "group" in cells:
            said["group_id"] = self._group(cells["group"].strip())
        if cells.get("role", "").strip():
            said["role"] = self._role(cells["role"].strip())
        if "recording_mode" in cells:
            said["recording_mode"] = self._mode(cells["recording_mode"].strip())
        if "phones" in cells:
            phones = several(cells["phones"])
            said["phones"] = fields.phones if set(phones) == set(fields.phones) else phones
        if "manages" in cells:
            managed = [self._managed(name, fields) for name in several(cells["manages"])]
            groups = tuple(one for one in managed if one in self._there.teams)
            people = tuple(one for one in managed if one not in self._there.teams and one != user_id)
            same = set(groups) == set(fields.manages_groups), set(people) == set(fields.manages_users)
            said["manages_groups"] = fields.manages_groups if same[0] else groups
            said["manages_users"] = fields.manages_users if same[1] else people
        return replace(fields, **said)

    def _group(self, name: str) -> UUID | None:
        if not name:
            return None
        if folded(name) not in self._teams:
            raise Refusal("group_unknown", "group", group=name, tenant=self._there.tenant.name)
        return self._teams[folded(name)]

    def _role(self, name: str) -> Role | UUID:
        if folded(name) not in self._roles:
            raise Refusal("role_unknown", "role", role=name)
        return self._roles[folded(name)]

    def _mode(self, name: str) -> RecordingMode | None:
        try:
            return RecordingMode(name) if name else None
        except ValueError:
            raise Refusal("mode_unknown", "recording_mode", mode=name) from None

    def _managed(self, name: str, so_far: UserFields) -> UUID:
        key = folded(name)
        person = self._there.logins.get(key) or self._new.get(key)
        if person is not None and key not in self._new and person not in self._there.people:
            person = None  # one who is not to be seen
        found = [one for one in (self._teams.get(folded(name)), person) if one is not None]
        if len(found) > 1:
            managed = {*so_far.manages_groups, *so_far.manages_users}
            found = [one for one in found if one in managed]
            if len(found) != 1:
                raise Refusal("managed_unclear", "manages", name=name, tenant=self._there.tenant.name)
        if not found:
            raise Refusal("managed_unknown", "manages", name=name, tenant=self._there.tenant.name)
        if found[0] not in self._there.teams:
            self._called.setdefault(found[0], name)
            self._there.people.setdefault(found[0], name)
        return found[0]

    def _cells(self, fields: UserFields) -> dict[str, str]:
        group = "" if fields.group_id is None else self._there.teams[fields.group_id].name
        teams = [self._there.teams[one].name for one in fields.manages_groups]
        return _cells(fields, group, _role_name(self._there, fields.role), teams, self._called_all(fields))

    def _called_all(self, fields: UserFields) -> list[str]:
        return [self._called[one] for one in fields.manages_users]


async def user_lines(by: By, given: Sequence[Mapping[str, str]]) -> UserLines:
    """Inside a unit: what understands lines about users of the scope's tenant. Errors: NotThere."""
    tenant_id = by.scope.tenant_id
    logins = [cells.get("login", "").strip() for cells in given]
    managed = {name for cells in given for name in several(cells.get("manages", ""))}
    lines = {line for cells in given for line in several(cells.get("phones", ""))}
    there = await ground(by.scope, tenant_id, logins=[*logins, *managed], lines=lines)
    there.people = await people_of(by.scope, tenant_id, set(there.logins.values()))
    known: dict[UUID, User] = {}
    ids = sorted({there.logins[key] for key in map(folded, logins) if key in there.logins})
    for some in batches(ids, _USERS_AT_A_TIME):
        known |= await users_by_id(by.scope, some)
    return UserLines(by, there, known, given)


def row_of_user(user: User) -> dict[str, str]:
    """A user as an import takes him."""
    managed = [one.name for one in user.manages[: len(user.fields.manages_groups)]]
    group = "" if user.group is None else user.group.name
    return _cells(user.fields, group, user.role_name or str(user.role), managed, user.managed_logins)


def _role_name(there: Ground, role: Role | UUID) -> str:
    return there.role(role).name or str(role)


def _cells(fields: UserFields, group: str, role: str, groups: Sequence[str], logins: Sequence[str]) -> dict[str, str]:
    return {
        "login": fields.login,
        "name": fields.name,
        "email": fields.email,
        "group": group,
        "role": role,
        "authentication": fields.authentication,
        "broadworks_user_id": fields.broadworks_user_id,
        "broadworks_group_id": fields.broadworks_group_id,
        "broadworks_sp_id": fields.broadworks_sp_id,
        "may_sign_in": told(fields.may_sign_in),
        "must_change_password": told(fields.must_change_password),
        "confidential": told(fields.confidential),
        "recording_mode": "" if fields.recording_mode is None else str(fields.recording_mode),
        "language": fields.language,
        "time_zone": fields.time_zone,
        "phones": SEPARATOR.join(fields.phones),
        "manages": SEPARATOR.join((*groups, *logins)),
    }
