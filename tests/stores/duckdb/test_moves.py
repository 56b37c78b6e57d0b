"""A statement and a commit that moves records: never at once, or the statement runs again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.duckdb.moves import Moves
from tests.builders import batch_of, moved, records_of, source_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import opened_at, rows_of

WAIT_SECONDS = 30.0


def go_on() -> None:
    """What waits may wait on."""


def move(moves: Moves) -> None:
    with moves.moving(go_on):
        pass


def test_a_statement_that_nothing_disturbs_runs_once() -> None:
    moves, runs = Moves(), []
    move(moves)
    assert moves.undisturbed(lambda: runs.append(1) or len(runs), go_on) == 1


def test_a_statement_during_which_something_was_moved_runs_again() -> None:
    moves, runs = Moves(), []

    def statement() -> int:
        runs.append(1)
        if len(runs) == 1:
            move(moves)
        return len(runs)

    assert moves.undisturbed(statement, go_on) == 2


def test_nothing_is_moved_while_a_statement_runs_again() -> None:
    moves, runs, moved = Moves(), [], threading.Event()
    others: list[threading.Thread] = []

    def move_later() -> None:
        move(moves)
        moved.set()

    def statement() -> bool:
        runs.append(1)
        if len(runs) == 1:
            move(moves)
        else:
            others.append(threading.Thread(target=move_later))
            others[0].start()
            moved.wait(0.1)
        return moved.is_set()

    assert not moves.undisturbed(statement, go_on)
    assert moved.wait(WAIT_SECONDS)


def test_a_statement_begins_behind_a_move() -> None:
    moves, began, order = Moves(), threading.Event(), list[str]()

    def move_slowly() -> None:
        with moves.moving(go_on):
            began.set()
            time.sleep(0.1)
            order.append("moved")

    mover = threading.Thread(target=move_slowly)
    mover.start()
    assert began.wait(WAIT_SECONDS)
    moves.undisturbed(lambda: order.append("asked"), go_on)
    mover.join()
    assert order == ["moved", "asked"]


def test_who_waits_for_a_move_may_be_told_to_end() -> None:
    moves = Moves()

    def end() -> None:
        raise StoreUnavailable("the question took too long")

    with moves.moving(go_on), pytest.raises(StoreUnavailable, match="took too long"):
        moves.undisturbed(lambda: None, end)


@pytest.mark.nightly
def test_records_are_counted_once_while_they_are_sorted_and_merged(tmp_path: Path, ask: Ask[Any]) -> None:
    """Of statements that do not run again about one in 200 counts a run twice."""
    store, source, lines, commits = opened_at(tmp_path), source_of(), 40_000, 150
    store.register(source)
    records = records_of(rows_of(lines, customers=500))
    for _ in range(commits):
        batch = batch_of(source, records.with_columns(pl.col("offset") + source.position))
        store.write([store.prepare(batch)])
        source = moved(source, batch)
    counts = Counter[int]()
    while not store.is_compacted:
        [(found,)] = ask(store._ask(lambda reader: reader.run("SELECT count(*) FROM records")))
        counts[found] += 1
    store.close()
    assert set(counts) == {commits * lines}
