"""Live statistics per customer from growing log files, each line counted exactly once.

In Python, `tailmetrics.open` connects to a service or opens a store, and answers with Polars frames;
`tailmetrics.read_log` and `tailmetrics.read_rejects` read a log without a store. Errors are those of
`tailmetrics.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailmetrics import errors
    from tailmetrics.client.connection import Connection
    from tailmetrics.client.logs import read_log, read_rejects
    from tailmetrics.client.opening import open  # noqa: A004  # tailmetrics.open

__all__ = ["Connection", "__version__", "errors", "open", "read_log", "read_rejects"]
__version__ = "0.1.0"

# Imported when they are first used: the start of a command does not wait for them.
_MODULES = {
    "Connection": "client.connection",
    "open": "client.opening",
    "read_log": "client.logs",
    "read_rejects": "client.logs",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("tailmetrics.errors")
    if name in _MODULES:
        return getattr(importlib.import_module(f"tailmetrics.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'tailmetrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
