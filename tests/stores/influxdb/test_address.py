"""Where the server is: from the URL of the store, else from the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.settings import load_settings
from tailmetrics.stores.influxdb.address import Address
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.certificates import Certificates
from tests.stores.influxdb.stub import Stub, settings_of_stub


@pytest.mark.parametrize("missing", ["influxdb_token", "influxdb_org", "influxdb_bucket"])
def test_a_setting_that_is_missing_is_named(stub: Stub, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing.upper()}: found nothing"):
        InfluxDBStore(settings_of_stub(stub, **{missing: ""}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("influxdb://host/b?org=o", ("http://host:8086", "o", "b")),
        ("influxdb://host:1/b%20c?org=o%26p&tls=true", ("https://host:1", "o&p", "b c")),
        ("influxdb://[::1]:1/b?org=o", ("http://[::1]:1", "o", "b")),
        ("influxdb://", ("http://named:8086", "org", "bucket")),
        ("influxdb://host:1", ("http://host:1", "org", "bucket")),
    ],
)
def test_the_url_of_the_store_wins_over_the_other_settings(url: str, expected: tuple[str, ...]) -> None:
    settings = load_settings(
        None,
        store_url=url,
        influxdb_url="http://named:8086/",
        influxdb_org="org",
        influxdb_bucket="bucket",
        influxdb_token="secret",  # noqa: S106  # none
    )
    address = Address.of(settings)
    assert (address.url, address.org, address.bucket) == expected
    assert "secret" not in repr(address) + repr(settings)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = load_settings(
        None,
        store_url="influxdb://host/b?org=o&tls=true",
        influxdb_token="secret",  # noqa: S106  # none
        influxdb_ca_file=str(file),
    )
    with pytest.raises(SettingsError, match=r"INFLUXDB_CA_FILE: found '.*ca.pem' .* certificates"):
        Address.of(settings)


def test_certificates_without_https_are_a_mistake(stub: Stub, certificates: Certificates) -> None:
    with pytest.raises(SettingsError, match=r"INFLUXDB_CA_FILE: found .* expected https://"):
        InfluxDBStore(settings_of_stub(stub, influxdb_ca_file=str(certificates.ca)))


@pytest.mark.parametrize("url", ["https://host/influx?x=1", "https://user:secret@host/influx", "host/influx"])
def test_a_url_with_more_than_a_path_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="INFLUXDB_URL"):
        load_settings(None, influxdb_url=url)
