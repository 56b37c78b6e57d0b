from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.api.live import broadcast
from tailmetrics.api.live.broadcast import LiveViews, Update
from tailmetrics.api.live.view import MOST_WINDOWS, suitable_every
from tailmetrics.errors import QueryError, StoreError, StoreUnavailable, UnknownCustomer
from tailmetrics.formats import open_format
from tailmetrics.stores import open_store
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests.api.conftest import LINES, commit, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

Answer = TypeVar("Answer")
Growing = tuple[Callable[[bytes], None], httpx.Client]


def run(steps: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(asyncio.wait_for(steps, 20))


class FakeStore:
    """A version that a test sets, and a count of how often each view was computed."""

    def __init__(self) -> None:
        self.current = 0
        self.computed: dict[str, int] = {}
        self.error: Exception | None = None

    async def version(self) -> str:
        return str(self.current)

    async def compute(self, key: str) -> bytes:
        self.computed[key] = self.computed.get(key, 0) + 1
        if self.error is not None:
            raise self.error
        return json.dumps([key, self.current]).encode()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(broadcast, "SHORTEST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def fake() -> FakeStore:
    return FakeStore()


def views_of(fake: FakeStore) -> LiveViews[str]:
    return LiveViews(fake.compute, fake.version)


async def until(stream: AsyncIterator[Update], reached: Callable[[Update], bool]) -> Update:
    async for update in stream:
        if reached(update):
            return update
    raise AssertionError("the stream ended")


def shows(number: int) -> Callable[[Update], bool]:
    return lambda update: json.loads(update.data)[1] == number


def test_a_stream_begins_with_the_view_as_it_is(fake: FakeStore) -> None:
    async def steps() -> Update:
        return await anext(views_of(fake).follow("a"))

    assert run(steps()) == Update(1, "view", '["a", 0]')


def test_a_commit_brings_a_new_state(fake: FakeStore) -> None:
    async def steps() -> None:
        stream = views_of(fake).follow("a")
        await anext(stream)
        fake.current = 1
        await until(stream, shows(1))

    run(steps())


def test_a_view_is_computed_once_for_all_who_follow_it(fake: FakeStore) -> None:
    async def steps() -> None:
        views = views_of(fake)
        streams = [views.follow("a") for _ in range(50)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        assert fake.computed == {"a": 1}

    run(steps())


def test_nothing_is_computed_while_nothing_is_committed(fake: FakeStore) -> None:
    async def steps() -> None:
        views = views_of(fake)
        stream, other = views.follow("a"), views.follow("other")
        await anext(stream)
        await anext(other)
        fake.current = 1
        await until(other, shows(1))
        await until(stream, shows(1))
        before = dict(fake.computed)
        for _ in range(20):  # looks at the version
            await asyncio.sleep(broadcast.LOOK_SECONDS)
        assert fake.computed == before

    run(steps())


def test_ranges_move_with_the_clock_without_commits(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "REFRESH_SECONDS", 0.01)

    async def steps() -> None:
        await until(views_of(fake).follow("a"), lambda update: update.number == 3)

    run(steps())


def test_one_who_reads_slowly_gets_the_newest_state_next(fake: FakeStore) -> None:
    async def steps() -> Update:
        views = views_of(fake)
        slow, quick = views.follow("a"), views.follow("a")
        await anext(slow)
        for number in range(1, 5):
            fake.current = number
            await until(quick, shows(number))
        return await anext(slow)

    assert json.loads(run(steps()).data) == ["a", 4]


def test_nothing_goes_on_when_nobody_follows(fake: FakeStore) -> None:
    async def steps() -> None:
        before = asyncio.all_tasks()
        stream = views_of(fake).follow("a")
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(steps())


def test_streams_end_when_they_are_told_to(fake: FakeStore) -> None:
    async def steps() -> list[Update]:
        views = views_of(fake)
        stream = views.follow("a")
        await anext(stream)
        views.end()
        return [update async for update in stream]

    assert run(steps()) == []


def test_a_stream_that_begins_after_the_end_is_over(fake: FakeStore) -> None:
    async def steps() -> list[Update]:
        views = views_of(fake)
        views.end()
        return [update async for update in views.follow("a")]

    assert run(steps()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownCustomer("a"), 404),
        (QueryError("every", "1s", "less"), 422),
        (StoreUnavailable("away"), 503),
        (StoreError("broken"), 500),
        (RuntimeError("secret"), 500),
    ],
)
def test_what_is_wrong_is_told_and_the_stream_goes_on(fake: FakeStore, error: Exception, status: int) -> None:
    async def steps() -> dict[str, Any]:
        stream = views_of(fake).follow("a")
        fake.error = error
        problem = await anext(stream)
        assert problem.event == "problem"
        fake.error, fake.current = None, 1
        await until(stream, lambda update: update.event == "view")
        return json.loads(problem.data)

    problem = run(steps())
    assert problem["status"] == status
    assert "secret" not in problem["detail"]


def test_a_store_that_was_away_is_a_change(fake: FakeStore) -> None:
    away = asyncio.Event()
    version: Callable[[], Awaitable[str]] = fake.version

    async def sometimes() -> str:
        if away.is_set():
            raise StoreUnavailable("away")
        return await version()

    async def steps() -> None:
        stream = LiveViews(fake.compute, sometimes).follow("a")
        await anext(stream)
        away.set()
        await until(stream, lambda update: update.number >= 2)
        seen = fake.computed["a"]
        away.clear()
        await until(stream, lambda update: update.number > seen)

    run(steps())


@pytest.mark.parametrize("seconds", [1, 900, 3600, 86_400, 7 * 86_400, 30 * 86_400, 40_000 * 86_400])
def test_no_range_has_more_windows_than_a_chart_can_show(seconds: int) -> None:
    every = parse_every(suitable_every(seconds))
    assert seconds / (every.seconds or every.days * 86_400) <= MOST_WINDOWS


@pytest.fixture
def growing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Callable[[bytes], None], httpx.Client]]:
    """What commits lines, and a client of the service over the same store."""
    settings = settings_in(tmp_path_factory.mktemp("growing"))
    store = open_store(settings)
    names = itertools.count()

    def add(lines: bytes) -> None:
        commit(store, f"{next(names)}.log", open_format("requests", settings.format_options).parse(lines, 0))

    try:
        add("\n".join(LINES).encode())
        with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
            yield add, client
    finally:
        store.close()


def documents(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_the_stream_tells_of_a_commit(growing: Growing) -> None:
    add, client = growing
    with client.stream("GET", "/live") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        states = documents(response.iter_lines())
        assert next(states)["stats"]["total_requests"] == 4
        add(b"2024-10-10 08:00:00 cust_9 / 200 0.1")
        assert any(state["stats"]["total_requests"] == 5 for state in states)


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


@pytest.mark.parametrize("path", ["/view", "/live"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=x", "from"),
        ("every=1w", "every"),
        ("sort=colour", "sort"),
        ("limit=0", "limit"),
        ("page=0", "page"),
        ("q=1", "q"),
    ],
)
def test_a_wrong_parameter_is_named_before_a_stream_begins(
    client: httpx.Client, path: str, query: str, parameter: str
) -> None:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 422
    assert [problem["parameter"] for problem in response.json()["errors"]] == [parameter]
