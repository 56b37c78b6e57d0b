"""Consuming that is begun again: when, after which rests, and until when."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tailmetrics.errors import QueueError
from tailmetrics.queues import retrying
from tailmetrics.queues.retrying import consume_again

AWAY = QueueError("the broker is away", is_final=False)


class Rests(threading.Condition):
    """Nobody rests; `lengths` are those that were asked for, and after `number` of them it is to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.lengths: list[float] = []
        self._number = number

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        self.lengths.append(timeout or 0.0)
        return predicate()

    def are_over(self) -> bool:
        return len(self.lengths) >= self._number


@pytest.fixture(autouse=True)
def whole_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying.random, "uniform", lambda _, high: high)


def fail() -> None:
    raise AWAY


def test_rests_double_up_to_the_longest_one() -> None:
    rests = Rests(6)
    consume_again(fail, lambda _: None, rests, rests.are_over, 4.0)
    assert rests.lengths == [0.5, 1, 2, 4, 4, 4]


def test_what_ended_it_early_is_told_each_time() -> None:
    rests, told = Rests(3), list[QueueError]()
    consume_again(fail, told.append, rests, rests.are_over, 4.0)
    assert told == [AWAY] * 3


def test_rests_begin_anew_when_it_went_well_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    rests, clock = Rests(4), [0.0]

    def consume() -> None:
        clock[0] += 10 if len(rests.lengths) == 2 else 0
        fail()

    monkeypatch.setattr(retrying.time, "monotonic", lambda: clock[0])
    consume_again(consume, lambda _: None, rests, rests.are_over, 4.0)
    assert rests.lengths == [0.5, 1, 0.5, 1]


def test_another_error_is_the_end() -> None:
    rests = Rests(3)
    with pytest.raises(ZeroDivisionError):
        consume_again(lambda: 1 // 0, lambda _: None, rests, rests.are_over, 4.0)  # type: ignore[arg-type,return-value]
    assert rests.lengths == []
