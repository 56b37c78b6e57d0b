from __future__ import annotations

from typing import Any

import httpx
import pytest

from tailmetrics.api.filters import failing, filter_document, parse_paths, parse_statuses
from tailmetrics.errors import QueryError
from tailmetrics.stats import Failures, RequestFilter


def test_paths_behind_a_mark_are_left_out() -> None:
    assert parse_paths(["/api/*", "!/api/health", "/"]) == (("/api/*", "/"), ("/api/health",))


@pytest.mark.parametrize(
    ("given", "ranges"),
    [
        (["404"], ((404, 404),)),
        (["5xx", "4XX"], ((400, 599),)),
        (["400-402, 403", "0"], ((0, 0), (400, 403))),
        (["2xx,204"], ((200, 299),)),
    ],
)
def test_statuses_are_ranges_apart_from_each_other(
    given: list[str], ranges: tuple[tuple[int, int], ...]
) -> None:
    assert parse_statuses(given) == ranges


@pytest.mark.parametrize("text", ["", "6xx", "99", "404-", "x", "600", "4xx-5xx", "200,"])
def test_what_is_no_status_is_named_with_what_would_be(text: str) -> None:
    with pytest.raises(QueryError, match="a status such as 404, a class such as 5xx") as caught:
        parse_statuses([text])
    assert caught.value.parameter == "status"


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(QueryError, match="404-500"):
        parse_statuses(["500-404"])


@pytest.mark.parametrize("text", ["", "!", "a\0b", "*" * 11, "a" * 1025])
def test_what_is_no_glob_of_a_path_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="path"):
        parse_paths([text])


def test_paths_without_end_are_refused() -> None:
    with pytest.raises(QueryError, match="at most 20"):
        parse_paths(["/"] * 21)


@pytest.mark.parametrize(
    ("failures", "statuses", "failed"),
    [
        ("4xx+5xx", (), ((0, 0), (400, 599))),
        ("5xx", ((400, 499),), ((1, 1),)),  # which none has
        ("5xx+429", ((400, 503),), ((429, 429), (500, 503))),
    ],
)
def test_those_that_failed_of_some_statuses(
    failures: Failures, statuses: tuple[tuple[int, int], ...], failed: tuple[tuple[int, int], ...]
) -> None:
    assert failing(failures, statuses) == failed


def test_a_filter_is_written_as_it_was_asked_for() -> None:
    only = RequestFilter(("/api/*",), ("/health",), ((0, 0), (404, 404), (500, 599)), 0.5, 2.0)
    assert filter_document(only) == {
        "path": ["/api/*", "!/health"],
        "status": ["0", "404", "5xx"],
        "min_duration": 0.5,
        "max_duration": 2.0,
    }
    assert filter_document(RequestFilter()) == {}


@pytest.mark.parametrize("path", ["/stats", "/breakdown", "/customers", "/requests", "/view"])
def test_every_figure_is_of_the_requests_that_are_asked_for(asking: httpx.Client, path: str) -> None:
    answer = asking.get(path, params={"path": ["*/resource1", "!/x"], "status": "404,5xx"})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    document = document.get("stats", document)
    assert document["filter"] == {"path": ["*/resource1", "!/x"], "status": ["404", "5xx"]}
    counted = {
        "/customers": lambda: [each["total_requests"] for each in document["customers"]],
        "/breakdown": lambda: [each["total_requests"] for each in document["paths"]],
        "/requests": lambda: [len(document["requests"])],
    }.get(path, lambda: [document["total_requests"]])
    assert counted() == [1]


def test_what_is_asked_for_of_one_customer_is_of_that_alone(asking: httpx.Client) -> None:
    asked = {"status": "200"}
    assert asking.get("/customers/cust_1/stats", params=asked).json()["total_requests"] == 1
    assert asking.get("/customers/cust_1/breakdown", params=asked).json()["paths_total"] == 1
    none = asking.get("/customers/cust_1/stats", params={"path": "/none"})
    assert (none.status_code, none.json()["total_requests"]) == (200, 0)


def test_an_answer_that_is_kept_is_not_given_for_another_filter(asking: httpx.Client) -> None:
    totals = [
        asking.get("/stats", params=asked).json()["total_requests"]
        for asked in ({}, {"status": "200"}, {"status": "404"}, {"path": "*2"}, {"path": "!*2"}, {})
    ]
    assert totals == [4, 2, 1, 1, 3, 4]


def test_records_and_csv_are_filtered_too(asking: httpx.Client) -> None:
    asked = {"status": "404", "format": "csv"}
    assert len(asking.get("/records", params=asked).text.splitlines()) == 2
    assert asking.get("/stats", params=asked).text.count(",1,0,1,") == 1


@pytest.mark.parametrize(
    "path",
    ["/stats", "/breakdown", "/customers", "/records", "/requests", "/view", "/customers/cust_1/stats"],
)
def test_a_wrong_filter_is_named_with_what_was_expected(asking: httpx.Client, path: str) -> None:
    answer = asking.get(path, params={"status": "7xx", "path": "!"})
    assert answer.status_code == 422
    assert [(each["parameter"], each["value"]) for each in answer.json()["errors"]][:2] == [
        ("path", "!"),
        ("status", "7xx"),
    ]
    assert "a class such as 5xx" in answer.json()["detail"]


def test_the_latency_of_each_part_is_there_when_it_is_asked_for(asking: httpx.Client) -> None:
    answer = asking.get("/breakdown", params={"latencies": "true"}).json()
    assert {each["path"]: each["p99_latency"] for each in answer["paths"]}["/api/v1/resource2"] == 0.5
    assert {each["status_code"]: each["p99_latency"] for each in answer["statuses"]}[404] == 0.3
    rows = asking.get("/breakdown", params={"latencies": "true", "by": "status", "format": "csv"}).text
    assert rows.splitlines()[0] == "status_code,total_requests,failed_requests,p99_latency"
    without = asking.get("/breakdown", params={"format": "csv"}).text
    assert without.splitlines()[0] == "path,total_requests,failed_requests"
