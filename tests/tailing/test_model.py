"""Random sequences of what happens to logs, against a small model of what must be in the store."""

from __future__ import annotations

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

LOGS = ("a.log", "b.log")


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
        self.stopped = False

    @initialize(
        rotated=st.booleans(), header=st.sampled_from([0, 10, 3000]), hold=st.sampled_from([0.0, 3600.0])
    )
    def start(self, rotated: bool, header: int, hold: float) -> None:
        self.header = b"# " + b"h" * header
        self.hold = hold
        pattern = self.folder / ("*.log*" if rotated else "*.log")
        self.following = Following(pattern, rotated_hold_seconds=hold)
        # Rotated files of a log that was never followed are from before the first start, and left alone.
        for name in LOGS:
            self.append(name, 1)
        self.following.settle()

    def _line(self) -> bytes:
        self.number += 1
        return b"line %d %s" % (self.number, b"x" * (self.number * 37 % 300))

    def _inode(self, path: Path) -> int:
        return path.stat().st_ino

    def _rotated_name(self, path: Path) -> Path:
        self.turns += 1
        return path.with_name(f"{path.name}.{self.turns}")

    def _destroyed(self, inode: int) -> None:
        lines = set(self.content.pop(inode, []))
        self.torn.pop(inode, None)
        lost = lines - set(self.following.lines)
        self.must -= lost
        self.may |= lost

    @rule(name=st.sampled_from(LOGS), count=st.integers(1, 40))
    def append(self, name: str, count: int) -> None:
        path = self.folder / name
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
    @rule(name=st.sampled_from(LOGS))
    def append_torn(self, name: str) -> None:
        path = self.folder / name
        if path.exists() and path.stat().st_size > 0:
            piece = b"torn %d " % self.number
            append(path, piece, end=b"")
            inode = self._inode(path)
            self.torn[inode] = self.torn.get(inode, b"") + piece

    @rule(name=st.sampled_from(LOGS), recreate=st.booleans())
    def rotate_by_rename(self, name: str, recreate: bool) -> None:
        path = self.folder / name
        if path.exists():
            path.rename(self._rotated_name(path))
            if recreate:
                path.touch()

    @rule(name=st.sampled_from(LOGS))
    def late_write_to_the_rotated_file(self, name: str) -> None:
        path = self.folder / f"{name}.{self.turns}"
        if path.exists() and not path.is_symlink() and self.hold > 0 and self._inode(path) in self.content:
            line = self._line()
            append(path, line)
            inode = self._inode(path)
            line = self.torn.pop(inode, b"") + line
            self.content[inode].append(line)
            self.must.add(line)

    @rule(name=st.sampled_from(LOGS), lines_between=st.sampled_from([0, 0, 1, 5]))
    def rotate_by_copy_and_truncate(self, name: str, lines_between: int) -> None:
        """Lines written after the copy was made are in no file afterwards; they may have been read.

        That the copy ends before them is known to who saw it made and the log truncated, and to nobody else.
        """
        path = self.folder / name
        if path.exists() and path.stat().st_size > 0:
            copy = self._rotated_name(path)
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

    @rule(name=st.sampled_from(LOGS))
    def truncate(self, name: str) -> None:
        path = self.folder / name
        if path.exists():
            self._destroyed(self._inode(path))
            os.truncate(path, 0)

    @rule(name=st.sampled_from(LOGS))
    def delete(self, name: str) -> None:
        path = self.folder / name
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

    @rule(read_first=st.booleans())
    def restart_or_kill(self, read_first: bool) -> None:
        """With `read_first` lines were read and not committed when it was killed."""
        if read_first and not self.stopped:
            self.following.settle(commit=False)
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
