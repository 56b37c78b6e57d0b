"""`tailmetrics schema`: what makes a store's tables, without a server."""

from __future__ import annotations

from tailmetrics.cli.options import Exit
from tests.cli.running import Run


def test_schema_prints_the_tables_of_one_server(run: Run) -> None:
    printed = run("schema", "--store-url", "clickhouse://nobody:secret@127.0.0.1:1/shop")
    assert printed.exit_code == 0
    assert "CREATE TABLE IF NOT EXISTS records (" in printed.stdout
    assert "CREATE VIEW IF NOT EXISTS daily_stats AS" in printed.stdout
    assert "Replicated" not in printed.stdout
    assert "secret" not in printed.output


def test_schema_prints_the_tables_of_a_cluster(run: Run) -> None:
    printed = run("schema", "--store-url", "clickhouse://127.0.0.1:1/shop?cluster=main")
    statements = printed.stdout.split(";\n\n")
    assert statements.pop() == ""
    assert all("ON CLUSTER `main`" in statement for statement in statements)
    assert "ReplicatedMergeTree(" in printed.stdout
    assert "Distributed('main'" in printed.stdout


def test_schema_of_another_store_says_what_it_is_for(run: Run) -> None:
    refused = run("schema", "--store-url", "duckdb:///x.duckdb")
    assert refused.exit_code == Exit.CONFIGURATION
    assert "found duckdb:///x.duckdb, expected clickhouse://" in refused.stderr
