from __future__ import annotations

import pytest

from tailmetrics.api.http import wrong_keys
from tailmetrics.api.http.wrong_keys import MOST_WRONG_KEYS, SECONDS_EACH, WrongKeys


def tried(address: str, times: int = MOST_WRONG_KEYS, now: float = 100.0) -> WrongKeys:
    wrong = WrongKeys()
    for number in range(times):
        wrong.add(address, b"%d" % number, now)
    return wrong


def test_an_address_waits_after_many_wrong_keys_and_no_other_does() -> None:
    wrong = tried("192.0.2.1")
    assert wrong.wait_seconds("192.0.2.1", 100.0) == SECONDS_EACH
    assert wrong.wait_seconds("192.0.2.2", 100.0) == 0


def test_few_wrong_keys_are_no_reason_to_wait() -> None:
    assert tried("192.0.2.1", MOST_WRONG_KEYS - 1).wait_seconds("192.0.2.1", 100.0) == 0


def test_waiting_ends() -> None:
    assert tried("192.0.2.1").wait_seconds("192.0.2.1", 100.0 + SECONDS_EACH) == 0


def test_the_same_wrong_key_again_is_no_new_guess() -> None:
    wrong = WrongKeys()
    for _ in range(1000):
        wrong.add("192.0.2.1", b"old", 100.0)
    assert wrong.wait_seconds("192.0.2.1", 100.0) == 0


def test_of_ipv6_a_network_waits() -> None:
    wrong = tried("2001:db8::1")
    assert wrong.wait_seconds("2001:db8::ffff", 100.0) > 0
    assert wrong.wait_seconds("2001:db8:0:1::1", 100.0) == 0


def test_two_addresses_of_ipv4_in_ipv6_are_two() -> None:
    assert tried("::ffff:192.0.2.1").wait_seconds("::ffff:192.0.2.2", 100.0) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "_MOST_ADDRESSES", 3)
    wrong = tried("192.0.2.1")
    for number in range(10, 13):
        wrong.add(f"192.0.2.{number}", b"key", 100.0)
    assert wrong.wait_seconds("192.0.2.1", 100.0) == 0
    assert len(wrong._tried) == 3
