"""Who holds which share of the logs, as processes come, die and come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tailmetrics.ingest import share_locks
from tailmetrics.ingest.share_locks import ShareLocks


class Processes:
    """Shares of several processes in one: their locks are of other descriptors, as if they were of others."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        self.living: dict[int, ShareLocks] = {}

    def begin(self, *numbers: int, takes_over: bool = True) -> None:
        for number in numbers:
            self.living[number] = ShareLocks(self._folder, number, self._count, takes_over=takes_over)

    def die(self, number: int) -> None:
        self.living.pop(number).close()

    def held(self) -> dict[int, set[int]]:
        """What each holds once all have looked and run anew, until nothing changes any more."""
        for _ in range(10):
            for locks in self.living.values():
                if locks.is_change_due():
                    locks.settle()
        return {number: set(locks.held) for number, locks in sorted(self.living.items())}


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(share_locks, "LOOK_SECONDS", 0.0)
    processes = Processes(tmp_path, 3)
    with ExitStack() as stack:
        stack.callback(lambda: [locks.close() for locks in processes.living.values()])
        yield processes


def test_each_process_holds_its_own_share(processes: Processes) -> None:
    processes.begin(0, 1, 2)
    assert processes.held() == {0: {0}, 1: {1}, 2: {2}}


def test_one_that_is_the_first_to_start_leaves_the_others_theirs(processes: Processes) -> None:
    processes.begin(0)
    assert processes.held() == {0: {0}}
    processes.begin(1, 2)
    assert processes.held() == {0: {0}, 1: {1}, 2: {2}}


def test_the_share_of_one_that_died_is_taken_over_and_given_back(processes: Processes) -> None:
    processes.begin(0, 1, 2)
    processes.held()
    processes.die(1)
    held = processes.held()
    assert held in ({0: {0, 1}, 2: {2}}, {0: {0}, 2: {1, 2}})
    processes.begin(1)
    assert processes.held() == {0: {0}, 1: {1}, 2: {2}}


def test_two_shares_of_two_that_died_go_to_the_one_that_is_left(processes: Processes) -> None:
    processes.begin(0, 1, 2)
    processes.held()
    processes.die(0)
    processes.die(2)
    assert processes.held() == {1: {0, 1, 2}}
    processes.begin(0)
    assert processes.held() == {0: {0}, 1: {1, 2}}


def test_one_that_never_came_is_taken_over_in_the_end(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_locks, "_UNSEEN_SECONDS", 0.0)
    processes.begin(0, 1)
    held = processes.held()
    assert set.union(*held.values()) == {0, 1, 2}
    assert held[0].isdisjoint(held[1])


def test_no_share_is_held_by_two_while_one_is_given_back(processes: Processes) -> None:
    processes.begin(0, 1)
    processes.held()
    processes.die(1)
    assert processes.held() == {0: {0, 1}}
    processes.begin(1)
    assert processes.living[1].is_change_due() is False  # the other has not ended its run
    assert processes.living[0].is_change_due()
    processes.living[0].settle()
    assert processes.living[1].is_change_due()
    processes.living[1].settle()
    assert processes.held() == {0: {0}, 1: {1}}


def test_without_logs_nobody_takes_over(processes: Processes) -> None:
    processes.begin(0, 1, 2, takes_over=False)
    processes.held()
    processes.die(2)
    assert processes.held() == {0: {0}, 1: {1}}
