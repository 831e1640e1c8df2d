"""How long a session lasts, and what a cookie is worth that this portal did not sign."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quart_trio import QuartTrio

from portal import sessions
from portal.app import create_app
from portal.config import PortalConfig
from schema import access
from schema.database import Database
from tests.portal.clock import Clock, clock
from tests.portal.visitor import Visitor, add_account

__all__ = ["clock"]


async def signed_in(visitor: Visitor) -> bool:
    return (await visitor.get("/")).headers["Location"] == "/calls"


async def test_a_session_that_is_used_goes_on(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    for _ in range(4):
        clock.ahead_s += sessions.IDLE_S * 0.7
        assert await signed_in(visitor)


async def test_a_session_that_is_not_used_ends(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    clock.ahead_s += sessions.IDLE_S + sessions.RENEW_S + 1
    assert not await signed_in(visitor)


async def test_the_cookie_is_renewed_once_in_a_while_only(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    assert "Set-Cookie" not in (await visitor.get("/")).headers
    clock.ahead_s += sessions.RENEW_S
    assert "Set-Cookie" in (await visitor.get("/")).headers
    assert "Set-Cookie" not in (await visitor.get("/")).headers


async def test_every_session_ends_at_last(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database knows when; it is asked at each request."""
    opened: list[datetime] = []
    open_session = access.open_session

    async def note(by: Any, id_hash: bytes, expires_at: datetime, *rest: Any) -> None:
        opened.append(expires_at)
        await open_session(by, id_hash, datetime.now(UTC) - timedelta(seconds=1), *rest)

    monkeypatch.setattr(access, "open_session", note)
    await add_account("anna")
    await visitor.sign_in("anna")
    assert not await signed_in(visitor)
    assert abs((opened[0] - datetime.now(UTC)).total_seconds() - sessions.LONGEST_S) < 60


async def test_a_cookie_of_another_key_is_none(
    config: PortalConfig, database: Database, visitor: Visitor, app: QuartTrio
) -> None:
    await add_account("anna")
    other = Visitor(create_app(replace(config, session_key=bytes(32)), None))
    await other.sign_in("anna")
    assert await signed_in(other)
    visitor.client.set_cookie("localhost", "earshot", other.cookie())
    assert not await signed_in(visitor)


async def test_two_portals_of_one_system_take_each_others_cookies(
    config: PortalConfig, database: Database, visitor: Visitor
) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    other = Visitor(create_app(config, None))
    other.client.set_cookie("localhost", "earshot", visitor.cookie())
    assert await signed_in(other)


async def test_the_database_holds_no_number_of_a_session(config: PortalConfig, visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    signer = visitor.app.session_interface.get_signing_serializer(visitor.app)
    number = signer.loads(visitor.cookie())["number"]
    folder = config.data_dir
    written = b"".join(path.read_bytes() for path in folder.glob("earshot.sqlite*"))
    assert sessions._hash(number).hex().encode() in written
    assert number.encode() not in written


async def test_a_form_that_was_open_for_too_long_says_so(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    token = await visitor.token()
    clock.ahead_s += sessions.IDLE_S + 1
    form = {"login": "anna", "password": "x", "csrf_token": token}
    answer = await visitor.post("/sign-in", form)
    assert answer.status_code == 403
    page = (await answer.get_data()).decode()
    assert "This page was open for too long" in page
    assert 'value="anna"' in page
    assert (await visitor.sign_in("anna")).status_code == 303


async def test_another_site_cannot_sign_anybody_in(visitor: Visitor) -> None:
    """Whoever makes a browser sign in as himself sees what its owner does next."""
    await add_account("mallory")
    form = {"login": "mallory", "password": "correct horse battery"}
    assert (await visitor.post("/sign-in", form)).status_code == 403
    assert not await signed_in(visitor)
