from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.status import IngestionState, LoadProgress
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LOG, service, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving


def test_the_body_is_loaded_under_its_name_and_format(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=LOG, params={"name": "requests.log", "format": "nginx"})
    (load,) = ingestion.loads
    assert (load.display_name, load.format_name, load.content) == ("requests.log", "nginx", LOG)


def test_the_path_that_a_sent_log_comes_from_goes_with_it(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=LOG, params={"origin": "/var/log/shop.log.1"})
    (load,) = ingestion.loads
    assert (load.display_name, load.format_name, load.origin) == ("upload", None, "/var/log/shop.log.1")


@pytest.mark.parametrize("origin", ["shop.log", "", "/x\0"])
def test_an_origin_that_is_no_absolute_path_is_refused(
    loading: httpx.Client, ingestion: FakeIngestion, origin: str
) -> None:
    assert loading.post("/load", content=LOG, params={"origin": origin}).status_code == 422
    assert ingestion.loads == []


def test_an_origin_without_a_log_that_is_sent_is_refused(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    assert loading.post("/load", params={"origin": "/x.log"}).status_code == 422
    assert ingestion.loads == []


def test_a_body_without_name_or_format(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    loading.post("/load", content=LOG)
    (load,) = ingestion.loads
    assert (load.display_name, load.format_name) == ("upload", None)


def test_a_body_in_many_pieces_is_one_log(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    loading.post("/load", content=(LOG * 1000 for _ in range(100)))
    assert ingestion.loads[0].content == LOG * 100_000


def test_the_answer_comes_when_the_lines_are_in(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.looks = 4
    ingestion.ended = LoadProgress("done", 540, 540, lines=10, records=7, rejects=2, blanks=1)
    counts = {"bytes": 540, "lines": 10, "records": 7, "rejects": 2, "blanks": 1}
    assert loading.post("/load", content=LOG).json() == {
        "files": [{"name": "upload", **counts, "already_loaded": False, "warning": None, "reasons": []}],
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


def test_without_a_body_and_with_queues_only_is_404_that_says_so(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    settings = settings_in(tmp_path).model_copy(update={"log_file_path": ("amqp://host/?queue=q",)})
    with serving(create_app(settings, store, ingestion, Metrics())) as client:
        assert "queues only" in client.post("/load").json()["detail"]


@pytest.mark.parametrize("as_form", [False, True])
def test_a_name_with_a_nul_is_refused(
    loading: httpx.Client, ingestion: FakeIngestion, *, as_form: bool
) -> None:
    if as_form:
        response = loading.post("/load", files={"file": ("x.log", LOG), "name": (None, "a\0.log")})
    else:
        response = loading.post("/load", content=LOG, params={"name": "a\0.log"})
    assert response.status_code == 422
    [problem] = response.json()["errors"]
    assert (problem["parameter"], problem["expected"]) == ("name", "text without control characters")
    assert ingestion.loads == []


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


def test_the_same_content_counts_once_however_it_comes(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_bytes(LOG)
    (folder / "b.log").write_bytes(LOG)
    (folder / "c.log.gz").write_bytes(gzip.compress(LOG))
    settings, metrics = settings_in(tmp_path, load_folder=str(folder)), Metrics()
    store = open_store(settings)
    ingestion = Supervisor(settings, store, metrics)
    ingestion.start()
    try:
        with serving(create_app(settings, store, ingestion, metrics)) as client:
            client.params = httpx.QueryParams(wait="true")
            answers = [
                client.post("/load", params={"path": "a.log"}),
                client.post("/load", params={"path": "b.log"}),
                client.post("/load", params={"path": "c.log.gz"}),
                client.post("/load", content=LOG),
                client.post("/load", content=gzip.compress(LOG), headers={"Content-Encoding": "gzip"}),
                client.post("/load", files={"file": ("d.log", LOG)}),
                client.post("/load", files={"file": ("e.log.gz", gzip.compress(LOG))}),
            ]
            client.params = httpx.QueryParams()
            total = client.get("/stats").json()["total_requests"]
    finally:
        ingestion.stop()
        store.close()
    already = [answer.json()["files"][0]["already_loaded"] for answer in answers]
    assert (already, total) == ([False, *[True] * 6], 1)


def test_a_form_needs_the_key_too(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> None:
    with service(tmp_path, store, ingestion, api_key="secret") as client:
        statuses = [
            client.post("/load", files={"file": ("x.log", LOG)}, headers=headers).status_code
            for headers in ({}, {"X-API-Key": "secret"})
        ]
    assert (statuses, len(ingestion.loads)) == ([401, 200], 1)
