"""Which part of a block is read, and how many blocks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from tailmetrics.stores.summaries import parts
from tailmetrics.stores.summaries.block import DAY, DAY_US, Part
from tailmetrics.stores.summaries.manifest import BlockRef
from tailmetrics.stores.summaries.parts import chosen, coded, packed_parts, portions
from tailmetrics.stores.summaries.plan import Chosen, Plan


def block(day: int, *kept: Part) -> BlockRef:
    return BlockRef(DAY, day * DAY_US, 1, 10, day * DAY_US, day * DAY_US, dict.fromkeys(kept, 1))


class Named:
    """A store whose parts are their own names, and the days of their blocks."""

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> list[bytes]:
        return [f"{part} {ref.start_us // DAY_US}".encode() for ref in refs]


def read(*blocks: Chosen, in_cells: bool = False) -> list[bytes]:
    plan = Plan(blocks, ())
    return asyncio.run(packed_parts(Named(), plan, "customers", in_cells=in_cells))  # type: ignore[arg-type]


def test_totals_are_read_where_they_are_kept_and_all_cells_count() -> None:
    some_cells = np.array([2 * DAY_US])
    with_totals = [block(day, "customers", "customer_totals") for day in (1, 2)]
    assert read((with_totals[0], None), (with_totals[1], some_cells), (block(3, "customers"), None)) == [
        b"customer_totals 1",
        b"customers 2",
        b"customers 3",
    ]


def test_totals_are_not_read_where_times_are_asked_for() -> None:
    assert read((block(1, "customers", "customer_totals"), None), in_cells=True) == [b"customers 1"]


def test_blocks_are_taken_together_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_BYTES_A_PORTION", 3)
    blocks: list[Chosen] = [(block(day), None) for day in range(4)]
    found = portions(blocks, [b"12", b"12", b"12345", b"1"])
    assert [[data for _, data in some] for some in found] == [[b"12", b"12"], [b"12345"], [b"1"]]


def test_rows_have_the_code_of_their_name_and_the_columns_that_are_wanted() -> None:
    rows = pl.DataFrame({"time": [0, DAY_US, 0], "number": [1, 0, 0], "count": [5, 6, 7]})
    found = coded(chosen(rows, np.array([0])), np.array([30, 31]), ("count",))
    assert found.rows(named=True) == [{"code": 31, "count": 5}, {"code": 30, "count": 7}]
