"""Whatever text comes from outside, no query fails for it: on SQLite, and on PostgreSQL, which takes fewer."""

from pathlib import Path
from urllib.parse import quote

import pytest

from portal.config import PortalConfig
from tests.databases import database_url, kind, postgres, sqlite_template
from tests.portal.visitor import PASSWORD, Visitor, add_account

__all__ = ["database_url", "kind", "postgres", "sqlite_template"]

STRANGE = ("anna\0", "\0", "a\x01", "\u202eanna", "\ufeff", "\ufffd", "\U0010ffff", "İ", "a/\0", "\0/anna", "x" * 5000)
BYTES = ("%00", "%ff", "%ed%a0%80", "anna%00", "anna%C3")


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> PortalConfig:
    return PortalConfig(
        bind=("127.0.0.1", 0),
        database_url=database_url,
        data_dir=tmp_path,
        database_key=bytes(32),
        session_key=bytes(range(32)),
        gateway_key=bytes(32),
    )


async def test_a_strange_login_is_unknown(visitor: Visitor) -> None:
    await add_account("anna")
    for login in STRANGE:
        answer = await visitor.sign_in(login)
        assert answer.status_code == 401, login
    assert (await visitor.sign_in("anna", "\0")).status_code == 401
    token = await visitor.token()
    for raw in BYTES:
        body = f"login={raw}&password={quote(PASSWORD)}&csrf_token={token}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await visitor.client.post(
            "/sign-in", data=body, headers=headers, scope_base={"client": ("192.0.2.8", 1)}
        )
        assert answer.status_code == 401, raw


async def test_strange_texts_elsewhere_are_answered_too(visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna", headers={"User-Agent": "\x80\xff", "X-Forwarded-For": "\x80"})
    for text in (*BYTES, *map(quote, STRANGE)):
        assert (await visitor.get(f"/sign-in?next={text}")).status_code == 303
        for path in ("/calls?cursor=", "/calls?view=", "/calls/"):
            assert (await visitor.get(path + text)).status_code == 404, (path, text)
        assert (await visitor.get(f"/calls?at={text}")).status_code == 200
        for name in ("cursor", "state", "limit", text):
            answer = await visitor.get(f"/api/v1/calls?{name}={text}")
            assert answer.status_code == 400, (name, text)
        bearer = {"Authorization": f"Bearer {text}"}
        assert (await visitor.get("/api/v1/calls", headers=bearer)).status_code == 401
