"""Statements to a ClickHouse server that are waited for: what writes, and the tables."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tailmetrics.stores.clickhouse import schema
from tailmetrics.stores.clickhouse.address import CONNECT_SECONDS, Address
from tailmetrics.stores.clickhouse.errors import SYNTAX_ERROR, code_of, errors_translated

WRITE_SECONDS: Final = 120.0  # the longest that a statement may take
_WHOLE: Final = 1 << 40

# One insert is one block, which is there as a whole or not at all, and one that comes again is left out.
_INSERT = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "max_insert_block_size": _WHOLE,
    "min_insert_block_size_rows": _WHOLE,
    "min_insert_block_size_bytes": _WHOLE,
    "max_partitions_per_insert_block": 1,
}
_DELETE = {"lightweight_deletes_sync": 2, "mutations_sync": 2}
# A majority of replicas has what was written, and who reads then sees it.
_INSERT_ON_CLUSTER = {
    "insert_quorum": "auto",
    "insert_quorum_parallel": 0,
    "distributed_foreground_insert": 1,
}
_READ_ON_CLUSTER = {"select_sequential_consistency": 1, "skip_unavailable_shards": 0}
_MOST_TOKENS = 50  # that are tried for one block
_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'"})


def quoted(text: str) -> str:
    """A text as a literal."""
    return f"'{text.translate(_ESCAPED)}'"


def listed(values: Iterable[str | int]) -> str:
    """Values as they stand in parentheses behind IN, of which there is one at least."""
    return ", ".join(quoted(value) if isinstance(value, str) else str(value) for value in values)


class Connection:
    """Whatever thread asks, one statement after the other; opened when it is first needed.

    Every method raises StoreUnavailable, and another StoreError for what the server does not take.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._client: Client | None = None

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a query finds, in the state that all that was written before left."""
        settings = _READ_ON_CLUSTER if self.address.cluster else {}
        with errors_translated(self.address):
            asked = self._opened().raw_query(sql, dict(parameters or {}), settings, fmt="ArrowStream")
            return pl.read_ipc_stream(io.BytesIO(asked)).rows() if asked else []

    def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """A statement that gives nothing: one of DDL, or a DELETE, which is done when this returns."""
        with errors_translated(self.address):
            self._opened().command(sql, dict(parameters or {}), settings=_DELETE)

    def delete(self, table: str, where: str) -> None:
        """Delete rows, which nobody sees any more when this returns."""
        cluster = self.address.cluster
        self.run(f"DELETE FROM {schema.stored(table, cluster)} WHERE {where}")

    def may_delete(self, table: str) -> bool:
        """Whether the user may delete rows; a server that does not know the question says yes."""
        name = schema.local(table, self.address.cluster)
        with errors_translated(self.address):
            try:
                return self._opened().command(f"CHECK GRANT ALTER DELETE ON {name}") != 0
            except ClickHouseError as error:
                if code_of(error) == SYNTAX_ERROR:
                    return True
                raise

    def shards(self) -> Sequence[int]:
        """The numbers of the shards of the cluster, none where there is no cluster."""
        name = quoted("" if self.address.cluster is None else self.address.cluster.name)
        found = self.rows(f"SELECT DISTINCT shard_num FROM system.clusters WHERE cluster = {name}")
        return sorted(number for (number,) in found)

    def insert(self, table: str, rows: pl.DataFrame, token: str, **settings: int) -> None:
        """Insert rows as one block, unless something was inserted with the same token before."""
        self.insert_packed(table, rows.columns, packed(rows), token, **settings)

    def insert_first(
        self, table: str, rows: pl.DataFrame, token: str, whose: str
    ) -> list[tuple[Any, ...]] | None:
        """Insert rows of which one of all who do so by this token gets in; what `whose` finds then.

        A server that was killed may have used a token up and not have the rows: then nobody gets in by it any
        more, and all go on to the next one. None when the server takes none of many.
        """
        for again in range(_MOST_TOKENS):
            self.insert(table, rows, f"{token}.{again}")
            if found := self.rows(whose):
                return found
        return None

    def insert_packed(self, table: str, columns: list[str], rows: bytes, token: str, **settings: int) -> None:
        """The same of what `packed` has made."""
        on_cluster = _INSERT_ON_CLUSTER if self.address.cluster else {}
        with errors_translated(self.address):
            self._opened().raw_insert(
                table,
                columns,
                rows,
                settings={**_INSERT, **on_cluster, "insert_deduplication_token": token, **settings},
                fmt="ArrowStream",
            )

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _opened(self) -> Client:
        with self._lock:
            if self._client is None:
                # A server that takes connections and says nothing is told of before a write's time is over.
                get_client(**self.address.client_arguments(CONNECT_SECONDS), dedicated_pool=True).close()
                arguments = self.address.client_arguments(WRITE_SECONDS)
                self._client = get_client(**arguments, dedicated_pool=True)
            return self._client


def packed(rows: pl.DataFrame) -> bytes:
    """Rows as they are sent."""
    stream = io.BytesIO()
    rows.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    return stream.getvalue()
