from __future__ import annotations

from xml.etree import ElementTree as ET

import httpx
import pytest

from tailmetrics.api.routes.badge import badge


def words(svg: str) -> list[str | None]:
    root = ET.fromstring(svg)  # noqa: S314  # the service's own answer
    return [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_it_shows_the_uptime_of_the_customer(client: httpx.Client) -> None:
    response = client.get("/customers/cust_1/badge.svg")
    assert response.headers["content-type"] == "image/svg+xml"
    assert words(response.text) == ["uptime", "33.33%"]


def test_it_shows_the_uptime_over_a_range(client: httpx.Client) -> None:
    params = {"from": "2024-10-10T08:00:00Z", "to": "2024-10-10T09:00:00Z"}
    assert words(client.get("/customers/cust_1/badge.svg", params=params).text) == ["uptime", "100%"]


def test_it_counts_failures_as_asked(client: httpx.Client) -> None:
    params = {"failures": "5xx"}
    assert words(client.get("/customers/cust_1/badge.svg", params=params).text) == ["uptime", "66.66%"]


def test_a_known_customer_without_requests_in_the_range_has_a_badge(client: httpx.Client) -> None:
    svg = client.get("/customers/cust_1/badge.svg", params={"from": "2030-01-01"}).text
    assert words(svg) == ["uptime", "no requests"]


def test_an_unknown_customer_has_none(client: httpx.Client) -> None:
    assert client.get("/customers/nobody/badge.svg").status_code == 404


def test_pages_of_other_origins_may_show_it(client: httpx.Client) -> None:
    headers = client.get("/customers/cust_1/badge.svg").headers
    assert headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize(
    ("uptime", "shown"), [(100.0, "100%"), (99.999, "99.99%"), (99.9, "99.9%"), (0.0, "0%"), (50.0, "50%")]
)
def test_what_failed_once_never_looks_as_if_all_went_well(uptime: float, shown: str) -> None:
    assert words(badge(uptime)) == ["uptime", shown]
