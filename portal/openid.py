"""OpenID Connect Core 1.0, as a relying party: what a provider says of itself, and of whom it vouches for.

The authorization code flow with PKCE (RFC 7636), a state and a nonce. Signatures are checked with the public keys that
the provider publishes, by RS256 or ES256 and nothing else. What is fetched comes from where the provider's own document
says, by HTTPS (to this machine itself also by HTTP), follows no redirect, and is bounded in size and time. The inside
of the network is open to providers that an operator set up, and to no other.

Not here: cookies, pages and accounts (`oidc.py`), which providers there are (`schema/providers.py`).
"""

import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import trio
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]  # it has no types
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from portal.outside import InsideError, OutsideTransport
from schema.providers import LOOPBACK, Client, LoginClaim

DISCOVERY: Final = "/.well-known/openid-configuration"
SCOPES: Final = "openid profile email"
# The kind of key that each takes.
ALGORITHMS: Final[Mapping[str, type[RSAKey] | type[ECKey]]] = {"RS256": RSAKey, "ES256": ECKey}
# Providers publish a few keys; some, their whole certificates.
MOST_BYTES: Final = 256 * 1024
ANSWER_WITHIN_S: Final = 10.0
# A proxy of the environment would be asked past our transport.
_OPTIONS: Final[Mapping[str, Any]] = {"timeout": ANSWER_WITHIN_S, "follow_redirects": False, "trust_env": False}
_TOO_LONG: Final = f"an answer of more than {MOST_BYTES} bytes"
# All that one step of signing in asks the provider.
STEP_WITHIN_S: Final = 20.0
KNOWN_FOR_S: Final = 3600.0
# A key that we do not know is looked for, but not for each token that somebody makes up.
LOOK_AGAIN_AFTER_S: Final = 30.0
# Between two machines' clocks.
LEEWAY_S: Final = 60
# OpenID Connect Core 1.0 section 2: a subject has no more.
MOST_SUBJECT: Final = 255


class Trouble(StrEnum):
    """What kept somebody from being vouched for; the portal has a sentence for each."""

    AWAY = "away"
    ANSWER = "answer"
    INSIDE = "inside"
    ISSUER = "issuer"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"
    TOKEN = "token"  # noqa: S105 (the name of a trouble)


class OpenIdError(Exception):
    """`words`: what the provider, the network or the check said, in English; for administrators and the log."""

    def __init__(self, trouble: Trouble, words: str) -> None:
        super().__init__(f"{trouble}: {words}")
        self.trouble = trouble
        self.words = words


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a provider says of itself (OpenID Connect Discovery 1.0 section 3). `inside`: it may be on the inside of the
    network.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    token_methods: tuple[str, ...]
    inside: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider vouches for: its own name for him, and the value of the claim that is asked for, or nothing."""

    subject: str
    login: str


@dataclass(frozen=True, slots=True)
class _Known:
    value: Any
    since_s: float


class OpenId:
    """What is known of providers, for as long as the process lives."""

    def __init__(self) -> None:
        self._trust = ssl.create_default_context()
        self._documents: dict[tuple[str, bool], _Known] = {}
        self._keys: dict[str, _Known] = {}

    async def discovered(self, issuer: str, *, inside: bool, anew: bool = False) -> Discovered:
        """What the provider says of itself, an hour old at most. `inside`: it may be on the inside of the network.

        Errors: OpenIdError.
        """
        known = self._documents.get((issuer, inside))
        if known is None or anew or trio.current_time() - known.since_s > KNOWN_FOR_S:
            document = await self._get(issuer.rstrip("/") + DISCOVERY, inside=inside)
            known = _Known(_discovered(issuer, document, inside), trio.current_time())
            self._documents[issuer, inside] = known
        found: Discovered = known.value
        return found

    async def keys(self, provider: Discovered, *, anew: bool = False) -> list[dict[str, Any]]:
        """The public keys that the provider signs with, as JWKs. Errors: OpenIdError."""
        known = self._keys.get(provider.jwks_uri)
        if known is None or anew or trio.current_time() - known.since_s > KNOWN_FOR_S:
            found = (await self._get(provider.jwks_uri, inside=provider.inside)).get("keys")
            if not isinstance(found, list):
                raise OpenIdError(Trouble.ANSWER, f"{provider.jwks_uri} has no keys")
            known = _Known([key for key in found if isinstance(key, dict)], trio.current_time())
            self._keys[provider.jwks_uri] = known
        keys: list[dict[str, Any]] = known.value
        return keys

    async def address(self, client: Client, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser goes to sign in. Errors: OpenIdError."""
        provider = await self.discovered(client.issuer, inside=client.platform)
        async with self._client(client, provider, redirect_uri) as session:
            url, _ = session.create_authorization_url(
                provider.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    async def identity(self, client: Client, redirect_uri: str, *, code: str, nonce: str, verifier: str) -> Identity:
        """Whom the provider vouches for with a code that it gave a browser. Errors: OpenIdError."""
        provider = await self.discovered(client.issuer, inside=client.platform)
        tokens = await self._tokens(client, provider, redirect_uri, code, verifier)
        claims = await self._claims(client, provider, tokens.get("id_token"), nonce)
        subject: str = claims["sub"]
        login = _login(client.login_claim, claims)
        if not login and provider.userinfo_endpoint:
            bearer = str(tokens.get("access_token", ""))
            more = await self._get(provider.userinfo_endpoint, inside=provider.inside, bearer=bearer)
            # OpenID Connect Core 1.0 section 5.3.2: else it may be about somebody else.
            if more.get("sub") != subject:
                raise OpenIdError(Trouble.TOKEN, "the user info is about another subject")
            login = _login(client.login_claim, more)
        return Identity(subject, login)

    async def _tokens(
        self, client: Client, provider: Discovered, redirect_uri: str, code: str, verifier: str
    ) -> Mapping[str, Any]:
        try:
            with trio.fail_after(STEP_WITHIN_S):
                async with self._client(client, provider, redirect_uri) as session:
                    tokens: Mapping[str, Any] = await session.fetch_token(
                        provider.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                    )
                    return tokens
        except AuthlibBaseError as error:
            raise OpenIdError(Trouble.REFUSED, f"{error.error}: {error.description}") from error
        except InsideError as error:
            raise OpenIdError(Trouble.INSIDE, str(error)) from error
        except (httpx2.HTTPError, trio.TooSlowError) as error:
            raise OpenIdError(Trouble.AWAY, _words(error)) from error
        except (ValueError, TypeError) as error:
            raise OpenIdError(Trouble.ANSWER, f"{provider.token_endpoint}: {error}") from error

    async def _claims(self, client: Client, provider: Discovered, token: object, nonce: str) -> dict[str, Any]:
        """What an ID token says, once all is checked (OpenID Connect Core 1.0 section 3.1.3.7). Errors: OpenIdError."""
        if not isinstance(token, str):
            raise OpenIdError(Trouble.TOKEN, "there is no ID token")
        try:
            claims = await self._signed(provider, token)
            jwt.JWTClaimsRegistry(
                now=int(time.time()),
                leeway=LEEWAY_S,
                iss={"essential": True, "value": client.issuer},
                sub={"essential": True},
                aud={"essential": True, "value": client.client_id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError) as error:
            raise OpenIdError(Trouble.TOKEN, str(error)) from error
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims.get("azp", client.client_id if len(audiences) == 1 else None) != client.client_id:
            raise OpenIdError(Trouble.TOKEN, "the token was made for another application")
        if not 1 <= len(claims["sub"]) <= MOST_SUBJECT:
            raise OpenIdError(Trouble.TOKEN, "the subject is too long")
        return claims

    async def _signed(self, provider: Discovered, token: str) -> dict[str, Any]:
        """The claims of a token whose signature is the provider's. Errors: OpenIdError, JoseError, ValueError."""
        header = jws.extract_compact(token.encode()).headers()
        keys = _fitting(header, await self.keys(provider))
        since_s = trio.current_time() - self._keys[provider.jwks_uri].since_s
        if not keys and since_s > LOOK_AGAIN_AFTER_S:
            keys = _fitting(header, await self.keys(provider, anew=True))
        for key in keys:
            try:
                return dict(jwt.decode(token, key, algorithms=[header["alg"]]).claims)
            except BadSignatureError:
                continue
        raise OpenIdError(Trouble.TOKEN, "no key of the provider made its signature")

    def _client(self, client: Client, provider: Discovered, redirect_uri: str) -> AsyncOAuth2Client:
        method = "client_secret_basic"
        if not client.client_secret:
            method = "none"
        elif provider.token_methods and method not in provider.token_methods:
            method = "client_secret_post"
        return AsyncOAuth2Client(
            client.client_id,
            client.client_secret,
            token_endpoint_auth_method=method,
            scope=SCOPES,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=_Bounded(self._trust, inside=provider.inside),
            **_OPTIONS,
        )

    async def _get(self, url: str, *, inside: bool, bearer: str = "") -> dict[str, Any]:
        """A JSON object. Errors: OpenIdError."""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        try:
            with trio.fail_after(STEP_WITHIN_S):
                transport = _Bounded(self._trust, inside=inside)
                async with httpx2.AsyncClient(transport=transport, **_OPTIONS) as session:
                    answer = await session.get(url, headers=headers)
        except InsideError as error:
            raise OpenIdError(Trouble.INSIDE, str(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, trio.TooSlowError) as error:
            raise OpenIdError(Trouble.AWAY, f"{url}: {_words(error)}") from error
        if answer.status_code != httpx2.codes.OK:
            raise OpenIdError(Trouble.ANSWER, f"{url}: HTTP {answer.status_code}")
        try:
            found = json.loads(answer.content)
        except ValueError as error:
            raise OpenIdError(Trouble.ANSWER, f"{url}: {error}") from error
        if not isinstance(found, dict):
            raise OpenIdError(Trouble.ANSWER, f"{url} has no JSON object")
        return found


class _Bounded(httpx2.AsyncBaseTransport):
    """Takes no answer that is longer than MOST_BYTES, nor one that unpacks to more than it is."""

    def __init__(self, trust: ssl.SSLContext, *, inside: bool) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=trust) if inside else OutsideTransport(trust)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        if "Content-Encoding" in response.headers:
            await response.aclose()
            raise httpx2.DecodingError("a compressed answer")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 (for the type checker)
        response.stream = _BoundedStream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for chunk in self._inner:
            taken += len(chunk)
            if taken <= MOST_BYTES:
                yield chunk
            else:
                # The connection is closed: what is still read from it ends with an error, and with it the iteration.
                await self._inner.aclose()
        if taken > MOST_BYTES:
            raise httpx2.ReadError(_TOO_LONG)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _discovered(issuer: str, document: Mapping[str, Any], inside: bool) -> Discovered:
    """Errors: OpenIdError."""
    told = document.get("issuer")
    if told != issuer:
        raise OpenIdError(Trouble.ISSUER, str(told))
    endpoints = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        url = document.get(name, "")
        if not (isinstance(url, str) and (_may_be_asked(url, issuer) or (not url and name == "userinfo_endpoint"))):
            raise OpenIdError(Trouble.INCOMPLETE, f"{name}: {url}")
        endpoints[name] = url
    methods = document.get("token_endpoint_auth_methods_supported", ())
    known = tuple(map(str, methods)) if isinstance(methods, list) else ()
    return Discovered(issuer, **endpoints, token_methods=known, inside=inside)


def _may_be_asked(url: str, issuer: str) -> bool:
    """Whether a provider may send us to this address: by HTTPS, and to this machine only if it runs here itself."""
    try:
        there, home = urlsplit(url), urlsplit(issuer)
        host, _ = there.hostname or "", there.port
    except ValueError:
        return False
    if host in LOOPBACK:
        return home.hostname in LOOPBACK and there.scheme in ("http", "https")
    return bool(host) and there.scheme == "https"


def _fitting(header: Mapping[str, Any], keys: list[dict[str, Any]]) -> list[RSAKey | ECKey]:
    """The keys that may have signed a token with this header."""
    kind = ALGORITHMS.get(str(header.get("alg")))
    if kind is None:
        raise OpenIdError(Trouble.TOKEN, f"the algorithm {header.get('alg')} is not accepted")
    fitting: list[RSAKey | ECKey] = []
    for each in keys:
        other = each.get("alg", header["alg"]) != header["alg"] or each.get("use", "sig") != "sig"
        if other or each.get("kty") != kind.key_type or ("kid" in header and each.get("kid") != header["kid"]):
            continue
        try:
            key = JWKRegistry.import_key(each)
        except (JoseError, ValueError, KeyError, TypeError):
            continue  # one that nobody could use
        assert isinstance(key, RSAKey | ECKey)  # noqa: S101 (for the type checker: `kty` says so)
        fitting.append(key)
    return fitting


def _login(claim: LoginClaim, claims: Mapping[str, Any]) -> str:
    """The value of a claim, where it is one to go by: an address that nobody checked is anybody's."""
    if claim is LoginClaim.EMAIL and claims.get("email_verified") not in (True, "true"):
        return ""
    value = claims.get(claim)
    return value.strip() if isinstance(value, str) else ""


def _words(error: Exception) -> str:
    return "it took too long" if isinstance(error, trio.TooSlowError) else str(error) or type(error).__name__
