from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.customers import chosen, without_port

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
