"""Phones from the lines of a table: each line of theirs with its label and the login of its user.

Not here: the plan itself (`planned.py`), changes of one phone (`phones.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from schema.checked import folded
from schema.columns import as_id
from schema.entries import By
from schema.ground import Ground, ground, only_own_lines, people_of
from schema.models import Phone as PhoneRow
from schema.phones import columns_of, phones_by_line
from schema.planned import PlannedLine, action, changed, name_of
from schema.profiles import Phone, PhoneFields
from schema.refusals import Refusal
from schema.sql import rows_in


class PhoneLines:
    """Made by `phone_lines`: `known` are the phones that are there and to be seen, by line."""

    def __init__(self, by: By, there: Ground, known: Mapping[str, Phone], logins: Mapping[UUID, str]) -> None:
        self._by = by
        self._there = there
        self._known = known
        self._logins = logins
        self._seen: set[str] = set()
        self._made: list[PhoneFields] = []
        self._altered: list[tuple[Phone, PhoneFields]] = []

    def line(self, number: int, cells: Mapping[str, str]) -> PlannedLine:
        line = name_of("phones", cells)
        if line in self._seen:
            raise Refusal("twice_in_file", "line", name=line)
        self._seen.add(line)
        old = self._known.get(line)
        if old is None:
            only_own_lines(self._by.scope, line, "line")
        if old is None and line in self._there.lines:
            raise Refusal("phone_there", "line", line=line, tenant=self._there.tenant.name)
        fields = self._understood(line, cells, old)
        columns_of(fields)
        if old is None:
            self._made.append(fields)
        elif fields != old.fields:
            self._altered.append((old, fields))
        before = {} if old is None else self._cells(old.fields)
        owner = None if old is not None and old.fields.user_id == fields.user_id else fields.user_id
        changes = changed(before, self._cells(fields))
        return PlannedLine(number, action(old is not None, changes), line, changes, owner_id=owner)

    async def write(self) -> None:
        for fields in self._made:
            await PhoneRow.create(tenant_id=self._there.tenant.id, **columns_of(fields))
        for old, fields in self._altered:
            row = await PhoneRow.select_for_update().get(id=old.id)
            for column, value in columns_of(fields).items():
                setattr(row, column, value)
            await row.save()

    def _understood(self, line: str, cells: Mapping[str, str], old: Phone | None) -> PhoneFields:
        if "user" in cells:
            user_id = self._user(cells["user"].strip())
        elif old is not None:
            user_id = old.fields.user_id
        else:
            raise Refusal("column_needed", "user", column="user")
        fields = PhoneFields(line=line, user_id=user_id) if old is None else replace(old.fields, user_id=user_id)
        return replace(fields, name=cells["name"].strip()) if "name" in cells else fields

    def _user(self, login: str) -> UUID:
        if not login:
            raise Refusal("text_needed", "user")
        found = self._there.logins.get(folded(login))
        if found is None or found not in self._there.people:
            raise Refusal("user_unknown", "user", login=login, tenant=self._there.tenant.name)
        return found

    def _cells(self, fields: PhoneFields) -> dict[str, str]:
        return {"line": fields.line, "name": fields.name, "user": self._logins[fields.user_id]}


async def phone_lines(by: By, given: Sequence[Mapping[str, str]]) -> PhoneLines:
    """Inside a unit: what understands lines about phones of the scope's tenant. Errors: NotThere."""
    tenant_id = by.scope.tenant_id
    lines = [cells.get("line", "").strip() for cells in given]
    there = await ground(by.scope, tenant_id, logins=[cells.get("user", "").strip() for cells in given], lines=lines)
    known = await phones_by_line(by.scope, tenant_id, sorted(set(lines)))
    owners = {phone.fields.user_id for phone in known.values()} | set(there.logins.values())
    there.people = await people_of(by.scope, tenant_id, owners)
    found = await rows_in("SELECT id, login FROM account WHERE id IN", sorted(there.people))
    return PhoneLines(by, there, known, {as_id(row["id"]): row["login"] for row in found})
