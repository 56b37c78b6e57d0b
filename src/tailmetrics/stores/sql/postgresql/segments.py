"""The segments of `records` in PostgreSQL: tables that inherit from it, and are indexed when they are full.

An index that grows row by row takes several times as long as the COPY itself, and one that is built of many
rows at once less than the COPY. So what comes in bulk is written to a segment without an index. When it is
full, the next one is made; the server builds the indexes of full ones in the background, when nothing comes
in bulk any more or many are waiting. Small commits go to `records` itself, which always has its index: a
store that follows logs has no segments at all.

Whatever reads or deletes names `records` alone, which stands for its segments as well: a row lies in one
place from its commit on, and no result depends on whether an index is there yet.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg
import sqlalchemy as sa

from tailmetrics.telemetry.log import EventLog

log = EventLog()

BULK_ROWS = 20_000  # rows of one commit from which on a segment is worth while

_LOCK = 0x7461696D  # while a segment is made, any number that no other program is likely to lock
_INDEX_LOCK = 0x7461696E  # while indexes are built
_FULL_BYTES = 32 * 1024 * 1024  # some 300,000 rows
_LARGEST_BYTES = 512 * 1024 * 1024
_SEGMENTS = 32  # into so many a store is divided, and more as it grows past these sizes
_MOST_WITHOUT_INDEX = 512 * 1024 * 1024  # bytes, while more comes in bulk, from whose speed an index takes
_QUIET_SECONDS = 5.0  # without a bulk write: also a segment that is a quarter full gets its index then
_POLL_SECONDS = 0.05  # whether an index is done
_DROP_LOCK_MS = 100  # queries wait behind whoever waits for this lock
_CLOSE_SECONDS = 1.0  # for a server that does not even take what it is told

# The newest segment, whether this user may write to it, how large it is, and when segments of this store are
# full; whether this user may make another.
_NEWEST = sa.text(
    f"""
WITH segments AS (
    SELECT segment.oid, segment.relhasindex, segment.relpages, segment.relowner,
        substring(segment.relname FROM '[0-9]+$')::INTEGER AS number
    FROM pg_inherits JOIN pg_class AS segment ON segment.oid = inhrelid
    WHERE inhparent = 'records'::REGCLASS
)
SELECT format('%I.%I', nspname, format('records_%s', newest.number)) AS name,
    NOT newest.relhasindex AND has_table_privilege(newest.oid, 'INSERT')
        AND pg_relation_size(newest.oid) < least(greatest(sizes.pages * 8192 / {_SEGMENTS}, {_FULL_BYTES}),
            {_LARGEST_BYTES}) AS is_open,
    format('%I.%I', nspname, format('records_%s', coalesce(newest.number, 0) + 1)) AS next_name,
    pg_has_role(records.relowner, 'USAGE') AND has_schema_privilege(nspname, 'CREATE') AS may_make
FROM pg_class AS records JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN (SELECT * FROM segments ORDER BY number DESC LIMIT 1) AS newest ON TRUE
CROSS JOIN (SELECT coalesce(sum(relpages), 0)::BIGINT AS pages FROM segments) AS sizes
WHERE records.oid = 'records'::REGCLASS
"""
)

# Run by the server to its end, also when the process that asked for it is gone: indexes for the segments of
# this user that have none, as long as more bytes than given are without, the newest segment only where it has
# at least so many by itself; then, if so wanted, figures for the planner about all segments together, which
# the server does not renew by itself. Segments of which nothing is left are dropped: the server makes them no
# bytes large when no reader can see a row of them any more.
_INDEX = f"""
DO $$
DECLARE
    segment REGCLASS;
BEGIN
    PERFORM pg_advisory_lock({_INDEX_LOCK});
    LOOP
        SELECT oid INTO segment FROM (
            SELECT segment.oid, relowner, row_number() OVER newest_first AS age,
                sum(pg_relation_size(segment.oid)) OVER newest_first AS waiting
            FROM pg_inherits JOIN pg_class AS segment ON segment.oid = inhrelid
            WHERE inhparent = 'records'::REGCLASS AND NOT relhasindex
            WINDOW newest_first AS (ORDER BY substring(relname FROM '[0-9]+$')::INTEGER DESC)
        ) AS segments
        WHERE pg_has_role(relowner, 'USAGE') AND (age > 1 AND waiting > %s OR waiting >= %s)
        ORDER BY age DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        EXECUTE format('CREATE INDEX ON %%s (customer_key, time_us)', segment);
        COMMIT;
    END LOOP;
    FOR segment IN
        SELECT inhrelid FROM pg_inherits JOIN pg_class AS segment ON segment.oid = inhrelid
        WHERE inhparent = 'records'::REGCLASS AND relhasindex AND pg_has_role(relowner, 'USAGE')
            AND pg_relation_size(inhrelid) = 0
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '{_DROP_LOCK_MS}ms';
            EXECUTE format('LOCK TABLE %%s IN ACCESS EXCLUSIVE MODE', segment);
            IF pg_relation_size(segment) = 0 THEN
                EXECUTE format('DROP TABLE %%s', segment);
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
    COMMIT;
    IF %s THEN
        ANALYZE records;
    END IF;
END
$$
"""


class Segments:
    """The segments of one store, as one writer sees them."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._made = False
        self._written_at = 0.0
        self._unsettled = False
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="sql-segments", daemon=True)
        self._thread.start()

    def table_for_bulk(self, connection: sa.Connection) -> str:
        """The segment that takes the rows of this transaction, made when there is none with room.

        It is `records` itself for a user who may not make tables.
        """
        self._written_at = time.monotonic()
        self._unsettled = True
        newest = connection.execute(_NEWEST).one()
        if not newest.is_open and newest.may_make:
            # Whoever waits here finds the segment that another process has made meanwhile.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            newest = connection.execute(_NEWEST).one()
            if not newest.is_open:
                connection.exec_driver_sql(f"CREATE TABLE {newest.next_name} () INHERITS (records)")
                self._made = True
                return str(newest.next_name)
        return str(newest.name) if newest.is_open else "records"

    def committed(self) -> None:
        """A transaction is over: where it made a segment, the one before it gets its index."""
        if self._made:
            self._made = False
            self._changed.set()

    def close(self) -> None:
        """End; what there is still to do is done by the server when this process is gone."""
        self._closing.set()
        self._changed.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        # At once, as a process before this one may have left something.
        self._index(is_quiet=True)
        while not self._closing.is_set():
            changed = self._changed.wait(_QUIET_SECONDS if self._unsettled else None)
            self._changed.clear()
            if changed:
                self._index(is_quiet=False)
            elif time.monotonic() - self._written_at >= _QUIET_SECONDS:
                self._settle()
        if self._unsettled:
            self._settle()

    def _settle(self) -> None:
        self._unsettled = False
        self._index(is_quiet=True, analyze=True)

    def _index(self, *, is_quiet: bool, analyze: bool = False) -> None:
        """Have the server build what is due, and wait for it, but not any more when this is closed."""
        failure = None
        try:
            with contextlib.closing(self._engine.raw_connection()) as lent:
                driver: Any = lent.driver_connection
                try:
                    driver.autocommit = True
                    driver.execute("SET statement_timeout = 0")
                    driver.execute("SET max_parallel_maintenance_workers = 0")  # commits need the other cores
                    most, least = (0, _FULL_BYTES // 4) if is_quiet else (_MOST_WITHOUT_INDEX, "NULL")
                    failure = self._asked(driver.pgconn, _INDEX % (most, least, analyze))
                finally:
                    lent.invalidate()
        except (sa.exc.SQLAlchemyError, psycopg.Error, OSError) as error:
            failure = str(error)
        if failure is not None and failure != self._failure:
            log.warning("an index could not be built, questions take longer until it is", error=failure)
        self._failure = failure

    def _asked(self, server: psycopg.pq.abc.PGconn, statement: str) -> str | None:
        """Send a statement and wait for its end; returns what it failed of."""
        server.send_query(statement.encode())
        server.flush()
        while server.is_busy():
            if self._closing.wait(_POLL_SECONDS):
                return None
            server.consume_input()
        result = server.get_result()
        if result is None or result.status == psycopg.pq.ExecStatus.COMMAND_OK:
            return None
        return " ".join(result.get_error_message().split())
