"""Which times were written to since a mark, from the journal that commits write for summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from tailmetrics.stores.base import Changes
from tailmetrics.stores.sql.schema import journal, store
from tailmetrics.stores.summaries.manifest import spans_of_text
from tailmetrics.stores.windowing import Span

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tailmetrics.stores.sql.queries import Queries


async def changes(queries: Queries, mark: str | None) -> Changes:
    """A mark is the number of a commit, with the store that it is of."""
    [(store_id, commits)] = await queries.fetch(sa.select(store.c.store_id, store.c.commits))
    now = f"{store_id}-{commits}"
    if mark == now:
        return Changes(now, ())
    before, _, number = (mark or "").rpartition("-")
    if before != store_id or not number.isdecimal() or int(number) > commits:
        return Changes(now, None)
    return Changes(now, await touched_since(queries.connection, int(number)))


async def touched_since(connection: AsyncConnection, place: int) -> tuple[Span, ...] | None:
    """What commits behind one touched; None where the journal has lost some of it.

    It loses its oldest entries, a minute or longer after a manifest included them: nobody knows any more when
    there is none up to the first commit behind the place.
    """
    oldest = await connection.scalar(sa.select(sa.func.min(journal.c.place)))
    if oldest is None or oldest > place + 1:
        return None
    touched = sa.select(journal.c.spans).where(journal.c.place > place).order_by(journal.c.place)
    return tuple(span for text in await connection.scalars(touched) for span in spans_of_text(text))
