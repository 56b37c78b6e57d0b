from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.settings import Settings
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.serving import serving

METHODS = ("get", "post")


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method} {path}", item[method]


def test_every_operation_and_parameter_is_described(document: dict[str, Any]) -> None:
    bare = [
        f"{name} {parameter.get('name', '')}"
        for name, operation in operations(document)
        for parameter in [operation, *operation.get("parameters", [])]
        if not parameter.get("description")
    ]
    assert bare == []


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    others = [
        f"{name} {status}"
        for name, operation in operations(document)
        for status, response in operation["responses"].items()
        if status >= "400" and "application/problem+json" not in response["content"]
    ]
    assert others == ["get /serving 503", "get /ready 503"]  # which says what is not ready


def test_a_log_is_text_or_a_file_to_choose(document: dict[str, Any]) -> None:
    kinds = document["paths"]["/load"]["post"]["requestBody"]["content"]
    assert list(kinds) == ["text/plain", "multipart/form-data"]
    assert kinds["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"


def test_figures_have_their_units(document: dict[str, Any]) -> None:
    figures = document["components"]["schemas"]["Window"]["properties"]
    assert "seconds" in figures["p99_latency"]["description"]
    assert "Percent" in figures["uptime"]["description"]


def test_a_key_is_documented_only_when_one_is_set(
    tmp_path_factory: pytest.TempPathFactory, store: Store, document: dict[str, Any]
) -> None:
    settings: Settings = settings_in(tmp_path_factory.mktemp("key"), api_key="secret")
    with serving(create_app(settings, store, None, Metrics())) as client:
        with_key = client.get("/openapi.json").json()
    assert with_key["paths"]["/load"]["post"]["security"] == [{"APIKeyHeader": []}]
    assert "security" not in document["paths"]["/load"]["post"]
