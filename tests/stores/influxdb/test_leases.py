"""One processor a source: the first that lives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailmetrics.errors import SourceHeld, StoreUnavailable
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb import leases
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of, source_of
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


def test_what_a_processor_lets_go_of_is_taken_over_while_it_lives(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    store.write([batch_of(source, records(1))])
    store.release([source.source_id])
    second = InfluxDBStore(settings_of_stub(stub))
    moved = replace(source, checkpoint=batch_of(source, records(1)).checkpoint)
    second.write([batch_of(moved, records(1))])
    with pytest.raises(SourceHeld):
        store.write([batch_of(moved, records(1))])
    second.release([source.source_id])
    assert store.position(source.source_id) == second.position(source.source_id) == 2 * moved.position
    second.close()


def test_a_source_that_was_registered_only_is_let_go_of_too(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    store.release([source.source_id])
    second = InfluxDBStore(settings_of_stub(stub))
    second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == ["0"]


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


def test_while_another_processor_registers_sources_none_is_registered(
    stub: Stub, store: InfluxDBStore
) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    with store._writer._leases.claim():
        with pytest.raises(
            StoreUnavailable, match=r"process \d+ on .* registers sources at this moment"
        ) as told:
            second.register(source_of("another"))
        assert 0 < told.value.retry_after_seconds < 1
        assert second.position(source_of("another").source_id) is None
    assert second.register(source_of("another")).position == 0
    second.close()


def test_a_processor_that_ended_while_it_registered_sources_holds_up_nobody(
    stub: Stub, store: InfluxDBStore
) -> None:
    leases_of_first = store._writer._leases
    leases_of_first.begin()
    leases_of_first._say_claim(leases_of_first.me.as_text())
    store.close()
    second = InfluxDBStore(settings_of_stub(stub))
    assert second.register(source_of("another")).position == 0
    second.close()


def test_what_two_nodes_register_at_once_is_one_source(stub: Stub, store: InfluxDBStore) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    another = source_of("another")
    for opened, node_id in ((store, "one"), (second, "two")):
        opened.register(replace(another, node_id=node_id))
    second.close()
    assert sum(f"source={another.source_id} " in line for line in stub.lines("bucket_meta", "source,")) == 1
