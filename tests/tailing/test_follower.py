"""Reading one file onward."""

from __future__ import annotations

import functools
import gzip
import os

import pytest

from tailmetrics.formats import open_format
from tailmetrics.settings import load_settings
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.identity import new_source
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.reader import Rewritten
from tests.builders import format_options
from tests.paths import ROOT
from tests.tailing.following import (
    append,
    as_bytes,
    numbered,
)


def test_a_file_written_anew_between_its_discovery_and_the_first_read_is_told_from_what_it_was(log, follow):
    following = follow(log)
    append(log, *numbered(100, 150))
    opened = open_log(str(log))
    source = new_source(opened, str(log), "node", ())
    os.truncate(log, 0)
    append(log, *numbered(200, 210))
    follower = Follower(
        source,
        opened,
        following.settings.tailing_options,
        str(log),
        format_options("requests"),
        registered=False,
    )
    follower.refresh()
    with pytest.raises(Rewritten):
        follower.read()
    opened.close()


def test_an_unfinished_last_line_counts_once_the_rotated_file_is_quiet(log, follow):
    following = follow(log)
    append(log, "whole")
    append(log, "unfinished", end=b"")
    following.settle()
    log.rename(log.with_suffix(".log.1"))
    assert following.settle() == [b"whole", b"unfinished"]


def test_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning(log, follow):
    following = follow(log, rotated_hold_seconds=60.0)
    append(log, *numbered(0, 5))
    following.settle()
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(5, 10))
    following.settle()
    append(log.with_suffix(".log.1"), *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))


def test_a_file_deleted_with_unread_lines_is_read_to_its_end(log, follow):
    following = follow(log, chunk_bytes=4096, max_line_bytes=1024)
    append(log, *numbered(0, 500))
    for chunk in following.tailer.next_chunks():
        following.commit(chunk)
    assert 0 < len(following.lines) < 500
    log.unlink()
    assert following.settle() == as_bytes(numbered(0, 500))


def test_lag_is_what_is_written_and_not_committed(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.tailer.next_chunks()
    (status,) = following.tailer.statuses()
    assert status.lag_bytes == log.stat().st_size


def test_an_unfinished_line_is_nothing_to_wait_for(log, follow):
    append(log, *numbered(0, 3))
    append(log, "unfinished", end=b"")
    [*_, chunk] = follow(log).tailer.next_chunks()
    assert (chunk.data.count(b"\n"), chunk.more) == (3, False)


def read_all(follower):
    follower.refresh()
    chunks = []
    while (chunk := follower.read(final=False)) is not None:
        chunks.append(chunk)
    return chunks


def opened_at(path, source, name="iis", **settings):
    settings = load_settings(None, log_file_path=f"{name}={path}", **settings)
    log_format = settings.format_options(name)
    file = open_log(str(path))
    return Follower(source, file, settings.tailing_options, str(path), log_format, registered=True)


def new_source_of(path):
    file = open_log(str(path))
    source = new_source(file, str(path), "node", [])
    file.close()
    return source


IIS_LOG = (ROOT / "tests" / "data" / "logs" / "iis.log").read_bytes()


@functools.cache
def parsed(offset, data, header):
    read = open_format(format_options("iis")).of_source("x", 0, header).parse(data, offset)
    return read.records.rows(), read.rejects.rows(), read.blanks


def parsed_of(chunks):
    each = [parsed(chunk.offset, chunk.data, chunk.header) for chunk in chunks]
    return [[row for part in each for row in part[0]], [row for part in each for row in part[1]]]


@pytest.mark.parametrize("restarts", [True, False])
def test_a_log_with_two_headers_is_the_same_whichever_byte_it_was_read_up_to(log, restarts):
    whole = parsed(0, IIS_LOG, b"")
    assert (len(whole[0]), whole[1]) == (3, [])
    for cut in range(len(IIS_LOG)):
        log.write_bytes(IIS_LOG[:cut])
        follower = opened_at(log, new_source_of(log))
        chunks = read_all(follower)
        with log.open("ab") as stream:
            stream.write(IIS_LOG[cut:])
        if restarts:
            source = follower.as_read()
            follower.file.close()
            follower = opened_at(log, source)
        chunks += read_all(follower)
        follower.file.close()
        assert b"".join(chunk.data for chunk in chunks) == IIS_LOG
        assert parsed_of(chunks) == [whole[0], whole[1]], cut


def test_the_header_before_a_position_is_found_in_a_compressed_log_too(log):
    log.write_bytes(IIS_LOG)
    follower = opened_at(log, new_source_of(log))
    with log.with_name("x.log.gz").open("wb") as stream:
        stream.write(gzip.compress(IIS_LOG + IIS_LOG.splitlines(keepends=True)[-1]))
    whole = read_all(follower)
    source = follower.as_read()
    follower.file.close()
    follower = opened_at(log.with_name("x.log.gz"), source)
    [last] = read_all(follower)
    follower.file.close()
    assert (whole[-1].header, last.header.split(b"\n")[-1]) == (b"", IIS_LOG.splitlines()[-2])
    assert parsed_of([last])[0][0][1:3] == ("157.55.39.146", "/b")


def test_lines_of_a_format_without_headers_come_with_none(log):
    append(log, "#Fields: a", *numbered(0, 3))
    follower = opened_at(log, new_source_of(log), "requests")
    chunks = read_all(follower)
    append(log, *numbered(3, 4))
    chunks += read_all(follower)
    follower.file.close()
    assert [chunk.header for chunk in chunks] == [b"", b""]
