"""Somebody who comes in with an identity provider, and what his browser does on its way. No test lives here."""

import re
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import trio
from quart import Response

from schema import audit, providers
from schema.audited import changing
from schema.database import unit
from schema.entries import Action
from schema.models import Account as AccountRow
from schema.providers import ProviderFields
from schema.values import Account
from tests.people import COMMAND
from tests.portal.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.portal.visitor import Visitor, add_account


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@unit
async def change(account: Account, **values: object) -> None:
    async with changing(COMMAND):
        row = await AccountRow.get(id=account.id)
        row.update_from_dict(values)
        await row.save()


@unit
async def external_id(account: Account) -> str:
    return (await AccountRow.get(id=account.id)).external_id


async def anna(**values: object) -> Account:
    """Somebody who signs in with the provider."""
    account = await add_account("anna", password_hash="")
    await change(account, **{"authentication": "oidc", "email": "Anna@Example.com"} | values)
    return account


async def registered(idp: Provider, **changes: Any) -> str:
    """The address at which a browser begins to sign in with the provider."""
    given: dict[str, Any] = {
        "name": "Acme",
        "issuer": idp.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    made = await providers.create_provider(COMMAND, ProviderFields(**given | changes))
    return f"/sign-in/oidc/{made.id}"


async def at_provider(address: str) -> str:
    """What the provider answers to a browser: where it sends it."""
    opener = build_opener(_Stay)

    def ask() -> str:
        try:
            opener.open(Request(address))  # noqa: S310 (of this test)
        except HTTPError as answer:
            with answer:
                return str(answer.headers["Location"])
        raise AssertionError("the provider sends nobody back")

    return await trio.to_thread.run_sync(ask)


async def came_back(visitor: Visitor, start: str) -> str:
    """The path of ours at which the browser arrives from the provider."""
    answer = await visitor.get(start)
    assert answer.status_code == 303, (await answer.get_data()).decode()
    back = urlsplit(await at_provider(answer.headers["Location"]))
    return f"{back.path}?{back.query}"


async def signed_in(visitor: Visitor, start: str) -> Response:
    return await visitor.get(await came_back(visitor, start))


async def is_in(visitor: Visitor) -> bool:
    return (await visitor.get("/")).headers["Location"] == "/calls"


async def told(response: Response) -> str:
    text = (await response.get_data()).decode()
    found = re.search(r'alert-danger" role="alert">.*?<div>(.*?)</div>', text, re.S)
    assert found is not None, text
    return found[1]


async def logins(action: Action) -> list[Any]:
    return list((await audit.list_entries(COMMAND.scope, audit.Filters(action=action))).items)
