"""The tables of a database: made where there are none, and refused where they are of another version."""

from __future__ import annotations

import contextlib
import secrets

import polars as pl

from tailmetrics.errors import SchemaMismatch, StoreError, StoreGone, StoreRefused
from tailmetrics.stores.base import no_store
from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.errors import not_granted
from tailmetrics.stores.clickhouse.schema import SCHEMA_VERSION, daily_stats, names, statements

_FOUND = "SELECT name FROM system.tables WHERE database = currentDatabase()"
_STORE = "SELECT schema_version, store_id FROM store ORDER BY store_id LIMIT 1"


def prepare(connection: Connection, *, creates: bool = True) -> str:
    """Make the tables of a database that is new, if it `creates` them; the id of the store.

    Raises SchemaMismatch for tables of another version, StoreError for those of another program or where
    there are none, and StoreGone when some are missing.
    """
    address, own = connection.address, set(names())
    found = {name for (name,) in connection.rows(_FOUND)}
    if "store" not in found and (foreign := sorted(found & own)):
        raise StoreError(
            f"{address} has a table {foreign[0]} but no table store: it belongs to another program; "
            "STORE_URL must name a database of its own, which may be empty"
        )
    rows = connection.rows(_STORE) if "store" in found else []
    if not rows:
        if not creates:
            raise no_store(address)
        return _made(connection)
    [(version, store_id)] = rows
    if version != SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{address} has schema version {version}, this program knows version {SCHEMA_VERSION}; use the "
            "program that wrote it, or another database in STORE_URL"
        )
    if missing := sorted(own - found):
        raise StoreGone(
            f"{address}: of its tables these were removed: {', '.join(missing)}; put them back, or drop the "
            "others too and restart to begin with empty ones"
        )
    if creates and "daily_stats" not in found:
        # A view is easily dropped, and nothing is lost with it; who may only read does without.
        with contextlib.suppress(StoreRefused):
            connection.run(daily_stats(address.cluster))
    return str(store_id)


def check_access(connection: Connection, *, writes: bool) -> None:
    """Ask each table for nothing and, with `writes`, insert nothing: the server refuses it to who may not.

    Who may delete is asked for, as a DELETE of nothing rewrites parts.
    """
    for table in names():
        nothing = f"SELECT * FROM {table} WHERE 0"
        connection.rows(nothing)
        if writes:
            connection.run(f"INSERT INTO {table} {nothing}")
            if not connection.may_delete(table):
                raise not_granted(connection.address, f"this user may not delete from {table}")


def _made(connection: Connection) -> str:
    """Make the tables, of which a beginning that was interrupted may have made some; the id of the store."""
    for statement in statements(connection.address.cluster):
        connection.run(statement)
    row = pl.DataFrame(
        {"schema_version": [SCHEMA_VERSION], "store_id": [secrets.token_hex(4)]},
        schema={"schema_version": pl.UInt32(), "store_id": pl.String()},
    )
    rows = connection.insert_first("store", row, "store", _STORE)  # one of two who make them says the id
    if rows is None:
        raise StoreError(f"{connection.address}: its table store cannot be written")
    return str(rows[0][1])
