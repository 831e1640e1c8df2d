"""Who asks the portal in the benches: API clients with a token, and browsers with a session.

Not here: any measuring.
"""

import json
import re
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlencode

from bench.machine import BenchError
from bench.programs import LOOPBACK
from bench.service import PASSWORD, Service

# Calls a page of the API's list: the most that it gives.
LISTED: Final = 200
LISTED_WITHIN_S: Final = 30.0
ASK_EVERY_S: Final = 0.2
PATIENCE_S: Final = 30.0


def connect(service: Service) -> HTTPConnection:
    """A connection to the portal; it is made with the first request."""
    return HTTPConnection(LOOPBACK, service.portal_port, timeout=PATIENCE_S)


class Client:
    """A keep-alive connection to the portal's API."""

    def __init__(self, service: Service, token: str) -> None:
        self._connection = connect(service)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON. Errors: `BenchError` unless the status is 200."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, self._headers | {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise BenchError(f"{method} {path} answered {response.status}: {text}")
        return json.loads(text)

    def active_calls(self, count: int) -> dict[str, str]:
        """Ids of active calls by the caller's number, once there are so many."""
        until_s = time.monotonic() + LISTED_WITHIN_S
        while time.monotonic() < until_s:
            found: dict[str, str] = {}
            cursor: str | None = ""
            while cursor is not None:
                page = self.ask(
                    "GET", f"/api/v1/calls?state=active&limit={LISTED}" + (f"&cursor={cursor}" if cursor else "")
                )
                found |= {call["from"]["number"]: call["id"] for call in page["calls"]}
                cursor = page["next"]
            if len(found) >= count:
                return found
            time.sleep(ASK_EVERY_S)
        raise BenchError(f"The API lists {len(found)} active calls of {count}.")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def sign_in(service: Service, login: str) -> str:
    """Sign in as a browser would; gives the Cookie header of the session. Errors: `BenchError`."""
    connection = connect(service)
    connection.request("GET", "/sign-in")
    response = connection.getresponse()
    form = response.read().decode()
    cookies = _cookies(response.headers.get_all("Set-Cookie", []))
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    if found is None:
        raise BenchError("The sign-in page has no CSRF token.")
    body = urlencode({"csrf_token": found[1], "login": login, "password": PASSWORD})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": _header(cookies)}
    connection.request("POST", "/sign-in", body, headers)
    response = connection.getresponse()
    response.read()
    if response.status not in (302, 303):
        raise BenchError(f"Signing in answered {response.status}.")
    connection.close()
    return _header(cookies | _cookies(response.headers.get_all("Set-Cookie", [])))


def _cookies(headers: Sequence[str]) -> dict[str, str]:
    pairs = [header.partition(";")[0].partition("=") for header in headers]
    return {name: value for name, _, value in pairs}


def _header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
