"""The tables of the SQL store, made where there are none, and brought up to date where they are older.

Times are microseconds since 1970-01-01T00:00:00Z, so that windows are arithmetic on whole numbers which every
database does the same way. A customer's id is written once and stands in `records` as a number: the index of
`records` is small then, and ids are compared by their bytes in one place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

from tailmetrics.errors import SchemaMismatch, StoreError, StoreGone
from tailmetrics.stores.base import no_store

SCHEMA_VERSION = 4

PIECE_BYTES = 1024 * 1024

_MYSQL = ("mysql", "mariadb")
_ID_BYTES = 1024  # of 256 characters


class Words(TypeDecorator[str]):
    """Text that is compared and sorted by its bytes, of any length or (`key`) of at most 256 characters.

    MySQL and MariaDB hold it as bytes: their collations differ from server to server, and pad.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, *, key: bool = False) -> None:
        super().__init__()
        self.key = key

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        if dialect.name in _MYSQL:
            from sqlalchemy.dialects.mysql import LONGBLOB  # brings the dialects of all drivers

            return dialect.type_descriptor(sa.VARBINARY(_ID_BYTES) if self.key else LONGBLOB())
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TEXT(collation="C"))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        return value.encode() if value is not None and dialect.name in _MYSQL else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return value.decode() if isinstance(value, bytes) else value


_metadata = sa.MetaData()

store = sa.Table(
    "store",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("store_id", Words(key=True), nullable=False),
    sa.Column("commits", sa.BigInteger, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("rejects", sa.BigInteger, nullable=False),
    sa.Column("blanks", sa.BigInteger, nullable=False),
    sa.Column("first_us", sa.BigInteger),
    sa.Column("last_us", sa.BigInteger),
)

# device and inode are text because they may not fit a signed 64-bit integer.
sources = sa.Table(
    "sources",
    _metadata,
    sa.Column("source_key", sa.Integer, primary_key=True),
    sa.Column("source_id", Words(key=True), nullable=False, unique=True),
    sa.Column("node_id", Words(key=True), nullable=False),
    sa.Column("device", Words(key=True), nullable=False),
    sa.Column("inode", Words(key=True), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("path", Words(), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("head_length", sa.BigInteger, nullable=False),
    sa.Column("head_hash", Words(key=True), nullable=False),
    sa.Column("tail_length", sa.BigInteger, nullable=False),
    sa.Column("tail_hash", Words(key=True), nullable=False),
    sa.Column("processor", Words(), nullable=False),
    sa.Column("registered_us", sa.BigInteger, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,  # the number of a source that was forgotten is not given again
)

customers = sa.Table(
    "customers",
    _metadata,
    sa.Column("customer_key", sa.Integer, primary_key=True),
    sa.Column("customer_id", Words(key=True), nullable=False, unique=True),
)


def _records(*parts: sa.schema.SchemaItem, **options: Any) -> sa.Table:
    return sa.Table(
        "records",
        sa.MetaData(),
        sa.Column("customer_key", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("source_key", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("path", Words(), nullable=False),
        sa.Column("status_code", sa.SmallInteger, nullable=False),
        sa.Column("duration", sa.Double),
        *parts,
        **options,
    )


# PostgreSQL keeps rows as they come, and beside them an index on customer and time.
records = _records(sa.Index("records_customer_time", "customer_key", "time_us"))
# The others keep rows in the order of their primary key, which is the index on customer and time.
_clustered_records = _records(
    sa.PrimaryKeyConstraint("customer_key", "time_us", "source_key", "offset"), sqlite_with_rowid=False
)

rejects = sa.Table(
    "rejects",
    _metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("source_key", sa.Integer, nullable=False, index=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("reason", Words(), nullable=False),
    sa.Column("line", Words(), nullable=False),
    sa.Column("seen_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

reports = sa.Table(
    "reports",
    _metadata,
    sa.Column("processor", Words(key=True), primary_key=True),
    sa.Column("said_us", sa.BigInteger, nullable=False),
    sa.Column("statuses", Words(), nullable=False),
)

# What was committed, by the number of the commit: the times that it touched.
journal = sa.Table(
    "journal",
    _metadata,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("spans", Words(), nullable=False),
)

manifests = sa.Table(
    "manifests",
    _metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("text", Words(), nullable=False),
)

# In pieces: MySQL and MariaDB take no statement of many megabytes.
blocks = sa.Table(
    "blocks",
    _metadata,
    sa.Column("level", Words(key=True), primary_key=True),
    sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("part", Words(key=True), primary_key=True),
    sa.Column("piece", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary(PIECE_BYTES), nullable=False),
)

maker = sa.Table(
    "maker",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("said", Words(), nullable=False),
)

# In pieces as blocks are, the first of which is there always, and its version counts.
notes = sa.Table(
    "notes",
    _metadata,
    sa.Column("name", Words(key=True), primary_key=True),
    sa.Column("piece", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary(PIECE_BYTES), nullable=False),
)

# Tables that came with later versions than the first.
_TABLES_SINCE = {3: (journal, manifests, blocks, maker), 4: (notes,)}

_Upgrade = Callable[[sa.Connection, sa.TextClause], None]


def _replace_view(connection: sa.Connection, daily_stats: sa.TextClause) -> None:
    """The first view takes a status of 0 for a success. Replaced, not dropped, it keeps who may read it."""
    if connection.dialect.name == "sqlite":  # which has no such rights, and replaces no view
        connection.exec_driver_sql("DROP VIEW IF EXISTS daily_stats")
    connection.execute(daily_stats)


def _add_tables(version: int) -> _Upgrade:
    return lambda connection, _: _metadata.create_all(connection, _TABLES_SINCE[version])


# What leads from each version to the next, the first from 1 to 2; each is run in one transaction.
_UPGRADES: tuple[_Upgrade, ...] = (_replace_view, _add_tables(3), _add_tables(4))


def prepare(connection: sa.Connection, daily_stats: sa.TextClause, name: str) -> None:
    """Make the tables and the view where there are none.

    The caller sees to it that one process at a time is here. `name` is that of the store in errors. Raises
    SchemaMismatch for tables of a later version, StoreError for those of another program, and StoreGone when
    some are missing.
    """
    found = set(sa.inspect(connection).get_table_names())
    own = {table.name for table in (*_metadata.tables.values(), records)}
    if store.name not in found:
        if foreign := sorted(found & own):
            raise StoreError(
                f"{name} has a table {foreign[0]} but no table {store.name}: it belongs to another program; "
                "STORE_URL must name a database of its own, which may be empty"
            )
        _metadata.create_all(connection, [store])
    version = connection.scalar(sa.select(store.c.schema_version))
    if version is None:
        # A beginning that was interrupted is gone on with: not every database takes tables back.
        clustered = connection.dialect.name != "postgresql"
        (_clustered_records if clustered else records).create(connection, checkfirst=True)
        _metadata.create_all(connection)
        version = SCHEMA_VERSION
        counts = dict.fromkeys(("commits", "records", "rejects", "blanks"), 0)
        connection.execute(
            store.insert().values(id=1, schema_version=version, store_id=secrets.token_hex(4), **counts)
        )
    elif missing := sorted(own - found - _names_since(version)):
        raise StoreGone(
            f"{name}: of its tables these were removed: {', '.join(missing)}; put them back, or "
            "drop the others too and restart to begin with empty ones"
        )
    if version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{name} has schema version {version}, this program knows version {SCHEMA_VERSION} and those "
            "before it; use the program that wrote it or a later one, or another database in STORE_URL"
        )
    for number in range(version, SCHEMA_VERSION):
        _UPGRADES[number - 1](connection, daily_stats)
        connection.execute(store.update().values(schema_version=number + 1))
    # Not with the tables alone: a view is easily dropped, and nothing is lost with it.
    if "daily_stats" not in sa.inspect(connection).get_view_names():
        connection.execute(daily_stats)


def check_made(connection: sa.Connection, name: str) -> None:
    """Raise StoreError where `prepare` would make a store."""
    is_there = store.name in sa.inspect(connection).get_table_names()
    if not is_there or connection.scalar(sa.select(store.c.schema_version)) is None:
        raise no_store(name)


def _names_since(version: int) -> set[str]:
    """The tables that only versions behind this one have."""
    return {table.name for since, tables in _TABLES_SINCE.items() if since > version for table in tables}


def write_nothing(connection: sa.Connection) -> None:
    """Do to no row what is done to rows of each table: the database refuses it to whoever may not."""
    with connection.begin() as transaction:
        for table in (*_metadata.sorted_tables, records):
            nothing = sa.false()
            rows = sa.select(*table.c).where(nothing)
            connection.execute(table.insert().from_select(table.c.keys(), rows, include_defaults=False))
            connection.execute(table.update().where(nothing).values(dict(table.c)))
            connection.execute(table.delete().where(nothing))
        transaction.rollback()
