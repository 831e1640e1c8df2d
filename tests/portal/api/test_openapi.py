"""The OpenAPI document and the API say the same: routes, methods, answers, examples."""

import json
import re

import msgspec
import pytest

from portal.api import models
from portal.api.openapi import document
from portal.gate import TABLE, Open
from tests.portal.api.conftest import Api, keep

METHODS = {"get", "put", "post", "delete", "patch", "head"}


def documented() -> set[tuple[str, str]]:
    paths = document()["paths"]
    return {(path, method) for path, item in paths.items() for method in item if method in METHODS}


async def test_anybody_may_have_it(app):
    response = await Api(app).get("/api/v1/openapi.json")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    served = await response.get_json()
    assert served == json.loads(json.dumps(document()))
    assert served["openapi"] == "3.1.0"


async def test_every_route_is_in_it_and_nothing_else(app):
    routes = set()
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("api."):
            continue
        path = re.sub(r"<[^>]*>", "{id}", rule.rule)
        # HEAD is worth a word where the length matters; elsewhere Quart answers it like GET.
        routes |= {
            (path, method.lower())
            for method in rule.methods
            if method != "OPTIONS" and (method != "HEAD" or path.endswith("/audio"))
        }
    assert documented() == routes


async def test_what_needs_no_token_is_marked_so(app):
    for path, item in document()["paths"].items():
        for method in METHODS & item.keys():
            public = item[method].get("security") == []
            assert public == (path == "/api/v1/openapi.json")
    assert [endpoint for endpoint, need in TABLE.items() if endpoint.startswith("api.") and need is Open.PUBLIC] == [
        "api.openapi"
    ]


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(member) for member in value.values()))
    if isinstance(value, list):
        return set().union(*(references(member) for member in value))
    return set()


def test_every_reference_leads_somewhere_and_nothing_lies_unused():
    whole = document()
    named = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in whole["components"][kind]}
    assert references(whole) == named


@pytest.mark.parametrize("path", sorted(document()["paths"]))
def test_every_operation_says_what_it_is_and_what_may_go_wrong(path):
    for method, operation in document()["paths"][path].items():
        if method == "parameters":
            continue
        assert operation["summary"]
        assert {"200"} <= operation["responses"].keys()
        if path != "/api/v1/openapi.json":
            assert {"401", "403", "503"} <= operation["responses"].keys()
        if "{id}" in path:
            assert "404" in operation["responses"]


def test_examples_are_what_the_models_take():
    examples = {}
    for item in document()["paths"].values():
        for method in METHODS & item.keys():
            operation = item[method]
            for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in holder.get("content", {}).values():
                    if "example" in content:
                        examples[content["schema"]["$ref"].rsplit("/", 1)[1]] = content["example"]
    assert sorted(examples) == ["Call", "CallList", "RecordingChange", "RecordingState"]
    for name, example in examples.items():
        taken = msgspec.convert(example, getattr(models, name), strict=False)
        assert json.loads(msgspec.json.encode(taken)) == example


async def test_real_answers_are_what_the_schemas_describe(api, keep_recorded):
    record = await keep_recorded()
    await keep()
    schemas = document()["components"]["schemas"]
    for path, name in (("/api/v1/calls", "CallList"), (f"/api/v1/calls/{record.id}", "Call")):
        check(await (await api.get(path)).get_json(), schemas[name], schemas)
    problem = await api.get("/api/v1/calls?limit=x")
    check(await problem.get_json(), schemas["Problem"], schemas)


KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def check(value: object, schema: dict, schemas: dict) -> None:
    """Checks a value against as much of JSON Schema as the document uses."""
    if "$ref" in schema:
        return check(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in schema:
        chosen = [one for one in schema["anyOf"] if (one.get("type") == "null") == (value is None)]
        assert len(chosen) == 1
        return check(value, chosen[0], schemas)
    if "enum" in schema:
        assert value in schema["enum"]
        return None
    if schema["type"] == "null":
        assert value is None
        return None
    assert isinstance(value, KINDS[schema["type"]])
    if isinstance(value, dict):
        assert value.keys() >= set(schema["required"])
        assert value.keys() == schema["properties"].keys()
        for name, member in value.items():
            check(member, schema["properties"][name], schemas)
    if isinstance(value, list):
        for item in value:
            check(item, schema["items"], schemas)
    return None
