from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.customers import chosen, clients, is_host, without_port

FIELDS = pl.DataFrame(
    {
        "user": ["bob", "-", "", None],
        "address": ["192.0.2.1", "192.0.2.2", "-", None],
        "path": ["/api/acme/x", "/api/", "/api/ümlaut", "/"],
    }
)


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (("user", "address"), ["bob", "192.0.2.2", None, None]),
        (("address",), ["192.0.2.1", "192.0.2.2", None, None]),
        (("vhost", "user"), ["bob", None, None, None]),
        (("/api/{customer}/",), ["acme", None, None, None]),
        (("/api/{customer}", "user"), ["acme", None, "ümlaut", None]),
        ((), [None, None, None, None]),
    ],
)
def test_the_customer_is_the_first_field_that_says_something(
    preference: tuple[str, ...], expected: list[str | None]
) -> None:
    assert chosen(FIELDS, preference).to_list() == expected


def test_of_a_host_the_port_is_left_out_and_an_address_stays_whole() -> None:
    hosts = ["e.org:80", "[::1]:80", "e.org", "::1", "[::1]", "2001:db8::2:80", "-", "", None, "a:b"]
    found = ["e.org", "[::1]", *hosts[2:]]
    assert without_port(pl.Series(hosts)).to_list() == found


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.9:51206", "203.0.113.9"),
        ("[2001:db8::1]:51206", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("203.0.113.9:51206 ,10.0.0.1", "203.0.113.9"),
        ("::ffff:203.0.113.9, 10.0.0.1", "::ffff:203.0.113.9"),
        ("Smith, John", "Smith, John"),
        ("bob:12", "bob:12"),
        ("cafe:1, x", "cafe:1, x"),
        (None, None),
    ],
)
def test_of_addresses_the_first_is_the_client_without_its_port(
    address: str | None, client: str | None
) -> None:
    assert clients(pl.Series([address, "a:b"]))[0] == client


@pytest.mark.parametrize(
    "name", ["host", "http_host", "{Host}i", "cs(Host)", "requestHost", "vhost", ":authority"]
)
def test_fields_of_hosts_are_known_by_their_name(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize("name", ["hostile", "ghost", "ClientHost", "remoteHost", "user", "requestHosted"])
def test_other_fields_are_none_of_hosts(name: str) -> None:
    assert not is_host(name)
