"""Which stores can be asked for, and that no password is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings, load_settings

ODD = "s3/cr@t:word"


@pytest.mark.parametrize(
    "url",
    [
        "duckdb:///data/x.duckdb",
        "sqlite:////var/lib/x.sqlite",
        "postgresql://host/database",
        "postgresql://user:password@host:5432/database?sslmode=require",
        "postgresql:///database?host=/run/postgresql",
        "mysql://user:password@[::1]:3306/database",
        "mariadb://user@host/database",
        "influxdb://",
        "influxdb://host:8086/bucket?org=the%20org&tls=true",
    ],
)
def test_a_store_is_a_file_or_a_server(url: str) -> None:
    assert load_settings(None, store_url=url).store_url == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("oracle://host/database", "postgresql://"),
        ("postgres://host/database", "postgresql://"),
        ("data/x.duckdb", "duckdb://"),
        ("duckdb://x.duckdb", "three slashes"),
        ("sqlite://", "three slashes"),
        ("postgresql://host", "postgresql://user:password@host:port/database"),
        ("postgresql:///database", "postgresql://user:password@host:port/database"),
        ("mysql://host:port/database", "mysql://user:password@host:port/database"),
        ("mariadb://u:a/b@host/database", "written as %2F"),
        ("influxdb://token@host:8086/bucket", "the token in INFLUXDB_TOKEN"),
        ("influxdb://host:port/bucket", "influxdb://host:8086/bucket"),
        ("influxdb://host/bucket?token=secret", "the token in INFLUXDB_TOKEN"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_what_was_expected(url: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"STORE_URL: found .*{expected}"):
        load_settings(None, store_url=url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{ODD}@host",
        f"oracle://user:{ODD}@host/database",
        f"mysql://:{ODD}@host:x/database",
    ],
)
def test_a_refused_url_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, store_url=url)
    assert (ODD in str(refused.value), "***@host" in str(refused.value)) == (False, True)


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ("amqp://guest:12/s3cret@host/?queue=x", ""),
        ("amqp://guest:12?s3cret@host/?queue=x", ""),
        ("amqp://guest:12#s3cret@host/?queue=x", ""),
        ("results=amqp://guest:s3@re/s3cret@host/?queue=x", ""),
        ("amqp://guest:s3cret@host/", ""),
        ("ampq://guest:s3cret@host/?queue=x", ""),
        ("result=amqp://guest:s3cret@host/?queue=x", ""),
        ("amqp://guest:12,s3cret@host/?queue=x", ", entry 1"),
        ("amqp://guest:12?s3cret,rest@host/?queue=x", ", entry 1"),
        ("a.log, amqp://guest:s3cret/x@host/?queue=x", ", entry 2"),
    ],
)
def test_a_url_of_a_queue_that_can_be_misread_is_refused_and_not_shown(entries: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, log_file_path=entries, workers=0)
    queue, workers = refused.value.problems
    assert re.match(f"LOG_FILE_PATH{wrong}: found .*, expected amqp://user:password@host.* %2F %3F", queue)
    assert "s3" not in queue
    assert workers.startswith("WORKERS: ")


@pytest.mark.parametrize(
    "setting",
    [
        {"log_file_path": "amqp:/user:s3cret@host/vhost?queue=logs"},
        {"log_file_path": "a.log,results=user:s3cret@host/vhost"},
        {"store_url": "postgresql:/user:s3cret@host/x"},
        {"store_url": "user:s3cret@host/x"},
        {"store_url": "postgresql://user:s3/cret@host/x"},
    ],
)
def test_a_url_with_a_slip_of_the_pen_is_refused_without_its_password(setting: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="expected") as caught:
        load_settings(None, **setting)  # type: ignore[arg-type]
    assert "s3" not in str(caught.value)


def test_settings_are_printed_without_passwords() -> None:
    settings = load_settings(
        None,
        store_url="postgresql://user:s3cret@host/database?sslpassword=s3cret",
        log_file_path="amqp://user:s3cret@host/vhost?queue=logs",
        api_key="s3cret",
    )
    assert "s3cret" not in f"{settings} {settings!r} {settings.store}"


def test_what_a_node_keeps_is_beside_a_file_and_in_a_folder_of_its_own_for_a_server() -> None:
    def folder(url: str) -> Path:
        return Settings(_env_file=None, store_url=url).data_folder

    assert folder("sqlite:////var/lib/shop/x.sqlite") == Path("/var/lib/shop")
    assert folder("postgresql://host/database") == Path("data")


def test_a_retention_beyond_any_calendar_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"RETENTION_DAYS: found '?3650000'?, expected .*100000"):
        load_settings(None, retention_days=3_650_000)


def test_the_keys_that_earlier_versions_wrote_out_are_the_default() -> None:
    keys = "timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=duration"
    assert load_settings(None, log_json_fields=keys).format_options("json").json_fields == ""
