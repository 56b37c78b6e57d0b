from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats import open_format
from tailmetrics.formats.json.names import Naming, names_in
from tests.builders import format_options
from tests.formats.logs import unhurried

TIMES = pytest.mark.parametrize("times", [1, 300])
BY_NAME = {
    "caddy": ("ts", "status", "request.uri", {"msg": "handled request"}),
    "traefik-json": ("time", "DownstreamStatus", "RequestPath", {}),
    "ecs": ("@timestamp", "http.response.status_code", "url.path", {}),
    "otel": ("timeUnixNano", "attributes.http.response.status_code", "attributes.url.path", {}),
    "json": ("timestamp", "status_code", "path", {}),
}


def line_of(name: str, others: dict[str, object]) -> str:
    """A line of the format, with dots in keys for objects in objects."""
    time, status, path, rest = BY_NAME[name]
    found: dict[str, object] = {}
    for key, value in {time: 1727740801, status: 200, path: "/a", **rest, **others}.items():
        inner, *keys = key.split(".")
        level = found
        while keys:
            level = level.setdefault(inner, {})  # type: ignore[assignment]
            inner = keys.pop(0)
        level[inner] = value
    return json.dumps(found)


def customers(name: str, lines: list[str], **settings: object) -> list[str]:
    data = "".join(f"{line}\n" for line in lines).encode()
    parsed = open_format(format_options(name, **settings)).parse(data, 0)
    assert parsed.records.height + parsed.rejects.height == len(lines)
    return parsed.records["customer_id"].to_list()


@TIMES
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("caddy", "request.remote_addr"),
        ("traefik-json", "ClientHost"),
        ("ecs", "client.address"),
        ("ecs", "source.address"),
        ("otel", "attributes.client.address"),
        ("json", "customer_id"),
    ],
)
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9:51206", "203.0.113.9"),
        ("[2001:db8::1]:51206", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("203.0.113.9, 127.0.0.1", "203.0.113.9"),
        ("203.0.113.9:51206,10.0.0.1", "203.0.113.9"),
        ("2001:db8::1, 10.0.0.1", "2001:db8::1"),
    ],
)
def test_an_address_has_no_port_and_of_several_it_is_the_first(
    name: str, key: str, address: str, expected: str, times: int
) -> None:
    assert customers(name, [line_of(name, {key: address})] * times) == [expected] * times


@TIMES
@pytest.mark.parametrize("customer", ["acme:12", "Smith, John", "cafe:1, bar", "a,b", "12:30:45.5"])
def test_what_is_no_address_stays_whole(customer: str, times: int) -> None:
    assert customers("json", [line_of("json", {"customer_id": customer})] * times) == [customer] * times


@TIMES
@pytest.mark.parametrize(
    "key", ["host", "http_host", "req.headers.host", "requestHost", "vhost", ":authority"]
)
def test_a_key_that_is_called_as_a_host_has_no_port(key: str, times: int) -> None:
    lines = [line_of("json", {key: "shop.example:8443"})] * times
    assert customers("json", lines, log_customer=key) == ["shop.example"] * times
    mapped = f"timestamp=timestamp,customer_id=user|{key},path=path,status_code=status_code"
    assert customers("json", lines, log_json_fields=mapped) == ["shop.example"] * times


@TIMES
@pytest.mark.parametrize("before", ["", "/{customer}/x,"])
@pytest.mark.parametrize(
    "keys",
    [
        ("traefik-json", "request_X-Forwarded-For", "ClientHost"),
        ("json", "http_x_forwarded_for", "customer_id"),
        ("json", "req.xForwardedFor", "customer_id"),
    ],
)
@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("198.51.100.7, 10.0.0.1", "198.51.100.7"),
        ("198.51.100.7:80, 10.0.0.1", "198.51.100.7"),
        ("client.example, 10.0.0.1", "client.example"),
        ("-, 10.0.0.1", "192.0.2.1"),
        (", 10.0.0.1", "192.0.2.1"),
        ("-", "192.0.2.1"),
    ],
)
def test_the_first_that_a_request_was_forwarded_for_is_the_customer(
    keys: tuple[str, str, str], forwarded: str, expected: str, before: str, times: int
) -> None:
    name, key, other = keys
    lines = [line_of(name, {key: forwarded, other: "192.0.2.1:80"})] * times
    found = customers(name, lines, log_customer=f"{before}{key},{other}")
    assert found == [expected] * times


@TIMES
@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("request.headers.X-Tenant", ["acme"], ["acme"]),
        ("request.headers.X-Tenant", ["-"], ["h"]),
        ("request.headers.X-Tenant", ["a", "b"], []),
        ("request.headers.X-Tenant", [7], []),
        ("request.headers.X-Forwarded-For", ["198.51.100.7, 10.0.0.1"], ["198.51.100.7"]),
        ("request.headers.X-Forwarded-For", ["198.51.100.7", "10.0.0.1"], ["198.51.100.7"]),
        ("request.headers.Host", ["shop.example:80"], ["shop.example"]),
    ],
)
def test_a_header_in_an_array_is_the_customer(
    key: str, value: list[object], expected: list[str], times: int
) -> None:
    line = line_of("caddy", {key: value, "request.host": "h"})
    assert customers("caddy", [line] * times, log_customer=f"{key},host") == expected * times


@TIMES
def test_a_host_that_is_but_a_port_behind_nothing_tells_nobody(times: int) -> None:
    line = line_of("caddy", {"request.host": "-:80", "request.client_ip": "192.0.2.1"})
    assert customers("caddy", [line] * times) == ["192.0.2.1"] * times


_PARTS = st.sampled_from([*"-,:[]. a1", "203.0.113.9", "2001:db8::1", ":80", ", ", '"', "\\", "é", "\x01"])
_NAMES = st.lists(_PARTS, max_size=6).map("".join)


@unhurried
@given(_NAMES, st.sampled_from(["host", "x-forwarded-for", "tenant"]), st.booleans())
def test_many_lines_of_a_shape_have_the_customers_of_one(name: str, key: str, is_array: bool) -> None:
    line = line_of("json", {key: [name] if is_array else name, "other": "o"})
    [*alone] = customers("json", [line], log_customer=f"{key},other")
    assert customers("json", [line] * 150, log_customer=f"{key},other") == alone * 150


def test_names_without_a_mark_are_not_looked_at() -> None:
    texts = pl.Series(["acme", None, "203.0.113.9"])
    assert names_in(texts, Naming(is_host=True, is_list=True)) is texts
