from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.metrics import Metrics
from tailmetrics.settings import Settings
from tailmetrics.sources import IngestionState, LoadProgress
from tailmetrics.stores import Store
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

LOG = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"


@pytest.fixture
def ingestion() -> FakeIngestion:
    return FakeIngestion()


@contextmanager
def service(
    folder: Path, store: Store, ingestion: FakeIngestion | None, **changes: object
) -> Iterator[httpx.Client]:
    with serving(create_app(settings_in(folder, **changes), store, ingestion, Metrics())) as client:
        yield client


@pytest.fixture
def loading(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> Iterator[httpx.Client]:
    with service(tmp_path, store, ingestion) as client:
        yield client


def test_the_body_is_loaded_under_its_name_and_format(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=LOG, params={"name": "requests.log", "format": "nginx"})
    (load,) = ingestion.loads
    assert (load.display_name, load.format_name, load.content) == ("requests.log", "nginx", LOG)


def test_a_body_without_name_or_format(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    loading.post("/load", content=LOG)
    (load,) = ingestion.loads
    assert (load.display_name, load.format_name) == ("upload", None)


def test_a_body_in_many_pieces_is_one_log(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    loading.post("/load", content=(LOG * 1000 for _ in range(100)))
    assert ingestion.loads[0].content == LOG * 100_000


def test_the_upload_is_kept_with_the_data_while_it_is_loaded(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path
) -> None:
    loading.post("/load", content=LOG)
    path = ingestion.loads[0].path
    assert path.parent == tmp_path
    assert not path.exists()


def test_the_answer_comes_when_the_lines_are_in(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.looks = 4
    ingestion.ended = LoadProgress("done", 540, 540, lines=10, records=7, rejects=2, blanks=1)
    counts = {"bytes": 540, "lines": 10, "records": 7, "rejects": 2, "blanks": 1}
    assert loading.post("/load", content=LOG).json() == {
        "files": [{"name": "upload", **counts, "already_loaded": False}],
        "totals": counts,
    }


def test_a_log_that_is_in_already_is_said(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.ended = LoadProgress("done", 540, 540, already_loaded=True)
    assert loading.post("/load", content=LOG).json()["files"][0]["already_loaded"] is True


def test_without_a_body_the_configured_files_are_loaded(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path
) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(LOG)
    answer = loading.post("/load").json()
    paths = [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    assert [file["name"] for file in answer["files"]] == paths
    assert [str(load.path) for load in ingestion.loads] == paths
    assert answer["totals"]["lines"] == 2


def test_without_a_body_and_without_files_is_404(loading: httpx.Client) -> None:
    response = loading.post("/load")
    assert response.status_code == 404
    assert "*.log: no file matches" in response.json()["detail"]


@pytest.mark.parametrize("parameter", ["name", "format"])
def test_parameters_of_a_body_need_one(loading: httpx.Client, parameter: str) -> None:
    response = loading.post("/load", params={parameter: "requests"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == parameter


def test_a_load_that_failed_says_why(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.ended = LoadProgress("failed", error="LOG_REGEX: found '', expected a pattern")
    response = loading.post("/load", content=LOG, params={"name": "x.log"})
    assert response.status_code == 422
    assert response.json()["detail"] == "x.log: LOG_REGEX: found '', expected a pattern"


def test_a_dataflow_that_stops_meanwhile_is_503(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.looks = 1_000_000
    ingestion.current = IngestionState("stopped")
    response = loading.post("/load", content=LOG)
    assert (response.status_code, "nothing counts twice" in response.json()["detail"]) == (503, True)


def test_a_process_without_dataflow_says_what_to_run(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, store, None) as client:
        response = client.post("/load", content=LOG)
    assert (response.status_code, "tailmetrics load" in response.json()["detail"]) == (503, True)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion, announced: bool
) -> None:
    content = LOG * 3 if announced else (LOG for _ in range(3))
    with service(tmp_path, store, ingestion, load_max_bytes=2 * len(LOG)) as client:
        response = client.post("/load", content=content)
    assert (response.status_code, ingestion.loads) == (413, [])
    assert list(tmp_path.iterdir()) == []


def test_a_body_of_just_the_limit_is_taken(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> None:
    with service(tmp_path, store, ingestion, load_max_bytes=len(LOG)) as client:
        assert client.post("/load", content=LOG).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Encoding": "gzip"}]
)
def test_a_body_that_is_not_the_log_itself_is_415(loading: httpx.Client, headers: dict[str, str]) -> None:
    assert loading.post("/load", content=LOG, headers=headers).status_code == 415


def test_an_upload_left_by_a_killed_process_is_removed_at_start(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    settings: Settings = settings_in(tmp_path)
    with serving(create_app(settings, store, ingestion, Metrics())) as client:
        client.post("/load", content=LOG)
    left = ingestion.loads[0].path
    left.write_bytes(LOG)
    create_app(settings, store, ingestion, Metrics())
    assert not left.exists()
