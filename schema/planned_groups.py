"""Groups from the lines of a table: each name with its language and time zone.

Not here: the plan itself (`planned.py`), changes of one group (`groups.py`).
"""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from schema.checked import folded
from schema.columns import as_id
from schema.database import rows
from schema.entries import By
from schema.groups import columns_of, only_of_all
from schema.models import Team
from schema.planned import PlannedLine, action, changed, name_of
from schema.profiles import GroupFields
from schema.refusals import Refusal


class GroupLines:
    """Made by `group_lines`: `known` are the groups that are there, by the name as it is compared."""

    def __init__(self, by: By, known: Mapping[str, tuple[UUID, GroupFields]]) -> None:
        self._by = by
        self._known = known
        self._seen: set[str] = set()
        self._made: list[GroupFields] = []
        self._altered: list[tuple[UUID, GroupFields]] = []

    def line(self, number: int, cells: Mapping[str, str]) -> PlannedLine:
        only_of_all(self._by)
        name = name_of("groups", cells)
        key = folded(name)
        if key in self._seen:
            raise Refusal("twice_in_file", "name", name=name)
        self._seen.add(key)
        group_id, old = self._known.get(key, (None, None))
        said = {column: cells[column].strip() for column in ("language", "time_zone") if column in cells}
        fields = replace(old or GroupFields(name=name), **said)
        columns_of(fields)
        if group_id is None:
            self._made.append(fields)
        elif fields != old:
            self._altered.append((group_id, fields))
        changes = changed({} if old is None else _cells(old), _cells(fields))
        return PlannedLine(number, action(old is not None, changes), fields.name, changes)

    async def write(self) -> None:
        for fields in self._made:
            await Team.create(tenant_id=self._by.scope.tenant_id, **columns_of(fields))
        for group_id, fields in self._altered:
            row = await Team.select_for_update().get(id=group_id)
            row.language, row.time_zone = fields.language, fields.time_zone
            await row.save()


async def group_lines(by: By) -> GroupLines:
    """Inside a unit: what understands lines about groups of the scope's tenant."""
    found = await rows("SELECT id, name, language, time_zone FROM team WHERE tenant_id = $1", by.scope.tenant_id)
    known = {
        folded(row["name"]): (
            as_id(row["id"]),
            GroupFields(name=row["name"], language=row["language"], time_zone=row["time_zone"]),
        )
        for row in found
    }
    return GroupLines(by, known)


def _cells(fields: GroupFields) -> dict[str, str]:
    return {"name": fields.name, "language": fields.language, "time_zone": fields.time_zone}
