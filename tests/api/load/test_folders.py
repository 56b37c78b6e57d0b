from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest

from tailmetrics.stores import Store
from tests.api.conftest import LOG, service
from tests.api.fakes import FakeIngestion


@pytest.mark.parametrize("path", ["2024/a.log", "inside.log", "2024/../2024/a.log"])
def test_a_file_below_the_folder_is_loaded(
    below: httpx.Client, ingestion: FakeIngestion, folder: Path, path: str
) -> None:
    assert below.post("/load", params={"path": path, "format": "nginx"}).status_code == 200
    [load] = ingestion.loads
    assert (load.path, load.display_name, load.format_name) == (folder / "2024/a.log", "2024/a.log", "nginx")


def test_an_absolute_path_below_the_folder_is_one_too(
    below: httpx.Client, ingestion: FakeIngestion, folder: Path
) -> None:
    below.post("/load", params={"path": f"{folder}/2024/a.log"})
    assert ingestion.loads[0].display_name == "2024/a.log"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.log",
        "/etc/passwd",
        "outside.log",
        "up/secret.log",
        "2024",
        "pipe.log",
        "nothing.log",
        "a\0b",
        "~/x",
        ".",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_as_one_that_is_not_there(
    below: httpx.Client, ingestion: FakeIngestion, folder: Path, path: str
) -> None:
    response = below.post("/load", json={"path": path})
    [problem] = response.json()["errors"]
    assert (response.status_code, ingestion.loads) == (422, [])
    assert problem["expected"] == f"a file below {folder}, the setting LOAD_FOLDER"


def test_no_path_is_read_when_no_folder_is_set(loading: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(LOG)
    response = loading.post("/load", params={"path": "a.log"})
    assert (response.status_code, "LOAD_FOLDER" in response.json()["errors"][0]["expected"]) == (422, True)


def test_a_file_over_the_limit_is_413(
    tmp_path: Path, folder: Path, store: Store, ingestion: FakeIngestion
) -> None:
    (folder / "zeros.log").write_bytes(gzip.compress(b"\0" * 1_000_000))
    (folder / "zeros.log.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    (folder / "large.log").write_bytes(b"\n" * 10_001)
    with service(tmp_path, store, ingestion, load_folder=str(folder), load_max_bytes=10_000) as client:
        statuses = [
            client.post("/load", params={"path": path}).status_code
            for path in ("zeros.log.gz", "zeros.log", "large.log")
        ]
    assert (statuses, ingestion.loads) == ([413, 413, 413], [])
