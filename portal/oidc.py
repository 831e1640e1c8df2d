"""Signing in with an identity provider: `/sign-in/oidc/<provider>` sends the browser there, and it comes back to
`/sign-in/oidc/callback`.

What is under way stands in the signed cookie, so that only the browser that went away can come back, once, and within
LONGEST_S. The provider says who it is; whether he may come in is for his account to say: one of the provider's tenant,
that signs in this way, has web access, is not disabled and has no more rights than the provider may vouch for. A second
factor is the provider's business.

Not here: the protocol (`openid.py`), whose account it is (`schema/providers.py`), sessions (`sessions.py`).
"""

import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import structlog
import trio
from quart import Blueprint, Response, current_app, g, redirect, render_template, request, session, url_for
from quart.blueprints import BlueprintSetupState
from quart_babel import format_timedelta, gettext

from portal import doorway, sessions
from portal.config import portal
from portal.errors import not_found
from portal.limits import ADDRESS, Kind
from portal.openid import OpenId, OpenIdError, Trouble
from portal.proxy import client_address
from schema import audit, providers
from schema.entries import About, Action, Application, By, Resource
from schema.providers import Client, LoginClaim, Unmatched
from schema.refusals import NotThere
from schema.roles import Grant, Reach
from schema.sealing import NotReadable
from schema.values import NOBODY, Scope

log = structlog.get_logger()

UNDER_WAY: Final = "oidc"
# Who signs in with a provider may have to find his phone first.
LONGEST_S: Final = 600.0
SECRET_BYTES: Final = 32
# A cookie has room for 4 kB.
MOST_NEXT: Final = 1000
VOUCHED: Final = Kind("oidc", None, ADDRESS, None)
EXTENSION: Final = "earshot.openid"

blueprint = Blueprint("oidc", __name__)
blueprint.before_request(doorway.arrive)


@dataclass(frozen=True, slots=True)
class Button:
    """What the sign-in page shows for a provider."""

    name: str
    url: str


@blueprint.record_once
def _keep(state: BlueprintSetupState) -> None:
    state.app.extensions[EXTENSION] = OpenId()


async def buttons(tenant_id: UUID | None, next_path: str, tenant: str = "") -> list[Button]:
    """The providers that the sign-in page offers: of the tenant whose host name was asked for, if it is one's, else of
    the one that was named."""
    found = await providers.doors(tenant_id, tenant)
    return [Button(one.name, url_for("oidc.start", provider_id=one.id, next=next_path)) for one in found]


def openid() -> OpenId:
    """What this portal knows of providers."""
    found: OpenId = current_app.extensions[EXTENSION]
    return found


def redirect_uri(host: str = "") -> str:
    """Where providers send browsers back to: the tenant's own host where it was asked for, else the public address."""
    config, door = portal().config, doorway.at_hand()
    at_tenant = bool(host) or (door is not None and door.tenant is not None)
    own = f"{'https' if config.encrypted else 'http'}://{host or request.headers.get('Host', '')}"
    base = own if at_tenant or not config.public_url else config.public_url
    return base.rstrip("/") + url_for("oidc.callback")


@blueprint.get("/sign-in/oidc/<uuid:provider_id>")
async def start(provider_id: UUID) -> Any:
    """Sends the browser to the provider."""
    g.oidc_next = request.args.get("next", "")[:MOST_NEXT]
    client = await _client(provider_id)
    state, nonce, verifier = (secrets.token_urlsafe(SECRET_BYTES) for _ in range(3))
    back = redirect_uri()
    try:
        there = await openid().address(client, back, state=state, nonce=nonce, verifier=verifier)
    except OpenIdError as error:
        return await _refused(client, error)
    session[UNDER_WAY] = {
        "provider": str(provider_id),
        "state": state,
        "nonce": nonce,
        "verifier": verifier,
        "back": back,
        "next": g.oidc_next,
        "at": int(time.time()),
    }
    return redirect(there, HTTPStatus.SEE_OTHER)


@blueprint.get("/sign-in/oidc/callback")
async def callback() -> Any:
    """The browser comes back from the provider, with a code or with a refusal."""
    begun = session.pop(UNDER_WAY, None)
    given = request.args
    if begun is None or not secrets.compare_digest(
        begun["state"].encode(), given.get("state", "").encode("utf-8", "replace")
    ):
        return await _page(
            gettext("This sign-in was not begun in this browser, or it was used already. Please begin again."),
            HTTPStatus.BAD_REQUEST,
        )
    g.oidc_next = begun["next"]
    if time.time() - begun["at"] > LONGEST_S:
        return await _page(gettext("This sign-in took too long. Please begin again."), HTTPStatus.BAD_REQUEST)
    client = await _client(UUID(begun["provider"]))
    wait_s = portal().attempts.begin("", client_address(), trio.current_time(), VOUCHED)
    if wait_s > 0:
        return await _wait(wait_s)
    # RFC 9207: of another provider that the browser met on its way.
    if given.get("iss", client.issuer) != client.issuer:
        return await _refused(client, OpenIdError(Trouble.ISSUER, given["iss"]))
    if "code" not in given:
        words = f"{given.get('error', '')}: {given.get('error_description', '')}"
        return await _refused(client, OpenIdError(Trouble.REFUSED, words))
    try:
        identity = await openid().identity(
            client, begun["back"], code=given["code"], nonce=begun["nonce"], verifier=begun["verifier"]
        )
    except OpenIdError as error:
        return await _refused(client, error)
    account = await providers.account_of(client, identity.subject, identity.login, client_address())
    if isinstance(account, Unmatched):
        return await _unmatched(client, account, identity.login)
    try:
        await sessions.begin(account, provider=client.name)
    except NotThere:  # access was taken away meanwhile
        return await _unmatched(client, Unmatched.NO_ACCESS, identity.login)
    portal().attempts.succeeded("", client_address(), VOUCHED)
    log.info("signed_in", user=str(account.id), login=account.login, provider=client.name, address=client_address())
    # Whoever is signed in goes on from there to where he wanted to go, if that is a page of ours.
    return redirect(url_for("signin.form", next=begun["next"]), HTTPStatus.SEE_OTHER)


async def _client(provider_id: UUID) -> Client:
    """A provider that may be used here. Errors: Problem (not found)."""
    try:
        found = await providers.client_of(provider_id)
    except NotReadable as error:
        log.error("provider_secret_unreadable", provider=str(provider_id), reason=str(error))
        found = None
    door = doorway.at_hand()
    elsewhere = door is not None and door.tenant is not None and found is not None and door.tenant.id != found.tenant.id
    if found is None or elsewhere:
        raise not_found()
    return found


async def _refused(client: Client, error: OpenIdError) -> Response:
    log.warning(
        "sign_in_with_provider_failed",
        provider=client.name,
        issuer=client.issuer,
        trouble=str(error.trouble),
        words=error.words,
        address=client_address(),
    )
    status = HTTPStatus.UNAUTHORIZED if error.trouble in (Trouble.REFUSED, Trouble.TOKEN) else HTTPStatus.BAD_GATEWAY
    return await _page(SENTENCES[error.trouble](client.name), status, client.id)


async def _unmatched(client: Client, why: Unmatched, login: str) -> Response:
    """Somebody whom the provider knows, and we do not let in: the audit trail tells."""
    log.warning("sign_in_of_nobody", provider=client.name, why=str(why), login=login, address=client_address())
    nobody = By(
        Scope(client.tenant.id, NOBODY, Reach.OWN),
        Grant(Reach.OWN, frozenset()),
        Application.WEB,
        login=login,
        address=client_address(),
    )
    details = {"provider": client.name, "reason": str(why)}
    await audit.note(
        nobody, Resource.SESSIONS, Action.FAILED_LOGIN, About(), tenant_id=client.tenant.id, details=details
    )
    sentence = UNMATCHED[why](client, login) if login or why is not Unmatched.UNKNOWN else _without(client)
    return await _page(sentence, HTTPStatus.FORBIDDEN, client.id)


async def _wait(wait_s: float) -> Response:
    again_s = math.ceil(wait_s)
    pause = format_timedelta(again_s, granularity="second", threshold=1.5)
    notice = gettext("Too many attempts. Please try again in %(pause)s.", pause=pause)
    response = await _page(notice, HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(again_s)
    return response


async def _page(sentence: str, status: HTTPStatus, provider_id: UUID | None = None) -> Response:
    page = await render_template("oidc.html", notice=sentence, provider_id=provider_id, next=g.get("oidc_next"))
    return Response(page, status)


def _without(client: Client) -> str:
    """The provider does not say what accounts are found by."""
    if client.login_claim is LoginClaim.EMAIL:
        return gettext(
            "%(provider)s tells no mail address of yours that it has verified. Its administrator can change that.",
            provider=client.name,
        )
    return gettext(
        "%(provider)s does not tell your user name, so your account cannot be found. Its administrator can change "
        "that.",
        provider=client.name,
    )


SENTENCES: Final[Mapping[Trouble, Callable[[str], str]]] = {
    Trouble.AWAY: lambda name: gettext("%(provider)s does not answer. Please try again in a moment.", provider=name),
    Trouble.ANSWER: lambda name: gettext(
        "%(provider)s answers in a way that is not understood. Your administrator finds more in the log.",
        provider=name,
    ),
    Trouble.INSIDE: lambda name: gettext(
        "%(provider)s leads to the inside of this network, so it was not asked. Your administrator finds more in the "
        "log.",
        provider=name,
    ),
    Trouble.ISSUER: lambda name: gettext(
        "The answer came from another provider than %(provider)s. Nobody was signed in.", provider=name
    ),
    Trouble.INCOMPLETE: lambda name: gettext(
        "%(provider)s lacks what signing in takes. Your administrator finds more in the log.", provider=name
    ),
    Trouble.REFUSED: lambda name: gettext(
        "%(provider)s did not sign you in. Please try again, or ask its administrator.", provider=name
    ),
    Trouble.TOKEN: lambda name: gettext(
        "What %(provider)s says of you could not be verified. Nobody was signed in. Please try again.", provider=name
    ),
}

UNMATCHED: Final[Mapping[Unmatched, Callable[[Client, str], str]]] = {
    Unmatched.UNKNOWN: lambda client, login: gettext(
        "%(provider)s knows you as %(login)s, but there is no such user here. Your administrator can add you.",
        provider=client.name,
        login=login,
    ),
    Unmatched.SEVERAL: lambda client, login: gettext(
        "%(provider)s knows you as %(login)s, and several users here are called that. Your administrator can change "
        "that.",
        provider=client.name,
        login=login,
    ),
    Unmatched.OTHER_WAY: lambda client, login: gettext(
        "Your account signs in with a password, not with %(provider)s. Your administrator can change that.",
        provider=client.name,
    ),
    Unmatched.OTHER_SUBJECT: lambda client, login: gettext(
        "Your account belongs to somebody else at %(provider)s. Your administrator can free it.", provider=client.name
    ),
    Unmatched.BEYOND: lambda client, login: gettext(
        "Your account has more rights than %(provider)s may sign in, so nobody was signed in. Use another way, or ask "
        "an operator of the platform.",
        provider=client.name,
    ),
    Unmatched.NO_ACCESS: lambda client, login: gettext(
        "Your account has no web access. Your administrator can give it to you."
    ),
}
