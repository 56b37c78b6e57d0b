"""What is to be sorted and merged, by how the records lie."""

from __future__ import annotations

from tailmetrics.stores.duckdb import layout as duckdb_layout
from tailmetrics.stores.duckdb.layout import Layout


def test_a_run_of_unsorted_records_is_sorted_at_an_ordinary_pace() -> None:
    layout = Layout(unsorted=duckdb_layout.RUN_RECORDS)
    assert layout.wants_sort(busy=False, idle=False)


def test_a_load_at_full_speed_is_not_disturbed() -> None:
    layout = Layout({1: 1, 2: 1}, unsorted=duckdb_layout.RUN_RECORDS)
    assert not layout.wants_sort(busy=True, idle=False)
    assert not layout.wants_merge(busy=True, idle=False)


def test_a_load_that_does_not_end_is_disturbed_after_all() -> None:
    layout = Layout(unsorted=300 * duckdb_layout.RUN_RECORDS)
    assert layout.wants_sort(busy=True, idle=False)


def test_few_unsorted_records_stay_as_they_are() -> None:
    assert not Layout(unsorted=1000).wants_sort(busy=False, idle=True)


def test_runs_are_merged_when_the_records_have_doubled() -> None:
    assert not Layout({1: 10, 2: 5, 3: 4}).wants_merge(busy=False, idle=False)
    assert Layout({1: 10, 2: 5, 3: 5}).wants_merge(busy=False, idle=False) == [1, 2, 3]


def test_runs_are_merged_sooner_when_there_is_time() -> None:
    assert Layout({1: 10, 2: 1}).wants_merge(busy=False, idle=True) == [1, 2]


def test_one_run_alone_stays_as_it_is() -> None:
    assert not Layout({1: 10}).wants_merge(busy=False, idle=True)


def test_many_runs_are_merged_in_stages() -> None:
    alike = dict.fromkeys(range(1, 101), duckdb_layout.RUN_RECORDS)
    stages = [Layout(alike).wants_merge(busy=False, idle=False)]
    large = {101: 32 * duckdb_layout.RUN_RECORDS}
    rest = {run: records for run, records in alike.items() if run > 32}
    stages.append(Layout({**large, **rest}).wants_merge(busy=False, idle=False))
    assert stages == [list(range(1, 33)), list(range(33, 65))]


def test_few_runs_beside_a_large_one_wait_until_they_are_many() -> None:
    small = dict.fromkeys(range(2, 34), duckdb_layout.RUN_RECORDS)
    layout = Layout({1: 1000 * duckdb_layout.RUN_RECORDS, **small})
    assert layout.wants_merge(busy=False, idle=True) == list(range(2, 34))
    del small[2]
    assert not Layout({1: 1000 * duckdb_layout.RUN_RECORDS, **small}).wants_merge(busy=False, idle=True)


def test_many_deleted_records_are_a_reason_to_write_the_others_anew() -> None:
    assert Layout({1: 100}, deleted=26).wants_merge(busy=False, idle=False) == [1]
    assert not Layout({1: 100}, deleted=25).wants_merge(busy=False, idle=True)
