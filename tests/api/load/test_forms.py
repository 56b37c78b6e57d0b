from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from tailmetrics.api.load.forms import Form
from tailmetrics.stores import Store
from tests.api.conftest import LOG, service
from tests.api.fakes import FakeIngestion

LINES = b"2024-10-10 08:00:00 cust_1 / 200 0.1\r\n" * 100


BEGIN = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.log"\r\n\r\n'


def request(pieces: Iterator[bytes]) -> Request:
    """A request whose body is a form and is received in these pieces."""

    async def receive() -> Message:
        piece = next(pieces, b"")
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return Request({"type": "http", "headers": headers}, receive)


def test_a_file_is_given_on_piece_by_piece() -> None:
    pieces = iter([BEGIN, *[LINES] * 1000, b"\r\n--x--\r\n"])

    async def sizes() -> list[int]:
        form = Form(request(pieces))
        await form.begin()
        return [len(piece) async for piece in form.file()]

    found = asyncio.run(sizes())
    assert sum(found) == 1000 * len(LINES)
    # The end of a piece that may begin the boundary is given with the next one.
    assert max(found) <= len(LINES) + len(b"\r\n--x")


def test_a_file_is_not_read_before_it_is_asked_for() -> None:
    pieces = iter([BEGIN, LINES])
    form = Form(request(pieces))
    asyncio.run(form.begin())
    assert (form.filename, next(pieces)) == ("x.log", LINES)


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
