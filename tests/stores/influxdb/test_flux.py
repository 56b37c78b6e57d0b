"""Every Flux text that the InfluxDB store makes, checked by InfluxData's own language server.

It knows the language: syntax, names, arguments and types. It knows no data: whether a column or a measurement
is there, whether a range is empty, what a text computes and how long it takes only a real server shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tailmetrics.api.parameters import MAX_PAGE
from tailmetrics.errors import QueryError, UnknownCustomer
from tailmetrics.stats import (
    MAX_WINDOWS,
    BreakdownQuery,
    RejectsQuery,
    RequestFilter,
    RequestsQuery,
    StatsQuery,
)
from tailmetrics.status import SourceStatus
from tailmetrics.stores.cursors import cursor_to
from tailmetrics.stores.influxdb import (
    filtered_query,
    leases,
    meta_queries,
    notes,
    records_query,
    stats_query,
)
from tailmetrics.stores.influxdb.influxql import Shortcut
from tailmetrics.stores.influxdb.summaries import InfluxDBSummaries
from tailmetrics.stores.results import FAILURE_RULES
from tailmetrics.stores.summaries.block import LEVELS
from tailmetrics.stores.summaries.manifest import ALWAYS, BlockRef, Manifest
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import parse_every, to_us
from tests.builders import at
from tests.stores.influxdb import panels

pytestmark = pytest.mark.slow  # it needs npm

CHECKER = Path(__file__).parent / "flux_checker"
# Of one customer and status, at a time that InfluxDB cannot keep: so that what such times ask for is asked.
FAR_US = -(10**16)

Check = Callable[[Sequence[str]], list[list[str]]]


def edge_at(time_ns: int) -> pl.DataFrame:
    return pl.DataFrame({"_measurement": ["requests_s"], "_time": [time_ns]})


class RecordingReader:
    """Stands in for the server: keeps what it is asked, and answers so that all that can follow does."""

    bucket = "bucket"
    meta_bucket = "bucket_meta"

    def __init__(self, *, has_far: bool, has_rejects: bool) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.heard: dict[str, tuple[float, float]] = {}
        self.oldest_us: int | None = None
        self.shortcut = Shortcut()
        self.shortcut.refused()
        self.stored: tuple[str, tuple[SourceStatus, ...]] = ("", ())
        self.answers: dict[str, pl.DataFrame] = {}
        keys = {"lane": ["lane"], "customer_id": ["a"], "status_code": ["200"]}
        if has_far:
            self.answers["us_far"] = pl.DataFrame({"_time": [1], "_value": [FAR_US], **keys})
        else:
            self.answers["counts_s"] = pl.DataFrame({"_value": [1], "_field": ["duration"], **keys})
            self.answers["first_s"] = self.answers["last_s"] = edge_at(1)
        if has_rejects:
            self.answers["newest"] = pl.DataFrame({"_time": [7], "lane": ["lane"], "_value": [9]})
            self.answers["lines"] = pl.DataFrame(
                {"_time": [7], "lane": ["lane"], "_value": [json.dumps(["s", "p", 0, "r", "l"])]}
            )

    async def run(self, text: str, params: dict[str, Any]) -> dict[str, pl.DataFrame]:
        self.asked.append((text, params))
        return {name: table for name, table in self.answers.items() if f'name: "{name}"' in text}


def with_params(text: str, params: dict[str, Any]) -> str:
    """The text after declarations of its parameters, as they come with a request."""
    options = "".join(f"option {name} = {_literal(value)}\n" for name, value in params.items())
    imports, separator, rest = text.partition('import "regexp"\n')
    return imports + separator + options + rest if separator else options + text


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, list):
        return "[" + ", ".join(_literal(part) for part in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
    return str(value)


class NoServer:
    """A server that keeps everything, and takes no writes."""

    def prepare(self) -> None:
        pass

    def oldest_us(self) -> None:
        pass

    def delete_meta(self, *_: object) -> None:
        pass


async def ask_of_summaries(reader: Any, spans: list[Span], ids: Sequence[str]) -> None:
    """What questions about all customers read."""
    summaries = InfluxDBSummaries(reader, NoServer())  # type: ignore[arg-type]  # what it has suffices
    await summaries.state()
    refs = [BlockRef(level, 0, 1, 1, 0, 0, {"series": 0}) for level in LEVELS]
    assert await summaries.parts(refs, "series") == [b""] * len(LEVELS)
    for some in (spans, [ALWAYS]):
        for customer_ids in (None, ids):
            async for _ in summaries.requests(some, customer_ids):
                pass
        async for _ in summaries.paths(some):
            pass
        await summaries.edges(some)
    await summaries.sweep(Manifest(), set())
    await summaries.lease()


def a_filter(chance: random.Random) -> RequestFilter:
    return RequestFilter(
        chance.choice([(), ("/a*", '/"x" \\*')]),
        statuses=chance.choice([(), ((0, 0), (400, 599))]),
        min_duration=chance.choice([None, 0.25]),
        max_duration=chance.choice([None, 1e9]),
    )


async def ask_everything(reader: Any, chance: random.Random) -> None:
    """One question of each kind, with a range, customers and options by chance."""
    moments = [at("0001-01-02"), at("1960-05-05T12:00:00.000001"), at("2024-10-10"), at("9999-01-01")]
    start, end = (chance.choice([None, *moments]) for _ in range(2))
    customer_id = chance.choice([None, "a", 'it"s ${x} \\'])
    failures: Any = chance.choice(["4xx+5xx", "5xx", "5xx+429"])
    every = parse_every(chance.choice(["none", "1d", "7h", "90m"]))
    zone = ZoneInfo(chance.choice(["UTC", "America/New_York"]))
    first = chance.choice(moments)
    span = chance.choice([timedelta(0), timedelta(microseconds=5), timedelta(days=3)])
    ids = (*(f"customer {number}" for number in range(chance.choice([0, 1, 2, 3, MAX_PAGE - 1]))), "a")
    questions = [
        stats_query.stats(reader, StatsQuery(customer_id, every, start, end, zone, failures)),
        filtered_query.stats(
            reader, StatsQuery(customer_id, every, start, end, zone, failures, only=a_filter(chance))
        ),
        records_query.requests(reader, RequestsQuery(customer_id, start, end, a_filter(chance))),
        stats_query.breakdown(reader, BreakdownQuery(customer_id, start, end, failures)),
        ask_of_summaries(reader, [(to_us(first), to_us(min(first + span, moments[-1])))], ids),
        meta_queries.rejects(reader, RejectsQuery(after=chance.choice([None, cursor_to("rejects", 10)]))),
        meta_queries.status(reader),
        meta_queries.ping(reader),
    ]
    for question in questions:
        with contextlib.suppress(UnknownCustomer, QueryError):
            await question


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Different texts, of questions by chance and of the write side."""
    chance = random.Random(1)  # the same in each run
    asked: list[tuple[str, dict[str, Any]]] = []
    for number in range(60):
        reader = RecordingReader(has_far=number % 2 == 1, has_rejects=number % 3 > 0)
        asyncio.run(ask_everything(reader, chance))
        asked += reader.asked
    bucket = {"bucket": "bucket_meta"}
    asked += [
        (meta_queries.SOURCES, {**bucket, "node": "n"}),
        *((meta_queries.sources_by_id(n), bucket | {f"id_{m}": "a" for m in range(n)}) for n in (1, 200)),
        (leases.BEATS, {**bucket, "id": "x"}),
        (leases.claims_of("claim"), {**bucket, "id": "x"}),
        (notes.NOTE, {**bucket, "name": "x"}),
    ]
    return list(dict.fromkeys(with_params(text, params) for text, params in asked))


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """What the language server says against each of some texts."""
    folder = tmp_path_factory.mktemp("flux") / "checker"
    shutil.copytree(CHECKER, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)

    def run(texts: Sequence[str]) -> list[list[str]]:
        ended = subprocess.run(
            ["node", "check.mjs"],
            cwd=folder,
            input=json.dumps(texts),
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return list(json.loads(ended.stdout))

    return run


def test_every_text_is_taken_by_the_language_server(texts: list[str], check: Check) -> None:
    assert len(texts) > 100
    complaints = {text: found for text, found in zip(texts, check(texts), strict=True) if found}
    assert complaints == {}


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("count()", "count(", "expected RPAREN"),
        ("count()", "coutn()", "undefined identifier coutn"),
        ("bucket: bucket", "bucket: bukket", "undefined identifier bukket"),
        ("group(columns:", "group(colums:", "unexpected argument colums"),
        ("columns: [", "columns: [1, ", "expected int but found string"),
        ("q: 0.5", 'q: "0.5"', "expected float but found string"),
    ],
)
def test_a_mistake_is_found(texts: list[str], check: Check, right: str, wrong: str, complaint: str) -> None:
    text = next(text for text in texts if right in text and "s_stop" in text)
    [found] = check([text.replace(right, wrong, 1)])
    assert complaint in " ".join(found)


def test_every_query_of_the_page_about_panels_is_taken_by_the_language_server(check: Check) -> None:
    texts = {
        name: panels.as_sent(
            text,
            bucket="bucket",
            start="2024-10-10T12:00:00.4Z",
            stop="2024-10-10T13:00:00.7Z",
            every="1m0s",
            customer='it\'s "quoted"',
        )
        for name, text in panels.panels().items()
    }
    assert texts.keys() == panels.TESTED  # each one is in real/test_panels.py, too
    complaints = dict(zip(texts, check(list(texts.values())), strict=True))
    assert complaints == {name: [] for name in texts}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("r._measurement ==", "r.meassurement =="),
        ('group(columns: ["', 'group(columns: ["x'),
        ("stop: s_stop", "stop: s_start"),
    ],
)
def test_a_mistake_about_data_is_not_found(texts: list[str], check: Check, right: str, wrong: str) -> None:
    text = next(text for text in texts if 'group(columns: ["' in text and right in text)
    assert check([text.replace(right, wrong)]) == [[]]


@pytest.mark.parametrize("failures", FAILURE_RULES)
def test_the_page_about_panels_has_the_pattern_of_each_rule_of_failures(failures: Any) -> None:
    pattern = {"4xx+5xx": "^[045]", "5xx": "^[05]", "5xx+429": "^([05]|429)"}[failures]
    assert f"`/{pattern}/`" in panels.PAGE
    matched = [status for status in (0, *range(100, 600)) if re.search(pattern, str(status))]
    assert matched == [status for status in (0, *range(100, 600)) if FAILURE_RULES[failures](status)]


@pytest.mark.parametrize("fill", [False, True])
def test_too_many_windows_are_refused_before_rows_are_asked_for(fill: bool) -> None:
    reader = RecordingReader(has_far=False, has_rejects=False)
    reader.answers["last_s"] = edge_at(10**15)  # in ns: 11 days after the first
    reader.answers["counts_s"] = pl.DataFrame({"_value": [MAX_WINDOWS + 1]})
    query = StatsQuery(None, parse_every("1s"), fill=fill)
    with pytest.raises(QueryError, match="this one makes 1000001"):
        asyncio.run(stats_query.stats(reader, query))  # type: ignore[arg-type]  # what it has suffices
    assert not any('yield(name: "duration_' in text for text, _ in reader.asked)


def test_what_a_user_gives_is_in_no_text() -> None:
    reader = RecordingReader(has_far=False, has_rejects=False)
    hostile = '") |> drop() // ${id}'
    query = StatsQuery(hostile, parse_every("1d"), at("2024-01-01"), at("2024-02-01"))
    with pytest.raises(UnknownCustomer):
        asyncio.run(stats_query.stats(reader, query))  # type: ignore[arg-type]  # what it has suffices
    assert len(reader.asked) == 2
    for text, params in reader.asked:
        assert "drop" not in text
        assert hostile in params.values()
