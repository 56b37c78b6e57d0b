"""POST /backup: the store's file over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
from structlog.testing import capture_logs

from tailmetrics.api.app import create_app
from tailmetrics.stores import Store, backup, open_store
from tailmetrics.stores.base import Contents
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import ODD_IDS, service, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.integration.running import await_that


def test_the_file_that_is_sent_is_a_whole_store(client: httpx.Client, tmp_path: Path) -> None:
    response = client.post("/backup")
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith('attachment; filename="tailmetrics-')
    (tmp_path / "copy").write_bytes(response.content)
    contents = backup.check(settings_in(tmp_path), tmp_path / "copy")
    assert contents == Contents(8, 4 + len(ODD_IDS), 2, 2)


def test_a_client_that_leaves_ends_its_backup(client: httpx.Client) -> None:
    with client.stream("POST", "/backup") as response:
        assert response.status_code == 200
    await_that(lambda: client.post("/backup").status_code == 200, 30.0)


def test_it_needs_the_key_and_no_page_of_another_origin_may_ask(
    tmp_path: Path, store: Store, client: httpx.Client
) -> None:
    with service(tmp_path, store, FakeIngestion(), api_key="secret") as guarded:
        guarded.params = httpx.QueryParams()
        assert guarded.post("/backup").status_code == 401
        with capture_logs() as logged:
            assert guarded.post("/backup", headers={"X-API-Key": "secret"}).status_code == 200
        assert {"event": "backup begun", "key": "API_KEY", "log_level": "info"}.items() <= logged[0].items()
    assert client.post("/backup", headers={"Origin": "http://evil.example"}).status_code == 403


def test_while_another_one_is_taken_it_is_refused_for_now(client: httpx.Client, store: Store) -> None:
    with store.copying():  # type: ignore[attr-defined]  # the store of these tests is a DuckDB file
        response = client.post("/backup")
    assert response.status_code == 503
    assert "is being made already" in response.json()["detail"]


def test_an_sqlite_file_is_copied_where_it_is(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, store_url=f"sqlite:///{tmp_path}/store.sqlite")
    store = open_store(settings)
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        response = client.post("/backup")
    store.close()
    assert response.status_code == 409
    assert "`tailmetrics backup FILE` where that file is" in response.json()["detail"]
