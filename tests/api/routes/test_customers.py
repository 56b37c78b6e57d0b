from __future__ import annotations

import httpx
import pytest


def ids_of(response: httpx.Response) -> list[str]:
    return [customer["customer_id"] for customer in response.json()["customers"]]


def test_each_customer_has_its_totals(client: httpx.Client) -> None:
    answer = client.get("/customers", params={"search": "cust_", "from": "2024-10-01", "tz": "Europe/Berlin"})
    first = answer.json()["customers"][0]
    assert first == {
        "customer_id": "cust_1",
        "total_requests": 3,
        "successful_requests": 1,
        "failed_requests": 2,
        "uptime": pytest.approx(100 / 3),
        "average_latency": pytest.approx(0.3),
        "median_latency": pytest.approx(0.3),
        "p99_latency": pytest.approx(0.496),
    }


def test_the_range_that_was_asked_for_is_said(client: httpx.Client) -> None:
    answer = client.get("/customers", params={"from": "2024-10-01", "tz": "Europe/Berlin"}).json()
    assert (answer["from"], answer["to"], answer["tz"]) == (
        "2024-10-01T00:00:00+02:00",
        None,
        "Europe/Berlin",
    )


def test_customers_without_requests_in_the_range_are_left_out(client: httpx.Client) -> None:
    assert ids_of(client.get("/customers", params={"to": "2024-10-11", "from": "2024-10-10"})) == [
        "cust_1",
        "cust_2",
    ]


@pytest.mark.parametrize("params", [{"sort": "-requests"}, {"sort": "requests", "order": "desc"}])
def test_descending_order_by_sign_or_by_name(client: httpx.Client, params: dict[str, str]) -> None:
    assert ids_of(client.get("/customers", params={"search": "cust_", **params})) == ["cust_1", "cust_2"]


def test_ascending_order(client: httpx.Client) -> None:
    params = {"search": "cust_", "sort": "requests", "order": "asc"}
    assert ids_of(client.get("/customers", params=params)) == ["cust_2", "cust_1"]


def test_pages_join_to_the_whole(client: httpx.Client) -> None:
    whole = client.get("/customers", params={"sort": "-average"}).json()
    ids, cursor = [], None
    while True:
        page = client.get(
            "/customers", params={"sort": "-average", "limit": 3, **({"cursor": cursor} if cursor else {})}
        ).json()
        assert page["total"] == whole["total"]
        ids += [customer["customer_id"] for customer in page["customers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert ids == [customer["customer_id"] for customer in whole["customers"]]


@pytest.mark.parametrize("search", ["cust_", "CUST_"])
def test_customers_of_few_requests_are_left_out_and_the_search_takes_either_case(
    client: httpx.Client, search: str
) -> None:
    params = {"search": search, "sort": "uptime"}
    assert ids_of(client.get("/customers", params=params)) == ["cust_1", "cust_2"]
    answer = client.get("/customers", params={**params, "min_requests": 2})
    assert (ids_of(answer), answer.json()["total"]) == (["cust_1"], 1)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("min_requests=0", "min_requests"),
        ("min_requests=few", "min_requests"),
        ("limit=100001&format=csv", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("sort=colour", "sort"),
        ("sort=--requests", "sort"),
        ("order=up", "order"),
        ("sort=-requests&order=asc", "order"),
        ("cursor=nonsense", "cursor"),
        ("page=2", "page"),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, query: str, parameter: str) -> None:
    response = client.get(f"/customers?{query}")
    assert response.status_code == 422
    assert [problem["parameter"] for problem in response.json()["errors"]] == [parameter]
