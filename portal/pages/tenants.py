"""Tenants, for operators: the list, a tenant with what it uses of its limits, its form, and looking at one alone.

Not here: how a tenant's own administrators change its look (`appearance.py`), which tenant an operator looks at
(`gate.py`).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import format_decimal, gettext, pgettext

from portal import gate, language
from portal.accent import accent
from portal.errors import by_script
from portal.finding import silent_nodes
from portal.forms import Form, filled, submitted
from portal.language import size
from portal.pages import inherited, lists, owners, paging, stale, trail
from portal.pages.appearance import told
from portal.pages.deeds import done
from portal.pages.people_words import language_name
from schema import calls, tenants
from schema.checked import MOST_CHARACTERS
from schema.profiles import Tenant, TenantFields
from schema.refusals import Refusal
from schema.roles import Reach, Role
from schema.values import CallStage, Scope

# Each costs a count of its calls.
ROWS: Final = 20
COUNT_TO: Final = 10_000
RUNNING: Final = (CallStage.ACTIVE, CallStage.UNREACHABLE)
# From this share of a limit on, a page warns.
NEARLY: Final = 0.9
MB: Final = 1_000_000
# MB in each unit that a limit of storage is written in.
UNITS: Final = {"MB": 1, "GB": 1000, "TB": 1_000_000}
MOST: Final = (1 << 31) - 1
# Characters of all host names together, and what people write between two.
MOST_HOSTS: Final = 4000
BETWEEN_HOSTS: Final = re.compile(r"[\s,;]+")

blueprint: Final = Blueprint("tenants", __name__)


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is used; `most` is None where there is none. Both are also there as texts."""

    used: int
    most: int | None
    used_text: str
    most_text: str

    @property
    def percent(self) -> int:
        """At most 100, for a bar."""
        return min(100, round(100 * self.used / self.most)) if self.most else 0

    @property
    def state(self) -> str:
        """`over` a limit or at it, `near` it, or neither."""
        if self.most is None or self.used < NEARLY * self.most:
            return ""
        return "over" if self.used >= self.most else "near"


@dataclass(frozen=True, slots=True)
class Row:
    """A tenant in the list, with what it uses."""

    tenant: Tenant
    users: Use
    storage: Use
    calls: Use


@blueprint.get("/administration/tenants")
async def index() -> str:
    """The tenants, by name; for scripts the table alone."""
    text, here = request.args.get("q", "").strip(), paging.at_hand()
    found = await lists.asked(
        tenants.list_tenants(owners.everything(), text=text, status=lists.status(), limit=ROWS, cursor=here.cursor)
    )
    silent = await silent_nodes()
    older, newer = here.links("tenants.index", len(found.items), found.next, q=text, status=lists.kept_status())
    return await render_template(
        "tenants/table.html" if by_script() else "tenants/index.html",
        rows=[await _row(tenant, silent) for tenant in found.items],
        q=text,
        status=lists.kept_status(),
        statuses=lists.status_options(),
        older=older,
        newer=newer,
    )


@blueprint.route("/administration/tenants/new", methods=["GET", "POST"])
async def new() -> Any:
    """A form for a tenant that is not there yet."""
    if request.method == "GET":
        return await _form(filled(storage_unit="GB"))
    form = await submitted()
    fields = _read(form)
    if form.ok:
        try:
            made = await tenants.create_tenant(gate.by(), fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(
                gettext("The tenant %(name)s was created. Nobody can sign in to it yet.", name=made.fields.name)
            )
            return redirect(url_for("tenants.show", tenant_id=made.id), 303)
    return await _form(form), 422


@blueprint.get("/administration/tenants/<uuid:tenant_id>")
async def show(tenant_id: UUID) -> str:
    """A tenant, and what it uses of its limits."""
    tenant = await _tenant(tenant_id)
    return await render_template(
        "tenants/show.html",
        row=await _row(tenant, await silent_nodes()),
        tenant=tenant,
        language=inherited.own_language(tenant.fields.language, tenant.inherited_language),
        time_zone=inherited.own_zone(tenant.fields.time_zone, tenant.inherited_time_zone),
        role=Role.ADMINISTRATOR,
        # Whoever looks at one tenant adds people to that one.
        may_add=owners.across_tenants() or gate.scope().tenant_id == tenant_id,
        **await trail.about(tenant_id, owners.everything()),
    )


@blueprint.route("/administration/tenants/<uuid:tenant_id>/edit", methods=["GET", "POST"])
async def edit(tenant_id: UUID) -> Any:
    """A form with the tenant's fields."""
    tenant = await _tenant(tenant_id)
    stored = tenant.fields
    if request.method == "GET":
        return await _form(_filled(stored), tenant)
    form = await submitted()
    fields = _read(form)
    if not stale.check(form, stored):
        return await _form(form, tenant, differences=_differences(stored, fields)), stale.CONFLICT
    if form.ok:
        try:
            await tenants.update_tenant(gate.by(), tenant_id, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            return redirect(url_for("tenants.show", tenant_id=tenant_id), 303)
    return await _form(form, tenant), 422


@blueprint.post("/administration/tenants/<uuid:tenant_id>/disable")
async def disable(tenant_id: UUID) -> Any:
    """Nobody of the tenant is signed in any more, or can sign in."""
    name = (await _tenant(tenant_id)).fields.name
    told = gettext("The tenant %(name)s is disabled: all its sessions have ended.", name=name)
    return await done(tenants.disable_tenant(gate.by(), tenant_id), told, url_for("tenants.show", tenant_id=tenant_id))


@blueprint.post("/administration/tenants/<uuid:tenant_id>/enable")
async def enable(tenant_id: UUID) -> Any:
    """Its people can sign in again."""
    name = (await _tenant(tenant_id)).fields.name
    told = gettext("The tenant %(name)s is enabled: its people can sign in again.", name=name)
    return await done(tenants.enable_tenant(gate.by(), tenant_id), told, url_for("tenants.show", tenant_id=tenant_id))


@blueprint.post("/tenant")
async def enter() -> Any:
    """Looks at one tenant alone, as its administrators do, or at all again where none is named."""
    given = (await request.form).get("tenant", "")
    if not given:
        gate.look_at(None)
        return redirect(url_for("tenants.index"), 303)
    try:
        tenant = await _tenant(UUID(given))
    except ValueError:
        abort(404)
    gate.look_at(tenant.id)
    await flash(gettext("You look at %(name)s alone now.", name=tenant.fields.name))
    return redirect("/", 303)


async def _tenant(tenant_id: UUID) -> Tenant:
    return await tenants.get_tenant(owners.everything(), tenant_id) or abort(404)


async def _row(tenant: Tenant, silent: Collection[str]) -> Row:
    fields = tenant.fields
    scope = Scope(tenant.id, gate.account().id, Reach.TENANT, confidential=True)
    running = await calls.count_calls(scope, stages=RUNNING, silent_nodes=silent, cap=COUNT_TO)
    return Row(
        tenant,
        _use(tenant.users, fields.max_users),
        Use(
            tenant.stored_bytes,
            None if fields.max_storage_mb is None else fields.max_storage_mb * MB,
            size(tenant.stored_bytes),
            "" if fields.max_storage_mb is None else size(fields.max_storage_mb * MB),
        ),
        _use(running, fields.max_calls),
    )


def _use(used: int, most: int | None) -> Use:
    return Use(used, most, format_decimal(used), "" if most is None else format_decimal(most))


def _filled(fields: TenantFields) -> Form:
    unit, storage = _in_unit(fields.max_storage_mb)
    form = filled(
        name=fields.name,
        hosts="\n".join(fields.hosts),
        colour=fields.colour,
        language=fields.language,
        time_zone=fields.time_zone,
        max_users=fields.max_users,
        max_storage_mb=storage,
        storage_unit=unit,
        max_calls=fields.max_calls,
    )
    form.values[stale.FIELD] = [stale.version(fields)]
    return form


def _in_unit(megabytes: int | None) -> tuple[str, int | None]:
    """The largest unit in which a limit is a whole number."""
    if megabytes is None:
        return "GB", None
    unit = next(name for name in reversed(UNITS) if megabytes % UNITS[name] == 0)
    return unit, megabytes // UNITS[unit]


def _read(form: Form) -> TenantFields:
    unit = form.choice("storage_unit", UNITS)
    storage = form.number("max_storage_mb", least=1, most=MOST // UNITS.get(unit, 1))
    return TenantFields(
        name=form.text("name", most=MOST_CHARACTERS, required=True),
        hosts=tuple(filter(None, BETWEEN_HOSTS.split(form.text("hosts", most=MOST_HOSTS, lines=True)))),
        colour=form.text("colour", most=7),
        language=form.choice("language", ["", *language.LANGUAGES]),
        time_zone=form.choice("time_zone", ["", *language.ZONES]),
        max_users=form.number("max_users", least=1, most=MOST),
        max_storage_mb=None if storage is None else storage * UNITS.get(unit, 1),
        max_calls=form.number("max_calls", least=1, most=MOST),
    )


async def _form(form: Form, tenant: Tenant | None = None, *, differences: Sequence[stale.Difference] = ()) -> str:
    return await render_template(
        "tenants/edit.html",
        f=form,
        tenant=tenant,
        differences=differences,
        told=told(form.get("colour")),
        shades=accent(form.get("colour")),
        languages=inherited.language_options(),
        zones=inherited.zone_options(),
        inherited_language=inherited.told_language(tenant.inherited_language) if tenant else "",
        inherited_zone=inherited.told_zone(tenant.inherited_time_zone) if tenant else "",
        units=[("MB", gettext("MB")), ("GB", gettext("GB")), ("TB", gettext("TB"))],
    )


def _differences(stored: TenantFields, given: TenantFields) -> list[stale.Difference]:
    def limit(value: int | None) -> str:
        return gettext("Unlimited") if value is None else format_decimal(value)

    def storage(value: int | None) -> str:
        return gettext("Unlimited") if value is None else size(value * MB)

    return stale.differences(
        (
            (pgettext("of a thing", "Name"), stored.name, given.name),
            (gettext("Host names"), ", ".join(stored.hosts), ", ".join(given.hosts)),
            (gettext("Colour"), stored.colour, given.colour),
            (gettext("Language"), language_name(stored.language), language_name(given.language)),
            (gettext("Time zone"), stored.time_zone, given.time_zone),
            (gettext("Users"), limit(stored.max_users), limit(given.max_users)),
            (gettext("Storage"), storage(stored.max_storage_mb), storage(given.max_storage_mb)),
            (gettext("Concurrent calls"), limit(stored.max_calls), limit(given.max_calls)),
        )
    )
