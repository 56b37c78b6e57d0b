"""Standard input, kept in files that can be read again."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import LoadError, QueryError, SettingsError
from tailmetrics.ingest import standard_input
from tailmetrics.ingest.standard_input import following_standard_input, require_standard_input, spooled
from tailmetrics.settings import Settings, load_settings
from tailmetrics.status import SourceStatus
from tests.integration.running import await_that

SECONDS = 20.0


class Pipe:
    """A pipe whose reading end is standard input."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.buffer = os.fdopen(self._reading, "rb")

    def fileno(self) -> int:
        return self._reading

    def isatty(self) -> bool:
        return os.isatty(self._reading)

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def end(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe()
    monkeypatch.setattr("sys.stdin", pipe)
    monkeypatch.setattr(standard_input, "_PAUSE_SECONDS", 0.01)
    yield pipe
    pipe.end()
    pipe.buffer.close()


class Store:
    """How far each file is stored, by its name."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    def sources(self) -> list[SourceStatus]:
        return [
            SourceStatus("id", f"/any/{name}", 0, 0, 0, position, position, 0, 0.0, "live", None)
            for name, position in self.positions.items()
        ]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def settings_in(folder: Path, entry: str = "-", **changes: Any) -> Settings:
    return load_settings(
        None, log_file_path=entry, store_url=f"duckdb:///{folder}/store.duckdb", node_id="node", **changes
    )


def kept(folder: Path) -> list[bytes]:
    """What the files hold, by the order of their names' beginning."""
    contents = []
    for file in sorted(folder.glob("stdin-*")):
        with contextlib.suppress(FileNotFoundError):  # it may be removed in between
            contents.append(file.read_bytes())
    return contents


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("stdin-*")]


def test_what_is_read_is_in_a_file_that_the_settings_have_followed(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        pipe.write(b"one\ntwo")
        await_that(lambda: kept(tmp_path) == [b"one\ntwo"], SECONDS)
        [entry] = settings.log_paths
        assert [path.name for path in tmp_path.glob(Path(entry.pattern).name)] == names(tmp_path)


def test_the_file_stays_until_it_is_stored_and_the_process_ends(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        pipe.write(b"one\n")
        pipe.end()
        await_that(lambda: kept(tmp_path) == [b"one\n"], SECONDS)
        store.positions[names(tmp_path)[0]] = 4
    assert names(tmp_path) == []


def test_what_is_not_stored_is_left_for_the_next_start_which_removes_it(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        pipe.write(b"one\n")
        await_that(lambda: kept(tmp_path) == [b"one\n"], SECONDS)
        [left] = names(tmp_path)
        store.positions[left] = 0
    assert kept(tmp_path) == [b"one\n"]
    store.positions = {left.removesuffix(".1"): 4}
    with following_standard_input(settings, store.sources):
        await_that(lambda: left not in names(tmp_path) and f"{left}.1" not in names(tmp_path), SECONDS)


def test_a_file_that_ended_in_an_unfinished_line_is_named_as_a_rotated_one(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        pipe.write(b"one\nunfinished")
        pipe.end()
        await_that(lambda: kept(tmp_path) == [b"one\nunfinished"], SECONDS)
        [name] = names(tmp_path)
        store.positions[name] = 4
        await_that(lambda: names(tmp_path) == [f"{name}.1"], SECONDS)


def test_a_file_that_is_not_known_to_the_store_keeps_its_name(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        pipe.write(b"one\n")
        pipe.end()
        await_that(lambda: kept(tmp_path) == [b"one\n"], SECONDS)
    [name] = names(tmp_path)
    assert name.endswith(".log")


def test_a_left_file_is_followed_under_its_first_name_again(tmp_path, pipe, settings, store):
    pattern = Path(settings.log_paths[0].pattern).name
    left = tmp_path / pattern.replace("*", "abcdefgh")
    left.with_name(f"{left.name}.1").write_bytes(b"one\n")
    with following_standard_input(settings, store.sources):
        assert left.read_bytes() == b"one\n"


def test_a_new_file_is_begun_at_the_end_of_a_line(tmp_path, pipe, settings, store, monkeypatch):
    monkeypatch.setattr(standard_input, "_SPOOL_BYTES", 10)
    lines = [b"%d\n" % number for number in range(100_000, 100_020)]
    with following_standard_input(settings, store.sources):
        for line in lines:
            pipe.write(line[:3])
            pipe.write(line[3:])
        await_that(lambda: sum(map(len, kept(tmp_path))) == 7 * 20, SECONDS)
    files = kept(tmp_path)
    assert len(files) > 1
    assert sorted(line for file in files for line in file.splitlines(keepends=True)) == lines


def test_result_logs_are_not_cut(tmp_path, pipe, store, monkeypatch):
    monkeypatch.setattr(standard_input, "_SPOOL_BYTES", 10)
    with following_standard_input(settings_in(tmp_path, "results=-"), store.sources):
        pipe.write(b"# Test: a\n# Who is a?\n" * 3)
        pipe.write(b"# Result: PASS\n")
        await_that(lambda: sum(map(len, kept(tmp_path))) == 81, SECONDS)
    assert len(kept(tmp_path)) == 1


def test_stored_files_are_removed_while_the_pipe_goes_on(tmp_path, pipe, settings, store, monkeypatch):
    monkeypatch.setattr(standard_input, "_SPOOL_BYTES", 10)
    with following_standard_input(settings, store.sources):
        pipe.write(b"long enough\n")
        await_that(lambda: kept(tmp_path) == [b"long enough\n"], SECONDS)
        [first] = names(tmp_path)
        store.positions[first] = 12
        pipe.write(b"next\n")
        await_that(lambda: kept(tmp_path) == [b"next\n"], SECONDS)


def test_without_room_it_is_tried_again_and_nothing_is_left_out(tmp_path, pipe, settings, store, monkeypatch):
    write, failures = os.write, iter([True] * 3)

    def full(descriptor: int, data: bytes) -> int:
        if data == b"one\n" and next(failures, False):
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:2])

    with following_standard_input(settings, store.sources):
        monkeypatch.setattr(standard_input.os, "write", full)
        write(pipe._writing, b"one\n")
        await_that(lambda: kept(tmp_path) == [b"one\n"], SECONDS)
        monkeypatch.setattr(standard_input.os, "write", write)


def test_two_processes_of_one_store_and_node_are_one_too_many(tmp_path, pipe, settings, store):
    with following_standard_input(settings, store.sources):
        again = following_standard_input(settings, store.sources)
        with pytest.raises(SettingsError, match="another NODE_ID"), again:
            pass
        with following_standard_input(settings_in(tmp_path, "nginx=-"), store.sources):
            assert len(names(tmp_path)) == 2


def test_without_standard_input_in_the_settings_it_is_left_alone(tmp_path, pipe, store):
    with following_standard_input(settings_in(tmp_path, "x.log"), store.sources):
        assert names(tmp_path) == []


@pytest.mark.parametrize("stdin", [None, "terminal"])
def test_a_terminal_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, stdin: str | None
) -> None:
    leader, terminal = os.openpty()
    with os.fdopen(terminal) as file:
        monkeypatch.setattr("sys.stdin", file if stdin else None)
        with pytest.raises(QueryError, match="FILE: found '-', expected a pipe or a file"):
            require_standard_input("FILE")
        with pytest.raises(QueryError, match="LOG_FILE_PATH"), following_standard_input(settings, list):
            pass
    os.close(leader)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"log_file_path": "-,nginx=-"}, "found '-', which LOG_FILE_PATH gives with other settings"),
        ({"log_file_path": "-", "log_start": "end"}, "LOG_START: found 'end'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(monkeypatch, changes, problem) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SettingsError, match=problem):
        following_standard_input(load_settings(None, **changes), list).__enter__()


def test_what_is_to_be_loaded_is_a_file_while_it_is_loaded(tmp_path: Path, pipe: Pipe) -> None:
    pipe.write(b"one\ntwo")
    pipe.end()
    with spooled(tmp_path / "data") as path:
        assert (path.read_bytes(), path.parent) == (b"one\ntwo", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_what_a_killed_load_left_is_removed_and_what_a_living_one_has_is_not(
    tmp_path: Path, pipe: Pipe
) -> None:
    (tmp_path / ".load-stdin-left").write_bytes(b"one\n")
    pipe.end()
    with spooled(tmp_path) as living, contextlib.ExitStack() as stack:
        stack.enter_context(spooled(tmp_path))
        assert living.exists()
        assert not (tmp_path / ".load-stdin-left").exists()


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, pipe: Pipe, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(standard_input.tempfile, "mkstemp", refuse)
    monkeypatch.setattr(standard_input.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(LoadError, match=f"cannot be kept in {tmp_path}: No space left"), spooled(tmp_path):
        pass
    with pytest.raises(LoadError, match="No space left"), following_standard_input(settings, list):
        pass


def test_an_error_while_it_is_loaded_is_not_one_of_standard_input(tmp_path: Path, pipe: Pipe) -> None:
    pipe.end()
    with pytest.raises(io.UnsupportedOperation), spooled(tmp_path):
        raise io.UnsupportedOperation
