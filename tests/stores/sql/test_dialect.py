"""What connecting says of a wrong URL, user or right, and which parameters it takes from the URL."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from tailmetrics.errors import SettingsError, StoreError, StoreUnavailable
from tailmetrics.ingest.load import load_files
from tailmetrics.stores import open_store
from tailmetrics.stores.sql import mysql
from tailmetrics.stores.sql.postgresql import dialect
from tests import servers
from tests.integration.running import free_port
from tests.paths import DATA
from tests.stores.sql.database import SERVERS, TOLD_SECONDS, settings_of


def test_a_wrong_password_is_named_soon_and_not_shown(server: servers.Server) -> None:
    url = server.new_database().replace("pass%2Fw%40rd", "wr%2Fng")
    began = time.monotonic()
    with pytest.raises(StoreError, match="the user or the password is wrong") as refused:
        open_store(settings_of(url))
    assert not isinstance(refused.value, StoreUnavailable)
    assert time.monotonic() - began < TOLD_SECONDS
    assert "wr%2Fng" not in str(refused.value)
    assert "wr/ng" not in str(refused.value)


def test_a_database_that_does_not_exist_is_named_with_what_to_do(server: servers.Server) -> None:
    with pytest.raises(StoreError, match=r"store_none.*create") as refused:
        open_store(settings_of(server.url("store_none")))
    assert not isinstance(refused.value, StoreUnavailable)


def test_a_user_who_may_not_make_tables_is_told_what_to_grant(server: servers.Server) -> None:
    name = server.new_database().rpartition("/")[2]
    if server.scheme == "postgresql":
        rights = [f"REVOKE ALL ON SCHEMA public FROM {servers.USER}"]
        server.execute(*rights, database=name)
        url = server.url(name)
    else:
        server.execute(
            f"CREATE OR REPLACE USER reader IDENTIFIED BY '{servers.PASSWORD}'",
            f"GRANT SELECT ON `{name}`.* TO reader",
        )
        url = server.url(name, user="reader")
    with pytest.raises(StoreError, match="GRANT"):
        open_store(settings_of(url))


def test_a_user_who_may_only_read_is_told_what_to_grant_when_something_is_written(
    server: servers.Server,
) -> None:
    """And to `check`, which writes nothing."""
    url = server.new_database()
    open_store(settings_of(url)).close()
    name = url.rpartition("/")[2]
    if server.scheme == "postgresql":
        server.execute(
            "DROP ROLE IF EXISTS looker",
            f"CREATE ROLE looker LOGIN PASSWORD '{servers.PASSWORD}'",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker",
            database=name,
        )
        grants = [
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}",
        ]
    else:
        server.execute(
            f"CREATE OR REPLACE USER looker IDENTIFIED BY '{servers.PASSWORD}'",
            f"GRANT SELECT ON `{name}`.* TO looker",
        )
        grants = ["GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {user}"]
    settings = settings_of(server.url(name, user="looker"))
    began = time.monotonic()
    with pytest.raises(StoreError) as refused:
        load_files(settings, [DATA / "requests-10k.log"], lambda _: None)
    assert time.monotonic() - began < TOLD_SECONDS
    with contextlib.closing(open_store(settings)) as store:
        store.check_access(writes=False)
        with pytest.raises(StoreError, match="GRANT SELECT, INSERT, UPDATE, DELETE"):
            store.check_access(writes=True)
    for grant in grants:
        assert grant.format(user="user", database="database") in str(refused.value)
    server.execute(*(grant.format(user="looker", database=name) for grant in grants), database=name)
    with contextlib.closing(open_store(settings)) as store:
        store.check_access(writes=True)
    assert load_files(settings, [DATA / "requests-10k.log"], lambda _: None).state == "done"
    if server.scheme == "postgresql":
        server.execute("DROP OWNED BY looker", "DROP ROLE looker", database=name)


@pytest.mark.parametrize(
    ("scheme", "parameter"),
    [
        ("mariadb", "foo=bar"),
        ("mariadb", "sslmode=require"),
        ("mariadb", "connect_timeout=abc"),
        ("mariadb", "port=1"),
        ("mariadb", "ssl_ca=/nowhere.pem"),
        ("postgresql", "port=abc"),
        ("postgresql", "prepare_threshold=x"),
    ],
)
def test_a_parameter_that_the_driver_cannot_take_is_a_wrong_setting(scheme: str, parameter: str) -> None:
    url = f"{scheme}://user:s3cret@127.0.0.1:{free_port()}/shop?{parameter}"
    if parameter.startswith("prepare"):  # which is looked at with the first statement
        url = f"{SERVERS[scheme]().new_database()}?{parameter}"
    with pytest.raises(SettingsError, match=r"STORE_URL: found .*, expected after \? parameters of") as wrong:
        open_store(settings_of(url))
    assert "s3cret" not in str(wrong.value)
    assert servers.PASSWORD not in str(wrong.value)


@pytest.mark.parametrize(
    ("scheme", "parameters", "expected"),
    [
        ("postgresql", "", ("4", "tailmetrics")),
        ("postgresql", "?connect_timeout=9&application_name=shop", ("9", "shop")),
        ("mariadb", "", (4, 300)),
        ("mariadb", "?connect_timeout=9&read_timeout=60", (9, 60)),
    ],
)
def test_what_the_url_says_of_a_connection_is_not_overridden(
    scheme: str, parameters: str, expected: tuple[object, ...]
) -> None:
    url = f"{SERVERS[scheme]().new_database()}{parameters}"
    database = dialect.PostgreSQL if scheme == "postgresql" else mysql.MySQL
    engine = database(url, "the store", 30).writer_engine()
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            if scheme == "postgresql":
                said = driver.info.get_parameters()
                found = (said["connect_timeout"], said["application_name"])
            else:
                found = (driver.connect_timeout, driver._read_timeout)
    finally:
        engine.dispose()
    assert found == expected
