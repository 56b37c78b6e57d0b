"""What all tests share: database servers that run as long as they do."""

from __future__ import annotations

from tests import servers


def pytest_sessionfinish() -> None:
    servers.stop_all()
