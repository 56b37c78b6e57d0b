"""What all tests share: the marks of what they need, and database servers that run as long as they do."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import servers
from tests.kafka import Kafka, shared
from tests.paths import ROOT

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

# How long an example takes is the machine's matter.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# What starts a server or a browser, by the name of a fixture or of a store that a test is run with.
NEEDS = {
    "servers": {
        "alertmanager",
        "broker",
        "clickhouse",
        "kafka",
        "mariadb",
        "postgresql",
        "postgresql-summarized",
        "influxdb",
    },
    "browser": {"browser"},
}


# Whose tests have a mark all together; they are not even imported by a run that leaves the mark out.
MARKED = {
    ROOT / "tests/api/http/test_openapi_answers.py": "slow",  # whose cases take seconds to be collected
    ROOT / "tests/browser": "browser",
    ROOT / "tests/faults": "slow",  # here and below processes are started, one after the other
    ROOT / "tests/integration": "slow",
    ROOT / "tests/stack": "slow",
}

# The contract once more: of DuckDB in its way of writing a bulk, of PostgreSQL with blocks made of all.
SLOW_STORES = {"duckdb-numbered", "postgresql-summarized"}


def _used_by(item: pytest.Item) -> set[str]:
    """The fixtures of a test, and the stores among its parameters."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[object]:
    """A service that a test began within its process leaves its handlers of signals, as it would then end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    result = yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays to the end: no garbage is looked for in it, now or later."""
    gc.disable()
    result = yield
    gc.enable()
    gc.freeze()
    return result


def pytest_unconfigure() -> None:
    # Or some libraries complain at the end about objects of theirs that are left.
    gc.unfreeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    mark = MARKED.get(collection_path)
    return True if mark and f"not {mark}" in config.getoption("markexpr") else None


def pytest_collectstart(collector: pytest.Collector) -> None:
    if mark := MARKED.get(collector.path):
        collector.add_marker(mark)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        used = _used_by(item)
        if used & SLOW_STORES:
            item.add_marker("slow")
        for mark, names in NEEDS.items():
            if used & names:
                item.add_marker(mark)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    from tests.scheduling import LongestFirst  # noqa: PLC0415  # pytest rewrites plugins as it imports them

    return LongestFirst(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    servers.may_start = item.get_closest_marker("servers") is not None


def pytest_sessionfinish() -> None:
    gc.unfreeze()
    servers.stop_all()


@pytest.fixture
def kafka() -> Kafka:
    """The broker for all tests."""
    return shared()
