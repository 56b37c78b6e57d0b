"""Stores of records, rejects and positions, chosen by the scheme of their URL."""

from __future__ import annotations

import polars as pl

from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings
from tailmetrics.stores.base import Store
from tailmetrics.urls import STORE_SCHEMES

__all__ = ["Store", "open_store"]


def open_store(settings: Settings, *, creates: bool = True) -> Store:
    """Open the store at `settings.store_url`; an adapter is imported only when its scheme is asked for.

    One that is not there is made, or with `creates` False a StoreError.

    Raises SettingsError for a scheme without an adapter, StoreBusy when another process holds the store,
    SchemaMismatch when another version wrote it, and StoreError when it cannot be opened. A server that is
    away for now is no error yet: what is asked of its store raises StoreUnavailable until it is back.
    """
    # Polars makes its threads when they are first needed, and never again if no file can be opened then.
    pl.DataFrame({"key": [0]}).group_by("key").agg(pl.len())
    scheme = settings.store.scheme
    if scheme == "duckdb":
        from tailmetrics.stores.duckdb.store import DuckDBStore  # noqa: PLC0415  # only who uses DuckDB loads it

        return DuckDBStore(settings, creates=creates)
    if scheme == "influxdb":
        try:
            from tailmetrics.stores.influxdb.store import InfluxDBStore  # noqa: PLC0415  # likewise
        except ModuleNotFoundError as error:
            raise SettingsError(
                [f"STORE_URL: {settings.store} needs pip install 'tailmetrics[influxdb]' ({error})"]
            ) from error
        return InfluxDBStore(settings, creates=creates)
    if scheme in {"sqlite", "postgresql", "mysql", "mariadb"}:
        try:
            from tailmetrics.stores.sql.store import SqlStore  # noqa: PLC0415  # likewise
        except ModuleNotFoundError as error:
            raise SettingsError(
                [f"STORE_URL: {settings.store} needs pip install 'tailmetrics[{scheme}]' ({error})"]
            ) from error
        return SqlStore(settings, creates=creates)
    if scheme == "clickhouse":
        try:
            from tailmetrics.stores.clickhouse.store import ClickHouseStore  # noqa: PLC0415  # likewise
        except ModuleNotFoundError as error:
            raise SettingsError(
                [f"STORE_URL: {settings.store} needs pip install 'tailmetrics[clickhouse]' ({error})"]
            ) from error
        return ClickHouseStore(settings, creates=creates)
    raise SettingsError(
        [f"STORE_URL: found the scheme {scheme!r}, expected one of {', '.join(STORE_SCHEMES)}"]
    )
