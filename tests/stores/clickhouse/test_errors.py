from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DatabaseError,
    OperationalError,
    ProgrammingError,
)

from tailmetrics.errors import StoreError, StoreGone, StoreRefused, StoreUnavailable
from tailmetrics.stores.clickhouse.address import Address
from tailmetrics.stores.clickhouse.errors import errors_translated
from tailmetrics.urls import StoreUrl

ADDRESS = Address.of(StoreUrl.parse("clickhouse://user:secret@host/logs"))


def translated(error: Exception) -> StoreError:
    with pytest.raises(StoreError) as raised, errors_translated(ADDRESS):
        raise error
    return raised.value


def of_server(code: int) -> ClickHouseError:
    text = (
        f"Received ClickHouse exception, code: {code}, server response: Code: {code}. "
        "DB::Exception: no. (WHY) (version 26.9.2.1 (official build)) (for url http://host:8123)"
    )
    return DatabaseError(text, code=code)


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind", "remedy"),
        [
            (516, StoreRefused, "the user or the password is wrong"),
            (497, StoreRefused, "GRANT SELECT, INSERT"),
            (164, StoreRefused, "may only read"),
            (81, StoreRefused, "CREATE DATABASE logs"),
            (701, StoreRefused, "system.clusters"),
            (60, StoreGone, "put them back"),
            (159, StoreUnavailable, "was not done in time"),
            (241, StoreUnavailable, "its memory is used up"),
            (252, StoreUnavailable, "more parts than it merges"),
            (279, StoreUnavailable, "no answer is given without it"),
            (999, StoreUnavailable, "Keeper does not answer"),
            (62, StoreError, "no."),
        ],
    )
    def test_each_says_what_the_server_says_and_what_to_do(
        self, code: int, kind: type[StoreError], remedy: str
    ) -> None:
        error = translated(of_server(code))
        assert type(error) is kind
        assert remedy in str(error)
        assert "DB::Exception: no. (WHY)" in str(error)
        assert "version" not in str(error)
        assert "http://" not in str(error)
        assert "secret" not in str(error)

    def test_a_server_with_too_many_parts_is_given_time_to_merge_some(self) -> None:
        error = translated(of_server(252))
        assert isinstance(error, StoreUnavailable)
        assert error.retry_after_seconds == 5

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (OperationalError("Error executing HTTP request"), StoreUnavailable),
            (ConnectionRefusedError("refused"), StoreUnavailable),
            (DatabaseError("HTTP driver received HTTP status 502"), StoreUnavailable),
            (DatabaseError("HTTP driver received HTTP status 403"), StoreRefused),
            (ProgrammingError("Setting mutations_sync is readonly"), StoreRefused),
            (DatabaseError("HTTP driver received HTTP status 404"), StoreError),
        ],
    )
    def test_what_does_not_come_from_clickhouse_itself(
        self, error: Exception, kind: type[StoreError]
    ) -> None:
        assert type(translated(error)) is kind
