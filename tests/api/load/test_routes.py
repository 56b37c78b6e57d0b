from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings
from tailmetrics.status import IngestionState, LoadProgress
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.integration.running import await_that

LOG = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"


@pytest.fixture
def ingestion() -> FakeIngestion:
    return FakeIngestion()


@contextmanager
def service(
    folder: Path, store: Store, ingestion: FakeIngestion | None, **changes: object
) -> Iterator[httpx.Client]:
    with serving(create_app(settings_in(folder, **changes), store, ingestion, Metrics())) as client:
        client.params = httpx.QueryParams(wait="true")
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
    "headers", [{"Content-Type": "multipart/mixed; boundary=x"}, {"Content-Encoding": "br"}]
)
def test_a_body_that_is_not_the_log_itself_is_415(loading: httpx.Client, headers: dict[str, str]) -> None:
    assert loading.post("/load", content=LOG, headers=headers).status_code == 415


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of logs that may be loaded by their paths, with one log, links, and what is no log."""
    folder = tmp_path / "logs"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.log").write_bytes(LOG)
    (tmp_path / "secret.log").write_bytes(LOG)
    (folder / "outside.log").symlink_to(tmp_path / "secret.log")
    (folder / "up").symlink_to(tmp_path)
    (folder / "inside.log").symlink_to(folder / "2024" / "a.log")
    os.mkfifo(folder / "pipe.log")
    return folder


@pytest.fixture
def below(tmp_path: Path, folder: Path, store: Store, ingestion: FakeIngestion) -> Iterator[httpx.Client]:
    with service(tmp_path, store, ingestion, load_folder=str(folder)) as client:
        yield client


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
    "body",
    [
        {"json": {"path": "2024/a.log", "format": "nginx"}},
        {"data": {"path": "2024/a.log", "format": "nginx"}},
        {"files": {"path": (None, "2024/a.log"), "format": (None, "nginx")}},
    ],
)
def test_the_path_may_be_in_the_body(
    below: httpx.Client, ingestion: FakeIngestion, body: dict[str, Any]
) -> None:
    assert below.post("/load", **body).status_code == 200
    [load] = ingestion.loads
    assert (load.display_name, load.format_name) == ("2024/a.log", "nginx")


@pytest.mark.parametrize("pieces", [False, True])
def test_a_log_beside_a_path_is_refused(
    below: httpx.Client, ingestion: FakeIngestion, *, pieces: bool
) -> None:
    content = iter([LOG]) if pieces else LOG
    response = below.post("/load", content=content, params={"path": "a.log"})
    [problem] = response.json()["errors"]
    assert (response.status_code, problem["expected"]) == (422, "no path beside a log in the body")
    assert not ingestion.loads


@pytest.mark.parametrize(
    "body",
    [
        b'{"timestamp": 1, "path": "/cart", "customer_id": "a", "status_code": 200}',
        b"[1]",
        b'{"a": 1}\n{"a":',
    ],
)
def test_json_that_is_no_path_is_a_log(below: httpx.Client, ingestion: FakeIngestion, body: bytes) -> None:
    below.post("/load", content=body, headers={"Content-Type": "application/json"})
    assert ingestion.loads[0].content == body


@pytest.mark.parametrize("body", [b'{"path": ', b"{", b'\n{"path": "a.log"\n}}'])
def test_broken_json_is_400_unless_lines_may_look_like_that(
    below: httpx.Client, ingestion: FakeIngestion, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    response = below.post("/load", content=body, headers=headers)
    assert (response.status_code, "format=json" in response.json()["detail"], ingestion.loads) == (
        400,
        True,
        [],
    )
    below.post("/load", content=body, headers=headers, params={"format": "json"})
    assert ingestion.loads[0].content == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"json": {"path": "a.log", "wait": "maybe"}}, "wait: found 'maybe', expected true or false"),
        ({"json": {"path": "a.log", "wait": [1]}}, "wait: found '[1]', expected true or false"),
        ({"json": {"path": 5}}, "path: found '5', expected text"),
        ({"files": {"path": (None, "a.log"), "wait": (None, "maybe")}}, "wait: found 'maybe', expected true"),
        ({"data": {"path": "a" * 4097}}, "…', expected at most 4096 characters"),
    ],
)
def test_what_is_wrong_in_a_body_is_said_as_of_a_parameter(
    below: httpx.Client, body: dict[str, Any], expected: str
) -> None:
    response = below.post("/load", **body)
    assert (response.status_code, expected in response.json()["detail"]) == (422, True), response.json()


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
    (folder / "zeros.log.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    (folder / "large.log").write_bytes(b"\n" * 10_001)
    with service(tmp_path, store, ingestion, load_folder=str(folder), load_max_bytes=10_000) as client:
        statuses = [
            client.post("/load", params={"path": path}).status_code for path in ("zeros.log.gz", "large.log")
        ]
    assert (statuses, ingestion.loads) == ([413, 413], [])


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Content-Encoding": "gzip"}, "x.log"),
        ({"Content-Type": "application/gzip"}, "x.log"),
        ({}, "x.log"),
    ],
    ids=["by its encoding", "by its type", "by its content"],
)
def test_a_compressed_body_is_decompressed(
    loading: httpx.Client, ingestion: FakeIngestion, headers: dict[str, str], name: str
) -> None:
    body = gzip.compress(LOG * 5) + gzip.compress(LOG * 50_000) + bytes(100)
    loading.post("/load", content=body, params={"name": name}, headers=headers)
    [load] = ingestion.loads
    assert (load.content == LOG * 50_005, load.display_name) == (True, name)


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


@pytest.mark.parametrize(
    "body",
    [LOG, gzip.compress(LOG * 1000)[:-9], gzip.compress(LOG) + b"x"],
    ids=["plain", "cut off", "with more behind it"],
)
def test_a_body_that_is_no_whole_gzip_is_400(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, body: bytes
) -> None:
    response = loading.post("/load", content=body, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (400, [], [])


def test_a_body_that_expands_beyond_the_limit_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with service(tmp_path, store, ingestion, load_max_bytes=1_000_000) as client:
        response = client.post("/load", content=bomb, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (413, [], [])


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


# Forms


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("requests.log", "requests.log"),
        ("logs/2024/requests.log", "requests.log"),
        (r"C:\logs\requests.log", "requests.log"),
        ("köln.log", "köln.log"),
        ("x" * 300, "x" * 255),
        ("logs/", "upload"),
    ],
)
def test_the_file_of_a_form_is_loaded_under_its_name(
    loading: httpx.Client, ingestion: FakeIngestion, filename: str, name: str
) -> None:
    assert loading.post("/load", files={"whatever": (filename, LOG)}).status_code == 200
    [load] = ingestion.loads
    assert (load.display_name, load.format_name, load.content) == (name, None, LOG)


def test_a_form_loads_what_a_plain_body_does(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    log = b"\r\n--".join([LOG * 1000] * 100)
    loading.post("/load", content=log)
    loading.post("/load", files={"file": ("requests.log", log)})
    plain, form = ingestion.loads
    assert form.content == plain.content


def form_body(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    """A form of the boundary x; each part is its headers and its content."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


FORM_HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}
FILE_PART = b'Content-Disposition: form-data; name="file"; filename="x.log"\r\n\r\n' + LOG


def test_a_form_that_comes_byte_by_byte_is_the_same(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    body = form_body(FILE_PART, b"Content-Disposition: form-data; name=format\r\n\r\nnginx")
    pieces = (body[at : at + 1] for at in range(len(body)))
    loading.post("/load", content=pieces, headers=FORM_HEADERS)
    [load] = ingestion.loads
    assert (load.display_name, load.format_name, load.content) == ("x.log", "nginx", LOG)


@pytest.mark.parametrize("behind", [True, False], ids=["behind the file", "before the file"])
def test_fields_of_a_form_are_parameters(
    loading: httpx.Client, ingestion: FakeIngestion, behind: bool
) -> None:
    ingestion.looks = 1_000_000
    parts: list[Any] = [
        ("file", ("x.log", LOG)),
        ("name", (None, "y.log")),
        ("format", (None, "nginx")),
        ("wait", (None, "false")),
    ]
    response = loading.post("/load", files=parts if behind else parts[::-1])
    [load] = ingestion.loads
    assert (response.status_code, load.display_name, load.format_name) == (202, "y.log", "nginx")


def test_a_field_goes_before_the_parameter_of_its_name(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    parts: list[Any] = [("file", ("x.log", LOG)), ("format", (None, "nginx"))]
    loading.post("/load", files=parts, params={"format": "requests", "name": "y.log"})
    [load] = ingestion.loads
    assert (load.display_name, load.format_name) == ("y.log", "nginx")


def test_a_field_that_was_left_empty_is_none(loading: httpx.Client, ingestion: FakeIngestion) -> None:
    parts: list[Any] = [
        ("file", ("x.log", LOG)),
        *((name, (None, "")) for name in ("name", "format", "path")),
    ]
    assert loading.post("/load", files=parts).status_code == 200
    [load] = ingestion.loads
    assert (load.display_name, load.format_name) == ("x.log", None)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ([("format", "klingon")], "format"),
        ([("format", "nginx"), ("format", "nginx")], "format"),
        ([("formt", "nginx")], "formt"),
        ([("path", "a.log")], "path"),
    ],
    ids=["wrong", "twice", "unknown", "a path beside the file"],
)
def test_a_field_that_is_wrong_is_named(
    loading: httpx.Client,
    ingestion: FakeIngestion,
    tmp_path: Path,
    fields: list[tuple[str, str]],
    parameter: str,
) -> None:
    parts: list[Any] = [("file", ("x.log", LOG)), *((name, (None, value)) for name, value in fields)]
    response = loading.post("/load", files=parts)
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, parameter)
    assert (ingestion.loads, list(tmp_path.iterdir())) == ([], [])


def test_a_file_that_was_sent_as_a_field_is_told_how_to_be_sent(loading: httpx.Client) -> None:
    response = loading.post("/load", files={"file": (None, "requests.log")})
    [problem] = response.json()["errors"]
    assert (problem["parameter"], "-F file=@FILE" in problem["expected"]) == ("file", True)


@pytest.mark.parametrize(
    "file",
    [
        ("x.log", gzip.compress(LOG * 50_000), "application/gzip"),
        ("x.log.gz", gzip.compress(LOG * 50_000), "text/plain"),
        ("x", gzip.compress(LOG * 50_000), "text/plain"),
    ],
    ids=["by its type", "by its name", "by its content"],
)
def test_a_compressed_file_of_a_form_is_decompressed(
    loading: httpx.Client, ingestion: FakeIngestion, file: Any
) -> None:
    loading.post("/load", files={"file": file})
    [load] = ingestion.loads
    assert (load.content == LOG * 50_000, load.display_name) == (True, file[0])


def test_lines_in_a_form_under_the_name_of_a_compressed_log_are_lines(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", files={"file": ("x.log.gz", LOG)})
    assert ingestion.loads[0].content == LOG


@pytest.mark.parametrize("content", [LOG, gzip.compress(LOG * 1000)[:-9]], ids=["no gzip at all", "cut off"])
def test_a_file_of_a_form_that_is_no_whole_gzip_is_400(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, content: bytes
) -> None:
    response = loading.post("/load", files={"file": ("x.log.gz", content, "application/gzip")})
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (400, [], [])


@pytest.mark.parametrize(
    "content",
    [LOG * 28, LOG * 10_000, gzip.compress(bytes(50_000_000))],
    ids=["by one line", "as announced", "when it expands"],
)
def test_a_file_of_a_form_over_the_limit_is_413(
    tmp_path: Path, store: Store, ingestion: FakeIngestion, content: bytes
) -> None:
    with service(tmp_path, store, ingestion, load_max_bytes=27 * len(LOG)) as client:
        response = client.post("/load", files={"file": ("x.log", content)})
    assert (response.status_code, ingestion.loads, list(tmp_path.iterdir())) == (413, [], [])


def test_a_file_of_a_form_of_just_the_limit_is_taken(
    tmp_path: Path, store: Store, ingestion: FakeIngestion
) -> None:
    with service(tmp_path, store, ingestion, load_max_bytes=len(LOG)) as client:
        assert client.post("/load", files={"file": ("x.log", LOG)}).status_code == 200


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


def test_an_empty_file_is_an_empty_log(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path
) -> None:
    (tmp_path / "configured.log").write_bytes(LOG)
    assert loading.post("/load", files={"file": ("x.log", b"")}).status_code == 200
    [load] = ingestion.loads
    assert (load.display_name, load.content) == ("x.log", b"")


def test_two_files_in_a_form_are_422(loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path) -> None:
    response = loading.post("/load", files=[("file", ("a.log", LOG)), ("file", ("b.log", LOG))])
    assert (response.status_code, "second file, 'b.log'" in response.json()["detail"]) == (422, True)
    assert (ingestion.loads, list(tmp_path.iterdir())) == ([], [])


# What browsers send for a file that was not chosen.
NO_FILE_PART = b'Content-Disposition: form-data; name="file"; filename=""\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [form_body(), form_body(NO_FILE_PART), form_body(b"Content-Disposition: form-data; name=wait\r\n\r\n1")],
    ids=["empty", "no file chosen", "a field only"],
)
def test_a_form_without_file_and_path_is_422(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, body: bytes
) -> None:
    (tmp_path / "configured.log").write_bytes(LOG)
    response = loading.post("/load", content=body, headers=FORM_HEADERS)
    assert (response.status_code, "no file and no path" in response.json()["detail"]) == (422, True)
    assert ingestion.loads == []


def test_a_file_without_a_name_is_a_file_nevertheless(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    loading.post("/load", content=form_body(NO_FILE_PART + LOG), headers=FORM_HEADERS)
    [load] = ingestion.loads
    assert (load.display_name, load.content) == ("upload", LOG)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        LOG,
        form_body(FILE_PART)[:-5],
        form_body(FILE_PART, end=b""),
        form_body(b'Content-Disposition: attachment; filename="x.log"\r\n\r\n' + LOG),
        form_body(b"\r\n" + LOG),
        form_body(b"".join(b"A%d: b\r\n" % number for number in range(20)) + FILE_PART),
        form_body(b"A: " + b"b" * 10_000 + b"\r\n" + FILE_PART),
        form_body(b"Content-Disposition: form-data; name=path\r\n\r\n" + b"a" * 100_000),
        form_body(FILE_PART) + b"a" * 100_000,
    ],
    ids=[
        "nothing",
        "no form",
        "cut off in the end",
        "without an end",
        "a part of another kind",
        "a part without headers",
        "too many headers",
        "a header that is too long",
        "a field that is too long",
        "too much behind its end",
    ],
)
def test_a_form_that_is_broken_is_400(
    loading: httpx.Client, ingestion: FakeIngestion, tmp_path: Path, body: bytes
) -> None:
    response = loading.post("/load", content=body, headers=FORM_HEADERS)
    assert (response.status_code, "no whole form" in response.json()["detail"]) == (400, True)
    assert (ingestion.loads, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 1000}"])
def test_a_form_without_a_usable_boundary_is_400(loading: httpx.Client, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    assert loading.post("/load", content=form_body(FILE_PART), headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"Content-Encoding": "gzip"}, FILE_PART),
        ({}, b"Content-Transfer-Encoding: base64\r\n" + FILE_PART),
    ],
    ids=["the form", "the file"],
)
def test_a_form_that_is_encoded_is_415(
    loading: httpx.Client, ingestion: FakeIngestion, headers: dict[str, str], part: bytes
) -> None:
    response = loading.post("/load", content=form_body(part), headers={**FORM_HEADERS, **headers})
    assert (response.status_code, ingestion.loads) == (415, [])


def test_a_path_beside_a_file_that_was_not_chosen_is_loaded(
    below: httpx.Client, ingestion: FakeIngestion
) -> None:
    path_part = b"Content-Disposition: form-data; name=path\r\n\r\n2024/a.log"
    below.post("/load", content=form_body(NO_FILE_PART, path_part), headers=FORM_HEADERS)
    assert ingestion.loads[0].display_name == "2024/a.log"


def test_a_form_needs_the_key_too(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> None:
    with service(tmp_path, store, ingestion, api_key="secret") as client:
        statuses = [
            client.post("/load", files={"file": ("x.log", LOG)}, headers=headers).status_code
            for headers in ({}, {"X-API-Key": "secret"})
        ]
    assert (statuses, len(ingestion.loads)) == ([401, 200], 1)
