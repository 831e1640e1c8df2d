"""The list of calls: `/calls`, newest first, all of them or those that run.

A page of the list is known by the cursors that led to it, the last one its own: so Newer needs no query of its own.
Scripts get the table alone, which they put in place of the one that is shown.

Not here: what a row says (`presentation.py`), who may see which call (the queries, by scope).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from quart import Blueprint, abort, render_template, request, url_for

from portal import gate
from portal.config import portal
from portal.errors import by_script
from portal.finding import note_running, silent_nodes
from portal.pages import presentation, texts
from schema import calls, roster, users
from schema.profiles import Named
from schema.roles import Role
from schema.values import CallRecord, CallStage, CallView

ROWS: Final = 20
# Counting goes no further: past this the list says "many".
COUNT_TO: Final = 1000
# An address stays short enough for every proxy; who goes further back has the browser's own way.
MOST_CURSORS: Final = 30
ANY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
SIP_PORT: Final = 5060

VIEWS: Final[Mapping[str, tuple[CallStage, ...]]] = {"all": (), "active": (CallStage.ACTIVE, CallStage.UNREACHABLE)}

blueprint = Blueprint("calls", __name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list. `ticks`: its duration grows while it is shown."""

    id: UUID
    record: CallRecord
    state: presentation.State
    ticks: bool
    users: list[Named]
    caller: presentation.Party
    callee: presentation.Party
    at: datetime
    began: datetime
    duration: str
    confidential: bool


@blueprint.get("/calls")
async def index() -> str:
    """The list, or for scripts its table."""
    view, user_id = request.args.get("view", "all"), request.args.get("user", type=UUID)
    if view not in VIEWS:
        abort(404)
    cursors = request.args.getlist("cursor")
    at = max(0, request.args.get("at", 0, type=int))
    silent = await silent_nodes()
    scope, stages = gate.scope(), VIEWS[view]
    try:
        page = await calls.list_calls(
            scope,
            stages=stages,
            user_id=user_id,
            limit=ROWS,
            cursor=cursors[-1] if cursors else None,
            silent_nodes=silent,
        )
    except ValueError:
        abort(404)
    note_running(page.calls)
    total = await calls.count_calls(scope, stages=stages, user_id=user_id, silent_nodes=silent, cap=COUNT_TO)
    return await render_template(
        "calls/table.html" if by_script() else "calls/list.html",
        view=view,
        user=await users.get_user(scope, user_id) if user_id is not None and not by_script() else None,
        at=at,
        rows=[row_of(call) for call in page.calls],
        linked=await with_pages(page.calls),
        total=total if total < COUNT_TO else None,
        here=_address(view, user_id, cursors, at),
        older=_address(view, user_id, [*cursors, page.next], at + ROWS) if page.next is not None else "",
        newer=_address(view, user_id, cursors[:-1], at - ROWS) if cursors else "",
        texts=texts.of_requests(),
        sip_address=_sip_address() if gate.account().role is Role.ADMINISTRATOR else "",
    )


def row_of(call: CallView) -> Row:
    """A call as a line of a list."""
    record, state = call.record, presentation.state(call)
    return Row(
        id=record.id,
        record=record,
        state=state,
        ticks=state in ("recording", "paused"),
        users=presentation.users(call),
        caller=presentation.party(call, "caller"),
        callee=presentation.party(call, "callee"),
        at=record.started_at,
        began=presentation.began(record),
        duration="" if record.duration_s is None else presentation.duration(record.duration_s),
        confidential=call.confidential,
    )


async def with_pages(views: Sequence[CallView]) -> frozenset[UUID]:
    """The users of these calls whose pages the one who asks may open."""
    if not gate.may_call("users.show"):
        return frozenset()
    return await roster.in_reach(gate.scope(), sorted({one.id for call in views for one in presentation.users(call)}))


def _address(view: Literal["all", "active"] | str, user_id: UUID | None, cursors: list[str], at: int) -> str:
    """Where a page of the list is; nothing that is as it would be anyway stands in it."""
    kept = cursors[-MOST_CURSORS:]
    return url_for(
        "calls.index",
        view=view if view != "all" else None,
        user=user_id,
        cursor=kept or None,
        at=at if kept and at > 0 else None,
    )


def _sip_address() -> str:
    """Where phone systems send calls, as far as the portal can know: people reach both on the same host."""
    host, port = portal().config.sip_bind
    if host in ANY_ADDRESS:
        host = request.host.rpartition(":")[0] or request.host
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"sip:{bracketed}" if port == SIP_PORT else f"sip:{bracketed}:{port}"
