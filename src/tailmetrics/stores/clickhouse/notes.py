"""Texts under names; the version of each has one writer, as in the log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.base import Note
from tailmetrics.stores.clickhouse.connection import Connection, quoted

if TYPE_CHECKING:
    from tailmetrics.stores.clickhouse.reader import Statements

EXPIRY = "\0expiry"  # who deletes by RETENTION_DAYS, and how long it is left to that one
_KEPT_VERSIONS = 100
_SCHEMA = {"name": pl.String(), "version": pl.UInt64(), "writer": pl.String(), "text": pl.String()}
_LATEST = "SELECT version, text FROM notes WHERE name = {name:String} ORDER BY version DESC LIMIT 1"


async def note(statements: Statements, name: str) -> Note:
    """What was kept under a name last; version 0 when nothing was."""
    rows = (await statements.frame(_LATEST, {"name": name})).rows()
    return Note(*rows[0]) if rows else Note(0, "")


async def note_names(statements: Statements) -> Sequence[str]:
    """The names under which something was kept, sorted."""
    names = (await statements.frame("SELECT DISTINCT name FROM notes ORDER BY name"))["name"].to_list()
    return [name for name in names if name != EXPIRY]


def keep_note(connection: Connection, name: str, text: str, version: int) -> bool:
    """Replace a note of this version; False when it is of another one."""
    of_name = f"name = {quoted(name)}"
    [(latest,)] = connection.rows(f"SELECT max(version) FROM notes WHERE {of_name}")
    if latest != version:
        return False
    number, writer = version + 1, secrets.token_hex(8)
    row = pl.DataFrame(
        {"name": [name], "version": [number], "writer": [writer], "text": [text]}, schema=_SCHEMA
    )
    whose = f"SELECT writer FROM notes WHERE {of_name} AND version = {number} LIMIT 1"
    found = connection.insert_first("notes", row, f"{number} {name}", whose)
    if found is None:
        raise StoreUnavailable(f"{connection.address}: version {number} of the note {name} cannot be written")
    is_ours = found[0][0] == writer
    if is_ours and number % _KEPT_VERSIONS == 0:
        connection.delete("notes", f"{of_name} AND version < {number}")
    return bool(is_ours)
