"""The schema of the DuckDB file: its tables and views, and how files of older versions are brought to it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import duckdb

from tailmetrics.errors import SchemaMismatch, StoreError

# Each step leads to the next version. A new file goes through all of them, so that there is one schema.
UPGRADES = (
    # device and inode are text because they may not fit a signed 64-bit integer.
    """
        CREATE TABLE meta (schema_version INTEGER NOT NULL);
        CREATE TABLE sources (
            source_key INTEGER PRIMARY KEY,
            source_id VARCHAR NOT NULL UNIQUE,
            node_id VARCHAR NOT NULL,
            device VARCHAR NOT NULL,
            inode VARCHAR NOT NULL,
            epoch BIGINT NOT NULL,
            path VARCHAR NOT NULL,
            position BIGINT NOT NULL,
            head_length BIGINT NOT NULL,
            head_hash VARCHAR NOT NULL,
            tail_length BIGINT NOT NULL,
            tail_hash VARCHAR NOT NULL,
            records BIGINT NOT NULL,
            rejects BIGINT NOT NULL,
            blanks BIGINT NOT NULL,
            registered_at TIMESTAMP NOT NULL,
            updated_at TIMESTAMP NOT NULL
        );
        CREATE TABLE records (
            source_key INTEGER,
            "offset" BIGINT,
            timestamp TIMESTAMP,
            customer_id VARCHAR,
            path VARCHAR,
            status_code SMALLINT,
            duration DOUBLE
        );
        CREATE TABLE rejects (
            id BIGINT,
            source_key INTEGER,
            "offset" BIGINT,
            reason VARCHAR,
            line VARCHAR,
            seen_at TIMESTAMP
        );
        INSERT INTO meta VALUES (1);
    """,
    """
        ALTER TABLE records RENAME TO fresh;
        CREATE TABLE settled AS SELECT *, NULL::UBIGINT AS customer_key FROM fresh LIMIT 0;
        CREATE VIEW records AS FROM settled UNION ALL SELECT *, NULL FROM fresh;
        CREATE TABLE layout (
            base BIGINT NOT NULL, tail BIGINT NOT NULL, runs BIGINT NOT NULL, expired BIGINT NOT NULL
        );
        INSERT INTO layout VALUES (0, 0, 0, 0);
        CREATE VIEW daily_stats AS
        SELECT
            customer_id, timestamp::DATE AS day, count(*) AS total_requests,
            count(*) FILTER (WHERE status_code < 400) AS successful_requests,
            count(*) FILTER (WHERE status_code >= 400) AS failed_requests,
            100 * count(*) FILTER (WHERE status_code < 400) / count(*) AS uptime,
            favg(duration) AS average_latency, quantile_cont(duration, 0.5) AS median_latency,
            quantile_cont(duration, 0.99) AS p99_latency
        FROM records GROUP BY ALL;
    """,
    # What was not merged yet counts as deleted: where that is much, the compactor soon merges everything.
    """
        ALTER TABLE settled ADD COLUMN run INTEGER DEFAULT 1;
        ALTER TABLE settled ALTER COLUMN run DROP DEFAULT;
        CREATE OR REPLACE VIEW records AS
            SELECT * EXCLUDE (run) FROM settled UNION ALL SELECT *, NULL FROM fresh;
        CREATE TABLE runs (run INTEGER NOT NULL, records BIGINT NOT NULL);
        INSERT INTO runs SELECT 1, base + tail FROM layout WHERE base + tail > 0;
        CREATE TABLE deleted (records BIGINT NOT NULL);
        INSERT INTO deleted SELECT expired + tail FROM layout;
        DROP TABLE layout;
    """,
    # Bulk records are dictionary-encoded. The view requests spares queries that need no path one join.
    """
        CREATE TABLE names (number INTEGER NOT NULL, name VARCHAR NOT NULL);
        CREATE TABLE numbered (
            source_key INTEGER USING COMPRESSION bitpacking,
            "offset" BIGINT USING COMPRESSION bitpacking,
            timestamp TIMESTAMP USING COMPRESSION bitpacking,
            customer_number INTEGER USING COMPRESSION bitpacking,
            path_number INTEGER USING COMPRESSION bitpacking,
            status_code SMALLINT USING COMPRESSION bitpacking,
            duration DOUBLE
        );
        CREATE VIEW named AS
            SELECT
                numbered.rowid AS place, source_key, "offset", timestamp,
                customers.name AS customer_id, paths.name AS path, status_code, duration
            FROM numbered
            JOIN names AS customers ON customers.number = customer_number
            JOIN names AS paths ON paths.number = path_number;
        CREATE OR REPLACE VIEW records AS
            SELECT * EXCLUDE (run) FROM settled
            UNION ALL SELECT *, NULL FROM fresh
            UNION ALL SELECT * EXCLUDE (place), NULL FROM named;
        CREATE VIEW requests AS
            SELECT timestamp, customer_id, status_code, duration, customer_key FROM settled
            UNION ALL SELECT timestamp, customer_id, status_code, duration, NULL FROM fresh
            UNION ALL SELECT timestamp, name, status_code, duration, NULL
            FROM numbered JOIN names ON number = customer_number;
    """,
    # Rejects that were only counted.
    """
        CREATE TABLE omitted (rejects BIGINT NOT NULL);
        INSERT INTO omitted VALUES (0);
    """,
    # A request without an answer failed: its status is 0.
    """
        CREATE OR REPLACE VIEW daily_stats AS
        SELECT
            customer_id, timestamp::DATE AS day, count(*) AS total_requests,
            count(*) FILTER (WHERE status_code BETWEEN 1 AND 399) AS successful_requests,
            count(*) FILTER (WHERE status_code = 0 OR status_code >= 400) AS failed_requests,
            100 * count(*) FILTER (WHERE status_code BETWEEN 1 AND 399) / count(*) AS uptime,
            favg(duration) AS average_latency, quantile_cont(duration, 0.5) AS median_latency,
            quantile_cont(duration, 0.99) AS p99_latency
        FROM records GROUP BY ALL;
    """,
    # Texts that hardly repeat take half of a load to compress, and are to be sorted soon.
    """
        ALTER TABLE fresh RENAME TO former;
        CREATE TABLE fresh (
            source_key INTEGER,
            "offset" BIGINT,
            timestamp TIMESTAMP,
            customer_id VARCHAR USING COMPRESSION uncompressed,
            path VARCHAR USING COMPRESSION uncompressed,
            status_code SMALLINT,
            duration DOUBLE
        );
        INSERT INTO fresh FROM former;
        DROP TABLE former;
    """,
    # Of a few rows, which one writer at a time replaces: an index would be of no use.
    """
        CREATE TABLE notes (name VARCHAR NOT NULL, version BIGINT NOT NULL, text VARCHAR NOT NULL);
    """,
)
VERSION = len(UPGRADES)


def utc_now() -> datetime:
    """As the tables have times: in UTC, without a zone."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Upgrade the database of the file at `path`. Raises StoreError and SchemaMismatch."""
    version = read_version(connection, path)
    if version < VERSION:
        upgrade(connection, version)


def read_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The schema version of the file at `path`, one that is known. Raises StoreError and SchemaMismatch."""
    try:
        found = connection.execute("SELECT schema_version FROM meta").fetchall()
    except duckdb.CatalogException:
        raise StoreError(
            f"{path} is a DuckDB database of something else (it has no table meta); STORE_URL must name a "
            "file of this program, or one that does not exist yet"
        ) from None
    if len(found) != 1 or not 0 < found[0][0] <= VERSION:
        versions = ", ".join(str(version) for (version,) in found) or "none"
        raise SchemaMismatch(
            f"{path} has schema version {versions}, this program knows version {VERSION} and those before "
            "it; use the program that wrote it or a later one, or another file in STORE_URL"
        )
    return int(found[0][0])


def upgrade(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """From a version to the newest, all of it or nothing; that of an empty database is 0."""
    connection.begin()
    for step in UPGRADES[version:]:
        connection.execute(step)
    connection.execute("UPDATE meta SET schema_version = ?", [VERSION])
    connection.commit()


def read_all(connection: duckdb.DuckDBPyConnection) -> None:
    """Read each value of each table: DuckDB compares the checksum of each block that it reads."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"SELECT max(hash(COLUMNS(*))) FROM {table}").fetchall()
