"""The table of notes: texts under names, and how often each was replaced."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from tailmetrics.stores.base import Note
from tailmetrics.stores.duckdb.queries.reader import Reader


def note(reader: Reader, name: str) -> Note:
    """The note of a name. Raises StoreUnavailable."""
    found = reader.run("SELECT version, text FROM notes WHERE name = $name", {"name": name})
    return Note(*found[0]) if found else Note(0, "")


def names(reader: Reader) -> Sequence[str]:
    """The names of all notes. Raises StoreUnavailable."""
    return [name for (name,) in reader.run("SELECT name FROM notes ORDER BY name")]


def replace(connection: duckdb.DuckDBPyConnection, name: str, text: str, version: int) -> bool:
    """Replace a note of this version, in a transaction; False when it is of another one."""
    found = connection.execute("SELECT version FROM notes WHERE name = ?", [name]).fetchall()
    if version != (found[0][0] if found else 0):
        return False
    if found:
        replacement = "UPDATE notes SET version = $version + 1, text = $text WHERE name = $name"
    else:
        replacement = "INSERT INTO notes VALUES ($name, $version + 1, $text)"
    connection.execute(replacement, {"name": name, "text": text, "version": version})
    return True
