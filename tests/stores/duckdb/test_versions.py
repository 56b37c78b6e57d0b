from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.stores.duckdb.versions import Versions


@pytest.fixture
def versions() -> Versions:
    return Versions()


def commit(versions: Versions, *customers: str) -> None:
    with versions.changing([pl.Series(customers)]):
        pass


@pytest.mark.parametrize("customer", ["a", "köln-東京-🙂", "", None])
def test_a_version_stays_while_nothing_is_committed(versions: Versions, customer: str | None) -> None:
    assert versions.of(customer) == versions.of(customer)


@pytest.mark.parametrize("customer", ["a", "köln-東京-🙂", None])
def test_a_commit_changes_the_versions_of_its_customers_and_of_everybody(
    versions: Versions, customer: str | None
) -> None:
    before = versions.of(customer)
    commit(versions, "a", "köln-東京-🙂", "a")
    assert versions.of(customer) != before


def test_a_commit_leaves_other_customers_alone(versions: Versions) -> None:
    before = versions.of("b")
    commit(versions, "a")
    assert versions.of("b") == before


def test_all_of_several_frames_change(versions: Versions) -> None:
    before = versions.of("a"), versions.of("b")
    with versions.changing([pl.Series(["a"]), pl.Series(["b", "c"])]):
        pass
    assert (versions.of("a") != before[0], versions.of("b") != before[1]) == (True, True)


@pytest.mark.parametrize("customer", ["a", None])
def test_nothing_that_was_asked_before_or_during_a_commit_holds(
    versions: Versions, customer: str | None
) -> None:
    before = versions.of(customer)
    with versions.changing([pl.Series(["a"])]):
        during = versions.of(customer)
    assert versions.of(customer) not in (before, during)


def test_a_commit_of_which_it_is_not_known_whether_it_was_made_changes_versions(versions: Versions) -> None:
    before = versions.of("a")
    with pytest.raises(ZeroDivisionError), versions.changing([pl.Series(["a"])]):
        raise ZeroDivisionError
    assert versions.of("a") != before


def test_deleted_records_change_all_versions_also_during_a_commit(versions: Versions) -> None:
    before = versions.of("a"), versions.of("b"), versions.of(None)
    with versions.changing([pl.Series(["a"])]):
        versions.all_changed()
    after = versions.of("a"), versions.of("b"), versions.of(None)
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, True, True]
    assert after == (versions.of("a"), versions.of("b"), versions.of(None))


def test_what_is_too_long_for_a_customer_follows_everybody(versions: Versions) -> None:
    before = versions.of("a" * 257)
    commit(versions, "b")
    assert versions.of("a" * 257) != before
