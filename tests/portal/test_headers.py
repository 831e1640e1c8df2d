"""What every answer says to browsers, and how static files are kept."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pytest
from quart_trio import QuartTrio

from portal.app import create_app
from portal.config import PortalConfig
from portal.headers import csp_nonce
from portal.static import StaticFiles
from tests.portal.visitor import Visitor


def policy(response: object) -> dict[str, list[str]]:
    """The content security policy, by directive."""
    value = response.headers["Content-Security-Policy"]  # type: ignore[attr-defined]
    return {name: sources for name, *sources in (directive.split() for directive in value.split(";"))}


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/api/v1/nowhere", "/static/css/earshot.css"])
async def test_nothing_from_elsewhere_and_nothing_inline(visitor: Visitor, path: str) -> None:
    answer = await visitor.get(path, headers={"Host": "calls.example.com:8080"})
    found = policy(answer)
    assert found["default-src"] == found["frame-ancestors"] == found["base-uri"] == ["'none'"]
    assert found["script-src"] == found["form-action"] == ["'self'"]
    assert all(source == "'self'" or source.startswith("'nonce-") for source in found["style-src"])
    assert found["connect-src"] == ["'self'", "ws://calls.example.com:8080"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & {
        each for sources in found.values() for each in sources
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in answer.headers
    assert "Server" not in answer.headers


@pytest.mark.parametrize("host", ["x; script-src *", "x script-src", "", "a,b"])
async def test_a_host_that_is_none_does_not_get_into_the_policy(visitor: Visitor, host: str) -> None:
    assert policy(await visitor.get("/sign-in", headers={"Host": host}))["connect-src"] == ["'self'"]


async def test_under_https_cookies_and_browsers_stay_with_it(config: PortalConfig) -> None:
    visitor = Visitor(create_app(replace(config, public_url="https://calls.example.com"), None))
    answer = await visitor.get("/sign-in", headers={"Host": "calls.example.com"})
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert answer.headers["Set-Cookie"].startswith("__Host-earshot=")
    assert "; Secure;" in answer.headers["Set-Cookie"]
    assert policy(answer)["connect-src"] == ["'self'", "wss://calls.example.com"]


async def test_a_nonce_holds_for_one_answer(app: QuartTrio) -> None:
    nonces = []
    for _ in range(2):
        async with app.test_request_context("/sign-in"):
            nonces.append(csp_nonce())
            assert csp_nonce() == nonces[-1]
            answer = await app.process_response(app.response_class(""))
        assert policy(answer)["style-src"] == ["'self'", f"'nonce-{nonces[-1]}'"]
    assert nonces[0] != nonces[1]


async def test_pages_hold_no_inline_script_and_no_style_without_the_answers_nonce(visitor: Visitor) -> None:
    answer = await visitor.get("/sign-in")
    page = (await answer.get_data()).decode()
    assert not re.search(r"\sstyle=|\son\w+=|javascript:", page)
    (nonce,) = policy(answer)["style-src"][1:]
    assert re.findall(r"<style[^>]*>", page) == [f'<style nonce="{nonce[7:-1]}">']
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", page))


async def test_pages_are_not_kept(visitor: Visitor) -> None:
    assert (await visitor.get("/sign-in")).headers["Cache-Control"] == "no-store"


# Static files


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "a.js").write_text("let a = 1;\n" * 1000)
    (tmp_path / "tiny.svg").write_text("<svg/>")
    (tmp_path / ".hidden").write_text("x")
    return StaticFiles(tmp_path)


async def test_a_file_under_its_version_is_kept_for_ever(visitor: Visitor) -> None:
    page = (await (await visitor.get("/sign-in")).get_data()).decode()
    found = re.search(r"/static/\w+/css/earshot\.css", page)
    assert found
    answer = await visitor.get(found[0])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert "Set-Cookie" not in answer.headers


async def test_a_file_under_another_version_or_none_is_asked_for_again(app: QuartTrio, files: StaticFiles) -> None:
    for name in ("js/a.js", "0123456789ab/js/a.js"):
        async with app.test_request_context("/"):
            answer = await files.serve(name)
        assert answer.headers["Cache-Control"] == "no-cache"
        async with app.test_request_context("/", headers={"If-None-Match": answer.headers["ETag"]}):
            again = await files.serve(name)
        assert (again.status_code, await again.get_data()) == (304, b"")


async def test_files_are_compressed_for_who_takes_that(app: QuartTrio, files: StaticFiles) -> None:
    async with app.test_request_context("/", headers={"Accept-Encoding": "gzip, br"}):
        compressed = await files.serve("js/a.js")
        tiny = await files.serve("tiny.svg")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await compressed.get_data()) == b"let a = 1;\n" * 1000
    assert "Content-Encoding" not in tiny.headers
    async with app.test_request_context("/", headers={"Accept-Encoding": "gzip;q=0"}):
        plain = await files.serve("js/a.js")
    assert await plain.get_data() == b"let a = 1;\n" * 1000
    assert (plain.content_type, tiny.content_type) == ("text/javascript; charset=utf-8", "image/svg+xml")


def test_a_file_that_changes_makes_another_version(tmp_path: Path, files: StaticFiles) -> None:
    assert StaticFiles(tmp_path).version == files.version
    (tmp_path / "tiny.svg").write_text("<svg></svg>")
    assert StaticFiles(tmp_path).version != files.version


@pytest.mark.parametrize("path", ["/static/", "/static/../gate.py", "/static/%2e%2e/gate.py", "/static/.gitignore"])
async def test_nothing_else_is_served(visitor: Visitor, path: str) -> None:
    assert (await visitor.get(path)).status_code == 404


async def test_hidden_files_are_not_served(files: StaticFiles) -> None:
    assert ".hidden" not in files._files
