"""The API's description: an OpenAPI 3.1 document, made of the values in `models.py` and of the table of routes below.

Written here and not by an extension of Quart: errors are application/problem+json, audio is binary, comes in four media
types and in parts, and of all that the extension at hand knows nothing.

Not here: the routes themselves (`calls.py`); a test holds the two together.
"""

import functools
from typing import Any, Final

import msgspec

from portal.api.models import (
    DEFAULT_LIMIT,
    MOST_CALLS,
    Call,
    CallList,
    Problem,
    RecordingChange,
    RecordingState,
)
from portal.audio import CONTENT_TYPES
from portal.config import VERSION
from schema.values import CallStage

SCHEMAS: Final = "#/components/schemas/{name}"
RESPONSES: Final = "#/components/responses/"
DESCRIPTION: Final = (
    "Calls, their recordings, and control of those that run. An administrator of the system makes tokens with "
    "`earshot token add`; a token reaches the calls that its user reaches. Times are in UTC; what is not known is "
    "null; fields are only ever added. Errors are problem details (RFC 9457)."
)
ID: Final = "019ccf3a-7c1e-7b7e-9a61-0a1b2c3d4e5f"
PARTY: Final[dict[str, Any]] = {
    "number": "12333001100",
    "name": "Ann Smith",
    "phone_id": "ann@pbx.example.com",
    "address": "192.0.2.10:40000",
    "user_id": "019ccf3a-0000-7b7e-9a61-0a1b2c3d4e5f",
}
CALL: Final[dict[str, Any]] = {
    "id": ID,
    "state": "finished",
    "end": "normal",
    "direction": "inbound",
    "started_at": "2026-03-05T14:03:22.120Z",
    "connected_at": "2026-03-05T14:03:22.341Z",
    "ended_at": "2026-03-05T14:04:17.220Z",
    "duration_s": 55.1,
    "from": {"number": "442071838750", "name": None, "phone_id": None, "address": "192.0.2.10:40002", "user_id": None},
    "to": PARTY,
    "mode": "always-pause",
    "recording": "off",
    "kept": True,
    "pauses": [{"start_s": 12.34, "end_s": 20.5, "by": "ann"}],
    "interaction_id": ID,
    "confidential": False,
    "warnings": [],
    "audio": {
        "url": f"/api/v1/calls/{ID}/audio",
        "format": "opus",
        "bytes": 165_000,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
}
# Status, name of the component, what it means.
PROBLEMS: Final = (
    (400, "NotUnderstood", "A parameter or the body is not what it must be; the detail says what is allowed."),
    (401, "NotSignedIn", "No token, or one that is not valid."),
    (403, "NotPermitted", "The role of the token's user does not permit this, whichever call it is about."),
    (404, "NotFound", "There is no such call, or none that may be seen, or no audio of it."),
    (409, "NotPossible", "The state of the call forbids this; the type says which: "
     "`urn:earshot:problem:not-finished`, `urn:earshot:problem:call-ended` or `urn:earshot:problem:refused`."),
    (413, "TooMuch", "The body is too long."),
    (415, "NotJson", "The body is not application/json."),
    (416, "BeyondTheEnd", "The range begins after the end; Content-Range says how long the file is."),
    (422, "NotAccepted", "The body is JSON and says something else than it may."),
    (503, "Unavailable", "The database is away, or a recording cannot be converted now. Calls are recorded meanwhile."),
    (504, "NoAnswer", "The call's recorder did not answer in two seconds. Repeating the request does no harm."),
)  # fmt: skip


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document, ready for JSON."""
    types = (CallList, Call, RecordingChange, RecordingState, Problem)
    _, schemas = msgspec.json.schema_components(types, ref_template=SCHEMAS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Earshot", "version": VERSION, "description": DESCRIPTION},
        "security": [{"token": []}],
        "paths": {
            "/api/v1/openapi.json": {"get": _document()},
            "/api/v1/calls": {"get": _list()},
            "/api/v1/calls/{id}": {"parameters": [_id()], "get": _call()},
            "/api/v1/calls/{id}/recording": {"parameters": [_id()], "put": _recording()},
            "/api/v1/calls/{id}/audio": {"parameters": [_id()], "get": _audio("get"), "head": _audio("head")},
        },
        "components": {
            "schemas": dict(schemas),
            "responses": {name: _problem(status, meaning) for status, name, meaning in PROBLEMS},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "What `earshot token add` printed."}
            },
        },
    }


def _document() -> dict[str, Any]:
    return {
        "operationId": "getDocument",
        "summary": "This document",
        "security": [],
        "responses": {"200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {}}}}},
    }


def _list() -> dict[str, Any]:
    return {
        "operationId": "listCalls",
        "summary": "Calls, newest first",
        "parameters": [
            _query("state", "Only calls in this state.", {"enum": [str(stage) for stage in CallStage]}),
            _query("limit", "At most so many.", _limits()),
            _query("cursor", "`next` of the page before.", {"type": "string"}),
        ],
        "responses": {
            "200": _json("A page of calls.", "CallList", {"calls": [CALL], "next": None}),
            **_problems(400, 401, 403, 503),
        },
    }


def _call() -> dict[str, Any]:
    return {
        "operationId": "getCall",
        "summary": "One call",
        "responses": {"200": _json("The call.", "Call", CALL), **_problems(400, 401, 403, 404, 503)},
    }


def _recording() -> dict[str, Any]:
    return {
        "operationId": "changeRecording",
        "summary": "Pause or resume the recording of a running call",
        "description": "Answered once the recorder has done it: nothing that was said after `position_s` is kept "
        "while it is paused. Repeating a request changes nothing, and is answered with the same position.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("RecordingChange"), "example": {"state": "paused"}},
            },
        },
        "responses": {
            "200": _json("What the recording does now.", "RecordingState", {"state": "paused", "position_s": 12.34}),
            **_problems(400, 401, 403, 404, 409, 413, 415, 422, 503, 504),
        },
    }


def _audio(method: str) -> dict[str, Any]:
    audio: dict[str, Any] = {content_type.split(";")[0]: {} for content_type in CONTENT_TYPES.values()}
    # RFC 9110 section 9.3.2: to HEAD the same headers are sent, and no content.
    content = {"content": audio} if method == "get" else {}
    length = {"Content-Range": {"description": "Which part of how many bytes.", "schema": {"type": "string"}}}
    part = {"206": {"description": "One range of it.", "headers": length, **content}} if method == "get" else {}
    return {
        "operationId": f"{method}Audio",
        "summary": "The recording of a finished call" if method == "get" else "Length and type of a recording",
        "description": "Stereo: channel 0 is the caller, channel 1 the callee. One range is sent as such; a request "
        "for several gets the whole file. Another format than the stored one is made at the first request for it, "
        "which may take some seconds.",
        "parameters": [
            _query("format", "The stored format if it is not given.", {"enum": list(CONTENT_TYPES)}),
            _header("Range", "One range of bytes, such as `bytes=0-1023`."),
            _header("If-Range", "The ETag of what the range belongs to."),
            _header("If-None-Match", "ETags for which nothing needs to be sent."),
        ],
        "responses": {
            "200": {
                "description": "All of it.",
                "headers": {"ETag": {"description": "Changes with the content.", "schema": {"type": "string"}}},
                **content,
            },
            **part,
            "304": {"description": "As If-None-Match says: it has not changed."},
            **_problems(400, 401, 403, 404, 409, *([416] if method == "get" else []), 503),
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": SCHEMAS.format(name=name)}


def _json(description: str, schema: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(schema), "example": example}},
    }


def _problem(status: int, meaning: str) -> dict[str, Any]:
    headers = {401: "WWW-Authenticate", 416: "Content-Range", 503: "Retry-After"}
    sent = {headers[status]: {"schema": {"type": "string"}}} if status in headers else {}
    described = {"description": meaning, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    return described | ({"headers": sent} if sent else {})


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": RESPONSES + name} for status, name, _ in PROBLEMS if status in statuses}


def _id() -> dict[str, Any]:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _limits() -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": MOST_CALLS, "default": DEFAULT_LIMIT}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
