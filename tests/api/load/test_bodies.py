from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import LOG
from tests.api.fakes import FakeIngestion


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "multipart/mixed; boundary=x"}, {"Content-Encoding": "br"}]
)
def test_a_body_that_is_not_the_log_itself_is_415(loading: httpx.Client, headers: dict[str, str]) -> None:
    assert loading.post("/load", content=LOG, headers=headers).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"path": "2024/a.log", "format": "nginx"}},
        {"data": {"path": "2024/a.log", "format": "nginx"}},
        {"files": {"path": (None, "2024/a.log"), "format": (None, "nginx")}},
    ],
)
def test_the_path_may_be_in_the_body(
    below: httpx.Client, ingestion: FakeIngestion, body: dict[str, Any]
) -> None:
    assert below.post("/load", **body).status_code == 200
    [load] = ingestion.loads
    assert (load.display_name, load.format_name) == ("2024/a.log", "nginx")


@pytest.mark.parametrize("pieces", [False, True])
def test_a_log_beside_a_path_is_refused(
    below: httpx.Client, ingestion: FakeIngestion, *, pieces: bool
) -> None:
    content = iter([LOG]) if pieces else LOG
    response = below.post("/load", content=content, params={"path": "a.log"})
    [problem] = response.json()["errors"]
    assert (response.status_code, problem["expected"]) == (422, "no path beside a log in the body")
    assert not ingestion.loads


@pytest.mark.parametrize(
    "body",
    [
        b'{"timestamp": 1, "path": "/cart", "customer_id": "a", "status_code": 200}',
        b"[1]",
        b'{"a": 1}\n{"a":',
    ],
)
def test_json_that_is_no_path_is_a_log(below: httpx.Client, ingestion: FakeIngestion, body: bytes) -> None:
    below.post("/load", content=body, headers={"Content-Type": "application/json"})
    assert ingestion.loads[0].content == body


@pytest.mark.parametrize("body", [b'{"path": ', b"{", b'\n{"path": "a.log"\n}}'])
def test_broken_json_is_400_unless_lines_may_look_like_that(
    below: httpx.Client, ingestion: FakeIngestion, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    response = below.post("/load", content=body, headers=headers)
    assert (response.status_code, "format=json" in response.json()["detail"], ingestion.loads) == (
        400,
        True,
        [],
    )
    below.post("/load", content=body, headers=headers, params={"format": "json"})
    assert ingestion.loads[0].content == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"json": {"path": "a.log", "wait": "maybe"}}, "wait: found 'maybe', expected true or false"),
        ({"json": {"path": "a.log", "wait": [1]}}, "wait: found '[1]', expected true or false"),
        ({"json": {"path": 5}}, "path: found '5', expected text"),
        ({"files": {"path": (None, "a.log"), "wait": (None, "maybe")}}, "wait: found 'maybe', expected true"),
        ({"data": {"path": "a" * 4097}}, "…', expected at most 4096 characters"),
    ],
)
def test_what_is_wrong_in_a_body_is_said_as_of_a_parameter(
    below: httpx.Client, body: dict[str, Any], expected: str
) -> None:
    response = below.post("/load", **body)
    assert (response.status_code, expected in response.json()["detail"]) == (422, True), response.json()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl calls every body


@pytest.mark.parametrize("lines", [2, 30_000], ids=["short", "longer than a line may be"])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_log_without_its_line_ends_is_refused_with_the_right_command(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, lines: int, pieces: bool
) -> None:
    body = (LOG * lines).replace(b"\n", b"")
    response = loading.post("/load", content=iter([body]) if pieces else body, headers=FORM)
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (422, [], [])
    assert f"found one line of {len(body)} bytes" in response.json()["detail"]
    assert "--data-binary @FILE" in response.json()["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        lambda body: {"content": body, "headers": {"Content-Type": "text/plain"}},
        lambda body: {"content": body},
        lambda body: {"content": gzip.compress(body)},
        lambda body: {"files": {"file": ("x.log", body)}},
    ],
    ids=["text", "no type", "compressed", "form"],
)
def test_a_body_of_one_line_that_is_too_long_is_refused_however_it_is_sent(
    loading: httpx.Client,
    ingestion: FakeIngestion,
    tmp_path: Path,
    sent: Callable[[bytes], dict[str, Any]],
) -> None:
    body = (LOG * 30_000).replace(b"\n", b"")
    response = loading.post("/load", params={"format": "requests"}, **sent(body))
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (422, [], [])
    assert "`--data-binary @FILE`, `-X POST -T FILE`" in response.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [LOG, LOG.strip(), LOG * 30_000, b"no request\n" + LOG, b"no request\n", b" ", b"a" * 2_000_000 + b"\n"],
    ids=["a line", "no end", "many", "a reject", "only a reject", "blank", "a long line"],
)
def test_a_log_that_curl_calls_a_form_is_loaded(
    loading: httpx.Client, ingestion: FakeIngestion, body: bytes
) -> None:
    loading.post("/load", content=body, headers=FORM)
    assert ingestion.loads[0].content == body


def test_a_line_is_read_in_the_format_that_is_asked_for(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    body = b'{"timestamp": 1, "path": "/cart", "customer_id": "a", "status_code": 200}'
    as_requests = loading.post("/load", content=body, headers=FORM, params={"format": "requests"})
    assert as_requests.status_code == 422
    loading.post("/load", content=body, headers=FORM, params={"format": "json", "wait": "true"})
    assert [load.content for load in ingestion.loads] == [body]
