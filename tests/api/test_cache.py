"""Questions that are asked again: the answer is kept as long as it is right, and never a moment longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tailmetrics.api import cache, versions
from tailmetrics.api.app import create_app
from tailmetrics.api.cache import CachedResponse, ResponseCache
from tailmetrics.api.versions import Versions
from tailmetrics.settings import Settings
from tailmetrics.stats import StatsAnswer, StatsQuery
from tailmetrics.stores import Store
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.builders import Record, at, batch_of, moved, source_of


class CountingStore(InMemoryStore):
    """A store that counts how often it is asked; `told` is False as with a store that others write to."""

    def __init__(self, memory: Memory, told: bool = True) -> None:
        super().__init__(memory)
        self._told = told
        self.asked: list[StatsQuery] = []
        self.hold: threading.Event | None = None

    def version_of(self, customer_id: str | None) -> int | None:
        return super().version_of(customer_id) if self._told else None

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        self.asked.append(query)
        answer = await super().stats(query)
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 10)
        return answer


class Log:
    """Adds requests to a store, one commit at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._source = store.register(source_of())

    def add(self, *customers: str) -> None:
        records: list[Record] = [(at("2024-10-10"), customer, "/", 200, 0.1) for customer in customers]
        batch = batch_of(self._source, records)
        self._store.write([batch])
        self._source = moved(self._source, batch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def store(memory: Memory) -> CountingStore:
    return CountingStore(memory)


@pytest.fixture
def log(store: CountingStore) -> Log:
    log = Log(store)
    log.add("a", "b")
    return log


@pytest.fixture
def client(settings: Settings, store: CountingStore, log: Log) -> Iterator[httpx.Client]:
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        yield client


def requests_of(client: httpx.Client, path: str) -> int:
    response = client.get(path)
    assert response.status_code == 200
    return int(response.json()["total_requests"])


class TestWhatIsKept:
    def test_the_same_question_is_asked_once(self, client: httpx.Client, store: CountingStore) -> None:
        answers = {client.get("/customers/a/stats").content for _ in range(3)}
        assert (len(answers), len(store.asked)) == (1, 1)

    def test_a_request_of_the_customer_is_in_the_next_answer(self, client: httpx.Client, log: Log) -> None:
        found = []
        for _ in range(3):
            found.append(requests_of(client, "/customers/a/stats"))
            log.add("a")
        assert found == [1, 2, 3]

    def test_a_request_of_another_customer_changes_nothing(
        self, client: httpx.Client, log: Log, store: CountingStore
    ) -> None:
        requests_of(client, "/customers/a/stats")
        log.add("b")
        requests_of(client, "/customers/a/stats")
        assert len(store.asked) == 1

    def test_a_request_of_anybody_is_in_the_next_answer_about_all(
        self, client: httpx.Client, log: Log
    ) -> None:
        before = requests_of(client, "/stats")
        log.add("c")
        assert (before, requests_of(client, "/stats")) == (2, 3)

    @pytest.mark.parametrize("path", ["/customers", "/breakdown", "/customers/a/breakdown"])
    def test_other_answers_follow_the_records_too(self, client: httpx.Client, log: Log, path: str) -> None:
        before = client.get(path).content
        log.add("a")
        assert client.get(path).content != before

    def test_parameters_make_another_question(self, client: httpx.Client, store: CountingStore) -> None:
        for every in ("1d", "1h", "none"):
            requests_of(client, f"/stats?every={every}")
        assert [query.every.text for query in store.asked] == ["1d", "1h", "none"]

    @pytest.mark.parametrize("bound", ["from=-24h", "to=now", "from_date=%2D24h", "to_date=n%6Fw"])
    def test_a_range_that_moves_with_the_clock_is_asked_anew(
        self, client: httpx.Client, store: CountingStore, bound: str
    ) -> None:
        for _ in range(2):
            client.get(f"/stats?{bound}")
        assert len(store.asked) == 2

    def test_json_and_csv_are_kept_apart(self, client: httpx.Client) -> None:
        types = [
            client.get("/stats", headers={"Accept": accept}).headers["content-type"].partition(";")[0]
            for accept in ("application/json", "text/csv", "application/json")
        ]
        assert types == ["application/json", "text/csv", "application/json"]

    def test_an_unknown_customer_is_known_after_its_first_request(
        self, client: httpx.Client, log: Log
    ) -> None:
        before = client.get("/customers/new/stats").status_code
        log.add("new")
        assert (before, client.get("/customers/new/stats").status_code) == (404, 200)

    def test_wrong_hosts_are_refused_whatever_is_kept(self, client: httpx.Client) -> None:
        requests_of(client, "/stats")
        assert client.get("/stats", headers={"Host": "evil.example"}).status_code == 403

    def test_kept_answers_are_counted_like_others(self, client: httpx.Client) -> None:
        for _ in range(3):
            requests_of(client, "/stats")
        metrics = client.get("/metrics").text
        assert 'tailmetrics_queries_total{endpoint="/stats",status="200"} 3.0' in metrics


class TestConditionalRequests:
    def test_what_is_still_the_same_is_not_sent_again(self, client: httpx.Client) -> None:
        first = client.get("/customers/a/stats")
        second = client.get("/customers/a/stats", headers={"If-None-Match": first.headers["etag"]})
        assert (second.status_code, second.content) == (304, b"")
        assert second.headers["etag"] == first.headers["etag"]

    def test_what_has_changed_is_sent(self, client: httpx.Client, log: Log) -> None:
        etag = client.get("/customers/a/stats").headers["etag"]
        log.add("a")
        assert client.get("/customers/a/stats", headers={"If-None-Match": etag}).status_code == 200


class TestAtTheSameTime:
    def test_equal_questions_are_asked_once(
        self, client: httpx.Client, store: CountingStore, log: Log
    ) -> None:
        store.hold = threading.Event()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(requests_of, client, "/stats") for _ in range(8)]
            while not store.asked:
                pass
            store.hold.set()
            found = {each.result() for each in asked}
        assert found == {2}
        assert len(store.asked) <= 2

    def test_a_question_after_a_commit_does_not_get_an_answer_of_before(
        self, client: httpx.Client, store: CountingStore, log: Log
    ) -> None:
        """The first question has read the store, and is not answered yet, when a request is committed."""
        store.hold = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(requests_of, client, "/customers/a/stats")
            while not store.asked:
                pass
            log.add("a")
            second = pool.submit(requests_of, client, "/customers/a/stats")
            store.hold.set()
            assert second.result() == 2
            first.result()
        assert requests_of(client, "/customers/a/stats") == 2


class TestWithAServer:
    @pytest.mark.parametrize(("seconds", "asked"), [(60, 1), (0, 2)])
    def test_an_answer_is_given_again_for_cache_seconds(
        self, tmp_path: Path, memory: Memory, log: Log, seconds: float, asked: int
    ) -> None:
        shared = CountingStore(memory, told=False)
        app = create_app(settings_in(tmp_path, cache_seconds=seconds), shared, FakeIngestion(), Metrics())
        with serving(app) as client:
            for _ in range(2):
                requests_of(client, "/customers/a/stats")
        assert len(shared.asked) == asked

    def test_an_answer_outlives_its_time_while_nothing_is_committed(
        self, tmp_path: Path, memory: Memory, log: Log
    ) -> None:
        shared = CountingStore(memory, told=False)
        app = create_app(settings_in(tmp_path, cache_seconds=1e-9), shared, FakeIngestion(), Metrics())
        with serving(app) as client:
            for _ in range(3):
                requests_of(client, "/customers/a/stats")
        assert len(shared.asked) == 1

    def test_an_answer_is_asked_anew_after_a_while_as_records_may_have_expired(
        self, tmp_path: Path, memory: Memory, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(versions, "LASTING_SECONDS", 1e-9)
        shared = CountingStore(memory, told=False)
        app = create_app(settings_in(tmp_path), shared, FakeIngestion(), Metrics())
        with serving(app) as client:
            for _ in range(2):
                requests_of(client, "/customers/a/stats")
        assert len(shared.asked) == 2

    @pytest.mark.parametrize("path", ["/stats", "/customers/a/stats", "/customers", "/breakdown"])
    def test_an_answer_is_given_again_until_another_process_commits(
        self, tmp_path: Path, memory: Memory, log: Log, path: str
    ) -> None:
        shared = CountingStore(memory, told=False)
        app = create_app(settings_in(tmp_path, cache_seconds=1e-9), shared, FakeIngestion(), Metrics())
        with serving(app) as client:
            before, again = client.get(path), client.get(path)
            log.add("a")
            after = client.get(path)
        assert before.content == again.content != after.content
        assert before.headers["etag"] == again.headers["etag"] != after.headers["etag"]

    def test_two_processes_name_the_same_answer_alike(self, tmp_path: Path, memory: Memory, log: Log) -> None:
        log.add("a")
        found = []
        for _ in range(2):
            app = create_app(
                settings_in(tmp_path), CountingStore(memory, told=False), FakeIngestion(), Metrics()
            )
            with serving(app) as client:
                headers = {"If-None-Match": found[0][1]} if found else {}
                response = client.get("/customers/a/stats", headers={**headers, "Host": "localhost"})
                found.append((response.status_code, response.headers["etag"]))
        assert [status for status, _ in found] == [200, 304]


class TestLimits:
    def test_the_oldest_answers_make_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "_MOST_RESPONSES", 2)
        answers = ResponseCache(Versions(CountingStore(Memory()), seconds=60))
        for key in "abc":
            answers.keep(key, answers.state_of(key), _answer(b"x"))
        assert [answers.get(key) is not None for key in "abc"] == [False, True, True]

    def test_all_answers_together_stay_within_their_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "_MOST_BYTES", 250)
        answers = ResponseCache(Versions(CountingStore(Memory()), seconds=60))
        for key in "abc":
            answers.keep(key, answers.state_of(key), _answer(b"x" * 100))
        assert [answers.get(key) is not None for key in "abc"] == [False, True, True]


def _answer(body: bytes) -> CachedResponse:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    return CachedResponse(start, {"type": "http.response.body", "body": body}, b'"1"', "/stats")
