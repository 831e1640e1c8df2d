"""Administration > Maintenance > Audit trail: the list, one entry, and the list as a file.

Everything that is asked for stands in the address. A filter by a user, or by anything else (`about`), finds what was
done to it and what it did.

Not here: words (`audit_words.py`, `audit_fields.py`), what pages of other things show of the trail (`trail.py`).
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from quart import Blueprint, Response, abort, render_template, request
from quart_babel import gettext

from portal import csv_files, gate
from portal.errors import by_script
from portal.language import zone
from portal.pages import audit_fields, audit_words, lists, owners, paging, texts
from schema import audit, users
from schema.audit import Filters
from schema.entries import Action, Entry, Resource
from schema.roles import Reach
from schema.values import Scope

MOST_TYPED: Final = 200
# In the address, in the order of the form.
ASKED: Final = ("q", "since", "until", "initiator", "resource", "action", "tenant", "about")
# Programs read these: they are the same in every language.
COLUMNS: Final = (
    *("time", "initiator_login", "initiator_name", "initiator_id", "client_address", "application"),
    *("tenant_id", "tenant", "resource", "action", "related_id", "related_name", "details", "modified", "unchanged"),
    *("number", "erased", "id"),
)

Word = TypeVar("Word", Resource, Action)

blueprint: Final = Blueprint("audit", __name__, url_prefix="/administration/maintenance/audit-trail")

blueprint.add_app_template_filter(audit_words.initiator, "audit_initiator")
blueprint.add_app_template_filter(audit_words.sentence, "audit_sentence")


@blueprint.get("")
async def index() -> str:
    """The entries, newest first; for scripts the table alone."""
    here, kept = paging.at_hand(), _kept()
    scope = _scope(kept)
    filters, wrong = await _filters(scope, kept)
    found = await lists.asked(audit.list_entries(scope, filters, limit=lists.ROWS, cursor=here.cursor))
    older, newer = here.links("audit.index", lists.ROWS, found.next, **kept)
    table = {
        "entries": () if wrong else found.items,
        "wrong": wrong,
        "older": "" if wrong else older,
        "newer": newer,
        "filtered": any(kept.values()) or bool(here.cursors),
        "kept": kept,
        "words": audit_words,
        "all_tenants": owners.across_tenants(),
    }
    if by_script():
        return await render_template("audit/table.html", **table)
    return await render_template(
        "audit/index.html",
        texts=texts.of_requests(),
        resources=_options(gettext("Every resource"), audit_words.RESOURCES),
        actions=_options(gettext("Every action"), audit_words.ACTIONS),
        tenants=await _tenants(),
        **table,
    )


@blueprint.get("/<uuid:entry_id>")
async def show(entry_id: UUID) -> str:
    """One entry, with all that is known of it."""
    entry = await audit.get_entry(gate.scope(), entry_id) or abort(404)
    return await render_template(
        "audit/show.html",
        entry=entry,
        words=audit_words,
        fields=audit_fields,
        all_tenants=owners.across_tenants(),
        all_fields=request.args.get("fields") == "all",
    )


@blueprint.get("/export.csv")
async def export_csv() -> Response:
    """The entries of the list, with its filters, as a CSV file."""
    return await _exported("csv", "text/csv; charset=utf-8", _csv)


@blueprint.get("/export.jsonl")
async def export_jsonl() -> Response:
    """The same as JSON Lines: an object a line."""
    return await _exported("jsonl", "application/jsonl; charset=utf-8", _jsonl)


async def _exported(ending: str, content_type: str, made: Any) -> Response:
    kept = _kept()
    scope = _scope(kept)
    filters, wrong = await _filters(scope, kept)
    if wrong:
        abort(404)
    # What is written after this is not in the file, and so the file does not tell of itself.
    filters = replace(filters, until=min(filters.until or datetime.max.replace(tzinfo=UTC), datetime.now(UTC)))
    told = {"format": ending, **{name: value for name, value in kept.items() if value}}
    await audit.note(gate.by(), Resource.AUDIT, Action.EXPORT, tenant_id=scope.tenant_id, details=told)
    name = f"audit-trail-{datetime.now(UTC):%Y-%m-%d}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(made(scope, filters), headers=headers, content_type=content_type)


async def _csv(scope: Scope, filters: Filters) -> AsyncIterator[bytes]:
    yield csv_files.MARK + csv_files.write([COLUMNS])
    async for entries in audit.export_entries(scope, filters):
        rows = [[_cell(value) for value in exported(entry).values()] for entry in entries]
        yield csv_files.write(rows)


async def _jsonl(scope: Scope, filters: Filters) -> AsyncIterator[bytes]:
    async for entries in audit.export_entries(scope, filters):
        yield "".join(json.dumps(exported(entry), ensure_ascii=False) + "\n" for entry in entries).encode()


def exported(entry: Entry) -> dict[str, Any]:
    """An entry as files have it, by column."""
    values = (
        entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        *(entry.initiator_login, entry.initiator_name, _id(entry.initiator_id), entry.address, str(entry.application)),
        *(_id(entry.tenant_id), entry.tenant, str(entry.resource), str(entry.action)),
        *(str(entry.about.id), entry.about.name, entry.details),
        {name: {"old": old, "new": new} for name, (old, new) in entry.fields.items()},
        *(entry.unchanged, entry.number, entry.erased, str(entry.id)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | bool) else str(value)


def _id(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _kept() -> dict[str, str]:
    """What the address asks for."""
    return {name: request.args.get(name, "").strip()[:MOST_TYPED] for name in ASKED}


def _scope(kept: dict[str, str]) -> Scope:
    """What is looked through: all in reach, or one tenant of several."""
    scope = gate.scope()
    if not kept["tenant"] or not owners.across_tenants():
        return scope
    try:
        return replace(scope, tenant_id=UUID(kept["tenant"]), reach=Reach.TENANT)
    except ValueError:
        abort(404)


async def _tenants() -> list[tuple[str, str]]:
    """What the filter by tenant offers; nothing to who looks at one alone."""
    offered = await owners.choices()
    return [("", gettext("Every tenant")), *offered] if offered else []


async def _filters(scope: Scope, kept: dict[str, str]) -> tuple[Filters, str]:
    """The same for the database, and a sentence where a date is none. What no filter offers is not found."""
    about = user = None
    initiator = kept["initiator"]
    try:
        about = UUID(kept["about"]) if kept["about"] else None
        resource = _known(Resource, kept["resource"])
        action = _known(Action, kept["action"])
    except ValueError:
        abort(404)
    if initiator:
        found = await users.get_by_login(scope, initiator)
        if found is not None:
            user, initiator = found.id, ""
    try:
        since, until = _midnight(kept["since"]), _midnight(kept["until"], days=1)
    except (ValueError, OverflowError):
        since = until = None
        wrong = gettext("This is no date. Write dates as year-month-day, such as 2026-03-31.")
    else:
        wrong = ""
    return Filters(
        since=since,
        until=until,
        # What was asked about an object is also what it did itself, if it is a user.
        user_id=about if user is None else user,
        about_id=None if user is None else about,
        initiator=initiator,
        resource=resource,
        action=action,
        text=kept["q"],
    ), wrong


def _midnight(given: str, days: int = 0) -> datetime | None:
    """The beginning of a day, or of one so many `days` after it, where the reader is. Errors: ValueError."""
    if not given:
        return None
    day = date.fromisoformat(given) + timedelta(days=days)
    return datetime.combine(day, time(), ZoneInfo(zone())).astimezone(UTC)


def _options(every: str, words: Any) -> list[tuple[str, str]]:
    return [("", every), *sorted(((str(one), told()) for one, told in words.items()), key=lambda option: option[1])]


def _known(words: type[Word], asked: str) -> Word | None:
    """The word that is asked for. Errors: ValueError, where the trail knows no such one."""
    if asked and asked not in words.__members__.values():
        raise ValueError(asked)
    return words(asked) if asked else None
