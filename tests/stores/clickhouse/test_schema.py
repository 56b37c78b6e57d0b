from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tailmetrics.stores.clickhouse import schema
from tests import servers


class TestCluster:
    def test_records_are_spread_by_customer_and_all_else_is_on_every_replica(self) -> None:
        statements = list(schema.statements(schema.Cluster("logs")))
        assert all("ON CLUSTER `logs`" in statement for statement in statements)
        [spread] = [statement for statement in statements if "Distributed(" in statement]
        assert "'logs'" in spread
        assert "cityHash64(customer_id)" in spread
        for statement in statements:
            if "Replicated" in statement:
                assert "\nSETTINGS replicated_deduplication_window = 10000, " in statement
                assert "replicated_deduplication_window_seconds = 604800" in statement
                assert ("/{shard}'" in statement) == ("TABLE IF NOT EXISTS records_local" in statement)


@pytest.mark.servers
class TestDailyStats:
    @pytest.fixture
    def database(self) -> str:
        name = urlsplit(servers.clickhouse().new_database()).path[1:]
        servers.clickhouse().execute(*schema.statements(None), database=name)
        return name

    def test_days_of_any_year_are_in_utc_and_fences_are_no_requests(self, database: str) -> None:
        values = ", ".join(
            [
                "('a', -62135596800000000, 200, 0.5)",
                "('a', -1, 404, NULL)",
                "('a', 0, 0, 1)",
                "('a', 86399999999, 200, 2)",
                "('a', 253402300799999999, 500, 0.5)",
                "('', 0, -1, 9)",
            ]
        )
        rows = servers.clickhouse().execute(
            f"INSERT INTO records (customer_id, time_us, status_code, duration) VALUES {values}",
            "SELECT day, total_requests, failed_requests, uptime, average_latency, median_latency,"
            " p99_latency FROM daily_stats ORDER BY day",
            database=database,
        )
        assert rows == [
            ("0001-01-01", "1", "0", "100", "0.5", "0.5", "0.5"),
            ("1969-12-31", "1", "1", "0", r"\N", r"\N", r"\N"),
            ("1970-01-01", "2", "1", "50", "1.5", "1.5", "1.99"),
            ("9999-12-31", "1", "1", "0", "0.5", "0.5", "0.5"),
        ]
