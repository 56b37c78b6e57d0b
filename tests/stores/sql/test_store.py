"""What SQL stores do beyond the contract: servers that go away, and other processes."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import StoreGone, StoreUnavailable, UnknownCustomer
from tailmetrics.ingest.load import load_files
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings
from tailmetrics.stats import CustomersQuery, StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests import servers
from tests.builders import batch_of, moved, source_of
from tests.integration.running import await_that, free_port
from tests.paths import DATA
from tests.stores.conftest import Ask
from tests.stores.sql.database import DAILY, ONE, TOLD_SECONDS, run, settings_of
from tests.tailing.following import append, numbered


def test_a_log_of_ten_thousand_lines_gives_the_expected_figures_and_counts_once(
    settings: Settings, ask: Ask[Any]
) -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]
    for already_loaded in (False, True):
        progress = load_files(settings, [DATA / "requests-10k.log"], lambda _: None)
        assert (progress.state, progress.already_loaded) == ("done", already_loaded)
        store = open_store(settings)
        assert ask(store.status()).records == 10_000
        for customer_id, figures in expected.items():
            answer = ask(store.stats(StatsQuery(customer_id, DAILY)))
            daily = {window.start.date().isoformat(): window.summary for window in answer.windows}
            assert daily.keys() == figures["daily"].keys()
            for summary, wanted in [
                (answer.summary, figures["totals"]),
                *((daily[day], figures["daily"][day]) for day in daily),
            ]:
                assert {name: getattr(summary, name) for name in wanted} == pytest.approx(wanted, rel=1e-9)
        store.close()


def test_a_server_that_is_away_is_waited_for(ask: Ask[Any]) -> None:
    store = open_store(settings_of(f"postgresql://user:s3cret@127.0.0.1:{free_port()}/shop"))
    try:
        for call in (lambda: store.position("x"), lambda: ask(store.ping())):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"user:\*\*\*@127") as away:
                call()
            assert time.monotonic() - began < TOLD_SECONDS
            assert "s3cret" not in str(away.value)
    finally:
        store.close()


def test_a_load_ends_when_the_server_is_away() -> None:
    settings = settings_of(f"mariadb://user@127.0.0.1:{free_port()}/shop")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        load_files(settings, [DATA / "requests-10k.log"], lambda _: None)


def test_the_version_changes_with_the_commits_of_another_process(
    settings: Settings, store: Store, ask: Ask[Any]
) -> None:
    other = open_store(settings)
    source = other.register(source_of())
    before = ask(store.status()).version
    other.write([batch_of(source, ONE)])
    after = ask(store.status())
    other.close()
    assert (after.version != before, after.records) == (True, 1)


def test_what_a_processor_says_is_seen_by_another_process(
    settings: Settings, store: Store, ask: Ask[Any], tmp_path: Path
) -> None:
    append(tmp_path / "x.log", *numbered(0, 10))
    following = settings_of(
        settings.store_url, log_file_path=str(tmp_path / "x.log"), node_id="web-1", api_host="127.0.0.1"
    )
    processor = open_store(following)
    ingestion = Supervisor(following, processor, Metrics())
    ingestion.start()
    await_that(lambda: [s.state for s in ask(store.status()).sources] == ["live"], 20.0)
    ingestion.stop()
    processor.close()
    [said] = ask(store.status()).sources
    assert (said.path, said.lag_bytes) == (str(tmp_path / "x.log"), 0)


def records(store: Store, ask: Ask[Any]) -> int:
    """How many are in the store, 0 while it is away."""
    try:
        return int(ask(store.status()).records)
    except StoreUnavailable:
        return 0


def test_a_server_that_crashes_under_load_comes_back_and_each_line_counts_once(
    server: servers.Server, tmp_path: Path, ask: Ask[Any]
) -> None:
    settings = settings_of(
        server.new_database(),
        log_file_path=str(tmp_path / "x.log"),
        node_id="web-1",
        stream_max_wait_time_in_seconds=0.01,
        stream_max_size=1000,
    )
    store = open_store(settings)
    ingestion = Supervisor(settings, store, Metrics())
    ingestion.start()
    try:
        for turn in range(3):
            append(tmp_path / "x.log", *numbered(turn * 20_000, turn * 20_000 + 500))
            await_that(lambda turn=turn: records(store, ask) > turn * 20_000, 30.0)
            append(tmp_path / "x.log", *numbered(turn * 20_000 + 500, turn * 20_000 + 20_000))
            server.stop()
            server.start()
        await_that(lambda: records(store, ask) >= 60_000, 60.0, lambda: str(ingestion.state()))
    finally:
        ingestion.stop()
        store.close()
    assert run(settings, "SELECT count(*), count(DISTINCT path) FROM records") == [(60_000, 60_000)]


def test_a_question_that_takes_too_long_is_ended_on_the_server(server: servers.Server, ask: Ask[Any]) -> None:
    settings = settings_of(server.new_database(), query_timeout_seconds=0.2)
    store = open_store(settings)
    sleep = "pg_sleep(30)" if server.scheme == "postgresql" else "sleep(30)"
    run(settings, "ALTER TABLE store RENAME TO was")
    run(
        settings,
        f"CREATE VIEW store AS SELECT was.* FROM was, (SELECT {sleep} AS slept) AS slow "
        "WHERE slow.slept IS NULL",
    )
    try:
        with pytest.raises(StoreUnavailable, match=r"took longer than 0\.2 seconds"):
            ask(store.ping())
        running = (
            "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
            "AND query LIKE '%store.id%'"
            if server.scheme == "postgresql"
            else "SELECT info FROM information_schema.processlist WHERE info LIKE '%store.id%' "
            "AND id <> connection_id()"
        )
        await_that(lambda: not server.execute(running), 5.0)
    finally:
        store.close()


def test_tables_that_are_removed_under_a_running_store_are_missed(
    settings: Settings, store: Store, ask: Ask[Any]
) -> None:
    source = store.register(source_of())
    run(settings, "DROP VIEW daily_stats", "DROP TABLE records")
    with pytest.raises(StoreGone, match="removed"):
        store.write([batch_of(source, ONE)])
    assert store.position(source.source_id) == 0


def test_a_load_ends_with_what_to_do_when_tables_are_gone(settings: Settings, store: Store) -> None:
    run(settings, "DROP VIEW daily_stats", "DROP TABLE records")
    with pytest.raises(StoreGone, match=r"removed.*; put them back"):
        load_files(settings, [DATA / "requests-10k.log"], lambda _: None)


def test_questions_of_a_snapshot_see_the_state_after_one_commit(store: Store, ask: Ask[Any]) -> None:
    first = batch_of(store.register(source_of()), ONE)
    store.write([first])
    query = StatsQuery(None, DAILY)

    async def totals() -> list[int]:
        async with store.snapshot() as queries:
            before = await queries.stats(query)
            await asyncio.to_thread(store.write, [batch_of(moved(source_of(), first), ONE)])
            again, page = await asyncio.gather(queries.stats(query), queries.customers(CustomersQuery()))
        after = await store.stats(query)
        answers = [each.summary for each in (before, again, *page.customers, after)]
        return [summary.total_requests for summary in answers]

    assert ask(totals()) == [1, 1, 1, 2]


def test_a_snapshot_gives_its_connection_back_whatever_becomes_of_it(store: Store, ask: Ask[Any]) -> None:
    async def abandoned() -> None:
        async with store.snapshot() as queries:
            with suppress(UnknownCustomer):
                await queries.stats(StatsQuery("nobody", DAILY))
            await asyncio.sleep(60)

    async def all_of_them() -> int:
        for number in range(30):  # there are eight connections
            task = asyncio.create_task(abandoned())
            await asyncio.sleep(number / 1000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with store.snapshot() as queries:
            return (await queries.customers(CustomersQuery())).total

    assert ask(all_of_them()) == 0


def test_a_snapshot_of_a_store_that_was_closed_is_refused(store: Store, ask: Ask[Any]) -> None:
    async def opened() -> None:
        async with store.snapshot():
            pass

    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        ask(opened())
