"""Records that no log should have, each of which a store may hold: no query about all the others fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import httpx
import polars as pl
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.records import RECORD_SCHEMA, ParsedLines, no_rejects
from tailmetrics.stores import open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import commit, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

NORMAL = ("2024-10-10T08:00:00", "cust_1", "/", 200, 0.1)
QUERIES = (
    "/stats",
    "/stats?every=none",
    "/stats?every=1h",
    "/stats?every=7d",
    "/stats?uptime_method=good_windows",
    "/stats?format=csv",
    "/customers",
    "/customers?sort=-average",
    "/customers?format=csv",
    "/customers/odd/stats",
    "/customers/odd/stats?every=none",
    "/breakdown",
    "/view",
    "/view?customer_id=odd",
    "/customers/odd/badge.svg",
)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"found {constant}, which JSON lacks")


@pytest.fixture(params=["duckdb", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path}/store.db"


@pytest.fixture
def client_of(tmp_path: Path, store_url: str) -> Iterator[Any]:
    settings = settings_in(tmp_path, store_url=store_url)
    store = open_store(settings)
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:

        def fill(*rows: tuple[str, str, str, int, float | None]) -> httpx.Client:
            records = pl.DataFrame(
                [(datetime.fromisoformat(time), *rest, offset) for offset, (time, *rest) in enumerate(rows)],
                RECORD_SCHEMA,
                orient="row",
            )
            commit(store, "odd.log", ParsedLines(records, no_rejects(), blanks=0))
            return client

        yield fill
    store.close()


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31T23:59:59", "9999-12-31T23:59:59.999999"])
@pytest.mark.parametrize("tz", ["UTC", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"])
def test_a_record_at_an_end_of_the_calendar_breaks_no_answer(client_of: Any, time: str, tz: str) -> None:
    client = client_of(NORMAL, (time, "odd", "/", 200, 0.1))
    asked = [path for path in QUERIES if "badge" not in path]  # which knows no zone
    found = {path: client.get(path, params={"tz": tz}).status_code for path in asked}
    assert found == dict.fromkeys(asked, 200)


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31T23:59:59.999999"])
def test_a_record_at_an_end_of_the_calendar_may_be_the_only_one(client_of: Any, time: str) -> None:
    client = client_of((time, "odd", "/", 200, 0.1))
    found = {path: client.get(path).status_code for path in QUERIES}
    assert found == dict.fromkeys(QUERIES, 200)


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31T23:59:59", "9999-12-31T23:59:59.999999"])
@pytest.mark.parametrize("tz", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_a_record_at_an_end_of_the_calendar_is_in_the_totals(client_of: Any, time: str, tz: str) -> None:
    client = client_of(NORMAL, (time, "odd", "/", 200, 0.1))
    answer = client.get("/stats", params={"tz": tz}).json()
    assert (answer["total_requests"], sum(each["total_requests"] for each in answer["windows"])) == (2, 2)


@pytest.mark.parametrize("durations", [(1e308, 1e308), (1e308, None), (1.7976931348623157e308, 5e-324)])
def test_durations_that_add_up_to_no_number_leave_every_answer_json(client_of: Any, durations: Any) -> None:
    client = client_of(NORMAL, *(("2024-10-10T09:00:00", "odd", "/", 200, each) for each in durations))
    for path in QUERIES:
        response = client.get(path)
        assert response.status_code == 200, (path, response.text)
        if "json" in response.headers["content-type"]:
            json.loads(response.content, parse_constant=_no_json)
        else:
            assert not {"inf", "nan", "Infinity"} & set(response.text.replace("\r\n", ",").split(",")), path
