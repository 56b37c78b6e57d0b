"""Random sequences of what happens to logs, against a small model of what must be in the store."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.tailing.following import Following, append

LOGS = (0, 1)
MARKS = ("1", "2", "20", "20241010", "2024-10-10", "old")
SEPARATORS = (".", "-", "_", "~")
# What the n-th rotation makes of a log's stem and suffix; never the name of a log.
SCHEMES = {
    "number behind": lambda stem, suffix, turn: f"{stem}{suffix}.{turn + 100}",
    "date behind": lambda stem, suffix, turn: f"{stem}{suffix}-2030{turn // 28 + 1:02}{turn % 28 + 1:02}",
    "date before the suffix": lambda stem, suffix, turn: (
        f"{stem}-2030-{turn // 28 + 1:02}-{turn % 28 + 1:02}{suffix}"
    ),
}
schemes = st.sampled_from(sorted(SCHEMES))


@st.composite
def names_of_a_log(draw: st.DrawFn) -> str:
    """A stem with up to three marks, before its suffix and behind it, as rotation puts them there."""
    marks = draw(st.lists(st.tuples(st.sampled_from(SEPARATORS), st.sampled_from(MARKS)), max_size=3))
    behind = draw(st.integers(0, len(marks)))
    before = "".join(map("".join, marks[behind:]))
    suffix = draw(st.sampled_from([".log", ".txt", ""]))
    return draw(st.sampled_from(["a", "web"])) + before + suffix + "".join(map("".join, marks[:behind]))


# Any two names, or two that differ in their own mark.
names_of_logs = st.tuples(names_of_a_log(), names_of_a_log()) | st.sampled_from(
    [("web-1.log", "web-2.log"), ("x.log.3", "x.log.4"), ("x-2024-10-10.log", "x-2024-10-11.log")]
)


class Logs(RuleBasedStateMachine):
    """Two logs that are written, rotated, truncated, deleted and linked while a tailer comes and goes.

    `must` are the lines that have to be in the store in the end, `may` those whose bytes were destroyed
    before anyone is known to have read them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tailmetrics-model-"))
        self.number = 0
        self.turns = 0
        self.must: set[bytes] = set()
        self.may: set[bytes] = set()
        self.content: dict[int, list[bytes]] = defaultdict(list)  # whole lines by inode
        self.torn: dict[int, bytes] = {}  # the unfinished last line by inode
        self.rotated: dict[int, Path] = {}  # what was made of each log last
        self.stopped = False

    @initialize(
        names=names_of_logs.filter(lambda names: names[0] != names[1]),
        pattern=st.sampled_from(["{name}", "{first}*{last}", "*"]),
        header=st.sampled_from([0, 10, 3000]),
        hold=st.sampled_from([0.0, 3600.0]),
    )
    def start(self, names: tuple[str, str], pattern: str, header: int, hold: float) -> None:
        self.header = b"# " + b"h" * header
        self.hold = hold
        self.paths = [self.folder / name for name in names]
        patterns = {pattern.format(name=name, first=name[0], last=name[1:][-1:]) for name in names}
        pattern = ",".join(f"{self.folder}/{each}" for each in sorted(patterns))
        self.following = Following(pattern, rotated_hold_seconds=hold)
        # Rotated files of a log that was never followed are from before the first start, and left alone.
        for log in LOGS:
            self.append(log, 1)
        self.following.settle()

    def _line(self) -> bytes:
        self.number += 1
        return b"line %d %s" % (self.number, b"x" * (self.number * 37 % 300))

    def _inode(self, path: Path) -> int:
        return path.stat().st_ino

    def _rotated_name(self, log: int, scheme: str) -> Path:
        self.turns += 1
        path = self.paths[log]
        stem, suffix = (path.stem, path.suffix) if path.suffix in (".log", ".txt") else (path.name, "")
        self.rotated[log] = path.with_name(SCHEMES[scheme](stem, suffix, self.turns))
        return self.rotated[log]

    def _destroyed(self, inode: int) -> None:
        lines = set(self.content.pop(inode, []))
        self.torn.pop(inode, None)
        lost = lines - set(self.following.lines)
        self.must -= lost
        self.may |= lost

    @rule(log=st.sampled_from(LOGS), count=st.integers(1, 40))
    def append(self, log: int, count: int) -> None:
        path = self.paths[log]
        lines = [self._line() for _ in range(count)]
        if not path.exists() or path.stat().st_size == 0:
            append(path, self.header + b" %d" % len(self.header))
        inode = self._inode(path)
        append(path, *lines)
        torn = self.torn.pop(inode, b"")
        lines[0] = torn + lines[0]
        self.content[inode] += lines
        self.must |= set(lines)

    @precondition(lambda self: self.hold > 0)
    @rule(log=st.sampled_from(LOGS))
    def append_torn(self, log: int) -> None:
        path = self.paths[log]
        if path.exists() and path.stat().st_size > 0:
            self.number += 1
            piece = b"torn %d " % self.number
            append(path, piece, end=b"")
            inode = self._inode(path)
            self.torn[inode] = self.torn.get(inode, b"") + piece

    @rule(log=st.sampled_from(LOGS), scheme=schemes, recreate=st.booleans())
    def rotate_by_rename(self, log: int, scheme: str, recreate: bool) -> None:
        path = self.paths[log]
        if path.exists():
            path.rename(self._rotated_name(log, scheme))
            if recreate:
                path.touch()

    @rule(log=st.sampled_from(LOGS))
    def late_write_to_the_rotated_file(self, log: int) -> None:
        path = self.rotated.get(log)
        if path is not None and path.exists() and self.hold > 0 and self._inode(path) in self.content:
            line = self._line()
            append(path, line)
            inode = self._inode(path)
            line = self.torn.pop(inode, b"") + line
            self.content[inode].append(line)
            self.must.add(line)

    @precondition(lambda self: self.stopped)
    @rule(log=st.sampled_from(LOGS), scheme=schemes)
    def rotate_and_compress_while_stopped(self, log: int, scheme: str) -> None:
        path = self.paths[log]
        if path.exists() and path.stat().st_size > 0:
            rotated = self._rotated_name(log, scheme)
            rotated.with_name(f"{rotated.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            inode = self._inode(path)
            path.unlink()
            self.content.pop(inode, None)
            self.torn.pop(inode, None)

    @precondition(lambda self: not self.stopped and not self.following.store_is_away)
    @rule(log=st.sampled_from(LOGS), count=st.integers(1, 40))
    def rename_to_any_name_while_stopped(self, log: int, count: int) -> None:
        """Where the name tells nothing, the file must be one that the store knows."""
        if self.paths[log].exists():
            self.append(log, count)
            self.settle()
            self.stop()
            self.append(log, count)
            self.turns += 1
            self.paths[log].rename(self.folder / f"put away {chr(ord('a') + self.turns)}")

    @rule(log=st.sampled_from(LOGS), scheme=schemes, lines_between=st.sampled_from([0, 0, 1, 5]))
    def rotate_by_copy_and_truncate(self, log: int, scheme: str, lines_between: int) -> None:
        """Lines written after the copy was made are in no file afterwards; they may have been read.

        That the copy ends before them is known to who saw it made and the log truncated, and to nobody else.
        """
        path = self.paths[log]
        if path.exists() and path.stat().st_size > 0:
            copy = self._rotated_name(log, scheme)
            shutil.copyfile(path, copy)
            inode = self._inode(path)
            content, torn = self.content.pop(inode, []), self.torn.pop(inode, b"")
            if not lines_between:
                self.content[self._inode(copy)], self.torn[self._inode(copy)] = content, torn
                os.truncate(path, 0)
                return
            self.settle()
            between = [self._line() for _ in range(lines_between)]
            append(path, *between)
            self.may |= {torn + between[0], *between[1:]}
            self.settle()
            os.truncate(path, 0)
            self.settle()

    @rule(log=st.sampled_from(LOGS))
    def truncate(self, log: int) -> None:
        path = self.paths[log]
        if path.exists():
            self._destroyed(self._inode(path))
            os.truncate(path, 0)

    @rule(log=st.sampled_from(LOGS))
    def delete(self, log: int) -> None:
        path = self.paths[log]
        if path.exists():
            self._destroyed(self._inode(path))
            path.unlink()

    @rule()
    def settle(self) -> None:
        if not self.stopped:
            self.following.settle()

    @rule()
    def stop(self) -> None:
        self.stopped = True
        self.following.close()

    @rule(read_first=st.booleans(), renamed=st.booleans())
    def restart_or_kill(self, read_first: bool, renamed: bool) -> None:
        """With `read_first` lines were read and not committed when it was killed; the node may be renamed."""
        if read_first and not self.stopped:
            self.following.settle(commit=False)
        if renamed:
            self.turns += 1
            self.following.node_id = f"node-{self.turns}"
        self.following.restart()
        self.stopped = False

    @precondition(lambda self: not self.stopped)
    @rule()
    def store_goes_away(self) -> None:
        self.following.store_is_away = True

    @rule()
    def store_comes_back(self) -> None:
        self.following.store_comes_back()

    @invariant()
    def no_line_is_there_twice(self) -> None:
        if hasattr(self, "following"):
            twice = [
                line
                for line, count in Counter(self.following.lines).items()
                if count > 1 and not line.startswith(b"# ")
            ]
            assert not twice

    def teardown(self) -> None:
        if hasattr(self, "following"):
            try:
                self.following.store_comes_back()
                if self.stopped:
                    self.following.restart()
                self.following.settle()
                self._check()
            finally:
                self.following.close()
        shutil.rmtree(self.folder)

    def _check(self) -> None:
        self.no_line_is_there_twice()
        found = {line for line in self.following.lines if line.startswith((b"line", b"torn"))}
        assert not self.must - found, "lost"
        torn = set() if self.hold else found
        assert not {line for line in found - self.must - self.may - torn if b"line" in line}, "never written"
        for source_id in {chunk.source_id for chunk in self.following.chunks}:
            offsets = [chunk.offset for chunk in self.following.chunks if chunk.source_id == source_id]
            assert offsets == sorted(offsets), "out of order"


def _run(examples: int) -> None:
    run_state_machine_as_test(
        Logs,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=examples <= 100,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_hundred_random_sequences() -> None:
    _run(100)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_two_thousand_random_sequences() -> None:
    _run(2000)
