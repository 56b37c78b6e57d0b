"""More questions than can be asked at once: some wait, the rest is refused before it costs anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.admission import AT_ONCE, MOST_WAITING, Admission, Weight, weight_of
from tailmetrics.api.app import create_app
from tailmetrics.errors import Overloaded
from tailmetrics.stats import RejectsPage, RejectsQuery, StatsQuery
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests.api.conftest import settings_in

QUESTIONS = ("/stats", "/customers", "/breakdown", "/customers/a/badge.svg", "/rejects", "/view", "/stats/")


class HeldStore(InMemoryStore):
    """A store that answers when it is let go, and counts the questions that it is asked at the same time."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.let_go = asyncio.Event()
        self.asked = 0
        self.most = 0

    async def rejects(self, query: RejectsQuery) -> RejectsPage:
        self.asked += 1
        self.most = max(self.most, self.asked)
        await self.let_go.wait()
        self.asked -= 1
        return await super().rejects(query)


async def until_full(admission: Admission) -> None:
    while True:
        try:
            admission.check_room()
        except Overloaded:
            return
        await asyncio.sleep(0)


@asynccontextmanager
async def full(
    folder: Path, store: HeldStore
) -> AsyncIterator[tuple[httpx.AsyncClient, list[asyncio.Task[httpx.Response]]]]:
    """A client of a service that is asked as much as there is room for, and what it is asked."""
    app = create_app(settings_in(folder), store, None, Metrics())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        paths = [f"/rejects?limit={number}" for number in range(1, AT_ONCE + MOST_WAITING + 1)]
        asked = [asyncio.create_task(client.get(path)) for path in paths]
        await asyncio.wait_for(until_full(app.state.services.admission), 30)
        yield client, asked


@pytest.mark.parametrize("path", QUESTIONS)
def test_a_question_too_many_is_refused_at_once_with_words_about_load(tmp_path: Path, path: str) -> None:
    async def refused() -> httpx.Response:
        store = HeldStore()
        async with full(tmp_path, store) as (client, asked):
            response = await asyncio.wait_for(client.get(path), 10)
            store.let_go.set()
            await asyncio.gather(*asked)
            return response

    response = asyncio.run(refused())
    assert (response.status_code, response.json()["title"]) == (503, "Too many questions at once")
    assert response.json()["type"] == "urn:tailmetrics:problem:overloaded"
    assert int(response.headers["retry-after"]) > 0
    assert "shorter range" not in response.json()["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_what_was_admitted_is_answered_a_few_at_a_time(tmp_path: Path) -> None:
    async def answered() -> tuple[list[int], int, int]:
        store = HeldStore()
        async with full(tmp_path, store) as (client, asked):
            store.let_go.set()
            statuses = [response.status_code for response in await asyncio.gather(*asked)]
            return statuses, store.most, (await client.get("/rejects")).status_code

    statuses, most, afterwards = asyncio.run(answered())
    assert statuses == [200] * (AT_ONCE + MOST_WAITING)
    assert (most, afterwards) == (AT_ONCE, 200)


@pytest.mark.parametrize(
    "path", ["/customers/a/stats", "/customers/a/stats?every=1m&from=-6h", "/customers/a/breakdown"]
)
def test_a_light_question_is_answered_while_heavy_ones_have_all_turns(tmp_path: Path, path: str) -> None:
    async def asked_beside() -> tuple[list[int], bool]:
        store = HeldStore()
        app = create_app(settings_in(tmp_path), store, None, Metrics())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            heavy = [asyncio.create_task(client.get(f"/rejects?limit={1 + n}")) for n in range(AT_ONCE)]
            while store.asked < AT_ONCE:
                await asyncio.sleep(0)
            waiting = asyncio.create_task(client.get("/stats"))
            statuses = [
                (await asyncio.wait_for(client.get(path), 10)).status_code for _ in range(AT_ONCE + 1)
            ]
            waited = not waiting.done()
            store.let_go.set()
            await asyncio.gather(waiting, *heavy)
            return statuses, waited

    statuses, waited = asyncio.run(asked_beside())
    assert statuses == [404] * (AT_ONCE + 1)  # nobody has asked for anything yet
    assert waited


@pytest.mark.parametrize(
    ("customer_id", "every", "start", "weight"),
    [
        ("a", "1d", None, Weight.LIGHT),
        ("a", "none", None, Weight.LIGHT),
        ("a", "1m", timedelta(hours=16), Weight.LIGHT),
        (None, "1m", timedelta(hours=16), Weight.USUAL),
        (None, "1d", None, Weight.USUAL),
        ("a", "1m", None, Weight.LARGE),
        ("a", "1m", timedelta(hours=17), Weight.LARGE),
    ],
)
def test_light_is_one_customer_and_large_is_many_windows(
    customer_id: str | None, every: str, start: timedelta | None, weight: Weight
) -> None:
    now = datetime.now(timezone.utc)
    query = StatsQuery(customer_id, parse_every(every), None if start is None else now - start)
    assert weight_of(query) is weight


def test_large_questions_have_one_turn_of_all() -> None:
    async def turns() -> None:
        admission = Admission()
        async with admission.turn(1, Weight.LARGE):
            with pytest.raises(Overloaded, match="waited"):
                async with admission.turn(0.01, Weight.LARGE):
                    pass
            async with admission.turn(0.01), admission.turn(0.01, Weight.LIGHT):
                pass
        async with admission.turn(0.01, Weight.LARGE):
            pass

    asyncio.run(turns())


@pytest.mark.parametrize("path", ["/health", "/serving", "/ready", "/metrics", "/docs", "/static/docs.js"])
def test_what_asks_the_store_little_or_nothing_has_no_turn(tmp_path: Path, path: str) -> None:
    async def status() -> int:
        store = HeldStore()
        async with full(tmp_path, store) as (client, asked):
            response = await asyncio.wait_for(client.get(path), 10)
            store.let_go.set()
            await asyncio.gather(*asked)
            return response.status_code

    assert asyncio.run(status()) == 200


def test_a_wait_has_an_end_which_is_no_fault_of_the_question() -> None:
    async def waits() -> None:
        admission = Admission()
        held = [admission.turn(1) for _ in range(AT_ONCE)]
        for turn in held:
            await turn.__aenter__()
        with pytest.raises(Overloaded, match=r"waited 0\.01 seconds for a turn"):
            async with admission.turn(0.01):
                pass
        for turn in held:
            await turn.__aexit__(None, None, None)
        async with admission.turn(0.01):
            pass

    asyncio.run(waits())


def test_who_does_not_wait_any_more_leaves_its_place() -> None:
    async def waits() -> None:
        admission = Admission()

        async def ask() -> None:
            async with admission.turn(30):
                await asyncio.Event().wait()

        asked = [asyncio.create_task(ask()) for _ in range(AT_ONCE + MOST_WAITING)]
        await until_full(admission)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        async with admission.turn(0.01):
            admission.check_room()

    asyncio.run(waits())
