"""Texts under names, in pieces; the version of the first one says which writer was quicker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tailmetrics.stores.base import Note
from tailmetrics.stores.sql.schema import PIECE_BYTES, notes

if TYPE_CHECKING:
    from tailmetrics.stores.sql.queries import Queries


async def note(queries: Queries, name: str) -> Note:
    """What was kept under a name last; version 0 when nothing was."""
    pieces = sa.select(notes.c.version, notes.c.data).where(notes.c.name == name).order_by(notes.c.piece)
    rows = await queries.fetch(pieces)
    return Note(rows[0].version if rows else 0, b"".join(row.data for row in rows).decode())


async def names(queries: Queries) -> Sequence[str]:
    """The names of all notes."""
    return sorted(name for (name,) in await queries.fetch(sa.select(notes.c.name).where(notes.c.piece == 0)))


def keep_note(engine: sa.Engine, name: str, text: str, version: int) -> bool:
    """Replace a note of this version; False when it is of another one."""
    data = text.encode()
    rows = [
        {"name": name, "piece": piece, "version": version + 1, "data": data[begin : begin + PIECE_BYTES]}
        for piece, begin in enumerate(range(0, max(1, len(data)), PIECE_BYTES))
    ]
    of_name = notes.c.name == name
    try:
        with engine.begin() as connection:
            if version:
                same = of_name & (notes.c.piece == 0) & (notes.c.version == version)
                if not connection.execute(notes.update().where(same).values(rows.pop(0))).rowcount:
                    return False
                connection.execute(notes.delete().where(of_name & (notes.c.piece > 0)))
            if rows:
                connection.execute(notes.insert(), rows)
    except sa.exc.IntegrityError:  # another process was quicker to make it
        return False
    return True
