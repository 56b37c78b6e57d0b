"""What several settings take."""

from __future__ import annotations

import pytest

from tailmetrics.settings.values import is_queue


@pytest.mark.parametrize(
    "pattern", ["amqp://host/?queue=x", "amqps:x", "ampq://host/", "user:password@host/?queue=x"]
)
def test_a_url_is_a_queue_also_one_with_a_mistake(pattern: str) -> None:
    assert is_queue(pattern)


@pytest.mark.parametrize("pattern", ["/var/log/*.log", "requests.log", "a@b.log", "C:x.log", "/a:b@c"])
def test_a_path_is_no_queue(pattern: str) -> None:
    assert not is_queue(pattern)
