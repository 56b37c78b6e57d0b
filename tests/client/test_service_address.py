"""Where a service answers."""

from __future__ import annotations

import socket

import pytest

from tailmetrics.client.service_address import ServiceAddress


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("shop.example", "http://shop.example:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104  # nothing is bound to it
        ("::", "http://[::1]:8000"),
        ("2001:db8::1", "http://[2001:db8::1]:8000"),
    ],
)
def test_a_service_on_all_addresses_is_reached_at_this_machine(host: str, url: str) -> None:
    assert ServiceAddress(host, 8000).url == url


def test_a_port_is_listened_at_while_it_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = ServiceAddress("127.0.0.1", listener.getsockname()[1])
        open_before = address.is_listened_at()
    assert (open_before, address.is_listened_at()) == (True, False)
