"""What can be opened, by whom, and what is said where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tailmetrics
from tailmetrics.errors import (
    ServiceError,
    SettingsError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    TailmetricsError,
)
from tailmetrics.ingest.load import load_files
from tailmetrics.settings import load_settings
from tailmetrics.stores import open_store
from tests.paths import DATA


def total(connection: tailmetrics.Connection) -> int:
    return int(connection.totals()["total_requests"].item())


def can_be_opened(store: Path) -> bool:
    """Whether the file is free for another one."""
    try:
        open_store(load_settings(None, store_url=f"duckdb:///{store}")).close()
    except StoreBusy:
        return False
    return True


@pytest.mark.parametrize("target", ["data/tailmetrics.duckdb", "duckdb:///data/tailmetrics.duckdb", None])
def test_a_store_is_opened_by_its_path_its_url_or_as_the_settings_say(target: str | None) -> None:
    with tailmetrics.open(target) as connection:
        assert total(connection) == 10_000


def test_a_path_may_be_one_of_pathlib(store: Path) -> None:
    with tailmetrics.open(store) as connection:
        assert repr(connection) == f"tailmetrics.open('duckdb:///{store}')"


def test_a_file_of_sqlite_is_told_by_its_content(folder: Path) -> None:
    settings = load_settings(None, store_url=f"sqlite:///{folder}/own.db", node_id="node")
    load_files(settings, [DATA / "messy.log"], lambda _: None)
    with tailmetrics.open("own.db") as connection:
        assert connection.rejects(limit=None).height == 26


def test_a_service_is_asked_at_its_url(address: str) -> None:
    with tailmetrics.open(f"{address}/") as connection:
        assert (total(connection), repr(connection)) == (10_000, f"tailmetrics.open({address!r})")


def test_without_a_target_the_service_that_runs_is_asked(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PORT", address.rpartition(":")[2])
    with tailmetrics.open() as connection:
        assert repr(connection) == f"tailmetrics.open({address!r})"


@pytest.mark.parametrize("keys", [{"api_read_key": "s3cret"}])
class TestServiceThatWantsAKey:
    def test_the_key_that_is_given_is_sent(self, address: str) -> None:
        with tailmetrics.open(address, key="s3cret") as connection:
            assert total(connection) == 10_000

    @pytest.mark.parametrize("setting", ["API_READ_KEY", "API_KEY"])
    def test_else_that_of_the_settings_is(
        self, address: str, monkeypatch: pytest.MonkeyPatch, setting: str
    ) -> None:
        monkeypatch.setenv(setting, "s3cret")
        with tailmetrics.open(address) as connection:
            assert total(connection) == 10_000

    @pytest.mark.parametrize("key", ["other", None])
    def test_without_it_the_service_refuses(self, address: str, key: str | None) -> None:
        with tailmetrics.open(address, key=key) as connection, pytest.raises(ServiceError) as refused:
            connection.stats()
        assert refused.value.status == 401 and "s3cret" not in str(refused.value)


def test_a_store_in_this_process_wants_no_key(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_READ_KEY", "s3cret")
    with tailmetrics.open(store) as connection:
        assert total(connection) == 10_000


def test_it_answers_while_an_event_loop_runs(store: Path) -> None:
    async def cell() -> int:
        with tailmetrics.open(store) as connection:
            return total(connection)

    assert asyncio.run(cell()) == 10_000


def test_opened_twice_it_is_open_until_both_are_closed(store: Path) -> None:
    first, second = tailmetrics.open(store), tailmetrics.open("data/tailmetrics.duckdb")
    first.close()
    first.close()
    assert (total(second), can_be_opened(store)) == (10_000, False)
    second.close()
    assert can_be_opened(store)


def test_a_connection_that_is_closed_says_so(store: Path) -> None:
    with tailmetrics.open(store) as other, tailmetrics.open(store) as connection:
        connection.close()
        with pytest.raises(StoreUnavailable, match="is closed"):
            connection.stats()
        assert total(other) == 10_000


def test_a_connection_that_nobody_has_any_more_is_closed(store: Path) -> None:
    connection = tailmetrics.open(store)
    connection = tailmetrics.open(store)
    assert total(connection) == 10_000
    del connection
    gc.collect()
    assert can_be_opened(store)


def test_a_process_that_leaves_it_open_ends(store: Path) -> None:
    code = f"import tailmetrics; store = tailmetrics.open({str(store)!r}); print(store.totals().height)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_store_that_is_held_names_the_service_to_ask(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PORT", address.rpartition(":")[2])
    with pytest.raises(StoreBusy, match=re.escape(f"tailmetrics.open({address!r})")):
        tailmetrics.open(folder / "service.duckdb")


def test_a_store_that_is_held_without_a_service_says_who_has_it(store: Path) -> None:
    settings = load_settings(None, store_url=f"duckdb:///{store}")
    with contextlib.closing(open_store(settings)), pytest.raises(StoreBusy, match="in this process already"):
        tailmetrics.open(store)


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("nowhere.duckdb", StoreUnavailable, "nowhere.duckdb cannot be opened: No such file"),
        ("duckdb:///nowhere.duckdb", StoreUnavailable, "there is no store at nowhere.duckdb"),
        (DATA / "requests-10k.log", StoreError, "found no store, .* tailmetrics.read_log"),
        ("ftp://host/x", SettingsError, "found 'ftp://host/x', expected a URL that begins with duckdb://"),
        ("http://127.0.0.1:9", ServiceError, "no service of tailmetrics answers at http://127"),
    ],
)
def test_what_cannot_be_opened_says_why(target: str | Path, error: type[TailmetricsError], text: str) -> None:
    with pytest.raises(error, match=text):
        tailmetrics.open(target)


def test_importing_the_package_imports_nothing_slow() -> None:
    code = "import sys, tailmetrics; dir(tailmetrics); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"click", "duckdb", "httpx", "polars", "pydantic"} & set(done.stdout.split())


def test_the_package_has_what_it_lists_and_nothing_else() -> None:
    assert all(getattr(tailmetrics, name) for name in tailmetrics.__all__)
    assert set(tailmetrics.__all__) <= set(dir(tailmetrics))
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        tailmetrics.opne  # type: ignore[attr-defined]  # noqa: B018  # what is not there
