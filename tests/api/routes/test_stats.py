from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import quote

import httpx
import pytest

from tailmetrics.api import documents
from tests.api.conftest import ODD_IDS

NO_REQUESTS = {
    "total_requests": 0,
    "successful_requests": 0,
    "failed_requests": 0,
    "uptime": None,
    "average_latency": None,
    "median_latency": None,
    "p99_latency": None,
}


def problems_of(response: httpx.Response) -> dict[str, str]:
    """Wrong parameters of an answer, each with what was expected."""
    assert response.status_code == 422
    return {problem["parameter"]: problem["expected"] for problem in response.json()["errors"]}


def test_a_customers_answer_has_totals_and_one_entry_a_day(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/stats").json()
    windows = answer.pop("windows")
    assert answer == {
        "customer_id": "cust_1",
        "from": "2024-10-10T00:00:00Z",
        "to": "2024-10-12T00:00:00Z",
        "every": "1d",
        "tz": "UTC",
        "failures": "4xx+5xx",
        "uptime_method": "requests",
        "total_requests": 3,
        "successful_requests": 1,
        "failed_requests": 2,
        "uptime": pytest.approx(100 / 3),
        "average_latency": pytest.approx(0.3),
        "median_latency": pytest.approx(0.3),
        "p99_latency": pytest.approx(0.496),
    }
    assert [(window["start"], window["end"], window["total_requests"]) for window in windows] == [
        ("2024-10-10T00:00:00Z", "2024-10-11T00:00:00Z", 2),
        ("2024-10-11T00:00:00Z", "2024-10-12T00:00:00Z", 1),
    ]


def test_windows_have_the_seven_figures_and_their_bounds(client: httpx.Client) -> None:
    window = client.get("/customers/cust_1/stats").json()["windows"][0]
    assert window.keys() == NO_REQUESTS.keys() | {"start", "end"}


@pytest.mark.parametrize("customer_id", ODD_IDS)
def test_any_id_can_be_asked_for_percent_encoded(client: httpx.Client, customer_id: str) -> None:
    # httpx resolves dot segments, as browsers do; on the wire they are ordinary.
    connection = HTTPConnection(client.base_url.host, client.base_url.port or 80)
    with closing(connection):
        connection.request("GET", f"/customers/{quote(customer_id, safe='')}/stats")
        answer = json.loads(connection.getresponse().read())
    assert (answer["customer_id"], answer["total_requests"]) == (customer_id, 1)


@pytest.mark.parametrize("customer_id", ["a/b", "/a", "a/stats/b"])
def test_slashes_of_an_id_may_stand_as_they_are(client: httpx.Client, customer_id: str) -> None:
    assert client.get(f"/customers/{customer_id}/stats").json()["customer_id"] == customer_id


def test_all_together_have_no_customer_id(client: httpx.Client) -> None:
    answer = client.get("/stats", params={"to": "2024-10-12"}).json()
    assert (answer["customer_id"], answer["total_requests"]) == (None, 4)


def test_an_id_that_a_path_cannot_hold_is_a_parameter(client: httpx.Client) -> None:
    answer = client.get("/stats", params={"customer_id": ".."}).json()
    assert (answer["customer_id"], answer["total_requests"]) == ("..", 1)


def test_unknown_customer_is_404(client: httpx.Client) -> None:
    response = client.get("/customers/nobody/stats")
    assert (response.status_code, response.json()["type"]) == (
        404,
        "urn:tailmetrics:problem:unknown-customer",
    )


def test_nothing_in_range_is_zeros_and_nulls(client: httpx.Client) -> None:
    response = client.get("/customers/cust_1/stats", params={"from": "2020-01-01", "to": "2020-02-01"})
    answer = response.json()
    assert response.status_code == 200
    assert {name: answer[name] for name in NO_REQUESTS} == NO_REQUESTS
    assert answer["windows"] == []


def test_from_the_epoch_gives_the_days_that_have_requests(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/stats", params={"from_date": "1970-01-01"}).json()
    assert answer["from"] == "1970-01-01T00:00:00Z"
    assert [window["start"][:10] for window in answer["windows"]] == ["2024-10-10", "2024-10-11"]


def test_from_is_included_and_to_is_not(client: httpx.Client) -> None:
    params = {"from": "2024-10-10T08:00:00Z", "to": "2024-10-10T09:30:00Z"}
    assert client.get("/customers/cust_1/stats", params=params).json()["total_requests"] == 1


def test_times_are_written_with_the_offset_of_tz(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/stats", params={"tz": "America/New_York"}).json()
    assert answer["from"] == "2024-10-10T00:00:00-04:00"
    assert answer["windows"][0]["end"] == "2024-10-11T00:00:00-04:00"


def test_one_window_for_the_whole_range(client: httpx.Client) -> None:
    params = {"every": "none", "from": "2024-10-10", "to": "2024-10-20"}
    windows = client.get("/customers/cust_1/stats", params=params).json()["windows"]
    assert [(window["start"], window["end"]) for window in windows] == [
        ("2024-10-10T00:00:00Z", "2024-10-20T00:00:00Z")
    ]


def test_fill_gives_windows_without_requests(client: httpx.Client) -> None:
    params = {"from": "2024-10-09", "to": "2024-10-10", "fill": "true"}
    windows = client.get("/customers/cust_1/stats", params=params).json()["windows"]
    assert windows == [{"start": "2024-10-09T00:00:00Z", "end": "2024-10-10T00:00:00Z", **NO_REQUESTS}]


def test_failures_says_what_failed_means(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/stats", params={"failures": "5xx"}).json()
    assert (answer["failures"], answer["failed_requests"]) == ("5xx", 1)


def test_a_plus_sign_that_was_not_encoded_is_meant_all_the_same(client: httpx.Client) -> None:
    response = client.get("/customers/cust_1/stats?failures=5xx+429&from=2024-10-10T02:00:00+02:00")
    answer = response.json()
    assert (answer["failures"], answer["from"]) == ("5xx+429", "2024-10-10T00:00:00Z")


def test_uptime_by_good_windows(client: httpx.Client) -> None:
    params = {"uptime_method": "good_windows", "objective": "50"}
    answer = client.get("/customers/cust_1/stats", params=params).json()
    assert (answer["uptime_method"], answer["uptime"]) == ("good_windows", 50)


@pytest.mark.parametrize(
    ("query", "parameter", "expected"),
    [
        ("from=2024-02-30", "from", "a date and time that exist"),
        ("to_date=2023-02-29", "to_date", "a date and time that exist"),
        ("from=yesterday", "from", "a date (2024-10-10)"),
        ("from=", "from", "a date (2024-10-10)"),
        ("from=2024-10-11&to=2024-10-10", "from", "not after to, which is 2024-10-10"),
        ("from_date=2024-10-11&to=2024-10-10", "from_date", "not after to"),
        ("from=2024-10-10&from_date=2024-10-10", "from_date", "one of from and from_date, not both"),
        ("to=2024-10-10&to_date=2024-10-10", "to_date", "one of to and to_date, not both"),
        ("frm=2024-10-10", "frm", "from, perhaps; the parameters are from, to,"),
        ("colour=red", "colour", "the parameters are from, to,"),
        ("tz=UTC&tz=UTC", "tz", "the parameter once"),
        ("tz=Mars/Olympus", "tz", "an IANA time zone"),
        ("tz=../../etc/passwd", "tz", "an IANA time zone"),
        ("tz=", "tz", "an IANA time zone"),
        ("every=0d", "every", "a number from 1"),
        ("every=1w", "every", "a number from 1"),
        ("fill=perhaps", "fill", "true or false"),
        ("fill=true&every=1s&from=2024-10-10&to=2024-10-11", "every", "at most 10000 windows"),
        ("failures=3xx", "failures", "'4xx+5xx', '5xx' or '5xx+429'"),
        ("uptime_method=guess", "uptime_method", "'requests' or 'good_windows'"),
        ("objective=101", "objective", "at most 100"),
        ("objective=nan", "objective", "a finite number"),
        ("from=99999999999999", "from", "epoch times are in seconds"),
        ("from=0001-01-01", "from", "a time from 0001-01-02T00:00:00Z to 9999-12-30T00:00:00Z"),
        ("to=-999999999999999d", "to", "a time from 0001-01-02T00:00:00Z to 9999-12-30T00:00:00Z"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(
    client: httpx.Client, query: str, parameter: str, expected: str
) -> None:
    problems = problems_of(client.get(f"/customers/cust_1/stats?{query}"))
    assert expected in problems.pop(parameter)
    assert problems == {}


@pytest.mark.parametrize("path", ["/stats", "/stats?format=csv", "/customers/cust_1/stats", "/view"])
def test_more_windows_than_can_be_filled_are_refused_wherever_they_are_asked_for(
    client: httpx.Client, path: str
) -> None:
    asked = {"every": "1s", "from": "2024-10-10", "to": "2024-10-11"}
    fill = {} if path == "/view" else {"fill": "true"}
    [(parameter, expected)] = problems_of(client.get(httpx.URL(path).copy_merge_params(asked | fill))).items()
    assert parameter == "every"
    assert expected == (
        "a length that cuts the range into at most 10000 windows when all are filled, this one makes 86400; "
        "10s fits, or a range of at most 2h"
    )


@pytest.mark.parametrize("windows", [10, 1001])
def test_only_what_has_many_windows_is_written_beside_the_event_loop(windows: int) -> None:
    async def in_another_thread() -> bool:
        return await documents.built(windows, threading.get_ident) != threading.get_ident()

    assert asyncio.run(in_another_thread()) == (windows > 1000)


def test_all_wrong_parameters_are_named_at_once(client: httpx.Client) -> None:
    response = client.get("/stats?from=a&to=b&tz=c&every=d")
    assert problems_of(response).keys() == {"from", "to", "tz", "every"}


@pytest.mark.parametrize("customer_id", ["a%00b", "a%1Fb", "x" * 257, ""])
def test_an_id_that_cannot_be_is_refused(client: httpx.Client, customer_id: str) -> None:
    assert problems_of(client.get(f"/customers/{customer_id}/stats")).keys() == {"customer_id"}
