"""Many users, phones or groups from a CSV file: uploaded, looked at line by line, then applied as a whole or not.

Nothing is written before Apply. What was shown is what is done: if something changed meanwhile, it is shown anew.

Not here: what a file's lines change (`schema/importing.py`), how files are read (`portal/csv_files.py`), what columns
mean (`import_words.py`).
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast
from uuid import UUID

import trio
from quart import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from quart.blueprints import BlueprintSetupState
from quart_babel import gettext

from portal import csv_files, gate
from portal.csv_files import Line, Table, Unreadable
from portal.errors import another_tenant
from portal.forms import Form, filled, submitted
from portal.pages import import_words, owners
from portal.pages.import_words import Kind
from portal.refused import of_data
from portal.uploads import Uploads
from schema import importing
from schema.entries import By
from schema.importing import Plan, PlannedLine
from schema.refusals import Refusal
from schema.roles import Reach

EXTENSION: Final = "earshot_uploads"
LINES: Final = 100
# What a cell takes besides its text, in the table and once more in the plan.
CELL_BYTES: Final = 100
Shown = Literal["all", "create", "update", "unchanged", "error"]
SHOWN: Final[tuple[Shown, ...]] = ("all", "create", "update", "unchanged", "error")

blueprint: Final = Blueprint("imports", __name__, url_prefix="/administration/<kind>/import")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was read, and what it would change, or has changed. `tenant_id`: in which tenant."""

    kind: Kind
    name: str
    tenant_id: UUID
    table: Table
    plan: Plan
    claimed: int = 0
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the preview. `action`: as of a plan, or `example`. `changes`: names of fields with their old and new
    values; `wrong`: why it cannot be, and `field` which one that is about, where it is one."""

    number: int
    action: str
    name: str
    changes: tuple[tuple[str, str, str], ...] = ()
    wrong: str = ""
    field: str = ""


@blueprint.record_once
def _make_room(state: BlueprintSetupState) -> None:
    state.app.extensions[EXTENSION] = Uploads[Upload]()


@blueprint.before_request
async def _is_known() -> None:
    if (request.view_args or {}).get("kind") not in import_words.KINDS:
        abort(404)


@blueprint.get("")
async def form(kind: Kind) -> str:
    """Where a file is chosen, with what its columns mean."""
    return await _form(filled(), kind)


@blueprint.get("/template.csv")
async def template(kind: Kind) -> Response:
    """A file with all columns and an example."""
    columns = import_words.COLUMNS[kind]
    example = [import_words.EXAMPLES[kind].get(column, "") for column in columns]
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    content = csv_files.MARK + csv_files.write([list(columns), example])
    return Response(content, headers=headers, content_type="text/csv; charset=utf-8")


@blueprint.post("")
async def preview(kind: Kind) -> Any:
    """Reads the file, and leads to what it would change."""
    given = await submitted()
    tenants = await owners.choices()
    tenant_id = owners.chosen(given, tenants) or gate.scope().tenant_id
    file = given.files.get("file")
    if file is None or not file.filename:
        given.wrong(gettext("Please choose a file."), "file")
    if given.ok and file is not None:
        try:
            content = file.read()
            table = await trio.to_thread.run_sync(csv_files.read, content, tuple(import_words.COLUMNS[kind]))
        except Unreadable as told:
            given.wrong(import_words.unreadable(told, kind), "file")
        else:
            upload = await _planned(Upload(kind, str(file.filename), tenant_id, table, Plan(())))
            return redirect(url_for("imports.review", kind=kind, name=_keep(upload)), 303)
    return await _form(given, kind), 422


@blueprint.get("/<name>")
async def review(kind: Kind, name: str) -> str | Response:
    """What each line would do, or has done."""
    upload = _upload(kind, name)
    if upload is None:
        return await _gone(kind)
    rows = _rows(upload)
    shown = cast(Shown, request.args.get("show", "all"))
    if shown not in SHOWN:
        abort(404)
    counts = Counter(row.action for row in rows)
    chosen = [row for row in rows if shown in ("all", row.action)]
    page = max(0, request.args.get("page", 0, type=int))
    addresses = {
        one: url_for("imports.review", kind=kind, name=name, show=None if one == "all" else one) for one in SHOWN
    }
    turn: dict[str, Any] = {"kind": kind, "name": name, "show": None if shown == "all" else shown}
    return await render_template(
        "imports/review.html",
        kind=kind,
        title=import_words.KINDS[kind](),
        key=import_words.column_name(kind, importing.COLUMNS[kind][0]),
        name=name,
        upload=upload,
        rows=chosen[page * LINES : (page + 1) * LINES],
        shown=shown,
        counts={"example": counts["example"], **{one: counts[one] for one in SHOWN}, "all": len(rows)},
        addresses=addresses,
        newer=url_for("imports.review", **turn, page=page - 1 or None) if page else "",
        older=url_for("imports.review", **turn, page=page + 1) if len(chosen) > (page + 1) * LINES else "",
        first=page * LINES + 1,
        last=min(len(chosen), (page + 1) * LINES),
        of=len(chosen),
    )


@blueprint.post("/<name>/apply")
async def apply(kind: Kind, name: str) -> Response:
    """Does what was shown, all of it or nothing."""
    upload = _upload(kind, name)
    if upload is None or upload.applied:
        return await _gone(kind)
    there = {"kind": kind, "name": name}
    if any(row.action == "error" for row in _rows(upload)):
        await flash(gettext("Nothing was changed: some lines cannot be taken as they are."), "danger")
        return _to("imports.review", **there, show="error")
    try:
        done = await importing.apply(
            _by(upload.tenant_id), kind, _given(upload.kind, upload.table), expected=upload.plan
        )
    except Refusal:
        fresh = await _planned(upload)
        await flash(
            gettext("Something changed since this was shown, so nothing was written. Look at it again."), "warning"
        )
        return _to("imports.review", kind=kind, name=_keep(fresh))
    claimed = await importing.claim(_by(upload.tenant_id), done)
    return _to("imports.review", kind=kind, name=_keep(replace(upload, plan=done, applied=True, claimed=claimed)))


async def _form(given: Form, kind: Kind) -> str:
    return await render_template(
        "imports/form.html",
        f=given,
        kind=kind,
        title=import_words.KINDS[kind](),
        columns=import_words.COLUMNS[kind],
        most_bytes=csv_files.MOST_BYTES,
        most_lines=csv_files.MOST_LINES,
        tenants=await owners.choices(),
    )


async def _gone(kind: Kind) -> Response:
    await flash(
        gettext("This file is not kept any more, and nothing was changed by it since. Choose it again."), "warning"
    )
    return _to("imports.form", kind=kind)


def _to(endpoint: str, **values: Any) -> Response:
    return cast(Response, redirect(url_for(endpoint, **values), 303))


def _uploads() -> Uploads[Upload]:
    return cast(Uploads[Upload], current_app.extensions[EXTENSION])


def _keep(upload: Upload) -> str:
    account = gate.account()
    return _uploads().keep(account.id, upload, tenant_id=account.tenant_id, size=_size(upload))


def _size(upload: Upload) -> int:
    cells = [cell for line in upload.table.lines for cell in line.cells.values()]
    return 2 * sum(CELL_BYTES + len(cell) for cell in cells)


def _upload(kind: Kind, name: str) -> Upload | None:
    """What was uploaded; None where it is not kept any more. Errors: Problem, where it is for another tenant."""
    found = _uploads().get(gate.account().id, name)
    if found is None or found.kind != kind:
        return None
    scope = gate.scope()
    if scope.reach is not Reach.PLATFORM and scope.tenant_id != found.tenant_id:
        raise another_tenant()
    return found


async def _planned(upload: Upload) -> Upload:
    """The same, with what it would change now."""
    plan = await importing.plan(_by(upload.tenant_id), upload.kind, _given(upload.kind, upload.table))
    return replace(upload, plan=plan)


def _by(tenant_id: UUID) -> By:
    """Who asks, within one tenant: an operator may look at all of them, but imports into one."""
    by = gate.by()
    if by.scope.reach is not Reach.PLATFORM:
        return by
    return replace(by, scope=replace(by.scope, tenant_id=tenant_id, reach=Reach.TENANT))


def _given(kind: Kind, table: Table) -> list[dict[str, str]]:
    """The lines that can be judged at all."""
    key = importing.COLUMNS[kind][0]
    return [line.cells for line in table.lines if not line.too_many and not _is_example(line, key)]


def _is_example(line: Line, key: str) -> bool:
    """Whether it is the template's own, whatever became of its other cells. `key`: the column that names a line."""
    return line.cells.get(key, "").casefold() == import_words.EXAMPLE


def _rows(upload: Upload) -> list[Row]:
    """Every line of the file, in its order."""
    planned = iter(upload.plan.lines)
    key = importing.COLUMNS[upload.kind][0]
    rows = []
    for line in upload.table.lines:
        if line.too_many:
            rows.append(Row(line.number, "error", "", wrong=import_words.too_many_cells()))
        elif _is_example(line, key):
            rows.append(Row(line.number, "example", import_words.EXAMPLE))
        else:
            rows.append(_row(line.number, upload.kind, next(planned)))
    return rows


def _row(number: int, kind: Kind, line: PlannedLine) -> Row:
    key = importing.COLUMNS[kind][0]
    # Whoever is new has the name that stands beside.
    told = [column for column in line.changes if not (line.action == "create" and column == key)]
    changes = tuple((import_words.column_name(kind, column), *line.changes[column]) for column in told)
    if line.refusal is None:
        return Row(number, line.action, line.name, changes)
    field = import_words.field_name(kind, line.refusal)
    return Row(number, line.action, line.name, changes, of_data(line.refusal), field)
