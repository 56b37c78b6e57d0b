from __future__ import annotations

import httpx


def test_each_part_has_its_requests_by_duration(client: httpx.Client) -> None:
    asked = {"from": "2024-10-10", "to": "2024-10-12", "parts": 2}
    answer = client.get("/customers/cust_1/latencies", params=asked).json()
    bounds = answer["bounds"]
    assert bounds == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert [part["start"] for part in answer["parts"]] == ["2024-10-10T00:00:00Z", "2024-10-11T00:00:00Z"]
    # 0.1 and 0.3 on the first day, 0.5 on the second: a bound belongs to what is above it.
    assert [part["counts"] for part in answer["parts"]] == [[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]


def test_parts_count_only_what_a_filter_selects(client: httpx.Client) -> None:
    asked = {"from": "2024-10-10", "to": "2024-10-12", "parts": 1, "status": "4xx"}
    answer = client.get("/customers/cust_1/latencies", params=asked).json()
    assert sum(answer["parts"][0]["counts"]) == 1


def test_a_range_without_requests_has_empty_parts(client: httpx.Client) -> None:
    asked = {"from": "2020-01-01", "to": "2020-01-02", "parts": 3}
    answer = client.get("/customers/cust_1/latencies", params=asked).json()
    assert [sum(part["counts"]) for part in answer["parts"]] == [0, 0, 0]


def test_an_open_range_is_that_of_the_data(client: httpx.Client) -> None:
    answer = client.get("/customers/cust_1/latencies").json()
    assert sum(sum(part["counts"]) for part in answer["parts"]) == 3


def test_an_unknown_customer_is_404(client: httpx.Client) -> None:
    assert client.get("/customers/nobody/latencies").status_code == 404
