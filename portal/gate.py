"""The one gate: who may call which endpoint. Every request and every websocket passes it before anything else.

Below /api a bearer token counts before the cookie. A request that changes something needs its session's CSRF token
when it comes with a cookie, a websocket with a cookie needs our own origin. An endpoint without a line in TABLE keeps
the portal from starting.

Who must change his password may do that, and nothing else before. An operator may look at one tenant alone; his scope
is that tenant's then, and a form that he opened before changes nothing in it.

What one may not see is "not found" and comes from the queries, which take the `Scope` given here; what one's role
does not permit is "not permitted" and comes from here.

Not here: cookies and tokens themselves (`sessions.py`).
"""

import hashlib
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from quart import Quart, Response, g, redirect, request, session, websocket
from quart_babel import gettext

from portal import sessions
from portal.config import portal
from portal.errors import API, Problem, another_tenant, answer, by_script, forbidden
from portal.proxy import at_hand, client_address, origins
from schema import access
from schema.entries import Application, By
from schema.roles import Grant, Permission, Reach
from schema.values import Account, Scope


class Open(Enum):
    """What needs no permission."""

    PUBLIC = "everybody"
    SIGNED_IN = "everybody who is signed in"


# What an endpoint needs; of several permissions, all.
Need = Permission | frozenset[Permission] | Open

# A provider says who people are, so arranging one is more than a setting.
ARRANGE_SIGN_IN: Final = frozenset({Permission.MANAGE_SETTINGS, Permission.MANAGE_USERS})

TABLE: Final[Mapping[str, Need]] = {
    "static": Open.PUBLIC,
    "health": Open.PUBLIC,
    "home": Open.SIGNED_IN,
    "signin.form": Open.PUBLIC,
    "signin.enter": Open.PUBLIC,
    "signin.tenant": Open.PUBLIC,
    "signin.code": Open.PUBLIC,
    "signin.leave": Open.SIGNED_IN,
    "password.forgot": Open.PUBLIC,
    "password.set": Open.PUBLIC,
    "calls.index": Permission.VIEW_CALLS,
    "calls.show": Permission.VIEW_CALLS,
    "calls.confidential": frozenset({Permission.VIEW_CONFIDENTIAL, Permission.MANAGE_USERS}),
    "listening.listen": Permission.LIVE_MONITOR,
    "listening.listen_by_token": Permission.LIVE_MONITOR,
    "listening.levels": Permission.LIVE_MONITOR,
    "audio.play": Permission.PLAY,
    "audio.download": Permission.DOWNLOAD,
    "audio.peaks": Permission.PLAY,
    "api.openapi": Open.PUBLIC,
    "api.list_calls": Permission.VIEW_CALLS,
    "api.get_call": Permission.VIEW_CALLS,
    "api.audio": Permission.DOWNLOAD,
    "api.change_recording": Permission.PAUSE,
    # Refused to whom nothing of it is open.
    "administration.index": Open.SIGNED_IN,
    "own.language": Open.SIGNED_IN,
    "own.password": Open.SIGNED_IN,
    "own.security": Open.SIGNED_IN,
    "own.end_session": Open.SIGNED_IN,
    "own.end_other_sessions": Open.SIGNED_IN,
    "own.totp_begin": Open.SIGNED_IN,
    "own.totp_confirm": Open.SIGNED_IN,
    "own.totp_end": Open.SIGNED_IN,
    "own.recovery_codes": Open.SIGNED_IN,
    "own.add_token": Open.SIGNED_IN,
    "own.revoke_token": Open.SIGNED_IN,
    "customization.language": Permission.MANAGE_SETTINGS,
    "customization.appearance": Permission.MANAGE_SETTINGS,
    # What becomes of a colour is no secret.
    "customization.colours": Open.SIGNED_IN,
    "users.index": Permission.VIEW_USERS,
    "users.complete": Permission.VIEW_USERS,
    "users.show": Permission.VIEW_USERS,
    "users.language": Permission.VIEW_USERS,
    "users.export": Permission.MANAGE_USERS,
    "users.new": Permission.MANAGE_USERS,
    "users.edit": Permission.MANAGE_USERS,
    "users.disable": Permission.MANAGE_USERS,
    "users.enable": Permission.MANAGE_USERS,
    "users.invite": Permission.MANAGE_USERS,
    "users.end_sessions": Permission.MANAGE_USERS,
    "users.reset_second_factor": Permission.MANAGE_USERS,
    "groups.index": Permission.MANAGE_USERS,
    "groups.show": Permission.MANAGE_USERS,
    "groups.new": Permission.MANAGE_USERS,
    "groups.edit": Permission.MANAGE_USERS,
    "groups.disable": Permission.MANAGE_USERS,
    "groups.enable": Permission.MANAGE_USERS,
    "groups.delete": Permission.MANAGE_USERS,
    "phones.index": Permission.MANAGE_USERS,
    "phones.show": Permission.MANAGE_USERS,
    "phones.new": Permission.MANAGE_USERS,
    "phones.edit": Permission.MANAGE_USERS,
    "phones.disable": Permission.MANAGE_USERS,
    "phones.enable": Permission.MANAGE_USERS,
    "phones.delete": Permission.MANAGE_USERS,
    "roles.index": Permission.MANAGE_USERS,
    "roles.show": Permission.MANAGE_USERS,
    "roles.copy": Permission.MANAGE_USERS,
    "roles.edit": Permission.MANAGE_USERS,
    "roles.delete": Permission.MANAGE_USERS,
    "imports.form": Permission.MANAGE_USERS,
    "imports.template": Permission.MANAGE_USERS,
    "imports.preview": Permission.MANAGE_USERS,
    "imports.review": Permission.MANAGE_USERS,
    "imports.apply": Permission.MANAGE_USERS,
    "tenants.logo": Open.PUBLIC,
    "tenants.index": Permission.MANAGE_PLATFORM,
    "tenants.show": Permission.MANAGE_PLATFORM,
    "tenants.new": Permission.MANAGE_PLATFORM,
    "tenants.edit": Permission.MANAGE_PLATFORM,
    "tenants.disable": Permission.MANAGE_PLATFORM,
    "tenants.enable": Permission.MANAGE_PLATFORM,
    "tenants.enter": Permission.MANAGE_PLATFORM,
    "platform.edit": Permission.MANAGE_PLATFORM,
    "audit.index": Permission.READ_AUDIT,
    "audit.show": Permission.READ_AUDIT,
    "audit.export_csv": Permission.READ_AUDIT,
    "audit.export_jsonl": Permission.READ_AUDIT,
    "mail.index": Permission.MANAGE_PLATFORM,
    "mail.test": Permission.MANAGE_PLATFORM,
    "mail.retry": Permission.MANAGE_PLATFORM,
    "oidc.start": Open.PUBLIC,
    "oidc.callback": Open.PUBLIC,
    "providers.index": ARRANGE_SIGN_IN,
    "providers.new": ARRANGE_SIGN_IN,
    "providers.edit": ARRANGE_SIGN_IN,
    "providers.test": ARRANGE_SIGN_IN,
    "providers.delete": ARRANGE_SIGN_IN,
}

# What is open to who must change his password first.
BEFORE_PASSWORD: Final = frozenset({"own.password", "own.change_password", "own.language", "signin.leave"})
MUST_CHANGE: Final = "urn:earshot:problem:change-password"
CHANGE_PASSWORD: Final = "/change-password"  # noqa: S105 (a path)
# These mean something only to who has the whole platform in reach, whatever else a role gives.
PLATFORMS_OWN: Final = frozenset({Permission.MANAGE_PLATFORM})
# In the session of an operator: the one tenant that he looks at.
TENANT: Final = "tenant"
# In his forms: what he looked at when he opened them.
LOOKED_AT: Final = "looked_at"
ALL_TENANTS: Final = "all"

SIGN_IN: Final = "/sign-in"
BEARER: Final = "bearer "
# Close codes of websockets, from the range for applications (RFC 6455 section 7.4.2).
CLOSED_SIGN_IN: Final = 4401
CLOSED_NOT_PERMITTED: Final = 4403


def register(app: Quart) -> None:
    """Puts `app` behind the gate. Errors: RuntimeError when an endpoint of `app` has no line in TABLE."""
    without = {rule.endpoint for rule in app.url_map.iter_rules()} - TABLE.keys()
    if without:
        raise RuntimeError(f"These endpoints have no line in portal/gate.py: {', '.join(sorted(without))}.")
    app.before_request(_admit_request)
    app.before_websocket(_admit_websocket)


def account() -> Account:
    """Who is asking. Only behind endpoints that are not PUBLIC."""
    found = visitor()
    assert found is not None, "an endpoint that everybody may call asks for an account"  # noqa: S101
    return found


def visitor() -> Account | None:
    """Who is asking, or None where nobody signed in (or where nobody needs to)."""
    found: Account | None = g.get("account")
    return found


def scope() -> Scope:
    """What the one who asks may see; no query for a tenant's data can be made without it."""
    asking, tenant_id = account(), looked_at()
    return Scope(
        tenant_id or asking.tenant_id,
        asking.id,
        asking.grant.reach if tenant_id is None else Reach.TENANT,
        confidential=Permission.VIEW_CONFIDENTIAL in asking.grant.permissions,
    )


def by() -> By:
    """Who is asking, as whatever changes data wants to know it."""
    asking = account()
    return By(
        scope(),
        asking.grant,
        Application.API if by_token() else Application.WEB,
        asking.id,
        asking.login,
        asking.name,
        client_address(),
    )


def may(permission: Permission) -> bool:
    """Whether the one who asks has this permission, within his scope."""
    asking = visitor()
    return asking is not None and _gives(asking.grant, permission)


def may_call(endpoint: str) -> bool:
    """Whether the one who asks may call this endpoint."""
    need = TABLE[endpoint]
    if isinstance(need, Open):
        return need is Open.PUBLIC or visitor() is not None
    return all(map(may, need if isinstance(need, frozenset) else {need}))


def look_at(tenant_id: UUID | None) -> None:
    """From now on, an operator sees this tenant as its administrators do; None: all tenants."""
    if tenant_id is None:
        session.pop(TENANT, None)
    else:
        session[TENANT] = tenant_id.hex


def looked_at() -> UUID | None:
    """The one tenant that the one who asks looks at, of all that he has in reach; None where he looks at his reach."""
    chosen = session.get(TENANT) if account().grant.reach is Reach.PLATFORM and not by_token() else None
    return None if chosen is None else UUID(chosen)


def opened_for() -> str:
    """What a form of the current page says of the tenant that it is for; empty for who cannot look at another."""
    asking = visitor()
    if asking is None or asking.grant.reach is not Reach.PLATFORM:
        return ""
    tenant_id = looked_at()
    return ALL_TENANTS if tenant_id is None else str(tenant_id)


def by_token() -> bool:
    """Whether the current request or websocket came with an API token, which then counts and no cookie does."""
    return _token() is not None


async def still_admitted() -> bool:
    """Whether who opened the current websocket may still have it: sessions end, tokens are withdrawn."""
    now, then = await _identify(), account()
    return now is not None and not _must_change(now) and (now.id, now.grant) == (then.id, then.grant)


async def _admit_request() -> Any:
    """Lets the request through (None), or answers it."""
    endpoint = at_hand().endpoint
    # What has no endpoint is answered as not found.
    if endpoint is None or TABLE[endpoint] is Open.PUBLIC:
        return None
    asking = await _identify()
    if asking is None:
        return await _sign_in_first()
    g.account = asking
    if _must_change(asking) and endpoint not in BEFORE_PASSWORD:
        return await _change_password_first()
    if not may_call(endpoint):
        return await answer(forbidden())
    if not by_token():
        if request.method in sessions.UNSAFE and not await sessions.csrf_token_matches():
            return await answer(
                Problem(
                    403,
                    gettext("Not accepted"),
                    gettext("This page is no longer valid. Load it again, and repeat what you did."),
                    kind="urn:earshot:problem:csrf",
                )
            )
        if request.method in sessions.UNSAFE and await _opened_for_another(endpoint):
            return await answer(another_tenant())
        sessions.renew()
    return None


async def _opened_for_another(endpoint: str) -> bool:
    """Whether the form at hand was opened for another tenant than its operator looks at now.

    What is his own, and what is the platform's, is the same whichever he looks at.
    """
    need = TABLE[endpoint]
    if isinstance(need, Open) or need in PLATFORMS_OWN:
        return False
    given = (await request.form).get(LOOKED_AT, "")
    return given not in ("", opened_for())


async def _admit_websocket() -> Any:
    endpoint = at_hand().endpoint
    if endpoint is None or TABLE[endpoint] is Open.PUBLIC:
        return None
    if not by_token() and websocket.headers.get("Origin") not in origins():
        if websocket.path.startswith(API):
            return await _close(CLOSED_SIGN_IN, "Send an API token that is still valid.")
        return await _close(CLOSED_NOT_PERMITTED, "This page belongs to another site.")
    asking = await _identify()
    if asking is None:
        return await _close(CLOSED_SIGN_IN, "Sign in first.")
    g.account = asking
    if _must_change(asking):
        return await _close(CLOSED_NOT_PERMITTED, "Change your password first.")
    return None if may_call(endpoint) else await _close(CLOSED_NOT_PERMITTED, "Your role does not permit this.")


async def _close(code: int, reason: str) -> Response:
    """Browsers tell their pages the close code of a websocket, and nothing of one that was not opened."""
    await websocket.accept()
    await websocket.close(code, reason)
    return Response("")


def _gives(grant: Grant, permission: Permission) -> bool:
    return permission in grant.permissions and (permission not in PLATFORMS_OWN or grant.reach is Reach.PLATFORM)


def _must_change(asking: Account) -> bool:
    """Who signs in elsewhere has no password here that he could change."""
    return asking.must_change_password and asking.authentication == "password"


def _token() -> str | None:
    """The bearer token of a request to the API."""
    given: str = at_hand().headers.get("Authorization", "")
    if at_hand().path.startswith(API) and given.lower().startswith(BEARER):
        return given[len(BEARER) :].strip()
    return None


async def _identify() -> Account | None:
    token = _token()
    if token is None:
        return await sessions.current()
    key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
    found = await portal().memory.tokens.ask(key, lambda: access.account_of_token(key))
    return found if found is not None and found.may_sign_in else None


async def _sign_in_first() -> Any:
    if not by_script():
        there = f"{SIGN_IN}?next={quote(request.full_path.rstrip('?'))}" if request.method == "GET" else SIGN_IN
        return redirect(there, HTTPStatus.SEE_OTHER)
    told = gettext("Sign in, or send an API token that is still valid.")
    return await answer(Problem(401, gettext("Not signed in"), told, headers={"WWW-Authenticate": "Bearer"}))


async def _change_password_first() -> Any:
    if not by_script():
        return redirect(CHANGE_PASSWORD, HTTPStatus.SEE_OTHER)
    told = gettext("Sign in with a browser and change your password. Until then nothing else is open to you.")
    return await answer(Problem(403, gettext("Change your password first"), told, kind=MUST_CHANGE))
