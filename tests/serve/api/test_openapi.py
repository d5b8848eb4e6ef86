"""The OpenAPI document is the one in docs, and the server keeps to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from kinema.serve.api import keys
from kinema.serve.api.openapi import document
from kinema.serve.api.webhooks import webhook_routes
from kinema.serve.fetch import Guard
from tests.serve.api.conftest import running

FILE = Path(__file__).parents[3] / "docs" / "openapi.json"
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}


def test_the_document_is_up_to_date():
    assert FILE.read_text(encoding="utf-8") == document(), "run python -m kinema.serve.api.openapi"


def test_every_operation_tells_what_it_takes_and_answers():
    told = json.loads(document())
    assert told["openapi"].startswith("3.1")
    operations = [(path, m, op) for path, item in told["paths"].items() for m, op in item.items() if m in METHODS]
    assert len(operations) >= 20
    for path, method, op in operations:
        assert op["summary"], path
        assert op["description"], path
        assert any(status.startswith("2") for status in op["responses"]) or path.endswith(
            ("/characters", "/characters/{id}")
        )
        if method in ("post", "patch", "delete") and path.startswith("/v1"):
            assert {"401", "403"} <= set(op["responses"]), path
    refs = json.dumps(told).split('"$ref": "#/')[1:]
    for ref in refs:
        place: Any = told
        for part in ref.partition('"')[0].split("/"):
            place = place[part]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    routers = [webhook_routes(Guard()), keys.router]
    with running(tmp_path_factory.mktemp("fuzz"), hosts=("testserver",), routers=routers) as server:
        yield schemathesis.openapi.from_asgi("/openapi.json", server.app)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nothing_undocumented(schema: Any, mode: GenerationMode):
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=6,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            phases=[Phase.generate],
        )
        def keeps_to_it(case: schemathesis.Case) -> None:
            nonlocal seen
            seen += 1
            case.call_and_validate(checks=CHECKS)

        with suppress(Unsatisfiable):
            # an operation without parameters can't be asked wrongly
            keeps_to_it()
    assert seen > 60
