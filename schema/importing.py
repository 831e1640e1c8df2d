"""Many users, phones or groups at once, from the lines of a table: what each line would do, and doing it.

A line is about what its first column names: it makes that, changes it, or leaves it as it is. A cell that is not there
leaves its field as it is. Planning and applying are one thing, but that applying writes: all lines, or none.

Not here: files (the portal), how the lines of each kind are understood (`planned_users.py`, `planned_phones.py`,
`planned_groups.py`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from schema.audited import changing
from schema.claims import claim_calls_of
from schema.database import reading, unit
from schema.entries import By
from schema.ground import exclusively
from schema.planned import COLUMNS, Kind, Plan, PlannedLine, Planner, cleaned
from schema.planned_groups import group_lines
from schema.planned_phones import phone_lines
from schema.planned_users import row_of_user as row_of
from schema.planned_users import user_lines
from schema.refusals import Refusal

__all__ = ["COLUMNS", "Kind", "Plan", "PlannedLine", "apply", "claim", "plan", "row_of"]

# Other units take turns with a long plan.
_LINES_AT_A_TIME: Final = 100


@reading
async def plan(by: By, kind: Kind, rows: Sequence[Mapping[str, str]]) -> Plan:
    """What these lines (cells by column) would do now, in the tenant of the scope. Errors: NotThere."""
    return (await _planned(by, kind, rows))[0]


@unit
async def apply(by: By, kind: Kind, rows: Sequence[Mapping[str, str]], expected: Plan | None = None) -> Plan:
    """Does what these lines say, and returns what that was. Where a line is an error, nothing is done.

    `expected`: what was planned. Errors: Refusal (changed_meanwhile, where that is not what they would do now),
    NotThere; then nothing is done.
    """
    async with changing(by):
        await exclusively()
        found, planner = await _planned(by, kind, rows)
        if expected is not None and found != expected:
            raise Refusal("changed_meanwhile")
        if found.possible:
            await planner.write()
    return found


async def claim(by: By, done: Plan) -> int:
    """Gives the users of a plan that was applied the earlier calls of their new phones, and returns how many.

    Errors: DatabaseAway; what they were given until then stays theirs.
    """
    owners = {line.owner_id for line in done.lines if line.owner_id is not None}
    return await claim_calls_of([(by.scope.tenant_id, owner) for owner in sorted(owners)])


async def _planned(by: By, kind: Kind, rows: Sequence[Mapping[str, str]]) -> tuple[Plan, Planner]:
    given = cleaned(rows)
    planner = await _planner(by, kind, given)
    lines = []
    for number, cells in enumerate(given, 1):
        if number % _LINES_AT_A_TIME == 0:
            await asyncio.sleep(0)
        try:
            lines.append(planner.line(number, cells))
        except Refusal as refusal:
            lines.append(PlannedLine(number, "error", cells.get(COLUMNS[kind][0], "").strip(), refusal=refusal))
    return Plan(tuple(lines)), planner


async def _planner(by: By, kind: Kind, given: Sequence[Mapping[str, str]]) -> Planner:
    if kind == "users":
        return await user_lines(by, given)
    return await (phone_lines(by, given) if kind == "phones" else group_lines(by))
