"""MySQL and MariaDB: servers that say nothing, and what errors mean."""

from __future__ import annotations

import socket
from typing import Any

import pymysql
import pytest

from tailmetrics.errors import StoreError, StoreGone, StoreUnavailable
from tailmetrics.stores import open_store
from tailmetrics.stores.sql import dialect
from tailmetrics.stores.sql.mysql import MySQL
from tests import servers
from tests.stores.conftest import Ask
from tests.stores.sql.database import settings_of


def test_a_server_that_says_nothing_is_away(monkeypatch: pytest.MonkeyPatch, ask: Ask[Any]) -> None:
    monkeypatch.setattr(dialect, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mariadb://user:s3cret@127.0.0.1:{silent.getsockname()[1]}/shop"
        store = open_store(settings_of(url, query_timeout_seconds=0.3))
        try:
            for call in (lambda: store.position("x"), lambda: ask(store.ping())):
                with pytest.raises(StoreUnavailable, match=r"user:\*\*\*@127.*does not answer"):
                    call()
        finally:
            store.close()


@pytest.mark.servers
def test_a_question_to_a_server_that_stands_still_ends(ask: Ask[Any]) -> None:
    server = servers.mariadb()  # the processes of PostgreSQL go on without the one that can be stopped
    store = open_store(settings_of(server.new_database(), query_timeout_seconds=0.5))
    ask(store.ping())
    server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            ask(store.span())
    finally:
        server.go_on()
        store.close()


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (pymysql.OperationalError(2003, "refused"), StoreUnavailable, "is it running there"),
        (pymysql.OperationalError(2006, "gone away"), StoreUnavailable, "does not answer now: gone away"),
        (pymysql.OperationalError(1213, "deadlock"), StoreUnavailable, "does not answer now: deadlock"),
        (pymysql.OperationalError(3024, "too long"), StoreUnavailable, "took longer than 7 seconds"),
        (pymysql.InterfaceError(0, ""), StoreUnavailable, "does not answer now: InterfaceError"),
        (pymysql.OperationalError(1045, "denied"), StoreError, "the user or the password is wrong"),
        (pymysql.ProgrammingError(1146, "no table"), StoreGone, "its tables were removed"),
        (pymysql.DataError(1406, "too long"), StoreError, "shop: too long"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else "",
)
def test_an_error_says_what_can_be_done(error: Exception, expected: type[StoreError], said: str) -> None:
    translated = MySQL("mysql://host/shop", "shop", 7).translate(error)
    assert type(translated) is expected
    assert said in str(translated)
