"""Files and queues as one input; without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailmetrics.ingest.inputs import Inputs, known_sources
from tailmetrics.settings import load_settings
from tailmetrics.sources import LineChunk, Registration
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import source_of
from tests.tailing.following import append, numbered


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[Inputs]:
    append(tmp_path / "x.log", *numbered(0, 3))
    made = Inputs(load_settings(None, log_file_path=str(tmp_path / "x.log")), "node", ())
    yield made
    made.close()


def test_a_new_file_is_registered_before_its_lines_come(inputs: Inputs) -> None:
    assert [type(chunk) for chunk in inputs.next_chunks()] == [Registration, LineChunk]


def test_every_file_that_is_followed_has_a_status(inputs: Inputs, tmp_path: Path) -> None:
    inputs.next_chunks()
    assert [(status.path, status.state) for status in inputs.statuses()] == [(f"{tmp_path}/x.log", "live")]


def test_a_stop_is_told(inputs: Inputs) -> None:
    assert not inputs.is_stopped
    inputs.stop()
    assert inputs.is_stopped


def test_without_following_nothing_comes_of_the_files(tmp_path: Path) -> None:
    append(tmp_path / "x.log", *numbered(0, 3))
    inputs = Inputs(load_settings(None, log_file_path=str(tmp_path / "x.log")), "node", (), follow=False)
    assert (inputs.next_chunks(), inputs.leave_queues()) == ([], [])
    inputs.close()


def test_of_a_store_that_no_other_process_writes_to_all_files_are_of_this_node() -> None:
    store = InMemoryStore()
    sources = [store.register(source_of(name, node_id=name)) for name in ("one", "two")]
    assert known_sources(store, "three") == (sources, [])


def test_of_a_shared_store_those_of_other_nodes_are_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemoryStore()
    monkeypatch.setattr(store, "version_of", lambda _: None)
    one, two = [store.register(source_of(name, node_id=name)) for name in ("one", "two")]
    assert known_sources(store, "two") == ([two], [one])
