from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.stores.clickhouse.address import Address
from tailmetrics.urls import StoreUrl


def address_of(url: str) -> Address:
    return Address.of(StoreUrl.parse(url))


class TestAddress:
    def test_all_parts_are_decoded_and_what_is_printed_shows_no_password(self) -> None:
        address = address_of("clickhouse://us%40er:p%2Fw%40d@host:9000/logs?cluster=two-by-two")
        arguments = address.client_arguments(30)
        assert (arguments["username"], arguments["password"]) == ("us@er", "p/w@d")
        assert (arguments["host"], arguments["port"], arguments["interface"]) == ("host", 9000, "http")
        assert address.cluster is not None
        assert address.cluster.name == "two-by-two"
        assert "p/w@d" not in f"{address} {address!r}"
        assert "p%2F" not in f"{address} {address!r}"

    @pytest.mark.parametrize(("url", "port"), [("h/d", 8123), ("h/d?tls=true", 8443), ("h:1/d?tls=true", 1)])
    def test_without_a_port_it_is_that_of_the_protocol(self, url: str, port: int) -> None:
        assert address_of(f"clickhouse://{url}").client_arguments(1)["port"] == port

    def test_certificates_are_files(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").touch()
        address = address_of(f"clickhouse://h/d?tls=true&ca_file={tmp_path}/ca.pem")
        assert address.client_arguments(1)["ca_cert"] == f"{tmp_path}/ca.pem"

    @pytest.mark.parametrize(
        ("parameters", "found"),
        [
            ("shard=1", "the parameter shard"),
            ("tls=maybe", "a tls that is neither"),
            ("cluster=a`b", "a name of a cluster"),
            ("ca_file=/nowhere/ca.pem", "ca_file=/nowhere/ca.pem, which is no file"),
        ],
    )
    def test_what_means_nothing_is_refused_with_what_was_expected(self, parameters: str, found: str) -> None:
        with pytest.raises(SettingsError) as refused:
            address_of(f"clickhouse://user:secret@h/d?{parameters}")
        assert found in str(refused.value)
        assert "clickhouse://user:password@host:8123/database" in str(refused.value)
        assert "secret" not in str(refused.value)
