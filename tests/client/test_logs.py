"""Logs without a store: what a load would make of them, as frames."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import polars as pl
import pytest

import tailmetrics
from tailmetrics.errors import LoadError, SettingsError, UndecidedFormat
from tests.paths import DATA

LOG = DATA / "requests-10k.log"
IIS = (
    "#Fields: date time cs-method cs-uri-stem cs-username sc-status time-taken\n"
    + "2024-10-10 10:00:00 GET /a anna 200 120\n" * 300
    + "#Fields: date time cs-method cs-username cs-uri-stem sc-status time-taken\n"
    + "2024-10-10 10:00:00 GET anna /b 500 7\n" * 300
)


@pytest.fixture(params=["in one piece", "in many"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In how many chunks a log is read."""
    if request.param == "in many":
        monkeypatch.setenv("CHUNK_BYTES", "4096")
        monkeypatch.setenv("MAX_LINE_BYTES", "2000")


def test_every_request_is_a_row(pieces: None) -> None:
    frame = tailmetrics.read_log(LOG, format="auto")
    lines = LOG.read_text().splitlines()
    assert frame.height == len(lines)
    assert frame["customer_id"].to_list() == [line.split(" ")[2] for line in lines]
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    begins = [LOG.read_bytes()[offset : offset + 20] for offset in frame["offset"].gather_every(999)]
    assert begins == [line.encode()[:20] for line in lines[::999]]


def test_every_line_is_a_request_a_reject_or_blank(pieces: None) -> None:
    records, rejects = (read(DATA / "messy.log") for read in (tailmetrics.read_log, tailmetrics.read_rejects))
    assert (records.height, rejects.height, records["offset"].is_sorted()) == (2013, 26, True)


def test_a_header_counts_for_the_lines_behind_it(pieces: None, folder: Path) -> None:
    (folder / "iis.log").write_text(IIS)
    counts = tailmetrics.read_log("iis.log").group_by("customer_id", "path").len().sort("path")
    assert counts.rows() == [("anna", "/a", 300), ("anna", "/b", 300)]


def test_a_compressed_log_is_read_as_what_it_holds(pieces: None, folder: Path) -> None:
    (folder / "requests.log.gz").write_bytes(gzip.compress(LOG.read_bytes()))
    assert tailmetrics.read_log("requests.log.gz").equals(tailmetrics.read_log(LOG))


def test_an_unfinished_last_line_counts(folder: Path) -> None:
    (folder / "x.log").write_text(
        "2024-10-10 10:00:00 cust_1 /a 200 0.1\n2024-10-10 10:00:00 cust_1 /b 200 0.1"
    )
    assert tailmetrics.read_log("x.log")["path"].to_list() == ["/a", "/b"]


def test_parameters_say_how_lines_are_read(folder: Path) -> None:
    (folder / "x.log").write_text("2024-10-10 10:00:00|anna|/a|200|7\n")
    [row] = tailmetrics.read_log(
        "x.log",
        format="regex",
        regex=r"(?P<timestamp>[^|]+)\|(?P<customer_id>\w+)\|(?P<path>\S+)\|(?P<status_code>\d+)\|(?P<duration>\d+)",
        tz="Europe/Zurich",
        duration_unit="ms",
    ).to_dicts()
    assert (row["timestamp"].isoformat(), row["duration"]) == ("2024-10-10T08:00:00+00:00", 0.007)


def test_a_log_that_is_mostly_rejects_warns(folder: Path) -> None:
    (folder / "x.log").write_text("2024-10-10 10:00:00 cust_1 /a 200 0.1\nno request\nnor this\n")
    with pytest.warns(UserWarning, match="2 of 3 lines of x.log could not be read, the first one as line: "):
        assert tailmetrics.read_log("x.log", format="requests").height == 1
    assert tailmetrics.read_rejects("x.log", format="requests")["line"].to_list() == [
        "no request",
        "nor this",
    ]


def test_a_log_with_some_rejects_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tailmetrics.read_log(DATA / "messy.log").height == 2013


@pytest.mark.parametrize(
    ("name", "given", "error", "text"),
    [
        ("nowhere.log", {}, LoadError, "nowhere.log cannot be read: No such file or directory"),
        ("data", {}, LoadError, "found something that is no regular file"),
        ("prose.txt", {}, UndecidedFormat, "prose.txt: format: found 'Once upon a time', .*format=NAME"),
        ("prose.txt", {"format": "nginks"}, SettingsError, "LOG_FORMAT: found 'nginks', expected auto"),
        ("prose.txt", {"tz": "Mars"}, SettingsError, "LOG_TIMEZONE: found 'Mars'"),
    ],
)
def test_what_cannot_be_read_says_why(
    folder: Path, name: str, given: dict[str, str], error: type[Exception], text: str
) -> None:
    (folder / "prose.txt").write_text("Once upon a time\n")
    with pytest.raises(error, match=text):
        tailmetrics.read_log(name, **given)  # type: ignore[arg-type]  # all of them are text


def test_an_empty_log_is_an_empty_frame(folder: Path) -> None:
    (folder / "x.log").write_text("")
    frame = tailmetrics.read_log("x.log")
    assert (frame.height, frame.schema) == (0, tailmetrics.read_log(LOG).schema)
