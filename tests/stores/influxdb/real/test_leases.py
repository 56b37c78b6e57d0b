"""Two processors of one source, whose leases a real InfluxDB keeps."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from tailmetrics.errors import SourceHeld, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch
from tailmetrics.stores.base import Note
from tailmetrics.stores.influxdb import leases
from tailmetrics.stores.influxdb.leases import Holder
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of, source_of
from tests.integration.running import await_that


class TestTwoProcessors:
    def test_the_second_is_refused_with_the_name_of_the_first(
        self, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        second = InfluxDBStore(settings)
        with pytest.raises(SourceHeld, match=r"is read by process \d+ on .*, which is alive"):
            second.write([batch_of(source, blanks=1)])
        second.close()

    def test_what_one_that_has_ended_held_is_taken_over(
        self, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        store.close()
        second = InfluxDBStore(settings)
        second.write([batch_of(source, blanks=1)])
        assert second.position(source.source_id) == 1
        second.close()

    @pytest.fixture
    def elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A processor of whose machine nothing is known here."""
        here = Holder.here()
        monkeypatch.setattr(Holder, "here", lambda: replace(here, machine="elsewhere", host="elsewhere"))
        monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
        monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)

    def test_one_that_lives_on_another_machine_is_found_out_by_what_it_says(
        self, elsewhere: None, settings: Settings, store: InfluxDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = store.register(source_of())
        monkeypatch.undo()
        second = InfluxDBStore(settings)
        with pytest.raises(SourceHeld, match="on elsewhere"):
            write_when_possible(second, batch_of(source, blanks=1))
        second.close()

    def test_one_that_died_on_another_machine_is_waited_for_and_then_taken_over(
        self, elsewhere: None, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        store._writer._leases._ending.set()  # it says nothing more, not even that it ends
        second = InfluxDBStore(settings)
        write_when_possible(second, batch_of(source, blanks=1))
        assert second.position(source.source_id) == 1
        second.close()


def write_when_possible(store: InfluxDBStore, batch: Batch) -> None:
    await_that(lambda: was_written(store, batch), 20)


def was_written(store: InfluxDBStore, batch: Batch) -> bool:
    with contextlib.suppress(StoreUnavailable):
        store.write([batch])
        return True
    return False


def test_of_processes_that_keep_a_note_at_once_one_is_the_quickest(settings: Settings) -> None:
    async def keep_all() -> list[bool]:
        return await asyncio.gather(
            *(store.keep_note("lease", str(at), 0) for at, store in enumerate(stores))
        )

    stores = [InfluxDBStore(settings) for _ in range(4)]
    kept = asyncio.run(keep_all())
    found = asyncio.run(stores[0].note("lease"))
    for store in stores:
        store.close()
    assert sorted(kept) == [False] * 3 + [True]
    assert found == Note(1, str(kept.index(True)))
