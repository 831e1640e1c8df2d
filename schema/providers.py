# ruff: noqa: S608  # The texts are made of this module's own words; every value is a parameter.
"""Identity providers: where people of a tenant may sign in besides here, and whom somebody who did so is here.

Somebody is found by what the provider calls him for ever (issuer and subject), or, before his first sign-in, by the
claim that his tenant's administrators chose; from then on that account is his alone.

Nobody becomes by a provider what its maker is not: whoever makes one has all rights of an administrator, and it vouches
for accounts with no more than these. One that an operator made vouches for everybody of the tenant, may be on the
inside of the network, and is changed by operators alone.

Not here: the protocol (`portal/openid.py`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from schema import checked
from schema.access import by_owner
from schema.audited import changing
from schema.columns import as_id, new_id
from schema.database import lookup, rows, unit
from schema.entries import By
from schema.ground import exclusively, own_tenant
from schema.models import Account as AccountRow
from schema.models import IdentityProvider
from schema.people import account
from schema.profiles import Named
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import EVERYTHING, READY_MADE, Reach, Role
from schema.sealing import seal, unseal
from schema.values import Account, Scope

MOST_SECRET: Final = 1024
_PLACE: Final = "identity_provider.client_secret.{}"
# On the machine itself: nothing on the way could read along.
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ADMINISTRATOR: Final = READY_MADE[Role.ADMINISTRATOR]
_PROVIDERS: Final = (
    "SELECT identity_provider.*, tenant.name AS tenant_name FROM identity_provider "
    "JOIN tenant ON tenant.id = identity_provider.tenant_id"
)
_IN_USE: Final = "identity_provider.enabled AND tenant.disabled_at IS NULL"
_COMMON_DOOR: Final = "tenant.hosts = '[]'"


class LoginClaim(StrEnum):
    """What a provider says of somebody, by which his account is found at his first sign-in."""

    USERNAME = "preferred_username"
    EMAIL = "email"
    SUBJECT = "sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFields:
    """`client_secret` is None to keep the one that is there, empty for none."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = None
    login_claim: LoginClaim = LoginClaim.USERNAME
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as it is shown: its secret never is. `platform`: an operator made it."""

    id: UUID
    tenant: Named
    fields: ProviderFields
    has_secret: bool
    platform: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What signing in with a provider takes, its secret included: for nobody's eyes."""

    id: UUID
    tenant: Named
    name: str
    issuer: str
    client_id: str
    client_secret: str
    login_claim: LoginClaim
    platform: bool


class Unmatched(StrEnum):
    """Why somebody whom a provider vouched for does not get in."""

    UNKNOWN = "unknown"
    SEVERAL = "several"
    OTHER_WAY = "other_way"
    OTHER_SUBJECT = "other_subject"
    BEYOND = "beyond"
    NO_ACCESS = "no_access"


@lookup
async def list_providers(scope: Scope) -> tuple[Provider, ...]:
    """Those that the scope reaches, by tenant and name."""
    where, values = _of(scope)
    order = "ORDER BY tenant.name, identity_provider.name"
    return tuple(map(_provider, await rows(f"{_PROVIDERS} WHERE {where} {order}", *values)))


@lookup
async def get_provider(scope: Scope, provider_id: UUID) -> Provider | None:
    """A provider; None where there is none, or where the scope does not reach it."""
    where, values = _of(scope)
    where += f" AND identity_provider.id = ${len(values) + 1}"
    found = await rows(f"{_PROVIDERS} WHERE {where}", *values, provider_id)
    return _provider(found[0]) if found else None


def may_change(by: By, provider: Provider | None = None) -> bool:
    """Whether he may make providers, or change and delete this one."""
    return by.grant.covers(EVERYTHING if provider is not None and provider.platform else _ADMINISTRATOR)


@unit
async def create_provider(by: By, fields: ProviderFields, tenant_id: UUID | None = None) -> Provider:
    """Errors: Refusal, NotThere (of the tenant); then nothing was made."""
    owner = await own_tenant(by, tenant_id)
    async with changing(by):
        await exclusively()
        _permitted(by)
        provider_id, platform = new_id(), by.grant.covers(EVERYTHING)
        columns = await _columns(platform, owner, fields, None)
        secret = seal(fields.client_secret or "", _PLACE.format(provider_id))
        await IdentityProvider.create(
            id=provider_id, tenant_id=owner, client_secret=secret, platform=platform, **columns
        )
        return await _reread(by, provider_id)


@unit
async def update_provider(by: By, provider_id: UUID, fields: ProviderFields) -> Provider:
    """Errors: Refusal, NotThere; then nothing was changed."""
    async with changing(by):
        await exclusively()
        old = await _reread(by, provider_id)
        _permitted(by, old)
        columns = await _columns(old.platform, old.tenant.id, fields, provider_id)
        elsewhere = (old.fields.issuer, old.fields.client_id) != (columns["issuer"], columns["client_id"])
        if elsewhere and old.has_secret and fields.client_secret is None:
            # Else whoever may change a provider could have the secret sent to himself.
            raise Refusal("secret_of_another", "client_secret")
        row = await IdentityProvider.select_for_update().get(id=provider_id)
        if fields.client_secret is not None:
            columns["client_secret"] = seal(fields.client_secret, _PLACE.format(provider_id))
        for column, value in columns.items():
            setattr(row, column, value)
        await row.save()
        return await _reread(by, provider_id)


@unit
async def delete_provider(by: By, provider_id: UUID) -> None:
    """Nobody signs in with it any more; who is signed in stays so. Errors: Refusal, NotThere."""
    async with changing(by):
        _permitted(by, await _reread(by, provider_id))
        row = await IdentityProvider.select_for_update().get(id=provider_id)
        await row.delete()


@lookup
async def doors(tenant_id: UUID | None, tenant: str = "") -> tuple[Named, ...]:
    """The providers that a sign-in page offers, to anybody: of a tenant, or, where the host name tells none, of the
    one that was named (`tenant`), or of the only one there is. Those that have a host name of their own have theirs
    there.

    Else each tenant's administrators could put a button before everybody, and strangers would read who is here.
    """
    where, values = _IN_USE, list[Any]()
    if tenant_id is not None:
        where, values = f"{where} AND tenant.id = $1", [tenant_id]
    elif tenant.strip():
        where, values = f"{where} AND {_COMMON_DOOR} AND tenant.name_key = $1", [checked.folded(clean(tenant.strip()))]
    else:
        where = f"{where} AND {_COMMON_DOOR} AND (SELECT count(*) FROM tenant WHERE disabled_at IS NULL) = 1"
    found = await rows(f"{_PROVIDERS} WHERE {where} ORDER BY identity_provider.name, identity_provider.id", *values)
    return tuple(Named(as_id(row["id"]), row["name"]) for row in found)


@lookup
async def has_doors() -> bool:
    """Whether some tenant without a host name has providers."""
    return bool(await rows(f"{_PROVIDERS} WHERE {_IN_USE} AND {_COMMON_DOOR} LIMIT 1"))


@lookup
async def client_of(provider_id: UUID) -> Client | None:
    """A provider that is enabled, and its secret: for who talks to it. Errors: NotReadable."""
    found = await rows(f"{_PROVIDERS} WHERE {_IN_USE} AND identity_provider.id = $1", provider_id)
    if not found:
        return None
    provider = _provider(found[0])
    return Client(
        id=provider_id,
        tenant=provider.tenant,
        name=provider.fields.name,
        issuer=provider.fields.issuer,
        client_id=provider.fields.client_id,
        client_secret=unseal(found[0]["client_secret"], _PLACE.format(provider_id)),
        login_claim=provider.fields.login_claim,
        platform=provider.platform,
    )


@unit
async def account_of(client: Client, subject: str, login: str, address: str) -> Account | Unmatched:
    """Whose account it is that the provider vouches for, or why nobody's.

    `subject`: what the provider calls him for ever; `login`: the value of the provider's `login_claim`, empty where it
    has none. At the first sign-in the account becomes his. `address`: of his browser.
    """
    external_id = f"{client.issuer}#{subject}"
    if clean(external_id) != external_id or clean(login) != login:
        return Unmatched.UNKNOWN  # no database would take it
    found = await _named(client, external_id, login)
    if isinstance(found, Unmatched):
        return found
    if not found.may_sign_in:
        return Unmatched.NO_ACCESS
    if not (client.platform or _ADMINISTRATOR.covers(found.grant)):
        return Unmatched.BEYOND
    async with changing(by_owner(found, address)):
        row = await AccountRow.select_for_update().get(id=found.id)
        if row.external_id not in ("", external_id):
            return Unmatched.OTHER_SUBJECT
        row.external_id = external_id
        await row.save()
    return found


async def _named(client: Client, external_id: str, login: str) -> Account | Unmatched:
    ids = await rows(
        "SELECT id FROM account WHERE tenant_id = $1 AND external_id = $2 LIMIT 2", client.tenant.id, external_id
    )
    if not ids and login:
        column = "lower(email) = lower($2)" if client.login_claim is LoginClaim.EMAIL else "login_key = $2"
        name = login if client.login_claim is LoginClaim.EMAIL else checked.folded(login)
        ids = await rows(f"SELECT id FROM account WHERE tenant_id = $1 AND {column} LIMIT 2", client.tenant.id, name)
    if not ids:
        return Unmatched.UNKNOWN
    if len(ids) > 1:
        return Unmatched.SEVERAL
    found = await account(as_id(ids[0]["id"]))
    if found is None:
        return Unmatched.UNKNOWN
    return found if found.authentication == "oidc" else Unmatched.OTHER_WAY


def _permitted(by: By, provider: Provider | None = None) -> None:
    if not may_change(by, provider):
        raise Refusal("operators_provider" if by.grant.covers(_ADMINISTRATOR) else "provider_beyond_you")


async def _columns(platform: bool, tenant_id: UUID, fields: ProviderFields, provider_id: UUID | None) -> dict[str, Any]:
    """Errors: Refusal."""
    name = checked.text(fields.name, "name")
    others = await rows("SELECT id, name FROM identity_provider WHERE tenant_id = $1", tenant_id)
    if any(checked.folded(row["name"]) == checked.folded(name) and as_id(row["id"]) != provider_id for row in others):
        raise Refusal("provider_taken", "name", name=name)
    if len(fields.client_secret or "") > MOST_SECRET:
        raise Refusal("text_refused", "client_secret", most=MOST_SECRET)
    return {
        "name": name,
        "issuer": _issuer(platform, fields.issuer),
        "client_id": checked.text(fields.client_id, "client_id"),
        "login_claim": str(fields.login_claim),
        "enabled": fields.enabled,
    }


def _issuer(platform: bool, given: str) -> str:
    """An issuer's address (OpenID Connect Discovery 1.0 section 3). Errors: Refusal."""
    issuer = checked.text(given, "issuer")
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Refusal("issuer_refused", "issuer", issuer=issuer) from None
    # What runs on this machine is its operator's: an administrator could make us talk to it.
    allowed = parts.scheme == "https" and host not in LOOPBACK
    if host in LOOPBACK and parts.scheme in ("http", "https"):
        allowed = platform
    odd = parts.query or parts.fragment or parts.username is not None or parts.password is not None
    if not (allowed and host) or odd or any(character.isspace() for character in issuer):
        raise Refusal("issuer_refused", "issuer", issuer=issuer)
    return issuer


async def _reread(by: By, provider_id: UUID) -> Provider:
    found = await get_provider(by.scope, provider_id)
    if found is None:
        raise NotThere
    return found


def _of(scope: Scope) -> tuple[str, list[Any]]:
    """A condition, and its parameter: whoever reaches less than a tenant has nothing to do with providers."""
    if scope.reach is Reach.PLATFORM:
        return "TRUE", []
    return ("tenant.id = $1", [scope.tenant_id]) if scope.reach is Reach.TENANT else ("FALSE", [])


def _provider(row: dict[str, Any]) -> Provider:
    return Provider(
        id=as_id(row["id"]),
        tenant=Named(as_id(row["tenant_id"]), row["tenant_name"]),
        fields=ProviderFields(
            name=row["name"],
            issuer=row["issuer"],
            client_id=row["client_id"],
            login_claim=LoginClaim(row["login_claim"]),
            enabled=bool(row["enabled"]),
        ),
        has_secret=bool(row["client_secret"]),
        platform=bool(row["platform"]),
    )
