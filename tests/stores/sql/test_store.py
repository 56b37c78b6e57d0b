"""What SQL stores do beyond the contract: wrong settings, servers that go away, other processes, views."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tailmetrics.cli.load import load_files
from tailmetrics.errors import (
    PositionConflict,
    SchemaMismatch,
    SettingsError,
    StoreError,
    StoreGone,
    StoreUnavailable,
)
from tailmetrics.ingest.supervisor import Ingestion
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql import mysql, schema
from tailmetrics.stores.sql.postgresql import dialect
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests import servers
from tests.builders import Record, at, batch_of, moved, source_of
from tests.integration.running import await_that, free_port
from tests.paths import DATA
from tests.stores.conftest import BACKENDS, Ask
from tests.tailing.following import append, numbered

NOON = at("2024-10-10T12:00:00")
ONE: list[Record] = [(NOON, "a", "/", 200, 0.1)]
DAILY, WHOLE = parse_every("1d"), parse_every("none")
SERVERS: dict[str, Callable[[], servers.Server]] = {
    "mariadb": servers.mariadb,
    "postgresql": servers.postgresql,
}
_TOLD_SECONDS = 5.0


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> servers.Server:
    return SERVERS[request.param]()


def settings_of(url: str, **changes: Any) -> Settings:
    return load_settings(None, store_url=url, **changes)


def run(settings: Settings, *statements: str) -> list[Any]:
    """Run statements beside the store; the rows of the last one."""
    driver = {"mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
    url = sa.make_url(settings.store_url).set(drivername=driver[settings.store_scheme])
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


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


class TestOpening:
    def test_a_wrong_password_is_named_soon_and_not_shown(self, server: servers.Server) -> None:
        url = server.new_database().replace("pass%2Fw%40rd", "wr%2Fng")
        began = time.monotonic()
        with pytest.raises(StoreError, match="the user or the password is wrong") as refused:
            open_store(settings_of(url))
        assert not isinstance(refused.value, StoreUnavailable)
        assert time.monotonic() - began < _TOLD_SECONDS
        assert "wr%2Fng" not in str(refused.value)
        assert "wr/ng" not in str(refused.value)

    def test_a_database_that_does_not_exist_is_named_with_what_to_do(self, server: servers.Server) -> None:
        with pytest.raises(StoreError, match=r"store_none.*create") as refused:
            open_store(settings_of(server.url("store_none")))
        assert not isinstance(refused.value, StoreUnavailable)

    def test_a_user_who_may_not_make_tables_is_told_what_to_grant(self, server: servers.Server) -> None:
        name = server.new_database().rpartition("/")[2]
        if server.scheme == "postgresql":
            rights = [f"REVOKE ALL ON SCHEMA public FROM {servers.USER}"]
            server.execute(*rights, database=name)
            url = server.url(name)
        else:
            server.execute(
                f"CREATE OR REPLACE USER reader IDENTIFIED BY '{servers.PASSWORD}'",
                f"GRANT SELECT ON `{name}`.* TO reader",
            )
            url = server.url(name, user="reader")
        with pytest.raises(StoreError, match="GRANT"):
            open_store(settings_of(url))

    def test_a_user_who_may_only_read_is_told_what_to_grant_when_something_is_written(
        self, server: servers.Server
    ) -> None:
        url = server.new_database()
        open_store(settings_of(url)).close()
        name = url.rpartition("/")[2]
        if server.scheme == "postgresql":
            server.execute(
                "DROP ROLE IF EXISTS looker",
                f"CREATE ROLE looker LOGIN PASSWORD '{servers.PASSWORD}'",
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker",
                database=name,
            )
            grants = [
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}",
            ]
        else:
            server.execute(
                f"CREATE OR REPLACE USER looker IDENTIFIED BY '{servers.PASSWORD}'",
                f"GRANT SELECT ON `{name}`.* TO looker",
            )
            grants = ["GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {user}"]
        settings = settings_of(server.url(name, user="looker"))
        began = time.monotonic()
        with pytest.raises(StoreError) as refused:
            load_files(settings, [DATA / "requests-10k.log"], lambda _: None)
        assert time.monotonic() - began < _TOLD_SECONDS
        for grant in grants:
            assert grant.format(user="user", database="database") in str(refused.value)
        server.execute(*(grant.format(user="looker", database=name) for grant in grants), database=name)
        assert load_files(settings, [DATA / "requests-10k.log"], lambda _: None).state == "done"
        if server.scheme == "postgresql":
            server.execute("DROP OWNED BY looker", "DROP ROLE looker", database=name)

    @pytest.mark.parametrize(
        ("scheme", "parameter"),
        [
            ("mariadb", "foo=bar"),
            ("mariadb", "sslmode=require"),
            ("mariadb", "connect_timeout=abc"),
            ("mariadb", "port=1"),
            ("mariadb", "ssl_ca=/nowhere.pem"),
            ("postgresql", "port=abc"),
            ("postgresql", "prepare_threshold=x"),
        ],
    )
    def test_a_parameter_that_the_driver_cannot_take_is_a_wrong_setting(
        self, scheme: str, parameter: str
    ) -> None:
        url = f"{scheme}://user:s3cret@127.0.0.1:{free_port()}/shop?{parameter}"
        if parameter.startswith("prepare"):  # which is looked at with the first statement
            url = f"{SERVERS[scheme]().new_database()}?{parameter}"
        with pytest.raises(
            SettingsError, match=r"STORE_URL: found .*, expected after \? parameters of"
        ) as wrong:
            open_store(settings_of(url))
        assert "s3cret" not in str(wrong.value)
        assert servers.PASSWORD not in str(wrong.value)

    @pytest.mark.parametrize(
        "parameter",
        [
            "foo=bar",
            "sslmode=nonsense",
            "sslmode=require",
            "sslmode=verify-full",
            "keepalives=x",
            "target_session_attrs=foo",
            "service=foo",
            "options=-c%20foo%3Dbar",
        ],
    )
    def test_a_parameter_that_postgresql_refuses_is_no_reason_to_wait(self, parameter: str) -> None:
        with pytest.raises(StoreError, match=r"expected after \? in STORE_URL") as refused:
            open_store(settings_of(f"{servers.postgresql().new_database()}?{parameter}"))
        assert not isinstance(refused.value, StoreUnavailable)
        assert servers.PASSWORD not in str(refused.value)

    @pytest.mark.parametrize(
        ("scheme", "parameters", "expected"),
        [
            ("postgresql", "", ("4", "tailmetrics")),
            ("postgresql", "?connect_timeout=9&application_name=shop", ("9", "shop")),
            ("mariadb", "", (4, 300)),
            ("mariadb", "?connect_timeout=9&read_timeout=60", (9, 60)),
        ],
    )
    def test_what_the_url_says_of_a_connection_is_not_overridden(
        self, scheme: str, parameters: str, expected: tuple[object, ...]
    ) -> None:
        url = f"{SERVERS[scheme]().new_database()}{parameters}"
        database = dialect.PostgreSQL if scheme == "postgresql" else mysql.MySQL
        engine = database(url, "the store", 30).writing()
        try:
            with engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                if scheme == "postgresql":
                    said = driver.info.get_parameters()
                    found = (said["connect_timeout"], said["application_name"])
                else:
                    found = (driver.connect_timeout, driver._read_timeout)
        finally:
            engine.dispose()
        assert found == expected

    def test_tables_of_another_program_are_left_alone(self, settings: Settings) -> None:
        run(settings, "CREATE TABLE records (x INTEGER)")
        with pytest.raises(StoreError, match="belongs to another program"):
            open_store(settings)

    def test_a_later_schema_is_refused_with_both_versions(self, settings: Settings, store: Store) -> None:
        run(settings, "UPDATE store SET schema_version = 99")
        with pytest.raises(SchemaMismatch, match=r"version 99, this program knows version 1"):
            open_store(settings)

    def test_an_earlier_schema_is_brought_up_to_date(
        self, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def upgrade(connection: sa.Connection) -> None:
            connection.exec_driver_sql("CREATE TABLE later (x INTEGER)")

        monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
        monkeypatch.setattr(schema, "_UPGRADES", (upgrade,))
        open_store(settings).close()
        assert run(settings, "SELECT schema_version FROM store") == [(2,)]
        assert run(settings, "SELECT * FROM later") == []

    def test_a_file_that_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "x.sqlite"
        file.write_bytes(b"2024-11-06 06:33:33 cust_40 /api 400 0.316\n" * 500)
        with pytest.raises(StoreError, match="is no SQLite database"):
            open_store(settings_of(f"sqlite:///{file}"))
        assert file.read_bytes().startswith(b"2024-11-06")

    def test_a_server_that_is_away_is_waited_for(self, ask: Ask[Any]) -> None:
        store = open_store(settings_of(f"postgresql://user:s3cret@127.0.0.1:{free_port()}/shop"))
        try:
            for call in (lambda: store.position("x"), lambda: ask(store.ping())):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable, match=r"user:\*\*\*@127") as away:
                    call()
                assert time.monotonic() - began < _TOLD_SECONDS
                assert "s3cret" not in str(away.value)
        finally:
            store.close()

    def test_a_load_ends_when_the_server_is_away(self) -> None:
        settings = settings_of(f"mariadb://user@127.0.0.1:{free_port()}/shop")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            load_files(settings, [DATA / "requests-10k.log"], lambda _: None)


class TestBytes:
    def test_ids_and_paths_of_any_signs_and_length_come_back_as_they_were(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        ids = [
            "\U0001f680" * 256,
            "a",
            "a ",
            "A",
            "\\N",
            "\\",
            "\u00e9",
            "e\u0301",
            "'; --",
            "%s",
            '"',
            "\u2028",
        ]
        paths = ["/" + "x" * 200_000, "/" + "x" * 200_000 + "y", "/tab\tand\nline\r\\.", "/\U0001f680", "\\."]
        rows: list[Record] = [(NOON, name, paths[place % 5], 200, 0.1) for place, name in enumerate(ids)]
        source = store.register(source_of())
        store.write([batch_of(source, rows, rejects=[("reason", "\\N\t\U0001f680")])])
        page = ask(store.customers(CustomersQuery()))
        assert [customer.customer_id for customer in page.customers] == sorted(ids, key=str.encode)
        assert {path.path for path in ask(store.breakdown(BreakdownQuery(None))).paths} == set(paths)
        assert ask(store.rejects(RejectsQuery())).rejects[0].line == "\\N\t\U0001f680"

    @pytest.mark.parametrize(
        "duration",
        [0.1 + 0.2, 5e-324, 2.2250738585072014e-308, 1e-7, 123456.789012345678, 1e22, 1.7976931348623157e308],
    )
    def test_durations_come_back_to_the_last_bit(self, store: Store, ask: Ask[Any], duration: float) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, "a", "/", 200, duration)])])
        assert ask(store.stats(StatsQuery("a", WHOLE))).summary.median_latency == duration


class TestViews:
    def test_daily_stats_are_those_of_the_store(
        self, settings: Settings, store: Store, ask: Ask[Any]
    ) -> None:
        hours = (NOON + timedelta(hours=step) for step in range(60))
        times = [at("1969-12-31T23:59:59"), at("1970-01-01"), *hours]
        rows: list[Record] = [
            (time, name, "/", (200, 404)[place % 3 == 0], None if place % 7 == 0 else place / 8)
            for place, time in enumerate(times)
            for name in ("a", "\u00fc ")
        ]
        source = store.register(source_of())
        store.write([batch_of(source, rows)])
        found = run(
            settings,
            "SELECT customer_id, day, total_requests, successful_requests, failed_requests, uptime, "
            "average_latency, median_latency, p99_latency FROM daily_stats ORDER BY customer_id, day",
        )
        expected = [
            (
                customer_id,
                window.start.date().isoformat(),
                window.summary.total_requests,
                window.summary.successful_requests,
                window.summary.failed_requests,
                window.summary.uptime,
                window.summary.average_latency,
                window.summary.median_latency,
                window.summary.p99_latency,
            )
            for customer_id in ("a", "\u00fc ")
            for window in ask(store.stats(StatsQuery(customer_id, DAILY))).windows
        ]
        assert [(row[0], str(row[1]), *map(int, row[2:5])) for row in found] == [row[:5] for row in expected]
        for row, wanted in zip(found, expected, strict=True):
            for figure, value in zip(row[5:], wanted[5:], strict=True):
                assert (figure is None) == (value is None)
                assert value is None or math.isclose(figure, value, rel_tol=1e-9, abs_tol=1e-12)

    @pytest.mark.parametrize(
        "moment",
        [
            "1000-01-01",
            "1684-12-31T23:59:59.999999",
            "1969-12-30T23:59:59.999999",
            "1969-12-31T00:00:00",
            "1969-12-31T23:59:59.999960",
            "1970-01-01",
            "2300-01-01T23:59:59.999999",
            "9999-12-31T23:59:59.999999",
        ],
    )
    def test_the_last_and_the_first_microsecond_of_a_day_are_of_that_day(
        self, settings: Settings, store: Store, moment: str
    ) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [(at(moment), "a", "/", 200, 0.1)])])
        [(day,)] = run(settings, "SELECT day FROM daily_stats")
        assert str(day) == moment[:10]

    def test_a_view_that_was_dropped_is_made_again(self, settings: Settings, store: Store) -> None:
        run(settings, "DROP VIEW daily_stats")
        store.close()
        open_store(settings).close()
        assert run(settings, "SELECT * FROM daily_stats") == []

    def test_ids_in_daily_stats_compare_by_bytes(self, settings: Settings, store: Store) -> None:
        ids = ["bob", "Bob", "bob ", "b\u00f3b", "bo\u0301b", "\uff42ob"]
        source = store.register(source_of())
        store.write([batch_of(source, [(NOON, name, "/", 200, 0.1) for name in ids])])
        assert run(settings, "SELECT total_requests FROM daily_stats WHERE customer_id = 'bob'") == [(1,)]
        groups = run(settings, "SELECT customer_id FROM daily_stats GROUP BY customer_id")
        assert sorted(name for (name,) in groups) == sorted(ids)


class TestSharing:
    def test_the_version_changes_with_the_commits_of_another_process(
        self, settings: Settings, store: Store, ask: Ask[Any]
    ) -> None:
        other = open_store(settings)
        source = other.register(source_of())
        before = ask(store.status()).version
        other.write([batch_of(source, ONE)])
        after = ask(store.status())
        other.close()
        assert (after.version != before, after.records) == (True, 1)

    def test_the_second_processor_of_a_source_is_told_who_the_first_is(
        self, settings: Settings, store: Store
    ) -> None:
        batch = batch_of(store.register(source_of()), ONE)
        store.write([batch])
        run(settings, "UPDATE sources SET processor = 'process 4711 on web-1'")
        with pytest.raises(PositionConflict, match="process 4711 on web-1 reads this source"):
            store.write([batch])

    def test_processors_with_the_same_new_customers_do_not_hinder_each_other(
        self, settings: Settings, store: Store, ask: Ask[Any]
    ) -> None:
        other = open_store(settings)
        for place, each in enumerate((store, other, store, other)):
            source = each.register(source_of(f"{place}.log", inode=place))
            rows: list[Record] = [(NOON, f"cust_{number + place}", "/", 200, 0.1) for number in range(5)]
            each.write([batch_of(source, rows)])
        other.close()
        assert ask(store.customers(CustomersQuery())).total == 8

    def test_what_a_processor_says_is_seen_by_another_process(
        self, settings: Settings, store: Store, ask: Ask[Any], tmp_path: Path
    ) -> None:
        append(tmp_path / "x.log", *numbered(0, 10))
        following = settings_of(
            settings.store_url, log_file_path=str(tmp_path / "x.log"), node_id="web-1", api_host="127.0.0.1"
        )
        processor = open_store(following)
        ingestion = Ingestion(following, processor, Metrics())
        ingestion.start()
        await_that(lambda: [s.state for s in ask(store.status()).sources] == ["live"], 20.0)
        ingestion.stop()
        processor.close()
        [said] = ask(store.status()).sources
        assert (said.path, said.lag_bytes) == (str(tmp_path / "x.log"), 0)


class TestFaults:
    def test_a_server_that_crashes_under_load_comes_back_and_each_line_counts_once(
        self, server: servers.Server, tmp_path: Path, ask: Ask[Any]
    ) -> None:
        settings = settings_of(
            server.new_database(),
            log_file_path=str(tmp_path / "x.log"),
            node_id="web-1",
            stream_max_wait_time_in_seconds=0.01,
            stream_max_size=1000,
        )
        store = open_store(settings)
        ingestion = Ingestion(settings, store, Metrics())
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

    def test_a_question_that_takes_too_long_is_ended_on_the_server(
        self, server: servers.Server, ask: Ask[Any]
    ) -> None:
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

    def test_a_server_that_says_nothing_is_away(self, monkeypatch: pytest.MonkeyPatch, ask: Ask[Any]) -> None:
        monkeypatch.setattr(mysql, "CONNECT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"mariadb://user:s3cret@127.0.0.1:{silent.getsockname()[1]}/shop"
            store = open_store(settings_of(url, query_timeout_seconds=0.3))
            try:
                for call in (lambda: store.position("x"), lambda: ask(store.ping())):
                    with pytest.raises(StoreUnavailable, match=r"user:\*\*\*@127.*does not answer"):
                        call()
            finally:
                store.close()

    def test_a_question_to_a_server_that_stands_still_ends(self, ask: Ask[Any]) -> None:
        server = servers.mariadb()  # the processes of PostgreSQL go on without the one that can be stopped
        store = open_store(settings_of(server.new_database(), query_timeout_seconds=0.5))
        ask(store.ping())
        server.pause()
        try:
            with pytest.raises(StoreUnavailable):
                ask(store.span())
        finally:
            server.go_on()
            store.close()

    def test_tables_that_are_removed_under_a_running_store_are_missed(
        self, settings: Settings, store: Store, ask: Ask[Any]
    ) -> None:
        source = store.register(source_of())
        run(settings, "DROP VIEW daily_stats", "DROP TABLE records")
        with pytest.raises(StoreGone, match="removed"):
            store.write([batch_of(source, ONE)])
        assert store.position(source.source_id) == 0

    def test_a_load_ends_with_what_to_do_when_tables_are_gone(self, settings: Settings, store: Store) -> None:
        run(settings, "DROP VIEW daily_stats", "DROP TABLE records")
        with pytest.raises(StoreGone, match=r"removed.*; put them back"):
            load_files(settings, [DATA / "requests-10k.log"], lambda _: None)

    def test_a_file_that_is_removed_under_a_running_store_is_missed(self, tmp_path: Path) -> None:
        store = open_store(settings_of(f"sqlite:///{tmp_path}/x.sqlite"))
        source = store.register(source_of())
        (tmp_path / "x.sqlite").unlink()
        with pytest.raises(StoreGone, match="was removed"):
            store.write([batch_of(source, ONE)])
        store.close()


class TestRowsMadeAhead:
    ROWS = 6000

    def batch(self, source: Source) -> Batch:
        return batch_of(source, [(NOON, "ab"[place % 2], "/", 200, 0.1) for place in range(self.ROWS)])

    def prepared(self, store: Store, batch: Batch) -> Batch:
        assert isinstance(store, SqlStore)
        prepared = store.prepare(batch)
        if isinstance(prepared.prepared, Future):
            wait([prepared.prepared])
        return prepared

    def test_a_batch_that_was_prepared_is_written_once(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write([self.prepared(store, self.batch(source))])
        assert ask(store.status()).records == self.ROWS
        assert ask(store.stats(StatsQuery("b", WHOLE))).summary.total_requests == self.ROWS // 2

    def test_rows_are_made_before_they_are_written(self, server: servers.Server, ask: Ask[Any]) -> None:
        store = open_store(settings_of(server.new_database()))
        source = store.register(source_of())
        batch = self.prepared(store, self.batch(source))
        assert isinstance(batch.prepared, Future)
        assert batch.prepared.exception() is None
        assert [customer.customer_id for customer in ask(store.customers(CustomersQuery())).customers] == []
        store.close()

    def test_a_batch_may_be_prepared_before_its_source_is_known(self, store: Store, ask: Ask[Any]) -> None:
        batch = self.prepared(store, self.batch(source_of()))
        store.register(source_of())
        store.write([batch])
        assert ask(store.status()).records == self.ROWS

    def test_records_that_were_taken_out_after_it_was_prepared_are_not_written(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        batch = self.prepared(store, self.batch(store.register(source_of())))
        fewer = replace(batch.parsed, records=batch.parsed.records.head(10))
        store.write([replace(batch, parsed=fewer)])
        assert ask(store.status()).records == 10

    def test_a_source_that_got_another_key_meanwhile_has_its_records_under_that(
        self, settings: Settings, store: Store
    ) -> None:
        source = store.register(source_of())
        batch = self.prepared(store, self.batch(source))
        store.forget([source.source_id])
        store.register(source_of("other.log", inode=8))
        store.register(source)
        store.write([batch])
        [(key,)] = run(settings, f"SELECT source_key FROM sources WHERE source_id = '{source.source_id}'")
        assert run(settings, "SELECT DISTINCT source_key FROM records") == [(key,)]

    def test_what_was_in_the_way_of_preparing_is_told_when_it_is_written(
        self, settings: Settings, store: Store
    ) -> None:
        source = store.register(source_of())
        run(settings, "DROP VIEW daily_stats", "DROP TABLE records", "DROP TABLE customers")
        batch = self.prepared(store, self.batch(source))
        with pytest.raises(StoreGone, match="removed"):
            store.write([batch])


def records(store: Store, ask: Ask[Any]) -> int:
    """How many are in the store, 0 while it is away."""
    try:
        return int(ask(store.status()).records)
    except StoreUnavailable:
        return 0


def test_records_older_than_the_retention_are_deleted(settings: Settings, ask: Ask[Any]) -> None:
    store = open_store(settings)
    source = store.register(source_of())
    now = at("2024-10-10")
    first = batch_of(source, [(now - timedelta(days=3000), "old", "/", 200, 0.1)])
    store.write([first])
    store.close()
    keeping = open_store(settings_of(settings.store_url, retention_days=2000))
    keeping.write([batch_of(moved(source, first), [(now, "new", "/", 200, 0.1)])])
    assert [customer.customer_id for customer in ask(keeping.customers(CustomersQuery())).customers] == [
        "new"
    ]
    assert (ask(keeping.status()).records, ask(keeping.span())) == (1, (now, now))
    keeping.close()
