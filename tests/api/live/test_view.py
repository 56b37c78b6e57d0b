from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.api.live.view import MOST_WINDOWS
from tailmetrics.errors import StoreUnavailable
from tailmetrics.stats import CustomersPage, CustomersQuery, StoreStatus
from tailmetrics.stores import open_store
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every, suitable_every
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving


@pytest.mark.parametrize("seconds", [1, 900, 3600, 86_400, 7 * 86_400, 30 * 86_400, 40_000 * 86_400])
def test_no_range_has_more_windows_than_a_chart_can_show(seconds: int) -> None:
    every = parse_every(suitable_every(seconds, MOST_WINDOWS))
    assert seconds / (every.seconds or every.days * 86_400) <= MOST_WINDOWS


def rounded(value: Any) -> Any:
    """The document without what the order of adding up may change."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 9) if isinstance(value, float) else value


def test_figures_of_a_view_are_those_of_the_api(client: httpx.Client) -> None:
    span = {"from": "2024-10-10", "to": "2024-10-13", "tz": "Europe/Berlin"}
    view = client.get("/view", params=span | {"sort": "-p99", "every": "6h"}).json()
    stats = client.get("/stats", params=span | {"every": "6h", "fill": "true"}).json()
    assert rounded(view["stats"]) == rounded(stats)
    customers = client.get("/customers", params=span | {"sort": "-p99", "limit": 50}).json()
    assert rounded(view["customers"]) == rounded(customers)


def test_trends_add_up_to_the_requests(client: httpx.Client) -> None:
    view = client.get("/view").json()
    for customer in view["customers"]["customers"]:
        trend = view["trends"][customer["customer_id"]]
        assert (sum(trend["requests"]), sum(trend["failed"])) == (
            customer["total_requests"],
            customer["failed_requests"],
        )


def test_a_further_page_goes_on_where_the_first_ended(client: httpx.Client) -> None:
    pages = [client.get("/view", params={"limit": 8, "page": page}).json()["customers"] for page in (1, 2)]
    ids = [customer["customer_id"] for page in pages for customer in page["customers"]]
    wanted = client.get("/customers", params={"sort": "-requests", "limit": 16}).json()["customers"]
    assert ids == [customer["customer_id"] for customer in wanted]


def test_one_customer_has_paths_and_statuses(client: httpx.Client) -> None:
    span = {"from": "2024-10-10", "to": "2024-10-13"}
    view = client.get("/view", params=span | {"customer_id": "cust_1"}).json()
    assert view["customers"] is None
    assert view["breakdown"] == client.get("/customers/cust_1/breakdown", params=span).json()


def test_an_empty_store_says_where_it_looks(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_in(tmp_path_factory.mktemp("empty"))
    store = open_store(settings)
    try:
        with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
            view = client.get("/view").json()
    finally:
        store.close()
    assert view["span"] is None
    assert view["looks"]["patterns"] == list(settings.log_file_path)
    assert [source["path"] for source in view["looks"]["sources"]] == ["data/requests.log"]


def test_a_process_that_only_answers_has_computed_the_first_view_before_it_is_asked(tmp_path: Path) -> None:
    asked = []

    class Watched(InMemoryStore):
        async def customers(self, query: CustomersQuery) -> CustomersPage:
            asked.append(query)
            return await super().customers(query)

    with serving(create_app(settings_in(tmp_path), Watched(), None, Metrics())):
        assert [query.limit for query in asked] == [50]


def test_a_store_that_is_away_at_the_start_is_told_to_who_asks(tmp_path: Path) -> None:
    class Away(InMemoryStore):
        async def status(self) -> StoreStatus:
            raise StoreUnavailable("the store is away")

    with serving(create_app(settings_in(tmp_path), Away(), None, Metrics())) as client:
        assert (client.get("/view").status_code, client.get("/health").status_code) == (503, 200)
