"""A small OpenID provider on a loopback port of its own: it publishes what it is, lets everybody in as the same person,
and signs what it says. No test lives here.

What it says can be bent: by `claims`, which are put over the right ones, and by whoever changes its other fields.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "earshot", "s3cret"


@dataclass
class Provider:
    """`algorithm` and `key`: what it signs with; `published`: the keys that it shows. `asked`: the paths that came."""

    issuer: str
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    algorithm: str = "RS256"
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    document: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ("client_secret_basic",)
    published: list[Any] | None = None
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo" if self.userinfo is not None else "",
            "token_endpoint_auth_methods_supported": list(self.methods),
        } | self.document

    def keys(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in (self.published or [self.key])]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent, as somebody who has signed in here."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert {"openid", "email"} <= set(asked["scope"].split())
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"

    def token(self, asked: dict[str, str], basic: str) -> tuple[int, dict[str, Any]]:
        if (asked.get("client_id"), asked.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET):
            method = "client_secret_post"
        else:
            user, _, password = base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")
            method = "client_secret_basic" if (user, password) == (CLIENT_ID, CLIENT_SECRET) else ""
        begun = self.codes.pop(asked["code"], None)
        if method not in self.methods:
            return 401, {"error": "invalid_client", "error_description": f"{method} is not for you"}
        digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
        if (
            begun is None
            or begun["code_challenge"] != _base64(digest)
            or begun["redirect_uri"] != asked["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "No such code."}
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": self.id_token(begun["nonce"])}

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "preferred_username": "anna",
            "email": "anna@example.com",
            "email_verified": True,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid} if self.key.kid else {"alg": self.algorithm}
        if self.algorithm in ("none", "HS256"):
            # What forgers make: without a signature, or with our public key taken for a shared secret.
            parts = (_base64(json.dumps(part).encode()) for part in (header, claims))
            signed = ".".join(parts)
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{_base64(mac) if self.algorithm == 'HS256' else ''}"
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.provider.asked.append(parts.path)
        if parts.path in self.provider.answers:
            status, body = self.provider.answers[parts.path]
            return self._answer(status, body)
        if parts.path == "/.well-known/openid-configuration":
            return self._json(200, self.provider.discovery())
        if parts.path == "/jwks":
            return self._json(200, self.provider.keys())
        if parts.path == "/userinfo" and self.headers["Authorization"] == "Bearer a":
            return self._json(200, self.provider.userinfo or {})
        if parts.path == "/authorize":
            there = self.provider.authorize(dict(parse_qsl(parts.query)))
            return self._answer(302, b"", Location=there)
        return self._answer(404, b"")

    def do_POST(self) -> None:
        self.provider.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path in self.provider.answers:
            status, answer = self.provider.answers[self.path]
            return self._answer(status, answer)
        return self._json(*self.provider.token(dict(parse_qsl(body)), self.headers.get("Authorization", "")))

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._answer(status, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that is there until the block is left."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.provider = Provider(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Handler.provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def elliptic_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
