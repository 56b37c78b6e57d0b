"""Which files of tests a process of pytest-xdist takes next, and which stay together in one process."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# About so long a test takes, in seconds; of many folders it matters to none but the last files.
_SECONDS = {
    "tests/browser/": 2.0,
    "tests/cli/": 0.5,
    "tests/deploy/": 1.0,
    "tests/faults/": 2.0,
    "tests/formats/": 0.3,
    "tests/integration/": 10.0,
    "tests/queues/": 2.0,
    "tests/stores/": 0.3,
}
_ANOTHER_SECONDS = 0.1

# What asks the brokers for all tests, which take long to start, and processor time while nobody asks them.
_WITH_BROKERS = (
    "tests/ingest/shipping/test_store.py",
    "tests/integration/test_cluster.py",
    "tests/queues/",
    "tests/test_kafka.py",
)


class LongestFirst(LoadFileScheduling):
    """A file at a time, the longest first, so that none begins when the others have ended.

    Files that share brokers are one unit: they are started in one process instead of in all of them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "tests/queues/" if nodeid.startswith(_WITH_BROKERS) else super()._split_scope(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = max(self.workqueue, key=self._seconds)
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)

    def _seconds(self, scope: str) -> float:
        seconds = next((each for name, each in _SECONDS.items() if scope.startswith(name)), _ANOTHER_SECONDS)
        return len(self.workqueue[scope]) * seconds
