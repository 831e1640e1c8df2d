"""Users: the list, what is proposed while one types a name, and the list as a file.

Who manages users sees all of the tenant; a supervisor sees whom he manages, and changes nothing but their language.

Not here: one user (`user.py`), the import of many (`imports.py`), whom one may see (the queries, by scope).
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, Response, abort, render_template, request
from quart_babel import gettext

from portal import csv_files, gate
from portal.errors import by_script
from portal.pages import lists, owners, paging, people_words, texts
from schema import audit, groups, importing, roles_kept, users
from schema.checked import MOST_CHARACTERS
from schema.entries import Action, Resource
from schema.roles import Permission, Role
from schema.values import Scope

MOST_OPTIONS: Final = 500
PROPOSED: Final = 10
EXPORTED_AT_A_TIME: Final = 500

blueprint: Final = Blueprint("users", __name__, url_prefix="/administration/users")


@blueprint.get("")
async def index() -> str:
    """The users, by name; for scripts the table alone."""
    scope, here = gate.scope(), paging.at_hand()
    asked = _asked()
    found = await lists.asked(users.list_users(scope, limit=lists.ROWS, cursor=here.cursor, **asked))
    kept = {name: request.args.get(name, "") for name in ("q", "group", "role", "status")}
    older, newer = here.links("users.index", lists.ROWS, found.next, **kept)
    table = {
        "users": found.items,
        "older": older,
        "newer": newer,
        "all_tenants": owners.across_tenants(),
        "filtered": any(kept.values()) or bool(here.cursors),
        "kept": kept,
        "words": people_words,
        "manages": gate.may(Permission.MANAGE_USERS),
    }
    if by_script():
        return await render_template("users/table.html", **table)
    return await render_template(
        "users/index.html", texts=texts.of_requests(), statuses=lists.status_options(), **await _filters(scope), **table
    )


@blueprint.get("/complete")
async def complete() -> dict[str, Any]:
    """Proposals for what is typed: users who are not disabled, those whose name or login begins so first."""
    scope = gate.scope()
    found = await users.find_users(scope, request.args.get("text", "")[:MOST_CHARACTERS], PROPOSED)
    known = await users.get_users(scope, [one.id for one in found])
    items = [known[one.id] for one in found if one.id in known]
    return {"items": [{"id": str(user.id), "login": user.fields.login, "name": user.fields.name} for user in items]}


@blueprint.get("/export")
async def export() -> Response:
    """The users of the list, with its filters, as a CSV file that can be imported again."""
    scope, asked = gate.scope(), _asked()
    await audit.note(gate.by(), Resource.USERS, Action.EXPORT, tenant_id=scope.tenant_id)
    name = f"users-{datetime.now(UTC):%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_exported(scope, asked), headers=headers, content_type="text/csv; charset=utf-8")


async def _exported(scope: Scope, asked: dict[str, Any]) -> AsyncIterator[bytes]:
    columns = importing.COLUMNS["users"]
    yield csv_files.MARK + csv_files.write([columns])
    cursor: str | None = None
    while True:
        found = await users.list_users(scope, limit=EXPORTED_AT_A_TIME, cursor=cursor, **asked)
        rows = [importing.row_of(user) for user in found.items]
        yield csv_files.write([[row[column] for column in columns] for row in rows])
        cursor = found.next
        if cursor is None:
            return


def _asked() -> dict[str, Any]:
    """What the address asks for. What no filter offers is not found."""
    group, role = request.args.get("group", ""), request.args.get("role", "")
    return {
        "text": request.args.get("q", "").strip(),
        "group_id": _id(group) if group else None,
        "role": None if not role else Role(role) if role in Role.__members__.values() else _id(role),
        "status": lists.status(),
    }


def _id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        abort(404)


async def _filters(scope: Scope) -> dict[str, Any]:
    """What the filters offer."""
    found = await groups.list_groups(scope, status="all", limit=MOST_OPTIONS)
    kept = await roles_kept.list_roles(scope)
    return {
        "groups": [("", gettext("All groups")), *((str(one.id), one.fields.name) for one in found.items)],
        "roles": [
            ("", gettext("All roles")),
            *((str(one.base if one.id is None else one.id), people_words.role_title(one)) for one in kept),
        ],
    }
