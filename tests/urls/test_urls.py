"""URLs of stores and queues: what they say, what is refused, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.urls import QueueUrl, StoreUrl, bracketed, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://user:a:b@c@host/x now", "at postgresql://user:***@host/x now"),
        ("mysql://user@host/x", "mysql://user@host/x"),
        ("influxdb://host/o/b?token=abc&x=1", "influxdb://host/o/b?token=***&x=1"),
        ("http://127.0.0.1:8000/a@b", "http://127.0.0.1:8000/a@b"),
        ("amqp://a:b@c/d,amqp://e:f@g/h", "amqp://a:***@c/d,amqp://e:***@g/h"),
        ("expected amqp://user:password@host", "expected amqp://user:password@host"),
        ("amqp://user:password@word@host now", "amqp://user:***@host now"),
        ("amqp://user:passwords@host", "amqp://user:***@host"),
        ("amqp:/user:s3cret@host/x cannot be read", "amqp:/user:***@host/x cannot be read"),
        ("found 'postgresql//user:s3/cret@host/x'", "found 'postgresql//user:***@host/x'"),
        ("'user:s3cret@host/x'", "'user:***@host/x'"),
        ("at 12:30 to a@b", "at 12:30 to a@b"),
    ],
)
def test_passwords_and_tokens_of_urls_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("amqp://user:secret@host/", "no queue"),
        ("amqp://user:secret@/?queue=logs", "a URL without host"),
        ("amqp://user:secret@host:x/?queue=logs", "a URL that cannot be read"),
        ("amqp://user:secret@host/?queue=logs&durable=1", "a parameter other than queue and first_line"),
        ("amqp://user:secret@host/?queue=logs&first_line=x", "a first_line that is neither log nor name"),
        ("amqp://user:12/secret@host:1/?queue=logs", "an @ behind the host, or a #"),
        ("amqp://user:12?secret@host/?queue=logs", "an @ behind the host, or a #"),
        ("amqp://user:12?secret&secret=1", "a parameter other than queue and first_line"),
        ("amqp://user:12#secret@host/?queue=logs", "an @ behind the host, or a #"),
        ("amqp://user:sec@re/secret@host/?queue=logs", "an @ behind the host, or a #"),
        ("amqp://user:secret/x@host/?queue=logs", "a URL that cannot be read"),
        ("amqp://user:se[cret@host/?queue=logs", "a URL that cannot be read"),
        ("http://user:secret@host/?queue=logs", "the scheme 'http'"),
        ("user:secret@amqp://host/?queue=logs", "no URL"),
        ("user:secret@host", "no URL"),
    ],
)
def test_an_address_that_cannot_be_used_is_explained(url: str, found: str) -> None:
    with pytest.raises(SettingsError) as error:
        QueueUrl.parse(url)
    assert str(error.value).startswith(f"LOG_FILE_PATH: found {found}, expected amqp://user:password@host")
    assert "%2F %3F %23 %2C %40" in str(error.value)
    assert "secret" not in str(error.value)


def test_an_address_is_shown_without_user_and_password() -> None:
    address = QueueUrl.parse("amqp://user:s%40cret@[::1]/my%2Fhost?queue=a%2Cb")
    assert (address.vhost, address.password, address.queue) == ("my/host", "s@cret", "a,b")
    assert str(address) == "amqp://[::1]:5672/my%2Fhost?queue=a%2Cb"
    assert "cret" not in repr(address)


def test_a_password_may_hold_any_sign_percent_encoded() -> None:
    address = QueueUrl.parse("AMQP://us%3Aer:%2F%3F%23%2C%40%3A%5B%5D%25@host/?queue=logs")
    assert (address.scheme, address.user, address.password) == ("amqp", "us:er", "/?#,@:[]%")


def test_a_name_that_no_queue_can_have_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="more than 255 bytes"):
        QueueUrl.parse(f"amqp://host/?queue={'é' * 128}")


def test_a_url_of_a_server_is_taken_apart() -> None:
    url = StoreUrl.parse("postgresql://us%40er:p%2Fw@[::1]:5433/my%20data?sslmode=require&host=a&host=b")
    assert (url.scheme, url.user, url.password) == ("postgresql", "us@er", "p/w")
    assert (url.host, url.port, url.database) == ("::1", 5433, "my data")
    assert url.parameters == {"sslmode": ["require"], "host": ["a", "b"]}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("duckdb:///data/x.duckdb", "data/x.duckdb"),
        ("sqlite:////var/lib/a?b#c%20.sqlite", "/var/lib/a?b#c%20.sqlite"),
    ],
)
def test_of_a_url_of_a_file_all_behind_three_slashes_is_its_path(url: str, path: str) -> None:
    assert (StoreUrl.parse(url).is_file, StoreUrl.parse(url).path) == (True, Path(path))


def test_a_url_of_a_store_is_printed_without_its_secrets() -> None:
    url = StoreUrl.parse("mysql://user:s3cret@host/database?ssl_password=s3cret")
    assert str(url) == "mysql://user:***@host/database?ssl_password=***"
    assert "s3cret" not in repr(url)


@pytest.mark.parametrize(
    "rest", ["u:a#b@host/x", "u:a?b@host/x", "u:a/b@host/x", "host#/x", "host//", "[host/x"]
)
def test_a_url_whose_password_may_have_been_cut_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"written as %2F and %40"):
        StoreUrl.parse(f"postgresql://{rest}")


@pytest.mark.parametrize(("host", "written"), [("host", "host"), ("::1", "[::1]")])
def test_an_address_of_many_colons_is_in_brackets_before_a_port(host: str, written: str) -> None:
    assert bracketed(host) == written
