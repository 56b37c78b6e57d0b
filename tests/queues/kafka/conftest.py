"""What all tests of topics share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Commands that a test runs in this process bind logging to its standard error."""
    yield
    structlog.reset_defaults()
