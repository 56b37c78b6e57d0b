from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.csv import customers_csv, wants_csv
from tailmetrics.formats import open_format
from tailmetrics.stores import open_store
from tests.api.conftest import commit, service, settings_in


def rows(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.text)))


def as_text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("headers", [{"Accept": "text/csv"}, {"Accept": "text/csv, application/json;q=0.5"}])
def test_accept_decides_on_csv(client: httpx.Client, headers: dict[str, str]) -> None:
    assert rows(client.get("/customers", headers=headers))


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/csv;q=0.9", "text/csv;q=0"]
)
def test_json_is_given_where_csv_is_not_preferred(client: httpx.Client, accept: str) -> None:
    response = client.get("/customers", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/json"


def test_the_parameter_wins_over_accept(client: httpx.Client) -> None:
    response = client.get("/stats", params={"format": "json"}, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "application/json"


def test_no_header_means_json() -> None:
    assert not wants_csv(None, None)


def test_customers_have_the_figures_that_json_has(client: httpx.Client) -> None:
    wanted = client.get("/customers").json()["customers"]
    found = rows(client.get("/customers", params={"format": "csv"}))
    assert found == [{name: as_text(value) for name, value in customer.items()} for customer in wanted]


@pytest.mark.parametrize("path", ["/customers/cust_1/stats", "/stats?customer_id=cust_1"])
def test_each_window_is_a_row_with_its_customer(client: httpx.Client, path: str) -> None:
    wanted = client.get(path).json()["windows"]
    found = rows(client.get(path, headers={"Accept": "text/csv"}))
    assert len(found) == 2
    for row, window in zip(found, wanted, strict=True):
        assert row == {"customer_id": "cust_1"} | {name: as_text(value) for name, value in window.items()}


def test_windows_without_requests_have_empty_figures(client: httpx.Client) -> None:
    params = {"format": "csv", "from": "2030-01-01", "to": "2030-01-02", "fill": "true"}
    [row] = rows(client.get("/customers/cust_1/stats", params=params))
    assert (row["total_requests"], row["uptime"], row["p99_latency"]) == ("0", "", "")


def test_a_further_page_is_linked_to(client: httpx.Client) -> None:
    first = client.get("/customers", params={"format": "csv", "limit": 5, "sort": "-requests"})
    second = client.get(first.links["next"]["url"])
    wanted = client.get("/customers", params={"limit": 10, "sort": "-requests"}).json()["customers"]
    assert [row["customer_id"] for row in rows(first) + rows(second)] == [
        each["customer_id"] for each in wanted
    ]


def test_the_last_page_links_to_none(client: httpx.Client) -> None:
    assert "link" not in client.get("/customers", params={"format": "csv"}).headers


@pytest.mark.parametrize(("by", "entries"), [("path", "paths"), ("status", "statuses")])
def test_a_breakdown_is_one_row_a_path_or_a_status(client: httpx.Client, by: str, entries: str) -> None:
    wanted = client.get("/customers/cust_1/breakdown").json()[entries]
    found = rows(client.get("/breakdown", params={"customer_id": "cust_1", "by": by, "format": "csv"}))
    assert found == [{name: as_text(value) for name, value in each.items()} for each in wanted]


def test_rejects_have_what_json_has_and_link_to_a_further_page(client: httpx.Client) -> None:
    wanted = client.get("/rejects").json()["rejects"]
    first = client.get("/rejects", params={"limit": 1}, headers={"Accept": "text/csv"})
    second = client.get(first.links["next"]["url"], headers={"Accept": "text/csv"})
    assert rows(first) + rows(second) == [
        {name: as_text(value) for name, value in each.items()} for each in wanted
    ]
    assert "link" not in second.headers


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\uff1d1"),
        *("\u00a0=1", "\u200b+1", "\ufeff-1", "\u2028@a", " \u2060'\u00a0=1", "\u2066=1", "\ufe621"),
    ],
)
def test_text_that_a_spreadsheet_would_compute_is_made_text(text: str) -> None:
    assert customer_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["cust_1", "a=b", 'it\'s "quoted", twice', "a\nb", "köln-東京-🙂", "\u200ba=b", "\ufeff", ""]
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert customer_cell(text) == text


def customer_cell(customer_id: str) -> str:
    figures = {
        "total_requests": 1,
        "successful_requests": 1,
        "failed_requests": 0,
        "uptime": 100.0,
        "average_latency": 0.5,
        "median_latency": 0.5,
        "p99_latency": 0.5,
    }
    body = bytes(customers_csv([{"customer_id": customer_id, **figures}]).body).decode()
    [row] = csv.DictReader(io.StringIO(body, newline=""))
    return row["customer_id"]


def test_all_of_many_customers_are_one_file_that_is_sent_in_pieces(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with closing(open_store(settings)) as store, service(tmp_path, store, None) as client:
        lines = (f"2024-10-10 08:00:00 cust_{number} / 200 0.{number % 7}" for number in range(5000))
        commit(
            store,
            "many.log",
            open_format(settings.format_options("requests")).parse("\n".join(lines).encode(), 0),
        )
        client.params = httpx.QueryParams(format="csv", sort="-p99")
        response = client.get("/customers", params={"limit": 100_000})
        assert len(rows(response)) == 5000
        assert ("content-length" in response.headers, "link" in response.headers) == (False, False)
        pages, following = [], "/customers?format=csv&sort=-p99&limit=1999"
        while following:
            client.params = httpx.QueryParams()
            page = client.get(following)
            pages += rows(page)
            following = page.links.get("next", {}).get("url", "")
        assert pages == rows(response)


def test_json_has_no_page_as_long_as_csv_may_have(client: httpx.Client) -> None:
    assert client.get("/customers", params={"limit": 1001}, headers={"Accept": "text/csv"}).status_code == 200
    refused = client.get("/customers", params={"limit": 1001})
    assert "with format=csv, at most 100000" in refused.json()["detail"]
