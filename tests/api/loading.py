"""A service whose dataflow reads nothing, to send loads to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tailmetrics.api.app import create_app
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

LOG = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"


@contextmanager
def service(
    folder: Path, store: Store, ingestion: FakeIngestion | None, **changes: object
) -> Iterator[httpx.Client]:
    with serving(create_app(settings_in(folder, **changes), store, ingestion, Metrics())) as client:
        client.params = httpx.QueryParams(wait="true")
        yield client
