"""What a request is told when it cannot have what it asks for: a page with a sentence, or problem details (RFC 9457).

Problem details go to everybody below /api, to scripts of our own pages (they say so by `X-Requested-With`, or the
browser does by `Sec-Fetch-Mode`), and to websockets that were not opened; all others see a page. A failure of ours
shows a number that stands in the log beside the traceback, and nothing else of it.

Not here: when something is refused (each page and `gate.py` know), and the closing codes of open websockets.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from quart import Response, current_app, has_request_context, render_template, request, websocket
from quart_babel import gettext
from werkzeug.exceptions import HTTPException

from schema.database import DatabaseError, QueryTooSlow, SchemaOutdated
from schema.refusals import NotThere

log = structlog.get_logger()

API: Final = "/api/"
# Nobody looks at what is below these but programs.
FOR_PROGRAMS: Final = (API, "/health")
PROBLEM_TYPE: Final = "application/problem+json"
# How soon it is worth asking again when the database is away.
AGAIN_S: Final = 5


class Problem(Exception):
    """An answer other than what was asked for; raise it wherever a request is handled.

    `title` names the kind of problem, `detail` says what happened and what to do, both in the reader's language.
    `kind` is the problem's type (RFC 9457 section 3.1.1), `more` its extension members.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        kind: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.kind = kind
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def by_script() -> bool:
    """Whether the current request was made by a script, which can read problem details and shows no page."""
    if request.path.startswith(FOR_PROGRAMS) or "X-Requested-With" in request.headers:
        return True
    return request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"


def not_found() -> Problem:
    """What is not there, or is not to be seen by whoever asks: nobody can tell which."""
    return Problem(404, gettext("Not found"), gettext("There is nothing here, or nothing that you may see."))


def forbidden() -> Problem:
    return Problem(403, gettext("Not permitted"), gettext("Your role does not permit this. An administrator can."))


def another_tenant() -> Problem:
    """What was begun for a tenant other than the one that an operator looks at now."""
    return Problem(
        409,
        gettext("You look at another tenant now"),
        gettext(
            "This was begun for another tenant than the one that you look at now, and nothing was changed. Look at "
            "that tenant again and repeat it, or begin anew here."
        ),
    )


async def answer(problem: Problem) -> Response:
    """The response that tells of a problem, to the request or websocket at hand."""
    if has_request_context() and not by_script():
        page = await render_template("error.html", problem=problem)
        return Response(page, problem.status, problem.headers)
    members = {
        "type": problem.kind,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path if has_request_context() else websocket.path,
        **problem.more,
    }
    return Response(json.dumps(members), problem.status, problem.headers, content_type=PROBLEM_TYPE)


def register(app: Any) -> None:
    """Answers every failure of `app` with a sentence."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DatabaseError, _database)
    app.register_error_handler(NotThere, _not_there)
    app.register_error_handler(Exception, _unforeseen)


async def _http(error: HTTPException) -> Response:
    """What Quart itself refuses: an address that is not there, a method, a body that is too long."""
    # A redirect that was raised (to the address with or without its last slash) is no problem.
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return await current_app.make_response(error)  # type: ignore[return-value]  # it is one of ours
    if error.code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        return await answer(forbidden() if error.code == HTTPStatus.FORBIDDEN else not_found())
    known = SENTENCES.get(error.code)
    title, detail = known() if known else (HTTPStatus(error.code).phrase, error.description or "")
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return await answer(Problem(error.code, title, detail, headers=headers))


async def _database(error: DatabaseError) -> Response:
    again = {"Retry-After": str(AGAIN_S)}
    if isinstance(error, QueryTooSlow):
        title, detail = gettext("This takes too long"), gettext("The database did not answer in time. Ask for less.")
    elif isinstance(error, SchemaOutdated):
        title = gettext("The database is not up to date")
        detail = gettext("An administrator of the system must run: earshot migrate. Calls are recorded meanwhile.")
    else:
        title = gettext("The database cannot be reached")
        detail = gettext(
            "Calls are recorded all the same, and nothing of them is lost. They appear here once the database is back."
        )
    log.warning("database_unavailable", reason=str(error))
    return await answer(Problem(503, title, detail, headers=again, more={"part": "database"}))


async def _not_there(_: NotThere) -> Response:
    return await answer(not_found())


async def _unforeseen(error: Exception) -> Response:
    number = secrets.token_hex(4)
    path = request.path if has_request_context() else websocket.path
    log.error("request_failed", number=number, path=path, exc_info=error)
    detail = gettext(
        "This is our fault. No recording is affected. If it happens again, tell your administrator the number "
        "%(number)s: the log says more under it.",
        number=number,
    )
    return await answer(Problem(500, gettext("Something went wrong"), detail, more={"number": number}))


SENTENCES: Final[Mapping[int, Callable[[], tuple[str, str]]]] = {
    400: lambda: (gettext("Not understood"), gettext("The request is not complete or not well-formed.")),
    405: lambda: (gettext("Not possible here"), gettext("This address does not take that method.")),
    413: lambda: (gettext("Too much"), gettext("The request is longer than what is accepted here.")),
}
