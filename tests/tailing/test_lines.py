"""A line is shown only where it is read as the request that is looked for."""

from __future__ import annotations

import contextlib
import gzip
import os
from dataclasses import replace
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.formats import open_format
from tailmetrics.settings import Settings
from tailmetrics.sources import Source
from tailmetrics.tailing import lines as module
from tailmetrics.tailing.identity import new_source
from tailmetrics.tailing.lines import Line, LineReader, LoggedRequest
from tailmetrics.tailing.log_file import open_log
from tests.builders import settings_of

LOG = b"".join(
    b"2024-10-10 08:00:%02d cust_%d /api/%d %d 0.%d00\n" % (second, second % 3, second, 200 + second, second)
    for second in range(10)
)


class Log:
    """A log as it was read: where each request was, and how."""

    def __init__(
        self, path: Path, content: bytes = LOG, log_format: str = "requests", **changes: Any
    ) -> None:
        self.path = path
        path.write_bytes(content)
        self.settings: Settings = settings_of(
            path.parent / "store",
            **{"log_file_path": str(path.parent / "x.log"), "log_format": log_format} | changes,
        )
        with contextlib.closing(open_log(str(path))) as file:
            self.source: Source = new_source(file, str(path), "node", ())
        written_ns = path.stat().st_mtime_ns
        read = open_format(self.settings.format_options()).of_source(str(path), written_ns)
        columns = ("offset", "timestamp", "customer_id", "path", "status_code", "duration")
        self.requests = [
            LoggedRequest(self.source.source_id, offset, time.replace(tzinfo=timezone.utc), *others)
            for offset, time, *others in read.parse(content, 0).records.select(columns).iter_rows()
        ]

    def lines(self, *requests: LoggedRequest, source: Source | None = None) -> list[Line]:
        reader = LineReader(self.settings.log_paths, "node")
        known = self.source if source is None else source
        return reader.read(requests or self.requests, {self.source.source_id: known})

    def texts(self) -> list[str | None]:
        return [line.text for line in self.lines()]

    def missing(self, **changes: Any) -> str:
        """Why the first line is missing."""
        line = self.lines(self.requests[0], source=replace(self.source, **changes))[0]
        assert line.text is None
        assert line.missing is not None
        return line.missing


@pytest.fixture
def read(log: Path) -> Log:
    return Log(log)


ALL = LOG.decode().splitlines()


def test_lines_are_read_at_their_offsets_in_whatever_order_they_are_asked_for(read: Log) -> None:
    backwards = read.lines(*reversed(read.requests))
    assert [line.text for line in backwards] == ALL[::-1]
    assert {line.missing for line in backwards} == {None}


def test_a_last_line_without_an_end_is_a_line(log: Path) -> None:
    assert Log(log, LOG.rstrip(b"\n")).texts() == ALL


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_line(log: Path) -> None:
    content = b"\xef\xbb\xbf" + LOG.replace(b"\n", b"\r\n")
    assert Log(log, content).texts() == ALL


def test_a_file_that_was_renamed_is_found_beside_its_old_name(read: Log) -> None:
    read.path.rename(read.path.with_name("x.log.1"))
    read.path.write_bytes(b"2024-11-11 08:00:00 another / 200 0.1\n" * 20)
    assert read.texts() == ALL


def test_a_copy_is_found_after_the_file_was_truncated(read: Log) -> None:
    read.path.with_name("x.log.1").write_bytes(LOG)
    with read.path.open("r+b") as file:
        file.truncate(0)
        file.write(b"2024-11-11 08:00:00 another / 200 0.1\n")
    assert read.texts() == ALL


def test_a_compressed_file_is_read_at_the_offsets_of_what_it_holds(read: Log) -> None:
    read.path.with_name("x.log.2.gz").write_bytes(gzip.compress(LOG))
    read.path.unlink()
    assert read.texts() == ALL


def test_what_is_deep_in_a_compressed_file_is_not_looked_for(
    read: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DEEPEST_COMPRESSED", 60)
    read.path.with_name("x.log.1.gz").write_bytes(gzip.compress(LOG))
    read.path.unlink()
    assert read.texts() == [*ALL[:2], *[None] * 8]
    assert "bytes deep in" in str(read.lines()[-1].missing)


def test_a_damaged_compressed_file_is_said(read: Log) -> None:
    read.path.with_name("x.log.1.gz").write_bytes(gzip.compress(os.urandom(4096))[:40])
    read.path.unlink()
    assert "not a whole gzip file" in read.missing()


def test_a_file_that_is_gone_is_said(read: Log) -> None:
    read.path.unlink()
    assert read.missing() == f"{read.path} was rotated away or deleted"


def test_a_file_that_may_not_be_read_is_said(read: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open_log", refuse)
    assert read.missing() == f"{read.path} cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"/api/5 205", b"/api/5 505"),
        (b"cust_2 /api/5", b"cust_9 /api/5"),
        (b"205 0.500", b"205 0.900"),
    ],
)
def test_a_line_that_was_written_anew_is_never_shown(read: Log, before: bytes, after: bytes) -> None:
    head = read.source.checkpoint
    changed = LOG.replace(before, after)
    read.path.write_bytes(changed)
    source = replace(
        read.source, checkpoint=replace(head, head_length=10, head_hash=module.fingerprint(LOG[:10]))
    )
    found = read.lines(*read.requests, source=source)
    assert [line.text for line in found] == [*ALL[:5], None, *ALL[6:]]
    assert "reads otherwise" in str(found[5].missing)


def test_no_line_begins_in_the_middle_of_one(read: Log) -> None:
    found = read.lines(replace(read.requests[1], offset=read.requests[1].offset + 3))
    assert "no line begins at byte" in str(found[0].missing)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node_id": "elsewhere"}, "on the node elsewhere, this is node"),
        ({"inode": 0, "device": 0}, "was sent to the service"),
        ({"path": "/etc/passwd"}, "is none of the logs of LOG_FILE_PATH"),
    ],
)
def test_a_file_that_is_not_followed_here_is_not_opened(
    read: Log, changes: dict[str, Any], said: str
) -> None:
    assert said in read.missing(**changes)


def test_a_source_that_is_not_known_is_said(read: Log) -> None:
    found = LineReader(read.settings.log_paths, "node").read(read.requests[:1], {})
    assert "no file is known of its source" in str(found[0].missing)


def test_a_name_that_leads_to_another_file_shows_nothing_of_that(read: Log, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0\n" * 100)
    read.path.unlink()
    read.path.symlink_to(secret)
    assert read.missing() == f"{read.path} was rotated away or deleted"


def test_directives_before_a_line_say_how_it_is_read(log: Path) -> None:
    header = b"#Version: 1.0\n#Fields: date time cs-username cs-uri-stem sc-status time-taken\n"
    line = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"
    other = (
        b"#Fields: date time sc-status cs-username cs-uri-stem time-taken\n"
        b"2024-10-10 08:00:01 500 cust_1 / 0.1\n"
    )
    read = Log(log, header + line + other, "w3c")
    assert read.texts() == [line.decode().rstrip(), other.decode().splitlines()[1]]


def test_a_block_is_shown_as_a_whole(tmp_path: Path) -> None:
    blocks = [b"# Test: apples\n# Who is apples?\n# Result: PASS\n", b"Test: pears\nResult: FAIL\n"]
    read = Log(
        tmp_path / "test_1700000000.log", b"".join(blocks), "results", log_file_path=f"{tmp_path}/*.log"
    )
    assert read.texts() == [block.decode().rstrip() for block in blocks]


def test_no_more_is_read_than_an_answer_can_hold(read: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", len(ALL[0]) + 2)
    found = read.lines()
    assert [line.text for line in found] == [*ALL[:2], *[None] * 8]
    assert "ask for fewer" in str(found[-1].missing)
