from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tailmetrics.status import LoadProgress
from tests.api.conftest import LOG
from tests.api.fakes import FakeIngestion
from tests.integration.running import await_that


def test_without_wait_the_answer_is_a_job_that_tells_how_far_it_is(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path
) -> None:
    ingestion.looks = 1_000_000
    accepted = loading.post("/load", content=LOG, params={"wait": "false", "name": "x.log"})
    assert (accepted.status_code, accepted.json()["state"]) == (202, "running")
    job = accepted.json()["job"]
    assert accepted.headers["Location"] == f"/load/{job}"
    assert ingestion.loads[0].path.exists()
    ingestion.jobs[0].looks = 1
    await_that(lambda: state_of(loading, job)["state"] == "done", 10)
    found = state_of(loading, job)
    assert {name: found[name] for name in ("bytes", "lines", "records", "rejects", "error")} == {
        "bytes": 37,
        "lines": 1,
        "records": 1,
        "rejects": 0,
        "error": None,
    }
    assert [(file["name"], file["state"]) for file in found["files"]] == [("x.log", "done")]
    await_that(lambda: not ingestion.loads[0].path.exists(), 10)


def state_of(client: httpx.Client, job: str) -> dict[str, Any]:
    client.params = httpx.QueryParams()
    return client.get(f"/load/{job}").json()


def test_a_job_that_failed_says_why(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    ingestion.ended = LoadProgress("failed", error="damaged")
    job = loading.post("/load", content=LOG, params={"wait": "false"}).json()["job"]
    await_that(lambda: state_of(loading, job)["state"] == "failed", 10)
    assert state_of(loading, job)["error"] == "upload: damaged"


def test_an_unknown_job_is_404(loading: httpx.Client) -> None:
    loading.params = httpx.QueryParams()
    assert loading.get("/load/0123").status_code == 404
