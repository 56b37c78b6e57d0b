"""Long files begin first, and what shares brokers is in one process."""

from __future__ import annotations

import pytest

from tests import scheduling
from tests.paths import ROOT


@pytest.mark.parametrize("name", [*scheduling._SECONDS, *scheduling._WITH_BROKERS])
def test_what_is_scheduled_by_its_name_is_there(name: str) -> None:
    assert (ROOT / name).exists()
