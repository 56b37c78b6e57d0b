"""One processor a source: the first that lives."""

from __future__ import annotations

import pytest

from tailmetrics.errors import SourceHeld, StoreUnavailable
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb import leases
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of
from tests.stores.influxdb.stub import Stub, settings_of_stub
from tests.stores.influxdb.writing import paths, records


def test_a_second_processor_of_a_source_is_refused_with_the_name_of_the_first(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(SourceHeld, match=r"is read by process \d+ on .*, which is alive"):
        second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == []


def test_what_a_processor_held_that_has_ended_is_taken_over(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    store.close()
    second = InfluxDBStore(settings_of_stub(stub))
    second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == ["0"]


def test_of_a_processor_on_another_machine_it_is_waited_whether_it_says_something(
    stub: Stub, store: InfluxDBStore, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases.Holder, "has_ended", lambda _: None)
    second = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreUnavailable, match="to see whether it lives"):
        second.write([batch_of(source, records(1))])
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.0)
    second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == ["0"]
