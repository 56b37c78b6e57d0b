"""Commits: what is left of one that failed, and of a process that was killed."""

from __future__ import annotations

import random
import signal
import subprocess
from typing import Any

import duckdb
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb.positions import Positions
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import LINE_BYTES, batch_of, moved, source_of
from tests.paths import ROOT
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import ONE, program


class TestFailures:
    def test_a_full_disk_is_an_outage_after_which_writing_goes_on(self, settings: Settings) -> None:
        body = """
            import resource, signal
            from tailmetrics.errors import StoreUnavailable
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            source = store.register(source_of())
            lines = [(at("2024-10-10"), str(number), "/" * number, 200, 0.1) for number in range(2000)]
            batch = batch_of(source, lines)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
            try:
                store.write([batch])
            except StoreUnavailable as error:
                print(type(error).__name__, store.position(source.source_id))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            store.write([batch])
            print(store.position(source.source_id) == batch.checkpoint.position)
            store.close()
        """
        command = [*program(body), str(settings.store.path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines() == ["StoreUnavailable 0", "True"]

    def test_a_checkpoint_that_finds_no_room_is_an_outage_that_ends_with_room(
        self, settings: Settings
    ) -> None:
        body = """
            import asyncio, random, resource, signal
            from tailmetrics.errors import StoreUnavailable
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

            def write(source, number):
                chance = random.Random(number)
                paths = [f"/{chance.getrandbits(400):x}" for _ in range(number)]
                batch = batch_of(source, [(at("2024-10-10"), "a", path, 200, 0.1) for path in paths])
                store.write([batch])
                return moved(source, batch)

            source = write(store.register(source_of()), 50_000)
            store._writer._compactor.close()  # what it would do is done here
            checkpoint = store._writer._compactor._vacuum.checkpoint
            checkpoint()
            source = write(source, 20_000)
            everything = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (store._file.size() + 1000, everything[1]))
            try:
                checkpoint()
            except StoreUnavailable as error:
                print("opened anew" in str(error))
            resource.setrlimit(resource.RLIMIT_FSIZE, everything)
            print(asyncio.run(store.span()) is not None)
            print(asyncio.run(store.status()).records, store.position(source.source_id) == source.position)
            store._writer._compactor._vacuum.checkpoint()
            write(source, 10)
            print(asyncio.run(store.status()).records)
            store.close()
        """
        command = [*program(body), str(settings.store.path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.splitlines() == ["True", "True", "70000 True", "70010"], done.stderr

    def test_a_database_that_duckdb_has_given_up_is_opened_anew(
        self, settings: Settings, ask: Ask[Any]
    ) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        source = store.register(source_of())
        first = batch_of(source, ONE)
        store.write([first])
        version = ask(store.status()).version
        store._file.invalidated = "a fatal error"  # what a fatal error of DuckDB leaves
        store.write([batch_of(moved(source, first), ONE)])
        status = ask(store.status())
        store.close()
        assert status.records == 2
        assert status.version != version

    def test_a_commit_that_was_made_although_it_failed_is_known(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        batch = batch_of(store.register(source_of()), ONE)
        move = Positions.move

        def made_and_failed(positions: Positions, *arguments: Any) -> None:
            move(positions, *arguments)
            positions._connection.commit()
            raise duckdb.FatalException("lost")

        with monkeypatch.context() as patch:
            patch.setattr(Positions, "move", made_and_failed)
            with pytest.raises(StoreUnavailable):
                store.write([batch])
        position = store.position(batch.source_id)
        store.close()
        assert position == batch.checkpoint.position


@pytest.mark.slow
class TestCrashes:
    def test_kill_leaves_each_line_once(self, settings: Settings, ask: Ask[Any]) -> None:
        """Positions and records agree after each kill, and nothing that was committed is lost."""
        body = """
            source = store.register(source_of())
            while True:
                batch = batch_of(source, [(at("2024-10-10"), "a", "/", 200, 0.1)] * 50, rejects=[("r", "l")])
                store.write([batch])
                source = moved(source, batch)
                print(source.position, flush=True)
        """
        chance = random.Random(1)  # the same moments in each run
        for _ in range(5):
            command = [*program(body), str(settings.store.path)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                for _ in range(chance.randint(1, 40)):
                    committed = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
            store = open_store(settings)
            position = store.position(source_of().source_id)
            status = ask(store.status())
            store.close()
            assert position is not None
            assert position >= committed
            assert (status.records, status.rejects) == (
                position // LINE_BYTES * 50 // 51,
                position // LINE_BYTES // 51,
            )
