"""What every store does, whatever keeps its data."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.errors import PositionConflict, QueryError, StoreBusy, StoreError, UnknownCustomer
from tailmetrics.formats import open_format
from tailmetrics.settings import Settings
from tailmetrics.sources import MESSAGES_NODE, Source
from tailmetrics.stats import (
    MAX_FILLED_WINDOWS,
    MAX_WINDOWS,
    Breakdown,
    BreakdownQuery,
    CustomersQuery,
    CustomerStats,
    RejectsQuery,
    StatsQuery,
    Summary,
    TrendsQuery,
)
from tailmetrics.status import SourceStatus, SourceWarning
from tailmetrics.stores import Store
from tailmetrics.stores.in_memory import Memory
from tailmetrics.windows import parse_every
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of
from tests.stores.brute_force import (
    assert_same,
    assert_same_summary,
    expected_breakdown,
    expected_stats,
    expected_summary,
    expected_trends,
)
from tests.stores.conftest import BACKENDS, STORES, SUMMARIZED, Ask, open_store

DAILY = parse_every("1d")
NOON = at("2024-10-10T12:00:00")
ONE: list[Record] = [(NOON, "a", "/", 200, 0.1)]

IDS = (
    "cust_1",
    "Cust_1",
    "cust_1 ",
    'it\'s "quoted"',
    "100%",
    "a_c",
    "abc",
    "with/slash and space",
    "emoji \U0001f680",
    "caf\u00e9",
    "cafe\u0301",
    "\u00fc" * 256,
    "back\\slash",
)


def random_records(seed: int, first: datetime, last: datetime, number: int = 1000) -> list[Record]:
    """Records in no order, with equal times, some without a duration, unevenly spread over customers."""
    chance = random.Random(seed)  # the same records in each run
    span = last - first
    times = [first + chance.random() * span for _ in range(number * 9 // 10)]
    times += chance.choices(times, k=number - len(times))
    return [
        (
            moment,
            chance.choice(IDS[: chance.randint(1, len(IDS))]),
            f"/api/v1/resource{chance.randint(1, 4)}",
            chance.choice((0, 200, 200, 201, 302, 399, 400, 404, 429, 499, 500, 503, 599)),
            chance.choice((None, 0.0, round(chance.expovariate(3), 3), chance.expovariate(3))),
        )
        for moment in times
    ]


# Over both clock changes of New York, before 1970, and in a future that clocks are not yet known of.
RECORDS = [
    *random_records(1, at("2024-10-25"), at("2024-11-08")),
    *random_records(2, at("2024-03-08"), at("2024-03-13")),
    *random_records(3, at("1969-12-28"), at("1970-01-03"), 300),
    *random_records(4, at("2051-06-01"), at("2051-06-02"), 100),
]


@pytest.fixture(scope="module", params=STORES)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with RECORDS from two sources, written in several commits."""
    store = open_store(BACKENDS[request.param](tmp_path_factory.mktemp("filled")))
    sources = [store.register(source_of("one.log")), store.register(source_of("two.log", inode=8))]
    for begin in range(0, len(RECORDS), 1000):
        batches = []
        for place, source in enumerate(sources):
            batch = batch_of(source, RECORDS[begin + 500 * place : begin + 500 * (place + 1)])
            batches.append(batch)
            sources[place] = moved(source, batch)
        store.write(batches)
    if request.param.endswith(SUMMARIZED):
        store.summarize()
    yield store
    store.close()


@pytest.fixture(scope="module", params=STORES)
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a request every two seconds, one more than windows may be."""
    store = open_store(BACKENDS[request.param](tmp_path_factory.mktemp("many")))
    source = store.register(source_of())
    store.write([batch_of(source, [_every_two_seconds(place) for place in range(MAX_WINDOWS + 1)])])
    if request.param.endswith(SUMMARIZED):
        store.summarize()
    yield store
    store.close()


def _every_two_seconds(place: int) -> Record:
    return (NOON + timedelta(seconds=2 * place), "a", "/", 200, 0.1)


def without_time(source: Source) -> Source:
    return replace(source, committed_at=None, followed_since=None)


class TestSources:
    def test_a_source_that_is_not_registered_has_no_position(self, store: Store) -> None:
        assert store.position("nobody") is None

    def test_all_sources_are_those_of_files_and_of_messages(self, store: Store) -> None:
        file, message = source_of(), source_of("message", node_id=f"{MESSAGES_NODE}abc", inode=0)
        store.register_all([file, message])
        store.write([batch_of(message, ONE)])
        found = {source.source_id: source.position for source in store.all_sources()}
        assert found == {file.source_id: 0, message.source_id: LINE_BYTES}

    def test_partitions_are_listed_without_a_processor_and_messages_are_not(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        message = source_of("message", node_id=f"{MESSAGES_NODE}abc", inode=0)
        partition = source_of("partition", node_id=f"{MESSAGES_NODE}def", inode=0)
        for source in (message, replace(partition, path="kafka://broker:9092/logs/0")):
            store.write([batch_of(store.register(source), ONE)])
        [listed] = ask(store.status()).sources
        assert (listed.path, listed.state) == ("kafka://broker:9092/logs/0", "stored")

    def test_a_registered_source_begins_at_its_checkpoint(self, store: Store) -> None:
        source = source_of()
        store.register(replace(source, checkpoint=replace(source.checkpoint, position=500)))
        assert store.position(source.source_id) == 500

    def test_registering_twice_gives_the_source_as_the_store_has_it(self, store: Store) -> None:
        source = store.register(source_of())
        batch = batch_of(source, ONE)
        store.write([batch])
        again = store.register(replace(source_of(), path="/elsewhere"))
        assert without_time(again) == without_time(moved(source, batch))

    def test_many_are_registered_at_once_and_those_known_stay_as_they_are(self, store: Store) -> None:
        known = store.register(source_of("known", inode=1))
        new = source_of("new", inode=2)
        store.register_all([replace(known, path="/elsewhere"), new])
        found = {source.source_id: source.path for source in store.sources(known.node_id)}
        assert found == {known.source_id: known.path, new.source_id: new.path}

    def test_sources_are_listed_by_node(self, store: Store) -> None:
        store.register(source_of("a", node_id="first"))
        store.register(source_of("b", node_id="second"))
        assert [source.path for source in store.sources("second")] == ["/logs/b"]

    def test_files_of_all_nodes_are_listed_and_no_messages(self, store: Store) -> None:
        for name, node_id in [("a", "first"), ("b", "Queue-of-a-host"), ("c", f"{MESSAGES_NODE}x")]:
            store.register(source_of(name, node_id=node_id))
        found = {(source.node_id, source.path) for source in store.sources(None)}
        assert found == {("first", "/logs/a"), ("Queue-of-a-host", "/logs/b")}

    def test_two_who_register_one_source_cannot_both_go_on_with_it(self, store: Store) -> None:
        one = store.register(source_of(node_id="first"))
        two = store.register(replace(one, node_id="second"))
        assert (two.source_id, two.node_id) == (one.source_id, "first")
        store.write([batch_of(one, ONE)])
        with pytest.raises(PositionConflict) as conflict:
            store.write([batch_of(two, ONE)])
        assert (conflict.value.expected, conflict.value.found) == (0, LINE_BYTES)

    def test_the_largest_device_and_inode_are_kept(self, settings: Settings | Memory, store: Store) -> None:
        source = source_of(inode=2**128 - 1, device=2**64 - 1)
        store.register(source)
        store.close()
        reopened = open_store(settings)
        found = [without_time(known) for known in reopened.sources("node")]
        reopened.close()
        assert found == [source]

    def test_a_source_knows_when_it_was_committed(self, store: Store) -> None:
        source = store.register(source_of())
        before = datetime.now(timezone.utc)
        store.write([batch_of(source, ONE)])
        [found] = store.sources("node")
        assert found.committed_at is not None
        assert abs(found.committed_at - before) < timedelta(seconds=60)

    def test_sources_without_a_record_or_reject_are_forgotten(self, store: Store) -> None:
        empty, counted = store.register(source_of("empty", inode=1)), store.register(source_of("counted"))
        store.write([batch_of(empty, blanks=5), batch_of(counted, ONE)])
        assert store.forget([empty.source_id, counted.source_id, "nobody"]) == 1
        assert [source.source_id for source in store.sources("node")] == [counted.source_id]

    def test_of_messages_records_stay_when_their_sources_are_forgotten(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        counted, rejected = store.register(source_of("counted")), store.register(source_of("no", inode=8))
        store.write([batch_of(counted, ONE), batch_of(rejected, rejects=[("reason", "line")])])
        assert store.forget([counted.source_id, rejected.source_id], with_records=True) == 1
        assert [source.source_id for source in store.sources("node")] == [rejected.source_id]
        assert ask(store.stats(StatsQuery(None, DAILY))).summary.total_requests == 1
        assert ask(store.rejects(RejectsQuery())).rejects[0].path == "/logs/no"


class TestWriting:
    def test_the_position_moves_to_the_end_of_the_batch(self, store: Store) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, ONE * 3)])
        assert store.position(source.source_id) == 3 * LINE_BYTES

    def test_batches_of_one_source_follow_each_other_in_one_commit(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        first = batch_of(source, ONE)
        second = batch_of(moved(source, first), ONE, blanks=2)
        store.write([first, second])
        assert store.position(source.source_id) == 2 * LINE_BYTES + 2
        assert ask(store.status()).records == 2

    def test_a_batch_without_records_moves_the_position(self, store: Store) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, blanks=5)])
        assert store.position(source.source_id) == 5

    def test_many_sources_move_in_one_commit(self, store: Store, ask: Ask[Any]) -> None:
        sources = [store.register(source_of(f"{number}.log", inode=number)) for number in range(50)]
        store.write([batch_of(source, ONE, blanks=place) for place, source in enumerate(sources)])
        assert [store.position(source.source_id) for source in sources] == [
            LINE_BYTES + place for place in range(50)
        ]
        status = ask(store.status())
        assert (status.records, status.blanks) == (50, sum(range(50)))

    def test_nothing_to_write_changes_nothing(self, store: Store, ask: Ask[Any]) -> None:
        before = ask(store.status())
        store.write([])
        assert ask(store.status()) == before

    def test_the_last_name_and_fingerprints_are_kept(self, settings: Settings | Memory, store: Store) -> None:
        source = store.register(source_of())
        batch = replace(batch_of(source, ONE), path="/logs/requests.log.1")
        store.write([batch])
        store.close()
        reopened = open_store(settings)
        [found] = reopened.sources("node")
        reopened.close()
        assert without_time(found) == without_time(moved(source, batch))

    @pytest.mark.parametrize("start", [0, LINE_BYTES - 1, LINE_BYTES + 1])
    def test_a_batch_that_does_not_begin_at_the_position_is_refused(self, store: Store, start: int) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, ONE)])
        with pytest.raises(PositionConflict) as conflict:
            store.write([batch_of(source, ONE, start)])
        assert (conflict.value.expected, conflict.value.found) == (start, LINE_BYTES)

    def test_a_batch_of_a_source_that_is_not_registered_is_refused(self, store: Store) -> None:
        with pytest.raises(PositionConflict) as conflict:
            store.write([batch_of(source_of(), blanks=1)])
        assert conflict.value.found is None

    def test_a_refused_batch_takes_the_others_of_its_commit_with_it(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        one, two = store.register(source_of("one")), store.register(source_of("two", inode=8))
        with pytest.raises(PositionConflict):
            store.write([batch_of(one, ONE), batch_of(two, blanks=1, start=99)])
        assert store.position(one.source_id) == 0
        assert ask(store.status()).records == 0

    def test_a_failed_commit_leaves_the_position_and_the_next_one_succeeds(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        source = store.register(source_of())
        good = batch_of(source, ONE, rejects=[("reason", "line")])
        bad = replace(good, parsed=replace(good.parsed, records=good.parsed.records.drop("duration")))
        with pytest.raises(StoreError):
            store.write([bad])
        assert store.position(source.source_id) == 0
        store.write([good])
        status = ask(store.status())
        assert (status.records, status.rejects) == (1, 1)

    def test_a_second_processor_of_a_source_is_refused(
        self, settings: Settings | Memory, store: Store
    ) -> None:
        source = store.register(source_of())
        batch = batch_of(source, ONE)
        store.write([batch])
        with pytest.raises((StoreBusy, PositionConflict)):
            open_store(settings).write([batch])

    def test_what_was_committed_is_there_after_reopening(
        self, settings: Settings | Memory, store: Store, ask: Ask[Any]
    ) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, ONE, rejects=[("r", "l")], blanks=3)])
        store.close()
        reopened = open_store(settings)
        status = ask(reopened.status())
        answer = ask(reopened.stats(StatsQuery("a", DAILY)))
        position = reopened.position(source.source_id)
        reopened.close()
        assert (status.records, status.rejects, status.blanks) == (1, 1, 3)
        assert answer.summary.total_requests == 1
        assert position == 2 * LINE_BYTES + 3


Span = tuple[datetime | None, datetime | None]


def name_of_span(span: Span) -> str:
    return " to ".join("open" if edge is None else edge.strftime("%Y-%m-%dT%H:%M") for edge in span)


RANGES: list[Span] = [
    (None, None),
    (at("1970-01-01"), None),
    (at("2024-11-02T10:30:00.000001"), at("2024-11-05T03:07:00")),
    (None, at("2024-03-10T15:00:00")),
    (at("2024-03-10T06:59:59.999999"), at("2024-03-10T07:00:00.000001")),
    (at("2024-06-01"), at("2024-06-02")),
]


class TestStats:
    @pytest.mark.parametrize("tz", ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
    @pytest.mark.parametrize("every", ["none", "1d", "2d", "7d", "24h", "6h", "7h", "90m", "5000s"])
    @pytest.mark.parametrize("span", RANGES, ids=name_of_span)
    def test_windows_and_totals_equal_brute_force(
        self, filled: Store, ask: Ask[Any], every: str, tz: str, span: Span
    ) -> None:
        query = StatsQuery("cust_1", parse_every(every), *span, zone=ZoneInfo(tz))
        assert_same(ask(filled.stats(query)), expected_stats(RECORDS, query))

    @pytest.mark.parametrize("customer_id", [*IDS, None])
    def test_every_customer_is_told_apart_by_the_bytes_of_its_id(
        self, filled: Store, ask: Ask[Any], customer_id: str | None
    ) -> None:
        query = StatsQuery(customer_id, DAILY)
        assert_same(ask(filled.stats(query)), expected_stats(RECORDS, query))

    @pytest.mark.parametrize("failures", ["4xx+5xx", "5xx", "5xx+429"])
    @pytest.mark.parametrize("uptime_method", ["requests", "good_windows"])
    @pytest.mark.parametrize("customer_id", ["cust_1", None])
    def test_failures_and_uptime_are_as_the_query_defines_them(
        self, filled: Store, ask: Ask[Any], failures: Any, uptime_method: Any, customer_id: str | None
    ) -> None:
        query = StatsQuery(
            customer_id,
            parse_every("6h"),
            zone=ZoneInfo("America/New_York"),
            failures=failures,
            uptime_method=uptime_method,
            objective=60.0,
        )
        assert_same(ask(filled.stats(query)), expected_stats(RECORDS, query))

    @pytest.mark.parametrize("every", ["1d", "2d", "7h", "none"])
    @pytest.mark.parametrize("tz", ["UTC", "America/New_York"])
    @pytest.mark.parametrize(
        "span",
        [
            (at("2024-10-20"), at("2024-11-10T05:00:00")),
            (at("2051-05-20T10:00:00"), None),
            (at("2024-06-01T01:00:00"), at("2024-06-03")),
        ],
        ids=name_of_span,
    )
    def test_filling_gives_every_window_of_the_range(
        self, filled: Store, ask: Ask[Any], every: str, tz: str, span: Span
    ) -> None:
        query = StatsQuery("abc", parse_every(every), *span, zone=ZoneInfo(tz), fill=True)
        assert_same(ask(filled.stats(query)), expected_stats(RECORDS, query))

    def test_a_day_on_which_clocks_go_back_has_25_hours(self, filled: Store, ask: Ask[Any]) -> None:
        query = StatsQuery(None, DAILY, at("2024-11-03T12:00:00"), at("2024-11-03T12:00:01"), fill=True)
        whole = ask(
            filled.stats(replace(query, zone=ZoneInfo("America/New_York"), start=at("2024-11-01"), end=None))
        )
        lengths = {window.start: window.end - window.start for window in whole.windows}
        assert lengths[at("2024-11-03T04:00:00")] == timedelta(hours=25)

    @pytest.mark.parametrize("every", ["1s", "7h", "1d"])
    @pytest.mark.parametrize("tz", ["UTC", "America/New_York"])
    def test_more_filled_windows_than_allowed_are_refused(
        self, filled: Store, ask: Ask[Any], every: str, tz: str
    ) -> None:
        query = StatsQuery(
            "cust_1", parse_every(every), at("0001-01-01"), at("9999-12-31"), zone=ZoneInfo(tz), fill=True
        )
        with pytest.raises(QueryError, match=f"at most {MAX_FILLED_WINDOWS}") as refused:
            ask(filled.stats(query))
        assert refused.value.parameter == "every"

    def test_as_many_filled_windows_as_allowed_are_given(self, filled: Store, ask: Ask[Any]) -> None:
        start = at("2024-11-01")
        query = StatsQuery("cust_1", parse_every("1m"), start, start + timedelta(minutes=MAX_FILLED_WINDOWS))
        answer = ask(filled.stats(replace(query, fill=True)))
        assert len(answer.windows) == MAX_FILLED_WINDOWS
        with pytest.raises(QueryError, match=str(MAX_FILLED_WINDOWS + 1)):
            ask(filled.stats(replace(query, fill=True, start=start - timedelta(seconds=1))))

    @pytest.mark.parametrize("customer_id", [None, "a"])
    @pytest.mark.parametrize("end", [None, NOON + timedelta(days=2)])
    def test_more_windows_than_allowed_are_refused_with_what_fits(
        self, many: Store, ask: Ask[Any], customer_id: str | None, end: datetime | None
    ) -> None:
        query = StatsQuery(customer_id, parse_every("1s"), NOON, end)
        with pytest.raises(QueryError, match=f"at most {MAX_WINDOWS} windows, this one makes") as refused:
            ask(many.stats(query))
        assert refused.value.parameter == "every"
        assert refused.value.expected.endswith("; 5s fits, or a range of at most 13h")
        assert len(ask(many.stats(replace(query, every=parse_every("5s")))).windows) < MAX_WINDOWS

    def test_as_many_windows_as_allowed_are_given_wherever_they_lie(self, many: Store, ask: Ask[Any]) -> None:
        query = StatsQuery(None, parse_every("1s"), NOON + timedelta(seconds=1), at("2030-01-01"))
        assert len(ask(many.stats(query)).windows) == MAX_WINDOWS

    def test_a_known_customer_with_nothing_in_range_has_zeros(self, filled: Store, ask: Ask[Any]) -> None:
        query = StatsQuery("cust_1", DAILY, at("2030-01-01"), at("2030-01-05"))
        answer = ask(filled.stats(query))
        assert (answer.start, answer.end, answer.summary, answer.windows) == (
            query.start,
            query.end,
            Summary(),
            (),
        )

    def test_an_open_range_with_nothing_in_it_has_no_end(self, filled: Store, ask: Ask[Any]) -> None:
        answer = ask(filled.stats(StatsQuery("cust_1", DAILY, at("2060-01-01"), fill=True)))
        assert (answer.start, answer.end, answer.windows) == (at("2060-01-01"), None, ())

    @pytest.mark.parametrize("unknown", ["nobody", "CUST_1", "cust_1  ", "", "cust_1\0", "\ud800"])
    def test_an_unknown_customer_is_said_to_be_unknown(
        self, filled: Store, ask: Ask[Any], unknown: str
    ) -> None:
        with pytest.raises(UnknownCustomer):
            ask(filled.stats(StatsQuery(unknown, DAILY)))

    @pytest.mark.parametrize("every", ["1d", "none"])
    def test_an_empty_store_answers_for_all_customers(self, store: Store, ask: Ask[Any], every: str) -> None:
        answer = ask(store.stats(StatsQuery(None, parse_every(every), zone=ZoneInfo("America/New_York"))))
        assert (answer.start, answer.end, answer.summary, answer.windows) == (None, None, Summary(), ())

    def test_requests_without_durations_have_no_latencies(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        records: list[Record] = [(NOON, "a", "/", 200, None), (NOON, "a", "/", 500, None)]
        store.write([batch_of(source, records)])
        for customer_id in ("a", None):
            answer = ask(store.stats(StatsQuery(customer_id, DAILY)))
            assert answer.summary == Summary(2, 1, 1, 50.0)

    @pytest.mark.parametrize("durations", [(1e308, 1e308, 1e308), (1.7976931348623157e308, 5e-324), (1e308,)])
    def test_durations_from_before_they_had_a_bound_give_no_latency_that_is_no_number(
        self, store: Store, ask: Ask[Any], durations: tuple[float, ...]
    ) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, "a", "/", 200, seconds) for seconds in durations])])
        summaries = [
            ask(store.stats(StatsQuery(customer_id, parse_every(every)))).summary
            for customer_id in ("a", None)
            for every in ("none", "1d")
        ]
        for sort in ("customer_id", "average", "p99"):
            summaries += [each.summary for each in ask(store.customers(CustomersQuery(sort=sort))).customers]
        latencies = [
            each.average_latency is None or math.isfinite(each.average_latency) for each in summaries
        ]
        assert latencies == [True] * 7
        assert [each.total_requests for each in summaries] == [len(durations)] * 7

    def test_lines_thirty_days_late_are_counted(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        records: list[Record] = [(NOON - timedelta(days=day), "a", "/", 200, 0.5) for day in range(31)]
        for record in records:
            batch = batch_of(source, [record])
            store.write([batch])
            source = moved(source, batch)
        query = StatsQuery("a", DAILY)
        answer = ask(store.stats(query))
        assert len(answer.windows) == 31
        assert_same(answer, expected_stats(records, query))

    @pytest.mark.parametrize("every", ["1d", "7d", "365d", "7h", "none"])
    def test_a_few_wrong_dates_far_away_are_windows_like_others(
        self, store: Store, ask: Ask[Any], every: str
    ) -> None:
        source = store.register(source_of())
        dates = ("0009-01-05", "1883-11-18T17:00", "2024-11-03T12:00", "2024-11-04", "9988-07-05T04:00")
        records: list[Record] = [(at(date), "a", "/", 200, 0.5) for date in dates]
        store.write([batch_of(source, records)])
        for tz in ("UTC", "America/New_York"):
            query = StatsQuery("a", parse_every(every), zone=ZoneInfo(tz))
            assert_same(ask(store.stats(query)), expected_stats(records, query))

    @pytest.mark.parametrize(
        ("tz", "around"),
        [
            ("America/Sao_Paulo", at("2017-10-15T03:00:00")),  # midnight does not exist
            ("America/Sao_Paulo", at("2018-02-18T02:00:00")),  # 23:00 to 24:00 occurs twice
            ("Asia/Beirut", at("2024-03-31")),
            ("Africa/Cairo", at("2024-04-25T22:00:00")),
            ("America/New_York", at("1967-04-30T07:00:00")),
            ("Pacific/Apia", at("2011-12-30T10:00:00")),  # a date does not exist
        ],
    )
    @pytest.mark.parametrize("every", ["1d", "2d", "6h", "7h"])
    def test_days_around_a_change_of_clocks_equal_brute_force(
        self, store: Store, ask: Ask[Any], tz: str, around: datetime, every: str
    ) -> None:
        source = store.register(source_of())
        records: list[Record] = [
            (around + timedelta(minutes=10 * step, microseconds=-1), "a", "/", 200, step / 10)
            for step in range(-400, 400)
        ]
        store.write([batch_of(source, records)])
        query = StatsQuery("a", parse_every(every), zone=ZoneInfo(tz))
        assert_same(ask(store.stats(query)), expected_stats(records, query))


def by_customer(records: list[Record]) -> dict[str, Summary]:
    return {
        customer_id: expected_summary([record for record in records if record[1] == customer_id])
        for customer_id in {record[1] for record in records}
    }


class TestCustomers:
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(
        ("sort", "figure"),
        [
            ("customer_id", None),
            ("requests", "total_requests"),
            ("failures", "failed_requests"),
            ("uptime", "uptime"),
            ("average", "average_latency"),
            ("median", "median_latency"),
            ("p99", "p99_latency"),
        ],
    )
    def test_customers_are_sorted_by_any_figure(
        self, filled: Store, ask: Ask[Any], sort: Any, figure: str | None, descending: bool
    ) -> None:
        expected = by_customer(RECORDS)
        ids = sorted(expected, key=str.encode, reverse=descending and figure is None)
        if figure is not None:
            ids.sort(key=lambda customer_id: getattr(expected[customer_id], figure), reverse=descending)
        page = ask(filled.customers(CustomersQuery(sort=sort, descending=descending)))
        assert [customer.customer_id for customer in page.customers] == ids
        for customer in page.customers:
            assert_same_summary(customer.summary, expected[customer.customer_id])

    def test_pages_follow_each_other_and_end(self, filled: Store, ask: Ask[Any]) -> None:
        found: list[CustomerStats] = []
        query = CustomersQuery(limit=5)
        while True:
            page = ask(filled.customers(query))
            assert page.total == len(IDS)
            found.extend(page.customers)
            if page.next_cursor is None:
                break
            query = replace(query, after=page.next_cursor)
        assert [customer.customer_id for customer in found] == sorted(IDS, key=str.encode)

    @pytest.mark.parametrize(
        "search",
        [
            "cust",
            "CUST_1",
            "%",
            "_",
            "\\",
            "'",
            "\u00e9",
            "CAF\u00e9",
            "nobody",
            "[a-z]",
            "/slash ",
            "\ud800",
        ],
    )
    def test_search_finds_parts_of_ids_in_either_case_and_has_no_wildcards(
        self, filled: Store, ask: Ask[Any], search: str
    ) -> None:
        page = ask(filled.customers(CustomersQuery(search=search)))
        found = [customer.customer_id for customer in page.customers]
        alike = (name for name in IDS if search.lower() in name.lower())
        assert found == sorted(alike, key=str.encode)
        assert page.total == len(found)

    # Of these `lower` makes, somewhere, é, i, k and ß.
    @pytest.mark.parametrize("search", ["\u00c9", "\u0130", "\u212a", "\u1e9e", "e\u0301"])
    def test_search_takes_letters_beyond_ascii_as_they_are(
        self, store: Store, ask: Ask[Any], search: str
    ) -> None:
        ids = ("caf\u00e9", "ki", "stra\u00dfe", f"X{search}")
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, name, "/", 200, 0.5) for name in ids])])
        for asked in (search, f"x{search}"):
            page = ask(store.customers(CustomersQuery(search=asked)))
            assert [customer.customer_id for customer in page.customers] == [f"X{search}"]
        page = ask(store.customers(CustomersQuery(search="K")))
        assert [customer.customer_id for customer in page.customers] == ["ki"]

    @pytest.mark.parametrize("sort", ["customer_id", "uptime", "p99"])
    @pytest.mark.parametrize("least", [1, 100, 10**15])
    def test_customers_of_few_requests_can_be_left_out(
        self, filled: Store, ask: Ask[Any], sort: Any, least: int
    ) -> None:
        enough = {
            name: summary
            for name, summary in by_customer(RECORDS).items()
            if summary.total_requests >= least and "c" in name.lower()
        }
        page = ask(filled.customers(CustomersQuery(search="C", min_requests=least, sort=sort)))
        assert {customer.customer_id: customer.summary.total_requests for customer in page.customers} == {
            name: summary.total_requests for name, summary in enough.items()
        }
        assert page.total == len(enough)

    def test_a_page_behind_the_last_customer_of_enough_requests_has_their_number(
        self, filled: Store, ask: Ask[Any]
    ) -> None:
        enough = [each for each in by_customer(RECORDS).values() if each.total_requests >= 100]
        first = ask(filled.customers(CustomersQuery(min_requests=100, limit=len(enough) - 1)))
        query = CustomersQuery(min_requests=100, limit=1, after=first.next_cursor)
        last = ask(filled.customers(query))
        assert (last.total, len(last.customers), last.next_cursor) == (len(enough), 1, None)
        assert 1 < len(enough) < len(IDS)

    def test_a_long_page_has_the_same_figures(self, filled: Store, ask: Ask[Any]) -> None:
        page = ask(filled.customers(CustomersQuery(sort="requests", limit=100_000)))
        expected = by_customer(RECORDS)
        assert {customer.customer_id for customer in page.customers} == set(expected)
        for customer in page.customers:
            assert_same_summary(customer.summary, expected[customer.customer_id])

    def test_a_range_counts_only_what_is_in_it(self, filled: Store, ask: Ask[Any]) -> None:
        start, end = at("2024-11-03"), at("2024-11-03T01:00:00")
        expected = by_customer([record for record in RECORDS if start <= record[0] < end])
        page = ask(filled.customers(CustomersQuery(start, end)))
        assert {customer.customer_id for customer in page.customers} == set(expected)
        assert page.total == len(expected)

    def test_equal_figures_are_sorted_by_id(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, name, "/", 200, 0.5) for name in ("b", "a", "C")])])
        page = ask(store.customers(CustomersQuery(sort="p99", descending=True)))
        assert [customer.customer_id for customer in page.customers] == ["C", "a", "b"]

    def test_customers_without_latencies_come_last(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, "a", "/", 200, None), (NOON, "b", "/", 200, 0.5)])])
        for descending in (False, True):
            query = CustomersQuery(sort="median", descending=descending)
            page = ask(store.customers(query))
            assert [customer.customer_id for customer in page.customers] == ["b", "a"]

    def test_an_empty_store_has_no_customers(self, store: Store, ask: Ask[Any]) -> None:
        page = ask(store.customers(CustomersQuery()))
        assert (page.customers, page.total, page.next_cursor) == ((), 0, None)

    @pytest.mark.parametrize("cursor", ["", "x", "!", "W10", "\u00e9", "WyJyZWplY3RzIiwgMV0", "bnVsbA"])
    def test_a_wrong_cursor_is_named(self, store: Store, ask: Ask[Any], cursor: str) -> None:
        with pytest.raises(QueryError) as refused:
            ask(store.customers(CustomersQuery(after=cursor)))
        assert refused.value.parameter == "cursor"


class TestBreakdown:
    @pytest.mark.parametrize("customer_id", ["cust_1", "\u00fc" * 256, None])
    @pytest.mark.parametrize("failures", ["4xx+5xx", "5xx", "5xx+429"])
    @pytest.mark.parametrize(
        ("start", "end"),
        [(None, None), (at("2024-10-30"), at("2024-11-03T05:30:00")), (at("2051-01-01"), None)],
    )
    def test_paths_and_statuses_equal_brute_force(
        self, filled: Store, ask: Ask[Any], *, customer_id: str | None, failures: Any, start: Any, end: Any
    ) -> None:
        query = BreakdownQuery(customer_id, start, end, failures)
        assert ask(filled.breakdown(query)) == expected_breakdown(RECORDS, query)

    def test_only_the_top_paths_are_told_apart(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        paths = ["/b", "/B", "/a", "/c", "/c"]
        records: list[Record] = [(NOON, "a", path, 200, 0.5) for path in paths]
        store.write([batch_of(source, records)])
        query = BreakdownQuery("a", top=3)
        found = ask(store.breakdown(query))
        assert [(path.path, path.requests) for path in found.paths] == [("/c", 2), ("/B", 1), ("/a", 1)]
        assert found.paths_total == 4

    def test_a_known_customer_with_nothing_in_range_has_none(self, filled: Store, ask: Ask[Any]) -> None:
        assert (
            ask(filled.breakdown(BreakdownQuery("cust_1", at("2030-01-01"), at("2040-01-01")))) == Breakdown()
        )

    @pytest.mark.parametrize("unknown", ["nobody", "CUST_1", "", "\ud800"])
    def test_an_unknown_customer_is_said_to_be_unknown(
        self, filled: Store, ask: Ask[Any], unknown: str
    ) -> None:
        with pytest.raises(UnknownCustomer):
            ask(filled.breakdown(BreakdownQuery(unknown)))

    def test_an_empty_store_has_none_for_all_customers(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.breakdown(BreakdownQuery(None))) == Breakdown()


class TestTrends:
    @pytest.mark.parametrize("failures", ["4xx+5xx", "5xx", "5xx+429"])
    @pytest.mark.parametrize(
        ("start", "end", "parts"),
        [
            (at("2024-10-25"), at("2024-11-08"), 24),
            (at("2024-11-03T05:30:00"), at("2024-11-03T06:30:00.000001"), 7),
            (at("0001-01-01"), at("9999-12-31"), 30),
            (NOON, NOON, 3),
            (NOON, NOON + timedelta(microseconds=2), 5),
        ],
    )
    def test_the_spread_over_time_equals_brute_force(
        self, filled: Store, ask: Ask[Any], *, start: datetime, end: datetime, parts: int, failures: Any
    ) -> None:
        query = TrendsQuery((*IDS[::-1], "nobody", "\ud800"), start, end, parts, failures)
        assert list(ask(filled.trends(query))) == expected_trends(RECORDS, query)

    def test_no_customers_have_no_trends(self, filled: Store, ask: Ask[Any]) -> None:
        assert list(ask(filled.trends(TrendsQuery((), NOON, NOON + timedelta(days=1), 3)))) == []


class TestSpan:
    def test_it_is_from_the_first_request_to_the_last(self, filled: Store, ask: Ask[Any]) -> None:
        times = [record[0] for record in RECORDS]
        assert ask(filled.span()) == (min(times), max(times))

    def test_an_empty_store_has_none(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.span()) is None


class TestRejects:
    def test_the_newest_comes_first_with_all_that_is_known_of_it(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write(
            [batch_of(source, rejects=[("first reason", "first"), ("second reason", "line \U0001f680")])]
        )
        page = ask(store.rejects(RejectsQuery()))
        newest = page.rejects[0]
        assert (newest.source_id, newest.path, newest.offset, newest.reason, newest.line) == (
            source.source_id,
            source.path,
            LINE_BYTES,
            "second reason",
            "line \U0001f680",
        )
        assert abs(newest.seen_at - datetime.now(timezone.utc)) < timedelta(seconds=60)

    def test_what_lines_hold_that_is_no_text_is_kept_as_the_format_shows_it(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        good = {"timestamp": "2024-10-10T12:00:00Z", "customer_id": "a", "path": "/", "status_code": 200}
        lines = [
            json.dumps(good | {field: value}).encode()
            for field in good
            for value in ("a\0b", "\0", "sur\ud800", "\ude80\ud83d", "\x01\x85", {"\0": ["\0\ud800"]})
        ]
        lines += [b"\0", b"{\0}", b"\xff", b"{\x01}"]
        json_lines = open_format(Settings(_env_file=None).format_options("json"))  # type: ignore[call-arg]
        parsed = json_lines.parse(b"\n".join(lines), 0)
        rejects = list(parsed.rejects.select("reason", "line").iter_rows())
        store.write([batch_of(store.register(source_of()), parsed.records, 0, rejects=rejects)])
        page = ask(store.rejects(RejectsQuery()))
        assert [(reject.reason, reject.line) for reject in reversed(page.rejects)] == rejects
        assert len(rejects) + parsed.records.height == len(lines)
        assert "\0" not in "".join(reason + line for reason, line in rejects)

    def test_pages_stay_the_same_while_new_rejects_come(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        first = batch_of(source, rejects=[("r", str(number)) for number in range(5)])
        store.write([first])
        page = ask(store.rejects(RejectsQuery(limit=2)))
        store.write([batch_of(moved(source, first), rejects=[("r", "new")])])
        second = ask(store.rejects(RejectsQuery(limit=2, after=page.next_cursor)))
        third = ask(store.rejects(RejectsQuery(limit=2, after=second.next_cursor)))
        assert [reject.line for reject in (*page.rejects, *second.rejects, *third.rejects)] == list("43210")
        assert (third.total, third.next_cursor) == (6, None)

    def test_a_page_that_ends_the_list_has_no_next(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, rejects=[("r", "a"), ("r", "b")])])
        assert ask(store.rejects(RejectsQuery(limit=2))).next_cursor is None

    @pytest.mark.parametrize("cursor", ["x", "W10", "WyJjdXN0b21lcnMiLCAxXQ", "WyJyZWplY3RzIiwgLTFd"])
    def test_a_wrong_cursor_is_named(self, store: Store, ask: Ask[Any], cursor: str) -> None:
        with pytest.raises(QueryError) as refused:
            ask(store.rejects(RejectsQuery(after=cursor)))
        assert refused.value.parameter == "cursor"


class TestRejectLimits:
    """Of 100 that are kept, 10 may be of one source."""

    @pytest.fixture
    def small(self, settings: Settings | Memory) -> Iterator[Store]:
        opened = open_store(settings, max_rejects_kept=100)
        yield opened
        opened.close()

    def fill(self, store: Store, source: Source, *sizes: int) -> list[tuple[int, str]]:
        """Commit so many rejects at a time; returns all of them, oldest first."""
        lines: list[tuple[int, str]] = []
        for size in sizes:
            new = [f"{source.path} {len(lines) + number}" for number in range(size)]
            batch = batch_of(source, ONE, rejects=[("line: garbage", line) for line in new])
            store.write([batch])
            lines += zip(batch.parsed.rejects["offset"].to_list(), new, strict=True)
            source = moved(source, batch)
        return lines

    @pytest.mark.parametrize("sizes", [(10,), (11,), (3, 4, 30, 1, 25), (1,) * 23, (200, 1), (5, 200)])
    def test_the_first_and_the_last_of_a_source_are_kept_and_all_are_counted(
        self, settings: Settings | Memory, small: Store, ask: Ask[Any], sizes: tuple[int, ...]
    ) -> None:
        lines = self.fill(small, small.register(source_of()), *sizes)
        small.close()
        again = open_store(settings, max_rejects_kept=100)
        try:
            page = ask(again.rejects(RejectsQuery()))
            status = ask(again.status())
        finally:
            again.close()
        kept = lines if len(lines) <= 10 else lines[:5] + lines[-5:]
        assert [(reject.offset, reject.line) for reject in reversed(page.rejects)] == kept
        assert (page.total, page.next_cursor, status.rejects) == (len(lines), None, len(lines))
        assert status.records == len(sizes)

    def test_pages_go_over_what_is_not_kept(self, small: Store, ask: Ask[Any]) -> None:
        lines = self.fill(small, small.register(source_of()), 4, 40)
        page = ask(small.rejects(RejectsQuery(limit=7)))
        following = ask(small.rejects(RejectsQuery(limit=7, after=page.next_cursor)))
        found = [reject.line for reject in (*page.rejects, *following.rejects)]
        assert found == [line for _, line in reversed(lines[:5] + lines[-5:])]
        assert following.next_cursor is None

    def test_one_source_of_garbage_leaves_those_of_others(self, small: Store, ask: Ask[Any]) -> None:
        [one] = self.fill(small, small.register(source_of("good.log", inode=8)), 1)
        self.fill(small, small.register(source_of()), 50, 50)
        found = ask(small.rejects(RejectsQuery())).rejects
        assert (len(found), found[-1].line) == (11, one[1])

    def test_a_commit_that_is_refused_counts_none(self, small: Store, ask: Ask[Any]) -> None:
        source = small.register(source_of())
        with pytest.raises(PositionConflict):
            small.write([batch_of(source, start=500, rejects=[("r", "l")] * 50)])
        assert (ask(small.rejects(RejectsQuery())).total, ask(small.status()).rejects) == (0, 0)

    # In InfluxDB each source has a bound of its own.
    @pytest.mark.parametrize(
        "settings", sorted(name for name in BACKENDS if not name.startswith("influxdb")), indirect=True
    )
    def test_many_sources_of_garbage_keep_no_more_than_all_may(self, small: Store, ask: Ask[Any]) -> None:
        sources = [small.register(source_of(f"{number}.log", inode=number)) for number in range(30)]
        lines = [line for source in sources for line in self.fill(small, source, 8)]
        page = ask(small.rejects(RejectsQuery(limit=1000)))
        assert (page.total, ask(small.status()).rejects) == (240, 240)
        assert [reject.line for reject in reversed(page.rejects)] == [
            line for _, line in lines[:50] + lines[-50:]
        ]


class TestStatus:
    def test_the_version_changes_with_each_commit(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        versions = {ask(store.status()).version}
        for _ in range(3):
            batch = batch_of(source, blanks=1)
            store.write([batch])
            source = moved(source, batch)
            versions.add(ask(store.status()).version)
        assert len(versions) == 4

    def test_the_version_stays_while_nothing_is_committed(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.status()).version == ask(store.status()).version

    def test_a_version_does_not_come_again_when_sources_make_room_for_others(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        """As messages of a queue do, each of which brings as much as the one before."""
        versions = []
        for number in range(3):
            source = store.register(source_of(f"{number}.log", inode=number))
            store.write([batch_of(source, [(at("2024-10-10"), "a", "/", 200, 0.1)])])
            versions.append(ask(store.status()).version)
            assert store.forget([source.source_id], with_records=True) == 1
        assert len(set(versions)) == 3

    def test_it_tells_what_each_processor_said_last(self, store: Store, ask: Ask[Any]) -> None:
        warnings = (SourceWarning("rejects", "9 of 10 lines"),)
        first = SourceStatus("one", "/logs/a", 1, 2, 0, 10, 20, 10, 0.5, "live", None, None, "json", warnings)
        latest = replace(first, position=20, lag_bytes=0, lag_seconds=0.0)
        other = replace(first, source_id="two")
        store.report("left", [first])
        store.report("right", [other])
        store.report("left", [latest])
        assert {replace(status, updated_at=None) for status in ask(store.status()).sources} == {latest, other}

    def test_who_owns_a_store_may_read_and_write_it_and_to_look_changes_nothing(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        before = ask(store.status())
        store.check_access(writes=True)
        store.check_access(writes=False)
        assert (ask(store.status()), ask(store.span()), store.sources(None)) == (before, None, [])

    def test_ping_returns_when_the_store_answers(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.ping()) is None
