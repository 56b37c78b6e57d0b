"""How fast the ClickHouse store answers beside the best SQL by hand on the same table.

Both go over one client and through the tests' HTTP front of ClickHouse's engine, or to the server of
CLICKHOUSE_TEST_URL: what is measured is what our statements cost, and what is made of their answers. The
first question is one customer's totals and daily windows over all rows of 30 days; each round asks for
another customer, whose rows were looked at before, all ways one after the other in a changing order. Figures
are medians, ratios those of the pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import ClickHouse, running

from query import DAYS, Feeding, frames
from tailmetrics.settings import load_settings
from tailmetrics.stats import CustomersQuery, RequestsQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tailmetrics.windows import parse_every

GOAL = 1.3

DAILY, MINUTES, NONE = (parse_every(every) for every in ("1d", "1m", "none"))
FIGURES = (
    "count(), countIf(status_code >= 400 OR status_code = 0), avg(duration), "
    "quantilesExactInclusive(0.5, 0.99)(duration)"
)
OF_ONE = "FROM records WHERE customer_id = {customer_id:String}"
DAY = "time_us - time_us % 86400000000 AS day"
IN_ZONE = "toStartOfDay(fromUnixTimestamp64Micro(time_us, 'America/New_York')) AS day"
BY_HAND = {
    "rollup": [f"SELECT {DAY}, {FIGURES} {OF_ONE} GROUP BY day WITH ROLLUP ORDER BY day"],
    "grouping sets": [f"SELECT {DAY}, {FIGURES} {OF_ONE} GROUP BY GROUPING SETS ((day), ()) ORDER BY day"],
    "two statements": [
        f"SELECT {FIGURES} {OF_ONE}",
        f"SELECT {DAY}, {FIGURES} {OF_ONE} GROUP BY day ORDER BY day",
    ],
    "rollup in zone": [f"SELECT {IN_ZONE}, {FIGURES} {OF_ONE} GROUP BY day WITH ROLLUP ORDER BY day"],
}
MINUTE = "time_us - time_us % 60000000 AS minute"
OF_ALL: Mapping[str, tuple[Callable[[ClickHouseStore], Awaitable[object]], Sequence[str]]] = {
    "a page of customers": (
        lambda store: store.customers(CustomersQuery()),
        [
            f"SELECT customer_id, {FIGURES} FROM records GROUP BY customer_id ORDER BY customer_id LIMIT 100",
            "SELECT uniqExact(customer_id) FROM records",
        ],
    ),
    "p99 of all": (
        lambda store: store.stats(StatsQuery(None, NONE)),
        [f"SELECT {FIGURES}, min(time_us), max(time_us) FROM records"],
    ),
    "days of all": (
        lambda store: store.stats(StatsQuery(None, DAILY)),
        [f"SELECT {DAY}, {FIGURES} FROM records GROUP BY day WITH ROLLUP ORDER BY day"],
    ),
    "minutes of all": (
        lambda store: store.stats(StatsQuery(None, MINUTES)),
        [
            f"SELECT {FIGURES} FROM records",
            f"SELECT {MINUTE}, {FIGURES} FROM records GROUP BY minute ORDER BY minute",
        ],
    ),
    "newest requests": (
        lambda store: store.requests(RequestsQuery()),
        ["SELECT * FROM records ORDER BY time_us DESC LIMIT 100"],
    ),
}


async def seconds(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def by_hand(store: ClickHouseStore, statements: Sequence[str], customer_id: str = "") -> Awaitable[object]:
    """Statements over the store's own client, one after the other."""

    async def ask(asked_of: Any) -> list[Any]:
        parameters = {"customer_id": customer_id} if customer_id else {}
        return [(await asked_of.frame(sql, parameters)).rows() for sql in statements]

    return store._ask(ask)


async def measure_customers(store: ClickHouseStore, customers: int, rounds: int) -> dict[str, Any]:
    chance = random.Random(1)
    taken: dict[str, list[float]] = {name: [] for name in ("store", "store in zone", *BY_HAND)}
    for turn in range(rounds):
        customer_id = f"cust_{(turn * 7 + 11) % customers + 1}"
        queries = {
            "store": StatsQuery(customer_id, DAILY),
            "store in zone": StatsQuery(customer_id, DAILY, zone=ZoneInfo("America/New_York")),
        }
        await store.stats(queries["store in zone"])
        for name in chance.sample(list(taken), len(taken)):
            query = queries.get(name)
            work = store.stats(query) if query else by_hand(store, BY_HAND[name], customer_id)
            taken[name].append(await seconds(work))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    best = min((name for name in BY_HAND if name != "rollup in zone"), key=lambda name: medians[name])
    return {
        "question_seconds": medians,
        "best_by_hand": best,
        "question_ratio": paired(taken["store"], taken[best]),
        "zone_ratio": paired(taken["store in zone"], taken["rollup in zone"]),
    }


async def measure_all(store: ClickHouseStore, rounds: int) -> dict[str, Any]:
    figures = {}
    for name, (ask, statements) in OF_ALL.items():
        await ask(store)
        ours, theirs = [], []
        for turn in range(rounds):
            pair = [(ours, lambda ask=ask: ask(store)), (theirs, lambda sql=statements: by_hand(store, sql))]
            for kept, work in pair if turn % 2 else reversed(pair):
                kept.append(await seconds(work()))
        figures[name] = {
            "store_seconds": statistics.median(ours),
            "by_hand_seconds": statistics.median(theirs),
            "ratio": paired(ours, theirs),
        }
    return {"all": figures}


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def measure(url: str, rows: int, customers: int, rounds: int) -> dict[str, Any]:
    store = open_store(load_settings(None, store_url=url))
    try:
        feeding = Feeding(store)
        begun = time.perf_counter()
        for frame in frames(rows, customers):
            feeding.commit(frame)
        rate = rows / (time.perf_counter() - begun)
        figures = asyncio.run(measure_customers(store, customers, rounds))
        figures |= asyncio.run(measure_all(store, max(3, rounds // 5)))
    finally:
        store.close()
    return {"rows": rows, "customers": customers, "commit_rows_per_second": rate, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with running(ClickHouse) as server:
        figures = measure(server.new_database(), arguments.rows, arguments.customers, arguments.rounds)
    print(f"{figures['rows']:,} rows of {figures['customers']:,} customers, {DAYS} days; medians")
    print(f"written with {figures['commit_rows_per_second'] / 1e6:.2f} M rows/s")
    print("one customer's totals and daily windows:")
    for name, taken in figures["question_seconds"].items():
        print(f"  {name:16} {1000 * taken:7.1f} ms")
    print(
        f"  store / best by hand ({figures['best_by_hand']}): {figures['question_ratio']:.2f} (goal {GOAL})"
    )
    print(f"  store / by hand in America/New_York: {figures['zone_ratio']:.2f}")
    print("all customers:")
    for name, each in figures["all"].items():
        ours, theirs = 1000 * each["store_seconds"], 1000 * each["by_hand_seconds"]
        print(f"  {name:20} {ours:8.1f} ms, by hand {theirs:8.1f} ms: {each['ratio']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
