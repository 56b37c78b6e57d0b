"""Answers that are kept for as long as they are right.

In a process that is the only one to write to its store an answer is right until a commit brings a record of
the customer it is about; the store says so before anybody can know of the commit. Where others write too, it
is taken for right for CACHE_SECONDS.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from starlette.types import Message

from tailmetrics.stores.base import Store

_MOST_ANSWERS = 4096
_MOST_BYTES = 16 * 1024 * 1024

_EVERYBODY = None  # what an answer about all customers depends on


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of status 200, ready to be sent; `endpoint` is the path template of its route."""

    start: Message
    body: Message
    etag: bytes
    endpoint: str

    @property
    def size(self) -> int:
        return len(self.body["body"]) + sum(len(name) + len(value) for name, value in self.start["headers"])


@dataclass(eq=False, slots=True)
class Question:
    """A question that is being answered, or was; `is_current` ends with the commit that makes it wrong."""

    key: Hashable
    is_current: bool = True
    is_about: set[str | None] = field(default_factory=set)
    until: float = float("inf")
    answer: Answer | None = None


class KeptAnswers:
    """The newest answers, by keys that hold everything on which an answer depends but the data."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Question] = {}
        self._size = 0
        self._concerned: defaultdict[str | None, set[Question]] = defaultdict(set)
        self._seconds = float("inf") if store.watch(self._changed) else seconds

    def get(self, key: Hashable) -> Answer | None:
        """The answer to a question, None when it has to be asked."""
        question = self._kept.get(key)
        if question is None or not question.is_current or time.monotonic() >= question.until:
            return None
        return question.answer

    def concerns(self, question: Question, customer_id: str | None) -> None:
        """Note, before the store is asked, whose records an answer is about; None: everybody's."""
        with self._lock:
            question.is_about.add(customer_id)
            self._concerned[customer_id].add(question)

    def keep(self, question: Question, answer: Answer) -> None:
        """Keep the answer unless it is outdated already, or nothing said what it is about."""
        with self._lock:
            if not question.is_about or not question.is_current or not self._seconds:
                self._let_go(question)
                return
            question.answer = answer
            question.until = time.monotonic() + self._seconds
            if (before := self._kept.pop(question.key, None)) is not None:
                self._drop(before)
            self._kept[question.key] = question
            self._size += answer.size
            while len(self._kept) > _MOST_ANSWERS or self._size > _MOST_BYTES:
                self._drop(self._kept.pop(next(iter(self._kept))))

    def give_up(self, question: Question) -> None:
        """Forget a question that has no answer to keep."""
        with self._lock:
            self._let_go(question)

    def _changed(self, customers: Callable[[], Iterable[str]] | None) -> None:
        """Called by the store, in any thread; None: any customer's records may have changed."""
        if not self._concerned:
            return
        names = None if customers is None else set(customers())
        with self._lock:
            if names is None:
                changed: Iterable[str | None] = list(self._concerned)
            else:
                changed = [_EVERYBODY, *(self._concerned.keys() & names)]
            for customer_id in changed:
                for question in list(self._concerned.get(customer_id, ())):
                    question.is_current = False
                    if self._kept.get(question.key) is question:
                        del self._kept[question.key]
                        self._drop(question)
                    else:
                        self._let_go(question)

    def _drop(self, question: Question) -> None:
        """What is to be done with a question that was taken out of those kept."""
        if question.answer is not None:
            self._size -= question.answer.size
        self._let_go(question)

    def _let_go(self, question: Question) -> None:
        for customer_id in question.is_about:
            concerned = self._concerned.get(customer_id)
            if concerned is not None:
                concerned.discard(question)
                if not concerned:
                    del self._concerned[customer_id]
