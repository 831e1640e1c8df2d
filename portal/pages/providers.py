"""Single sign-on: a tenant's identity providers, a form for each, and a test that asks one what it says of itself.

Not here: signing in with them (`portal/oidc.py`).
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext

from portal import gate, oidc
from portal.forms import Form, filled, submitted
from portal.openid import ALGORITHMS, Discovered, OpenIdError, Trouble
from portal.pages import owners, trail
from portal.pages.deeds import done
from schema import providers, tenants
from schema.checked import MOST_CHARACTERS
from schema.providers import MOST_SECRET, LoginClaim, Provider, ProviderFields
from schema.refusals import Refusal

blueprint: Final = Blueprint("providers", __name__, url_prefix="/administration/sign-in")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a test found: what the provider says of itself and how many keys it signs with, or what is wrong."""

    found: Discovered | None = None
    keys: int = 0
    sentence: str = ""
    words: str = ""


@blueprint.get("")
async def index() -> str:
    """The providers, by tenant and name."""
    return await render_template(
        "providers/index.html",
        providers=await providers.list_providers(gate.scope()),
        addresses=await _addresses(gate.account().tenant_id if owners.across_tenants() else gate.scope().tenant_id),
        claims=_claims(),
        may_add=providers.may_change(gate.by()),
        all_tenants=owners.across_tenants(),
    )


@blueprint.route("/new", methods=["GET", "POST"])
async def new() -> Any:
    """A form for a provider that is not there yet."""
    offered = await owners.choices()
    if request.method == "GET":
        proposed = owners.proposed(request.args.get("tenant", ""), offered)
        return await _form(filled(tenant=proposed, login_claim=LoginClaim.USERNAME, enabled=True), offered=offered)
    form = await submitted()
    fields, tenant_id = _read(form), owners.chosen(form, offered)
    if form.ok:
        try:
            made = await providers.create_provider(gate.by(), fields, tenant_id=tenant_id)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            told = gettext("%(name)s was added. Test it before people rely on it.", name=made.fields.name)
            await flash(told)
            return redirect(url_for("providers.edit", provider_id=made.id), 303)
    return await _form(form, offered=offered), 422


@blueprint.route("/<uuid:provider_id>", methods=["GET", "POST"])
async def edit(provider_id: UUID) -> Any:
    """A form with the provider's fields."""
    provider = await _provider(provider_id)
    if request.method == "GET":
        return await _form(_filled(provider), provider)
    form = await submitted()
    fields = _read(form)
    if form.ok:
        try:
            await providers.update_provider(gate.by(), provider_id, fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await flash(gettext("Saved."))
            return redirect(url_for("providers.edit", provider_id=provider_id), 303)
    return await _form(form, provider), 422


@blueprint.post("/<uuid:provider_id>/test")
async def test(provider_id: UUID) -> Any:
    """Asks the provider what it says of itself, and tells."""
    provider = await _provider(provider_id)
    try:
        found = await oidc.openid().discovered(provider.fields.issuer, inside=provider.platform, anew=True)
        keys = await oidc.openid().keys(found, anew=True)
        trial = Trial(found, sum(key.get("kty") in _KINDS for key in keys))
    except OpenIdError as error:
        trial = Trial(sentence=SENTENCES[error.trouble](), words=error.words)
    return await _form(_filled(provider), provider, trial=trial)


@blueprint.post("/<uuid:provider_id>/delete")
async def delete(provider_id: UUID) -> Any:
    """Nobody signs in with it any more."""
    name = (await _provider(provider_id)).fields.name
    return await done(
        providers.delete_provider(gate.by(), provider_id),
        gettext("%(name)s was deleted.", name=name),
        url_for("providers.index"),
        otherwise=url_for("providers.edit", provider_id=provider_id),
    )


async def _provider(provider_id: UUID) -> Provider:
    return await providers.get_provider(gate.scope(), provider_id) or abort(404)


def _filled(provider: Provider) -> Form:
    fields = provider.fields
    return filled(
        name=fields.name,
        issuer=fields.issuer,
        client_id=fields.client_id,
        login_claim=fields.login_claim,
        enabled=fields.enabled,
    )


def _read(form: Form) -> ProviderFields:
    secret = form.secret("client_secret", most=MOST_SECRET)
    claim = form.choice("login_claim", list(LoginClaim))
    return ProviderFields(
        name=form.text("name", most=MOST_CHARACTERS, required=True),
        issuer=form.text("issuer", most=MOST_CHARACTERS, required=True),
        client_id=form.text("client_id", most=MOST_CHARACTERS, required=True),
        client_secret="" if form.checked("no_secret") else secret or None,
        login_claim=LoginClaim(claim) if claim in list(LoginClaim) else LoginClaim.USERNAME,
        enabled=form.checked("enabled"),
    )


async def _form(
    form: Form, provider: Provider | None = None, *, offered: owners.Choices = (), trial: Trial | None = None
) -> str:
    tenant_id = provider.tenant.id if provider is not None else gate.scope().tenant_id
    return await render_template(
        "providers/edit.html",
        f=form,
        provider=provider,
        tenants=offered,
        claims=list(_claims().items()),
        addresses=await _addresses(tenant_id),
        trial=trial,
        may_change=providers.may_change(gate.by(), provider),
        all_tenants=owners.across_tenants(),
        **(await trail.about(provider.id) if provider is not None else {"entries": None, "about_id": None}),
    )


async def _addresses(tenant_id: UUID) -> list[str]:
    """What is to be entered at the provider: an address for each of the tenant's host names, else the portal's own."""
    tenant = await tenants.get_tenant(gate.scope(), tenant_id)
    port = request.headers.get("Host", "").rpartition(":")[2]
    suffix = f":{port}" if port.isdecimal() else ""
    hosts = tenant.fields.hosts if tenant is not None else ()
    return [oidc.redirect_uri(host + suffix) for host in hosts] or [oidc.redirect_uri()]


def _claims() -> dict[str, str]:
    return {
        LoginClaim.USERNAME: gettext("User name (preferred_username) is the login"),
        LoginClaim.EMAIL: gettext("Verified mail address (email) is the mail address"),
        LoginClaim.SUBJECT: gettext("Subject (sub) is the login"),
    }


_KINDS: Final = frozenset(kind.key_type for kind in ALGORITHMS.values())

SENTENCES: Final = {
    Trouble.AWAY: lambda: gettext("The provider does not answer. Check the issuer, and that this server may reach it."),
    Trouble.ANSWER: lambda: gettext(
        "There is no OpenID Connect provider at this address. Copy the issuer from the provider's own pages."
    ),
    Trouble.INSIDE: lambda: gettext(
        "This address is on the inside of this network. Only a provider that an operator of the platform adds may be "
        "there."
    ),
    Trouble.ISSUER: lambda: gettext(
        "The provider calls itself otherwise. Enter the issuer exactly as it is told below, to the last slash."
    ),
    Trouble.INCOMPLETE: lambda: gettext("The provider lacks an address that signing in takes, or it is not safe."),
    Trouble.REFUSED: lambda: gettext("The provider refused."),
    Trouble.TOKEN: lambda: gettext("What the provider sent could not be verified."),
}
