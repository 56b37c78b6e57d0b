from __future__ import annotations

import httpx


def test_paths_and_statuses_of_a_customer(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/breakdown").json()
    assert answer["paths"] == [
        {"path": "/api/v1/resource1", "total_requests": 2, "failed_requests": 1},
        {"path": "/api/v1/resource2", "total_requests": 1, "failed_requests": 1},
    ]
    assert [status["status_code"] for status in answer["statuses"]] == [200, 404, 500]


def test_failures_are_counted_as_asked(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/breakdown", params={"failures": "5xx"}).json()
    assert [status["failed_requests"] for status in answer["statuses"]] == [0, 0, 1]


def test_only_as_many_paths_as_asked_for(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/breakdown", params={"top": 1}).json()
    assert (len(answer["paths"]), answer["paths_total"]) == (1, 2)


def test_all_customers_together(client: httpx.Client) -> None:
    answer = client.get("/breakdown", params={"to": "2024-10-12"}).json()
    assert answer["customer_id"] is None
    assert sum(path["total_requests"] for path in answer["paths"]) == 4


def test_an_id_that_a_path_cannot_hold(client: httpx.Client) -> None:
    answer = client.get("/breakdown", params={"customer_id": ".."}).json()
    assert answer["statuses"] == [{"status_code": 200, "total_requests": 1, "failed_requests": 0}]


def test_an_unknown_customer_is_404(client: httpx.Client) -> None:
    assert client.get("/customers/nobody/breakdown").status_code == 404
