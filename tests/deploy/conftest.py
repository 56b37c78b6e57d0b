"""Services behind what deploy/ has examples for."""

from __future__ import annotations

from tests.integration.conftest import new_service

__all__ = ["new_service"]
