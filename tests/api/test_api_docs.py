"""The commands of docs/api.md, run in their order against a service that begins empty."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.stores import open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.serving import serving
from tests.paths import ROOT

DATA = ROOT / "tests" / "data"


def commands() -> Iterator[tuple[str, Any]]:
    """Each curl command of the page with the answer that stands below it."""
    for block in re.findall(
        r"```console\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL
    ):
        command, _, answer = block.partition("\n")
        yield command.removeprefix("$ "), json.loads(answer)


def run(client: httpx.Client, command: str) -> Any:
    """What curl would do with the few options that the page uses."""
    program, silent, *rest = shlex.split(command)
    assert (program, silent) == ("curl", "-s")
    body = None
    form: list[Any] = []
    while len(rest) > 1:
        option, value, *rest = rest
        if option == "--data-binary":
            body = (DATA / value.removeprefix("@")).read_bytes()
        else:
            assert option == "-F"
            form.append(_part(value))
    (address,) = rest
    parts = urlsplit(address)
    method = "POST" if body or form else "GET"
    return client.request(method, f"{parts.path}?{parts.query}", content=body, files=form or None).json()


def _part(value: str) -> tuple[str, tuple[str | None, bytes | str]]:
    """A part of a form by its `name=value` or `name=@file`, as httpx takes it."""
    name, _, content = value.partition("=")
    if not content.startswith("@"):
        return name, (None, content)
    file = DATA / content.removeprefix("@")
    return name, (file.name, file.read_bytes())


def approximate(value: Any) -> Any:
    """The same with numbers that need be equal to 1e-9 only."""
    if isinstance(value, dict):
        return {key: approximate(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximate(item) for item in value]
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


@pytest.fixture
def empty_service(tmp_path: Path) -> Iterator[httpx.Client]:
    settings, metrics = settings_in(tmp_path), Metrics()
    store = open_store(settings)
    ingestion = Supervisor(settings, store, metrics)
    ingestion.start()
    try:
        with serving(create_app(settings, store, ingestion, metrics)) as client:
            yield client
    finally:
        ingestion.stop()
        store.close()


def test_answers_on_the_page_are_what_the_service_says(empty_service: httpx.Client) -> None:
    answers = [(command, run(empty_service, command)) for command, _ in commands()]
    assert answers == [(command, approximate(answer)) for command, answer in commands()]
