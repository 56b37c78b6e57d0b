"""The dataflow in a running service: restarted when it crashes, given up when that does not help."""

from __future__ import annotations

import gzip
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tailmetrics.errors import PositionConflict, StoreError, StoreRefused, StoreUnavailable
from tailmetrics.ingest import supervisor as ingestion_module
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch, Chunk, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.tailing import Tailer
from tailmetrics.telemetry.metrics import Metrics
from tests.api.fakes import LIVE_SOURCE
from tests.integration.running import await_that
from tests.tailing.following import append, numbered

WAIT_SECONDS = 20.0


class BrokenStore(InMemoryStore):
    """A store that breaks at command.

    Each write raises the next of `errors` if there is one; `always` is raised when there is none.
    """

    commit_lines = 1000

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.always: Exception | None = None
        self.lines = 0
        self.writes = 0

    def write(self, batches: Sequence[Batch]) -> None:
        self.writes += 1
        if self.errors:
            raise self.errors.pop(0)
        if self.always is not None:
            raise self.always
        super().write(batches)
        self.lines += sum(batch.parsed.lines for batch in batches)


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion_module, "_FIRST_RESTART_SECONDS", 0.01)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    append(tmp_path / "x.log", *numbered(0, 100))
    return load_settings(None, log_file_path=str(tmp_path / "x.log"), node_id="node")


@pytest.fixture
def store() -> BrokenStore:
    return BrokenStore()


@pytest.fixture
def given_up() -> threading.Event:
    return threading.Event()


@pytest.fixture
def ingestion(settings: Settings, store: BrokenStore, given_up: threading.Event) -> Iterator[Supervisor]:
    made = Supervisor(settings, store, Metrics(), on_give_up=given_up.set)
    yield made
    made.stop()


def test_a_crashed_dataflow_starts_again_and_reads_what_was_not_committed(ingestion, store):
    store.errors = [RuntimeError("boom") for _ in range(4)]
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)
    assert ingestion.state().name == "running"


def test_the_cause_of_the_last_crash_is_told(ingestion, store):
    store.errors = [RuntimeError("boom")]
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)
    assert ingestion.state().last_error == "RuntimeError: boom"


def test_five_crashes_in_a_row_are_the_end(ingestion, store, given_up):
    store.always = RuntimeError("boom")
    ingestion.start()
    assert given_up.wait(WAIT_SECONDS)
    assert (store.writes, ingestion.state().name, str(ingestion.failure)) == (5, "stopped", "boom")


def test_a_file_that_another_one_registered_meanwhile_is_looked_at_anew(ingestion, store):
    store.errors = [PositionConflict("source", 0, 54)]
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)
    assert ingestion.state().name == "running"


def test_an_error_that_waiting_does_not_help_is_the_end_at_once(ingestion, store, given_up):
    store.always = PositionConflict("source", 5, 7)
    ingestion.start()
    assert given_up.wait(WAIT_SECONDS)
    assert (store.writes, ingestion.state().name) == (1, "stopped")


def test_an_error_of_the_store_is_told_with_what_to_do_and_not_as_its_driver_said_it(
    ingestion, store, given_up
):
    store.always = StoreError("may not write; GRANT it")
    store.always.__cause__ = ValueError("denied")
    ingestion.start()
    assert given_up.wait(WAIT_SECONDS)
    assert (store.writes, ingestion.failure) == (1, store.always)


def test_a_store_that_is_away_at_start_is_waited_for(ingestion, store, monkeypatch):
    away = [StoreUnavailable("away", retry_after_seconds=0.01) for _ in range(3)]
    known = store.sources

    def sources(node_id: str) -> Sequence[Source]:
        if away:
            raise away.pop()
        return known(node_id)

    monkeypatch.setattr(store, "sources", sources)
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)


def test_while_the_store_is_away_the_state_says_so(ingestion, store):
    store.always = StoreUnavailable("no space left on the disk", retry_after_seconds=3600)
    ingestion.start()
    await_that(lambda: ingestion.state().store_error is not None, WAIT_SECONDS)
    assert ingestion.state().store_error == "no space left on the disk"


@pytest.mark.parametrize("what", ["sources", "write"])
def test_a_load_does_not_wait_for_a_store_that_refuses(tmp_path, store, monkeypatch, what):
    def refuse(*_: object) -> None:
        raise StoreRefused("the token may not")

    monkeypatch.setattr(store, what, refuse)
    append(tmp_path / "old.log", *numbered(0, 10))
    loading = Supervisor(load_settings(None, node_id="node"), store, Metrics(), follow=False)
    loading.start()
    job = loading.start_load(tmp_path / "old.log", "old.log", None)
    assert job.wait(WAIT_SECONDS)
    loading.stop()
    assert (job.progress().state, str(loading.failure)) == ("failed", "the token may not")


def test_a_store_that_may_not_be_written_is_told_before_there_are_lines_and_to_loads(
    tmp_path, store, monkeypatch
):
    refused = [StoreRefused("the token may not write")]

    def report(*_: object) -> None:
        if refused:
            raise refused[0]

    monkeypatch.setattr(store, "report", report)
    monkeypatch.setattr(ingestion_module, "_REPORT_SECONDS", 0.01)
    (tmp_path / "empty.log").touch()
    settings = load_settings(None, log_file_path=str(tmp_path / "empty.log"), node_id="node")
    ingestion = Supervisor(settings, store, Metrics())
    ingestion.start()
    await_that(lambda: ingestion.state().store_error == "the token may not write", WAIT_SECONDS)
    append(tmp_path / "old.log", *numbered(0, 10))
    with pytest.raises(StoreRefused, match="the token may not write"):
        ingestion.start_load(tmp_path / "old.log", "old.log", None)
    refused.clear()
    await_that(lambda: ingestion.state().store_error is None, WAIT_SECONDS)
    assert ingestion.start_load(tmp_path / "old.log", "old.log", None).wait(WAIT_SECONDS)
    ingestion.stop()


def test_a_load_that_a_crash_interrupted_is_begun_again(ingestion, store, tmp_path):
    append(tmp_path / "old.log", *numbered(100, 150))
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)
    store.errors = [RuntimeError("boom")]
    path = tmp_path / "old.log"
    assert ingestion.start_load(path, str(path), None).wait(WAIT_SECONDS)
    assert store.lines == 150


def test_a_load_of_a_log_that_another_processor_reads_fails_alone(ingestion, store, tmp_path):
    ingestion.start()
    await_that(lambda: store.lines == 100, WAIT_SECONDS)
    loaded = tmp_path / "loaded.log"
    append(loaded, *numbered(1000, 1050))

    def conflict(batches: Sequence[Batch]) -> None:
        for batch in batches:
            if batch.path == str(loaded):
                raise PositionConflict(batch.source_id, 7, 54, "process 4711 on web-1")

    store.before_write = conflict
    job = ingestion.start_load(loaded, str(loaded), None)
    assert job.wait(WAIT_SECONDS)
    assert job.progress().state == "failed"
    assert "process 4711 on web-1 reads this source" in str(job.progress().error)
    append(tmp_path / "x.log", *numbered(100, 150))
    await_that(lambda: store.lines == 150, WAIT_SECONDS)
    assert ingestion.state().name == "running"


def test_a_load_in_a_format_whose_settings_cannot_be_used_fails_alone(ingestion, tmp_path):
    append(tmp_path / "upload", *numbered(0, 3))
    ingestion.start()
    wrong, right = (ingestion.start_load(tmp_path / "upload", "x", name) for name in ("regex", None))
    right.wait(WAIT_SECONDS)
    assert "LOG_REGEX: found ''" in (wrong.progress().error or "")
    assert (right.progress().state, ingestion.state().name) == ("done", "running")


def test_a_load_of_a_dataflow_that_ended_fails(ingestion, tmp_path):
    ingestion.start()
    ingestion.stop()
    job = ingestion.start_load(tmp_path / "x.log", "x.log", None)
    assert job.progress().error == "the dataflow has stopped"


def test_a_load_tells_of_all_its_lines_after_a_crash_in_the_middle(tmp_path, store, monkeypatch):
    append(tmp_path / "finished.log", *numbered(0, 5000))
    write = store.write

    def crash_once(batches: Sequence[Batch]) -> None:
        if store.writes == 2:
            store.writes += 1
            raise RuntimeError("boom")
        write(batches)

    monkeypatch.setattr(store, "write", crash_once)
    settings = load_settings(
        None, node_id="node", stream_max_size=1000, chunk_bytes=50_000, max_line_bytes=99
    )
    ingestion = Supervisor(settings, store, Metrics(), follow=False)
    ingestion.start()
    job = ingestion.start_load(tmp_path / "finished.log", "finished.log", None)
    assert job.wait(WAIT_SECONDS)
    ingestion.stop()
    assert (job.progress().state, job.progress().records, store.lines) == ("done", 5000, 5000)


NGINX_LINE = '203.0.113.9 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.5" 250'


@pytest.mark.parametrize("name", ["shop.log", "shop.log.1", "shop.log.2.gz"])
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_load_is_read_as_the_settings_say_for_its_path(tmp_path, store, monkeypatch, name, is_sent):
    durations = []

    def write(batches: Sequence[Batch]) -> None:
        for batch in batches:
            durations.extend(batch.parsed.records["duration"])

    monkeypatch.setattr(store, "write", write)
    sources = tmp_path / "sources.toml"
    sources.write_text(f'source = [{{path = "{tmp_path}/shop.log", format = "nginx", duration_unit = "ms"}}]')
    file = tmp_path / ("copy" if is_sent else name)
    line = f"{NGINX_LINE}\n".encode()
    file.write_bytes(gzip.compress(line) if name.endswith(".gz") else line)
    settings = load_settings(None, node_id="node", log_sources=str(sources), log_format="requests")
    ingestion = Supervisor(settings, store, Metrics(), follow=False)
    ingestion.start()
    path = str(tmp_path / name)
    job = ingestion.start_load(file, "copy" if is_sent else path, None, path if is_sent else None)
    assert job.wait(WAIT_SECONDS)
    ingestion.stop()
    assert (job.progress().rejects, durations) == (0, [0.25])


def test_a_format_that_is_named_wins_over_what_the_settings_say(tmp_path, store):
    append(tmp_path / "x.log", *numbered(0, 3))
    settings = load_settings(None, node_id="node", log_file_path=f"json={tmp_path}/x.log")
    ingestion = Supervisor(settings, store, Metrics(), follow=False)
    ingestion.start()
    path = tmp_path / "x.log"
    job = ingestion.start_load(path, str(path), "requests")
    assert job.wait(WAIT_SECONDS)
    ingestion.stop()
    assert (job.progress().records, job.progress().rejects) == (3, 0)


def test_that_nothing_is_left_to_say_of_a_source_is_reported(settings, store, monkeypatch):
    monkeypatch.setattr(ingestion_module, "_REPORT_SECONDS", 0.01)
    said: list[Sequence[SourceStatus]] = [[LIVE_SOURCE], [LIVE_SOURCE], []]
    supervisor = Supervisor(settings, store, Metrics())
    monkeypatch.setattr(supervisor, "sources", lambda: said.pop(0) if len(said) > 1 else said[0])
    reports: list[Sequence[SourceStatus]] = []
    monkeypatch.setattr(store, "report", lambda _, statuses: reports.append(statuses))
    supervisor.start()
    await_that(lambda: len(reports) == 2, WAIT_SECONDS)
    supervisor.stop()
    assert reports == [[LIVE_SOURCE], []]


def test_a_processor_that_ends_takes_back_what_it_said_of_its_sources(settings, store, monkeypatch):
    monkeypatch.setattr(ingestion_module, "_REPORT_SECONDS", 0.01)
    supervisor = Supervisor(settings, store, Metrics())
    reports: list[tuple[str, int]] = []
    monkeypatch.setattr(store, "report", lambda name, statuses: reports.append((name, len(statuses))))
    supervisor.start()
    await_that(lambda: ("node", 1) in reports, WAIT_SECONDS)
    supervisor.stop()
    assert reports[-1] == ("node", 0)


def _await_standstill(ingestion: Supervisor) -> None:
    before = ingestion.overdue_seconds()
    await_that(lambda: ingestion.overdue_seconds() > before + 0.2, WAIT_SECONDS)


def test_a_commit_that_does_not_return_is_a_standstill(ingestion, store, monkeypatch):
    entered, returns = threading.Event(), threading.Event()

    def hang(_: Sequence[Batch]) -> None:
        entered.set()
        returns.wait(WAIT_SECONDS)

    monkeypatch.setattr(store, "write", hang)
    ingestion.start()
    assert entered.wait(WAIT_SECONDS)
    _await_standstill(ingestion)
    returns.set()
    await_that(lambda: ingestion.overdue_seconds() < 0.2, WAIT_SECONDS)


def test_a_dataflow_that_does_not_turn_is_a_standstill(ingestion, monkeypatch):
    entered, returns = threading.Event(), threading.Event()

    def hang(*_: int) -> list[Chunk]:
        entered.set()
        returns.wait(WAIT_SECONDS)
        return []

    monkeypatch.setattr(Tailer, "next_chunks", hang)
    ingestion.start()
    assert entered.wait(WAIT_SECONDS)
    _await_standstill(ingestion)
    returns.set()
    await_that(lambda: ingestion.overdue_seconds() < 0.2, WAIT_SECONDS)


def test_to_wait_for_a_commit_that_works_is_no_standstill(tmp_path, store, monkeypatch):
    append(tmp_path / "x.log", *numbered(0, 5000))
    settings = load_settings(None, node_id="node", log_file_path=str(tmp_path / "x.log"), stream_max_size=10)
    settings = settings.model_copy(update={"chunk_bytes": 1000})
    returns = threading.Event()

    def work(_: Sequence[Batch]) -> None:
        while not returns.is_set():
            pass

    monkeypatch.setattr(store, "write", work)
    ingestion = Supervisor(settings, store, Metrics())
    ingestion.start()
    await_that(lambda: ingestion._run is not None, WAIT_SECONDS)
    inputs = ingestion._run.inputs
    await_that(lambda: inputs.overdue_seconds() > 0.3, WAIT_SECONDS)
    await_that(lambda: ingestion.overdue_seconds() < 0.1, WAIT_SECONDS)
    assert inputs.overdue_seconds() > 0.3
    returns.set()
    ingestion.stop()


def test_to_wait_for_a_store_that_is_away_is_no_standstill(ingestion, store):
    store.always = StoreUnavailable("away", retry_after_seconds=3600)
    ingestion.start()
    await_that(lambda: ingestion.state().store_error is not None, WAIT_SECONDS)
    assert ingestion.overdue_seconds() == 0.0


def test_a_dataflow_that_has_ended_stands_still_for_ever(ingestion):
    ingestion.start()
    ingestion.stop()
    assert ingestion.overdue_seconds() == math.inf
