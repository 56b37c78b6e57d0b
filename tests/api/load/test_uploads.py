from __future__ import annotations

import errno
import gzip
import os
import resource
import tempfile
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.settings import Settings
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LOG, service, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.compressing import COMPRESS, NAMES, each_suffix, tarred, zipped


def test_the_upload_is_kept_with_the_data_while_it_is_loaded(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path
) -> None:
    loading.post("/load", content=LOG)
    path = ingestion.loads[0].path
    assert path.parent == tmp_path
    assert not path.exists()


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


def test_an_upload_left_by_a_killed_process_is_removed_at_start(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    settings: Settings = settings_in(tmp_path)
    with serving(create_app(settings, store, ingestion, Metrics())) as client:
        client.post("/load", content=LOG, params={"wait": "true"})
    left = ingestion.loads[0].path
    left.write_bytes(LOG)
    create_app(settings, store, ingestion, Metrics())
    assert not left.exists()


@each_suffix
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "{}"},
        {"Content-Type": "application/{}"},
        {"Content-Type": "application/x-{}"},
        {},
    ],
    ids=["by its encoding", "by its type", "by its unregistered type", "by its content"],
)
def test_a_compressed_body_is_decompressed(
    loading: httpx.Client, ingestion: FakeIngestion, headers: dict[str, str], suffix: str
) -> None:
    packed = COMPRESS[suffix]
    body = packed(LOG * 5) + packed(LOG * 50_000) + bytes(100)
    said = {name: value.format(NAMES[suffix]) for name, value in headers.items()}
    loading.post("/load", content=body, params={"name": "x.log"}, headers=said)
    [load] = ingestion.loads
    assert (load.content == LOG * 50_005, load.display_name) == (True, "x.log")


@pytest.mark.parametrize("content", [zipped(LOG), tarred(LOG), COMPRESS[".gz"](tarred(LOG))])
def test_a_body_that_holds_no_lines_is_415(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, content: bytes
) -> None:
    response = loading.post("/load", content=content)
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (415, [], [])
    assert " archive, expected lines" in response.json()["detail"]


def test_a_compressed_body_that_holds_nothing_is_an_empty_log(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=gzip.compress(b""), params={"name": "x.log"})
    assert [(load.display_name, load.content) for load in ingestion.loads] == [("x.log", b"")]


def test_lines_under_the_name_of_a_compressed_log_are_lines(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=LOG, params={"name": "x.log.gz"})
    assert ingestion.loads[0].content == LOG


@each_suffix
@pytest.mark.parametrize("damage", ["plain", "cut off", "with more behind it"])
def test_a_body_that_is_not_whole_is_400(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, suffix: str, damage: str
) -> None:
    packed = COMPRESS[suffix](LOG * 1000)
    body = {"plain": LOG, "cut off": packed[:-9], "with more behind it": packed + b"x"}[damage]
    response = loading.post("/load", content=body, headers={"Content-Encoding": NAMES[suffix]})
    assert f"found what is no whole {NAMES[suffix]} file" in response.json()["detail"]
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (400, [], [])


@each_suffix
def test_a_body_that_expands_beyond_the_limit_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion, suffix: str
) -> None:
    bomb = COMPRESS[suffix](bytes(50_000_000))
    with service(tmp_path, store, ingestion, load_max_bytes=1_000_000) as client:
        response = client.post("/load", content=bomb, headers={"Content-Encoding": NAMES[suffix]})
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (413, [], [])


@pytest.mark.parametrize("sent", ["body", "form"])
@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_body_that_expands_beyond_the_limit_in_the_end_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion, sent: str, times: int
) -> None:
    bomb = bytes(7_200_000)
    for _ in range(times):
        bomb = gzip.compress(bomb)
    with service(tmp_path, store, ingestion, load_max_bytes=1_000_000) as client:
        if sent == "body":
            response = client.post("/load", content=bomb, headers={"Content-Encoding": "gzip"})
        else:
            response = client.post("/load", files={"file": ("x.log.gz", bomb)})
    assert (response.status_code, ingestion.loads) == (413 if times == 2 else 415, [])
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_is_compressed_twice_is_decompressed_twice(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=gzip.compress(gzip.compress(LOG)))
    assert ingestion.loads[0].content == LOG


def test_a_compressed_body_without_end_and_content_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    nothing = gzip.compress(b"")
    with service(tmp_path, store, ingestion, load_max_bytes=1_000_000) as client:
        response = client.post("/load", content=(nothing * 1000 for _ in range(100)))
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (413, [], [])


def test_a_body_that_only_begins_a_little_like_a_gzip_is_lines(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    body = b"\x1f\x8bno gzip\n"
    loading.post("/load", content=body)
    assert ingestion.loads[0].content == body


@pytest.mark.parametrize(
    "case",
    [
        ("duckdb:///x.duckdb", "stop the service and run `tailmetrics load FILE`"),
        ("postgresql://u:p@localhost/x", "run `tailmetrics load --store-url URL FILE`"),
    ],
)
def test_what_is_too_large_names_the_setting_and_what_helps(
    tmp_path: Path,
    store: Store,
    ingestion: FakeIngestion,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, str],
) -> None:
    store_url, helps = case
    monkeypatch.chdir(tmp_path)
    with service(tmp_path, store, ingestion, load_max_bytes=100, store_url=store_url) as client:
        details = [
            client.post("/load", content=LOG * 5000).json()["detail"],
            client.post("/load", files={"file": ("x.log", LOG * 5000)}).json()["detail"],
        ]
    assert all("expected at most 100, the setting LOAD_MAX_BYTES; raise it" in detail for detail in details)
    assert all(helps in detail for detail in details)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, (507, "make room there")),
        (errno.EDQUOT, (507, "make room there")),
        (errno.EROFS, (503, "cannot be written to")),
        (errno.EACCES, (503, "cannot be written to")),
    ],
)
@pytest.mark.parametrize("as_form", [True, False])
def test_a_body_that_cannot_be_kept_is_refused_with_the_reason(
    loading: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: tuple[int, str],
    as_form: bool,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    response = loading.post("/load", files={"file": LOG}) if as_form else loading.post("/load", content=LOG)
    status, said = expected
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert f"({os.strerror(number)})" in response.json()["detail"]
    assert said in response.json()["detail"]


def test_nothing_is_left_of_a_body_for_which_the_room_ends(loading: httpx.Client, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        response = loading.post("/load", content=LOG * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert response.status_code == 507
    assert list(tmp_path.glob(".load-*")) == []
