"""Somebody with a browser in front of the portal: keeps cookies, follows forms, knows no secret.

No test lives here. A `Visitor` talks to the application itself; `server.py` beside it starts a real process.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from quart import Response
from quart_trio import QuartTrio

from portal.passwords import Passwords
from schema import users
from schema.roles import Role
from schema.values import Account
from tests.people import COMMAND

PASSWORD: Final = "correct horse battery"  # noqa: S105 (of accounts that live as long as a test)
ADDRESS: Final = ("192.0.2.7", 40000)


@dataclass
class Visitor:
    """One browser. `origin` is where it believes to be."""

    app: QuartTrio
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    async def get(self, path: str, **options: Any) -> Response:
        return await self.client.get(path, scope_base={"client": ADDRESS}, **options)

    async def post(self, path: str, form: dict[str, str] | None = None, **options: Any) -> Response:
        return await self.client.post(path, form=form or {}, scope_base={"client": ADDRESS}, **options)

    async def token(self, path: str = "/sign-in") -> str:
        """The CSRF token of a page."""
        page = (await (await self.get(path)).get_data()).decode()
        found = re.search(r'name="csrf-token" content="(\w+)"', page)
        assert found is not None, page
        return found[1]

    async def sign_in(self, login: str, password: str = PASSWORD, path: str = "/sign-in", **options: Any) -> Response:
        form = {"login": login, "password": password, "csrf_token": await self.token(path)}
        return await self.post(path, form, **options)

    def cookie(self, name: str = "earshot") -> str | None:
        return next((cookie.value for cookie in self.client.cookie_jar if cookie.name == name), None)


async def add_account(login: str, role: Role = Role.ADMINISTRATOR, **options: Any) -> Account:
    """An account with PASSWORD, unless told otherwise."""
    given = {"tenant": None, "name": "", "may_sign_in": True, "password_hash": await hash_of_password(), **options}
    return await users.add_user(COMMAND, login, role=role, **given)


_hashes: list[str] = []


async def hash_of_password() -> str:
    """PASSWORD's hash; making it takes a while, so it is made once."""
    if not _hashes:
        _hashes.append(await Passwords().hash(PASSWORD))
    return _hashes[0]
