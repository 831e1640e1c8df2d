"""What is told when a request cannot have what it asks for: a page to people, problem details to programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from quart import Blueprint, Response, abort
from quart_trio import QuartTrio
from structlog.testing import capture_logs

from portal.app import BLUEPRINTS, create_app
from portal.config import PortalConfig
from portal.errors import Problem
from portal.gate import TABLE, Open
from schema.database import DatabaseAway, QueryTooSlow, SchemaOutdated, open_database
from tests.databases import KEY
from tests.portal.visitor import Visitor

PAGE = {"Accept": "text/html"}
RAISED = {
    "bug": RuntimeError("somebody's secret"),
    "group": ExceptionGroup("of one", [RuntimeError("somebody's secret")]),
    "away": DatabaseAway("it is gone"),
    "slow": QueryTooSlow(),
    "old": SchemaOutdated(),
    "problem": Problem(409, "Call ended", "It cannot be paused.", kind="urn:x", headers={"X-A": "b"}, more={"by": 1}),
    "grouped problem": ExceptionGroup("of one", [Problem(409, "Call ended", "It cannot be paused.")]),
}
failing = Blueprint("failing", __name__)


@failing.get("/fail/<kind>")
@failing.get("/api/fail/<kind>")
async def fail(kind: str) -> Response:
    if kind.isdigit():
        abort(int(kind))
    raise RAISED[kind]


@pytest.fixture
def failing_app(config: PortalConfig, monkeypatch: pytest.MonkeyPatch) -> QuartTrio:
    """A portal in which things go wrong; its database is not needed."""
    monkeypatch.setattr("portal.app.BLUEPRINTS", (*BLUEPRINTS, failing))
    monkeypatch.setattr("portal.gate.TABLE", {**TABLE, "failing.fail": Open.PUBLIC})
    return create_app(config, None)


async def problem(app: QuartTrio, path: str, **headers: str) -> tuple[Response, dict[str, Any]]:
    answer = await Visitor(app).get(path, headers=headers)
    assert answer.content_type == "application/problem+json"
    return answer, json.loads(await answer.get_data())


async def page(app: QuartTrio, path: str) -> tuple[Response, str]:
    answer = await Visitor(app).get(path, headers=PAGE)
    assert answer.content_type == "text/html; charset=utf-8"
    return answer, (await answer.get_data()).decode()


@pytest.mark.parametrize(
    ("kind", "status", "title"),
    [
        ("400", 400, "Not understood"),
        ("403", 403, "Not permitted"),
        ("404", 404, "Not found"),
        ("405", 405, "Not possible here"),
        ("413", 413, "Too much"),
        ("bug", 500, "Something went wrong"),
        ("group", 500, "Something went wrong"),
        ("away", 503, "The database cannot be reached"),
        ("slow", 503, "This takes too long"),
        ("old", 503, "The database is not up to date"),
        ("problem", 409, "Call ended"),
        ("grouped problem", 409, "Call ended"),
    ],
)
async def test_each_problem_has_a_title_and_a_sentence(
    failing_app: QuartTrio, kind: str, status: int, title: str
) -> None:
    answer, told = await problem(failing_app, f"/api/fail/{kind}")
    assert answer.status_code == status
    assert {name: told[name] for name in ("status", "title")} == {"status": status, "title": title}
    assert told["instance"] == f"/api/fail/{kind}"
    assert told["detail"].endswith(".")
    answer, shown = await page(failing_app, f"/fail/{kind}")
    assert answer.status_code == status
    assert title in shown
    assert told["detail"][:20] in shown


async def test_a_problem_keeps_its_type_headers_and_members(failing_app: QuartTrio) -> None:
    answer, told = await problem(failing_app, "/api/fail/problem")
    assert (told["type"], told["by"], answer.headers["X-A"]) == ("urn:x", 1, "b")


@pytest.mark.parametrize("kind", ["bug", "group"])
async def test_a_failure_of_ours_shows_the_number_under_which_the_log_has_it(failing_app: QuartTrio, kind: str) -> None:
    with capture_logs() as lines:
        _, shown = await page(failing_app, f"/fail/{kind}")
    (line,) = [line for line in lines if line["event"] == "request_failed"]
    assert line["number"] in shown
    assert line["exc_info"] is RAISED[kind] or line["exc_info"] in RAISED[kind].exceptions  # type: ignore[attr-defined]
    assert "secret" not in shown
    assert "Traceback" not in shown


async def test_when_the_database_is_away_one_is_told_when_to_come_back(failing_app: QuartTrio) -> None:
    answer, shown = await page(failing_app, "/fail/away")
    assert int(answer.headers["Retry-After"]) > 0
    assert "nothing of them is lost" in shown


async def test_scripts_of_our_pages_get_problem_details(failing_app: QuartTrio) -> None:
    for headers in ({"X-Requested-With": "fetch"}, {"Sec-Fetch-Mode": "cors"}):
        assert (await problem(failing_app, "/fail/404", **headers))[1]["status"] == 404
    answer = await Visitor(failing_app).get("/fail/404", headers={"Sec-Fetch-Mode": "navigate"})
    assert answer.content_type.startswith("text/html")


async def test_a_method_that_is_not_taken_is_answered_with_those_that_are(failing_app: QuartTrio) -> None:
    answer = await Visitor(failing_app).client.put("/sign-in")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


async def test_a_body_that_is_too_long_is_refused(config: PortalConfig) -> None:
    async with open_database(config.database_url, migrate=True, key=KEY):
        answer = await Visitor(create_app(config, None)).post("/sign-in", {"login": "x" * 100_000})
    assert answer.status_code == 413


async def test_health_tells_programs_that_the_database_is_away(config: PortalConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_database(f"sqlite:///{tmp_path}/file/earshot.sqlite", migrate=True, key=KEY):
        for _ in range(2):
            answer, told = await problem(create_app(config, None), "/health")
            assert (answer.status_code, told["title"]) == (503, "The database cannot be reached")


async def test_health_is_ok(visitor: Visitor) -> None:
    answer = await visitor.get("/health")
    assert (answer.status_code, await answer.get_json()) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"
