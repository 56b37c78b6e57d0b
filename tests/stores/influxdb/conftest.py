"""A store whose server is a stub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tailmetrics.sources import Source
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import source_of
from tests.certificates import Certificates, made_in
from tests.stores.influxdb.stub import Stub, settings_of_stub, stub_server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as started:
        yield started


@pytest.fixture
def store(stub: Stub) -> Iterator[InfluxDBStore]:
    opened = InfluxDBStore(settings_of_stub(stub))
    yield opened
    stub.answers.clear()
    opened.close()


@pytest.fixture
def source(store: InfluxDBStore) -> Source:
    return store.register(source_of())
